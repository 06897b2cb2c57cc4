"""``--push-to-hub`` of the commands that write a dataset."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

PushToHub = Annotated[
    str | None,
    typer.Option(
        metavar="REPO",
        help="Upload the dataset to the Hugging Face Hub as owner/name. The repository is created as private.",
    ),
]


def upload(folder: Path, repository: str | None) -> None:
    """Upload a dataset and say where to; None: nowhere.

    Raises:
        RedaesError: as :func:`~redaes.hub.push` does.
    """
    if repository is not None:
        from redaes.hub import push

        typer.echo(
            f"uploaded to {push(folder, repository)}; the repository is private until you change that on the Hub"
        )
