"""Words that modify a statement: more, less, better, not, hardly, alike; and words that may come between."""

from __future__ import annotations


def word_set(text: str) -> frozenset[str]:
    """Return the words of a text."""
    return frozenset(text.split())


MORE = word_set(
    "more twice double greater higher stronger richer heavier deeper increased additional extra enhanced wider broader "
    "finer above exceeds larger gains gain adds increases increasing boosts boosting raises raising"
)
LESS = word_set(
    "less lower weaker reduced fewer smaller decreased milder lighter diminished narrower thinner below "
    "shallower lesser"
)
BETTER = word_set("better superior improved best good great nice excellent impressive strength advantage virtue")
WORSE = word_set("worse inferior poorer worst poor")
HIGH = word_set(
    "high strong rich wide deep obvious pronounced visible noticeable evident heavy "
    "prominent serious severe clear apparent fine intense ample plenty retains retain retaining "
    "preserves preserve preserving resolves resolve"
)
LOW = word_set("low weak little minimal limited insufficient negligible few subdued slim scant")
NOT = word_set(
    "no not without lacks lack lacking never none nothing cannot isn't aren't doesn't don't didn't wasn't "
    "weren't hasn't haven't can't won't neither nor devoid avoids avoid absence removes remove removed "
    "eliminates free loses lose losing"
)
SCARCELY = word_set("hardly scarcely")
GONE = word_set("absent gone missing removed nonexistent non-existent invisible nowhere eliminated")
ALIKE = word_set("equally similarly similar same comparable identical equal alike close matching indistinguishable")
FILLERS = word_set(
    "a an the any well its their his her of much very far quite rather slightly somewhat clearly visibly "
    "noticeably considerably significantly marginally barely little bit touch overall generally and or , & - "
    "too so just almost nearly practically basically really even still also some certain obvious pronounced "
    "visible noticeable evident heavy serious severe slight mild subtle strong overly extremely fairly pretty "
    "relatively perceptibly perfectly partly partially faint unpleasant apparent distracting clear ugly large "
    "small big semi transparent light moderate considerable substantial significant massive subject's image's "
    "fine image picture photo level levels amount amounts lot lots by in on at both photograph images "
    "pictures photos photographs 's this that these those all fully about roughly lightly heavily badly "
    "strongly altogether otherwise only either such more-or-less not-so digital general full total plain "
    "virtually essentially effectively"
)
"""Words that may come between a modifier and the term that it modifies."""
VERBS = word_set(
    "is are was were be been being looks look appears appear seems seem feels feel remains remain stays stay "
    "becomes become gets get has have had shows show showing exhibits exhibit displays display contains "
    "contain suffers suffer suffering from offers offer with having presents present demonstrates demonstrate "
    "retains retain does do did can could would will may might should to keeps keep gives give provides "
    "provide renders render rendered lies lie leaves leave carries carry holds hold produces benefits reveals "
    "adds bring brings brought match affected marred spoiled by afflict afflicts plagued hurts there it"
)
"""Verbs that a negation reaches across, and that show that a part of a sentence is a clause."""
CLEARLY = word_set(
    "clearly much far strongly significantly considerably substantially noticeably markedly distinctly "
    "obviously heavily badly severely vastly hugely greatly dramatically strong severe heavy serious obvious "
    "pronounced massive clear significant"
)
"""Words that claim a difference which nobody could miss."""
SLIGHTLY = word_set(
    "slightly slight faintly faint mildly mild subtle marginally marginal somewhat modest minor lightly touch bit "
    "little shade"
)
"""Words that claim no more than a trace."""


def says_clearly(text: str) -> bool:
    """Return whether the words of a statement claim a clear difference."""
    return any(word in CLEARLY for word in text.lower().split())


def says_slightly(text: str) -> bool:
    """Return whether the words of a statement claim a trace only."""
    return any(word in SLIGHTLY for word in text.lower().split())
