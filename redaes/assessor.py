"""The product: which of two pictures is better, by how much, and why; asked in both orders, and debiased.

How an answer is read from a model is written down in docs/reading.md.
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
"""How often each pair is asked: in both orders, or in one that is drawn."""


class Assessor:
    """Compares, ranks and scores pictures by asking a model in both orders."""

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
            backend: the model to ask; None: the one that comes in the package, ``redaes/nano``.
            mode: ``reasoned``: the model writes its reasons and states the difference; ``fast``: one token is
                read in each order.
            sampling: how reasoned answers are drawn; None: greedily, up to 256 tokens, or 512 in the JSON form.
            prompt: another question, one of :func:`redaes.prompts.known`: in other words, or with what was measured of
                both pictures (``compare_measured/v1``, then in both modes); None: the usual one.
            reader: ``strict``: written answers are read in the form itself; ``lenient``: also in variants that can mean
                one thing only (:mod:`redaes.lenient`), for models that were not trained on the form; None: as suits the
                model.
            form: of reasoned answers: ``text``, ``json``, or ``auto``: as suits the model, which a server is asked
                once (:mod:`redaes.backends.forms`); None: that of the prompt, or ``auto`` where none is named.
            agreement: answers to draw in each order where no probability can be read (a server may report none); their
                agreement is told beside the verdict (:mod:`redaes.assessing.agreement`), and rankings and scores are
                made of it. 0: none; then there is nothing to rank or score by.

        Raises:
            InputError: unknown mode, reader or form; a prompt that does not belong to the mode, or is not there in the
                form; or no such number of answers.
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
        """Return one that asks a model behind any server of the OpenAI protocol, in the way that suits the server.

        Args:
            url: such as ``http://localhost:11434/v1``.
            model: its name there; None: the only one that the server offers.
            api_key: None: the environment's ``REDAES_API_KEY``, or none at all.
            mode: as for the class, like the rest.
            sampling: likewise.
            prompt: likewise.
            reader: ``strict`` suits models that were trained on the form.
            form: as for the class.
            agreement: likewise.

        Raises:
            InputError: as for the class; or the address is none, or several models are offered and none is named.
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
        """Return one that asks a model in this process.

        Args:
            model: ``redaes/nano``, a folder, or a name on the hub.
            adapter: folder of a LoRA adapter for it.
            device: such as ``cuda``; None: the best there is.
            dtype: ``bfloat16`` or ``float32``; None: the former on CUDA, else the latter.
            revision: branch, tag or commit of a model on the hub; None: the newest.
            mode: as for the class, like the rest.
            sampling: likewise.
            prompt: likewise.
            reader: likewise.
            form: likewise.

        Raises:
            InputError: as for the class, or another ``dtype``.
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
        """Of its reasoned answers; where that is to suit a model behind a server, it is asked for it now.

        Raises:
            EndpointError: it does not answer.
        """
        if self._form == "auto":
            self._form = form_of_backend(self.backend)
        return self._form

    @property
    def sampling(self) -> Sampling:
        """How its answers are drawn in its own mode."""
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
        """Return the temperature that counts for the model's probabilities in a mode; None: nothing is known of
        them.
        """
        return temperature_of(self.backend, self.prompt_of("fast").id, mode)

    def compare(
        self,
        first: PictureInput,
        second: PictureInput,
        *,
        check: bool = True,
        samples: int = 0,
    ) -> Result:
        """Compare two pictures: files, PIL pictures, arrays or tensors, as :func:`redaes.images.take_picture` has them.

        Args:
            first: a picture.
            second: another.
            check: measure both pictures and hold the reasoning against that; only in the reasoned mode.
            samples: as for :meth:`compare_many`.

        Raises:
            ImageError: a picture that cannot be used; names it and the remedy.
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
        """Compare many pairs of pictures, in as few and as large batches as the backend makes of them.

        In the reasoned mode the verdict is read without reasons, as in the fast one, and the reasons are written beside
        it; where the model's probabilities cannot be read, the verdict is the written one.

        Args:
            pairs: of pictures in the forms that :meth:`compare` takes. All are loaded at once; nothing is asked before.
                Pairs with equal ids are ties and cost nothing.
            mode: None: the assessor's.
            orders: ``both``, or ``random``: one, drawn from the two ids, at half the cost and not debiased.
            check: measure the pictures of each pair and hold the reasoning against that, up to seconds a pair; only in
                the reasoned mode. True: at their own resolution as far as it is to be had; or what gives a
                picture at its own resolution.
            samples: further reasonings to draw for each pair that is decided; of those that agree with the verdict, the
                best supported one is shown. It takes ``check``.

        Raises:
            ImageError: a picture that cannot be used; names it and the remedy.
            BackendError: the model cannot be asked, or its probabilities are not numbers.
            InputError: unknown mode; or ``samples`` is negative, or asked for without ``check`` or in the fast mode.
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
        """As :meth:`compare_many`; pictures that came without a file are measured as they were handed over."""
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
        """As :meth:`compare_many`; what is measured, for the question or for the check, is measured once."""
        check_samples(samples, mode)
        if samples and not check:
            raise InputError(f"samples is {samples}, and nothing is measured to choose among them by; ask with check")
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
        # Where no order says anything that can be used there are no reasons, and no verdict to look for.
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
        """Return the question that it asks in a mode."""
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
            pictures: in the forms that :meth:`compare` takes. Files and references are loaded when they are needed and
                not all kept. Equal pictures take one place.
            top_k: stop as soon as it is settled which pictures are the best k.
            max_calls: budget of questions to the model, those for an ``agreement`` included; None: two for each of
                ``default_pairs``, and those.
            orders: as for :meth:`compare_many`.
            mode: None: the assessor's. No reason is used for a ranking, so ``fast`` gives the same much sooner.
            seed: of the schedule.
            known: answers of an earlier, interrupted call with the same pictures and settings: not asked again.
            on_answers: called after each batch with all answers so far, which later serve as ``known``.

        Raises:
            ImageError: a picture cannot be used, or its file was changed.
            InputError: the budget cannot connect the pictures, or ``top_k`` leaves their number; unknown mode.
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
        """Return where each of several pictures stands among a fixed set of others, by comparing it with the references
        that tell most about it (:class:`redaes.ranking.Placements`). What becomes of one does not depend on the others.

        Args:
            pictures: in the forms that :meth:`compare` takes; all are loaded at once.
            references: as for :meth:`score`; best a set that was chosen (``keep`` of :meth:`reference_set`).
            comparisons: largest number of references that a picture is compared with.
            enough: standard error of a strength, in logits, from which on no more is asked about it; 0: none.
            orders: as for :meth:`compare_many`.

        Returns:
            For each picture its score, or why it has none.

        Raises:
            ImageError, BackendError: as for :meth:`score`.
            InputError: likewise; or ``comparisons`` is below 1, or ``enough`` below 0.
            ParseError: as for :meth:`default_references`, where no references are given.
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
        """Return questions that one comparison takes."""
        return (len(both_orders.ORDERS) if orders == "both" else 1) * (1 + self.agreement)

    def score(self, picture: PictureInput, references: ReferenceSet | None = None, *, orders: Orders = "both") -> Score:
        """Return where one picture stands among a fixed set of others, by comparing it with each of them.

        The strength that fits the answers best is estimated with those of the references held fixed. The questions are
        asked in the mode in which the set was ranked.

        Args:
            picture: in a form that :meth:`compare` takes; not necessarily one of the set; equal pictures are ties.
            references: with strengths that this very model and prompt gave them; None: :meth:`default_references`.
            orders: as for :meth:`compare_many`.

        Raises:
            ImageError: a picture cannot be used, or a reference's file was changed.
            InputError: the set was ranked by another model or prompt.
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
        """Return the pictures that come in the package (:mod:`redaes.reference_photographs`), ranked by the assessor's
        model in the fast mode, once.

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
            name: what results call it; a digest of the pictures is put behind it.
            pictures: files, or references to such: at least two different ones.
            mode: as for :meth:`rank`; others are scored in it, too.
            keep: take them for candidates, rank them with few comparisons, and keep so many, those that tell most
                about others (:func:`redaes.ranking.choose_informative`); None: all.
            comparisons: with ``keep``: references that a picture is going to be compared with.
            known: as for :meth:`rank`.
            on_answers: likewise.

        Raises:
            InputError: fewer than two different pictures, pictures without a file, or no such choice.
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
        """Refuse a set of another judge.

        Args:
            references: a set.
            mode: in which its pictures are to be compared with others; None: the assessor's.

        Raises:
            InputError: another model or prompt ranked it.
        """
        own = (self.backend.model, self.backend.revision, self.prompt_of(mode or self.mode).id)
        choosing.refuse_other_judge(references, own, self.agreement)


def _by_pair(found: Sequence[Comparison], asked: Sequence[Sequence[Asked]]) -> list[list[Comparison]]:
    """Return answers one after another, cut into those about each pair."""
    rest = iter(found)
    return [[next(rest) for _ in requests] for requests in asked]


def _drawn_order(first: str, second: str) -> Order:
    """Return one of the two orders, drawn from the ids: the same picture stands first however the pair is listed."""
    low, high = sorted((first, second))
    low_first = int(content_id(f"{low} {high}".encode())[:8], 16) % 2 == 0
    return "forward" if low_first == (first == low) else "swapped"
