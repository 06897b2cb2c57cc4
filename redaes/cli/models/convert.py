"""``redaes models convert``: the published FGAesQ checkpoint to a folder that ``redaes rank`` takes."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from redaes.cli.running import reporting_errors
from redaes.early_checks import check_exists, check_writable
from redaes.errors import InputError

_BEGINNINGS = (b"PK\x03\x04", b"\x80")  # a zip file, as torch writes today, and a pickle, as it did


def convert_weights(
    checkpoint: Annotated[Path, typer.Argument(help="The published .pt file, or a .safetensors copy of it.")],
    out: Annotated[Path, typer.Option(help="Folder for the converted model. It must not contain a model yet.")],
    ignore: Annotated[
        list[str] | None,
        typer.Option(help="Leave out weights in the file whose names begin with this. The option may be repeated."),
    ] = None,
) -> None:
    """Convert the published FGAesQ checkpoint into a folder for redaes rank --model fgaesq --weights and redaes eval.

    No code in the checkpoint is run: it is read as plain weights, and refused if it contains anything else.
    """
    with reporting_errors():
        check_exists(checkpoint)
        _check_kind(checkpoint)
        check_writable(out)
        if (out / "config.json").exists():
            raise InputError(f"{out} already contains a model; give a folder that does not exist")

        from redaes.models.fgaesq.conversion import convert_published
        from redaes.models.fgaesq.network import revision

        model = convert_published(checkpoint, out, ignore=ignore or ())
        typer.echo(f"converted: {out} ({model.n_parameters() / 1e6:.1f}M parameters, revision {revision(out)})")
        typer.echo(f"to rank:   redaes rank PHOTOS --model fgaesq --weights {shlex.quote(str(out))}")


def _check_kind(checkpoint: Path) -> None:
    """Refuse what cannot be weights, such as the page that a failed download leaves.

    Raises:
        InputError: a folder, an empty file, or one that begins otherwise.
    """
    try:
        with checkpoint.open("rb") as file:
            start = file.read(200)
    except OSError as error:
        raise InputError(f"{checkpoint} cannot be read ({error.strerror}); give the .pt file") from error
    if start.startswith(b"version https://git-lfs"):
        raise InputError(
            f"{checkpoint} is a Git LFS pointer instead of the weights; download the weights with git lfs pull"
        )
    if not start.startswith(_BEGINNINGS) and start[8:9] != b"{":
        shown = start[:20].decode("ascii", "replace")
        raise InputError(f"{checkpoint} does not contain weights (it begins with {shown!r}); download it again")
