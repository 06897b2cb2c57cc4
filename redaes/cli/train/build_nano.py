"""``redaes train nano-build``: the embedded model, before it has learned anything."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from redaes.cli.running import reporting_errors
from redaes.early_checks import check_dataset, check_writable
from redaes.errors import InputError


def build_nano(
    data: Annotated[Path, typer.Option(help="RED dataset folder.")],
    out: Annotated[Path, typer.Option(help="Folder for the model.")],
    seed: Annotated[int, typer.Option(help="Of the weights.")] = 0,
    place_spread: Annotated[
        float | None,
        typer.Option(help="Begin with a position embedding of cosines, of this spread; patches have about 1."),
    ] = None,
    intermediate: Annotated[
        int | None, typer.Option(help="Width of the language model's feed-forward layers; default: 512.")
    ] = None,
) -> None:
    """Build the embedded model with random weights, its tokenizer trained on a RED dataset's texts.

    LoRA on random weights learns nothing. So the result is warmed up by full training, vision tower included: first
    redaes train nano-vision, then redaes train nano-reading (docs/training.md).
    """
    with reporting_errors():
        if place_spread is not None and not 0 < place_spread < 10:
            raise InputError(f"--place-spread {place_spread} is not between 0 and 10; 0.4 is a spread to begin with")
        if intermediate is not None and (intermediate < 64 or intermediate % 64):
            raise InputError(f"--intermediate {intermediate} is no multiple of 64; 640 is the next above the usual 512")
        check_dataset(data)
        check_writable(out)
        from redaes.models.nano.builder import build
        from redaes.models.nano.corpus import corpus

        shape = {} if intermediate is None else {"intermediate": intermediate}
        build(out, corpus(data), seed=seed, place_spread=place_spread, **shape)
        typer.echo(f"built: {out}")
