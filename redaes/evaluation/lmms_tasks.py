"""Our prompts, grammar and measures as functions for lmms-eval's task files (``eval/lmms_eval``).

lmms-eval asks its model once for each row of a data file and returns the text. A pair therefore has two rows, one for
each order of its pictures; :func:`rows_of` makes the rows of a benchmark. The functions are named like the keys of a
task file, and take lmms-eval's arguments: a row ``doc``, the answers ``results``, and the list of everything that
``…_process_results`` returned for a measure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from statistics import fmean
from typing import Any

from redaes import answers, metrics, prompts
from redaes.errors import InputError, ParseError
from redaes.evaluation.benchmarks import LoadedBenchmark
from redaes.images import load_image
from redaes.prompts import Prompt

_IMAGE_TOKEN = "<image>"  # lmms-eval's mark for a picture, for models without interleaved chats

Doc = Mapping[str, Any]


def rows_of(loaded: LoadedBenchmark) -> Iterator[dict[str, Any]]:
    """Yield the rows of a data file: ``id, image, score`` for scores; ``pair, order, first, second, p`` for pairs and
    series.

    Pictures are named by absolute paths; ``p`` is the share of people, or probability, that ``first`` is better.

    Raises:
        InputError: pictures are missing, or the benchmark consists of crops, which are not files.
    """
    if loaded.missing:
        raise InputError(
            f"{len(loaded.missing)} pictures of {loaded.benchmark.title} are not in {loaded.pictures}, such as "
            f"{loaded.missing[0]}; give --pictures"
        )
    if any(picture.box is not None for picture in loaded.labels.pictures):
        raise InputError(f"{loaded.benchmark.name} is about crops, which lmms-eval cannot be shown")
    files = {picture.id: str((loaded.pictures / picture.file).resolve()) for picture in loaded.labels.pictures}
    if loaded.benchmark.kind == "scores":
        for picture in loaded.labels.pictures:
            yield {"id": picture.id, "image": files[picture.id], "score": picture.score}
        return
    for pair in loaded.labels.pairs:
        name = f"{pair.first}\t{pair.second}"
        first, second = files[pair.first], files[pair.second]
        yield {"pair": name, "order": "forward", "first": first, "second": second, "p": pair.p}
        yield {"pair": name, "order": "swapped", "first": second, "second": first, "p": 1.0 - pair.p}


def pair_doc_to_visual(doc: Doc) -> list[Any]:
    """Return the two pictures, RGB, as they are shown."""
    return [load_image(doc[side]).image for side in ("first", "second")]


def pair_doc_to_text(doc: Doc, lmms_eval_specific_kwargs: Mapping[str, Any] | None = None) -> str:
    """Return the prompt of the fast comparison, with a mark where each picture goes."""
    return _text(prompts.load(prompts.COMPARE["fast"]))


def pair_doc_to_messages(doc: Doc, lmms_eval_specific_kwargs: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
    """Return the prompt as a chat with the pictures in their places."""
    return _messages(prompts.load(prompts.COMPARE["fast"]), pair_doc_to_visual(doc))


def pair_doc_to_target(doc: Doc) -> str:
    """``A``, ``B`` or ``tie``."""
    return "tie" if doc["p"] == 0.5 else "A" if doc["p"] > 0.5 else "B"


def pair_process_results(doc: Doc, results: Sequence[str]) -> dict[str, Any]:
    """Return the difference that an answer states, in points; None: it does not follow the grammar."""
    try:
        delta: float | None = answers.parse(results[0], "fast").delta
    except ParseError:
        delta = None
    item = {"pair": doc["pair"], "order": doc["order"], "p": doc["p"], "said": delta}
    return dict.fromkeys(("pair_accuracy", "pair_f1", "swap_consistency", "parse_failure_rate"), item)


def pair_accuracy(items: Sequence[Mapping[str, Any]]) -> float:
    """Return the accuracy over pairs, both orders together; ties and failures are wrong, pairs labelled one half do not
    count.
    """
    predicted, labels = _pairs(items)
    return _number(metrics.pair_accuracy(predicted, labels, tie_margin=0.0).value)


def pair_f1(items: Sequence[Mapping[str, Any]]) -> float:
    """Return the macro F1 over the same pairs."""
    predicted, labels = _pairs(items)
    return _number(metrics.pair_f1(predicted, labels, tie_margin=0.0))


def swap_consistency(items: Sequence[Mapping[str, Any]]) -> float:
    """Return how often the same picture wins in both orders, over the pairs that were asked in both."""
    both = [orders for orders in _by_pair(items).values() if len(orders) == 2]
    forward = [orders["forward"]["said"] for orders in both]
    swapped = [orders["swapped"]["said"] for orders in both]
    return _number(metrics.swap_consistency(forward, swapped).value)


def score_doc_to_visual(doc: Doc) -> list[Any]:
    """Return the picture, RGB, as it is shown."""
    return [load_image(doc["image"]).image]


def score_doc_to_text(doc: Doc, lmms_eval_specific_kwargs: Mapping[str, Any] | None = None) -> str:
    """Return the prompt for a single picture, with a mark where it goes."""
    return _text(prompts.load(prompts.SCORE))


def score_doc_to_messages(doc: Doc, lmms_eval_specific_kwargs: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
    """Return the prompt as a chat with the picture in its place."""
    return _messages(prompts.load(prompts.SCORE), score_doc_to_visual(doc))


def score_process_results(doc: Doc, results: Sequence[str]) -> dict[str, Any]:
    """Return the written score, 0 to 9; None: the answer does not follow the grammar.

    The written score is one digit; ``redaes eval`` computes the expected value over the digits, which is finer.
    """
    try:
        said: int | None = answers.parse_score(results[0])
    except ParseError:
        said = None
    item = {"label": doc["score"], "said": said}
    return dict.fromkeys(("srcc", "plcc", "parse_failure_rate"), item)


def srcc(items: Sequence[Mapping[str, Any]]) -> float:
    """Return Spearman's correlation over the answered pictures times their share [ours], as if failures were placed at
    random.
    """
    said, labels, share = _answered(items)
    return _number(metrics.srcc(said, labels)) * share


def plcc(items: Sequence[Mapping[str, Any]]) -> float:
    """Return Pearson's correlation (without a map) over the answered pictures times their share."""
    said, labels, share = _answered(items)
    return _number(metrics.plcc(said, labels)) * share


def parse_failure_rate(items: Sequence[Mapping[str, Any]]) -> float:
    """Return the share of answers that do not follow the grammar."""
    return fmean(item["said"] is None for item in items) if items else float("nan")


def _text(prompt: Prompt) -> str:
    parts = prompt.messages()[0]["content"]
    return "".join(part["text"] if part["type"] == "text" else _IMAGE_TOKEN for part in parts)


def _messages(prompt: Prompt, images: Iterable[Any]) -> list[dict[str, Any]]:
    shown = iter(images)
    chat = prompt.messages()
    for part in chat[0]["content"]:
        if part["type"] == "image":
            part["url"] = next(shown)
    return chat


def _by_pair(items: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Mapping[str, Any]]]:
    found: dict[str, dict[str, Mapping[str, Any]]] = {}
    for item in items:
        found.setdefault(item["pair"], {})[item["order"]] = item
    return found


def _pairs(items: Sequence[Mapping[str, Any]]) -> tuple[list[float | None], list[float]]:
    """Return differences and labels in the forward letters; the mean of the orders that were answered."""
    predicted: list[float | None] = []
    labels = []
    for orders in _by_pair(items).values():
        signed = [
            (1.0 if order == "forward" else -1.0) * item["said"]
            for order, item in orders.items()
            if item["said"] is not None
        ]
        predicted.append(fmean(signed) if signed else None)
        order, item = next(iter(orders.items()))
        labels.append((1.0 if order == "forward" else -1.0) * (item["p"] - 0.5))
    return predicted, labels


def _answered(items: Sequence[Mapping[str, Any]]) -> tuple[list[float], list[float], float]:
    rows = [(float(item["said"]), item["label"]) for item in items if item["said"] is not None]
    return [row[0] for row in rows], [row[1] for row in rows], len(rows) / len(items) if items else 0.0


def _number(value: float | None) -> float:
    """Return a number for lmms-eval, which takes numbers only: NaN if the value is undefined."""
    return float("nan") if value is None else value
