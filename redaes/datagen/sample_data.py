"""Sample data for the stages if no data are named: a dataset and series from the sample photographs."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from redaes.errors import MissingDependency, RecordError
from redaes.samples import sample_photographs


def ensure_sample_dataset(folder: Path) -> Path:
    """Return a small RED dataset of the sample photographs; it is built if it does not exist.

    Several processes may call this at once: one builds, and the others wait.

    Returns:
        ``folder``.

    Raises:
        MissingDependency: a needed package is absent.
        RecordError: the folder holds another dataset, or cannot be written to.
    """
    if find_spec("datasets") is None:
        raise MissingDependency("datasets", "demo")
    from redaes.datagen.dataset_settings import DatasetSettings
    from redaes.datagen.pipeline import build

    samples = sample_photographs()
    try:
        build(
            [sample.path for sample in samples],
            folder,
            DatasetSettings(),
            licences={sample.path: sample.credit for sample in samples},
        )
    except RecordError as error:
        if not (folder / "data").is_dir():
            raise
        # Users cannot choose the samples' folder, so the message names it: data of an earlier version must be deleted.
        raise RecordError(
            f"{error} (the samples' is always {folder}: move it away, or train on what it holds: --data {folder})"
        ) from error
    return folder


def ensure_sample_series(folder: Path) -> tuple[Path, Path]:
    """Return small lists of series and coarse pictures of the sample photographs; they are made if they do not exist.

    The last photograph is held out. Only one process at a time may call this.

    Raises:
        MissingDependency: a package that ships photographs is absent.
        RecordError: the folder cannot be written to.
    """
    lists = folder / "series.jsonl", folder / "coarse.jsonl"
    if all(path.is_file() for path in lists):
        return lists
    from redaes.datagen.series.synthetic import write_series

    samples = sample_photographs()
    return write_series(
        {sample.name: sample.path for sample in samples},
        folder,
        per_category=2,
        lengths=(3, 4),
        n_coarse=8,
        side=128,
        split_of={sample.name: "test" if sample is samples[-1] else "train" for sample in samples},
        seed=0,
    )
