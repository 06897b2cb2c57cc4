"""What it costs to hold answers to their form: CPU-seconds a decoding step with and without, taking turns in one run.

    python benchmarks/constrained.py                                # redaes/nano, 1,536 tokens
    python benchmarks/constrained.py --vocabulary 151669            # random weights, a vocabulary of that size

A step is one token for each answer of the batch. The first one, in which the prompt is read, is taken off: each batch
is also asked for one token alone. The ratio is taken in each repeat, and its median, smallest and largest are printed.
What costs once is printed apart: the vocabulary is prepared when the first answer of a model is held.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from redaes import prompts
from redaes.answers import parse
from redaes.backends.base import Answer, Request
from redaes.backends.local import LocalBackend
from redaes.errors import ParseError
from redaes.models import nano
from redaes.types import Sampling


def parse_args() -> argparse.Namespace:
    """Sizes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", default=nano.NAME, help="folder of a model, or an embedded one")
    parser.add_argument("--vocabulary", type=int, help="a model with random weights and so many tokens instead")
    parser.add_argument("--hidden", type=int, default=256, help="its width")
    parser.add_argument("--layers", type=int, default=4, help="its depth")
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--tokens", type=int, default=160, help="max_new_tokens")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--out", type=Path, help="file for what was found, as JSON")
    return parser.parse_args()


def random_model(folder: Path, n_tokens: int, hidden: int, layers: int) -> Path:
    """A model of random weights, with the embedded one's vocabulary and random words of one to eight letters."""
    from transformers import AutoTokenizer, Qwen2Tokenizer, Qwen3VLForConditionalGeneration

    from redaes.models.nano.builder import SPECIAL_TOKENS, make_config, make_processor

    own = AutoTokenizer.from_pretrained(nano.weights())
    model = json.loads(own.backend_tokenizer.to_str())["model"]
    words = dict(model["vocab"])
    rng = np.random.default_rng(0)
    letters = np.array([*"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,;:-()\u0120"])
    while len(words) < n_tokens - len(SPECIAL_TOKENS):
        word = "".join(rng.choice(letters, rng.integers(1, 9)))
        words.setdefault(word, len(words))
    tokenizer = Qwen2Tokenizer(
        vocab=words, merges=[tuple(merge) for merge in model["merges"]], eos_token="<|im_end|>",
        pad_token="<|endoftext|>", unk_token=None,
    )  # fmt: skip
    tokenizer.add_special_tokens({"additional_special_tokens": list(SPECIAL_TOKENS)})
    tokenizer.chat_template = own.chat_template
    config = make_config(tokenizer, hidden=hidden, layers=layers)
    torch.manual_seed(0)
    network = Qwen3VLForConditionalGeneration(config).float()
    network.generation_config.eos_token_id = config.text_config.eos_token_id
    network.generation_config.pad_token_id = config.text_config.pad_token_id
    network.save_pretrained(folder)
    make_processor(tokenizer, 96 * 96).save_pretrained(folder)
    return folder


class Counted:
    """A backend, and how many steps its model has gone."""

    def __init__(self, model: str | Path, batch_size: int, constrain: bool) -> None:
        self.backend = LocalBackend(model, device="cpu", batch_size=batch_size, constrain=constrain)
        self.steps = 0
        self.backend._network.register_forward_hook(self._count)

    def _count(self, *_: Any) -> None:
        self.steps += 1

    def write(self, requests: list[Request], n_tokens: int) -> tuple[list[Answer], float, int]:
        """Answers, CPU-seconds and steps."""
        self.steps = 0
        start = time.process_time()
        answers = self.backend.write(requests, Sampling(max_new_tokens=n_tokens))
        return answers, time.process_time() - start, self.steps

    def step_seconds(self, requests: list[Request], n_tokens: int) -> tuple[list[Answer], float]:
        """Answers, and CPU-seconds for each step after the first."""
        _, first, n_first = self.write(requests, 1)
        answers, whole, n_whole = self.write(requests, n_tokens)
        return answers, (whole - first) / (n_whole - n_first)


def n_read(answers: list[Answer]) -> int:
    """How many answers can be read."""
    found = 0
    for answer in answers:
        try:
            parse(answer.text or "", "reasoned")
        except ParseError:
            continue
        found += 1
    return found


def requests_for(n: int) -> list[Request]:
    """Questions about blotches, of two shapes."""
    rng = np.random.default_rng(0)
    prompt = prompts.load(prompts.COMPARE["reasoned"])

    def blotches(side: int) -> Image.Image:
        small = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
        return small.resize((side, 96), Image.Resampling.BICUBIC)

    return [Request(prompt, (blotches(96 + 32 * (index % 2)), blotches(96))) for index in range(n)]


def measure(model: str | Path, batch_size: int, args: argparse.Namespace) -> dict[str, Any]:
    """Both ways, taking turns."""
    requests = requests_for(max(4, batch_size))
    ways = {"free": Counted(model, batch_size, False), "held": Counted(model, batch_size, True)}
    once = ways["held"].write(requests[:1], 1)[1] - ways["free"].write(requests[:1], 1)[1]
    found: dict[str, list[float]] = {name: [] for name in ways}
    last: dict[str, list[Answer]] = {}
    for repeat in range(args.repeats + 1):
        for name in sorted(ways, reverse=bool(repeat % 2)):
            last[name], seconds = ways[name].step_seconds(requests, args.tokens)
            if repeat:  # the first warms up
                found[name].append(seconds)
    ratios = [held / free for held, free in zip(found["held"], found["free"], strict=True)]
    return {
        "batch_size": batch_size,
        "answers": len(requests),
        "read": {name: n_read(answers) for name, answers in last.items()},
        "same_text": sum(a.text == b.text for a, b in zip(last["free"], last["held"], strict=True)),
        "ms_a_step": {name: round(1e3 * statistics.median(values), 3) for name, values in found.items()},
        "ratio": [round(value, 3) for value in (statistics.median(ratios), min(ratios), max(ratios))],
        "once_s": round(once, 2),
    }


def main(args: argparse.Namespace) -> None:
    """Print what was found for each batch size."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        model = args.model
        if args.vocabulary:
            model = random_model(Path(folder) / "model", args.vocabulary, args.hidden, args.layers)
        found = [measure(model, size, args) for size in args.batch_sizes]
    for one in found:
        print(
            f"batch {one['batch_size']}: {one['ms_a_step']['free']} ms a step free, {one['ms_a_step']['held']} held; "
            f"ratio {one['ratio'][0]} [{one['ratio'][1]}, {one['ratio'][2]}] over {args.repeats} repeats; read "
            f"{one['read']['free']} and {one['read']['held']} of {one['answers']}, {one['same_text']} alike; once "
            f"{one['once_s']} s"
        )
    if args.out:
        args.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main(parse_args())
