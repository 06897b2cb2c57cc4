"""How good a model's reasoning is on held-out pairs of a RED dataset, where the edit is known, and whether it is true.

    python eval/rationale_quality.py my_pairs --out runs/rationales
    python eval/rationale_quality.py my_pairs --adapter runs/stage3/final --pairs 500
    python eval/rationale_quality.py my_pairs --url http://127.0.0.1:8000/v1 --model NAME --reader lenient --measured
    python eval/rationale_quality.py my_pairs --judge-url http://127.0.0.1:8000/v1 --judge-model NAME

Every statement of every answer is held against what is measured in the two pictures. Writes heldout.json (every
answer), rationales.json and truth.json (the measures), claims.json (every statement with what was measured) and
report.html (the measures, and the worst reasonings beside their pictures), and prints the measures. With a judge, a
vision-language model behind a server, each explanation is also set against the dataset's own, or against those of
another run (--against its heldout.json), in both orders: judged.json. The keys of servers are in REDAES_API_KEY.
"""

from __future__ import annotations

import argparse
import heapq
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from redaes.cli.running import reporting_errors
from redaes.early_checks import check_adapter, check_dataset, check_exists, check_model, check_writable
from redaes.errors import InputError, importing

with importing("eval"):
    from redaes import prompts
    from redaes.assessor import Assessor, check_samples
    from redaes.backends.endpoint import Endpoint
    from redaes.evaluation.rationale_judge import judge_rationales, make_duels
    from redaes.evaluation.rationale_page import rationale_page
    from redaes.evaluation.rationales import rationale_quality
    from redaes.evaluation.report import cell
    from redaes.evaluation.truth import RationaleTruth, check_results, rationale_truth
    from redaes.heldout import CHUNK_PAIRS, HeldOut, fast_outcomes, place_drawn, put_together, reasoned_of
    from redaes.lenient import known_reader
    from redaes.models import nano
    from redaes.records import PairRecord, picture_of, read_json, read_records, write_atomically, write_json
    from redaes.types import Sampling

if TYPE_CHECKING:
    from redaes.assessor import Result
    from redaes.backends.base import Backend

MEASURES = (
    "claims_true",
    "true_but_for_figures",
    "measurable",
    "symptom",
    "told",
    "false_though_right",
    "false_but_for_figures",
    "confirmed_though_right",
)
"""Of :class:`redaes.evaluation.truth.ReasonTruth`, what is printed."""


def parse_args(argv: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("data", type=Path, help="a RED dataset")
    parser.add_argument(
        "--model", default=nano.NAME, help="folder or name on the hub; with --url its name there; default: %(default)s"
    )
    parser.add_argument("--adapter", type=Path, help="folder of a LoRA adapter")
    parser.add_argument("--device", help="such as cpu or cuda; default: the best there is")
    parser.add_argument("--url", help="of an OpenAI-compatible server that has the model")
    parser.add_argument("--revision", default="", help="with --url: what pins the weights")
    parser.add_argument("--reader", default="strict", help="strict, or lenient: also variants of the form")
    parser.add_argument("--prompt", help="another question of the reasoned mode, such as compare_measured/v1")
    parser.add_argument("--measured", action="store_true", help="tell the model what is measured: compare_measured/v1")
    parser.add_argument(
        "--samples", type=int, default=0, help="further reasonings drawn for a pair, the best supported is shown"
    )
    parser.add_argument("--max-new-tokens", type=int, default=256, help="of an answer; default: %(default)s")
    parser.add_argument("--pairs", type=int, default=200, help="drawn from the test split; default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="of the draw and the intervals; default: %(default)s")
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
    if args.url is None:
        check_model(args.model)
    elif args.model == nano.NAME or args.adapter is not None:
        raise InputError("with --url, give the server's name of the model as --model, and no --adapter")
    check_writable(args.out)
    if args.adapter is not None:
        check_adapter(str(args.adapter))
    if args.against is not None:
        check_exists(args.against)
    if args.measured and args.prompt is not None:
        raise InputError("--measured is --prompt compare_measured/v1; give one of them")
    prompt = prompts.MEASURED["reasoned"] if args.measured else args.prompt
    prompts.chosen("reasoned", prompt)
    reader = known_reader(args.reader)
    check_samples(args.samples, "reasoned")
    labelled = (record for record in read_records(args.data, "test") if record.pair.delta is not None)
    records = heapq.nsmallest(args.pairs, labelled, key=lambda record: place_drawn(args.seed, record.pair.id))
    with asked(args) as backend:
        sampling = Sampling(max_new_tokens=args.max_new_tokens)
        assessor = Assessor(backend, sampling=sampling, prompt=prompt, reader=reader)
        outcomes = fast_outcomes(assessor, records, lambda done: say(done, "pairs asked without reasons"))
        results, seconds = reasoned_results(assessor, records, args.samples)
    reasoned = [reasoned_of(record, result) for record, result in zip(records, results, strict=True)]
    found = put_together(assessor, outcomes, reasoned, args.seed)
    write_json(args.out / "heldout.json", found.model_dump(mode="json"))
    report(args.out, records, results, found, seconds)
    if args.judge_url is not None:
        judge(args, records, found)


@contextmanager
def asked(args: argparse.Namespace) -> Iterator[Backend]:
    """The model: behind a server, whose answers are kept, or on this machine."""
    if args.url is None:
        from redaes.backends.local import LocalBackend

        yield LocalBackend(args.model, adapter=args.adapter, device=args.device)
        return
    from redaes.backends.server import ServerBackend

    endpoint = Endpoint(args.url, args.model, revision=args.revision, cache=args.out / "model_answers")
    with ServerBackend(endpoint) as backend:
        yield backend


def reasoned_results(assessor: Assessor, records: Sequence[PairRecord], samples: int) -> tuple[list[Result], float]:
    """What the assessor answers with reasons, held against the pixels, and the seconds that a pair takes."""
    results: list[Result] = []
    began = time.perf_counter()
    for start in range(0, len(records), CHUNK_PAIRS):
        chunk = records[start : start + CHUNK_PAIRS]
        pairs = [(picture_of(record, "first"), picture_of(record, "second")) for record in chunk]
        results += assessor.compare_many(pairs, "reasoned", check=True, samples=samples)
        say(len(results), "pairs asked for reasons")
    print(file=sys.stderr)
    return results, (time.perf_counter() - began) / max(1, len(records))


def say(done: int, what: str) -> None:
    """Report progress."""
    print(f"\r{done} {what}  ", end="", file=sys.stderr)


def report(out: Path, records: Sequence[PairRecord], results: Sequence[Result], found: HeldOut, seconds: float) -> None:
    """Count what the answers say of the pixels, write all of it, and print the measures."""
    quality = rationale_quality(found)
    checked = check_results(records, results, found)
    truth = rationale_truth(checked, found.seed)
    write_json(out / "rationales.json", quality.model_dump(mode="json"))
    write_json(out / "truth.json", {**truth.model_dump(mode="json"), "seconds_per_pair": round(seconds, 3)})
    write_json(out / "claims.json", [one.model_dump(mode="json") for one in checked])
    write_atomically(out / "report.html", rationale_page(records, found, checked, quality, truth).encode())
    for name in ("factor_precision", "factor_recall", "side", "hallucination", "contradiction"):
        print(f"{name:22} {cell(getattr(quality, name))}")
    show(truth)
    print(f"{quality.n_answers} answers, {quality.n_failed} unusable; {quality.n_distinct} different reasonings")
    print(f"{seconds:.2f} s for a pair with reasons, measuring included; {out / 'report.html'} shows the worst")


def show(truth: RationaleTruth) -> None:
    """Print how true the reasoning is: of every answer, and of the one that is shown for a pair."""
    print(f"\n{'':22} {'every answer':24}the one shown")
    for name in MEASURES:
        print(f"{name:22} {cell(getattr(truth.answers, name)):24}{cell(getattr(truth.shown, name))}")
    for name, share in truth.answers.truths.items():
        print(f"{'reason ' + name:22} {cell(share):24}{cell(truth.shown.truths[name])}")
    for name in ("undecided", "agreement"):
        print(f"{name:22} {'':24}{cell(getattr(truth, name))}")
    print(
        f"{truth.answers.n_claims} statements, {truth.answers.n_symptom} answers to pairs that one known fault "
        f"decides; {truth.version or 'nothing to read'}\n"
    )


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
    with reporting_errors():
        main(parse_args(sys.argv[1:]))
