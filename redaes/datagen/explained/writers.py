"""Writers of reasoning for a dataset's pairs: the embedded writer from measurements, or a panel's model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from redaes.backends.pictures import EncodedPicture
from redaes.datagen.panel import Panel, PanelModels
from redaes.datagen.panel_entries import ModelEntry
from redaes.datagen.rationales import PairObservation, RationaleTask, write_from_measurements, write_with_model
from redaes.datagen.rationales.model_writer import SAMPLING, Written
from redaes.errors import InputError
from redaes.evidence.measurements import PairEvidence
from redaes.file_writing import read_yaml
from redaes.records import PairRecord, picture_of
from redaes.types import Rationale, winner_of

MEASURED = "measured"
EMBEDDED = "embedded"
"""Name of the embedded writer in the column ``writer``."""
NOTHING_SPEAKS = "nothing measurable speaks for the preferred picture"
_OF_A_WRITER = ("endpoint", "writer", "api_key_env", "max_rewrites", "concurrency", "max_calls")
"""Settings of a panel that a recipe without judges may have at its top level."""


@dataclass(frozen=True)
class UnexplainedPair:
    """A pair that lacks reasoning for one order or both."""

    record: PairRecord
    evidence: PairEvidence

    @property
    def seed(self) -> int:
        """Seed of the wording; it depends on the pair alone, not on the rest of its dataset."""
        return int.from_bytes(self.record.pair.id.encode()[-6:], "big")


@dataclass
class Explained:
    """The result of writing for a pair."""

    texts: tuple[Rationale | None, Rationale | None]
    """The reasoning with the first picture as A, and with the second as A; None where there is still none."""
    writers: frozenset[str]
    """Writers of the new texts; empty if there are none."""
    failure: str = ""
    """Why there is no new text; empty if there is one for at least one order."""


class ExplainingWriter(Protocol):
    """Writes the reasoning that pairs lack. It is used as ``async with writer: …``."""

    @property
    def counts(self) -> Counter[str]:
        """Counts of the reasons why texts were rejected, and of the outcomes of requests."""

    @property
    def identity(self) -> dict[str, Any]:
        """The settings on which its texts depend."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...

    async def explain(self, pairs: Sequence[UnexplainedPair]) -> list[Explained]:
        """Return the reasoning for each pair, in the pairs' order."""


@dataclass
class EmbeddedExplainer:
    """Writes from measurements alone; it writes nothing where they do not support the preferred picture."""

    counts: Counter[str] = field(default_factory=Counter)

    @property
    def identity(self) -> dict[str, Any]:
        """The settings on which its texts depend."""
        return {"writer": EMBEDDED}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        return

    async def explain(self, pairs: Sequence[UnexplainedPair]) -> list[Explained]:
        """Return the reasoning for each pair, in the pairs' order."""
        return [self._explained(pair) for pair in pairs]

    def _explained(self, pair: UnexplainedPair) -> Explained:
        record = pair.record
        texts = [record.rationale, record.rationale_swapped]
        factors = record.pair.factors
        for place, (shown, evidence) in enumerate(
            ((record.pair, pair.evidence), (record.pair.swapped(), pair.evidence.swapped()))
        ):
            if texts[place] is None:
                written = write_from_measurements(
                    PairObservation(evidence), shown.delta or 0.0, factors, pair.seed + 4 * place
                )
                texts[place] = written
                factors = factors or (() if written is None else written.factors)
        return _of_texts(record, texts, {EMBEDDED})


def _of_texts(record: PairRecord, texts: Sequence[Rationale | None], writers: set[str]) -> Explained:
    new = sum(
        before is None and after is not None
        for before, after in zip((record.rationale, record.rationale_swapped), texts, strict=True)
    )
    return Explained((texts[0], texts[1]), frozenset(writers if new else ()), "" if new else NOTHING_SPEAKS)


class ModelExplainer:
    """A model behind a server writes, as in a build with a panel; each text is checked against the measurements."""

    def __init__(self, panel: Panel, folder: Path) -> None:
        """
        Args:
            panel: the panel whose writer is asked.
            folder: its subfolder ``answers/`` keeps all answers, so that none is paid for twice.

        Raises:
            InputError: an environment variable that should hold a key does not.
        """
        self._panel = panel
        alone = {"judges": (), "planner": None, "checker": None, "similarity": None, "min_similarity": None}
        self._models = PanelModels(panel.model_copy(update=alone), folder)
        self._rejected: Counter[str] = Counter()

    @property
    def counts(self) -> Counter[str]:
        """Counts of the reasons why texts were rejected, and of the outcomes of requests."""
        return self._rejected + self._models.counts()

    @property
    def identity(self) -> dict[str, Any]:
        """The settings on which its texts depend."""
        entry = self._panel.writer_entry
        return {"writer": entry.decides(), "revision": entry.revision, "max_rewrites": self._panel.max_rewrites}

    async def __aenter__(self) -> Self:
        await self._models.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._models.__aexit__(kind, error, traceback)

    async def explain(self, pairs: Sequence[UnexplainedPair]) -> list[Explained]:
        """Return the reasoning for each pair, in the pairs' order.

        Where the deciding factors are not stated, the model names them for the pair in the stored order, and uses the
        same factors in the other order.

        Raises:
            BackendError: the model cannot be asked at all, or its budget is spent.
        """
        texts = [[pair.record.rationale, pair.record.rationale_swapped] for pair in pairs]
        writers: list[set[str]] = [set() for _ in pairs]
        failures = [""] * len(pairs)
        for place in (0, 1):
            wanted = [number for number in range(len(pairs)) if texts[number][place] is None]
            tasks = [_task(pairs[number], texts[number]) for number in wanted]
            found = await self._written([task if place == 0 else task.swapped() for task in tasks])
            for number, written in zip(wanted, found, strict=True):
                texts[number][place] = written.rationale
                if written.rationale is not None:
                    writers[number].add(self._panel.writer_entry.model if written.writer == "vlm" else EMBEDDED)
                else:
                    failures[number] = _why(written)
        explained = [_of_texts(pair.record, its, by) for pair, its, by in zip(pairs, texts, writers, strict=True)]
        for one, failure in zip(explained, failures, strict=True):
            one.failure = one.failure and failure
        return explained

    async def _written(self, tasks: Sequence[RationaleTask]) -> list[Written]:
        if not tasks:
            return []
        entry, most = self._panel.writer_entry, self._panel.max_rewrites
        found = await self._models.put(
            entry.model,
            lambda model: write_with_model(
                model, tasks, max_rewrites=most, sampling=entry.sampling(SAMPLING), otherwise=_from_measurements
            ),
        )
        for written in found:
            self._rejected.update({f"text: {reason}": n for reason, n in written.rejected.items()})
        return found


def _from_measurements(task: RationaleTask) -> Rationale | None:
    return write_from_measurements(task.observed, task.delta, task.factors or (), task.seed)


def _why(written: Written) -> str:
    told = f"no answer ({written.failure})" if written.failure else "the model's texts were rejected"
    return f"{told}, and {NOTHING_SPEAKS}"


def _task(pair: UnexplainedPair, texts: Sequence[Rationale | None]) -> RationaleTask:
    """Return the writer's task for a pair in the stored order."""
    record, shown = pair.record, pair.record.pair
    known = next((text.factors for text in texts if text is not None), ()) or shown.factors
    delta = shown.delta or 0.0
    edits = (shown.edit_first, shown.edit_second)
    return RationaleTask(
        first=EncodedPicture(picture_of(record, "first").image),
        second=EncodedPicture(picture_of(record, "second").image),
        observed=PairObservation(pair.evidence),
        delta=delta,
        factors=() if winner_of(delta) == "tie" else known or None,
        instruction_first=None if edits[0] is None else edits[0].instruction,
        instruction_second=None if edits[1] is None else edits[1].instruction,
        seed=pair.seed,
    )


def read_writer(name: str) -> Panel | None:
    """Return the panel that ``--writer`` names and whose writer is asked; None for :data:`MEASURED`.

    Args:
        name: ``measured``, or a YAML file with a ``panel``, or with ``endpoint`` and ``writer`` only.

    Raises:
        InputError: it is neither; the message says what is missing.
    """
    if name == MEASURED:
        return None
    path = Path(name)
    if path.suffix.lower() not in (".yaml", ".yml"):
        raise InputError(
            f"--writer is {name!r}; give {MEASURED}, or a YAML file with the endpoint and the writer of a model"
        )
    values: Mapping[str, Any] = read_yaml(path)
    if isinstance(values.get("panel"), Mapping):
        return Panel.model_validate(values["panel"])
    unknown = sorted(str(key) for key in values if key not in _OF_A_WRITER)
    if unknown:
        raise InputError(f"{path} has unknown keys: {', '.join(unknown)}; known: panel, {', '.join(_OF_A_WRITER)}")
    if "writer" not in values:
        raise InputError(f"{path} names no writer; give a model's name there")
    entry = ModelEntry.model_validate(values["writer"]) if isinstance(values["writer"], Mapping) else None
    # A panel needs judges; this one is never asked to judge.
    return Panel.model_validate({**values, "judges": [values["writer"] if entry is None else entry.model]})
