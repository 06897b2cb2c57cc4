"""The product: which of two pictures is better, by how much, and why; asked in both orders, and debiased.

How an answer is read from a model is written down in docs/reading.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Literal, cast, get_args

from PIL import Image

from redaes import prompts, ranking
from redaes.assessing import orders as both_orders
from redaes.assessing import reasons
from redaes.assessing.asking import Asked, Questions, in_orders
from redaes.assessing.conclusions import AskedAs, of_answers, of_same
from redaes.assessing.measured_question import with_evidence
from redaes.assessing.results import ReferenceSet, Result, Score, answer_of, own_probability
from redaes.backends.base import Backend
from redaes.backends.forms import JSON_SAMPLING, AskedForm, form_of_backend, known_form
from redaes.backends.temperatures import Temperature, temperature_of
from redaes.errors import ImageError, InputError, ParseError
from redaes.images import LoadedImage, content_id, load_image, picture_in_memory
from redaes.lenient import Reader, known_reader
from redaes.points import delta_of, points_of
from redaes.prompts import Mode, Prompt
from redaes.types import MAX_DELTA, Comparison, Form, ImageRef, Order, PairAnswer, Ranking, Sampling

__all__ = [
    "Assessor", "Orders", "ReferenceSet", "Result", "Score", "answer_of", "delta_of", "known_mode", "known_prompt",
    "points_of", "unchanged",
]  # fmt: skip

_BATCH = 32
"""Comparisons that are handed to the backend at once when ranking: bounds the pictures in memory."""

_CENTRE = MAX_DELTA / 2

Orders = Literal["both", "random"]
"""How often each pair is asked: in both orders, or in one that is drawn."""


class Assessor:
    """Compares, ranks and scores pictures by asking a model in both orders."""

    def __init__(
        self,
        backend: Backend,
        *,
        mode: Mode = "reasoned",
        sampling: Sampling | None = None,
        prompt: str | None = None,
        reader: Reader | None = None,
        form: AskedForm | None = None,
    ) -> None:
        """
        Args:
            backend: the model to ask.
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

        Raises:
            InputError: unknown mode, reader or form, or a prompt that does not belong to the mode, or is not there in
                the form.
        """
        self.backend = backend
        self.reader = known_reader(getattr(backend, "reader", "strict") if reader is None else reader)
        self._questions = Questions(backend, self.reader)
        self.mode = known_mode(mode)
        self._prompts = prompts.chosen(self.mode, prompt)
        self._form = _asked_form(self._prompts["reasoned"], form, named=prompt is not None and mode == "reasoned")
        self._sampling = sampling

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
    ) -> Assessor:
        """One that asks a model behind any server of the OpenAI protocol, in the way that suits the server.

        Args:
            url: such as ``http://localhost:11434/v1``.
            model: its name there; None: the only one that the server offers.
            api_key: None: the environment's ``REDAES_API_KEY``, or none at all.
            mode: as for the class, like the rest.
            sampling: likewise.
            prompt: likewise.
            reader: ``strict`` suits models that were trained on the form.
            form: as for the class.

        Raises:
            InputError: as for the class; or the address is none, or several models are offered and none is named.
            EndpointError: the server cannot be reached, or refuses.
        """
        from redaes.backends.connecting import connect

        prompts.chosen(known_mode(mode), prompt)
        served = connect(url, model, api_key=api_key, reader=known_reader(reader))
        return cls(served, mode=mode, sampling=sampling, prompt=prompt, reader=reader, form=form)

    @classmethod
    def from_pretrained(
        cls,
        model: str,
        adapter: str | Path | None = None,
        *,
        device: str | None = None,
        mode: Mode = "reasoned",
        sampling: Sampling | None = None,
        prompt: str | None = None,
        reader: Reader | None = None,
        form: AskedForm | None = None,
    ) -> Assessor:
        """One that asks a model in this process.

        Args:
            model: ``redaes/nano``, a folder, or a name on the hub.
            adapter: folder of a LoRA adapter for it.
            device: such as ``cuda``; None: the best there is.
            mode: as for the class, like the rest.
            sampling: likewise.
            prompt: likewise.
            reader: likewise.
            form: likewise.

        Raises:
            InputError: as for the class.
            BackendError: the model cannot be loaded.
        """
        from redaes.backends.local import LocalBackend

        prompts.chosen(known_mode(mode), prompt)
        known_reader(reader or "strict")
        known_form(form or "auto")
        backend = LocalBackend(model, adapter=None if adapter is None else Path(adapter), device=device)
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
        """The temperature that counts for the model's probabilities in a mode; None: nothing is known of them."""
        return temperature_of(self.backend, self.prompt_of("fast").id, mode)

    def compare(
        self,
        first: str | Path | Image.Image,
        second: str | Path | Image.Image,
        *,
        check: bool = True,
        samples: int = 0,
    ) -> Result:
        """Compare two pictures, given as files or as RGB (or grey) pictures in memory.

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
        pair = _loaded(first), _loaded(second)
        in_memory = {
            loaded.ref.id: given
            for loaded, given in zip(pair, (first, second), strict=True)
            if isinstance(given, Image.Image)
        }

        def pixels(picture: LoadedImage) -> Image.Image | None:
            return in_memory.get(picture.ref.id) or reasons.from_file(picture)

        return self._compared([pair], self.mode, "both", pixels, check=check, samples=samples)[0]

    def compare_many(
        self,
        pairs: Sequence[tuple[LoadedImage, LoadedImage]],
        mode: Mode | None = None,
        orders: Orders = "both",
        *,
        check: bool | reasons.Pixels = False,
        samples: int = 0,
    ) -> list[Result]:
        """Compare many pairs of loaded pictures, in as few and as large batches as the backend makes of them.

        In the reasoned mode the verdict is read without reasons, as in the fast one, and the reasons are written beside
        it; where the model's probabilities cannot be read, the verdict is the written one.

        Args:
            pairs: pictures with their ids; pairs with equal ids are ties and cost nothing.
            mode: None: the assessor's.
            orders: ``both``, or ``random``: one, drawn from the two ids, at half the cost and not debiased.
            check: measure the pictures of each pair and hold the reasoning against that, up to seconds a pair; only in
                the reasoned mode. True: at their own resolution as far as their files are there; or what gives a
                picture at its own resolution.
            samples: further reasonings to draw for each pair that is decided; of those that agree with the verdict, the
                best supported one is shown. It takes ``check``.

        Raises:
            BackendError: the model cannot be asked, or its probabilities are not numbers.
            InputError: unknown mode; or ``samples`` is negative, or asked for without ``check`` or in the fast mode.
        """
        mode = self.mode if mode is None else known_mode(mode)
        pixels = check if callable(check) else reasons.from_file
        return self._compared(pairs, mode, orders, pixels, check=check is not False, samples=samples)

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
            if first.ref.id != second.ref.id:
                chosen = both_orders.ORDERS if orders == "both" else (_drawn_order(first.ref.id, second.ref.id),)
            questions = with_evidence(prompt, measuring) if chosen else {}
            asked.append(in_orders(questions, first.image, second.image, sampling, orders=chosen))
        answered = self._asked(asked, mode)
        draws = self._drawn(asked, answered, samples) if samples else [[] for _ in asked]
        asked_as = AskedAs(self.backend.model, self.backend.revision, prompt.id, mode, self.calibration(mode))
        return [
            of_answers(pair, found, drawn, asked_as, measuring if check else None)
            if requests
            else of_same(*pair, asked_as)
            for pair, requests, found, drawn, measuring in zip(pairs, asked, answered, draws, measured, strict=True)
        ]

    def _asked(self, asked: Sequence[Sequence[Asked]], mode: Mode) -> list[list[Comparison]]:
        """The answers about each pair, one for each request."""
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
        """Further reasonings about each pair that is decided."""
        wanted: list[Sequence[Asked]] = []
        for requests, found in zip(asked, answered, strict=True):
            decision = both_orders.decide(found, "reasoned")
            wanted.append(requests if decision is not None and decision.winner is not None else ())
        places = [number for number, requests in enumerate(wanted) if requests]
        sampling = self._sampling_in("reasoned")
        drawn = reasons.draw(self._questions, [wanted[number] for number in places], samples, sampling)
        given = dict(zip(places, drawn, strict=True))
        return [given.get(number, []) for number in range(len(asked))]

    def prompt_of(self, mode: Mode) -> Prompt:
        """The question that it asks in a mode."""
        name = self._prompts[mode]
        return prompts.load(prompts.in_form(name, self.form) if mode == "reasoned" else name)

    def rank(
        self,
        pictures: Sequence[LoadedImage | ImageRef],
        *,
        top_k: int | None = None,
        max_calls: int | None = None,
        orders: Orders = "both",
        seed: int = 0,
        known: Sequence[PairAnswer] = (),
        on_answers: Callable[[Sequence[PairAnswer]], None] | None = None,
    ) -> Ranking:
        """Order pictures, best first, with few comparisons (:class:`redaes.ranking.Schedule`).

        Args:
            pictures: loaded ones, or references, which are loaded when they are needed and not all kept. Equal
                pictures take one place.
            top_k: stop as soon as it is settled which pictures are the best k.
            max_calls: budget of questions to the model; None: two for each of ``default_pairs``.
            orders: as for :meth:`compare_many`.
            seed: of the schedule.
            known: answers of an earlier, interrupted call with the same pictures and settings: not asked again.
            on_answers: called after each batch with all answers so far, which later serve as ``known``.

        Raises:
            ImageError: a reference cannot be loaded, or its file was changed.
            InputError: the budget cannot connect the pictures, or ``top_k`` leaves their number.
            ParseError: so many answers were unusable that there is no common order.
            BackendError: the model cannot be asked.
        """
        found = {_ref(picture).id: picture for picture in pictures}
        ids = sorted(found)  # the answer does not depend on the order in which the pictures were listed
        n_orders = len(both_orders.ORDERS) if orders == "both" else 1
        n_pairs = None if max_calls is None else max_calls // n_orders
        schedule = ranking.Schedule(len(ids), max_pairs=n_pairs, top_k=top_k, seed=seed)
        answered: list[PairAnswer] = []
        remembered = {frozenset((answer.first, answer.second)): answer for answer in known}
        load = lru_cache(maxsize=2 * _BATCH)(lambda picture_id: unchanged(found[picture_id]))
        while pairs := schedule.next_round():
            for batch in (pairs[start : start + _BATCH] for start in range(0, len(pairs), _BATCH)):
                named = [(ids[i], ids[j]) for i, j in batch]
                new = [pair for pair in named if frozenset(pair) not in remembered]
                results = self.compare_many([(load(first), load(second)) for first, second in new], orders=orders)
                for pair, result in zip(new, results, strict=True):
                    remembered[frozenset(pair)] = answer_of(result)
                for (i, j), pair in zip(batch, named, strict=True):
                    answer = remembered[frozenset(pair)]
                    answered.append(answer)
                    probability = answer.probability
                    if probability is not None and answer.first != pair[0]:
                        probability = 1.0 - probability
                    schedule.record(i, j, probability, float(answer.n_calls - answer.n_failed))
                if new and on_answers is not None:
                    on_answers(answered)
        return ranking.rank(ids, answered, top_k)

    def score(self, picture: LoadedImage, references: ReferenceSet, *, orders: Orders = "both") -> Score:
        """Where one picture stands among a fixed set of others, by comparing it with each of them.

        The strength that fits the answers best is estimated with those of the references held fixed.

        Args:
            picture: not necessarily one of the set; equal pictures are ties.
            references: with strengths that this very model and prompt gave them.
            orders: as for :meth:`compare_many`.

        Raises:
            ImageError: a reference cannot be loaded, or its file was changed.
            InputError: the set was ranked by another model, prompt or mode.
            ParseError: no comparison gave a usable answer.
            BackendError: the model cannot be asked.
        """
        self.check_references(references)
        outcomes: list[tuple[float, float, float]] = []
        n_calls = n_failed = 0
        for start in range(0, len(references.pictures), _BATCH):
            batch = references.pictures[start : start + _BATCH]
            pairs = [(picture, unchanged(reference)) for reference in batch]
            for reference, result in zip(batch, self.compare_many(pairs, orders=orders), strict=True):
                failed = sum(comparison.failure is not None for comparison in result.comparisons)
                n_calls += len(result.comparisons)
                n_failed += failed
                won = own_probability(result)
                if won is not None:
                    # A copy of a reference is a tie that nobody was asked about; it weighs as much as an asked one.
                    weight = len(result.comparisons) - failed if result.comparisons else len(both_orders.ORDERS)
                    outcomes.append((references.ranking.scores[reference.id], won, float(weight)))
        if not outcomes:
            raise ParseError("no_usable_answer", f"{picture.ref.path}: none of {n_calls} answers could be used")
        strength, error = ranking.fit_one(outcomes)
        return Score(
            image=picture.ref,
            score=min(MAX_DELTA, max(0.0, _CENTRE + delta_of(strength))),
            error=(delta_of(strength + error) - delta_of(strength - error)) / 2,
            strength=strength,
            better_than=sum(strength > value for value in references.ranking.scores.values()),
            references=references.name,
            n_references=len(references.pictures),
            n_calls=n_calls,
            n_failed=n_failed,
            model=self.backend.model,
            revision=self.backend.revision,
            prompt_id=references.prompt_id,
            mode=self.mode,
        )

    def reference_set(
        self,
        name: str,
        pictures: Sequence[ImageRef],
        *,
        on_answers: Callable[[Sequence[PairAnswer]], None] | None = None,
    ) -> ReferenceSet:
        """Rank pictures, so that others can be scored against them.

        Args:
            name: what results call it; a digest of the pictures is put behind it.
            pictures: at least two different ones.
            on_answers: as for :meth:`rank`.

        Raises:
            InputError: fewer than two different pictures.
            ImageError, ParseError, BackendError: as for :meth:`rank`.
        """
        different = {picture.id: picture for picture in pictures}
        if len(different) < 2:
            raise InputError(f"reference set {name} has {len(different)} different pictures; give at least 2")
        digest = content_id("\n".join(sorted(different)).encode())[:12]
        return ReferenceSet(
            name=f"{name}@{digest}",
            pictures=tuple(different.values()),
            ranking=self.rank(list(different.values()), on_answers=on_answers),
            model=self.backend.model,
            revision=self.backend.revision,
            prompt_id=self.prompt_id,
            mode=self.mode,
        )

    def check_references(self, references: ReferenceSet) -> None:
        own = (self.backend.model, self.backend.revision, self.prompt_id)
        theirs = (references.model, references.revision, references.prompt_id)
        if own != theirs:
            raise InputError(
                f"reference set {references.name} was ranked by {' '.join(theirs)}, not by {' '.join(own)}; "
                "scores of different judges cannot be compared: rank the set anew"
            )


def known_mode(name: str) -> Mode:
    """The mode of that name.

    >>> known_mode("fast")
    'fast'

    Raises:
        InputError: there is none.
    """
    for mode in get_args(Mode):
        if mode == name:
            return cast("Mode", mode)
    raise InputError(f"unknown mode {name!r}; known: {', '.join(get_args(Mode))}")


def _asked_form(prompt: str, form: AskedForm | None, *, named: bool) -> AskedForm:
    """The form in which reasoned answers are asked for.

    Raises:
        InputError: unknown form, or a prompt that is not there in it.
    """
    if form is None:
        return prompts.form_of(prompt) if named else "auto"
    chosen = known_form(form)
    if prompt in prompts.PARAPHRASES["reasoned"]:
        if chosen == "json":
            raise InputError(f"prompt {prompt} is not there in the JSON form; leave the form out")
        return "text"
    return chosen


def known_prompt(mode: Mode, name: str | None) -> str:
    """The name of a prompt for two pictures in that mode; None: the usual one.

    >>> known_prompt("fast", None)
    'compare_fast/v1'

    Raises:
        InputError: there is no such prompt for the mode.
    """
    return prompts.chosen(mode, name)[mode]


def check_samples(samples: int, mode: Mode) -> None:
    """
    Raises:
        InputError: there is no such number of further reasonings, or no reasoning in the mode.
    """
    if samples < 0:
        raise InputError(f"samples is {samples}; give 0 or more")
    if samples and mode == "fast":
        raise InputError(f"samples is {samples}, and the fast mode gives no reasons; ask in the reasoned mode")


def _by_pair(found: Sequence[Comparison], asked: Sequence[Sequence[Asked]]) -> list[list[Comparison]]:
    """Answers one after another, cut into those about each pair."""
    rest = iter(found)
    return [[next(rest) for _ in requests] for requests in asked]


def _drawn_order(first: str, second: str) -> Order:
    """One of the two orders, drawn from the ids: the same picture stands first however the pair is listed."""
    low, high = sorted((first, second))
    low_first = int(content_id(f"{low} {high}".encode())[:8], 16) % 2 == 0
    return "forward" if low_first == (first == low) else "swapped"


def _ref(picture: LoadedImage | ImageRef) -> ImageRef:
    return picture if isinstance(picture, ImageRef) else picture.ref


def unchanged(picture: LoadedImage | ImageRef) -> LoadedImage:
    """The picture, loaded if need be.

    Raises:
        ImageError: it cannot be loaded, or is no longer the one that the reference names.
    """
    if not isinstance(picture, ImageRef):
        return picture
    loaded = load_image(picture.path)
    if loaded.ref.id != picture.id:
        raise ImageError(f"{picture.path}: was changed while it was being ranked; start again")
    return loaded


def _loaded(picture: str | Path | Image.Image) -> LoadedImage:
    """A picture from a file, or one in memory, which is named by its pixels."""
    if not isinstance(picture, Image.Image):
        return load_image(picture)
    return picture_in_memory(picture)
