"""Who edits, judges and explains: a panel as a recipe has it, and its models at work in one process."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any, TypeVar

from pydantic import BeforeValidator, Field, FiniteFloat, model_validator

from redaes.backends.connecting import key_from, versioned_url
from redaes.backends.endpoint import Endpoint
from redaes.datagen.consensus import ConsensusRules
from redaes.datagen.dataset_settings import WrittenSettings, whole_number
from redaes.datagen.editor_pool import EditorPool
from redaes.datagen.filters import Similarity
from redaes.datagen.judges import AssessorJudge, Judge, PyiqaScorer, ScorerJudge, VlmJudge, VlmScorer
from redaes.errors import BackendError, BudgetExhausted, InputError
from redaes.lenient import Reader
from redaes.types import Form

Answer = TypeVar("Answer")


def _as_items(value: Any) -> Any:
    """The items of a mapping, in the order of their names; anything else as it is."""
    return tuple(sorted(value.items())) if isinstance(value, dict) else value


class Panel(WrittenSettings):
    """Who edits, judges and explains: what determines a judged dataset, besides `DatasetSettings` and the
    photographs."""

    where = "panel"

    endpoint: str
    """OpenAI-compatible server of all models below, such as ``http://127.0.0.1:8000/v1``; without a path, ``/v1``."""
    judges: Annotated[tuple[str, ...], Field(min_length=1)]
    """Who judges, each once, as `JUDGES` makes them: a model's name, or ``kind:argument`` such as
    ``score:Qwen/Qwen3-VL-8B``, ``redaes:models/ours`` and ``pyiqa:musiq:0:100``."""
    writer: str
    """Model that writes the reasoning."""
    editors: Annotated[tuple[str, ...], Field(min_length=1)] = ("diffusers",)
    """Names for `redaes.datagen.editors.load_editor`; a group's edits take them in turn."""
    editor_options: Annotated[tuple[tuple[str, str | int | float | bool], ...], BeforeValidator(_as_items)] = ()
    """For every editor, such as ``("steps", 4)`` and ``("offload", "model")``; a mapping in a recipe."""
    planner: str | None = None
    """Model that looks at a view and words fitting instructions; None: they are drawn from the templates."""
    checker: str | None = None
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
    """In which form judging models are asked: ``json`` suits those that were not trained on the text form."""
    max_rewrites: Annotated[int, whole_number(0)] = 2
    """How often a text with faults is sent back to its writer."""
    concurrency: Annotated[int, whole_number(1)] = 8
    """Requests to each model under way at once, in each worker."""
    max_calls: Annotated[int, whole_number(0)] | None = None
    """Most requests to each model in each worker's life; None: no limit."""
    editor_devices: tuple[str, ...] = ()
    """Where editors work, such as ``[cuda:0, cuda:1]``: a copy of each editor on every one, shared out among the
    workers of this machine; none: one copy in each worker, on the first device that it finds."""
    rules: ConsensusRules = ConsensusRules()
    """When the judges agree."""

    @model_validator(mode="after")
    def _complete(self) -> Panel:
        if len(set(self.judges)) != len(self.judges):
            raise InputError(f"panel: judges are {self.judges}; name each once")
        if (self.similarity is None) != (self.min_similarity is None):
            raise InputError("panel: similarity and min_similarity go together: give both, or neither")
        return self

    def identity(self) -> dict[str, Any]:
        """What of it decides the dataset: not where the server stands, nor how hard it is worked."""
        left_out = {"endpoint", "api_key_env", "concurrency", "max_calls", "editor_devices"}
        # Datasets from before these could be chosen have the defaults.
        left_out |= {
            name
            for name, usual in (("max_new_tokens", 512), ("reader", "strict"), ("form", "text"))
            if getattr(self, name) == usual
        }
        return self.model_dump(mode="json", exclude=left_out)


def _vlm(model: str, models: PanelModels) -> Judge:
    panel = models.panel
    return VlmJudge(
        models.endpoint(model),
        samples=panel.samples,
        max_new_tokens=panel.max_new_tokens,
        reader=panel.reader,
        form=panel.form,
    )


def _score(model: str, models: PanelModels) -> Judge:
    return ScorerJudge(VlmScorer(models.endpoint(model)))


def _redaes(model: str, _: PanelModels) -> Judge:
    from redaes.assessor import Assessor
    from redaes.backends.local import LocalBackend

    return AssessorJudge(Assessor(LocalBackend(model), mode="reasoned"))


def _pyiqa(argument: str, _: PanelModels) -> Judge:
    metric, *bounds = argument.split(":")
    try:
        worst, best = map(float, bounds)
    except ValueError as error:
        raise InputError(f"judge pyiqa:{argument}: give metric, worst and best score: pyiqa:musiq:0:100") from error
    return ScorerJudge(PyiqaScorer(metric, worst=worst, best=best))


JUDGES: dict[str, Callable[[str, PanelModels], Judge]] = {
    "vlm": _vlm,
    "score": _score,
    "redaes": _redaes,
    "pyiqa": _pyiqa,
}
"""Makers of judges by kind: a model asked to compare; one read at its score token; our own; a metric of the optional,
non-commercial package ``pyiqa``. A judge named without a kind is a ``vlm``."""


class PanelModels:
    """A panel at work in one process: editors are loaded once, answers are kept in the dataset's folder.

    Used as ``async with models: …`` for as long as questions are put: connections to all servers stay open.
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
        self._answers = folder / "answers"
        self.editors = EditorPool(dict(panel.editor_options), devices)
        self._endpoints: dict[str, Endpoint] = {}
        self._open: AsyncExitStack | None = None
        self.judges = [self._judge(name) for name in panel.judges]
        self.similarity = None if panel.similarity is None else Similarity(Path(panel.similarity))

    def _judge(self, name: str) -> Judge:
        kind, colon, argument = name.partition(":")
        if not colon:
            return _vlm(name, self)
        if kind not in JUDGES:
            raise InputError(f"unknown kind of judge in {name!r}; give one of {', '.join(JUDGES)}, or a model's name")
        return JUDGES[kind](argument, self)

    async def __aenter__(self) -> PanelModels:
        """Open the connections of every model, on the loop that runs."""
        async with AsyncExitStack() as opened:
            for model in filter(None, (self.panel.planner, self.panel.checker, self.panel.writer)):
                self.endpoint(model)
            for endpoint in self._endpoints.values():
                await opened.enter_async_context(endpoint)
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

    def endpoint(self, model: str) -> Endpoint:
        """The way to ask a model; one for each, because calls are counted and limited for each."""
        if model not in self._endpoints:
            self._endpoints[model] = Endpoint(
                versioned_url(self.panel.endpoint),
                model,
                api_key=key_from(self.panel.api_key_env),
                concurrency=self.panel.concurrency,
                max_calls=self.panel.max_calls,
                cache=self._answers,
            )
        return self._endpoints[model]

    async def put(self, model: str, question: Callable[[Endpoint], Awaitable[Answer]]) -> Answer:
        """Put questions to a model that is open.

        Raises:
            BudgetExhausted: not all of them could be paid for. Taken for an answer, that would stay in the dataset.
            BackendError: none of them was answered.
        """
        before = self.endpoint(model).counts.copy()
        answer = await question(self.endpoint(model))
        happened = self.endpoint(model).counts - before
        if happened["failed: budget_exhausted"]:
            raise BudgetExhausted(f"{model}: max_calls {self.panel.max_calls} is spent; run again to go on")
        failed = sorted(what for what in happened if what.startswith("failed: "))
        if failed and not happened["ok"] and not happened["cached"]:
            raise BackendError(
                f"{model} at {self.panel.endpoint} answers nothing ({', '.join(failed)}), the last time with: "
                f"{self.endpoint(model).last_failure}; run again to go on"
            )
        return answer

    def counts(self) -> Counter[str]:
        """What became of the requests so far, as ``<model>: <outcome>``, and what read the judges' answers."""
        counted = [*((name, endpoint.counts) for name, endpoint in self._endpoints.items())]
        counted += [(judge.name, judge.counts) for judge in self.judges if isinstance(judge, VlmJudge)]
        return Counter({f"{name}: {what}": n for name, counts in counted for what, n in counts.items()})
