"""The card of a dataset to which reasoning was added: its old content, and how much each writer wrote."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from redaes.datagen.card import table_rows
from redaes.datagen.imported.card import write_import_card
from redaes.file_writing import write_atomically

_BODY = """
## Reasoning that was written afterwards

People's judgements say which picture is better, and not why. The writer was told which picture won and what was
measured of both pictures. The writer `embedded` wrote from measurements alone, and only where they speak for the
preferred picture. Its texts are true of the pictures, but need not be what people looked at. Texts of a model were
refused where measurements contradict them. The column `writer` says who wrote the reasoning of each pair. Where nobody
had said what decides, the column `factors` has the factors that the reasoning names.

| result | pairs |
|---|---|
{counts}
"""


def write_explained_card(folder: Path, out: Path, report: Mapping[str, Any]) -> None:
    """Write the ``README.md`` of the new dataset.

    Args:
        folder: the dataset before.
        out: the new dataset.
        report: report of the new dataset.

    Raises:
        RecordError: the file cannot be written.
    """
    if {"origin", "votes", "rationales"} <= report.keys():  # an imported dataset, whose card has tables of reasoning
        write_import_card(out, report)
        before = (out / "README.md").read_text(encoding="utf-8")
    else:
        card = folder / "README.md"
        before = card.read_text(encoding="utf-8") if card.is_file() else ""
    counts = {name: n for name, n in report["explained"].items() if isinstance(n, int)}
    write_atomically(out / "README.md", (before.rstrip() + "\n" + _BODY.format(counts=table_rows(counts))).encode())
