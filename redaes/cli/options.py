"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from redaes.models import nano

Model = Annotated[
    str,
    typer.Option(
        help=f"The model to ask: {nano.NAME} (included in the package), a folder, or a name on the Hugging Face Hub."
    ),
]
ModelOrServed = Annotated[
    str | None,
    typer.Option(
        help=f"The model to ask: {nano.NAME} (included in the package), a folder, or a name on the Hugging Face Hub. "
        "With --endpoint, give the model's name on that server.",
        show_default=f"{nano.NAME}; with --endpoint, the only model on that server",
    ),
]
Endpoint = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        envvar="REDAES_ENDPOINT",
        help="Ask a model on this OpenAI-compatible server, for example http://localhost:11434/v1. If the server "
        "requires a key, put it in the environment variable REDAES_API_KEY.",
    ),
]
ApiKeyEnv = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help="With --endpoint: read the key from this environment variable instead of REDAES_API_KEY."
    ),
]
Agreement = Annotated[
    int | None,
    typer.Option(
        metavar="K",
        min=0,
        max=64,
        help="With --endpoint, if the server reports no token probabilities: sample K answers in each order and "
        "report how many of them agree. The result is a count, not a probability.",
        show_default="compare: 0; rank, score and serve: 3 if the server reports no probabilities",
    ),
]
Adapter = Annotated[Path | None, typer.Option(help="Load the LoRA adapter in this folder on top of the model.")]
Constrain = Annotated[
    bool | None,
    typer.Option(
        "--constrain/--no-constrain",
        help="Force reasoned answers into the answer form while they are generated. This works only with a model that "
        "is loaded in this process.",
        show_default="on for models that were not trained on the form",
    ),
]
Device = Annotated[
    str | None,
    typer.Option(
        help="Run the model on this device, for example cpu or cuda. The default is the best device available."
    ),
]
OneOrder = Annotated[
    bool,
    typer.Option(
        "--one-order",
        help="Ask about each pair in one order only, drawn at random. This halves the cost but does not cancel the "
        "model's preference for one position.",
    ),
]
NoService = Annotated[
    bool,
    typer.Option(
        "--no-service",
        help="Do not use the background service that redaes serve --background started. Setting the environment "
        "variable REDAES_SERVICE=off does the same.",
    ),
]
Verbose = Annotated[bool, typer.Option("--verbose", help="Print the reason if the background service is not used.")]
