"""Make the trainers' examples from rows of a RED dataset. Only this module makes training text.

Rows stay on disk; prompts, answers and decoded pictures are made when a row is read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import hexdigits
from typing import Any

import datasets
import torch
from PIL import Image
from torch import Tensor
from transformers import ProcessorMixin

from redaes import prompts
from redaes.answers import SCORE_PREFIX, WINNER_PREFIX, render_verdict, stated
from redaes.backends.chat_templates import two_renderings, what_differs
from redaes.errors import RecordError, TrainingError
from redaes.images import MAX_ASPECT
from redaes.prompts import Mode, Prompt
from redaes.records import PairRecord, load_pairs, picture_of, record_of, without_operations
from redaes.types import Order, Rationale, Side, Split, winner_of

ORDERS: tuple[Order, ...] = ("forward", "swapped")
MODES: tuple[Mode, ...] = ("reasoned", "fast")
_REASONING: dict[Order, str] = {"forward": "rationale", "swapped": "rationale_swapped"}
"""The column with the reasoning for each order."""
IGNORED = -100
"""Label of tokens that carry no loss, as transformers has it."""


def decode(record: PairRecord, side: Side) -> Image.Image:
    """Return one picture of a row as upright 8-bit RGB, with the same pixels that a model gets when it is served.

    Raises:
        RecordError: the picture does not decode, or no model takes its shape; the message names row, side and file.
    """
    found = picture_of(record, side)
    width, height = found.image.size
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise RecordError(
            f"row {record.pair.id!r}, {side} picture: {found.ref.path} of {width} x {height} pixels is too thin for "
            "the model; crop it, or take the row out"
        )
    return found.image


def ordered_images(record: PairRecord, order: Order) -> list[Image.Image]:
    """Return the two pictures as shown: A, then B."""
    images = [decode(record, "first"), decode(record, "second")]
    return images if order == "forward" else images[::-1]


def ordered_delta(record: PairRecord, order: Order) -> float | None:
    """Return the signed difference A minus B, in points; None when the pair is not labelled."""
    pair = record.pair if order == "forward" else record.pair.swapped()
    return pair.delta


def reasoning(record: PairRecord, order: Order) -> Rationale | None:
    """Return the reasoning in the letters of an order; None: the pair has no reasoning for it."""
    return record.rationale if order == "forward" else record.rationale_swapped


def target(record: PairRecord, order: Order, mode: Mode) -> str:
    """Return the text of the answer to learn.

    Raises:
        RecordError: the pair has no label, or no rationale although the mode needs one.
    """
    delta = ordered_delta(record, order)
    if delta is None:
        raise RecordError(f"pair {record.pair.id} has no delta: it cannot be learned from by imitation")
    rationale = None if mode == "fast" else reasoning(record, order)
    if mode == "reasoned" and rationale is None:
        raise RecordError(f"pair {record.pair.id} has no rationale for the {order} order")
    return render_verdict(stated(delta, rationale))


def sft_example(record: PairRecord, order: Order, mode: Mode) -> dict[str, Any]:
    """Return one prompt/completion example; the loss falls on the completion only."""
    return {
        "prompt": prompts.load(prompts.COMPARE[mode]).messages(),
        "completion": [{"role": "assistant", "content": [{"type": "text", "text": target(record, order, mode)}]}],
        "images": ordered_images(record, order),
    }


def chat_text(processor: ProcessorMixin, prompt: Prompt, answer: str) -> str:
    """Return the chat text of a prompt followed by an answer or its beginning, as the tokenizer takes it."""
    head: str = processor.apply_chat_template(prompt.messages(), add_generation_prompt=True, tokenize=False)
    return head + answer


def check_chat(processor: ProcessorMixin) -> ProcessorMixin:
    """Return the processor, if it renders a prompt and an answer to the same tokens together and apart.

    TRL takes an answer from the rendered chat and tokenizes it by itself, stage 2 appends it, and a backend continues
    the prompt. All three give the same chat only if no rendering and no token spans prompt and answer.

    Raises:
        TrainingError: the tokens differ; the message says how.
    """
    two = two_renderings(processor)
    if two is not None:
        raise TrainingError(f"the model's chat template {what_differs(*two)}")
    tokenizer = processor.tokenizer

    def ids(text: str) -> list[int]:
        return list(tokenizer(text, add_special_tokens=False)["input_ids"])

    modes = prompts.COMPARE
    begun = {
        modes["reasoned"]: "<rationale>\nA",
        modes["fast"]: f"{WINNER_PREFIX} A",
        prompts.SCORE: f"{SCORE_PREFIX}6",
    }
    for name, answer in begun.items():
        prompt = prompts.load(name)
        head = chat_text(processor, prompt, "")
        if ids(head + answer) != ids(head) + ids(answer):
            raise TrainingError(
                f"the model's tokenizer joins the end of a prompt, {head[-20:]!r}, to the answer {answer!r}: which "
                "tokens are the answer's could not be told; use another model"
            )
        reply = {"role": "assistant", "content": [{"type": "text", "text": answer}]}
        whole: str = processor.apply_chat_template([*prompt.messages(), reply], tokenize=False)
        end = whole.removeprefix(head + answer)
        if not end.startswith(tokenizer.eos_token or "\0"):
            raise TrainingError(
                f"the model's chat template ends an answer with {end!r} and its tokenizer's eos_token is "
                f"{tokenizer.eos_token!r}: answers would be taught an end at which nothing stops; set eos_token in the "
                "model's tokenizer_config.json to what the template writes"
            )
    return processor


def encode(processor: ProcessorMixin, texts: list[str], images: list[list[Image.Image]]) -> dict[str, Tensor]:
    """Encode chats with their pictures as a batch; left padding puts the last token of every row in the last column."""
    return dict(processor(text=texts, images=images, return_tensors="pt", padding=True, padding_side="left"))


def _drawn(pair_id: str) -> int:
    """Return a number in [0, 256) that is derived from a pair's id: its last two digits if they are hexadecimal, as in
    our own ids, otherwise the first byte of its SHA-256.
    """
    end = pair_id[-2:]
    if len(end) == 2 and set(end) <= set(hexdigits):
        return int(end, 16)
    return hashlib.sha256(pair_id.encode()).digest()[0]


def order_drawn(record: PairRecord) -> Order:
    """Return the order in which `drawn_answers` shows a pair."""
    return ORDERS[_drawn(record.pair.id) % 2]


def drawn_answers(
    processor: ProcessorMixin, records: Sequence[PairRecord], modes: Sequence[Mode]
) -> tuple[list[str], list[Order], list[int]]:
    """Return one full answer for each record, in one order and mode.

    Order and mode are derived from the pair's id, so that a batch is the same whenever it is made. A pair without
    reasoning is answered in the fast mode, if that is among the modes.

    Returns:
        The chats with the answers, the order in which each shows its pictures, and each answer's number of tokens.
    """
    tokenizer = processor.tokenizer
    texts: list[str] = []
    orders: list[Order] = []
    lengths: list[int] = []
    for record in records:
        draw = _drawn(record.pair.id)
        order, mode = order_drawn(record), modes[draw // 2 % len(modes)]
        if mode == "reasoned" and "fast" in modes and reasoning(record, order) is None:
            mode = "fast"
        answer = target(record, order, mode) + tokenizer.eos_token
        texts.append(chat_text(processor, prompts.load(prompts.COMPARE[mode]), answer))
        orders.append(order)
        # The prompt ends with a line break, which Qwen's tokenizers never join to what follows.
        lengths.append(len(tokenizer(answer, add_special_tokens=False)["input_ids"]))
    return texts, orders, lengths


def labels_at_end(input_ids: Tensor, lengths: Sequence[int]) -> Tensor:
    """Return labels (N, T) with the last ``lengths`` tokens of each row, and `IGNORED` before them."""
    from_end = torch.arange(input_ids.shape[1], 0, -1)  # (T,): n for the n-th token from the end
    is_answer = from_end <= torch.tensor(lengths).unsqueeze(1)  # (N, T)
    return input_ids.masked_fill(~is_answer, IGNORED)


def answer_batch(processor: ProcessorMixin, records: Sequence[PairRecord]) -> dict[str, Tensor]:
    """Return one full answer for each record, with ``labels`` on the answer only; (B, T) each."""
    texts, orders, lengths = drawn_answers(processor, records, MODES)
    images = [ordered_images(record, order) for record, order in zip(records, orders, strict=True)]
    batch = encode(processor, texts, images)
    return {**batch, "labels": labels_at_end(batch["input_ids"], lengths)}


def other(order: Order) -> Order:
    """Return the other of the two orders."""
    return "swapped" if order == "forward" else "forward"


def preference_example(record: PairRecord, order: Order, mode: Mode) -> dict[str, Any]:
    """Return one preference between two answers about the same two pictures.

    The rejected answer is the right answer for the other order: it is as well formed and as long, and its reasoning
    agrees with its verdict, but both are wrong here.
    """
    answers = {"chosen": target(record, order, mode), "rejected": target(record, other(order), mode)}
    return {
        "prompt": prompts.load(prompts.COMPARE[mode]).messages(),
        **{
            name: [{"role": "assistant", "content": [{"type": "text", "text": text}]}] for name, text in answers.items()
        },
        "images": ordered_images(record, order),
    }


def expand(
    folder: Path,
    split: Split,
    *,
    orders: Sequence[Order] = ORDERS,
    modes: Sequence[Mode] = MODES,
    leave_out: Sequence[str] = (),
) -> datasets.Dataset:
    """Return all rows once per order and mode, with the columns ``order`` and ``mode``; pictures undecoded.

    Args:
        folder: folder of the dataset.
        split: the split to read.
        orders: orders in which each pair is shown.
        modes: modes in which each pair is answered.
        leave_out: operations whose pairs are left out.
    """
    rows = load_pairs(folder, split)
    # Concatenated copies share their memory; adding a column after ``select`` would write every picture again.
    joined = datasets.concatenate_datasets(
        [
            rows.add_column("order", [order] * len(rows)).add_column("mode", [mode] * len(rows))
            for order in orders
            for mode in modes
        ]
    )
    return without_operations(joined, leave_out)


def rows_of(batch: dict[str, list[Any]]) -> list[dict[str, Any]]:
    """Return a columnar batch as rows."""
    return [dict(zip(batch, values, strict=True)) for values in zip(*batch.values(), strict=True)]


@dataclass(frozen=True)
class _Made:
    """Make examples of expanded rows. It is not a local function, because spawned workers find it by its name."""

    split: Split
    make: Callable[[PairRecord, Order, Mode], dict[str, Any]]
    """A function of this module, for the same reason."""

    def __call__(self, batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
        """Turn a columnar batch of rows into one of examples."""
        examples = [self.make(record_without_way(row, self.split), row["order"], row["mode"]) for row in rows_of(batch)]
        return {key: [example[key] for example in examples] for key in examples[0]}


def _made_when_read(
    rows: datasets.Dataset, split: Split, make: Callable[[PairRecord, Order, Mode], dict[str, Any]]
) -> tuple[datasets.Dataset, list[int]]:
    """Return examples of expanded rows, made when they are read, and the length of each answer in characters."""
    # Only reasoned answers differ much in length; the stored text of the rationale measures that well enough.
    lengths = [
        0 if mode == "fast" or rationale is None else len(Rationale.model_validate(rationale).model_dump_json())
        for mode, rationale in zip(rows["mode"], rows["rationale"], strict=True)
    ]
    return rows.with_transform(_Made(split, make)), lengths


def sft_dataset(
    folder: Path,
    split: Split,
    *,
    orders: Sequence[Order] = ORDERS,
    modes: Sequence[Mode] = MODES,
    leave_out: Sequence[str] = (),
) -> tuple[datasets.Dataset, list[int]]:
    """Return stage 1's dataset: every pair in every order and mode, which balances positions; the reasoned mode only in
    orders for which a pair has reasoning.

    Returns:
        The examples, made when they are read, and the length of each answer in characters.
    """
    rows = expand(folder, split, orders=orders, modes=modes, leave_out=leave_out)
    there = {order: [text is not None for text in rows[column]] for order, column in _REASONING.items()}
    answered = [
        number
        for number, (order, mode) in enumerate(zip(rows["order"], rows["mode"], strict=True))
        if mode == "fast" or there[order][number]
    ]
    return _made_when_read(rows if len(answered) == len(rows) else rows.select(answered), split, sft_example)


def preference_dataset(
    folder: Path, split: Split, *, leave_out: Sequence[str] = ()
) -> tuple[datasets.Dataset, list[int], int]:
    """Return preferences between answers: every pair with a winner, in every order and mode; the reasoned mode only for
    pairs with reasoning in both orders, because the rejected answer is that of the other order.

    Returns:
        The examples, made when they are read, the length of each answer in characters, and the number of ties, which
        are left out because neither answer is wrong.

    Raises:
        RecordError: there are pairs without a label, or only ties.
    """
    rows = expand(folder, split, leave_out=leave_out)
    n_pairs = len(rows) // (len(ORDERS) * len(MODES))
    deltas = rows["delta"]
    lacking = [name for name, value in zip(rows["id"][:n_pairs], deltas, strict=False) if value is None]
    if lacking:
        raise RecordError(f"{folder}: {len(lacking)} pairs have no delta, such as {lacking[0]}; leave them out")
    decided = [number for number, delta in enumerate(deltas) if winner_of(delta) != "tie"]
    if not decided:
        raise RecordError(f"{folder}: every pair of the {split} split is a tie, and ties have no wrong answer")
    texts = zip(*(rows[column] for column in _REASONING.values()), strict=True)
    reasoned = [None not in both for both in texts]
    modes = rows["mode"]
    answered = [number for number in decided if modes[number] == "fast" or reasoned[number]]
    examples, lengths = _made_when_read(rows.select(answered), split, preference_example)
    return examples, lengths, n_pairs - len(decided) // (len(ORDERS) * len(MODES))


def record_without_way(row: dict[str, Any], split: Split) -> PairRecord:
    """Return the row's record, without the columns that say how the pair is shown."""
    return record_of({name: value for name, value in row.items() if name not in ("order", "mode")}, split)
