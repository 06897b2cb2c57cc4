"""``redaes eval rationales``: how good a model's reasoning is where the edit is known, and whether it is true."""

from __future__ import annotations

import heapq
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from redaes.cli import loading
from redaes.cli.options import Adapter, ApiKeyEnv, Device, Endpoint, ModelOrServed
from redaes.cli.progress import UpdateBar, progress_bars
from redaes.cli.running import reporting_errors
from redaes.early_checks import check_dataset, check_exists, check_writable
from redaes.errors import InputError, importing

if TYPE_CHECKING:
    from redaes.assessor import Assessor, Result
    from redaes.backends.base import Backend
    from redaes.backends.endpoint import Endpoint as JudgeEndpoint
    from redaes.evaluation.truth import RationaleTruth
    from redaes.heldout import HeldOut
    from redaes.lenient import Reader
    from redaes.records import PairRecord

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


def rationales(
    data: Annotated[Path, typer.Argument(help="Folder of a RED dataset, whose test split is used.")],
    model: ModelOrServed = None,
    endpoint: Endpoint = None,
    api_key_env: ApiKeyEnv = None,
    adapter: Adapter = None,
    device: Device = None,
    revision: Annotated[
        str | None,
        typer.Option(
            help="With --endpoint: the version of the weights on that server, which is recorded in the results.",
            show_default="what the server reports, or its address",
        ),
    ] = None,
    reader: Annotated[
        str | None,
        typer.Option(
            help="How strictly answers are read: strict accepts only the answer form; lenient also accepts "
            "unambiguous variants of it.",
            show_default="strict; with --endpoint, lenient",
        ),
    ] = None,
    form: Annotated[
        str | None,
        typer.Option(
            help="The form in which the model is asked to answer: text, json, or auto, which chooses what suits the "
            "model. The default is the form of the prompt."
        ),
    ] = None,
    prompt: Annotated[
        str | None, typer.Option(help="Ask with another prompt of the reasoned mode, for example compare_measured/v1.")
    ] = None,
    measured: Annotated[
        bool,
        typer.Option(
            "--measured",
            help="Include the measurements of both pictures in the question; the same as --prompt compare_measured/v1.",
        ),
    ] = False,
    samples: Annotated[
        int,
        typer.Option(
            metavar="N",
            help="Sample N more rationales for each pair and show the one that the measurements support best.",
        ),
    ] = 0,
    max_new_tokens: Annotated[int, typer.Option(help="Longest answer in tokens.")] = 256,
    pairs: Annotated[int, typer.Option(help="Number of pairs, drawn from the test split.")] = 200,
    seed: Annotated[int, typer.Option(help="Seed of the random choice of pairs and of the confidence intervals.")] = 0,
    judge_url: Annotated[
        str | None,
        typer.Option(
            help="An OpenAI-compatible server whose model judges the rationales, for example http://127.0.0.1:8000/v1."
        ),
    ] = None,
    judge_model: Annotated[str | None, typer.Option(help="With --judge-url: the judge's name on that server.")] = None,
    judge_revision: Annotated[
        str,
        typer.Option(help="With --judge-url: the version of the judge's weights, which is recorded in the results."),
    ] = "",
    against: Annotated[
        Path | None,
        typer.Option(
            help="Compare the rationales with those in this heldout.json of another run. The default is to compare "
            "them with those of the dataset."
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("runs/rationales"),
) -> None:
    """Evaluate a model's rationales on held-out pairs of a RED dataset: how good they are, and whether they are true.

    Every statement of every answer is checked against measurements of the two pictures. The command prints the
    measures, and writes heldout.json (all answers), rationales.json and truth.json (the measures), claims.json (every
    statement with its measurement) and report.html (the measures, and each rationale beside its pictures). With
    a judge, which is a vision-language model on a server, each rationale is also compared with that of the dataset or
    of another run, in both orders, and judged.json is written. The servers' key is read from REDAES_API_KEY.
    """
    with reporting_errors():
        if (judge_url is None) != (judge_model is None):
            raise InputError("a judge needs both --judge-url and --judge-model; give both")
        check_dataset(data)
        chosen = loading.ModelChoice(model, adapter, device, endpoint, api_key_env)
        chosen.check()
        if revision is not None and not endpoint:
            raise InputError("--revision works only together with --endpoint")
        check_writable(out)
        if against is not None:
            check_exists(against)
        if measured and prompt is not None:
            raise InputError("--measured means the same as --prompt compare_measured/v1; give only one of them")
        with importing("eval"):
            from redaes import prompts
            from redaes.assessor import Assessor, check_samples
            from redaes.backends.endpoint import Endpoint as JudgeEndpoint
            from redaes.backends.forms import known_form
            from redaes.file_writing import write_json
            from redaes.heldout import fast_outcomes, place_drawn, put_together, reasoned_of
            from redaes.lenient import known_reader
            from redaes.records import read_records
            from redaes.types import Sampling

        prompt = prompts.MEASURED["reasoned"] if measured else prompt
        prompts.chosen("reasoned", prompt)
        read_by = known_reader(reader or chosen.reader)
        asked_as = prompts.form_of(prompt or prompts.COMPARE["reasoned"]) if form is None else known_form(form)
        check_samples(samples, "reasoned")
        labelled = (record for record in read_records(data, "test") if record.pair.delta is not None)
        records = heapq.nsmallest(pairs, labelled, key=lambda record: place_drawn(seed, record.pair.id))
        with _asked(chosen, read_by, revision, out / "model_answers") as backend, progress_bars() as update:
            assessor = Assessor(
                backend, sampling=Sampling(max_new_tokens=max_new_tokens), prompt=prompt, reader=read_by, form=asked_as
            )
            outcomes = fast_outcomes(
                assessor, records, lambda done: update("pairs asked without reasons", done, len(records))
            )
            results, seconds = _reasoned_results(assessor, records, samples, update)
        reasoned = [reasoned_of(record, result) for record, result in zip(records, results, strict=True)]
        found = put_together(assessor, outcomes, reasoned, seed)
        write_json(out / "heldout.json", found.model_dump(mode="json"))
        _report(out, records, results, found, seconds)
        if judge_url is not None and judge_model is not None:
            cache = out / "judge_answers"
            _judge(
                JudgeEndpoint(judge_url, judge_model, revision=judge_revision, cache=cache),
                records,
                found,
                against,
                out,
            )


@contextmanager
def _asked(chosen: loading.ModelChoice, reader: Reader, revision: str | None, cache: Path) -> Iterator[Backend]:
    """The model: behind a server, whose answers are kept, or on this machine."""
    if not chosen.endpoint:
        yield chosen.load()
        return
    with chosen.connect(reader=reader, revision=revision, cache=cache) as backend:
        yield backend


def _reasoned_results(
    assessor: Assessor, records: Sequence[PairRecord], samples: int, update: UpdateBar
) -> tuple[list[Result], float]:
    """What the assessor answers with reasons, held against the pixels, and the seconds that a pair takes."""
    from redaes.heldout import CHUNK_PAIRS
    from redaes.records import picture_of

    results: list[Result] = []
    began = time.perf_counter()
    for start in range(0, len(records), CHUNK_PAIRS):
        chunk = records[start : start + CHUNK_PAIRS]
        pairs = [(picture_of(record, "first"), picture_of(record, "second")) for record in chunk]
        results += assessor.compare_many(pairs, "reasoned", check=True, samples=samples)
        update("pairs asked for reasons", len(results), len(records))
    return results, (time.perf_counter() - began) / max(1, len(records))


def _report(
    out: Path, records: Sequence[PairRecord], results: Sequence[Result], found: HeldOut, seconds: float
) -> None:
    """Count what the answers say of the pixels, write all of it, and print the measures."""
    from redaes.evaluation.rationale_page import rationale_page
    from redaes.evaluation.rationales import rationale_quality
    from redaes.evaluation.report import cell
    from redaes.evaluation.truth import check_results, rationale_truth
    from redaes.file_writing import write_atomically, write_json

    quality = rationale_quality(found)
    checked = check_results(records, results, found)
    truth = rationale_truth(checked, found.seed)
    write_json(out / "rationales.json", quality.model_dump(mode="json"))
    write_json(out / "truth.json", {**truth.model_dump(mode="json"), "seconds_per_pair": round(seconds, 3)})
    write_json(out / "claims.json", [one.model_dump(mode="json") for one in checked])
    write_atomically(out / "report.html", rationale_page(records, found, checked, quality, truth).encode())
    for name in ("factor_precision", "factor_recall", "side", "hallucination", "contradiction"):
        typer.echo(f"{name:22} {cell(getattr(quality, name))}")
    _show_truth(truth)
    typer.echo(f"{quality.n_answers} answers, {quality.n_failed} unusable; {quality.n_distinct} different rationales")
    typer.echo(
        f"{seconds:.2f} s for each reasoned pair, including the measurements; {out / 'report.html'} shows each "
        "rationale, the worst first"
    )


def _show_truth(truth: RationaleTruth) -> None:
    """Print how true the reasoning is: of every answer, and of the one that is shown for a pair."""
    from redaes.evaluation.report import cell

    typer.echo(f"\n{'':22} {'all answers':24}shown answers")
    for name in MEASURES:
        typer.echo(f"{name:22} {cell(getattr(truth.answers, name)):24}{cell(getattr(truth.shown, name))}")
    for name, share in truth.answers.truths.items():
        typer.echo(f"{'reason ' + name:22} {cell(share):24}{cell(truth.shown.truths[name])}")
    for name in ("undecided", "agreement"):
        typer.echo(f"{name:22} {'':24}{cell(getattr(truth, name))}")
    typer.echo(
        f"{truth.answers.n_claims} statements, {truth.answers.n_symptom} answers about pairs that differ by one known "
        f"fault; {truth.version or 'no rationale could be read'}\n"
    )


def _judge(
    endpoint: JudgeEndpoint, records: Sequence[PairRecord], found: HeldOut, against: Path | None, out: Path
) -> None:
    """Set the explanations against others before the judge."""
    from redaes.evaluation.rationale_judge import judge_rationales, make_duels
    from redaes.evaluation.report import cell
    from redaes.file_writing import read_json, write_json
    from redaes.heldout import HeldOut

    other = None if against is None else HeldOut.model_validate(read_json(against))
    judged = judge_rationales(endpoint, make_duels(records, found, other), seed=found.seed)
    write_json(out / "judged.json", judged.model_dump(mode="json"))
    typer.echo(f"{'wins before judge':18} {cell(judged.share_one)}, draws counted half")
    typer.echo(f"{'both orders agree':18} {cell(judged.order_consistency)}")
    typer.echo(
        f"{judged.n} duels, {judged.n_failed} without a usable answer, {judged.n_unasked} left out because a "
        "rationale is missing"
    )
