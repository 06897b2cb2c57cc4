"""Upload a finished folder to the Hugging Face hub, as a dataset or as a model."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from redaes.errors import InputError, MissingDependency, RedaesError

Kind = Literal["dataset", "model"]

IGNORED: dict[Kind, tuple[str, ...]] = {"dataset": (".*", "*.tmp", "shards/*", "answers/*"), "model": (".*", "*.tmp")}
"""Lock and leftovers of the builder, and its counts per shard: nothing that a reader wants."""


def check_repository(name: str) -> None:
    """Refuse a name that the hub would refuse.

    Raises:
        InputError: it is not of the form ``owner/name``.
        MissingDependency: huggingface_hub is absent.
    """
    try:
        from huggingface_hub.errors import HFValidationError
        from huggingface_hub.utils._validators import validate_repo_id
    except ImportError as error:
        raise MissingDependency("huggingface_hub", "train") from error

    try:
        validate_repo_id(name)
    except HFValidationError as error:
        raise InputError(f"{name!r} is no name on the hub ({error}); give owner/name") from error
    if name.count("/") != 1:
        raise InputError(f"{name!r} is no name on the hub; give owner/name")


def push(folder: Path, repository: str, kind: Kind = "dataset") -> str:
    """Upload a folder; the repository is created as private when there is none.

    Private, because not every photograph's licence may allow more: making it public is a decision for a person.

    Args:
        folder: a dataset, an export or a model, with its card.
        repository: ``owner/name``.
        kind: what the repository holds.

    Returns:
        The address of the repository.

    Raises:
        InputError: a name that is none.
        RedaesError: the hub cannot be reached or refuses; the folder stays as it is.
        MissingDependency: huggingface_hub is absent.
    """
    check_repository(repository)
    import httpx
    from huggingface_hub import HfApi

    api = HfApi()
    try:
        address = api.create_repo(repository, repo_type=kind, private=True, exist_ok=True)
        api.upload_folder(
            repo_id=repository,
            folder_path=folder,
            repo_type=kind,
            commit_message=f"Upload {folder.name}",
            ignore_patterns=list(IGNORED[kind]),
        )
    except (OSError, httpx.HTTPError) as error:  # the hub's own errors are of these kinds, offline mode included
        reason = " ".join(str(error).split()) or type(error).__name__
        raise RedaesError(
            f"{folder} was not uploaded to {repository} ({reason}); it is whole here: check the connection and "
            f"`hf auth login`, then: hf upload {repository} {folder} --repo-type {kind}"
        ) from error
    return str(address)
