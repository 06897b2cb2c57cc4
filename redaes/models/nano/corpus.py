"""The texts on which the embedded model's tokenizer is trained: prompts, answers, instructions."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from redaes import prompts
from redaes.answers import render_verdict, stated
from redaes.records import read_records

N_RECORDS = 3000
"""Answers of this many pairs are enough: the writer's vocabulary is small."""

PROMPT_REPEATS = 50
"""Prompts are read with every answer, so their words deserve tokens of their own."""


def corpus(dataset: Path) -> Iterator[str]:
    """Yield every prompt, and the answers and instructions of a RED dataset's training pairs."""
    for name in prompts.names():
        yield from [prompts.load(name).text] * PROMPT_REPEATS
    for record in islice(read_records(dataset, "train"), N_RECORDS):
        delta = record.pair.delta
        if delta is None:
            continue  # an unlabelled pair has no answer to learn words from
        for rationale, signed in ((record.rationale, delta), (record.rationale_swapped, -delta)):
            yield render_verdict(stated(signed, rationale))
        for edit in (record.pair.edit_first, record.pair.edit_second):
            if edit is not None:
                yield edit.instruction
