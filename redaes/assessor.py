"""The assessor: which of two pictures is better, by how much, and why; each pair is asked in both orders.

docs/reading.md describes how a verdict is read from a model's answers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from PIL import Image

from redaes import prompts
from redaes.assessing import choosing, placing, reasons
from redaes.assessing import orders as both_orders
from redaes.assessing.agreement import SampleAgreement, checked_draws, draw_agreements
from redaes.assessing.asking import Asked, Questions, in_orders
from redaes.assessing.conclusions import AskedAs, of_answers, of_same
from redaes.assessing.measured_question import with_evidence
from redaes.assessing.results import RankedPictures, ReferenceSet, Result, Score, Unplaced, answer_of
from redaes.assessing.settings import asked_form, check_samples, known_mode, known_prompt
from redaes.assessing.thumbnails import Thumbnails
from redaes.backends.base import Backend
from redaes.backends.forms import JSON_SAMPLING, AskedForm, form_of_backend, known_form
from redaes.backends.temperatures import Temperature, temperature_of
from redaes.errors import InputError
from redaes.images import LoadedImage, TakenPicture, content_id, named_pictures, same_picture, take_picture, taken_pair
from redaes.lenient import Reader, known_reader
from redaes.points import delta_of, points_of
from redaes.prompts import Mode, Prompt
from redaes.reference_photographs import NAME as EMBEDDED
from redaes.reference_photographs import reference_photographs
from redaes.types import Comparison, Form, ImageRef, Order, PairAnswer, Ranking, Sampling

if TYPE_CHECKING:
    from redaes.images.given import PictureInput

__all__ = [
    "Assessor", "Orders", "ReferenceSet", "Result", "Score", "answer_of", "check_samples", "delta_of", "known_mode",
    "known_prompt", "points_of",
]  # fmt: skip

_DTYPES = ("float32", "bfloat16")

Orders = Literal["both", "random"]
"""In which orders each pair is asked: in both, or in one that is drawn from the pictures' ids."""


class Assessor:
    """Compare, rank and score pictures by asking a model about pairs in both orders."""

    def __init__(
        self,
        backend: Backend | None = None,
        *,
        mode: Mode = "reasoned",
        sampling: Sampling | None = None,
        prompt: str | None = None,
        reader: Reader | None = None,
        form: AskedForm | None = None,
        agreement: int = 0,
    ) -> None:
        """
        Args:
            backend: the model to ask; None: ``redaes/nano``, which comes with the package.
            mode: ``reasoned``: the model writes its reasons and states the difference; ``fast``: only the probability
                of one token is read in each order.
            sampling: how reasoned answers are sampled; None: greedily, up to 256 tokens, or 512 in the JSON form.
            prompt: another of :func:`redaes.prompts.known`: a paraphrase, or the question with measurements of both
                pictures (``compare_measured/v1``, which then holds for both modes); None: the usual question.
            reader: ``strict``: written answers must follow the form exactly; ``lenient``: so may unambiguous variants
                (:mod:`redaes.lenient`), for models not trained on the form; None: the reader that suits the model.
            form: form of reasoned answers: ``text``, ``json``, or ``auto``, the one that suits the model
                (:mod:`redaes.backends.forms`); None: the prompt's form, or ``auto`` where no prompt is named.
            agreement: answers to sample in each order where a server reports no probabilities. Rankings and scores are
                then computed from their agreement (:mod:`redaes.assessing.agreement`); 0: such a model cannot rank or
                score.

        Raises:
            InputError: the mode, reader or form is unknown; the prompt does not belong to the mode or does not exist in
                the form; or ``agreement`` is out of range.
        """
        self.agreement = checked_draws(agreement)
        self.mode = known_mode(mode)
        self._prompts = prompts.chosen(self.mode, prompt)
        self._form = asked_form(self._prompts["reasoned"], form, named=prompt is not None and mode == "reasoned")
        self._sampling = sampling
        known_reader(reader or "strict")
        if backend is None:
            from redaes.backends.local import LocalBackend

            backend = LocalBackend()
        self.backend = backend
        self.reader = known_reader(getattr(backend, "reader", "strict") if reader is None else reader)
        self._questions = Questions(backend, self.reader)
        self._default_references: ReferenceSet | None = None

    @classmethod
    def from_server(
        cls,
        url: str,
        model: str | None = None,
        *,
        api_key: str | None = None,
        mode: Mode = "reasoned",
        sampling: Sampling | None = None,
        prompt: str | None = None,
        reader: Reader = "lenient",
        form: AskedForm | None = None,
        agreement: int = 0,
    ) -> Assessor:
        """Make an assessor that asks a model behind a server of the OpenAI protocol, in the way that suits it.

        Args:
            url: the server's address, such as ``http://localhost:11434/v1``.
            model: the model's name on the server; None: the only model that the server offers.
            api_key: the server's key; None: the environment variable ``REDAES_API_KEY``, or no key.
            mode: as for the class.
            sampling: as for the class.
            prompt: as for the class.
            reader: as for the class; ``strict`` suits models that were trained on the form.
            form: as for the class.
            agreement: as for the class.

        Raises:
            InputError: as for the class; ``url`` is not an address; or several models are offered and none is named.
            EndpointError: the server cannot be reached, or refuses.
        """
        from redaes.backends.connecting import connect

        prompts.chosen(known_mode(mode), prompt)
        served = connect(url, model, api_key=api_key, reader=known_reader(reader))
        return cls(served, mode=mode, sampling=sampling, prompt=prompt, reader=reader, form=form, agreement=agreement)

    @classmethod
    def from_pretrained(
        cls,
        model: str,
        adapter: str | Path | None = None,
        *,
        device: str | None = None,
        dtype: str | None = None,
        revision: str | None = None,
        mode: Mode = "reasoned",
        sampling: Sampling | None = None,
        prompt: str | None = None,
        reader: Reader | None = None,
        form: AskedForm | None = None,
    ) -> Assessor:
        """Make an assessor that asks a model in this process.

        Args:
            model: ``redaes/nano``, a folder, or a model's name on the Hugging Face hub.
            adapter: folder of a LoRA adapter for the model; None: no adapter.
            device: where the model computes, such as ``cuda``; None: the best device of this machine.
            dtype: type of the weights, ``bfloat16`` or ``float32``; None: ``bfloat16`` on CUDA, otherwise ``float32``.
            revision: branch, tag or commit of a model on the hub; None: its main branch.
            mode: as for the class.
            sampling: as for the class.
            prompt: as for the class.
            reader: as for the class.
            form: as for the class.

        Raises:
            InputError: as for the class, or an unknown ``dtype``.
            BackendError: the model cannot be loaded.
        """
        prompts.chosen(known_mode(mode), prompt)
        known_reader(reader or "strict")
        known_form(form or "auto")
        if dtype not in (None, *_DTYPES):
            raise InputError(f"dtype is {dtype!r}; give one of {', '.join(_DTYPES)}, or leave it out")
        import torch

        from redaes.backends.local import LocalBackend

        backend = LocalBackend(
            model,
            adapter=None if adapter is None else Path(adapter),
            device=device,
            dtype=None if dtype is None else getattr(torch, dtype),
            hub_revision=revision,
        )
        return cls(backend, mode=mode, sampling=sampling, prompt=prompt, reader=reader, form=form)

    @property
    def form(self) -> Form:
        """The form of reasoned answers; if it is ``auto`` and the model is behind a server, the server is asked now.

        Raises:
            EndpointError: the server does not answer.
        """
        if self._form == "auto":
            self._form = form_of_backend(self.backend)
        return self._form

    @property
    def sampling(self) -> Sampling:
        """How answers are sampled in the assessor's own mode."""
        return self._sampling_in(self.mode)

    def _sampling_in(self, mode: Mode) -> Sampling:
        if self._sampling is None:
            return JSON_SAMPLING if mode == "reasoned" and self.form == "json" else Sampling()
        return self._sampling

    @property
    def prompt_id(self) -> str:
        """``name/version@hash`` of the question in the assessor's own mode."""
        return self.prompt_of(self.mode).id

    def calibration(self, mode: Mode) -> Temperature | None:
        """Return the temperature that calibrates the model's probabilities in a mode; None: there is none."""
        return temperature_of(self.backend, self.prompt_of("fast").id, mode)

    def compare(
        self,
        first: PictureInput,
        second: PictureInput,
        *,
        check: bool = True,
        samples: int = 0,
    ) -> Result:
        """Compare two pictures: files, PIL pictures, arrays or tensors (:func:`redaes.images.take_picture`).

        Args:
            first: a picture.
            second: another.
            check: measure both pictures and check the reasoning against the measurements; only in the reasoned mode.
            samples: as for :meth:`compare_many`.

        Raises:
            ImageError: a picture cannot be used; the message names it and the remedy.
            BackendError: the model cannot be asked.
            InputError: ``samples`` is negative, or asked for in the fast mode.
        """
        check_samples(samples, self.mode)
        pair = take_picture(first, "first"), take_picture(second, "second")
        return self._taken([pair], self.mode, "both", None, check=check, samples=samples)[0]

    def compare_many(
        self,
        pairs: Sequence[tuple[PictureInput, PictureInput]],
        mode: Mode | None = None,
        orders: Orders = "both",
        *,
        check: bool | reasons.Pixels = False,
        samples: int = 0,
    ) -> list[Result]:
        """Compare many pairs of pictures in batches, whose size the backend chooses.

        In the reasoned mode the verdict is read from probabilities, as in the fast mode, and the reasons are written
        beside it. Where no probabilities can be read, the verdict is the written one.

        Args:
            pairs: pairs of pictures in the forms that :meth:`compare` takes. All are loaded before anything is asked.
                Pairs of two equal pictures are ties, and the model is not asked about them.
            mode: ``reasoned`` or ``fast``; None: the assessor's mode.
            orders: ``both``, or ``random``: one order, drawn from the two ids; half the cost, but order bias stays.
            check: True: measure both pictures at their own resolution where it is known, which may take seconds a pair,
                and check the reasoning against that; only in the reasoned mode. Or a function that gives a picture at
                its own resolution.
            samples: number of further reasonings to sample for each pair with a winner; of those that agree with the
                verdict, the best supported one is shown. Needs ``check``.

        Raises:
            ImageError: a picture cannot be used; the message names it and the remedy.
            BackendError: the model cannot be asked, or its probabilities are not numbers.
            InputError: the mode is unknown; or ``samples`` is negative, or given without ``check`` or in the fast mode.
        """
        mode = self.mode if mode is None else known_mode(mode)
        check_samples(samples, mode)
        taken = [taken_pair(pair, f"pairs[{number}]") for number, pair in enumerate(pairs)]
        pixels = check if callable(check) else None
        return self._taken(taken, mode, orders, pixels, check=check is not False, samples=samples)

    def _taken(
        self,
        pairs: Sequence[tuple[TakenPicture, TakenPicture]],
        mode: Mode,
        orders: Orders,
        pixels: reasons.Pixels | None,
        *,
        check: bool,
        samples: int,
    ) -> list[Result]:
        """Do the work of :meth:`compare_many`; pictures without a file are measured as they were handed over."""
        in_memory = {one.loaded.ref.id: one.whole for pair in pairs for one in pair if one.whole is not None}

        def whole(picture: LoadedImage) -> Image.Image | None:
            return in_memory.get(picture.ref.id) or reasons.from_file(picture)

        loaded = [(first.loaded, second.loaded) for first, second in pairs]
        results = self._compared(loaded, mode, orders, pixels or whole, check=check, samples=samples)
        for pair, result in zip(pairs, results, strict=True):
            if any(one.whole is not None for one in pair):
                result.keep(Thumbnails(one.loaded for one in pair))
        return results

    def _compared(
        self,
        pairs: Sequence[tuple[LoadedImage, LoadedImage]],
        mode: Mode,
        orders: Orders,
        pixels: reasons.Pixels,
        *,
        check: bool,
        samples: int,
    ) -> list[Result]:
        """Do the work of :meth:`compare_many`; what the question and the check both need is measured once."""
        check_samples(samples, mode)
        if samples and not check:
            raise InputError(
                f"samples is {samples}, but without check nothing is measured by which a rationale could be chosen; "
                "set check=True"
            )
        prompt, sampling = self.prompt_of(mode), self._sampling_in(mode)
        asked: list[list[Asked]] = []
        measured = [reasons.Measuring(first, second, pixels) for first, second in pairs]
        for (first, second), measuring in zip(pairs, measured, strict=True):
            chosen: tuple[Order, ...] = ()
            if not same_picture(first, second):
                chosen = both_orders.ORDERS if orders == "both" else (_drawn_order(first.ref.id, second.ref.id),)
            questions = with_evidence(prompt, measuring) if chosen else {}
            asked.append(in_orders(questions, first.image, second.image, sampling, orders=chosen))
        answered = self._asked(asked, mode)
        draws = self._drawn(asked, answered, samples) if samples else [[] for _ in asked]
        agreements = self._agreements(asked, answered, mode)
        asked_as = AskedAs(self.backend.model, self.backend.revision, prompt.id, mode, self.calibration(mode))
        return [
            of_answers(pair, found, drawn, asked_as, measuring if check else None, agreements[place])
            if requests
            else of_same(*pair, asked_as)
            for place, (pair, requests, found, drawn, measuring) in enumerate(
                zip(pairs, asked, answered, draws, measured, strict=True)
            )
        ]

    def _asked(self, asked: Sequence[Sequence[Asked]], mode: Mode) -> list[list[Comparison]]:
        """Return the answers about each pair, one for each request."""
        flat = [request for requests in asked for request in requests]
        if mode == "fast":
            return _by_pair(self._questions.fast(flat), asked)
        written = _by_pair(self._questions.written(flat, "reasoned"), asked)
        # Where neither order gave a usable answer, there are no reasons and there is no verdict to read.
        usable = [number for number, found in enumerate(written) if any(one.verdict is not None for one in found)]
        told, requests = [written[number] for number in usable], [asked[number] for number in usable]
        read = self._questions.with_readings(
            [one for found in told for one in found], [one for its in requests for one in its], self.prompt_of("fast")
        )
        for number, found in zip(usable, _by_pair(read, requests), strict=True):
            written[number] = found
        return written

    def _drawn(
        self, asked: Sequence[Sequence[Asked]], answered: Sequence[Sequence[Comparison]], samples: int
    ) -> list[list[Comparison]]:
        """Return further reasonings about each pair that is decided."""
        wanted: list[Sequence[Asked]] = []
        for requests, found in zip(asked, answered, strict=True):
            decision = both_orders.decide(found, "reasoned")
            wanted.append(requests if decision is not None and decision.winner is not None else ())
        places = [number for number, requests in enumerate(wanted) if requests]
        sampling = self._sampling_in("reasoned")
        drawn = reasons.draw(self._questions, [wanted[number] for number in places], samples, sampling)
        given = dict(zip(places, drawn, strict=True))
        return [given.get(number, []) for number in range(len(asked))]

    def _agreements(
        self, asked: Sequence[Sequence[Asked]], answered: Sequence[Sequence[Comparison]], mode: Mode
    ) -> list[SampleAgreement | None]:
        """Return how far repeated answers agree about each pair that is answered without a probability."""
        told: list[SampleAgreement | None] = [None for _ in asked]
        if not self.agreement:
            return told
        decisions = [both_orders.decide(found, mode) for found in answered]
        wanted = [number for number, one in enumerate(decisions) if one is not None and one.log_odds is None]
        prompt = self.prompt_of("fast")
        found = draw_agreements(self._questions, [asked[number] for number in wanted], prompt, self.agreement)
        for number, one in zip(wanted, found, strict=True):
            told[number] = one
        return told

    def prompt_of(self, mode: Mode) -> Prompt:
        """Return the question that the assessor asks in a mode."""
        name = self._prompts[mode]
        return prompts.load(prompts.in_form(name, self.form) if mode == "reasoned" else name)

    def rank(
        self,
        pictures: Sequence[PictureInput],
        *,
        top_k: int | None = None,
        max_calls: int | None = None,
        orders: Orders = "both",
        mode: Mode | None = None,
        seed: int = 0,
        known: Sequence[PairAnswer] = (),
        on_answers: Callable[[Sequence[PairAnswer]], None] | None = None,
    ) -> RankedPictures:
        """Order pictures, best first, with few comparisons (:class:`redaes.ranking.Schedule`).

        Args:
            pictures: in the forms that :meth:`compare` takes. Files and references are loaded when they are needed, and
                not all are kept in memory. Equal pictures share one place.
            top_k: stop as soon as it is settled which pictures are the best k; None: rank all.
            max_calls: most questions to the model; None: two for each of ``default_pairs``, and those for an
                ``agreement``.
            orders: as for :meth:`compare_many`.
            mode: None: the assessor's mode. A ranking uses no reasons, so ``fast`` gives the same much sooner.
            seed: seed of the schedule.
            known: answers of an earlier, interrupted call with the same pictures and settings; not asked again.
            on_answers: called after each batch with all answers so far, which later serve as ``known``.

        Raises:
            ImageError: a picture cannot be used, or its file was changed.
            InputError: the budget cannot connect the pictures, ``top_k`` exceeds their number, or the mode is unknown.
            ParseError: so many answers were unusable that there is no common order.
            BackendError: the model cannot be asked.
        """
        mode = self.mode if mode is None else known_mode(mode)
        return placing.rank(
            lambda pairs: self.compare_many(pairs, mode, orders),
            named_pictures(pictures, "pictures"),
            n_questions=self._questions_about(orders),
            top_k=top_k,
            max_calls=max_calls,
            seed=seed,
            known=known,
            on_answers=on_answers,
        )

    def score_many(
        self,
        pictures: Sequence[PictureInput],
        references: ReferenceSet | None = None,
        *,
        comparisons: int = choosing.COMPARISONS,
        enough: float = 0.0,
        orders: Orders = "both",
    ) -> list[Score | Unplaced]:
        """Score several pictures against a fixed set of references, each by comparing it with the references that tell
        most about it (:class:`redaes.ranking.Placements`). The score of one does not depend on the others.

        Args:
            pictures: in the forms that :meth:`compare` takes; all are loaded at once.
            references: as for :meth:`score`; a chosen set works best (``keep`` of :meth:`reference_set`).
            comparisons: largest number of references that a picture is compared with.
            enough: standard error of a strength, in logits, below which nothing more is asked; 0: never stop early.
            orders: as for :meth:`compare_many`.

        Returns:
            For each picture its score, or the reason why it has none.

        Raises:
            ImageError, BackendError: as for :meth:`score`.
            InputError: as for :meth:`score`; or ``comparisons`` is below 1, or ``enough`` below 0.
            ParseError: as for :meth:`default_references`, if no references are given.
        """
        choosing.check_placing(comparisons, enough)
        taken = [take_picture(picture, f"pictures[{number}]") for number, picture in enumerate(pictures)]
        if references is None:
            references = self.default_references()
        mode = references.mode
        self.check_references(references, mode)
        return placing.score_adaptively(
            lambda pairs: self.compare_many(pairs, mode, orders),
            [one.loaded for one in taken],
            references,
            comparisons=comparisons,
            enough=enough,
            weight=float(self._questions_about(orders)),
        )

    def _questions_about(self, orders: Orders) -> int:
        """Return the number of questions that one comparison takes."""
        return (len(both_orders.ORDERS) if orders == "both" else 1) * (1 + self.agreement)

    def score(self, picture: PictureInput, references: ReferenceSet | None = None, *, orders: Orders = "both") -> Score:
        """Score one picture against a fixed set of references, by comparing it with each of them.

        The strength that fits the answers best is estimated while the references keep theirs. The questions are asked
        in the mode in which the set was ranked.

        Args:
            picture: a picture in a form that :meth:`compare` takes. It may be one of the set; equal pictures are ties.
            references: pictures that this very model and prompt ranked; None: :meth:`default_references`.
            orders: as for :meth:`compare_many`.

        Raises:
            ImageError: a picture cannot be used, or the file of a reference was changed.
            InputError: the set was ranked by another model or with another prompt.
            ParseError: no comparison gave a usable answer.
            BackendError: the model cannot be asked.
        """
        taken = take_picture(picture, "picture")
        if references is None:
            references = self.default_references()
        mode = references.mode
        self.check_references(references, mode)
        score = placing.score(lambda pairs: self.compare_many(pairs, mode, orders), taken.loaded, references)
        if taken.whole is not None:
            score.keep(Thumbnails([taken.loaded]))
        return score

    def default_references(self) -> ReferenceSet:
        """Return the packaged reference photographs (:mod:`redaes.reference_photographs`), ranked by the assessor's
        model in the fast mode; the ranking is made once.

        Raises:
            ParseError, BackendError: as for :meth:`rank`.
        """
        if self._default_references is None:
            self._default_references = self.reference_set(EMBEDDED, reference_photographs(), mode="fast")
        return self._default_references

    def reference_set(
        self,
        name: str,
        pictures: Sequence[str | Path | ImageRef],
        *,
        mode: Mode | None = None,
        keep: int | None = None,
        comparisons: int = choosing.COMPARISONS,
        known: Sequence[PairAnswer] = (),
        on_answers: Callable[[Sequence[PairAnswer]], None] | None = None,
    ) -> ReferenceSet:
        """Rank pictures, so that others can be scored against them.

        Args:
            name: name of the set in results; a digest of the pictures is appended.
            pictures: at least two different files, or references to files.
            mode: as for :meth:`rank`; pictures are later scored in the same mode.
            keep: rank the pictures as candidates with few comparisons and keep this many, those that tell most about
                other pictures (:func:`redaes.ranking.choose_informative`); None: keep all.
            comparisons: with ``keep``: number of references that a picture will be compared with.
            known: as for :meth:`rank`.
            on_answers: as for :meth:`rank`.

        Raises:
            InputError: fewer than two different pictures, pictures without a file, or ``keep`` is out of range.
            ImageError, ParseError, BackendError: as for :meth:`rank`.
        """
        mode = self.mode if mode is None else known_mode(mode)
        files = choosing.different_files(name, named_pictures(pictures, "pictures"))
        said = {frozenset((one.first, one.second)): one for one in known}

        def note(answers: Sequence[PairAnswer]) -> None:
            said.update({frozenset((one.first, one.second)): one for one in answers})
            if on_answers is not None:
                on_answers(answers)

        max_calls = None
        if keep is not None:
            choosing.check_choice(len(files), keep, comparisons)
            max_calls = choosing.PAIRS_PER_CANDIDATE * len(files) * self._questions_about("both")
        ranked = self.rank(list(files.values()), mode=mode, max_calls=max_calls, known=known, on_answers=note)
        strengths = Ranking(**{field: getattr(ranked, field) for field in Ranking.model_fields})
        choice = None
        if keep is not None:
            weight = float(self._questions_about("both"))
            strengths, choice = choosing.choose(strengths, list(said.values()), keep, comparisons, weight)
        return ReferenceSet(
            name=f"{name}@{choosing.digest_of(strengths.order)}",
            pictures=tuple(one for one in files.values() if one.id in strengths.scores),
            ranking=strengths,
            choice=choice,
            model=self.backend.model,
            revision=self.backend.revision,
            prompt_id=self.prompt_of(mode).id,
            mode=mode,
            agreement=self.agreement,
        )

    def check_references(self, references: ReferenceSet, mode: Mode | None = None) -> None:
        """Refuse references that another model or prompt ranked.

        Args:
            references: a reference set.
            mode: the mode in which its pictures are to be compared with others; None: the assessor's mode.

        Raises:
            InputError: another model or prompt ranked the set.
        """
        own = (self.backend.model, self.backend.revision, self.prompt_of(mode or self.mode).id)
        choosing.refuse_other_judge(references, own, self.agreement)


def _by_pair(found: Sequence[Comparison], asked: Sequence[Sequence[Asked]]) -> list[list[Comparison]]:
    """Return a list of answers cut into the answers about each pair."""
    rest = iter(found)
    return [[next(rest) for _ in requests] for requests in asked]


def _drawn_order(first: str, second: str) -> Order:
    """Return one of the two orders, drawn from the ids: the same picture stands first however the pair is listed."""
    low, high = sorted((first, second))
    low_first = int(content_id(f"{low} {high}".encode())[:8], 16) % 2 == 0
    return "forward" if low_first == (first == low) else "swapped"
