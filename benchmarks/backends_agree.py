"""Whether one model answers alike in this process and behind servers: the same pairs, through each.

    python benchmarks/backends_agree.py --server vllm=http://127.0.0.1:8000/v1=nano --server llama.cpp=http://127.0.0.1:8081/v1

The servers must run, with ``redaes/nano`` (or what ``--model`` names) behind them. Pairs are sample photographs and
edits of them, drawn from ``--seed``, asked in the fast and the reasoned mode, in both orders. Of each server it is
printed how it is asked, how many pairs get the verdict that they get in this process, how many of the written answers
are the same to the last character, and how far the log-odds of the two pictures are apart at most; below it, each pair
whose verdict differs, with both log-odds, so that a near tie can be told from a mistake.
"""

from __future__ import annotations

import argparse
import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps

from redaes.assessor import Assessor, Result
from redaes.datagen.editors.parametric import OPERATIONS, apply_edit
from redaes.models import nano
from redaes.prompts import Mode
from redaes.samples import sample_photographs

MODES: tuple[Mode, ...] = ("fast", "reasoned")
Pair = tuple[Image.Image, Image.Image]


@dataclass(frozen=True)
class Server:
    """A server under the name by which the table calls it."""

    name: str
    url: str
    model: str | None

    @classmethod
    def of(cls, text: str) -> Server:
        """Of ``NAME=URL`` or ``NAME=URL=MODEL``."""
        name, url, *model = text.split("=")
        return cls(name, url, model[0] if model else None)


def drawn_pairs(n: int, side: int, seed: int) -> list[Pair]:
    """Pieces of the sample photographs, ``side`` pixels high and wide, each beside an edit of it."""
    rng = random.Random(seed)
    photographs = [ImageOps.exif_transpose(Image.open(one.path)).convert("RGB") for one in sample_photographs()]
    found: list[Pair] = []
    for number in range(n):
        photograph = rng.choice(photographs)
        edge = rng.randint(min(photograph.size) * 2 // 3, min(photograph.size))
        left, top = rng.randint(0, photograph.width - edge), rng.randint(0, photograph.height - edge)
        whole = photograph.crop((left, top, left + edge, top + edge)).resize((side, side), Image.Resampling.LANCZOS)
        edit = rng.choice(sorted(OPERATIONS))
        edited = Image.fromarray(apply_edit(np.asarray(whole), edit, rng.choice((0.3, 0.6, 1.0)), number))
        found.append((whole, edited) if rng.random() < 0.5 else (edited, whole))
    return found


def asked(assessor: Assessor, pairs: Sequence[Pair]) -> list[Result]:
    """The answers about all pairs."""
    return [assessor.compare(first, second, check=False) for first, second in pairs]


def verdict(result: Result) -> str:
    """What is said of a pair, in a word."""
    return result.winner or result.undecided or f"failure: {result.failure}"


def texts(results: Sequence[Result]) -> list[str]:
    """What was written, in every order."""
    return [comparison.raw for result in results for comparison in result.comparisons]


def how(results: Sequence[Result]) -> str:
    """In which form a server was asked, and how its probabilities were read."""
    found = [comparison for result in results for comparison in result.comparisons]
    read = sorted({str(one.probability_from or one.probability_failure) for one in found})
    held = sorted({str(one.held_by) for one in found if one.held_by is not None})
    changes = sorted({change for one in found for change in one.changes})
    return ", ".join((found[0].form, *held, *read, *changes))


def compared(name: str, here: Sequence[Result], there: Sequence[Result]) -> None:
    """Print the row of a server, and the pairs in which it differs."""
    same = sum(verdict(one) == verdict(other) for one, other in zip(here, there, strict=True))
    written, again = texts(here), texts(there)
    equal = sum(one == other for one, other in zip(written, again, strict=True)) if len(written) == len(again) else 0
    apart = [
        abs(one.log_odds - other.log_odds)
        for one, other in zip(here, there, strict=True)
        if one.log_odds is not None and other.log_odds is not None
    ]
    far = f"{statistics.median(apart):.1e} {max(apart):.1e}" if apart else "- -"
    print(f"{name:16} {same:3}/{len(here)}  {equal:3}/{len(written)}  {far:17}  {how(there)}")
    for number, (one, other) in enumerate(zip(here, there, strict=True)):
        if verdict(one) != verdict(other):
            odds = ", ".join("-" if odd is None else f"{odd:+.3f}" for odd in (one.log_odds, other.log_odds))
            print(f"    pair {number}: {verdict(one)} here, {verdict(other)} there; log-odds {odds}")


def main() -> None:
    """Ask every server, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", action="append", default=[], metavar="NAME=URL[=MODEL]", type=Server.of)
    parser.add_argument("--model", default=nano.NAME, help="the model in this process")
    parser.add_argument("--form", default="text", choices=("text", "json", "auto"), help="of the reasoned answers")
    parser.add_argument("--pairs", type=int, default=30)
    parser.add_argument("--side", type=int, default=224, help="of the pictures, in pixels")
    parser.add_argument("--seed", type=int, default=0)
    settings = parser.parse_args()
    pairs = drawn_pairs(settings.pairs, settings.side, settings.seed)
    for mode in MODES:
        form = settings.form if mode == "reasoned" and settings.form != "auto" else None
        here = asked(Assessor.from_pretrained(settings.model, mode=mode, form=form), pairs)
        print(f"\n{mode} mode: {len(pairs)} pairs of {settings.side} x {settings.side} pixels, both orders")
        print("server           verdicts  texts   log-odds apart     asked as")
        print("                           equal   median largest")
        for server in settings.server:
            assessor = Assessor.from_server(server.url, server.model, mode=mode, reader="strict", form=form)
            compared(server.name, here, asked(assessor, pairs))


if __name__ == "__main__":
    main()
