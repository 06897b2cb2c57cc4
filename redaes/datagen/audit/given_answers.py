"""Match people's answers with their pairs; answers that do not match are named and left out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from redaes.datagen.audit.answer_files import AuditAnswer, read_lines
from redaes.datagen.audit.drawn_pairs import DRAW_VERSION, AuditDraw, DrawnPair, Population, drawn_pairs
from redaes.datagen.audit.showings import showing_name
from redaes.errors import InputError, RecordError
from redaes.types import Record

N_NAMED = 5
"""Number of lines of each kind that are listed; the others are counted."""

REVISED = "answers that their person has replaced by a later one"
"""The one remark that is not about a fault: people may go back and answer again."""
UNSEEN = "pairs of which a picture could not be shown"


class Remarks(Record):
    """Lines of one kind that do not count."""

    n: int
    first: tuple[str, ...]
    """File, line number and reason of the first of these lines."""


@dataclass(frozen=True)
class GivenAnswer:
    """What one person says about one pair, in terms of the dataset's first and second picture."""

    person: str
    pair: DrawnPair
    says: int
    """1 if the first picture is better, -1 if the second one is, 0 if they are alike."""
    on_left: int
    """Which picture was on the left: 1 for the first, -1 for the second."""
    seconds: float


@dataclass
class GivenAnswers:
    """All answers that count."""

    draws: tuple[AuditDraw, ...]
    """The draws, one for each seed, with the largest number of pairs that the answers name."""
    pairs: dict[str, DrawnPair] = field(default_factory=dict)
    """The pairs of those draws, by token."""
    first: list[GivenAnswer] = field(default_factory=list)
    """The first answer of each person about each pair."""
    repeated: list[tuple[GivenAnswer, GivenAnswer]] = field(default_factory=list)
    """Both answers to pairs that a person has judged twice."""
    remarks: dict[str, Remarks] = field(default_factory=dict)


def given_answers(found: Population, files: Sequence[Path]) -> GivenAnswers:
    """Read answers and assign them to their pairs.

    Args:
        found: the dataset that the answers are about.
        files: files of answers.

    Raises:
        RecordError: a file cannot be read, or no line in any file is an answer about this dataset.
    """
    notes: defaultdict[str, list[str]] = defaultdict(list)
    lines: dict[bytes, tuple[str, AuditAnswer]] = {}
    for file in files:
        for number, one in read_lines(file):
            place = f"{file}:{number}"
            kind = _unfit(one, found)
            if isinstance(one, InputError):
                notes[kind].append(f"{place}: {one}")
            elif kind:
                notes[kind].append(f"{place}: {one.draw.dataset[:12]}, version {one.draw.version}")
            elif one.line() in lines:
                notes["lines that stand twice"].append(f"{place}: as {lines[one.line()][0]}")
            else:
                lines[one.line()] = (place, one)
    given = GivenAnswers(_draws([one for _, one in lines.values()]))
    for draw in given.draws:
        given.pairs |= {pair.token: pair for pair in drawn_pairs(found, draw)}
    latest = _latest(lines.values(), given, notes)
    _count(latest, given, notes)
    given.remarks = {
        kind: Remarks(n=len(places), first=tuple(places[:N_NAMED])) for kind, places in sorted(notes.items())
    }
    if not given.first:
        told = "; ".join(f"{note.n} {kind} ({note.first[0]})" for kind, note in given.remarks.items())
        raise RecordError(
            f"no answer about this dataset in {', '.join(map(str, files))}" + (f": {told}" if told else "")
        )
    return given


def _unfit(one: AuditAnswer | InputError, found: Population) -> str:
    """Return what is wrong with a line by itself; empty if nothing is."""
    if isinstance(one, InputError):
        return "lines that are not answers"
    if one.draw.dataset != found.dataset:
        return "answers about another dataset"
    return "" if one.draw.version == DRAW_VERSION else "answers of another version of redaes audit"


def _draws(lines: Sequence[AuditAnswer]) -> tuple[AuditDraw, ...]:
    largest: dict[str, AuditDraw] = {}
    for one in lines:
        if one.draw.key not in largest or largest[one.draw.key].n_pairs < one.draw.n_pairs:
            largest[one.draw.key] = one.draw
    return tuple(largest[key] for key in sorted(largest))


def _latest(
    lines: Iterable[tuple[str, AuditAnswer]], given: GivenAnswers, notes: defaultdict[str, list[str]]
) -> list[tuple[str, AuditAnswer]]:
    """Return the last of each person's answers to a showing, in the order in which they were given."""
    latest: dict[tuple[str, str], tuple[str, AuditAnswer]] = {}
    for place, one in sorted(lines, key=lambda line: line[1].at):
        pair = given.pairs.get(one.pair)
        if pair is None or one.showing not in (showing_name(pair, 1), showing_name(pair, 2)):
            notes["answers about pairs that were not drawn"].append(f"{place}: {one.showing}")
        elif {one.left, one.right} != set(pair.pictures):
            notes["answers with pictures that are not the pair's"].append(f"{place}: {one.showing}")
        else:
            before = latest.pop((one.person, one.showing), None)  # the later one takes its place at the end
            if before is not None:
                notes[REVISED].append(
                    f"{before[0]}: {one.person}, {one.showing}: {before[1].choice}, then {one.choice}"
                )
            latest[one.person, one.showing] = (place, one)
    return list(latest.values())


def _count(latest: Iterable[tuple[str, AuditAnswer]], given: GivenAnswers, notes: defaultdict[str, list[str]]) -> None:
    """Add each answer to the answers that count, or note why it does not count."""
    earlier: dict[tuple[str, str], GivenAnswer] = {}
    for place, one in latest:
        pair = given.pairs[one.pair]
        if one.choice == "unseen":
            notes[UNSEEN].append(f"{place}: {pair.pair}")
            continue
        on_left = 1 if one.left == pair.pictures[0] else -1
        says = {"left": on_left, "right": -on_left, "alike": 0}[one.choice]
        answer = GivenAnswer(one.person, pair, says, on_left, one.seconds)
        before = earlier.setdefault((one.person, one.pair), answer)
        if before is answer:
            given.first.append(answer)
        else:
            given.repeated.append((before, answer))
