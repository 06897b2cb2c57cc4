"""Who edits, judges and explains: a panel as a recipe has it, and its models at work in one process."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any, TypeVar

from pydantic import BeforeValidator, Field, FiniteFloat, model_validator

from redaes.backends.chat_model import ChatModel
from redaes.backends.connecting import key_from
from redaes.datagen.call_savings import ASK_EVERYTHING, CallSavings
from redaes.datagen.consensus import ConsensusRules
from redaes.datagen.dataset_settings import WrittenSettings, whole_number
from redaes.datagen.editor_pool import EditorPool
from redaes.datagen.filters import Similarity
from redaes.datagen.funnel import Use
from redaes.datagen.judges import AssessorJudge, Judge, PyiqaScorer, ScorerJudge, VlmJudge, VlmScorer
from redaes.datagen.model_servers import ModelServers
from redaes.datagen.panel_entries import (
    SERVED,
    SERVER_FIELDS,
    Addresses,
    JudgeEntry,
    ModelEntry,
    TokenPrice,
    as_judges,
    as_model,
)
from redaes.errors import InputError
from redaes.lenient import Reader
from redaes.types import Form

Answer = TypeVar("Answer")

ANSWER_S = 60.0
"""How long one answer of a model may take unless its entry says otherwise, in seconds."""


def _as_items(value: Any) -> Any:
    """Return the items of a mapping, in the order of their names; anything else as it is."""
    return tuple(sorted(value.items())) if isinstance(value, dict) else value


class Panel(WrittenSettings):
    """Who edits, judges and explains: what determines a judged dataset, besides `DatasetSettings` and the
    photographs."""

    where = "panel"

    endpoint: Addresses = None
    """OpenAI-compatible server of all models below that name none of their own, such as ``http://127.0.0.1:8000/v1``;
    without a path, ``/v1``. Several, each of which has all these models, share the requests."""
    judges: Annotated[tuple[str | JudgeEntry, ...], BeforeValidator(as_judges)]
    """Who judges, each once, as `JUDGES` makes them: a model's name, or ``kind:argument`` such as
    ``score:Qwen/Qwen3-VL-8B``, ``redaes:models/ours`` and ``pyiqa:musiq:0:100``; or a mapping with that as ``model``
    and what else `JudgeEntry` has."""
    writer: Annotated[str | ModelEntry, BeforeValidator(as_model)]
    """Model that writes the reasoning: its name, or a mapping with that as ``model`` and what else `ModelEntry` has."""
    editors: Annotated[tuple[str, ...], Field(min_length=1)] = ("diffusers",)
    """Names for `redaes.datagen.editors.load_editor`; a group's edits take them in turn."""
    editor_options: Annotated[tuple[tuple[str, str | int | float | bool], ...], BeforeValidator(_as_items)] = ()
    """Options of every editor, such as ``("steps", 4)`` and ``("offload", "model")``; a mapping in a recipe."""
    planner: Annotated[str | ModelEntry | None, BeforeValidator(as_model)] = None
    """Model that looks at a view and words fitting instructions; None: they are drawn from the templates."""
    checker: Annotated[str | ModelEntry | None, BeforeValidator(as_model)] = None
    """Model that looks whether an instruction was executed; None: measurements alone decide."""
    similarity: str | None = None
    """Folder of a DINOv2, SigLIP or CLIP model that compares each edit with its view; None: not asked."""
    min_similarity: Annotated[FiniteFloat, Field(strict=True)] | None = None
    """Least cosine of its features; depends on the model, so there is no default."""
    api_key_env: str | None = None
    """Environment variable with the server's key; None: ``REDAES_API_KEY``, or none at all."""
    samples: Annotated[int, whole_number(1)] = 2
    """Answers of each judging model in each order."""
    max_new_tokens: Annotated[int, whole_number(1)] = 512
    """Longest answer of a judging model, in tokens, thoughts included: models that think need thousands."""
    reader: Reader = "strict"
    """What is read of a judging model's answers: the form itself, or (``lenient``) unambiguous variants of it too."""
    form: Form = "text"
    """The form in which judging models are asked: ``json`` suits those that were not trained on the text form."""
    max_rewrites: Annotated[int, whole_number(0)] = 2
    """How often a text with faults is sent back to its writer."""
    concurrency: Annotated[int, whole_number(1)] = 8
    """Requests to each server of each model under way at once, in each worker."""
    max_calls: Annotated[int, whole_number(0)] | None = None
    """Most requests to each model in each worker's life; None: no limit."""
    editor_devices: tuple[str, ...] = ()
    """Where editors work, such as ``[cuda:0, cuda:1]``: a copy of each editor on every one, shared out among the
    workers of this machine; none: one copy in each worker, on the first device that it finds."""
    rules: ConsensusRules = ConsensusRules()
    """When the judges agree."""
    savings: CallSavings = ASK_EVERYTHING
    """Which questions are left out."""

    @model_validator(mode="after")
    def _complete(self) -> Panel:
        for judge in self.judge_entries:
            _check_judge(judge)
        named = [(judge.kind, judge.argument) for judge in self.judge_entries]
        self.servers()
        if len(set(named)) != len(named):
            raise InputError(f"panel: judges are {tuple(judge.model for judge in self.judge_entries)}; name each once")
        self.reserve_places  # noqa: B018  # refused now, not when the first view is judged
        if (self.similarity is None) != (self.min_similarity is None):
            raise InputError("panel: similarity and min_similarity go together: give both, or neither")
        return self

    @property
    def judge_entries(self) -> tuple[JudgeEntry, ...]:
        """Who judges, with what the panel says of all judges."""
        usual = {name: getattr(self, name) for name in _OF_ALL_JUDGES}
        found = []
        for written in self.judges:
            judge = JudgeEntry(model=written) if isinstance(written, str) else written
            missing = {name: value for name, value in usual.items() if getattr(judge, name) is None}
            found.append(judge.model_copy(update=missing) if judge.kind == SERVED[0] else judge)
        return tuple(found)

    @property
    def reserve_places(self) -> frozenset[int]:
        """Judges that are asked only where the others do not agree, by places."""
        return self.savings.reserve_places([judge.model for judge in self.judge_entries], self.rules.min_judges)

    @property
    def optional_columns(self) -> tuple[str, ...]:
        """What its datasets have beyond the usual columns: where pairs are left out, how well the others are known."""
        return ("delta_error",) if self.savings.pair_share < 1 else ()

    @property
    def writer_entry(self) -> ModelEntry:
        """Who writes."""
        return ModelEntry(model=self.writer) if isinstance(self.writer, str) else self.writer

    @property
    def planner_entry(self) -> ModelEntry | None:
        """Who plans."""
        return ModelEntry(model=self.planner) if isinstance(self.planner, str) else self.planner

    @property
    def checker_entry(self) -> ModelEntry | None:
        """Who checks."""
        return ModelEntry(model=self.checker) if isinstance(self.checker, str) else self.checker

    def servers(self) -> dict[str, ModelEntry]:
        """Return every model that is behind a server, by its name, with what is said of its servers in any of its
        roles, and else of all servers.

        Raises:
            InputError: a model without a server, or one whose roles contradict each other.
        """
        roles = [(judge.argument, judge) for judge in self.judge_entries if judge.is_served]
        others = (self.writer_entry, self.planner_entry, self.checker_entry)
        roles += [(entry.model, entry) for entry in others if entry is not None]  # type: ignore[misc]
        found: dict[str, dict[str, Any]] = {}
        for model, entry in roles:
            told = found.setdefault(model, {})
            for name in SERVER_FIELDS:
                value = getattr(entry, name)
                if value is not None and told.setdefault(name, value) != value:
                    raise InputError(
                        f"panel: the model {model} is named twice, with two of {name}: {told[name]!r} and {value!r}. A "
                        "model has the same servers in all its roles, and its answers are kept by its name: give all "
                        "its servers in one list (endpoint: [..., ...]), and two models that differ two names"
                    )
        usual = {name: getattr(self, name) for name in ("endpoint", "api_key_env", "concurrency", "max_calls")}
        for model, told in found.items():
            # The panel's key is for the panel's server: another one must not get it.
            elsewhere = {"api_key_env"} if "endpoint" in told else set()
            for name in usual.keys() - told.keys() - elsewhere:
                told[name] = usual[name]
            if told["endpoint"] is None:
                raise InputError(f"panel: endpoint is missing; give it for all models, or for {model}")
        return {model: ModelEntry(model=model, **told) for model, told in found.items()}

    def prices(self) -> dict[str, TokenPrice | None]:
        """Return what the tokens of each model behind a server cost; None: not said."""
        return {model: entry.price for model, entry in self.servers().items()}

    def identity(self) -> dict[str, Any]:
        """Return what of it decides the dataset: not where the servers stand, what they cost, nor how hard they are
        worked.
        """
        left_out = {"endpoint", "api_key_env", "concurrency", "max_calls", "editor_devices"}
        # Datasets from before these could be chosen have the defaults.
        left_out |= {
            name
            for name, usual in (
                ("max_new_tokens", 512),
                ("reader", "strict"),
                ("form", "text"),
                ("savings", ASK_EVERYTHING),
            )
            if getattr(self, name) == usual
        }
        deciding = self.model_dump(mode="json", exclude=left_out)
        deciding["judges"] = [self._deciding(judge) for judge in self.judges]
        for role in ("writer", "planner", "checker"):
            written = getattr(self, role)
            deciding[role] = written if written is None else self._deciding(written)
        return deciding

    def _deciding(self, written: str | ModelEntry) -> Any:
        """Return what of a model decides the dataset: its name alone, where nothing else differs from what holds for
        all.
        """
        if isinstance(written, str):
            return written
        decides = written.decides()
        if isinstance(written, JudgeEntry):
            decides = {name: value for name, value in decides.items() if value != getattr(self, name, None)}
        return decides if len(decides) > 1 else written.model


_OF_ALL_JUDGES = ("samples", "max_new_tokens", "reader", "form")
"""What a panel says of all judges that compare, and each may have for itself."""


def _check_judge(judge: JudgeEntry) -> None:
    """Refuse a judge that cannot be, before anything is loaded.

    Raises:
        InputError: its kind is unknown, or something is said of it that its kind does not have.
    """
    if judge.kind not in JUDGES:
        known = ", ".join(JUDGES)
        raise InputError(f"unknown kind of judge in {judge.model!r}; give one of {known}, or a model's name")
    has = {"vlm": (*SERVER_FIELDS, *_OF_ALL_JUDGES), "score": SERVER_FIELDS}.get(judge.kind, ())
    told = [name for name, value in judge if name != "model" and value is not None and name not in has]
    if told:
        raise InputError(f"panel: the judge {judge.model} has {', '.join(told)}, which a {judge.kind} does not take")
    if judge.kind == "pyiqa":
        _pyiqa_range(judge.argument)


def _vlm(judge: JudgeEntry, models: PanelModels) -> Judge:
    assert judge.samples is not None  # the panel's, if not its own
    assert judge.max_new_tokens is not None
    return VlmJudge(
        models.server(judge.argument),
        samples=judge.samples,
        max_new_tokens=judge.max_new_tokens,
        reader=judge.reader or "strict",
        form=judge.form or "text",
    )


def _score(judge: JudgeEntry, models: PanelModels) -> Judge:
    return ScorerJudge(VlmScorer(models.server(judge.argument)))


def _redaes(judge: JudgeEntry, _: PanelModels) -> Judge:
    from redaes.assessor import Assessor
    from redaes.backends.local import LocalBackend

    return AssessorJudge(Assessor(LocalBackend(judge.argument), mode="reasoned"))


def _pyiqa(judge: JudgeEntry, _: PanelModels) -> Judge:
    metric, worst, best = _pyiqa_range(judge.argument)
    return ScorerJudge(PyiqaScorer(metric, worst=worst, best=best))


def _pyiqa_range(argument: str) -> tuple[str, float, float]:
    """Return the metric, worst and best score."""
    metric, *bounds = argument.split(":")
    try:
        worst, best = map(float, bounds)
    except ValueError as error:
        raise InputError(f"judge pyiqa:{argument}: give metric, worst and best score: pyiqa:musiq:0:100") from error
    if not math.isfinite(best - worst) or best == worst:
        raise InputError(f"judge pyiqa:{argument}: worst and best score are {worst:g} and {best:g}; give two numbers")
    return metric, worst, best


JUDGES: dict[str, Callable[[JudgeEntry, PanelModels], Judge]] = {
    "vlm": _vlm,
    "score": _score,
    "redaes": _redaes,
    "pyiqa": _pyiqa,
}
"""Makers of judges by kind: a model asked to compare; one read at its score token; our own; a metric of the optional,
non-commercial package ``pyiqa``. A judge named without a kind is a ``vlm``."""


def _servers_of(panel: Panel, answers: Path | None) -> dict[str, ModelServers]:
    """Return the servers of every model that has any.

    Raises:
        InputError: a variable that holds no key.
    """
    entries = panel.servers()
    one_place = len({entry.endpoint for entry in entries.values()}) == 1

    def key_of(entry: ModelEntry) -> str | None:
        if entry.api_key_env is None and not one_place and entry.endpoint != panel.endpoint:
            # Whose key `REDAES_API_KEY` is nobody has said: another company's server must not get it.
            return ""
        return key_from(entry.api_key_env)

    return {
        model: ModelServers(
            entry.endpoint or (),
            model,
            revision=entry.revision or "",
            api_key=key_of(entry),
            concurrency=entry.concurrency or 1,
            timeout_s=entry.timeout_s or ANSWER_S,
            max_calls=entry.max_calls,
            max_tokens=entry.max_tokens,
            cache=answers,
        )
        for model, entry in entries.items()
    }


def check_servers(panel: Panel) -> list[str]:
    """See that every model of a panel can be asked, before anything is spent; not to be called from a running event
    loop.

    Returns:
        What is wrong with single servers of a model that has others.

    Raises:
        InputError: a variable that holds no key, or a server that has other models only.
        BackendError: a model no server of which is reached, or one that refuses the key.
        MissingDependency: httpx is absent.
    """
    servers = _servers_of(panel, None)

    async def greeted() -> list[list[str]]:
        return await asyncio.gather(*(one.greet() for one in servers.values()))

    return [note for notes in asyncio.run(greeted()) for note in notes]


class PanelModels:
    """A panel at work in one process: editors are loaded once, answers are kept in the dataset's folder.

    Used as ``async with models: …`` for as long as questions are put: connections to all servers stay open. Judges may
    be asked from other threads meanwhile.
    """

    def __init__(self, panel: Panel, folder: Path, devices: Sequence[str] = ()) -> None:
        """
        Args:
            panel: who is wanted.
            folder: the dataset's; answers go to ``answers/`` in it, so that no question is paid for twice.
            devices: where the editors work; none: one copy of each, wherever it finds a place.

        Raises:
            InputError, BackendError, MissingDependency: a judge or key that cannot be had.
        """
        self.panel = panel
        self.editors = EditorPool(dict(panel.editor_options), devices)
        self._servers = _servers_of(panel, folder / "answers")
        self._open: AsyncExitStack | None = None
        self.judges = [JUDGES[judge.kind](judge, self) for judge in panel.judge_entries]
        self.similarity = None if panel.similarity is None else Similarity(Path(panel.similarity))

    async def __aenter__(self) -> PanelModels:
        """Open the connections of every model, on the loop that runs."""
        async with AsyncExitStack() as opened:
            for servers in self._servers.values():
                await opened.enter_async_context(servers)
            self._open = opened.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close them, and have the editors take nothing more on."""
        self.editors.close()
        opened, self._open = self._open, None
        if opened is not None:
            await opened.aclose()

    def server(self, model: str) -> ModelServers:
        """Return the servers of a model; the same in all its roles, because calls are counted and limited for each
        model.
        """
        return self._servers[model]

    async def put(self, model: str, question: Callable[[ChatModel], Awaitable[Answer]]) -> Answer:
        """Put questions to a model that is open.

        Raises:
            BudgetExhausted: not all of them could be paid for. Taken for an answer, that would stay in the dataset.
            BackendError: none of them was answered.
        """
        return await self._servers[model].put(question)

    def uses(self) -> dict[str, Use]:
        """Return what the servers of each model have done, as ``model <name>``."""
        return {
            f"model {name}": Use(servers.capacity, servers.busy_s, servers.n_sent)
            for name, servers in self._servers.items()
        }

    def counts(self) -> Counter[str]:
        """Return what became of the requests so far, as ``<model>: <outcome>``, and what read the judges' answers."""
        counted = [*((name, servers.counts) for name, servers in self._servers.items())]
        counted += [(judge.name, judge.counts) for judge in self.judges if isinstance(judge, VlmJudge)]
        return Counter({f"{name}: {what}": n for name, counts in counted for what, n in counts.items()})
