"""A small imported dataset: votes about photographs and their dark copies, as a CSV that is imported."""

from __future__ import annotations

import csv
from pathlib import Path

from PIL import ImageEnhance

from redaes.datagen.imported.importing import ImportSettings, import_pairs
from redaes.datagen.imported.rows import read_pair_list
from tests.conftest import synthetic_photograph

TEXTS = {
    "rationale": "B is much darker than A. Its shadows hold nothing.",
    "rationale_swapped": "A is much darker than B. Its shadows hold nothing.",
}
KINDS: tuple[tuple[str, ...], ...] = ((), tuple(TEXTS), ("rationale",))
"""Columns with reasoning that pairs have, in turn."""


def import_votes(place: Path, n: int) -> Path:
    """Write the pictures and ``votes.csv``, and import them.

    Args:
        place: a folder for them, and for the dataset in it.
        n: photographs, a pair of each; a third of the pairs gets reasoning in both orders, a third in one.
    """
    rows = []
    for number in range(n):
        photograph = synthetic_photograph(60 + number, 96, 72)
        photograph.save(place / f"{number}.png")
        ImageEnhance.Brightness(photograph).enhance(0.4).save(place / f"{number}-dark.png")
        texts = {name: TEXTS[name] for name in KINDS[number % len(KINDS)]}
        rows.append(
            {
                "first": f"{number}.png", "second": f"{number}-dark.png", "votes_first": 4, "votes_second": 1,
                "source": f"p{number}", "factors": "light" if texts else "", **dict.fromkeys(TEXTS, ""), **texts,
            }
        )  # fmt: skip
    with (place / "votes.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    settings = ImportSettings(test_fraction=0.3)
    import_pairs(read_pair_list(place / "votes.csv"), place / "set", settings=settings, origin="votes.csv")
    return place / "set"
