"""Whole label files of PhotoTriage, FCDB and GAIC through ``redaes data import``: counts, splits and contradictions as
the files have them, with small pictures of the right names that are made here.

The files are made up in the published layouts; with ``REDAES_LABELS``, a folder with the published labels, they are
those, put back into their layouts. What is expected is counted from the rows, without the code that imports.
"""

from __future__ import annotations

import csv
import gzip
import itertools
import json
import os
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from redaes.cli.app import app
from redaes.records import read_records
from redaes.types import SPLITS, winner_of
from tests.published_layouts import Crop, write_fcdb, write_gaic, write_numbered

pytestmark = pytest.mark.slow

LABELS = os.environ.get("REDAES_LABELS")

Numbered = tuple[int, int, int, float, float, float]
Voted = tuple[list[int], list[int], int, int]


def picture(file: Path, seed: int, size: tuple[int, int]) -> None:
    """Coarse grey noise: quick, small, and like no other."""
    file.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, (12, 16), dtype=np.uint8)
    Image.fromarray(noise).resize(size, Image.Resampling.BILINEAR).convert("RGB").save(file, quality=70)


def imported(source: Path, out: Path, *options: str) -> dict[str, Any]:
    command = ["data", "import", str(source), "--out", str(out), *options]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.stderr
    report: dict[str, Any] = json.loads((out / "report.json").read_text())
    told = {name: report[name] for name in ("pairs", "photographs", "kept_by_factor", "rejected_pairs", "notes")}
    told |= {name: value for part in ("votes", "pictures") for name, value in report[part].items()}
    print(source.name, {name: value for name, value in told.items() if not isinstance(value, list)})
    return report


def circles(decided: Mapping[tuple[Any, str, str], float]) -> int:
    """Triples that go round, by group: A over B, B over C, C over A."""
    over: dict[Any, set[tuple[str, str]]] = defaultdict(set)
    names: dict[Any, set[str]] = defaultdict(set)
    for (group, first, second), ahead in decided.items():
        if ahead:
            over[group].add((first, second) if ahead > 0 else (second, first))
        names[group] |= {first, second}
    found = 0
    for group, its in over.items():
        for a, b, c in itertools.combinations(sorted(names[group]), 3):
            found += {(a, b), (b, c), (c, a)} <= its or {(b, a), (c, b), (a, c)} <= its
    return found


def triage_rows() -> dict[str, list[Numbered]]:
    if LABELS is not None:
        rows: dict[str, list[Numbered]] = {"train": [], "val": []}
        for row in csv.DictReader((Path(LABELS) / "phototriage_pairs.csv").open()):
            numbers = [int(row["series"]), int(row["a"]), int(row["b"]), float(row["pref_a"])]
            rows[row["split"]].append((*numbers, float(row["rank_a"]), float(row["rank_b"])))  # type: ignore[arg-type]
        return rows
    rng = np.random.default_rng(0)
    made: dict[str, list[Numbered]] = {"train": [], "val": []}
    for series in range(150):
        n = int(rng.integers(2, 7))
        strengths = rng.normal(size=n + 1)
        for a, b in itertools.combinations(range(1, n + 1), 2):
            share = round(float(rng.binomial(9, 1 / (1 + np.exp(strengths[b] - strengths[a])))) / 9, 3)
            made["val" if series % 5 == 0 else "train"].append((series, a, b, share, 1, 2))
    return made


def test_phototriage(tmp_path: Path) -> None:
    rows = triage_rows()
    names = sorted({(series, one) for of in rows.values() for series, a, b, *_ in of for one in (a, b)})
    for seed, (series, one) in enumerate(names):
        picture(tmp_path / "imgs" / f"{series:06d}-{one:02d}.JPG", seed, (64, 48))
    for split, of in rows.items():
        write_numbered(tmp_path / f"{split}_pairlist.txt", of)
    report = imported(tmp_path, tmp_path / "out", "--pictures", str(tmp_path / "imgs"))
    series = {split: {row[0] for row in of} for split, of in rows.items()}
    assert not series["train"] & series["val"]
    assert report["pairs"] == {"train": len(rows["train"]), "test": len(rows["val"])}
    assert report["photographs"] == {"train": len(series["train"]), "test": len(series["val"])}
    assert report["pictures"]["used"] == len(names)
    assert report["rejected_pairs"] == {}
    every = [row for of in rows.values() for row in of]
    assert report["votes"]["circular_triples"] == circles({(s, str(a), str(b)): p - 0.5 for s, a, b, p, *_ in every})
    assert report["votes"]["disputed_pairs"] == 0  # shares of an unknown number of people say nothing of it


def crop_pairs() -> dict[str, list[Voted]]:
    if LABELS is not None:
        entries = json.loads(gzip.decompress((Path(LABELS) / "fcdb_crop_pairs.json.gz").read_bytes()))
        return {
            entry["url"].rsplit("/", 1)[-1]: [
                (pair["crop_0"], pair["crop_1"], pair["vote_for_0"], pair["vote_for_1"]) for pair in entry["crops"]
            ]
            for entry in entries
        }
    rng = np.random.default_rng(1)
    made: dict[str, list[Voted]] = {}
    for number in range(60):
        boxes = [[int(x), int(y), 300, 400] for x, y in rng.integers(0, 100, (5, 2))]
        pairs = [(boxes[a], boxes[b]) for a, b in itertools.combinations(range(5), 2)]
        votes = rng.integers(0, 6, len(pairs))
        made[f"{number}_c.jpg"] = [(*both, int(n), 5 - int(n)) for both, n in zip(pairs, votes, strict=True)]
    made["0_c.jpg"].append((*made["0_c.jpg"][0][1::-1], 5, 0))  # type: ignore[arg-type]
    return made


def test_fcdb(tmp_path: Path) -> None:
    photographs = crop_pairs()
    for seed, (name, pairs) in enumerate(photographs.items()):
        boxes = [box for pair in pairs for box in pair[:2]]
        size = max(x + width for x, _, width, _ in boxes), max(y + height for _, y, _, height in boxes)
        picture(tmp_path / "data" / name, seed, size)
    report = imported(write_fcdb(tmp_path, photographs), tmp_path / "out", "--pictures", str(tmp_path / "data"))
    votes: Counter[tuple[str, str, str]] = Counter()
    against: Counter[tuple[str, str, str]] = Counter()
    for name, pairs in photographs.items():
        for zero, one, for_0, for_1 in pairs:
            first, second = sorted((zero, one))
            key = (name, str(first), str(second))
            votes[key] += for_0 if first == zero else for_1
            against[key] += for_1 if first == zero else for_0
    assert sum(report["pairs"].values()) == len(votes)
    assert report["pairs"]["test"] == pytest.approx(0.2 * len(votes), abs=20)
    assert sum(report["photographs"].values()) == len(photographs)
    assert report["votes"]["counted"] == sum(votes.values()) + sum(against.values())
    disputed = {key for key, n in votes.items() if min(n, against[key]) and len({n, against[key]}) == 2} | _opposed(
        photographs
    )
    assert report["votes"]["disputed_pairs"] == len(disputed)
    assert report["kept_by_factor"].get("tie", 0) == sum(n == against[key] for key, n in votes.items())
    assert report["votes"]["circular_triples"] == circles({key: n - against[key] for key, n in votes.items()})
    assert report["rejected_pairs"] == {}


def _opposed(photographs: Mapping[str, Sequence[Voted]]) -> set[tuple[str, str, str]]:
    """Pairs that are listed more than once, with different crops ahead."""
    ahead: dict[tuple[str, str, str], set[str]] = defaultdict(set)
    for name, pairs in photographs.items():
        for zero, one, for_0, for_1 in pairs:
            first, second = sorted((zero, one))
            if for_0 != for_1:
                ahead[name, str(first), str(second)].add(str(zero if for_0 > for_1 else one))
    return {key for key, of in ahead.items() if len(of) == 2}


def crop_values() -> dict[str, list[Crop]]:
    if LABELS is not None:
        entries = json.loads(gzip.decompress((Path(LABELS) / "gaic_crops.json.gz").read_bytes()))
        return {entry["image"].removesuffix(".jpg"): [tuple(crop) for crop in entry["crops"]] for entry in entries}
    rng = np.random.default_rng(2)
    made: dict[str, list[Crop]] = {}
    for number in range(25):
        corners = itertools.product(range(10, 90, 20), range(10, 110, 25), (200, 220), (300, 330))
        made[f"{'test' if number % 5 == 0 else 'train'}/{number}"] = [
            (*box, round(int(rng.integers(7, 36)) / 7, 2)) for box in corners
        ]
    return made


PART = 2 if LABELS else 3
"""Crops of which all pairs are made; of the published ones few, for they are 106,853."""


def test_gaic(tmp_path: Path) -> None:
    photographs = crop_values()
    for seed, (name, crops) in enumerate(photographs.items()):
        size = max(crop[3] for crop in crops), max(crop[2] for crop in crops)
        picture(tmp_path / "images" / f"{name}.jpg", seed, size)
    options = ("--pictures", str(tmp_path / "images"), "--series-pictures", str(PART))
    report = imported(write_gaic(tmp_path, photographs), tmp_path / "out", *options)
    wanted = {"train": 0, "test": 0}
    for name, crops in photographs.items():
        n_parts = -(-len(crops) // PART)
        sizes = [len(crops) * (n + 1) // n_parts - len(crops) * n // n_parts for n in range(n_parts)]
        wanted[name.partition("/")[0]] += sum(size * (size - 1) // 2 for size in sizes)
    assert report["pairs"] == wanted
    assert report["photographs"] == dict(Counter(name.partition("/")[0] for name in sorted(photographs, reverse=True)))
    assert report["votes"]["circular_triples"] == 0  # scores are an order
    assert report["rejected_pairs"] == {}
    score = {
        f"{name}.jpg#{left},{top},{right},{bottom}": value
        for name, crops in photographs.items()
        for top, left, bottom, right, value in crops
    }
    agreeing = ties = 0
    for split in SPLITS:
        for record in read_records(tmp_path / "out", split):
            pair = record.pair
            assert pair.source.startswith(f"{split}/")
            ahead = [score[f"{split}/{one.path.name}"] for one in (pair.first, pair.second)]
            ties += ahead[0] == ahead[1]
            agreeing += winner_of(pair.delta or 0.0) == ("tie" if ahead[0] == ahead[1] else "AB"[ahead[0] < ahead[1]])
    assert agreeing == sum(wanted.values())
    assert report["kept_by_factor"].get("tie", 0) == ties
