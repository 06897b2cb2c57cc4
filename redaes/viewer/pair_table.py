"""Judged pairs as a table for a report: sorted and filtered in the browser, each row with its two pictures.

The table is complete without its script, but for the pictures: they stand once each in the page, as text, and the
script shows those that come near the window.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Literal

AT_ONCE = 100
"""Rows that a browser lays out when it opens the page; the others wait in a template, and the script brings them."""

Outcome = Literal["right", "wrong", "undecided", "failed", "open"]
"""Of a verdict: ``undecided``: neither picture is called better, without calling it a tie; ``failed``: there is no
usable answer; ``open``: the label is a tie, so no side is right."""

Letter = Literal["A", "B", "tie", ""]

OUTCOMES: Mapping[str, str] = {
    "right": "right",
    "wrong": "wrong",
    "undecided": "undecided",
    "failed": "no usable answer",
    "open": "the label is a tie",
}

REASONS: Mapping[str, tuple[str, str]] = {
    "true": ("confirmed", "confirmed"),
    "partly": ("partly", "partly contradicted"),
    "false": ("wrong", "wrong: contradicted"),
    "unconfirmed": ("unconfirmed", "nothing confirmed"),
    "none": ("none", "no reasoning"),
}
"""What a checked reasoning comes to (:data:`redaes.evidence.rationale_truth.Truth`): as the address of a page says it,
and in words."""

STATUSES: Mapping[str, str] = {
    "supported": "confirmed",
    "contradicted": "contradicted",
    "not_measurable": "not measured",
}


@dataclass(frozen=True)
class PairPicture:
    """One of a row's two pictures."""

    name: str
    """What stands below it; may be empty."""
    url: str | None
    """``data:`` URL; None: it cannot be shown."""
    why: str = ""
    """Why it cannot."""


@dataclass(frozen=True)
class Statement:
    """One statement of a reasoning, checked."""

    text: str
    status: str
    """Key of :data:`STATUSES`."""
    detail: str = ""
    """What was measured, and what is wrong with it."""


@dataclass(frozen=True)
class PairRow:
    """One judged pair."""

    id: str
    """Of the pair; not shown."""
    pictures: tuple[PairPicture, PairPicture]
    """A and B."""
    factor: str
    """What decides the pair; may be empty."""
    better: Letter
    """By the label; empty: it has none."""
    label: str
    """In words: ``A is better by 2.3 points``."""
    size: float | None
    """Of the labelled difference, at least 0, by which labels are sorted; None: there is no label."""
    run: str = ""
    """Whose verdict it is, where a table has those of several."""
    outcome: Outcome | None = None
    """None: nobody was asked."""
    verdict: str = ""
    """In words: ``A is better by 2.1 points``."""
    stated: float | None = None
    """Size of the difference that the verdict states, by which verdicts are sorted."""
    truth: str | None = None
    """Key of :data:`REASONS`; None: no reasoning was checked."""
    text: Sequence[tuple[str, str | None]] = ()
    """The reasoning in pieces, each with what became of the statement that it is."""
    counts: tuple[int, int, int] | None = None
    """Statements confirmed, contradicted and not measured; None: nobody counted."""
    statements: Sequence[Statement] = ()
    measured: Sequence[tuple[str, str, str]] = ()
    """What was measured: the quantity with its unit, in A, in B."""
    notes: Sequence[str] = ()
    """Further sentences about the row."""

    @property
    def is_right_for_a_wrong_reason(self) -> bool:
        """Whether the verdict is right and its reasoning false."""
        return self.outcome == "right" and self.truth == "false"


def pair_table(rows: Sequence[PairRow], *, runs: str = "Run") -> str:
    """Return the table with its filters, as HTML; a page holds one at most.

    Args:
        rows: in the order in which they are shown at first.
        runs: what :attr:`PairRow.run` is called; without rows of several there is no such column.
    """
    has_runs = len({row.run for row in rows}) > 1
    has_verdicts = any(row.outcome is not None for row in rows)
    has_reasons = any(row.truth is not None or row.text for row in rows)
    places: dict[str, str] = {}
    for row in rows:
        for picture in row.pictures:
            if picture.url is not None:
                places.setdefault(picture.url, f"picture-{len(places)}")
    headings = [("", "pairs-pictures", "Pictures")]
    headings += [("run", "pairs-narrow", escape(runs))] if has_runs else []
    headings += [("factor", "pairs-narrow", "Factor"), ("label", "pairs-narrow", "Label")]
    headings += [("verdict", "pairs-narrow", "Verdict")] if has_verdicts else []
    headings += [("reasons", "", "Reasons")] if has_reasons else []
    cells = "".join(
        f'<th role="columnheader" scope="col" class="{kind}" '
        f"{f'data-key={key}' if key else 'data-unsorted'}>{name}</th>"
        for key, kind, name in headings
    )
    lines = [_row(row, places, runs if has_runs else "", has_verdicts, has_reasons) for row in rows]
    hidden = "".join(f'<script type="text/plain" id="{place}">{escape(url)}</script>' for url, place in places.items())
    return (
        f'<div id="pairs">{_filters(rows, runs if has_runs else "", has_verdicts)}'
        f"<noscript><p>Without JavaScript there are {AT_ONCE} rows at most, no pictures, no sorting and no filters.</p>"
        '</noscript><table id="pair-table" role="table" aria-label="Pairs of pictures"><thead role="rowgroup">'
        f'<tr role="row">{cells}</tr></thead><tbody role="rowgroup">{"".join(lines[:AT_ONCE])}</tbody></table>'
        f'<template id="further-pairs"><table><tbody>{"".join(lines[AT_ONCE:])}</tbody></table></template>'
        f"{hidden}</div>"
    )


def _filters(rows: Sequence[PairRow], runs: str, has_verdicts: bool) -> str:
    """Return the form that filters, hidden until the script shows it."""
    parts = []
    if runs:
        parts.append(_select("run", runs, Counter(row.run for row in rows)))
    parts.append(_select("factor", "Factor", Counter(row.factor for row in rows if row.factor)))
    if has_verdicts:
        outcomes = Counter(str(row.outcome) for row in rows if row.outcome is not None)
        parts.append(_select("verdict", "Verdict", outcomes, OUTCOMES))
    truths = Counter(REASONS[row.truth][0] for row in rows if row.truth is not None)
    if truths:
        parts.append(_select("reason", "Reason", truths, dict(REASONS.values())))
    parts.append('<label>Words <input type="search" name="words" autocomplete="off"></label>')
    if truths and has_verdicts:
        n = sum(row.is_right_for_a_wrong_reason for row in rows)
        parts.append(
            '<button type="button" data-set="verdict=right&amp;reason=wrong">'
            f"Right verdict, wrong reason ({n})</button>"
        )
    kind = "pairs" if len({row.id for row in rows}) == len(rows) else "answers about pairs"
    parts.append('<button type="reset">Show all</button><output aria-live="polite"></output>')
    return (
        f'<form id="pair-filters" role="search" aria-label="Filter the pairs" data-rows="{kind}" hidden>'
        f"{''.join(parts)}</form>"
    )


def _select(name: str, title: str, counts: Mapping[str, int], words: Mapping[str, str] | None = None) -> str:
    known = {} if words is None else words
    order = [key for key in known if key in counts] or sorted(counts)
    options = "".join(
        f'<option value="{escape(key)}">{escape(known.get(key, key))} ({counts[key]})</option>' for key in order
    )
    return f'<label>{escape(title)} <select name="{name}"><option value="">all</option>{options}</select></label>'


def _row(row: PairRow, places: Mapping[str, str], runs: str, has_verdicts: bool, has_reasons: bool) -> str:
    data = f' data-factor="{escape(row.factor)}"'
    data += f' data-run="{escape(row.run)}"' if runs else ""
    data += f' data-verdict="{row.outcome}"' if row.outcome is not None else ""
    data += f' data-reason="{REASONS[row.truth][0]}"' if row.truth is not None else ""
    cells = f'<th role="rowheader" scope="row">{_pictures(row, places)}</th>'
    cells += _cell(escape(runs), escape(row.run), row.run) if runs else ""
    cells += _cell("Factor", escape(row.factor), row.factor)
    cells += _cell("Label", escape(row.label), "" if row.size is None else f"{row.size:.6g}")
    if has_verdicts:
        cells += _cell("Verdict", _verdict(row), "" if row.stated is None else f"{row.stated:.6g}")
    if has_reasons:
        # Sorted by what is left of the confirmed statements when the contradicted ones are taken off.
        weight = "" if row.counts is None else str(row.counts[0] - row.counts[1])
        cells += _cell("Reasons", _reasons(row), weight)
    return f'<tr role="row"{data}>{cells}</tr>\n'


def _cell(name: str, content: str, value: str) -> str:
    return f'<td role="cell" data-name="{name}" data-value="{escape(value)}">{content}</td>'


def _pictures(row: PairRow, places: Mapping[str, str]) -> str:
    shown = []
    for letter, picture in zip("AB", row.pictures, strict=True):
        kind = "lettered better" if row.better == letter else "lettered"
        name = f"{letter}: {picture.name}" if picture.name else letter
        if picture.url is None:
            image = f'<span class="bad">{escape(picture.why)}</span>'
        else:
            image = f'<img alt="{escape(name)}" data-picture="{places[picture.url]}">'
        shown.append(
            f'<span><span class="{kind}">{image}<b aria-hidden="true">{letter}</b></span>'
            f"<small>{escape(picture.name)}</small></span>"
        )
    content = f'<span class="two">{"".join(shown)}</span>'
    if all(picture.url is not None for picture in row.pictures):
        content = f'<button type="button" class="look" title="Show both closely">{content}</button>'
    return content


def _verdict(row: PairRow) -> str:
    if row.outcome is None:
        return ""
    flag = '<p><span class="flag">right verdict, wrong reason</span></p>' if row.is_right_for_a_wrong_reason else ""
    kind = {"right": "good", "wrong": "bad", "failed": "bad"}.get(row.outcome, "soft")
    sign = {"right": "✓ ", "wrong": "✗ ", "failed": "✗ "}.get(row.outcome, "")
    said = f"<p>{escape(row.verdict)}</p>" if row.verdict else ""
    return f'{said}<p class="{kind}">{sign}{OUTCOMES[row.outcome]}</p>{flag}'


def _reasons(row: PairRow) -> str:
    parts = []
    if row.text:
        parts.append(f"<p>{''.join(_piece(words, status) for words, status in row.text)}</p>")
    if row.truth is not None:
        text = REASONS[row.truth][1]
        if row.counts is not None and row.truth != "none":
            confirmed, contradicted, unmeasured = row.counts
            text += f" ({confirmed} confirmed, {contradicted} contradicted, {unmeasured} not measured)"
        kind = {"true": "good", "false": "bad"}.get(row.truth, "soft")
        parts.append(f'<p class="{kind}">{escape(text)}</p>')
    if row.statements or row.measured:
        items = "".join(
            f"<li>“{escape(one.text)}”: {STATUSES[one.status]}{escape(one.detail and f', {one.detail}')}</li>"
            for one in row.statements
        )
        lines = "".join(
            f'<tr><th scope="row">{escape(name)}</th><td>{escape(a)}</td><td>{escape(b)}</td></tr>'
            for name, a, b in row.measured
        )
        lines = (
            lines
            and f"<table><thead><tr><th>measured</th><th>A</th><th>B</th></tr></thead><tbody>{lines}</tbody></table>"
        )
        items = items and f"<ul>{items}</ul>"
        parts.append(f"<details><summary>Statements and measurements</summary>{items}{lines}</details>")
    parts += [f"<p><small>{escape(note)}</small></p>" for note in row.notes]
    return "".join(parts)


def _piece(words: str, status: str | None) -> str:
    if status is None:
        return escape(words)
    told = f" <small>[{STATUSES[status]}]</small>" if status in ("supported", "contradicted") else ""
    return f'<mark class="{escape(status)}">{escape(words)}</mark>{told}'
