"""Split an English text about pictures A and B into sentences and clauses, and find which picture each is about."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from redaes.evidence.turning_words import VERBS, word_set

Subject = Literal["A", "B", "both"]
RIVAL: dict[Subject, Subject] = {"A": "B", "B": "A", "both": "both"}

MAX_TOKENS = 80
"""A longer sentence is cut after this many tokens, so that the search within a sentence takes bounded time."""


@dataclass(frozen=True)
class Token:
    """A word, a number or a punctuation mark."""

    text: str
    """The text in lower case, with straight apostrophes, without a final 's."""
    start: int
    end: int


@dataclass(frozen=True)
class Mention:
    """A place where a picture is named."""

    side: Subject
    start: int
    end: int
    compared_with: bool
    """Whether another picture is compared with this one, as in "than B" or "unlike B"."""
    negated: bool = False
    """Whether the mention is ``neither``."""


@dataclass
class _Run:
    """Consecutive tokens."""

    tokens: list[Token]

    @property
    def start(self) -> int:
        return self.tokens[0].start

    @property
    def end(self) -> int:
        return self.tokens[-1].end


@dataclass
class Clause(_Run):
    """A part of a sentence with at most one subject."""

    opening: str
    """The conjunction or punctuation mark before it; empty at the beginning of a sentence."""
    closing: str = ""
    mentions: list[Mention] = field(default_factory=list)

    @property
    def words(self) -> list[str]:
        """Its words, in lower case."""
        return [token.text for token in self.tokens]

    def has_verb(self) -> bool:
        """Return whether it holds one of the common verbs."""
        return any(token.text in VERBS or token.text.endswith("n't") for token in self.tokens)


@dataclass
class Sentence(_Run):
    """A sentence with the pictures that it names."""

    mentions: list[Mention]
    clauses: list[Clause] = field(default_factory=list)
    """The clauses; empty until :func:`divide`."""


_TOKEN = re.compile(r"\d+(?:\.\d+)?|[^\W\d_]+(?:'[^\W\d_]+)?(?:-[^\W\d_]+)*|\S")
_CONJUNCTIONS = word_set(
    "while whereas but although though yet however because since where which who whose that when if so thus "
    "hence therefore ; : – — --"
)
_JOINTS = word_set("and or ,")
_ABBREVIATIONS = word_set("etc vs i.e e.g cf no ca approx")
_PICTURE = r"(?:image|photo|picture|photograph|shot|frame|version|option|one|img)"
_PICTURES = r"(?:images|photos|pictures|photographs|shots|frames|versions|of them)"
_BOTH_GOES_ON = (
    r"are|have|show|look|suffer|appear|seem|share|feel|were|remain|display|exhibit|contain|has|is|shows|looks|suffers"
    r"|appears"
)
_MENTION = re.compile(
    rf"(?P<numbered>(?<!\w)(?:[Ii]mage|[Pp]hoto|[Pp]icture|[Pp]hotograph|[Ss]hot|[Vv]ersion|[Oo]ption|IMAGE|PHOTO|PICTURE)"
    rf"s? (?P<number>[AB12])(?![\w*&]))"
    rf"|(?P<nth>(?<!\w)[Tt]he (?P<word>first|second|former|latter|left|right|left-hand|right-hand)"
    rf"(?: {_PICTURE}(?!\w)| ?(?=is (?!side)|has |shows |looks |suffers |appears )"
    r"|(?=,? (?:by contrast|in contrast|on the other hand|however|meanwhile)(?!\w))"
    r"|(?<=former)(?!\w)|(?<=latter)(?!\w)))"
    rf"|(?P<on>(?<!\w)(?:[Tt]he )?{_PICTURE} on the (?P<hand>left|right)(?!\w))"
    rf"|(?P<other>(?<!\w)(?:[Tt]he other(?: {_PICTURE}(?!\w)|(?= is| has| shows|'s))|[Ii]ts (?:counterpart|rival)))"
    rf"|(?P<neither>(?<!\w)[Nn]either (?:{_PICTURE}(?!\w)|of (?:the two|them)|A nor B|(?={_BOTH_GOES_ON})))"
    rf"|(?P<either>(?<!\w)either (?:{_PICTURE}(?!\w)|of (?:the two|them)))"
    rf"|(?P<both>(?<!\w)(?:[Bb]oth(?: (?:of the )?(?:two )?(?:{_PICTURES})|(?= (?:{_BOTH_GOES_ON})(?!\w))"
    rf"|(?=\s?(?:[,.;:)]|$)))|[Tt]he (?:two|same two)(?: {_PICTURES})?|(?:[Tt]he|[Tt]hese) {_PICTURES}|[Tt]hey"
    r"|(?:[Bb]oth )?A and B|A or B))(?!\w)"
    rf"|(?P<letter>(?<![\w&/*])[AB](?![\w*&/-]))"
)
_AFTER_LETTER = word_set(
    "is has was does can cannot could would may might should will must had did and or vs versus nor but than "
    "while whereas also too , . ; : ) ! ? - – — ( = isn't hasn't doesn't can't won't wasn't 's at wins though "
    "despite because"
)
_PASSED = word_set(
    "also clearly simply slightly then just still really never therefore only even already thus certainly "
    "actually generally consistently noticeably again"
)
_COMPARED = word_set("than unlike against versus vs vs. beats outperforms surpasses like")
_COMPARED_TO = word_set(
    "compared relative comparison superior inferior similar equal identical contrary opposed next contrast "
    "comparable preferred preferable advantage prefer edge improvement"
)
_LINKS = word_set("the that of in those to with picture image photo seen what on for as from over")


def straight(text: str) -> str:
    """Return the text with plain apostrophes, blanks and dashes; its length does not change."""
    return text.translate({0x2019: "'", 0x2018: "'", 0x00A0: " ", 0x202F: " ", 0x2011: "-", 0x2010: "-", 9: " "})


def lowered(text: str) -> str:
    """Return the text in lower case; its length does not change, as characters that would become two are kept."""
    low = text.lower()
    return low if len(low) == len(text) else "".join(c.lower() if len(c.lower()) == 1 else c for c in text)


def _tokens(text: str) -> list[Token]:
    low = lowered(text)
    found = []
    for match in _TOKEN.finditer(low):
        word = match.group()
        word = word[:-2] if word.endswith("'s") and len(word) > 2 else word
        found.append(Token(word, match.start(), match.end()))
    return found


def _ends(text: str, tokens: list[Token], at: int) -> bool:
    """Return whether a sentence ends with that token."""
    token = tokens[at]
    following = tokens[at + 1].start if at + 1 < len(tokens) else len(text)
    if "\n" in text[token.end : following]:
        return True
    if token.text not in {".", "!", "?"} or following == token.end:
        return False
    before = tokens[at - 1] if at else None
    if before is None:
        return True
    if token.text == "." and before.end == token.start:
        is_marker = before.text.isdigit() and (at == 1 or "\n" in text[tokens[at - 2].end : before.start])
        return before.text not in _ABBREVIATIONS and not is_marker
    return True


def sentences(text: str) -> Iterator[Sentence]:
    """Yield the sentences of a text in order, with offsets into it. The text must have gone through
    :func:`straight`.
    """
    tokens = _tokens(text)
    mentions = _mentions(text, tokens)
    starts = [mention.start for mention in mentions]
    begin = 0
    for at in range(len(tokens)):
        if _ends(text, tokens, at) or at + 1 == len(tokens) or at + 1 - begin >= MAX_TOKENS:
            part = tokens[begin : at + 1]
            begin = at + 1
            own = mentions[bisect_left(starts, part[0].start) : bisect_left(starts, part[-1].end)]
            yield Sentence(part, own)


def divide(sentence: Sentence, whole: list[tuple[int, int]]) -> None:
    """Divide a sentence into its clauses.

    Args:
        sentence: the sentence; its ``clauses`` are set.
        whole: parts of the text that stay together, such as "backlight that leaves the subject dark", in order.
    """
    tokens, mentions = sentence.tokens, sentence.mentions
    ends = [end for _, end in whole]
    named = {
        token.start: mention for mention in mentions for token in tokens if mention.start <= token.start < mention.end
    }
    found: list[Clause] = []
    current: list[Token] = []
    opening = ""

    def close(sign: str) -> None:
        nonlocal current, opening
        if current:
            own = [m for m in mentions if current[0].start <= m.start < current[-1].end]
            found.append(Clause(current, opening, sign, own))
            opening = sign
            current = []
        elif sign not in _JOINTS or not opening:
            opening = sign

    for at, token in enumerate(tokens):
        part = bisect_left(ends, token.end)
        if part < len(whole) and whole[part][0] < token.start:
            current.append(token)
            continue
        if token.start in named and token.start != named[token.start].start:
            current.append(token)  # inside a mention, such as "A and B"
            continue
        following = tokens[at + 1 :]
        if token.text in _JOINTS and not current and found:
            continue  # ", and"
        if (token.text in _CONJUNCTIONS and not _is_pronoun(token, current, following)) or (
            token.text in _JOINTS and _new_clause(current, following, named)
        ):
            close(token.text)
        else:
            current.append(token)
    close(".")
    sentence.clauses = found


def _is_pronoun(token: Token, before: list[Token], following: list[Token]) -> bool:
    """Return whether a word that often opens a clause does not do so here: "than that of B", "not so sharp", "but
    also"."""
    nxt = following[0].text if following else ""
    if token.text == "that":
        return nxt in {"of", "in", ",", "."} or not following
    if token.text == "so":
        return nxt not in {"that", "a", "b", "it", "its", "the"} and bool(before)
    if token.text == "but":
        return any(word.text in {"only", "merely", "just"} for word in before[-6:]) and nxt in {"also", ""}
    return False


def _new_clause(current: list[Token], following: list[Token], named: dict[int, Mention]) -> bool:
    """Return whether what follows a comma or "and" is a clause of its own."""
    while following and following[0].text in {",", "and", "also", "yet", "in"}:
        following = following[1:]
    if not following or not current:
        return False
    first = named.get(following[0].start)
    if first is not None and not first.compared_with:
        return True
    if not any(token.text in VERBS or token.start in named for token in current):
        return False
    if following[0].text in {"making", "giving", "leaving", "it", "its", "there", "the"}:
        return any(_opens(token) for token in following[:9])
    for token in following[:7]:
        if token.text in _JOINTS or token.text in _CONJUNCTIONS:
            return False
        if _opens(token):
            return True
    return False


def _opens(token: Token) -> bool:
    return token.text in VERBS and token.text not in {"with", "from", "to", "match", "by"}


# --- Which picture is meant -------------------------------------------------------------------------------------------


def _mentions(text: str, tokens: list[Token]) -> list[Mention]:
    starts = [token.start for token in tokens]
    found: list[Mention] = []
    for match in _MENTION.finditer(text):
        at = bisect_left(starts, match.start())
        kind = match.lastgroup if match.lastgroup in {"letter", "both"} else None
        if at == len(tokens):
            continue
        if match["letter"] and not _is_picture(text, tokens, at):
            continue
        side = _side_of(match, found)
        if side is None:
            continue
        negated = match["neither"] is not None
        compared = kind != "both" and _is_compared(tokens, at)
        last = found[-1] if found else None
        if last is not None and side != last.side and match["letter"] and _joined(text[last.end : match.start()]):
            found[-1] = Mention("both", last.start, match.end(), last.compared_with, last.negated)
            continue
        found.append(Mention(side, match.start(), match.end(), compared, negated))
    return found


def _joined(between: str) -> bool:
    return between.strip() in {"and", "or", "nor", "&", "/"}


def _side_of(match: re.Match[str], before: list[Mention]) -> Subject | None:
    if match["letter"]:
        return "A" if match["letter"] == "A" else "B"
    if match["number"]:
        return "A" if match["number"] in {"A", "1"} else "B"
    if match["word"]:
        return "A" if match["word"] in {"first", "former", "left", "left-hand"} else "B"
    if match["hand"]:
        return "A" if match["hand"] == "left" else "B"
    if match["other"]:
        known = [mention.side for mention in before if mention.side != "both"]
        return RIVAL[known[-1]] if known else None
    return "both"


def _is_picture(text: str, tokens: list[Token], at: int) -> bool:
    """Return whether a capital A is the picture and not the article that begins a sentence."""
    token = tokens[at]
    if text[token.start] == "B" or text[token.start : token.end].endswith("'s"):
        return True
    before = tokens[at - 1] if at else None
    begins = (
        before is None
        or before.text in {".", "!", "?", ":", "*", "-", "–", "—", "#", ">", '"', "“"}
        or ("\n" in text[before.end : token.start])
    )
    if not begins:
        return True
    for follower in tokens[at + 1 : at + 4]:
        word = follower.text
        if word in _PASSED:
            continue
        if word in _AFTER_LETTER or word in VERBS or word[0].isdigit():
            return True
        return len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is", "ous", "series"))
    return at + 1 >= len(tokens)


def _is_compared(tokens: list[Token], at: int) -> bool:
    """Return whether another picture is compared with the one that this token names."""
    back = at - 1
    while back >= 0 and at - back <= 5:
        word = tokens[back].text
        if word in _COMPARED or (word == "what" and {tokens[back - 1].text, tokens[at - 2].text} & {"of", "not"}):
            return True  # "of what B takes in", "what is not in B"
        if word in {"is", "in", "not"} and tokens[back - 1].text in {"what", "is", "not"}:
            back -= 1
            continue
        if word in _COMPARED_TO:
            return any(token.text in {"to", "with", "from", "over"} for token in tokens[back + 1 : at])
        if word == "as" and at - back == 1:
            return any(token.text == "as" for token in tokens[max(0, back - 4) : back])
        if word not in _LINKS:
            return False
        back -= 1
    return False
