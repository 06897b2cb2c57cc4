"""How good a model's reasoning is on held-out pairs of a RED dataset, where the edit is known.

    python eval/rationale_quality.py my_pairs --out runs/rationales
    python eval/rationale_quality.py my_pairs --adapter runs/stage3/final --pairs 500
    python eval/rationale_quality.py my_pairs --judge-url http://127.0.0.1:8000/v1 --judge-model NAME

Writes heldout.json (every answer) and rationales.json (the measures), and prints the measures. With a judge, a
vision-language model behind a server, each explanation is also set against the dataset's own, or against those of
another run (--against its heldout.json), in both orders: judged.json. The judge's key is in REDAES_API_KEY.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Sequence
from pathlib import Path

from redaes.early_checks import check_adapter, check_dataset, check_exists, check_model, check_writable
from redaes.errors import InputError, importing, run_door

with importing("eval"):
    from redaes import nano
    from redaes.backends.endpoint import Endpoint
    from redaes.evaluation.rationale_judge import judge_rationales, make_duels
    from redaes.evaluation.rationales import rationale_quality
    from redaes.evaluation.report import cell
    from redaes.heldout import HeldOut, evaluate
    from redaes.records import PairRecord, read_json, read_records, write_json
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
    parser.add_argument("--judge-url", help="of an OpenAI-compatible server, such as http://127.0.0.1:8000/v1")
    parser.add_argument("--judge-model", help="its name of the judge")
    parser.add_argument("--judge-revision", default="", help="what pins the judge's weights")
    parser.add_argument("--against", type=Path, help="heldout.json of another run; default: the dataset's reasoning")
    parser.add_argument("--out", type=Path, default=Path("runs/rationales"), help="folder; default: %(default)s")
    return parser.parse_args(argv)


def main(args: argparse.Namespace) -> None:
    """Ask, measure, write, print."""
    if (args.judge_url is None) != (args.judge_model is None):
        raise InputError("a judge needs both --judge-url and --judge-model")
    check_dataset(args.data)
    check_model(args.model)
    check_writable(args.out)
    if args.adapter is not None:
        check_adapter(str(args.adapter))
    if args.against is not None:
        check_exists(args.against)
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
    if args.judge_url is not None:
        judge(args, records, found)


def judge(args: argparse.Namespace, records: Sequence[PairRecord], found: HeldOut) -> None:
    """Set the explanations against others before the judge."""
    other = None if args.against is None else HeldOut.model_validate(read_json(args.against))
    endpoint = Endpoint(
        args.judge_url, args.judge_model, revision=args.judge_revision, cache=args.out / "judge_answers"
    )
    judged = judge_rationales(endpoint, make_duels(records, found, other), seed=args.seed)
    write_json(args.out / "judged.json", judged.model_dump(mode="json"))
    print(f"{'wins before judge':18} {cell(judged.share_one)}, draws counted half")
    print(f"{'both orders agree':18} {cell(judged.order_consistency)}")
    print(f"{judged.n} duels, {judged.n_failed} without a usable answer, {judged.n_unasked} lost for want of reasoning")


if __name__ == "__main__":
    run_door(lambda: main(parse_args(sys.argv[1:])))
