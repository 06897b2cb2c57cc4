"""From rows of a RED dataset to what the trainers take. Nothing but this module makes training text.

Rows stay on disk; prompts, answers and decoded pictures are made when a row is read.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import datasets
from PIL import Image

from redaes import prompts
from redaes.answers import render_verdict, stated
from redaes.errors import RecordError
from redaes.prompts import Mode
from redaes.records import PairRecord, load_pairs, record_of, without_operations
from redaes.types import Order, Split

ORDERS: tuple[Order, ...] = ("forward", "swapped")
MODES: tuple[Mode, ...] = ("reasoned", "fast")


def decode(data: bytes) -> Image.Image:
    """A stored picture as RGB."""
    with Image.open(io.BytesIO(data)) as image:
        return image.convert("RGB")


def ordered_images(record: PairRecord, order: Order) -> list[Image.Image]:
    """The two pictures as shown: A, then B."""
    images = [decode(record.first_bytes), decode(record.second_bytes)]
    return images if order == "forward" else images[::-1]


def ordered_delta(record: PairRecord, order: Order) -> float | None:
    """The signed difference A minus B, in points; None when the pair is not labelled."""
    pair = record.pair if order == "forward" else record.pair.swapped()
    return pair.delta


def target(record: PairRecord, order: Order, mode: Mode) -> str:
    """The answer to learn.

    Raises:
        RecordError: the pair has no label, or no rationale though the mode wants one.
    """
    delta = ordered_delta(record, order)
    if delta is None:
        raise RecordError(f"pair {record.pair.id} has no delta: it cannot be learned from by imitation")
    rationale = record.rationale if order == "forward" else record.rationale_swapped
    if mode == "fast":
        rationale = None
    elif rationale is None:
        raise RecordError(f"pair {record.pair.id} has no rationale for the {order} order")
    return render_verdict(stated(delta, rationale))


def sft_example(record: PairRecord, order: Order, mode: Mode) -> dict[str, Any]:
    """One prompt/completion example; the loss falls on the completion only."""
    return {
        "prompt": prompts.load(prompts.COMPARE[mode]).messages(),
        "completion": [{"role": "assistant", "content": [{"type": "text", "text": target(record, order, mode)}]}],
        "images": ordered_images(record, order),
    }


def expand(
    folder: Path,
    split: Split,
    *,
    orders: Sequence[Order] = ORDERS,
    modes: Sequence[Mode] = MODES,
    leave_out: Sequence[str] = (),
) -> datasets.Dataset:
    """All rows once per order and mode, with the columns ``order`` and ``mode``; pictures undecoded.

    Args:
        folder: of the dataset.
        split: which part of it.
        orders: in which each pair is shown.
        modes: in which each pair is answered.
        leave_out: edits whose pairs are dropped.
    """
    rows = load_pairs(folder, split)
    # Joined copies share their memory; ``select`` before a column is added would write every picture anew.
    joined = datasets.concatenate_datasets(
        [
            rows.add_column("order", [order] * len(rows)).add_column("mode", [mode] * len(rows))
            for order in orders
            for mode in modes
        ]
    )
    return without_operations(joined, leave_out)


def rows_of(batch: dict[str, list[Any]]) -> list[dict[str, Any]]:
    """A columnar batch as rows."""
    return [dict(zip(batch, values, strict=True)) for values in zip(*batch.values(), strict=True)]


def sft_dataset(
    folder: Path,
    split: Split,
    *,
    orders: Sequence[Order] = ORDERS,
    modes: Sequence[Mode] = MODES,
    leave_out: Sequence[str] = (),
) -> tuple[datasets.Dataset, list[int]]:
    """Stage 1's dataset: every pair in every order and mode, positions thereby balanced.

    Returns:
        The examples, made when read, and the length of each one's answer in characters.
    """
    rows = expand(folder, split, orders=orders, modes=modes, leave_out=leave_out)
    # Only reasoned answers differ in length by much; the rationale's stored text is a fair measure of it.
    lengths = [
        0 if mode == "fast" else len(rationale or "")
        for mode, rationale in zip(rows["mode"], rows["rationale"], strict=True)
    ]

    def transform(batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
        examples = [sft_example(record_without_way(row, split), row["order"], row["mode"]) for row in rows_of(batch)]
        return {key: [example[key] for example in examples] for key in ("prompt", "completion", "images")}

    return rows.with_transform(transform), lengths


def record_without_way(row: dict[str, Any], split: Split) -> PairRecord:
    """The row's record, without the columns that say how it is to be shown."""
    return record_of({name: value for name, value in row.items() if name not in ("order", "mode")}, split)
