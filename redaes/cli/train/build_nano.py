"""``redaes train nano-build``: the embedded model, before it has learned anything."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from redaes.cli.running import reporting_errors
from redaes.early_checks import check_dataset, check_writable
from redaes.errors import InputError


def build_nano(
    out: Annotated[Path, typer.Option(help="Folder for the model.")],
    data: Annotated[
        Path | None, typer.Option(help="Folder of a RED dataset, whose texts the tokenizer is trained on.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="Start from the weights and the tokenizer of this embedded model (redaes/nano-base or a folder) "
            "instead of random weights, and only add the cosines of --place-spread. Use it in place of --data."
        ),
    ] = None,
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

    With --model, the weights and the tokenizer are those of a trained embedded model, and only places are added.

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
        if (data is None) == (model is None):
            raise InputError("give either --data, for random weights, or --model, to start from trained ones")
        if model is not None and (place_spread is None or intermediate is not None):
            raise InputError("with --model, give --place-spread, which is what changes, and not --intermediate")
        check_writable(out)
        if model is not None:
            from redaes.backends.loading import model_folder
            from redaes.models.nano.builder import with_places

            assert place_spread is not None
            with_places(model_folder(model), out, place_spread, seed)
            typer.echo(f"built: {out}")
            return
        assert data is not None
        check_dataset(data)
        from redaes.models.nano.builder import build
        from redaes.models.nano.corpus import corpus

        shape = {} if intermediate is None else {"intermediate": intermediate}
        build(out, corpus(data), seed=seed, place_spread=place_spread, **shape)
        typer.echo(f"built: {out}")
