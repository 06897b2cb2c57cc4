"""The steps of the demonstration and where each leaves its result.

::

    OUT/data/           pairs from the photographs                          (step 1)
    OUT/eval/*.json     held-out pairs, before training and after each stage   (2, 4, 6, 8)
    OUT/stage1 … 3/     the trained adapters with their run records            (3, 5, 7)
    OUT/comparison/     two comparisons with their pictures                    (9)
    OUT/report.html     everything on one page                                 (10)
    OUT/demo.log        what the libraries said

A step whose result is complete is skipped; every result is written whole or not at all, and a stage continues from its
last checkpoint. So a run that was stopped in any way continues with the same command.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from redaes.demo.progress import Advance, DemoSteps, claim
from redaes.errors import InputError, MissingDependency, RecordError
from redaes.file_writing import read_json, write_atomically, write_json
from redaes.models import nano
from redaes.progress_lines import duration_in_words
from redaes.records import PairRecord, data_hash, read_records
from redaes.types import SPLITS, Sampling

if TYPE_CHECKING:
    from redaes.assessor import Result
    from redaes.heldout import HeldOut

PACKAGES = {
    "accelerate": "accelerate",
    "datasets": "datasets",
    "jinja2": "jinja2",
    "peft": "peft",
    "trl": "trl",
}
"""The package that installs each module, for modules beyond those that redaes always needs."""

SEED = 0
EVALUATION_SAMPLING = Sampling(seed=SEED)


@dataclass(frozen=True)
class DemoScale:
    """The size of the demonstration; the defaults fit two CPU cores and a quarter of an hour."""

    n_groups: int = 160
    """Number of views aimed at; of few photographs more views are made, up to ``max_views`` of each."""
    max_views: int = 27
    variants: int = 3
    max_side: int = 256
    """Longest side of the pictures, in pixels."""
    test_fraction: float = 0.34
    n_evaluated: int = 240
    """Largest number of held-out pairs for the fast mode."""
    n_reasoned: int = 32
    """Largest number of held-out pairs for the reasoned mode."""
    lora_r: int = 32
    sft_steps: int = 40
    sft_batch: int = 16
    align_steps: int = 100
    align_batch: int = 12
    grpo_steps: int = 16
    grpo_completions: int = 12
    """Completions in one step. Two steps hold a ranking group: at most 3 pairs x 2 orders x 4 generations = 24."""
    max_completion_length: int = 224


@dataclass(frozen=True)
class DemoStage:
    """One training stage and the evaluation after it."""

    key: str
    title: str
    run: Callable[[Path, Path, str, str | None, DemoScale], Path]
    """Function from (output folder, dataset, model, adapter to continue, scale) to the folder of the result."""
    n_logs: Callable[[DemoScale], int]
    expected_s: float


def run(photos: Path | None, out: Path, *, model: str = nano.BASE, scale: DemoScale | None = None) -> Path:
    """Run the demonstration, or continue one that was stopped.

    Args:
        photos: a folder of photographs; None means those that come with scikit-image and scikit-learn.
        out: folder of the results; it is created, or continued.
        model: the base model, a folder or ``redaes/nano-base``.
        scale: size of the demonstration; None means the defaults.

    Returns:
        The path of the report, an HTML file.

    Raises:
        InputError: the photographs cannot be used.
        RecordError: ``out`` holds another demonstration, or cannot be written to.
        MissingDependency: a package is absent.
        BackendError, TrainingError: a stage fails.
    """
    for module, package in PACKAGES.items():
        if find_spec(module) is None:
            raise MissingDependency(package, "demo")
    scale = DemoScale() if scale is None else scale
    files, credits = photographs(photos)
    out = out.resolve()  # a stage compares the adapter's path with that of the run it continues
    claim(out, {"model": model, "scale": asdict(scale)})
    steps = DemoSteps(out, n_steps=4 + 2 * len(STAGES))
    _quieten()

    data = out / "data"
    steps.run(
        "build",
        "make pairs from the photographs",
        # A finished dataset is still checked against the photographs each time, which takes only a moment.
        done=False,
        expected_s=15,
        work=lambda advance: _build(files, credits, data, scale, advance),
    )
    used = data_hash(data)
    _evaluation_step(steps, "before", "evaluate the model as it is", out, model, None, used, scale)
    adapter: Path | None = None
    for stage in STAGES:
        folder = out / stage.key
        final = folder / "final"
        previous = None if adapter is None else str(adapter)

        def train(_: Advance, stage: DemoStage = stage, folder: Path = folder, previous: str | None = previous) -> None:
            steps.count_lines_with("'loss':", stage.n_logs(scale))
            stage.run(folder, data, model, previous, scale)

        # The run record is the last file that a stage writes.
        done = (final / "run_record.json").is_file()
        steps.run(stage.key, stage.title, done=done, expected_s=stage.expected_s, work=train)
        adapter = final
        title = f"evaluate after {stage.title.partition(':')[0]}"
        _evaluation_step(steps, stage.key, title, out, model, adapter, used, scale)

    comparison = out / "comparison" / "results.json"
    steps.run(
        "compare",
        "compare two photographs",
        done=comparison.is_file(),
        expected_s=5,
        work=lambda _: _compare(out, model, adapter),
    )
    report = out / "report.html"
    steps.run(
        "report",
        "write the report",
        done=False,
        expected_s=5,
        work=lambda _: _report(out, report, steps.seconds, credits),
    )
    total = sum(steps.seconds.values())
    steps.console.print(f"finished; all steps took {duration_in_words(total)}. Open {report}")
    return report


def photographs(folder: Path | None) -> tuple[list[Path], dict[Path, str]]:
    """Return the photographs to use, and what is known about the licence of each.

    Raises:
        InputError: there is no such folder, or it holds no pictures.
        MissingDependency: the sample photographs are wanted but not installed.
    """
    from redaes.images import list_images
    from redaes.samples import sample_photographs

    if folder is not None:
        return list_images(folder), {}
    samples = sample_photographs()
    return [sample.path for sample in samples], {sample.path: sample.credit for sample in samples}


def held_out(data: Path, n: int) -> list[PairRecord]:
    """Return the held-out pairs for evaluation: all, or ``n`` that are drawn by their ids."""
    records = sorted(
        read_records(data, "test"),
        key=lambda record: hashlib.sha256(f"{SEED}:{record.pair.id}".encode()).digest(),
    )
    return sorted(records[:n], key=lambda record: record.pair.id)


def _quieten() -> None:
    """Turn off progress bars and advice of the libraries, whose output goes to the log anyway."""
    import datasets
    from transformers.utils import logging

    datasets.disable_progress_bars()
    logging.disable_progress_bar()
    logging.set_verbosity_error()  # turns off advice; errors are still raised


def _build(files: list[Path], credits: dict[Path, str], data: Path, scale: DemoScale, advance: Advance) -> None:
    from redaes.datagen.dataset_settings import DatasetSettings
    from redaes.datagen.pipeline import build

    settings = DatasetSettings(
        views=max(1, min(scale.max_views, round(scale.n_groups / len(files)))),
        variants=scale.variants,
        max_side=scale.max_side,
        test_fraction=scale.test_fraction,
        seed=SEED,
    )
    build(files, data, settings, progress=advance, licences=credits)


def _evaluation_step(
    steps: DemoSteps,
    key: str,
    title: str,
    out: Path,
    model: str,
    adapter: Path | None,
    used: str,
    scale: DemoScale,
) -> None:
    file = out / "eval" / f"{key}.json"

    def work(advance: Advance) -> None:
        from redaes.heldout import evaluate

        found = evaluate(
            _backend(model, adapter),
            held_out(out / "data", scale.n_evaluated),
            n_reasoned=scale.n_reasoned,
            sampling=EVALUATION_SAMPLING,
            seed=SEED,
            progress=advance,
        )
        write_json(file, {"data_hash": used, "evaluation": found.model_dump(mode="json")})

    done = file.is_file() and read_json(file).get("data_hash") == used
    steps.run(f"eval_{key}", title, done=done, expected_s=45, work=work)


def read_evaluation(file: Path) -> HeldOut:
    """Return an evaluation that a step has written.

    Raises:
        RecordError: the file is missing or damaged.
    """
    from pydantic import ValidationError

    from redaes.heldout import HeldOut

    try:
        return HeldOut.model_validate(read_json(file)["evaluation"])
    except (ValidationError, KeyError, TypeError) as error:
        raise RecordError(f"{file} is damaged; delete it and run again: {error}") from error


def _device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _backend(model: str, adapter: Path | None) -> Any:
    from redaes.backends.local import LocalBackend

    return LocalBackend(model, adapter=adapter, device=_device())


def _common(folder: Path, n_steps: int, every: int) -> dict[str, Any]:
    """Return the trainer arguments that all stages share."""
    return {
        "output_dir": str(folder),
        "max_steps": n_steps,
        "logging_steps": every,
        "save_steps": max(1, n_steps // 4),
        "save_total_limit": 2,
        "warmup_steps": n_steps // 8,
        "gradient_accumulation_steps": 1,
        "gradient_checkpointing": False,
        "bf16": True,
        "use_cpu": _device() == "cpu",
        "disable_tqdm": True,
        "report_to": "none",
        "seed": SEED,
    }


def _stage_arguments(data: Path, model: str, adapter: str | None, scale: DemoScale) -> Any:
    from redaes.training.stage_arguments import StageArguments

    return StageArguments(
        data=str(data), model=model, adapter=adapter, lora_r=scale.lora_r, lora_alpha=2 * scale.lora_r
    )


SFT_LOG_EVERY = 2


def _sft(folder: Path, data: Path, model: str, adapter: str | None, scale: DemoScale) -> Path:
    from redaes.training.sft import PairSFTConfig, run_sft

    config = PairSFTConfig(
        **_common(folder, scale.sft_steps, SFT_LOG_EVERY),
        per_device_train_batch_size=scale.sft_batch,
        learning_rate=5e-4,
        lr_scheduler_type="cosine",
    )
    return run_sft(_stage_arguments(data, model, adapter, scale), config)


def _align(folder: Path, data: Path, model: str, adapter: str | None, scale: DemoScale) -> Path:
    from redaes.training.alignment import AlignmentConfig, run_align

    config = AlignmentConfig(
        **_common(folder, scale.align_steps, SFT_LOG_EVERY),
        per_device_train_batch_size=scale.align_batch,
        learning_rate=5e-4,
        lr_scheduler_type="cosine",
    )
    return run_align(_stage_arguments(data, model, adapter, scale), config)


def _grpo(folder: Path, data: Path, model: str, adapter: str | None, scale: DemoScale) -> Path:
    from redaes.training.grpo import RankingGRPOConfig, run_grpo

    config = RankingGRPOConfig(
        **{**_common(folder, scale.grpo_steps, 1), "warmup_steps": 0},
        per_device_train_batch_size=scale.grpo_completions,
        steps_per_generation=2,
        num_generations=4,
        pictures_per_group=3,
        max_completion_length=scale.max_completion_length,
        temperature=1.0,
        beta=0.0,
        learning_rate=2e-4,
        lr_scheduler_type="constant",
        rewards=["format", "preference", "difference", "swap_consistency", "group_consistency", "factor"],
        reward_weights=[0.2, 1.0, 1.0, 0.5, 0.5, 0.5],
        completion_page_steps=0,
    )
    return run_grpo(_stage_arguments(data, model, adapter, scale), config)


STAGES: tuple[DemoStage, ...] = (
    DemoStage(
        "stage1",
        "stage 1: imitate reasoning, winner and difference",
        _sft,
        lambda scale: scale.sft_steps // SFT_LOG_EVERY,
        120,
    ),
    DemoStage(
        "stage2",
        "stage 2: align preferences with differences, in both orders",
        _align,
        lambda scale: scale.align_steps // SFT_LOG_EVERY,
        120,
    ),
    DemoStage(
        "stage3",
        "stage 3: GRPO with the ranking-consistency reward",
        _grpo,
        lambda scale: scale.grpo_steps,
        240,
    ),
)


@dataclass(frozen=True)
class _Picture:
    data: bytes
    caption: str


def _clean(records: list[PairRecord], source: str) -> _Picture:
    """Return a picture of a photograph without a degrading edit, from its first view that has one."""
    for record in sorted((r for r in records if r.pair.source == source), key=lambda r: r.pair.group):
        for data, edit in (
            (record.first_bytes, record.pair.edit_first),
            (record.second_bytes, record.pair.edit_second),
        ):
            if edit is None:
                return _Picture(data, "without an edit of its own")
    raise InputError(f"every picture of photograph {source[:12]} in the data carries an edit; give more photographs")


def _compare(out: Path, model: str, adapter: Path | None) -> None:
    """Ask the trained model about two pairs of pictures, in the reasoned mode."""
    from redaes.assessor import Assessor
    from redaes.images import load_image

    test = list(read_records(out / "data", "test"))
    decided = [r for r in test if r.pair.delta and (r.pair.edit_first is None) != (r.pair.edit_second is None)]
    if not decided:
        raise InputError("no held-out pair shows a photograph against a degraded version; give more photographs")
    clearest = max(decided, key=lambda record: (abs(record.pair.delta or 0.0), record.pair.id))
    captions = [
        "without an edit of its own" if edit is None else edit.instruction
        for edit in (clearest.pair.edit_first, clearest.pair.edit_second)
    ]
    sources = sorted({record.pair.source for record in test})
    note = "Two different held-out photographs. There is no label for this pair: the answer cannot be checked."
    others = test
    if len(sources) < 2:
        others = [*test, *read_records(out / "data", "train")]
        sources = [*sources, *sorted({record.pair.source for record in others} - set(sources))]
        note = (
            "A held-out photograph and one of the training photographs, because only one is held out. "
            "There is no label for this pair: the answer cannot be checked."
        )
    questions = [
        (
            "One photograph, clearly degraded on one side",
            "The held-out pair with the largest labelled difference.",
            clearest.pair.delta,
            (_Picture(clearest.first_bytes, captions[0]), _Picture(clearest.second_bytes, captions[1])),
        ),
        (
            "Two different photographs",
            note,
            None,
            (_clean(others, sources[0]), _clean(others, sources[1])),
        ),
    ]
    assessor = Assessor(_backend(model, adapter), mode="reasoned", sampling=EVALUATION_SAMPLING, form="text")
    results: list[dict[str, Any]] = []
    for number, (title, about, label, pictures) in enumerate(questions, start=1):
        files = [out / "comparison" / f"{number}-{side}.jpg" for side in ("first", "second")]
        for file, picture in zip(files, pictures, strict=True):
            write_atomically(file, picture.data)
        result: Result = assessor.compare_many([(load_image(files[0]), load_image(files[1]))])[0]
        results.append(
            {
                "title": title,
                "about": about,
                "label": label,
                "files": [file.name for file in files],
                "captions": [picture.caption for picture in pictures],
                "result": result.model_dump(mode="json", exclude={"first", "second"}),
            }
        )
    write_json(out / "comparison" / "results.json", results)


def _report(out: Path, report: Path, seconds: dict[str, float], credits: dict[Path, str]) -> None:
    """Gather everything and write the page."""
    from redaes.demo.answered_pairs import answered_pairs
    from redaes.demo.report import DemoComparison, LearningCurve, Moment, gallery, render
    from redaes.evaluation.truth import check_measured, measured_orders
    from redaes.training.run_record import environment

    data = out / "data"
    records = {split: list(read_records(data, split)) for split in SPLITS}
    evaluation = read_evaluation(out / "eval" / "before.json")
    asked = {item.outcome.pair for item in evaluation.reasoned_outcomes}  # the same at every moment
    measured = {one.pair.id: measured_orders(one) for one in records["test"] if one.pair.id in asked}

    def moment(name: str, evaluation: HeldOut, curve: LearningCurve | None) -> Moment:
        checked = check_measured(records["test"], evaluation, measured)
        return Moment(name, evaluation, curve, {one.pair: one for one in checked})

    moments = [moment("before training", evaluation, None)]
    runs: dict[str, Any] = {}
    for stage in STAGES:
        final = out / stage.key / "final"
        runs[stage.key] = read_json(final / "run_record.json")
        field, label = ("reward", "mean reward") if stage.key == "stage3" else ("loss", "loss")
        history = read_json(final / "trainer_state.json")["log_history"]
        curve = LearningCurve(
            title=stage.title,
            label=label,
            points=tuple((entry["step"], float(entry[field])) for entry in history if field in entry),
        )
        name = f"after {stage.title.partition(':')[0]}"
        moments.append(moment(name, read_evaluation(out / "eval" / f"{stage.key}.json"), curve))
    shown = [
        DemoComparison(
            title=item["title"],
            about=item["about"],
            label=item["label"],
            pictures=tuple((out / "comparison" / name).read_bytes() for name in item["files"]),
            captions=tuple(item["captions"]),
            result=item["result"],
        )
        for item in read_json(out / "comparison" / "results.json")
    ]
    page = render(
        moments=moments,
        build=read_json(data / "report.json"),
        gallery=gallery(records["test"], moments[0].evaluation, moments[-1].evaluation),
        comparisons=shown,
        seconds=seconds,
        provenance={
            "data": data_hash(data),
            "settings": read_json(data / "plan.json"),
            "scale": read_json(out / "demo.json"),
            "stages": runs,
            "environment": environment(),
        },
        credits=sorted({f"{path.stem}: {credit}" for path, credit in credits.items()}),
        pairs=answered_pairs(records["test"], moments),
    )
    write_atomically(report, page.encode("utf-8"))
