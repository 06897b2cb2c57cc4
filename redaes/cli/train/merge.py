"""``redaes train merge``: a stage's LoRA in its base model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from redaes.cli.running import reporting_errors
from redaes.early_checks import check_adapter, check_model, check_writable
from redaes.errors import importing


def merge(
    adapter: Annotated[Path, typer.Argument(help="The final/ folder that a stage wrote.")],
    out: Annotated[Path, typer.Option(help="Folder for the merged model. It must not exist yet.")],
    model: Annotated[
        str | None, typer.Option(help="The base model. The default is the one that the adapter names.")
    ] = None,
    float32: Annotated[
        bool,
        typer.Option(
            "--float32", help="Write the weights as float32. The default is the number type of the base model."
        ),
    ] = False,
) -> None:
    """Merge the LoRA adapter of a stage into its base model.

    The folder works with transformers, with vLLM, and as --model of redaes compare.
    """
    with reporting_errors():
        check_adapter(str(adapter))
        check_writable(out.parent)
        if model is not None:
            check_model(model)
        with importing("train"):
            from redaes.training.merging import merge as merge_adapter

        typer.echo(f"merged: {merge_adapter(adapter, out, model=model, in_float32=float32)}")
