"""How good the embedded model is: held-out photographs, per factor and per stage, with intervals.

    python benchmarks/nano_quality.py --data red --model runs/nano_read/final --adapter none \\
        --adapter runs/stage1/final --adapter runs/stage2/final --adapter runs/stage3/final

The dataset's test split has photographs that were never trained on. Pairs are drawn by their ids, so every row of the
table is about the same ones; both orders are asked. "Unseen kinds" are edits that training left out.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from redaes.backends.local import LocalBackend
from redaes.estimates import Estimate, bootstrap, mean
from redaes.file_writing import write_json
from redaes.heldout import HeldOut, PairOutcome, evaluate, paired_change
from redaes.records import PairRecord, data_hash, read_records
from redaes.types import Sampling

UNSEEN = ("uneven_light", "hue_shift", "zoom_blur", "pixelation", "keystone", "lens_flare")
"""What the recipes of the warm-ups and stages leave out."""


def parse_args() -> argparse.Namespace:
    """What to evaluate and on how many pairs."""
    parser = argparse.ArgumentParser(description="the embedded model on held-out photographs")
    parser.add_argument("--data", type=Path, required=True, help="RED dataset folder")
    parser.add_argument("--model", required=True, help="base model: folder or name")
    parser.add_argument("--adapter", action="append", required=True, help="adapter folder, or none; once for each row")
    parser.add_argument("--pairs", type=int, default=1000, help="pairs asked in the fast mode")
    parser.add_argument("--reasoned", type=int, default=200, help="of these, pairs asked in the reasoned mode")
    parser.add_argument("--out", type=Path, help="JSON file for all outcomes")
    return parser.parse_args()


def drawn(data: Path, n: int) -> list[PairRecord]:
    """``n`` held-out pairs, by their ids."""
    records = list(read_records(data, "test"))
    return sorted(records, key=lambda record: hashlib.sha256(record.pair.id.encode()).digest())[:n]


def shown(value: Estimate) -> str:
    """Value and interval."""
    if value.value is None or value.low is None or value.high is None:
        return "-" if value.value is None else f"{value.value:.3f}"
    return f"{value.value:.3f} [{value.low:.2f}, {value.high:.2f}]"


def unseen_accuracy(found: HeldOut, records: Sequence[PairRecord]) -> str:
    """Accuracy on decided pairs with an edit of a kind left out of training, resampled by photograph."""
    unseen = {
        record.pair.id
        for record in records
        if any(edit and edit.operation in UNSEEN for edit in (record.pair.edit_first, record.pair.edit_second))
    }
    return resampled([item for item in found.outcomes if item.pair in unseen and item.decided], lambda item: item.right)


def resampled(rows: Sequence[PairOutcome], holds: Callable[[PairOutcome], bool | None]) -> str:
    """In how many of the rows something holds, resampled by photograph."""
    values = [float(holds(item) is True) for item in rows]
    return shown(bootstrap(values, [item.source for item in rows], mean)) + f" of {len(rows)}"


def table(evaluations: dict[str, HeldOut], records: Sequence[PairRecord]) -> str:
    """One column for each model, in Markdown."""
    rows: dict[str, list[str]] = {}
    for found in evaluations.values():
        fast, reasoned = found.fast, found.reasoned
        rows.setdefault("pair accuracy", []).append(shown(fast.accuracy))
        for factor, share in fast.by_factor.items():
            rows.setdefault(f"- {factor}", []).append(f"{shown(share)} of {share.n}")
        rows.setdefault("- unseen kinds", []).append(unseen_accuracy(found, records))
        rows.setdefault("rank correlation", []).append(shown(fast.srcc))
        rows.setdefault("same answer in both orders", []).append(shown(fast.order_consistency))
        decided = [item for item in found.outcomes if item.decided]
        rows.setdefault("- where there is a better one", []).append(
            resampled(decided, lambda item: item.order_consistent)
        )
        if reasoned is not None:
            rows.setdefault("reasoned: pair accuracy", []).append(shown(reasoned.accuracy))
            rows.setdefault("reasoned: answers that parse", []).append(shown(reasoned.parse_rate))
            rows.setdefault("reasoned: factor and side named", []).append(shown(reasoned.factor_accuracy))
            rows.setdefault("reasoned: same answer in both orders", []).append(shown(reasoned.order_consistency))
            rows.setdefault("reasoned: different texts", []).append(f"{reasoned.n_distinct} of {reasoned.parse_rate.n}")
    lines = ["| | " + " | ".join(evaluations) + " |", "|---" * (len(evaluations) + 1) + "|"]
    return "\n".join([*lines, *(f"| {name} | " + " | ".join(cells) + " |" for name, cells in rows.items())])


def main(args: argparse.Namespace) -> None:
    """Evaluate each row, print the table and the changes from row to row."""
    records = drawn(args.data, args.pairs)
    sampling = Sampling(temperature=0.0, max_new_tokens=160, seed=0)
    evaluations: dict[str, HeldOut] = {}
    for adapter in args.adapter:
        folder = None if adapter == "none" else Path(adapter)
        started = time.monotonic()
        backend = LocalBackend(args.model, adapter=folder)
        name = "base" if folder is None else (folder.parent.name if folder.name == "final" else folder.name)
        evaluations[name] = evaluate(backend, records, n_reasoned=args.reasoned, sampling=sampling, seed=0)
        print(f"{name}: {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    one = next(iter(evaluations.values()))
    print(f"{one.n_pairs} pairs of {one.n_photographs} held-out photographs; intervals resample the {one.cluster}s\n")
    print(table(evaluations, records) + "\n")
    names = list(evaluations)
    for before, after in itertools.pairwise(names):
        change = paired_change(evaluations[before], evaluations[after])
        print(f"{before} -> {after}: accuracy {shown(change)}, {change.n_gained} gained, {change.n_lost} lost")
    if args.out is not None:
        found = {name: json.loads(item.model_dump_json()) for name, item in evaluations.items()}
        write_json(args.out, {"data_hash": data_hash(args.data), "evaluations": found})


if __name__ == "__main__":
    main(parse_args())
