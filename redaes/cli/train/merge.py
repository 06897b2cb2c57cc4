"""``redaes train merge``: a stage's LoRA in its base model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from redaes.cli.running import reporting_errors
from redaes.early_checks import check_adapter, check_model, check_writable
from redaes.errors import importing


def merge(
    adapter: Annotated[Path, typer.Argument(help="A stage's final/ folder.")],
    out: Annotated[Path, typer.Option(help="Folder for the model; must not exist.")],
    model: Annotated[str | None, typer.Option(help="Base model; default: the one that the adapter names.")] = None,
    float32: Annotated[bool, typer.Option("--float32", help="Write float32; default: as the base is stored.")] = False,
) -> None:
    """Merge a stage's LoRA into its base model: one folder for transformers, vLLM and redaes compare --model."""
    with reporting_errors():
        check_adapter(str(adapter))
        check_writable(out.parent)
        if model is not None:
            check_model(model)
        with importing("train"):
            from redaes.training.merging import merge as merge_adapter

        typer.echo(f"merged: {merge_adapter(adapter, out, model=model, in_float32=float32)}")
