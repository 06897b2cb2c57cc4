"""The dataset card: what the hub's viewer and a reader need to know."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from redaes.records import write_atomically

_HEADER = """---
configs:
- config_name: default
  data_files:
  - split: train
    path: data/train-*.parquet
  - split: test
    path: data/test-*.parquet
task_categories:
- image-text-to-text
tags:
- image-aesthetics
- preference
---
"""

_BODY = """# RED pairs

Pairs of photographs that differ by an edit, with a signed aesthetic difference and the reasoning for it.
Made by redaes with the editor `{editor}`.

`delta` is the score of `first` minus the score of `second` in points (scores run from 0 to 9): positive means
that `first` is better. It is a perceptual distance between each picture and the group's least edited one. It
orders edits and compares between them; it is **not calibrated to human scores**.

| split | photographs | pairs |
|---|---|---|
{splits}

All pairs of one photograph are in one split. `group` is one view of a photograph with all its edits.
`rationale` has `first` as picture A, `rationale_swapped` has `second` as picture A.

| decided by | pairs |
|---|---|
{kept}

| rejected because | count |
|---|---|
{rejected}

| licence of the photograph | photographs |
|---|---|
{licences}

Settings: {settings}
"""


def _rows(table: dict[str, Any]) -> str:
    return "\n".join(f"| {name} | {value} |" for name, value in table.items()) or "| – | 0 |"


def write_card(folder: Path, report: dict[str, Any], *, settings: dict[str, Any], editor: str) -> None:
    """Write ``README.md`` of a dataset."""
    splits = "\n".join(
        f"| {split} | {report['photographs'][split]} | {report['pairs'][split]} |" for split in report["pairs"]
    )
    body = _BODY.format(
        editor=editor,
        splits=splits,
        kept=_rows(report["kept_by_factor"]),
        rejected=_rows(report["rejected_pairs"]),
        licences=_rows(report["licences"]),
        settings=", ".join(f"{name} = {value}" for name, value in settings.items()),
    )
    write_atomically(folder / "README.md", (_HEADER + body).encode())
