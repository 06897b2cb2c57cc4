"""Who edits, judges and explains: a panel as a recipe states it, and its models at work in one process."""

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
"""Seconds that one answer of a model may take, unless its entry states otherwise."""


def _as_items(value: Any) -> Any:
    """Return the items of a mapping, in the order of their names; return anything else unchanged."""
    return tuple(sorted(value.items())) if isinstance(value, dict) else value


class Panel(WrittenSettings):
    """Who edits, judges and explains. Together with `DatasetSettings` and the photographs, it determines a judged
    dataset."""

    where = "panel"

    endpoint: Addresses = None
    """OpenAI-compatible server of all models below that state none of their own, such as ``http://127.0.0.1:8000/v1``;
    a URL without a path gets ``/v1``. Several servers, each of which has all these models, share the requests."""
    judges: Annotated[tuple[str | JudgeEntry, ...], BeforeValidator(as_judges)]
    """The judges, each once. A judge is a model's name, or ``kind:argument`` with a kind of `JUDGES`, such as
    ``score:Qwen/Qwen3-VL-8B``, ``redaes:models/ours`` and ``pyiqa:musiq:0:100``; or a mapping with that as ``model``
    and other fields of `JudgeEntry`."""
    writer: Annotated[str | ModelEntry, BeforeValidator(as_model)]
    """Model that writes the reasoning: its name, or a mapping with ``model`` and other fields of `ModelEntry`."""
    editors: Annotated[tuple[str, ...], Field(min_length=1)] = ("diffusers",)
    """Names for `redaes.datagen.editors.load_editor`; the edits of a group use them in turn."""
    editor_options: Annotated[tuple[tuple[str, str | int | float | bool], ...], BeforeValidator(_as_items)] = ()
    """Options of every editor, such as ``("steps", 4)`` and ``("offload", "model")``; in a recipe, a mapping."""
    planner: Annotated[str | ModelEntry | None, BeforeValidator(as_model)] = None
    """Model that looks at a view and writes fitting instructions; None: they are drawn from the templates."""
    checker: Annotated[str | ModelEntry | None, BeforeValidator(as_model)] = None
    """Model that checks whether an instruction was executed; None: measurements alone decide."""
    similarity: str | None = None
    """Folder of a DINOv2, SigLIP or CLIP model that compares each edit with its view; None: there is no such check."""
    min_similarity: Annotated[FiniteFloat, Field(strict=True)] | None = None
    """Smallest cosine of that model's features that passes; it depends on the model, so there is no default."""
    api_key_env: str | None = None
    """Environment variable with the server's key; None means ``REDAES_API_KEY``, or no key."""
    samples: Annotated[int, whole_number(1)] = 2
    """Number of answers of each judging model in each order."""
    max_new_tokens: Annotated[int, whole_number(1)] = 512
    """Longest answer of a judging model, in tokens, including its thoughts: models that think need thousands."""
    reader: Reader = "strict"
    """How a judging model's answers are read: the form alone, or (``lenient``) also unambiguous variants of it."""
    form: Form = "text"
    """The form in which judging models are asked: ``json`` suits those that were not trained on the text form."""
    max_rewrites: Annotated[int, whole_number(0)] = 2
    """Number of times that a text with faults is sent back to its writer."""
    concurrency: Annotated[int, whole_number(1)] = 8
    """Number of requests to each server of each model that are under way at once, in each worker."""
    max_calls: Annotated[int, whole_number(0)] | None = None
    """Largest number of requests to each model during each worker's life; None means no limit."""
    editor_devices: tuple[str, ...] = ()
    """Devices on which editors work, such as ``[cuda:0, cuda:1]``. Each has a copy of each editor, and the workers of
    this machine share the devices. If empty, each worker has one copy, on the first device that it finds."""
    rules: ConsensusRules = ConsensusRules()
    """Conditions under which judges agree."""
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
        self.reserve_places  # noqa: B018  # errors are raised now, not when the first view is judged
        if (self.similarity is None) != (self.min_similarity is None):
            raise InputError("panel: similarity and min_similarity go together: give both, or neither")
        return self

    @property
    def judge_entries(self) -> tuple[JudgeEntry, ...]:
        """The judges; settings that they do not state are filled in from the panel."""
        usual = {name: getattr(self, name) for name in _OF_ALL_JUDGES}
        found = []
        for written in self.judges:
            judge = JudgeEntry(model=written) if isinstance(written, str) else written
            missing = {name: value for name, value in usual.items() if getattr(judge, name) is None}
            found.append(judge.model_copy(update=missing) if judge.kind == SERVED[0] else judge)
        return tuple(found)

    @property
    def reserve_places(self) -> frozenset[int]:
        """Places of the judges that are asked only where the others do not agree."""
        return self.savings.reserve_places([judge.model for judge in self.judge_entries], self.rules.min_judges)

    @property
    def optional_columns(self) -> tuple[str, ...]:
        """Additional columns of its datasets: where pairs are not judged, the error of inferred differences."""
        return ("delta_error",) if self.savings.pair_share < 1 else ()

    @property
    def writer_entry(self) -> ModelEntry:
        """The entry of the writer."""
        return ModelEntry(model=self.writer) if isinstance(self.writer, str) else self.writer

    @property
    def planner_entry(self) -> ModelEntry | None:
        """The entry of the planner."""
        return ModelEntry(model=self.planner) if isinstance(self.planner, str) else self.planner

    @property
    def checker_entry(self) -> ModelEntry | None:
        """The entry of the checker."""
        return ModelEntry(model=self.checker) if isinstance(self.checker, str) else self.checker

    def servers(self) -> dict[str, ModelEntry]:
        """Return every model that is behind a server, by name. The settings of its servers come from any of its roles,
        and else from the panel.

        Raises:
            InputError: a model has no server, or its roles contradict each other.
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
            # The panel's key is for the panel's server and must not be sent to another one.
            elsewhere = {"api_key_env"} if "endpoint" in told else set()
            for name in usual.keys() - told.keys() - elsewhere:
                told[name] = usual[name]
            if told["endpoint"] is None:
                raise InputError(f"panel: endpoint is missing; give it for all models, or for {model}")
        return {model: ModelEntry(model=model, **told) for model, told in found.items()}

    def prices(self) -> dict[str, TokenPrice | None]:
        """Return the token prices of each model behind a server; None if no price is stated."""
        return {model: entry.price for model, entry in self.servers().items()}

    def identity(self) -> dict[str, Any]:
        """Return the settings on which the dataset depends: not the addresses and prices of servers, nor how many
        requests they get at once.
        """
        left_out = {"endpoint", "api_key_env", "concurrency", "max_calls", "editor_devices"}
        # These settings are left out at their defaults, since older datasets did not have them.
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
        """Return the settings of a model on which the dataset depends: only its name, if it has no settings of its
        own.
        """
        if isinstance(written, str):
            return written
        decides = written.decides()
        if isinstance(written, JudgeEntry):
            decides = {name: value for name, value in decides.items() if value != getattr(self, name, None)}
        return decides if len(decides) > 1 else written.model


_OF_ALL_JUDGES = ("samples", "max_new_tokens", "reader", "form")
"""Settings of the panel for all judges that compare; each judge may override them."""


def _check_judge(judge: JudgeEntry) -> None:
    """Refuse an impossible judge before anything is loaded.

    Raises:
        InputError: its kind is unknown, or it has a setting that its kind does not have.
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
    assert judge.samples is not None  # filled in from the panel
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
    """Return the metric, the worst score and the best score."""
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
"""Functions that make judges, by kind: a model that compares; a model read at its score token; redaes itself; a metric
of the optional, non-commercial package ``pyiqa``. A judge named without a kind is a ``vlm``."""


def _servers_of(panel: Panel, answers: Path | None) -> dict[str, ModelServers]:
    """Return the servers of every model that has any.

    Raises:
        InputError: an environment variable that should hold a key does not.
    """
    entries = panel.servers()
    one_place = len({entry.endpoint for entry in entries.values()}) == 1

    def key_of(entry: ModelEntry) -> str | None:
        if entry.api_key_env is None and not one_place and entry.endpoint != panel.endpoint:
            # `REDAES_API_KEY` may belong to another company, so it is sent only to the servers of the panel.
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
    """Check that every model of a panel can be asked, before anything is spent. It must not be called from a running
    event loop.

    Returns:
        Messages about servers that are missing while others of the same model can be used.

    Raises:
        InputError: an environment variable that should hold a key does not, or a server has only other models.
        BackendError: no server of a model can be reached, or one refuses the key.
        MissingDependency: httpx is absent.
    """
    servers = _servers_of(panel, None)

    async def greeted() -> list[list[str]]:
        return await asyncio.gather(*(one.greet() for one in servers.values()))

    return [note for notes in asyncio.run(greeted()) for note in notes]


class PanelModels:
    """A panel at work in one process: editors are loaded once, answers are stored in the dataset's folder.

    It is used as ``async with models: …`` around all questions, so that connections to all servers stay open. Meanwhile
    judges may be asked from other threads.
    """

    def __init__(self, panel: Panel, folder: Path, devices: Sequence[str] = ()) -> None:
        """
        Args:
            panel: the panel.
            folder: the dataset's folder; its subfolder ``answers/`` keeps answers, so that none is paid for twice.
            devices: devices of the editors; if empty, there is one copy of each, on the device that it chooses.

        Raises:
            InputError, BackendError, MissingDependency: a judge cannot be loaded, or a key is missing.
        """
        self.panel = panel
        self.editors = EditorPool(dict(panel.editor_options), devices)
        self._servers = _servers_of(panel, folder / "answers")
        self._open: AsyncExitStack | None = None
        self.judges = [JUDGES[judge.kind](judge, self) for judge in panel.judge_entries]
        self.similarity = None if panel.similarity is None else Similarity(Path(panel.similarity))

    async def __aenter__(self) -> PanelModels:
        """Open the connections of every model on the running event loop."""
        async with AsyncExitStack() as opened:
            for servers in self._servers.values():
                await opened.enter_async_context(servers)
            self._open = opened.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the connections; the editors accept no further work."""
        self.editors.close()
        opened, self._open = self._open, None
        if opened is not None:
            await opened.aclose()

    def server(self, model: str) -> ModelServers:
        """Return the servers of a model. They are the same in all its roles, because calls are counted and limited for
        each model.
        """
        return self._servers[model]

    async def put(self, model: str, question: Callable[[ChatModel], Awaitable[Answer]]) -> Answer:
        """Put questions to a model whose connections are open.

        Raises:
            BudgetExhausted: the budget did not suffice; a partial result would stay in the dataset as if it were whole.
            BackendError: no request was answered.
        """
        return await self._servers[model].put(question)

    def uses(self) -> dict[str, Use]:
        """Return how much the servers of each model were used, as ``model <name>``."""
        return {
            f"model {name}": Use(servers.capacity, servers.busy_s, servers.n_sent)
            for name, servers in self._servers.items()
        }

    def counts(self) -> Counter[str]:
        """Return the outcomes of requests so far, as ``<model>: <outcome>``, and how the judges' answers were read."""
        counted = [*((name, servers.counts) for name, servers in self._servers.items())]
        counted += [(judge.name, judge.counts) for judge in self.judges if isinstance(judge, VlmJudge)]
        return Counter({f"{name}: {what}": n for name, counts in counted for what, n in counts.items()})
