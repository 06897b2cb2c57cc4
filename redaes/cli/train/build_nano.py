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
        Path | None,
        typer.Option(help="Folder of a RED dataset, whose texts the tokenizer is trained on. Needed without --model."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="Start from this trained embedded model (redaes/nano-base or a folder) instead of random weights, and "
            "change only what the other options name: --data trains a new tokenizer, --intermediate widens the layers, "
            "and --place-spread adds its cosines to the position embedding."
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

    With --model, the model is a trained one of which only a part changes.

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
        if model is None and data is None:
            raise InputError("give --data, on whose texts the tokenizer is trained, or --model, to start from")
        if model is not None and data is None and place_spread is None and intermediate is None:
            raise InputError("with --model, say what is to change: --data, --intermediate or --place-spread")
        if data is not None:
            check_dataset(data)
        check_writable(out)
        from redaes.backends.loading import load_network, load_processor, model_folder
        from redaes.models.nano.builder import build, continued
        from redaes.models.nano.corpus import corpus

        texts = None if data is None else corpus(data)
        if model is not None:
            import torch

            begun = model_folder(model)
            network, processor = load_network(begun, torch.float32), load_processor(begun, None)
            continued(
                network, processor, out, seed=seed, corpus=texts, place_spread=place_spread, intermediate=intermediate
            )
        elif texts is not None:
            shape = {} if intermediate is None else {"intermediate": intermediate}
            build(out, texts, seed=seed, place_spread=place_spread, **shape)
        typer.echo(f"built: {out}")
