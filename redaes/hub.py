"""Download datasets of photographs from the Hugging Face hub, and upload finished folders to it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Literal

from redaes.errors import InputError, MissingDependency, RedaesError

Kind = Literal["dataset", "model"]

IGNORED: dict[Kind, tuple[str, ...]] = {
    "dataset": (".*", "*.tmp", "shards/*", "answers/*", "runs/*"),
    "model": (".*", "*.tmp"),
}
"""Files that are not uploaded: the builder's lock, temporary files and counts per shard."""


def check_repository(name: str) -> None:
    """Refuse a name that the hub would refuse.

    Raises:
        InputError: the name is not of the form ``owner/name``.
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
        raise InputError(f"{name!r} is not a valid name on the Hugging Face Hub ({error}); give owner/name") from error
    if name.count("/") != 1:
        raise InputError(f"{name!r} is not a valid name on the Hugging Face Hub; give owner/name")


def on_hub(place: Path) -> bool:
    """Return whether a place is on the hub: ``hf:owner/name``, ``hf:owner/name@revision``,
    ``hf:owner/name/data/train-*``.
    """
    return str(place).startswith("hf:")


def dataset_files(place: Path, suffixes: Sequence[str]) -> tuple[list[Path], str]:
    """Return the files of a dataset on the hub, after downloading those that are not yet in the hub's cache.

    Args:
        place: a place on the hub as for :func:`on_hub`; a pattern after the name selects files, otherwise all files
            with one of the suffixes are taken.
        suffixes: endings of file names, in lower case.

    Returns:
        The files, sorted by path, and the licence that the dataset's card states; empty: it states none.

    Raises:
        InputError: there is no such dataset or file, or it is not in the cache and cannot be downloaded.
        MissingDependency: huggingface_hub is absent.
    """
    written = re.fullmatch(r"hf:(?:/+datasets/)?([^/@]+/[^/@]+)(?:@([^/]+))?(?:/(.+))?", str(place))
    if written is None:
        raise InputError(
            f"{place} is not a dataset on the Hugging Face Hub; give hf:owner/name, hf:owner/name@revision or "
            "hf:owner/name/pattern"
        )
    repository, revision, pattern = written.groups()
    check_repository(repository)
    import httpx
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.repocard import metadata_load

    kinds = [f"*{written}" for suffix in suffixes for written in (suffix, suffix.upper())]
    try:
        wanted = [*([pattern] if pattern else kinds), "README.md", "*LICENCES.csv"]
        folder = Path(snapshot_download(repository, repo_type="dataset", revision=revision, allow_patterns=wanted))
    except (OSError, httpx.HTTPError) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(
            f"{place} is not in the local cache {constants.HF_HUB_CACHE} and cannot be downloaded ({reason}); check "
            "the name, run `hf auth login` if the dataset is not public, or, on a machine with a connection, run: hf "
            f"download {repository} --repo-type dataset"
        ) from error
    files = sorted(
        file
        for file in folder.rglob("*")
        if file.suffix.lower() in suffixes and (not pattern or fnmatch(file.relative_to(folder).as_posix(), pattern))
    )
    if not files:
        raise InputError(f"{place} contains no files that end in {', '.join(suffixes)}; check the files in {folder}")
    card = folder / "README.md"
    licence = (metadata_load(card) or {}).get("license") if card.is_file() else None
    return files, licence if isinstance(licence, str) else ""


def push(folder: Path, repository: str, kind: Kind = "dataset") -> str:
    """Upload a folder; if the repository does not exist, it is created as private.

    It is private because a photograph's licence may not allow more: a person has to decide to make it public.

    Args:
        folder: a dataset, an export or a model, with its card.
        repository: ``owner/name``.
        kind: what the repository holds.

    Returns:
        The address of the repository.

    Raises:
        InputError: the name is not a repository's.
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
    except (OSError, httpx.HTTPError) as error:  # the hub's own errors derive from these
        reason = " ".join(str(error).split()) or type(error).__name__
        raise RedaesError(
            f"{folder} was not uploaded to {repository} ({reason}), but it is complete on this machine; check the "
            f"connection and `hf auth login`, then run: hf upload {repository} {folder} --repo-type {kind}"
        ) from error
    return str(address)
