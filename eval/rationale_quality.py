"""How good a model's reasoning is on held-out pairs of a RED dataset, where the edit is known.

    python eval/rationale_quality.py my_pairs --out runs/rationales
    python eval/rationale_quality.py my_pairs --adapter runs/stage3/final --pairs 500

Writes heldout.json (every answer) and rationales.json (the measures), and prints the measures.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Sequence
from pathlib import Path

from redaes import nano
from redaes.errors import RedaesError
from redaes.evaluation.heldout import evaluate
from redaes.evaluation.rationales import rationale_quality
from redaes.evaluation.report import cell
from redaes.records import read_records, write_json
from redaes.types import Sampling


def parse_args(argv: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("data", type=Path, help="a RED dataset")
    parser.add_argument("--model", default=nano.NAME, help="folder or name on the hub; default: %(default)s")
    parser.add_argument("--adapter", type=Path, help="folder of a LoRA adapter")
    parser.add_argument("--device", help="such as cpu or cuda; default: the best there is")
    parser.add_argument("--pairs", type=int, default=200, help="first pairs of the test split; default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="of the intervals; default: %(default)s")
    parser.add_argument("--out", type=Path, default=Path("runs/rationales"), help="folder; default: %(default)s")
    return parser.parse_args(argv)


def main(args: argparse.Namespace) -> None:
    """Ask, measure, write, print."""
    from redaes.backends.local import LocalBackend

    labelled = (record for record in read_records(args.data, "test") if record.pair.delta is not None)
    records = list(itertools.islice(labelled, args.pairs))
    backend = LocalBackend(args.model, adapter=args.adapter, device=args.device)

    def progress(done: int, total: int) -> None:
        print(f"\r{done}/{total} questions", end="", file=sys.stderr)

    found = evaluate(backend, records, n_reasoned=len(records), sampling=Sampling(), seed=args.seed, progress=progress)
    print(file=sys.stderr)
    quality = rationale_quality(found)
    write_json(args.out / "heldout.json", found.model_dump(mode="json"))
    write_json(args.out / "rationales.json", quality.model_dump(mode="json"))
    for name in ("factor_precision", "factor_recall", "side", "hallucination", "contradiction"):
        print(f"{name:18} {cell(getattr(quality, name))}")
    print(f"{quality.n_answers} answers, {quality.n_failed} unusable; {quality.n_distinct} different reasonings")


if __name__ == "__main__":
    try:
        main(parse_args(sys.argv[1:]))
    except RedaesError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
