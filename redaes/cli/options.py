"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from redaes.models import nano

Model = Annotated[str, typer.Option(help=f"{nano.NAME} (comes with the package), a folder, or a name on the hub.")]
ModelOrServed = Annotated[
    str | None,
    typer.Option(
        help=f"{nano.NAME} (comes with the package), a folder, or a name on the hub; with --endpoint: the model's name "
        "there.",
        show_default=f"{nano.NAME}; with --endpoint the only model there",
    ),
]
Endpoint = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        envvar="REDAES_ENDPOINT",
        help="Ask a model behind this server of the OpenAI protocol, such as http://localhost:11434/v1. Its key, if it "
        "takes one, is in REDAES_API_KEY.",
    ),
]
ApiKeyEnv = Annotated[
    str | None, typer.Option(metavar="NAME", help="With --endpoint: another environment variable that holds the key.")
]
Agreement = Annotated[
    int | None,
    typer.Option(
        metavar="K",
        min=0,
        max=64,
        help="With --endpoint, where the server reports no token probabilities: draw K answers in each order, and "
        "count how many agree. That is no probability of the model's, and is not called one.",
        show_default="compare: none; rank, score and serve: 3 where they need them",
    ),
]
Adapter = Annotated[Path | None, typer.Option(help="Folder of a LoRA adapter for the model.")]
Constrain = Annotated[
    bool | None,
    typer.Option(
        "--constrain/--no-constrain",
        help="Hold reasoned answers to their form while they are written; only for models in this process.",
        show_default="models that were not trained on the form",
    ),
]
Device = Annotated[str | None, typer.Option(help="Such as cpu or cuda; default: the best there is.")]
OneOrder = Annotated[
    bool, typer.Option("--one-order", help="Ask each pair in one order, drawn at random: half the cost, not debiased.")
]
NoService = Annotated[
    bool,
    typer.Option(
        "--no-service", help="Do not ask the service that redaes serve --background has started; REDAES_SERVICE=off."
    ),
]
Verbose = Annotated[bool, typer.Option("--verbose", help="Say why a background service is not used.")]
