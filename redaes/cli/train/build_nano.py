"""``redaes train nano-build``: the embedded model, before it has learned anything."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from redaes.cli.running import reporting_errors
from redaes.early_checks import check_dataset, check_writable
from redaes.errors import InputError


def build_nano(
    data: Annotated[Path, typer.Option(help="Folder of a RED dataset, whose texts the tokenizer is trained on.")],
    out: Annotated[Path, typer.Option(help="Folder for the model.")],
    seed: Annotated[int, typer.Option(help="Seed of the random weights.")] = 0,
    place_spread: Annotated[
        float | None,
        typer.Option(
            help="Initialise the position embedding with cosines of this spread. The embedded patches have a spread of "
            "about 1."
        ),
    ] = None,
    intermediate: Annotated[
        int | None, typer.Option(help="Width of the language model's feed-forward layers. The default is 512.")
    ] = None,
) -> None:
    """Build the embedded model with random weights, and train its tokenizer on a RED dataset's texts.

    A LoRA on random weights learns nothing. Therefore train all weights of the result next, including the vision tower:
    first with redaes train nano-vision, then with redaes train nano-reading (docs/training.md).
    """
    with reporting_errors():
        if place_spread is not None and not 0 < place_spread < 10:
            raise InputError(f"--place-spread is {place_spread}, which is not between 0 and 10; 0.4 is a usual value")
        if intermediate is not None and (intermediate < 64 or intermediate % 64):
            raise InputError(
                f"--intermediate is {intermediate}, which is not a multiple of 64 from 64 on; the default is 512, and "
                "the next larger value is 576"
            )
        check_dataset(data)
        check_writable(out)
        from redaes.models.nano.builder import build
        from redaes.models.nano.corpus import corpus

        shape = {} if intermediate is None else {"intermediate": intermediate}
        build(out, corpus(data), seed=seed, place_spread=place_spread, **shape)
        typer.echo(f"built: {out}")
