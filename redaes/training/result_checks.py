"""Checks of a stage's result: the adapter applies once, merging does not change answers, and the reasoning is still
language.

Every stage ends by measuring its model in memory on a few answers (:func:`probe`), and the run record keeps the
figures. A result that is loaded later must give the same figures; an adapter that is applied twice, applied to another
base, or not saved correctly gives others. ``redaes train check`` runs all checks on a result.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from heapq import nsmallest
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, ProcessorMixin

from redaes import prompts
from redaes.answers import parse
from redaes.backends.adapters import check_base
from redaes.backends.base import Request
from redaes.backends.loading import load_adapter, load_network, load_processor, model_folder
from redaes.backends.local import LocalBackend
from redaes.backends.preprocessing import image_settings
from redaes.backends.weights import ADAPTER_CONFIG
from redaes.errors import ParseError, RecordError
from redaes.file_writing import read_json
from redaes.records import PairRecord, data_hash, read_records
from redaes.training.formatting import answer_batch, ordered_images
from redaes.types import Rationale, Sampling

N_PROBED = 4
"""Number of answers that a stage measures at its end."""

TOLERANCE = {"float32": 1e-3, "bfloat16": 0.05, "float16": 0.02}
"""Largest allowed difference between two computations of an answer's log-probability per token, by the weights' number
type [ours]. Rounding in float32 stays far below it; applying a trained adapter twice does not.
"""

MIN_PARSED = 0.9
"""Smallest allowed share of answers that follow the grammar [this and the next two are ours]."""
MAX_REPEATED = 0.5
"""Largest allowed share of answers with one and the same reasoning."""
LENGTHS = (0.5, 2.0)
"""Bounds of the mean length of the reasoning in words, as multiples of the dataset's mean length."""


@dataclass(frozen=True)
class ResultCheck:
    """The outcome of one check."""

    name: str
    passed: bool
    found: str
    """What was measured, and the value that it was compared with."""


@torch.no_grad()
def answer_log_probs(model: Any, processor: ProcessorMixin, records: Sequence[PairRecord]) -> list[float]:
    """Return the mean log-probability per token of each record's answer, as `redaes.training.formatting.answer_batch`
    draws it.

    Answers are measured one by one, so that nothing depends on padding. The model is left in evaluation mode.
    """
    model.eval()
    device = next(model.parameters()).device
    found = []
    for record in records:
        batch = {name: value.to(device) for name, value in answer_batch(processor, [record]).items()}
        labels = batch.pop("labels")[0]  # (T,)
        n_answer = int((labels >= 0).sum())
        # In one row without padding, the answer is at the end, and each token is predicted one place earlier.
        logits = model(**batch, logits_to_keep=n_answer + 1).logits[0, :-1].float()  # (n_answer, V)
        picked = logits.log_softmax(-1).gather(-1, labels[-n_answer:, None])  # (n_answer, 1)
        found.append(picked.mean().item())
    return found


def probed_records(folder: Path) -> list[PairRecord]:
    """Return the training pairs on which a stage measures its model: the first that have an answer."""
    whole = (
        record
        for record in read_records(folder, "train")
        if record.pair.delta is not None and record.rationale is not None and record.rationale_swapped is not None
    )
    return list(islice(whole, N_PROBED))


def probe(model: Any, processor: ProcessorMixin, folder: Path) -> dict[str, Any] | None:
    """Measure the model in memory for the run record; under ZeRO-3 every process must call this.

    Returns:
        The figures; None: no pair of the dataset has an answer.
    """
    records = probed_records(folder)
    if not records:
        return None
    return {
        "pairs": [record.pair.id for record in records],
        "log_probs": answer_log_probs(model, processor, records),
        "dtype": str(next(model.parameters()).dtype).removeprefix("torch."),
    }


def _agreement(name: str, wanted: Sequence[float], got: Sequence[float], dtype: str, what: str) -> ResultCheck:
    difference = max(abs(a - b) for a, b in zip(wanted, got, strict=True))
    tolerance = TOLERANCE[dtype]
    return ResultCheck(
        name,
        difference <= tolerance,
        f"{what} differ by {difference:.1e} per token at most over {len(got)} answers ({dtype}: up to {tolerance:g} is "
        "rounding)",
    )


def language(rationales: Sequence[Rationale | None], written: Sequence[Rationale]) -> ResultCheck:
    """Check whether the reasoning is still language: it parses, differs between pairs, and is about as long as in the
    dataset.

    Args:
        rationales: rationales of a model's answers to different pairs; None: the answer does not parse.
        written: the dataset's reasoning for the same pairs.
    """
    texts = [rationale.text for rationale in rationales if rationale is not None]
    n, n_parsed = len(rationales), len(texts)
    if not n_parsed:
        return ResultCheck("language", False, f"none of {n} answers follows the grammar")
    n_most = Counter(texts).most_common(1)[0][1]
    words = sum(len(text.split()) for text in texts) / n_parsed
    taught = sum(len(rationale.text.split()) for rationale in written) / len(written)
    passed = (
        n_parsed >= MIN_PARSED * n
        and n_most <= max(1.0, MAX_REPEATED * n_parsed)
        and LENGTHS[0] * taught <= words <= LENGTHS[1] * taught
    )
    return ResultCheck(
        "language",
        passed,
        f"{n_parsed} of {n} answers follow the grammar, {len(set(texts))} different, the most frequent {n_most} times, "
        f"{words:.1f} words on average ({taught:.1f} in the dataset)",
    )


def _reasoning(model: Any, processor: ProcessorMixin, records: Sequence[PairRecord]) -> list[Rationale | None]:
    prompt = prompts.load(prompts.COMPARE["reasoned"])
    backend = LocalBackend.from_model(model, processor, "checked", "in memory")
    requests = [Request(prompt, tuple(ordered_images(record, "forward"))) for record in records]
    found: list[Rationale | None] = []
    for answer in backend.generate(requests, Sampling()):
        try:
            found.append(parse(answer, "reasoned").rationale)
        except ParseError:
            found.append(None)
    return found


def _coarser(dtype: str, folder: Path) -> str:
    """Return the one with fewer bits of a number type and that in which a model is stored."""
    stored = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False).dtype
    name = dtype if stored is None else str(stored).removeprefix("torch.")
    return max(dtype, name, key=lambda one: TOLERANCE[one])


def check_result(final: Path, data: Path, *, n_pairs: int, merged: Path | None = None) -> list[ResultCheck]:
    """Run all checks on a stage's result.

    Args:
        final: the stage's ``final/`` folder, an adapter or a whole model.
        data: the dataset that it was trained on.
        n_pairs: number of held-out pairs to answer in full; 0: language is not checked.
        merged: folder with the merged model; None: merge in memory.

    Raises:
        RecordError: ``final`` is not a result, or ``data`` is another dataset.
        BackendError: a model cannot be loaded, or the base's weights differ from those of the training.
    """
    record = read_json(final / "run_record.json")
    if record.get("probe") is None:
        raise RecordError(
            f"{final}/run_record.json has no probe: nothing was measured at the end of a warm-up with heads, or on a "
            "dataset without answers"
        )
    if record["data_hash"] != data_hash(data):
        raise RecordError(f"{data} is not the dataset that {final} was trained on; give that one")
    wanted, dtype = record["probe"]["log_probs"], record["probe"]["dtype"]
    records = probed_records(data)
    explained = (item for item in read_records(data, "test") if item.rationale is not None)
    held_out = nsmallest(n_pairs, explained, key=lambda item: item.pair.id)  # ids are hashes: from all groups
    has_adapter = (final / ADAPTER_CONFIG).is_file()
    base = model_folder(record["arguments"]["model"]) if has_adapter else final
    processor = load_processor(base, None, final if has_adapter else None)
    weights = getattr(torch, dtype)
    device = "cuda" if torch.cuda.is_available() else "cpu"

    model = load_network(base, weights)
    if has_adapter:
        check_base(final, record["arguments"]["model"], base)
        model = load_adapter(model, final)
    model = model.to(device)
    fresh = answer_log_probs(model, processor, records)
    found = [
        _agreement("result", wanted, fresh, dtype, "log-probabilities loaded from disk and at the end of training")
    ]
    if has_adapter:
        merge = model.merge_and_unload
        model = merge(safe_merge=True) if merged is None else load_network(merged, weights).to(device)
        if merged is not None and image_settings(merged) is not None:
            processor = load_processor(merged, None)
        alone = answer_log_probs(model, processor, records)
        kept = dtype if merged is None else _coarser(dtype, merged)
        found.append(_agreement("merged", fresh, alone, kept, "log-probabilities with the adapter and merged"))
    if held_out:
        written = [item.rationale for item in held_out if item.rationale is not None]
        found.append(language(_reasoning(model, processor, held_out), written))
    return found
