"""``redaes train nano-build``: the embedded model, before it has learned anything."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from redaes.cli.running import reporting_errors
from redaes.early_checks import check_dataset, check_writable


def build_nano(
    data: Annotated[Path, typer.Option(help="RED dataset folder.")],
    out: Annotated[Path, typer.Option(help="Folder for the model.")],
    seed: Annotated[int, typer.Option(help="Of the weights.")] = 0,
) -> None:
    """Build the embedded model with random weights, its tokenizer trained on a RED dataset's texts.

    LoRA on random weights learns nothing. So the result is warmed up by full training, vision tower included: first
    redaes train nano-vision, then redaes train nano-reading (docs/training.md).
    """
    with reporting_errors():
        check_dataset(data)
        check_writable(out)
        from redaes.models.nano.builder import build
        from redaes.models.nano.corpus import corpus

        build(out, corpus(data), seed=seed)
        typer.echo(f"built: {out}")
