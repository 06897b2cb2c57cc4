"""The plan of a dataset: one row for each edit of each view of each photograph, before a pixel is read.

A row states everything from which its edit is made, so any worker on any machine makes the same picture from it, and a
run that was interrupted knows what is missing. The rows of one shard form one row group of ``plan.parquet``, so that a
worker reads only its own, however long the plan is.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from redaes.datagen.editors.parametric import EDITOR, OPERATIONS, make_edit
from redaes.errors import MissingDependency, RecordError
from redaes.file_writing import writing
from redaes.types import Edit, Split

if TYPE_CHECKING:
    import pyarrow as pa

PLAN = "plan.parquet"
"""Name of the plan's file in a dataset's folder."""

Role = Literal["shared", "twin", "member"]
"""``shared``: an edit of all pictures of the view, including the best one. ``twin``: a copy of the best picture with an
edit that does not matter. ``member``: an edit whose effect is judged."""

SHARED_SHARE = 0.4
"""Share of the views whose pictures share an edit, so that signs of editing do not give the answer away."""
SHARED_STRENGTH = (0.2, 0.6)
COVERED_SHARE = 0.3
"""Share of the members that carry an additional edit that does not matter."""
CROP_SCALE = (0.6, 0.95)
"""Smallest and largest side of a view that is not the whole frame, as a share of the photograph's side."""

DEGRADE = tuple(sorted(name for name, operation in OPERATIONS.items() if operation.direction == "degrade"))
NEUTRAL = tuple(sorted(name for name, operation in OPERATIONS.items() if operation.direction == "neutral"))
SHARED = tuple(name for name in DEGRADE if OPERATIONS[name].factor == "content")
"""Edits that a whole group may share. No later edit undoes them, except that a crop can cut them off."""


@dataclass(frozen=True)
class Frame:
    """The part of a photograph that a view shows, in shares of its width and height."""

    left: float
    top: float
    scale: float

    def box(self, width: int, height: int) -> tuple[int, int, int, int]:
        """Return the left, top, right and bottom in pixels of a photograph of that size."""
        w, h = max(1, round(width * self.scale)), max(1, round(height * self.scale))
        left, top = round(self.left * (width - w)), round(self.top * (height - h))
        return left, top, left + w, top + h


@dataclass(frozen=True)
class PlannedEdit:
    """One row of the plan."""

    id: str
    """Id of the row; it follows from seed, photograph, view and place only."""
    split: Split
    source: str
    """Id of the photograph."""
    view: int
    role: Role
    edit: Edit
    cover: Edit | None
    """An additional edit of a member that does not matter; None if there is none."""
    frame: Frame

    @property
    def group(self) -> str:
        """Id of the view with all its edits."""
        return f"{self.source[:12]}-{self.view}"


def whole_or_crop(view: int, rng: random.Random) -> Frame:
    """Draw the box of a view: view 0 is the whole photograph, the others are crops drawn at random."""
    if view == 0:
        return Frame(0.0, 0.0, 1.0)
    scale = rng.uniform(*CROP_SCALE)
    return Frame(round(rng.random(), 6), round(rng.random(), 6), round(scale, 6))


def draw_frame(source: str, view: int, seed: int) -> tuple[Frame, int]:
    """Return the frame of a view, and a seed for its edits."""
    rng = random.Random(f"{seed}:{source}:{view}:judged")
    return whole_or_crop(view, rng), rng.getrandbits(31)


def plan_view(source: str, split: Split, view: int, variants: int, seed: int) -> list[PlannedEdit]:
    """Return the embedded editor's edits of one view.

    Args:
        source: id of the photograph.
        split: the split of the photograph.
        view: number of the view.
        variants: number of members wanted.
        seed: seed of the dataset.
    """
    rng = random.Random(f"{seed}:{source}:{view}")
    frame = whole_or_crop(view, rng)

    def neutral() -> Edit:
        return make_edit(rng.choice(NEUTRAL), round(rng.random(), 3), rng.getrandbits(31))

    def row(role: Role, edit: Edit, cover: Edit | None = None) -> PlannedEdit:
        identity = hashlib.sha256(f"{EDITOR}|{seed}|{source}|{view}|{len(rows)}".encode()).hexdigest()[:16]
        return PlannedEdit(identity, split, source, view, role, edit, cover, frame)

    rows: list[PlannedEdit] = []
    operations = DEGRADE
    if rng.random() < SHARED_SHARE:
        strength = round(rng.uniform(*SHARED_STRENGTH), 3)
        rows.append(row("shared", make_edit(rng.choice(SHARED), strength, rng.getrandbits(31))))
        # A shared edit must stay visible in all pictures, and a crop could cut it off.
        operations = tuple(name for name in DEGRADE if OPERATIONS[name].factor != "composition")
    rows.append(row("twin", neutral()))
    again = rng.random() < 0.5
    last: Edit | None = None
    for _ in range(variants):
        if again and last is not None:
            # The same edit, weaker or stronger, which makes a pair whose direction is most certain.
            strength = round((last.strength + rng.uniform(0.3, 0.7)) % 1.0, 3)
            last, again = make_edit(last.operation, strength, last.seed), False
        else:
            # The factor is drawn first, so that factors with many operations do not crowd out the others.
            factor = rng.choice(sorted({OPERATIONS[name].factor for name in operations}))
            operation = rng.choice([name for name in operations if OPERATIONS[name].factor == factor])
            last = make_edit(operation, round(rng.uniform(0.15, 1.0), 3), rng.getrandbits(31))
        rows.append(row("member", last, neutral() if rng.random() < COVERED_SHARE else None))
    return rows


def _schema() -> pa.Schema:
    try:
        import pyarrow as pa
    except ImportError as error:
        raise MissingDependency("pyarrow", "edit") from error

    text = pa.string()
    frame = pa.struct([(item.name, pa.float64()) for item in fields(Frame)])
    return pa.schema(
        [
            ("id", text), ("split", text), ("source", text), ("view", pa.int32()), ("role", text),
            ("edit", text), ("cover", text), ("frame", frame),
        ]
    )  # fmt: skip


def write_plan(path: Path, chunks: Iterable[Sequence[PlannedEdit]]) -> int:
    """Write the rows, one row group for each chunk; the file is whole or absent.

    Returns:
        The number of rows.

    Raises:
        RecordError: the folder cannot be written to.
    """
    schema = _schema()  # first, because it raises the error that says what to install if Arrow is absent
    import pyarrow as pa
    import pyarrow.parquet as pq

    total = 0
    with writing(path) as temporary, pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
        for chunk in chunks:
            writer.write_table(pa.Table.from_pylist([_as_row(planned) for planned in chunk], schema=schema))
            total += len(chunk)
    return total


def read_plan(path: Path, chunk: int) -> list[PlannedEdit]:
    """Return the rows of one chunk.

    Raises:
        RecordError: there is no plan, or it is damaged.
    """
    schema = _schema()
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            if not file.schema_arrow.equals(schema):
                raise RecordError(f"{path} has other columns than this redaes writes; build in another folder")
            return [_as_planned(row) for row in file.read_row_group(chunk).to_pylist()]
    except (pa.ArrowException, OSError, IndexError) as error:
        raise RecordError(f"{path} is not a readable plan: {error}; build in another folder") from error


def _as_row(planned: PlannedEdit) -> dict[str, object]:
    row = {item.name: getattr(planned, item.name) for item in fields(planned)}
    row["edit"] = planned.edit.model_dump_json()
    row["cover"] = None if planned.cover is None else planned.cover.model_dump_json()
    row["frame"] = asdict(planned.frame)
    return row


def _as_planned(row: dict[str, object]) -> PlannedEdit:
    values = dict(row)
    values["edit"] = Edit.model_validate_json(str(row["edit"]))
    values["cover"] = None if row["cover"] is None else Edit.model_validate_json(str(row["cover"]))
    values["frame"] = Frame(**row["frame"])  # type: ignore[arg-type]  # the schema holds it
    return PlannedEdit(**values)  # type: ignore[arg-type]  # the schema holds them
