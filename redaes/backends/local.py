"""A vision-language model in this process, run by transformers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from redaes import prompts
from redaes.backends.adapters import check_base
from redaes.backends.base import Answer, BatchBackend, Request
from redaes.backends.chat_templates import one_rendering, space_before_answers
from redaes.backends.forms import form_of_weights
from redaes.backends.loading import (
    first_line,
    load_adapter,
    load_network,
    load_processor,
    model_folder,
)
from redaes.backends.preprocessing import at_size, picture_size, size_shown
from redaes.backends.sampling import our_sampling
from redaes.backends.temperatures import Temperature, read_temperatures
from redaes.backends.weights import ADAPTER_CONFIG, base_of, revision_of
from redaes.errors import BackendError, InputError, PromptError
from redaes.images import MAX_ASPECT
from redaes.lenient import Reader
from redaes.models import nano
from redaes.models.device import find_device
from redaes.prompts import Prompt
from redaes.thinking import split_thinking
from redaes.types import Form, Sampling

if TYPE_CHECKING:
    from redaes.backends.constrained import FormHolder
    from redaes.backends.held_answer import HeldAnswer
    from redaes.backends.prompt_packing import PromptPacker

_CHATS = 64
"""Number of rendered chats that are cached."""


class LocalBackend(BatchBackend):
    """A model loaded from a folder, from the hub, or from inside the package.

    Reading probabilities for many requests at once costs less than one by one: each different picture passes the vision
    tower once, and what requests have in common up to their second picture is read once
    (:mod:`redaes.backends.prompt_packing`), where the model's attention allows it.

    Several threads may use it; they wait for each other.

    Answers do not depend on how requests are batched, up to rounding; sampled text does, because all
    requests of a batch draw from one generator, so it is reproduced by the same requests with the same
    ``batch_size``.
    """

    temperatures: tuple[Temperature, ...] = ()
    """Calibrations of its probabilities, from the files beside its weights."""
    form: Form = "text"
    """The default form in which the model is asked."""
    reader: Reader = "strict"
    """The default reader of its answers."""

    def __init__(
        self,
        model: str | Path = nano.NAME,
        *,
        adapter: Path | None = None,
        device: str | None = None,
        dtype: torch.dtype | None = None,
        batch_size: int = 8,
        max_pixels: int | None = None,
        constrain: bool | None = None,
        hub_revision: str | None = None,
    ) -> None:
        """
        Args:
            model: ``redaes/nano`` or ``redaes/nano-base``, a folder (of a model, or of an adapter whose base it then
                names), or a hub name. Only safetensors are read, and no code that comes with a model is run.
            adapter: folder of a PEFT adapter to put on the model.
            device: where the model computes, such as ``cpu`` or ``cuda:1``; None: the best device of this machine.
            dtype: number type of the weights; None: bfloat16 on CUDA, otherwise float32.
            batch_size: requests per forward pass, or as many tokens where requests share some.
            max_pixels: cap on a picture's area, in pixels; None: that of the adapter's or the model's training.
            constrain: whether reasoned answers are constrained to their form while they are written
                (:mod:`redaes.backends.constrained`); None: only for models that were not trained on the text form.
            hub_revision: branch, tag or commit of a model on the hub; None: its main branch.

        Raises:
            BackendError: the model cannot be loaded, is incomplete, or does not fit the device.
            InputError: ``batch_size`` or ``max_pixels`` is below 1, or ``max_pixels`` differs from the training.
            MissingDependency: an adapter is asked for and peft is not installed.
        """
        if max_pixels is not None and max_pixels < 1:
            raise InputError(f"max_pixels is {max_pixels}; give at least 1")
        name = base = str(model)
        folder = model_folder(model, hub_revision)
        if (folder / ADAPTER_CONFIG).is_file():
            if adapter is not None:
                raise BackendError(f"{model} is itself an adapter; give its base model beside adapter {adapter}")
            adapter, base = folder, base_of(folder)
            folder = model_folder(base)
        elif adapter is not None:
            if not (adapter / ADAPTER_CONFIG).is_file():
                raise BackendError(f"{adapter} has no {ADAPTER_CONFIG}: give the folder of a PEFT adapter")
            if name == nano.NAME and base_of(adapter) == nano.BASE:
                # The default model stands for its family: an adapter trained on the base must not be put on the trained
                # model.
                name = base = nano.BASE
                folder = model_folder(base)
            name = f"{name} + {adapter}"
        shown = size_shown(folder, adapter, max_pixels)
        place = find_device(device)
        if dtype is None:
            dtype = torch.bfloat16 if place.type == "cuda" else torch.float32
        if adapter is not None:
            check_base(adapter, base, folder)
        network = load_network(folder, dtype)
        if adapter is not None:
            network = load_adapter(network, adapter)
        try:
            network = network.to(place)
        except RuntimeError as error:
            raise BackendError(f"{name} cannot be moved to {place}: {first_line(error)}; try --device cpu") from error
        processor = load_processor(folder, max_pixels, adapter)
        network.eval()
        revision = revision_of(folder) if adapter is None else revision_of(folder, adapter)
        form = form_of_weights(base, folder, adapter)
        self.ask_in(form)
        self.temperatures = read_temperatures(folder if adapter is None else adapter)
        if constrain is None:
            constrain = form == "json"
        self._set_up(network, processor, name, at_size(revision, shown, picture_size(folder)), batch_size, constrain)

    @classmethod
    def from_model(cls, model: Any, processor: Any, name: str, revision: str, *, batch_size: int = 8) -> LocalBackend:
        """Wrap a model that is already in memory, such as one under training.

        The model is asked in evaluation mode without gradients, and every module is put back into the mode it
        was in. The global random state is left as it was. Neither model nor processor is changed. Answers are not
        constrained to a form, so that they show what the model has learnt.

        Args:
            model: a transformers image-text-to-text model, or a PEFT model around one; not wrapped for
                distributed training.
            processor: its processor.
            name: name in results.
            revision: revision of the weights, such as the run and the step.
            batch_size: number of requests in a forward pass.

        Raises:
            InputError: ``batch_size`` is below 1.
        """
        backend = cls.__new__(cls)
        backend._set_up(model, processor, name, revision, batch_size)
        backend._owned = False
        return backend

    def ask_in(self, form: Form) -> None:
        """Set the default form of answers; a model that was not trained on the text form is also read
        where it leaves its form a little."""
        self.form = form
        self.reader = "strict" if form == "text" else "lenient"

    def _set_up(
        self, network: Any, processor: Any, name: str, revision: str, batch_size: int, constrain: bool = False
    ) -> None:
        if batch_size < 1:
            raise InputError(f"batch_size is {batch_size}; give at least 1")
        self.model = name
        self.revision = revision
        self._network = network
        self._processor = processor
        self._batch_size = batch_size
        self._packs: bool | None = None
        """Whether its prompts can be packed; None: not determined yet."""
        self._packer: PromptPacker | None = None
        self._alone = Lock()
        """Held while the model is asked: packed rows borrow its attention and its vision tower."""
        self._owned = True
        """Whether nobody else changes the weights, so that results can be cached between calls."""
        self._template = one_rendering(processor, name)  # a model that was loaded elsewhere may have two
        self._space = space_before_answers(processor, self._template)
        self._chats: dict[str, str] = {}
        self._constrain = constrain
        self._holder: FormHolder | None = None

    @property
    def loaded(self) -> tuple[Any, Any]:
        """The network and its processor, for code that needs more than answers."""
        return self._network, self._processor

    @property
    def device(self) -> torch.device:
        """The device on which the model computes."""
        return self._network.device

    def read(self, requests: Sequence[Request], choices: Sequence[str]) -> NDArray[np.float64]:
        """Return the log-probability that the answer goes on with each choice, read at the choice's first token.

        Returns:
            Shape (len(requests), len(choices)); natural logarithms over the whole vocabulary.

        Raises:
            BackendError: the tokenizer joins a prefix and a choice, or begins two choices with one token; or
                the device's memory does not suffice.
            InputError: the model cannot take a picture.
            PromptError: there is not one picture for each slot.
        """
        rows = np.empty((len(requests), len(choices)))
        texts = [self._text(request) for request in requests]
        for request in requests:
            _refuse_thin(request)
        # In fast mode all requests have one text.
        places = {text: self._place(text, choices) for text in dict.fromkeys(texts)}
        with self._alone, self._asking():
            for numbers, logits in self._next_logits(requests, [places[text][0] for text in texts]):
                log_probs = torch.log_softmax(logits.float(), dim=-1)  # (some requests, vocabulary)
                chosen = torch.tensor([places[texts[number]][1] for number in numbers], device=log_probs.device)
                rows[numbers] = log_probs.gather(1, chosen).double().cpu().numpy()
        return rows

    def _next_logits(
        self, requests: Sequence[Request], texts: Sequence[str]
    ) -> Iterator[tuple[list[int], torch.Tensor]]:
        """Yield numbers of some of the requests, and (numbers, vocabulary) what could follow; of all, in the end."""
        # Not before the network has been loaded, which defers part of transformers.
        from redaes.backends.prompt_packing import PromptPacker

        if self._packs is None:
            self._packs = PromptPacker.can_read(self._network, self._processor)
        if self._packs:
            packer = self._packer or PromptPacker(self._network, self._processor, self._batch_size)
            if self._owned:
                self._packer = packer
            yield from packer.next_logits(texts, [request.pixels for request in requests])
            return
        for start in range(0, len(requests), self._batch_size):
            some = slice(start, start + self._batch_size)
            output = self._network(**self._inputs(requests[some], texts[some]), logits_to_keep=1, use_cache=False)
            yield [*range(len(requests))[some]], output.logits[:, -1]

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[str]:
        """Return the answers, each including its request's prefix, without special tokens.

        Special tokens other than the end of the turn are never drawn: a picture token in an answer would be
        read as a picture by whatever processes the answer next.

        Raises:
            BackendError: the device's memory does not suffice.
            InputError: the model cannot take a picture.
            PromptError: there is not one picture for each slot.
        """
        return [answer.text or "" for answer in self.write(requests, sampling)]

    def write(self, requests: Sequence[Request], sampling: Sampling) -> list[Answer]:
        """Write answers as :meth:`generate` does, and tell whether each one ends at the limit on tokens, and what
        constrained it to its form.

        Raises:
            BackendError: as for :meth:`generate`; or an answer cannot be constrained to its form.
            InputError: as for :meth:`generate`.
            PromptError: as for :meth:`generate`.
            MissingDependency: an answer has to be constrained to its form and llguidance is absent.
        """
        settings = self._generation_config(sampling)
        answers: list[Answer] = []
        with self._alone, self._asking(), self._seeded(sampling.seed):
            for batch in _batches(requests, self._batch_size):
                held = self._held(batch, sampling.max_new_tokens, settings.eos_token_id)
                inputs = self._inputs(batch, [self._text(request) for request in batch])
                n_prompt = inputs["input_ids"].shape[1]
                limits = self._limits(held, n_prompt)
                with our_sampling(self._network):
                    tokens = self._network.generate(**inputs, generation_config=settings, logits_processor=limits)
                # Left padding makes all prompts end at the same place.
                new = tokens[:, n_prompt:]
                texts = self._processor.tokenizer.batch_decode(
                    new, skip_special_tokens=True, clean_up_tokenization_spaces=False
                )
                ended = torch.isin(new, torch.tensor(settings.eos_token_id, device=new.device)).any(dim=1).tolist()
                for request, text, complete, form in zip(batch, texts, ended, held, strict=True):
                    said = request.prefix + (text if form is None else split_thinking(text).answer)
                    answers.append(
                        Answer(
                            said,
                            cut_off=not complete,
                            changes=() if form is None else form.changes,
                            held_by=None if form is None else form.held_by,
                        )
                    )
        return answers

    def _held(self, batch: Sequence[Request], max_new_tokens: int, ends: Sequence[int]) -> list[HeldAnswer | None]:
        """Return the constraints of a batch's answers; None: an answer is not constrained."""
        has_form = [self._constrain and request.prompt.name in prompts.known("reasoned") for request in batch]
        if not any(has_form):
            return [None] * len(batch)
        if self._holder is None:
            from redaes.backends.constrained import FormHolder

            self._holder = FormHolder(self._processor.tokenizer, ends, self.model)
        held: list[HeldAnswer | None] = []
        for request, form in zip(batch, has_form, strict=True):
            chat = self._chat(request.prompt)
            held.append(self._holder.begin(request.prompt, chat, request.prefix, max_new_tokens) if form else None)
        return held

    def _limits(self, held: Sequence[HeldAnswer | None], n_prompt: int) -> list[Any] | None:
        """Return the logits processors with which ``generate`` constrains a batch to its forms."""
        if not any(held):
            return None
        from redaes.backends.constrained import FormLogits

        return [FormLogits(held, n_prompt)]

    def _text(self, request: Request) -> str:
        """Return the chat up to where the model goes on, with one placeholder per picture."""
        slots = len(request.prompt.slots)
        if len(request.images) != slots:
            raise PromptError(f"prompt {request.prompt.name} takes {slots} pictures, not {len(request.images)}")
        return self._chat(request.prompt) + (self._space + request.prefix if request.prefix else "")

    def _chat(self, prompt: Prompt) -> str:
        # By its text: a prompt that was filled in keeps its id.
        chat = self._chats.get(prompt.text)
        if chat is None:
            chat = self._processor.apply_chat_template(
                prompt.messages(), chat_template=self._template, add_generation_prompt=True, tokenize=False
            )
            if len(self._chats) >= _CHATS:  # texts that hold measurements differ from pair to pair
                self._chats.clear()
            self._chats[prompt.text] = chat
        return chat

    def _inputs(self, batch: Sequence[Request], texts: Sequence[str]) -> Any:
        """Return what the model takes: left-padded tokens, patches of all pictures, and their grids."""
        for request in batch:
            _refuse_thin(request)
        # Gemma's template has the beginning of the text, and its tokenizer would set another before it.
        begin = self._processor.tokenizer.bos_token
        begun = {"add_special_tokens": False} if begin and texts[0].startswith(begin) else {}
        inputs = self._processor(
            text=list(texts),
            images=[list(request.pixels) for request in batch],
            padding=True,
            padding_side="left",
            return_tensors="pt",
            **begun,
        )
        return inputs.to(self._network.device)

    def _place(self, text: str, choices: Sequence[str]) -> tuple[str, list[int]]:
        """Return the text after which choices are read, and the id of the first token of each.

        Where the tokenizer joins a space at the end with what follows (``Score: 6``), the space goes to the choices.
        """
        try:
            return text, self._first_tokens(text, choices)
        except BackendError:
            shorter = text.removesuffix(" ")
            if shorter == text:
                raise
            return shorter, self._first_tokens(shorter, [f" {choice}" for choice in choices])

    def _first_tokens(self, text: str, choices: Sequence[str]) -> list[int]:
        """Return the id of the first token of each choice after ``text``."""

        def tokens(of: str) -> list[int]:
            return self._processor.tokenizer(of, add_special_tokens=False)["input_ids"]

        before = tokens(text)
        first = []
        for choice in choices:
            after = tokens(text + choice)
            if len(after) <= len(before) or after[: len(before)] != before:
                raise BackendError(
                    f"the tokenizer of {self.model} starts no token between {text[-20:]!r} and {choice!r}: "
                    "the probability of that choice cannot be read; use another model"
                )
            first.append(after[len(before)])
        if len(set(first)) != len(first):
            raise BackendError(
                f"the tokenizer of {self.model} begins several of {list(choices)} with the same token: "
                "their probabilities cannot be told apart; use another model"
            )
        return first

    def _generation_config(self, sampling: Sampling) -> Any:
        """Return all settings that affect the text explicitly, because omitted ones would come from the model's
        files.
        """
        from transformers import GenerationConfig

        tokenizer = self._processor.tokenizer
        ends = self._network.generation_config.eos_token_id
        ends = [ends] if isinstance(ends, int) else list(ends or [])
        if tokenizer.eos_token_id not in ends:
            ends.append(tokenizer.eos_token_id)
        draws = sampling.temperature > 0
        return GenerationConfig(
            max_new_tokens=sampling.max_new_tokens,
            do_sample=draws,
            temperature=sampling.temperature if draws else 1.0,
            top_k=0,
            top_p=1.0,
            repetition_penalty=1.0,
            num_beams=1,
            use_cache=True,
            eos_token_id=ends,
            pad_token_id=tokenizer.pad_token_id,
            suppress_tokens=sorted(set(tokenizer.all_special_ids) - set(ends)),
        )

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """Put the model into evaluation mode without gradients within the context; afterwards every module is in its
        old mode.
        """
        training = [module for module in self._network.modules() if module.training]
        self._network.eval()
        try:
            with torch.no_grad():
                yield
        except torch.OutOfMemoryError as error:
            raise BackendError(
                f"{self.model} does not fit the device's memory with {self._batch_size} requests at once; "
                "lower batch_size or max_pixels"
            ) from error
        finally:
            for module in training:
                module.training = True  # not train(): that would also reach children that were frozen on purpose

    @contextmanager
    def _seeded(self, seed: int) -> Iterator[None]:
        """Use a separate random state within the context, so that asking a model under training does not change the
        training.
        """
        device = self._network.device
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(seed)
            yield


def _refuse_thin(request: Request) -> None:
    """
    Raises:
        InputError: the model cannot take a picture.
    """
    for image in request.pixels:
        if max(image.size) > MAX_ASPECT * min(image.size):
            width, height = image.size
            raise InputError(f"a picture of {width} x {height} pixels is too thin for the model; crop it")


def _batches(requests: Sequence[Request], size: int) -> Iterator[list[Request]]:
    remaining = iter(requests)
    while batch := list(islice(remaining, size)):
        yield batch
