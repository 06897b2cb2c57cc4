"""Pages to look at during stage 3: one ranking group with its pictures and the sampled answers.

A page is one self-contained HTML file, so it can be copied from a machine without a screen; it shows pictures beside
texts, which no plot of a mean replaces. (TRL's ``log_completions`` writes tables for programs and trackers, without the
pictures.)
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from redaes.assessing.measured import quoted
from redaes.evidence.claims import CheckedClaim
from redaes.evidence.rationale_truth import reason_of
from redaes.file_writing import write_atomically
from redaes.html_pages import jpeg_bytes, jpeg_url, page_template
from redaes.rewards.trl import Completion, checked, completion_text, read
from redaes.types import Verdict, winner_of

THUMBNAIL = 224
"""Longest side of a picture on a page, in pixels."""


def write_page(
    folder: Path,
    step: int,
    rows: Sequence[Mapping[str, Any]],
    completions: Sequence[Completion],
    components: Mapping[str, Sequence[float]],
    rewards: Sequence[float],
) -> Path:
    """Write ``step-NNNNNN.html`` about the first ranking group of a generation batch, atomically.

    Args:
        folder: folder of the page.
        step: number of the step, for the name and the heading.
        rows: the dataset's row of each completion.
        completions: what was sampled.
        components: each component's reward of each completion; NaN: it has none.
        rewards: the weighted sum for each completion; NaN: it has none.

    Raises:
        RecordError: the folder cannot be written to.
    """
    group = rows[0]["group"]
    prompts: dict[tuple[str, ...], dict[str, Any]] = {}
    letters: dict[str, int] = {}
    pictures: list[str] = []
    for number, row in enumerate(rows):
        if row["group"] != group:
            continue
        for name, image in zip(row["shown"], row["images"], strict=True):
            if name not in letters:
                letters[name] = len(letters) + 1
                pictures.append(_thumbnail(image))
        prompt = prompts.setdefault(
            tuple(row["shown"]),
            {
                "shown": [letters[name] for name in row["shown"]],
                "delta": row["delta"],
                "factors": row["factors"],
                "faults": [f"{name} in {side}" for name, side in zip(row["faults"] or (), "AB", strict=False) if name],
                "answers": [],
            },
        )
        answer = read(completions[number], row["mode"])
        prompt["answers"].append(
            {
                "text": completion_text(completions[number]),
                "failure": answer if isinstance(answer, str) else None,
                **_reason(answer if isinstance(answer, Verdict) else None, row),
                "parts": [_figure(values[number]) for values in components.values()],
                "reward": _figure(rewards[number]),
            }
        )
    page = page_template("redaes.training", "completions.html.j2", extra="train").render(
        step=step,
        group=group,
        pictures=pictures,
        prompts=list(prompts.values()),
        names=list(components),
    )
    path = folder / f"step-{step:06d}.html"
    write_atomically(path, page.encode("utf-8"))
    return path


def _reason(verdict: Verdict | None, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is wrong with an answer's reasoning, if the pair was measured: the ``contradicted`` statements in
    words, and whether the reason is wrong although the verdict is right.
    """
    claims = checked(verdict, row["evidence"])
    if verdict is None or claims is None:
        return {"contradicted": [], "reason_wrong": False}
    better = None if row["delta"] is None else winner_of(row["delta"])
    return {
        "contradicted": [_contradiction(one) for one in claims.checked if one.status == "contradicted"],
        "reason_wrong": reason_of(claims).truth == "false" and verdict.winner == better,
    }


def _contradiction(one: CheckedClaim) -> str:
    who = "A and B" if one.claim.side == "both" else one.claim.side
    return f"contradicted of {who}: {quoted(one)}"


def _figure(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.2f}"


def _thumbnail(image: Image.Image) -> str:
    small = image.copy()
    small.thumbnail((THUMBNAIL, THUMBNAIL))
    return jpeg_url(jpeg_bytes(small, 85))
