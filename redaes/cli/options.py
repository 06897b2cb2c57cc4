"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from redaes.models import nano

Model = Annotated[str, typer.Option(help=f"{nano.NAME} (comes with the package), a folder, or a name on the hub.")]
Adapter = Annotated[Path | None, typer.Option(help="Folder of a LoRA adapter for the model.")]
Device = Annotated[str | None, typer.Option(help="Such as cpu or cuda; default: the best there is.")]
OneOrder = Annotated[
    bool, typer.Option("--one-order", help="Ask each pair in one order, drawn at random: half the cost, not debiased.")
]
