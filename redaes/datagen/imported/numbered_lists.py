"""Read lists with six numbers in each line, as PhotoTriage and FGAesthetics publish them, as pairs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from redaes.datagen.imported.crop_lists import unusable
from redaes.datagen.imported.labels import label_of_probability
from redaes.datagen.imported.rows import StatedPair, StatedPicture, UnusableRow
from redaes.label_files.contents import LabelFault
from redaes.label_files.numbered_pairs import numbered_file, numbered_pairs

ENDING = ".txt"


def read_numbered_list(file: Path, *, pictures: Path | None = None) -> Iterator[StatedPair | UnusableRow]:
    """Yield the pairs of a list. Each of its series is a group, whose pictures have the same source.

    Args:
        file: the list.
        pictures: folder of the pictures; None means that of the list.

    Raises:
        RecordError: the list cannot be read, or is empty.
    """
    folder = file.parent if pictures is None else pictures
    for row in numbered_pairs(file):
        if isinstance(row, LabelFault):
            yield unusable(file, row)
            continue
        files = [numbered_file(folder, row.series, index) for index in (row.first, row.second)]
        names = [found.relative_to(folder).as_posix() for found in files]
        yield StatedPair(
            where=f"{file.name} {row.where}",
            first=StatedPicture(names[0], path=files[0]),
            second=StatedPicture(names[1], path=files[1]),
            label=label_of_probability(row.probability),
            group=row.series_name,
            source=f"{file.stem} {row.series_name}",
        )
