"""The results of an audit, as a self-contained page and as text for tables."""

from __future__ import annotations

from typing import Any

from redaes.datagen.audit.agreement_report import AuditReport, ContradictedPair
from redaes.datagen.audit.blind_pictures import all_blind_pictures
from redaes.datagen.audit.drawn_pairs import DrawnPair
from redaes.datagen.audit.given_answers import GivenAnswers
from redaes.errors import RecordError
from redaes.estimates import Estimate
from redaes.html_pages import jpeg_url, page_template
from redaes.types import TAU

_THUMBNAIL = 420
"""Longest side of a picture, in pixels."""


def share_text(estimate: Estimate) -> str:
    """Return a share in percent with its interval.

    >>> share_text(Estimate(value=0.914, low=0.8, high=1.0)), share_text(Estimate(value=None))
    ('91 % [80, 100]', '–')
    """
    if estimate.value is None:
        return "–"
    text = f"{100 * estimate.value:.0f} %"
    if estimate.low is None or estimate.high is None:
        return text
    return f"{text} [{100 * estimate.low:.0f}, {100 * estimate.high:.0f}]"


def alpha_text(estimate: Estimate) -> str:
    """Return a coefficient with its interval.

    >>> alpha_text(Estimate(value=0.5, low=-0.1, high=0.75))
    '0.50 [−0.10, 0.75]'
    """
    if estimate.value is None:
        return "–"
    numbers = [
        f"{one:.2f}".replace("-", "−") for one in (estimate.value, estimate.low, estimate.high) if one is not None
    ]
    return numbers[0] if len(numbers) < 3 else f"{numbers[0]} [{numbers[1]}, {numbers[2]}]"


def agreement_page(name: str, report: AuditReport, given: GivenAnswers) -> str:
    """Return the page.

    Args:
        name: name of the dataset.
        report: the results.
        given: the answers; they are used for the pictures of pairs whose label people contradict.

    Raises:
        MissingDependency: jinja2 is absent.
    """
    template = page_template(
        "redaes.datagen.audit", "agreement.html.j2", extra="audit", filters={"cell": share_text, "number": alpha_text}
    )
    rows = {row.pair: row for row in report.contradicted}
    pairs = {pair.pair: pair for pair in given.pairs.values() if pair.pair in rows}
    pictures = {pair.pair: found for pair, found in all_blind_pictures(list(pairs.values()), _THUMBNAIL)}
    cards = [_card(row, pairs[row.pair], pictures[row.pair]) for row in report.contradicted]
    return template.render(name=name, report=report, cards=cards, tau=TAU)


def _card(row: ContradictedPair, pair: DrawnPair, pictures: dict[str, bytes] | RecordError) -> dict[str, Any]:
    if isinstance(pictures, RecordError):  # `validate` reports it; the line is true without its pictures, too
        return {"row": row, "pictures": []}
    better = pair.pictures[0] if pair.delta > 0 else pair.pictures[1]
    return {
        "row": row,
        "pictures": [{"url": jpeg_url(pictures[token]), "better": token == better} for token in pair.pictures],
    }
