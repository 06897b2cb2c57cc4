"""The lenient reader: unambiguous variants of the answer forms, written by models that were not trained on them.

:mod:`redaes.answers` reads the exact form. Models that know it from the prompt alone use bold type, blank lines,
``Winner: Picture B`` or a longer minus sign. This reader accepts such variants. It refuses, with a reason, an answer in
which something is missing, stated twice or contradictory: a winner that contradicts the sign of the difference, the
rationale's closing sentence, or the text around the form. It never chooses between two interpretations.

Training and rewards never use this reader. Answers that it reads are counted apart, and it is used only where it is
asked for by name (:data:`READERS`).
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple, get_args

from redaes import answers
from redaes.errors import ParseError
from redaes.json_form import decoded, parse_json, verdict_of
from redaes.known_names import known_name
from redaes.praise import refuse_blind, refuse_other_conclusion, refuse_other_praise
from redaes.prompts import Mode
from redaes.thinking import split_thinking
from redaes.types import FACTORS, MAX_DELTA, Factor, Form, Rationale, Verdict, Winner

Reader = Literal["strict", "lenient"]
"""Which answers are read: only those in the exact form, or unambiguous variants of it as well."""

READERS: tuple[Reader, ...] = get_args(Reader)

STRICT = "strict"
"""Name of the reader of the exact form."""

LENIENT = "lenient/v2"
"""Name of the reader of variants; its version changes with the variants that it accepts."""

_MINUS = re.compile("[\u2212\u2010\u2011\u2012\u2013\u2014\ufe63\uff0d]")
_PLUS = "\uff0b"
_COLON = "\uff1a"
_FENCE = re.compile(r"[ \t]*(?:```|~~~)[ \t]*\w*[ \t]*")
_FENCED = re.compile(r"(?P<fence>```|~~~)[ \t]*(?:json)?\s*(?P<inside>\{.*\})\s*(?P=fence)", re.DOTALL | re.IGNORECASE)
_TAG = re.compile(r"</?(?:b|strong|i|em|u)>|<br\s*/?>", re.IGNORECASE)
_UNSEEN = re.compile("[\u200b-\u200f\u2060\ufeff]")
_END = re.compile(r"(?:\s*(?:<\|(?:im_end|end|eot_id|endoftext|eom_id)\|>|<end_of_turn>|<eos>|</s>))+\s*$")
"""Special tokens that a server has left at the end of an answer."""
_HEADING = re.compile(r"^[#>*_ \t]*rationale[*_ \t]*(?::[*_ \t]*|$)", re.IGNORECASE | re.MULTILINE)
_OPEN, _CLOSE = re.compile(r"<\s*rationale\s*>", re.IGNORECASE), re.compile(r"<\s*/\s*rationale\s*>", re.IGNORECASE)
_MARKUP = re.compile(r"[*_`]+")
_KEY = re.compile(
    r"\s*(?:(?:[#>\-+\u2022\u2013\u2014]+|\(?[0-9]{1,2}[.)])\s+)*(?P<key>winner|difference)\s*:\s*(?P<value>.*?)\s*",
    re.IGNORECASE,
)
_KEY_ANYWHERE = re.compile(r"\b(?:winner|difference)\s*:", re.IGNORECASE)
_BOTH_KEYS = re.compile(
    r"^(.*\bwinner\s*:[^\n]*?)[ \t]*[,;|\u2013\u2014]?[ \t]+(?=difference\s*:)", re.IGNORECASE | re.MULTILINE
)
_WINNER = re.compile(
    r"[\"'(\[\u201c\u2018]?(?:the\s+)?(?:(?:picture|image|photo|photograph|option)\s+)?"
    r"[\"'\u201c\u2018]?(?P<winner>A|B|tie)[\"')\]\u201d\u2019]?\s*\.?",
    re.IGNORECASE,
)
_DELTA = re.compile(
    r"(?P<sign>[+-]?)\s*(?P<size>[0-9]{1,2}(?:\.[0-9]{1,4}|,[0-9]{1,2})?)(?:\s*points?)?\s*\.?", re.IGNORECASE
)
_DECISIVE_KEY = re.compile(r"(?<!not )(?<!non-)(?<!in)\bdecisive(?:\s+factors?)?\s*:\s*", re.IGNORECASE)
_DECISIVE_WORD = re.compile(r"decisive(?=[*_`]*(?:\s+factors?)?[*_`]*\s*[:\uff1a])", re.IGNORECASE)
_DECISIVE = re.compile(
    r"(?:(?P<none>nothing)|(?P<factors>[a-z][a-z,;&/ \n]*?)\s*[,;:(\u2013\u2014-]?\s*\b(?:(?:is|are)\s+)?better\s+in\s+"
    r"(?:the\s+)?(?:(?:picture|image|photo|photograph)\s+)?(?P<better>[AB])\)?)\s*\.?",
    re.IGNORECASE,
)
_SEPARATOR = re.compile(r"\s*(?:,\s*and\b|,\s*&|,|;|/|&|\band\b)\s*", re.IGNORECASE)
_SPELLINGS = {"color": "colour", "colors": "colour", "colours": "colour", "lighting": "light"}
_EXAMPLE = re.compile(
    r"what you see in (?:both|picture [AB])|\b[AB]: \W*(?:string|text|observations?)\W*(?:$|\bB:)", re.IGNORECASE
)
"""Placeholders for a reasoning in the prompt, and for a text in the schema."""
_EXCHANGED = re.compile(
    r"\A\W*A:\s+(?:(?i:in\s+)?(?i:picture|image|photo)\s+B\b|B\s*:)"
    r"|\bB:\s+(?:(?i:in\s+)?(?i:picture|image|photo)\s+A\b|A\s*:)"
)
_PLACE = re.compile(r"\W*[\[{<(][^\[\]{}<>()]*[\]}>)]\W*|[\W_]*")
"""A reasoning that is only a placeholder, such as ``[your reasoning]``."""


class Reading(NamedTuple):
    """A verdict and the reader that read it."""

    verdict: Verdict
    reader: str
    """:data:`STRICT` or :data:`LENIENT`."""


def known_reader(name: str) -> Reader:
    """Return the reader of that name.

    >>> known_reader("strict")
    'strict'

    Raises:
        InputError: there is no such reader.
    """
    return known_name(name, READERS, "reader")


def read(text: str, mode: Mode, reader: Reader, form: Form = "text") -> Reading:
    """Read the answer to a comparison.

    Args:
        text: the model's answer.
        mode: as for :func:`redaes.answers.parse`.
        reader: ``strict``: read the exact form only; ``lenient``: read variants as well, if the exact form fails.
        form: the form that was asked for. An answer in the other form is refused as ``other_form``, because the sign of
            its difference may follow the rules of either form.

    Raises:
        ParseError: with a reason of :func:`redaes.answers.parse` or :func:`redaes.json_form.parse_json`, or
            ``several_verdicts``, ``unknown_winner``, ``unknown_difference``, ``unclosed_thinking``, ``other_form``,
            ``example_repeated``, ``not_an_answer``.

    >>> read("**Winner: B**\\n**Difference: \\u22123**", "fast", "lenient")[1]
    'lenient/v2'
    """
    try:
        found = Reading(parse_json(text) if form == "json" else answers.parse(text, mode), STRICT)
    except ParseError:
        if reader == "strict":
            raise
        found = Reading(parse_json_variant(text) if form == "json" else parse_variant(text, mode), LENIENT)
    rationale = found.verdict.rationale
    if reader == "lenient" and rationale is not None:
        _refuse_no_reasoning(rationale.text)
        if form == "json" or found.reader == LENIENT:
            refuse_other_conclusion(_unmarked(rationale.text), found.verdict.winner)
    return found


def _refuse_no_reasoning(text: str) -> None:
    """
    Raises:
        ParseError: ``example_repeated``, ``not_an_answer``; ``contradiction``: the pictures are exchanged.
    """
    if _EXAMPLE.search(text) or _PLACE.fullmatch(text):
        raise ParseError("example_repeated", "the reasoning is the prompt's own, and so may be the verdict")
    if _EXCHANGED.search(_unmarked(text)):
        raise ParseError("contradiction", f"what is seen in one picture is said of the other: {text[:80]!r}")
    refuse_blind(text)


def parse_variant(text: str, mode: Mode) -> Verdict:
    """Read an answer by the lenient rules alone; an answer in the exact form gives the same verdict as the strict
    reader.

    Raises:
        ParseError: as for :func:`read`.
    """
    plain = "\n".join(line for line in _answer(text).split("\n") if not _FENCE.fullmatch(line)).strip()
    if not plain:
        raise ParseError("empty", "the answer is empty")
    if plain[0] == "{":
        raise ParseError("other_form", "the answer is JSON, and was asked for in the text form")
    reasoning, around = _taken_apart(plain, mode)
    winner, delta, prose = _verdict(around)
    rationale = None if reasoning is None else _rationale(reasoning)
    if winner != ("tie" if delta == 0 else "A" if delta > 0 else "B"):
        raise ParseError("contradiction", f"winner {winner} against difference {delta:+g}")
    if rationale is not None and rationale.better != winner:
        raise ParseError("contradiction", f"winner {winner} against the rationale's {rationale.better}")
    refuse_other_praise(prose, winner)
    return Verdict(winner=winner, delta=delta, rationale=rationale)


def parse_json_variant(text: str) -> Verdict:
    """Read a JSON answer that follows thoughts, stands in a code fence or spells words differently.

    Raises:
        ParseError: as for :func:`read`.
    """
    plain = _answer(text).strip()
    if _OPEN.search(plain) or any(_KEY.fullmatch(line) for line in _unmarked(plain).split("\n")):
        raise ParseError("other_form", "the answer is in the text form, and was asked for as JSON")
    fenced = _FENCED.fullmatch(plain)
    value = decoded(fenced["inside"] if fenced else plain)
    winner, factors = value["winner"], value["factors"]
    if isinstance(winner, str) and (said := _WINNER.fullmatch(winner.strip())):
        value["winner"] = "tie" if said["winner"].lower() == "tie" else said["winner"].upper()
    if isinstance(factors, list) and all(isinstance(name, str) for name in factors):
        words = [name.strip().lower() for name in factors]
        value["factors"] = list(dict.fromkeys(_SPELLINGS.get(word, word) for word in words))
        if value["winner"] == "tie" and all(name in FACTORS for name in value["factors"]):
            value["factors"] = []  # factors that were looked at, none of which decides
    return verdict_of(value)


def _answer(text: str) -> str:
    """Return the text after the thoughts, with plain line ends and without invisible characters.

    Raises:
        ParseError: ``unclosed_thinking``.
    """
    split = split_thinking(_UNSEEN.sub("", text.replace("\r\n", "\n").replace("\r", "\n").replace("\xa0", " ")))
    if not split.closed:
        raise ParseError("unclosed_thinking", "the answer ends within <think>; raise the limit on tokens")
    return _END.sub("", split.answer)


def _taken_apart(text: str, mode: Mode) -> tuple[str | None, str]:
    """Return the rationale's text, and the text around it."""
    opened, closed = list(_OPEN.finditer(text)), list(_CLOSE.finditer(text))
    if len(opened) > 1 or len(closed) > 1:
        raise ParseError("several_rationales", "exactly one rationale is allowed")
    if mode == "fast":
        if opened or closed:
            raise ParseError("unexpected_rationale", "the fast form has no rationale")
        return None, text
    headings = list(_HEADING.finditer(text))
    if not opened and not closed and len(headings) == 1:
        before, rest = text[: headings[0].start()], text[headings[0].end() :]
        lines = rest.split("\n")
        n = next((n for n, line in enumerate(lines) if _KEY_ANYWHERE.search(_unmarked(line))), len(lines))
        reasoning, after = "\n".join(lines[:n]), "\n".join(lines[n:])
    elif not opened or not closed or opened[0].end() > closed[0].start():
        raise ParseError("no_rationale", "the reasoned form needs a rationale between its tags")
    else:
        before, after = text[: opened[0].start()], text[closed[0].end() :]
        reasoning = text[opened[0].end() : closed[0].start()]
    if _KEY_ANYWHERE.search(_unmarked(before)) or any(
        _KEY.fullmatch(line) for line in _unmarked(reasoning).split("\n")
    ):
        raise ParseError("not_the_form", "winner and difference belong after the rationale")
    if not _DECISIVE_KEY.search(_unmarked(reasoning)):  # it may come right behind the tag
        closing, _, rest = after.lstrip().partition("\n")
        if _DECISIVE_KEY.match(_unmarked(closing).lstrip()):
            reasoning, after = f"{reasoning.rstrip()}\n{closing}", rest
    return reasoning, f"{before}\n{after}"


def _unmarked(text: str) -> str:
    """Return the text without markup for emphasis, and with plain colons."""
    return _MARKUP.sub("", _TAG.sub("", text.replace(_COLON, ":")))


def _verdict(text: str) -> tuple[Winner, float, str]:
    """Return the winner, difference, and the prose beside them."""
    found: dict[str, str] = {}
    prose = []
    for line in _BOTH_KEYS.sub(r"\1\n", _unmarked(text)).split("\n"):
        match = _KEY.fullmatch(line)
        if match is None:
            prose.append(line)
            continue
        key = match["key"].lower()
        if key in found:
            raise ParseError("several_verdicts", f"{key} is stated twice")
        found[key] = match["value"]
    rest = "\n".join(prose)
    if _KEY_ANYWHERE.search(rest):
        raise ParseError(
            "several_verdicts" if found else "not_the_form", "winner and difference have lines of their own"
        )
    if set(found) != {"winner", "difference"}:
        raise ParseError("not_the_form", "the answer needs a line for the winner and one for the difference")
    winner, delta = _WINNER.fullmatch(found["winner"]), _DELTA.fullmatch(_signs(found["difference"]))
    if winner is None:
        raise ParseError("unknown_winner", f"{found['winner'][:40]!r} is none of A, B and tie")
    if delta is None:
        raise ParseError("unknown_difference", f"{found['difference'][:40]!r} is no signed number")
    size = float(delta["size"].replace(",", "."))
    if size > MAX_DELTA:
        raise ParseError("out_of_range", f"difference {size:g} lies outside \u00b1{MAX_DELTA:g}")
    letter = winner["winner"].lower()
    value = 0.0 if size == 0 else -size if delta["sign"] == "-" else size
    return "tie" if letter == "tie" else "A" if letter == "a" else "B", value, rest


def _signs(value: str) -> str:
    return _MINUS.sub("-", value.replace(_PLUS, "+"))


def _rationale(text: str) -> Rationale:
    """Return the reasoning and its closing sentence."""
    plain = _unmarked(text).strip()
    keys = list(_DECISIVE_KEY.finditer(plain))
    if len(keys) != 1:
        raise ParseError("not_decisive", "the rationale must end with exactly one 'Decisive: \u2026' sentence")
    closing = _DECISIVE.fullmatch(plain[keys[0].end() :].strip())
    if closing is None:
        raise ParseError("not_decisive", f"{plain[keys[0].start() :][:80]!r} does not say what decides, and for whom")
    # The reasoning keeps its markup, but for what belongs to the closing sentence.
    body = re.sub(r"[*_`]+$", "", text[: [*_DECISIVE_WORD.finditer(text)][-1].start()]).strip()
    if not body:
        raise ParseError("empty_rationale", "the rationale says nothing before its closing sentence")
    if closing["none"]:
        return Rationale(text=body, factors=(), better="tie")
    words = [word.strip().lower() for word in _SEPARATOR.split(closing["factors"])]
    names = [_SPELLINGS.get(word, word) for word in words]
    if any(name not in FACTORS for name in names) or len(set(names)) != len(names):
        raise ParseError("unknown_factor", f"{closing['factors']!r}; known: {', '.join(FACTORS)}")
    factors: tuple[Factor, ...] = tuple(name for name in FACTORS if name in names)
    return Rationale(text=body, factors=factors, better="A" if closing["better"].upper() == "A" else "B")
