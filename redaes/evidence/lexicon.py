"""The English of critiques: which words name a measured quantity, a fault, or nothing that is measured.

The registry (:mod:`redaes.evidence.quantities`) and the faults (:mod:`redaes.evidence.faults`) bring their own words;
here stand the others that critics use for the same things, and the words that turn a statement: more, less, not, alike.
Every pattern is a choice of short phrases without open repetition, so that reading takes
time in proportion to the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from redaes.evidence.faults import FAULTS
from redaes.evidence.quantities import QUANTITIES
from redaes.evidence.records import Place

Form = Literal["adjective", "noun", "fault", "aesthetic"]
"""``adjective``: says by itself which way (``noisy``); ``noun``: needs a word that says it (``higher contrast``);
``fault``: there or not; ``aesthetic``: a statement that nothing measured decides."""


@dataclass(frozen=True)
class Term:
    """One meaning, with the words for it."""

    pattern: str
    form: Form
    quantity: str | None = None
    sign: int = 1
    """1: having it means more of the quantity; -1: less."""
    fault: str | None = None
    """The fault that it names; of an adjective: the one that both or neither of two pictures have who are so."""


def _more(quantity: str, *patterns: str, fault: str | None = None) -> list[Term]:
    return [Term(pattern, "adjective", quantity, 1, fault) for pattern in patterns]


def _less(quantity: str, *patterns: str, fault: str | None = None) -> list[Term]:
    return [Term(pattern, "adjective", quantity, -1, fault) for pattern in patterns]


def _nouns(quantity: str, *patterns: str, sign: int = 1) -> list[Term]:
    return [Term(pattern, "noun", quantity, sign) for pattern in patterns]


_IN_SHADOWS = r"(?:in (?:the |its )?)?(?:shadows?|blacks|dark(?:er)? (?:area|part|region|tone)s)"
_IN_LIGHTS = r"(?:in (?:the |its )?)?(?:highlights?|bright(?:er)? (?:area|part|region)s|whites)"
_COLOURS = r"(?:colou?rs?(?: palette| tones?)?|palette|tones|hues)"
_HOLDS = r"(?:holds?|retains?|preserves?|keeps?|holding|retaining|preserving|keeping|protects?)"

_CRITICS: tuple[Term, ...] = (
    # --- Light
    *_more("brightness", "bright", "brighter", "luminous", "lighter", "higher[- ]key"),
    *_less("brightness", "dark", "darker", "dim", "dimmer", "dimly lit", "low[- ]key"),
    *_nouns("brightness", "(?:overall )?brightness(?: levels?)?", "luminance", "lightness", "light"),
    *_nouns("brightness", "exposure(?: levels?)?"),
    *_nouns("brightness", "darkness", sign=-1),
    *_more("contrast", "(?:higher|stronger|richer) in contrast", "contrasty", "contrastier", "punchy", "punchier"),
    *_less("contrast", "flat", "flatter", "flat[- ]looking"),
    *_nouns("contrast", "(?:tonal )?contrast", "punch(?:iness)?"),
    *_nouns("contrast", "flatness", sign=-1),
    *_nouns("contrast", "light and (?:dark|shade)"),
    *_nouns("clipped_shadows", "shadows? at plain black"),
    *_nouns("clipped_highlights", "highlights? at plain white"),
    *_nouns("dynamic_range", "(?:dynamic|tonal) range", "range of tones"),
    *_less("clipped_shadows", r"open shadows", rf"{_HOLDS} (?:the |its )?(?:shadows|them) (?:more )?open"),
    *_less("clipped_shadows", r"shadows open"),
    *_less("clipped_shadows", r"(?:those|shadows)(?: (?:in|of) [ab])? (?:stay|are|remain|look) (?:more )?open"),
    *_nouns("clipped_shadows", rf"details? {_IN_SHADOWS}", "shadow details?", sign=-1),
    *_nouns("clipped_shadows", "shadow and highlight detail", sign=-1),
    *_nouns("clipped_highlights", rf"details? {_IN_LIGHTS}", "highlight details?", sign=-1),
    *_less("clipped_highlights", rf"{_HOLDS} (?:the |its )?highlights"),
    *_more("haze", "hazy", "hazier", "foggy", "foggier", "misty", "mistier", "milky", fault="haze"),
    *_less("haze", "clear", "clearer"),
    *_more("vignetting", "dark(?:er)? (?:corners|edges)"),
    *_more("vignetting", r"corners(?: (?:in|of) [ab])? (?:are|look|get) (?:much )?dark(?:er)?"),
    *_more("vignetting", "darkens (?:the|its) corners"),
    # --- Colour
    *_more(
        "colourfulness",
        "colou?rful", "vivid", "vibrant", "saturated", "more intense in colou?r",
        rf"(?:rich|richer|intense|lively) {_COLOURS}",
    ),
    *_less(
        "colourfulness",
        "dull", "duller", "muted", "drab", "pale", "paler", "pallid", "dingy",
        rf"(?:faded|weak|dim|lifeless) {_COLOURS}",
        rf"{_COLOURS}(?: (?:in|of)(?: image)? [ab])? (?:is|are|look|looks) (?:faded|weak|dim|lifeless|washed[- ]out)",
        rf"washed[- ]out {_COLOURS}", "less colou?r",
    ),
    *_nouns("colourfulness", "(?:colou?r )?saturation", "colou?rfulness", "vibrancy", "vividness", "colou?r intensity"),
    *_nouns("colourfulness", _COLOURS),
    *_more("warmth", "warm", "warmer", "golden", "yellower", "yellowish", "orange-ish"),
    *_less("warmth", "cool", "cooler", "cold", "colder", "bluer", "bluish"),
    *_nouns("warmth", "warmth"),
    *_nouns("warmth", "coolness", sign=-1),
    *_more("magenta", "pinkish", "pinker", "purplish"),
    *_less("magenta", "greener", "greenish"),
    *_less("cast", "neutral", "neutral in colou?r"),
    *_nouns("cast", "white balance", "colou?r balance", "colou?r accuracy", sign=-1),
    # --- Focus
    *_more(
        "sharpness",
        "sharp", "sharper", "crisp", "crisper", "tack[- ]sharp", "sharply focus(?:ed|sed)", "in focus",
        "well[- ]defined",
        "detailed", "finely detailed", "well[- ]focus(?:ed|sed)", "rich(?:er)? in (?:fine )?detail", "in sharp focus",
    ),
    *_less(
        "sharpness",
        "soft", "softer", "blurry", "blurrier", "blurred", "fuzzy", "fuzzier", "mushy", "mushier", "unsharp", "smudgy",
        "poor(?:er)? in (?:fine )?detail", "smears? (?:\\w+ )?away", fault="defocus",
    ),
    *_nouns("sharpness", "sharpness", "(?:fine )?details?", "levels? of (?:fine )?detail", "(?:fine )?texture"),
    *_nouns("sharpness", "(?:edge )?definition", "clarity", "acuity"),
    *_more("edge_width", "edges(?: (?:in|of) [ab])? (?:are|look) wider", "wider edges"),
    *_less("motion", "steady", "steadier"),
    *_more("motion", "shaky", "shakier", "smeared", fault="motion_blur"),
    *_more("halos", "haloed"),
    # --- Noise
    *_more("noise", "noisy", "noisier", "grainy", "grainier", fault="noise_luma"),
    *_less("noise", "clean", "cleaner", "noise[- ]free"),
    *_nouns("noise", "noise (?:control|handling|performance|suppression)", sign=-1),
    *_more("chroma_noise", "blotchy", "blotchier", fault="noise_chroma"),
    *_more("blocking", "blocky", "blockier", fault="jpeg_blocks"),
    *_more("banding", "banded", fault="banding"),
    *_more("impulse", "speckled", fault="impulse"),
    # --- Composition
    Term("level(?! of)|straight|upright|straighter", "adjective", "tilt", -1, "tilt"),
    Term(r"(?:wider|broader|larger) (?:view|framing|crop|field of view|frame)|framed (?:wider|more widely|more loosely)"
         r"|looser (?:crop|framing)|(?:shows?|includes?|captures?|reveals?|showing) (?:\d+ ?% )?more of the "
         r"(?:scene|surroundings?|surrounding\w*|landscape|environment|background|place|view)"
         r"|wider (?:in its )?(?:framing|view)", "fault", None, -1, "tight_crop"),
    Term(r"(?:tighter|closer|narrower) (?:view|framing|crop|field of view|frame)|(?:tighter|closer) in (?:its )?framing"
         r"|framed (?:tighter|more tightly)|cropped (?:more tightly|tighter|closer)|zooms? in(?: closer)?|zoomed in"
         r"|(?:shows?|includes?|captures?) less of the (?:scene|surroundings?|landscape|environment|background|view)"
         r"|(?:frame|framing|crop)(?: (?:in|of) [ab])? is (?:tighter|closer|narrower)|tighter",
         "fault", None, 2, "tight_crop"),
    Term(r"keeps only|leaves out|has only(?= \d)|is left(?= in [ab]\b)|is cut off(?= in [ab]\b)",
         "fault", None, 2, "tight_crop"),
    Term(r"wider for their height|broadened|pulled out sideways", "fault", None, 2, "stretch"),
    Term(r"narrower for their height|slimmed|squeezed sideways", "fault", None, -1, "stretch"),
    # --- Content
    Term("overlaid with text|lettered", "fault", None, 1, "text_overlay"),
)  # fmt: skip
"""``sign`` 2 and -1 of a fault: more and less of it than the other has, whatever stands before it."""

_AESTHETIC = (
    r"well[- ](?:exposed|lit|composed|framed|balanced|timed)",
    r"(?:better|evenly|beautifully|nicely) (?:lit|exposed|composed)",
    r"(?:more |better |less |un)?balanced(?: exposure| composition)?|(?<!on )balance|imbalanced",
    r"compositions?|composed|framing|angle|perspective|viewpoint|depth of field",
    r"(?:sense of )?depth|bokeh|background blur",
    r"atmosphere|atmospheric|mood|moody|ambience|emotion(?:al|s)?|feeling|calm|serene|cosy|dramatic|drama|cinematic",
    r"appealing|pleasing|pleasant|engaging|dynamic|interesting|inviting|striking|captivating|compelling|beautiful|attractive"
    r"|eye[- ]catching|boring|lifeless|harmonious|harmony|elegant|artistic|flattering|polished|professional",
    r"distracting|distracts|busy|tidy|tidier|messy|untidy|uncluttered",
    r"natural|unnatural|artificial|realistic|authentic",
    r"storytelling|tells a story|narrative|moment|expressions?|gestures?|poses?|gaze|timing",
    r"rule of thirds|leading lines|focal point|symmetr(?:y|ical)|negative space",
    r"visual impact|visual interest|visual weight",
    r"soft(?:er)? (?:light|lighting|shadows?|contrast|tones?|colou?rs?|glow on \w+)|soft and flattering|light is soft",
    r"harsh(?:er)? (?:light|lighting|shadows?)|lighting|(?:light )?quality of light",
    r"clean(?:er)? (?:background|composition|lines|frame|design|whites|look)|whites are clean|(?:deep|deeper) blacks"
    r"|blacks(?: (?:in|of) [ab])? are deep(?:er)?|bright whites|(?:higher|better|lower) resolution",
    r"(?:makes?|making|lets?|helps?) the subject (?:pop|stand out)|isolates? (?:it|the subject)|subject separation"
    r"|(?:preserves|keeps|retains) the clouds|gritty|composure",
)
"""Predicates that no measurement decides: counted, so that the measurable share of a reasoning can be told."""


def _registry() -> list[Term]:
    """The words that the registry itself has."""
    terms: list[Term] = []
    for quantity in QUANTITIES.values():
        terms += _more(quantity.name, *(_plain(word) for word in quantity.more))
        terms += _less(quantity.name, *(_plain(word) for word in quantity.less))
        terms.append(Term(_plain(quantity.spoken), "noun", quantity.name))
    return terms


def _plain(phrase: str) -> str:
    """A registry's phrase as a pattern; both spellings of colour."""
    return re.escape(phrase.lower()).replace("colour", "colou?r")


def _faults() -> list[Term]:
    terms = []
    for fault in FAULTS.values():
        shown = fault.shown_by[0] if fault.shown_by else (None, "more")
        sign = 1 if shown[1] == "more" else -1
        terms += [Term(pattern, "fault", shown[0], sign, fault.name) for pattern in fault.words]
    return terms


@lru_cache(maxsize=1)
def terms() -> tuple[Term, ...]:
    """All terms, a phrase that several have with the first of them; the longest patterns first."""
    known = [*_faults(), *_registry(), *_CRITICS, *(Term(pattern, "aesthetic") for pattern in _AESTHETIC)]
    single: list[Term] = []
    for term in known:
        single += [Term(branch, term.form, term.quantity, term.sign, term.fault) for branch in _branches(term.pattern)]
    unique = {term.pattern: term for term in reversed(single)}  # the first that names a phrase keeps it
    return tuple(sorted(unique.values(), key=lambda term: -len(term.pattern)))


def _branches(pattern: str) -> list[str]:
    """The alternatives at the top of a pattern."""
    parts, depth, start = [], 0, 0
    for at, character in enumerate(pattern):
        depth += (character == "(") - (character == ")")
        if character == "|" and depth == 0:
            parts.append(pattern[start:at])
            start = at + 1
    return [*parts, pattern[start:]]


_RANK: dict[Form, int] = {"adjective": 0, "fault": 1, "noun": 2, "aesthetic": 3}
"""Of two readings of one phrase, the lower one is taken."""


@lru_cache(maxsize=1)
def _compiled() -> tuple[re.Pattern[str], tuple[tuple[re.Pattern[str], Term], ...]]:
    each = tuple((re.compile(rf"(?:{term.pattern})(?![\w'])"), term) for term in terms())
    choices = "|".join(term.pattern for term in terms())
    return re.compile(rf"(?<![\w'])(?:{choices})(?![\w'])"), each


def find(low: str, start: int, end: int) -> Iterator[tuple[Term, int, int]]:
    """The terms in a part of a text, the longest at each place, with where they begin and end.

    Args:
        low: the text in lower case.
        start: of the part; likewise ``end``.
    """
    anywhere, each = _compiled()
    at = start
    while (match := anywhere.search(low, at, end)) is not None:
        here = ((pattern.match(low, match.start(), end), term) for pattern, term in each)
        longest, term = max(((m.end(), -_RANK[t.form], t) for m, t in here if m is not None), key=lambda one: one[:2])[
            ::2
        ]
        yield term, match.start(), longest
        at = longest


# --- Words that turn a statement -------------------------------------------------------------------------------------


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


MORE = _words(
    "more greater higher stronger richer heavier deeper increased additional extra enhanced wider broader finer above "
    "exceeds worse-noise larger"
)
LESS = _words(
    "less lower weaker reduced fewer smaller decreased milder lighter diminished narrower thinner below "
    "shallower lesser"
)
BETTER = _words("better superior improved best")
WORSE = _words("worse inferior poorer worst")
HIGH = _words(
    "high strong good great rich nice excellent wide deep obvious pronounced visible noticeable evident heavy "
    "prominent "
    "serious severe impressive clear apparent fine intense ample plenty retains retain retaining preserves "
    "preserve preserving "
    "resolves resolve"
)
LOW = _words("low poor weak little minimal limited insufficient negligible few subdued slim scant")
NOT = _words(
    "no not without lacks lack lacking never none nothing cannot isn't aren't doesn't don't didn't wasn't "
    "weren't hasn't "
    "haven't can't won't neither nor devoid avoids avoid absence removes remove removed eliminates free loses "
    "lose losing"
)
SCARCELY = _words("hardly scarcely")
GONE = _words("absent gone missing removed nonexistent non-existent invisible nowhere eliminated")
ALIKE = _words("equally similarly similar same comparable identical equal alike close matching indistinguishable")
FILLERS = _words(
    "a an the any its their his her of much very far quite rather slightly somewhat clearly visibly noticeably "
    "considerably significantly marginally barely little bit touch overall generally and or , & - too so just almost "
    "nearly practically basically really even still also some certain obvious pronounced visible noticeable "
    "evident heavy "
    "serious severe slight mild subtle strong overly extremely fairly pretty relatively perceptibly perfectly partly "
    "partially faint unpleasant apparent distracting clear ugly large small big semi transparent light "
    "moderate considerable "
    "substantial significant massive subject's image's overall fine image picture photo level levels amount "
    "amounts lot "
    "lots by in on at both photograph images pictures photos photographs "
    "'s this that these those all fully about roughly lightly heavily badly strongly "
    "altogether otherwise only either such more-or-less not-so digital general full total plain"
)
"""Words that stand between what turns a statement and what it turns."""
VERBS = _words(
    "is are was were be been being looks look appears appear seems seem feels feel remains remain stays stay "
    "becomes become "
    "gets get has have had shows show showing exhibits exhibit displays display contains contain suffers "
    "suffer suffering "
    "from offers offer with having presents present demonstrates demonstrate retains retain does do did "
    "can could would will may might should to keeps keep gives give provides provide renders render rendered lies lie "
    "leaves leave carries carry holds hold produces benefits reveals adds bring brings brought match affected marred "
    "spoiled by afflict afflicts plagued hurts there it"
)
"""Verbs that a negation reaches across, and that show that a part of a sentence is a clause."""
WISHES = _words("would could should needs need if")

REGIONS = re.compile(
    r"\b(?:sky|skies|background|foreground|face|faces|skin|eyes|subject|water|sea|grass|trees|snow|clouds|wall|walls|hair|fur"
    r"|building|buildings|mountain|mountains|sun|shadows?|highlights?|whites|blacks|midtones|moon|clothes|dress|leaves)\b"
)
"""Parts of a picture: what is said of their light and colour is not what the whole picture's measurement decides."""

_PLACE_WORDS: tuple[tuple[str, Place], ...] = (
    (r"(?:upper|top)[- ]left", "upper left"),
    (r"(?:upper|top)[- ]right", "upper right"),
    (r"(?:lower|bottom)[- ]left", "lower left"),
    (r"(?:lower|bottom)[- ]right", "lower right"),
    (r"(?:cent(?:re|er)|middle)", "centre"),
    (r"(?:top|upper (?:part|half|third|edge|area|region|portion))", "top"),
    (r"(?:bottom|lower (?:part|half|third|edge|area|region|portion))", "bottom"),
    (r"left", "left"),
    (r"right", "right"),
)
PLACES = re.compile(
    r"(?<!\w)(?:in|at|on|near|across|along|around|towards|over|covers?|covering|from|of|burns out|fills|,) "
    r"(?:the |its )?"
    r"(?:far |very |extreme )?(?:" + "|".join(f"(?P<p{i}>{words})" for i, (words, _) in enumerate(_PLACE_WORDS)) + r")"
    r"(?![\w])"
    r"(?! (?:of (?:that|it|this)|of the (?!frame|picture|image|photo|scene)|image|photo|picture|one|shot|frame is))"
)


PLACE_NOUNS = _words(
    "upper lower left right top bottom centre center middle corner corners side half part parts third edge edges "
    "region regions area areas zone zones"
)


def place_of(match: re.Match[str]) -> Place:
    """The cell that a match of :data:`PLACES` names."""
    return _PLACE_WORDS[int((match.lastgroup or "p4")[1:])][1]


CLEARLY = _words(
    "clearly much far strongly significantly considerably substantially noticeably markedly distinctly "
    "obviously heavily badly "
    "severely vastly hugely greatly dramatically strong severe heavy serious obvious pronounced massive clear "
    "significant"
)
"""Words that claim a difference which nobody could miss."""


def says_clearly(text: str) -> bool:
    """Whether the words of a statement claim a clear difference."""
    return any(word in CLEARLY for word in text.lower().split())
