"""The vocabulary of critiques: words for measured quantities, for faults, and for what nothing measures.

The registry (:mod:`redaes.evidence.quantities`) and the faults (:mod:`redaes.evidence.faults`) bring their own words;
this module adds other words that critics use for the same things.
Every pattern is a choice of short phrases without unbounded repetition, so that the time to read a text grows in
proportion to its length.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Literal

from redaes.evidence.faults import FAULTS
from redaes.evidence.quantities import QUANTITIES

Form = Literal["adjective", "noun", "fault", "aesthetic", "ignored"]
"""``adjective``: a word that states a direction by itself (``noisy``); ``noun``: a word that needs another to state one
(``higher contrast``); ``fault``: the name of a fault, which is present or absent; ``aesthetic``: a statement that no
measurement decides; ``ignored``: a phrase that states nothing."""


@dataclass(frozen=True)
class Term:
    """One meaning, with the words for it."""

    pattern: str
    form: Form
    quantity: str | None = None
    sign: int = 1
    """1: having it means more of the quantity; -1: less."""
    fault: str | None = None
    """The fault that the term names. For an adjective: the fault that is meant if it is said of both pictures or of
    neither."""


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
    *_more("brightness", "bright", "luminous", "brightly lit", "high[- ]key"),
    *_less("brightness", "dark", "dim", "dimly lit", "low[- ]key", "on the dark side"),
    *_less("brightness", "underlit", "dark[- ]looking"),
    *_nouns("brightness", "(?:overall )?brightness(?: levels?)?", "luminance", "lightness", "light"),
    *_nouns("brightness", "exposure(?: levels?)?"),
    *_nouns("brightness", "(?<=similarly )exposed|(?<=equally )exposed|(?<=identically )exposed"),
    *_nouns("brightness", "darkness", sign=-1),
    *_more("contrast", "(?:higher|stronger|richer) in contrast", "contrasty", "contrastier", "high[- ]contrast"),
    *_more("contrast", "punchy"),
    *_less("contrast", "wash(?:es)? out", "flat", "flat[- ]looking", "low[- ]contrast"),
    *_nouns("contrast", "(?:tonal )?contrast", "punch(?:iness)?"),
    *_nouns("contrast", "flatness", sign=-1),
    *_nouns("clipped_shadows", "shadows? at plain black"),
    *_nouns("clipped_highlights", "highlights? at plain white"),
    *_nouns("dynamic_range", "(?:dynamic|tonal) range", "range of tones"),
    *_less("clipped_shadows", r"open shadows", rf"{_HOLDS} (?:the |its )?(?:shadows|them) (?:more )?open"),
    *_less("clipped_shadows", r"shadows open"),
    *_less("clipped_shadows", r"(?:those|shadows)(?: (?:in|of) [ab])? (?:stay|are|remain|look) (?:more )?open"),
    *_nouns("clipped_shadows", rf"details? {_IN_SHADOWS}", "shadow details?", sign=-1),
    *_nouns("clipped_shadows", "shadow and highlight detail", sign=-1),
    *_nouns("clipped_highlights", rf"details? {_IN_LIGHTS}", "highlight details?", sign=-1),
    Term(r"highlights?(?: (?:in|of) [ab])? (?:remain|are|stay) (?:all )?(?:intact|preserved|well[- ]preserved|held|"
         r"(?:well[- ])?controlled|under control|retained)", "fault", "clipped_highlights", -1, "blown_highlights"),
    *_less("clipped_highlights", rf"{_HOLDS} (?:the |its )?highlights"),
    *_more("haze", "hazy", "foggy", "foggier", "misty", "mistier", "milky", fault="haze"),
    *_less("haze", "clear"),
    *_more("vignetting", "dark(?:er)? (?:corners|edges)"),
    *_more("vignetting", r"corners(?: (?:in|of) [ab])? (?:are|look|get) (?:much )?dark(?:er)?"),
    *_more("vignetting", "darkens (?:the|its) corners"),
    *_more("vignetting", r"(?:corners|edges)(?: (?:in|of) [ab])? (?:are|look|get) (?:\w+ly )?dark(?:er)? than "
           r"(?:the|its) (?:cent(?:re|er)|middle)"),
    *_less("clipped_highlights", r"(?:handles?|controls?) (?:the |its )?highlights (?:better|well)"),
    *_more("warmth", r"(?:looks?|appears?) (?:too|overly) yellow"),
    *_less("warmth", r"(?:looks?|appears?) (?:too|overly) blue"),
    # --- Colour
    *_more(
        "colourfulness",
        "colou?rful", "vivid", "vibrant", "saturated", "more intense in colou?r",
        "(?:colou?rs|tones)(?: (?:in|of) [ab])? pop(?: more)?",
        rf"(?:rich|richer|intense|lively) {_COLOURS}",
    ),
    *_less(
        "colourfulness",
        "dull", "duller", "muted", "drab", "subdued", "greyish", "pale", "paler", "pallid", "dingy",
        rf"(?:faded|weak|dim|lifeless) {_COLOURS}",
        rf"{_COLOURS}(?: (?:in|of)(?: image)? [ab])? (?:is|are|looks?|appears?|seems?) "
        r"(?:faded|weak|dim|lifeless|washed[- ]out)",
        rf"washed[- ]out {_COLOURS}", "less colou?r",
    ),
    *_nouns("colourfulness", "(?:colou?r )?saturation", "vibrancy", "vividness", "colou?r intensity"),
    *_nouns("colourfulness", "colou?rs?(?: palette| tones?)?", "palette", "hues"),
    *_more("warmth", "warm", "golden", "reddish", "yellowish", "orange-ish"),
    *_less("warmth", "cool", "cold", "colder", "bluish"),
    *_nouns("warmth", "coolness", sign=-1),
    *_more("magenta", "pinkish", "pinker", "purplish"),
    *_less("magenta", "greenish"),
    *_less("cast", "neutral", "neutrally", "neutral in colou?r"),
    *_nouns("cast", "white balance", "colou?r balance", "colou?r accuracy", sign=-1),
    # --- Focus
    *_more(
        "sharpness",
        "sharp", "crisp", "crisply", "sharply",
        "razor[- ]sharp", "pin[- ]sharp", "in[- ]focus", "tack[- ]sharp",
        "sharply focus(?:ed|sed)",
        "well[- ]defined",
        "detailed", "finely detailed", "well[- ]focus(?:ed|sed)", "rich(?:er)? in (?:fine )?detail", "in sharp focus",
        "clearly defined", "highly detailed", "intricate details?",
    ),
    *_less(
        "sharpness",
        "soft", "blurry", "blurred", "fuzzy", "fuzzier", "mushy", "mushier", "unsharp",
        "smudgy", "smeary", "indistinct", "softened",
        "not in focus", "lost detail", "loss of (?:fine )?(?:detail|texture|sharpness|clarity)",
        "(?:fine )?(?:textures?|details?)(?: (?:in|of) [ab])? (?:is|are|get|look) "
        "(?:smeared|smudged|mushy|lost|washed out)",
        "smears? (?:fine )?(?:texture|detail)s?",
        "poor(?:er)? in (?:fine )?detail", "smears? (?:\\w+ )?away", fault="defocus",
    ),
    *_nouns("sharpness", "(?:fine )?details?", "levels? of (?:fine )?detail", "(?:fine )?texture"),
    *_nouns("sharpness", "(?:edge )?definition", "clarity", "acuity", "crispness", "focus", "resolving power"),
    *_more("edge_width", "edges(?: (?:in|of) [ab])? (?:are|look) wider", "wider edges"),
    *_less("motion", "steady"),
    *_more("motion", "shaky", "shakier", "smeared", fault="motion_blur"),
    *_more("halos", "haloed"),
    # --- Noise
    *_more("noise", "noisy", "grainy", fault="noise_luma"),
    *_less("noise", "(?:handles?|controls?) noise (?:better|well)", "noise[- ]free"),
    *_less("noise", "clean", "smooth", "smoother"),
    *_nouns("noise", "noise (?:control|handling|performance|suppression)", sign=-1),
    *_more("chroma_noise", "blotchy", "blotchier", fault="noise_chroma"),
    *_more("blocking", "blocky", fault="jpeg_blocks"),
    *_more("banding", "banded", fault="banding"),
    *_more("impulse", "speckled", fault="impulse"),
    *_nouns("stripes", "striping"),
    # --- Composition
    Term("level(?! of)|straight|upright|straighter", "adjective", "tilt", -1, "tilt"),
    Term(r"(?:wider|broader|larger) (?:view|framing|crop|field of view|frame)|framed (?:wider|more widely|more loosely)"
         r"|looser (?:crop|framing)|(?:shows?|includes?|captures?|reveals?|showing) (?:\d+ ?% )?more of the "
         r"(?:scene|surroundings?|surrounding\w*|landscape|environment|background|place|view)"
         r"|wider (?:in its )?(?:framing|view)"
         r"|(?:more|extra) (?:room|space|headroom|breathing (?:room|space)) (?:around|above|for|on|to|at)",
         "fault", None, -1, "tight_crop"),
    Term(r"(?:tighter|closer|narrower) (?:view|framing|crop|field of view|frame)|(?:tighter|closer) in (?:its )?framing"
         r"|framed (?:tighter|more tightly)|cropped (?:more tightly|tighter|closer)|zooms? in(?: closer)?|zoomed in"
         r"|less (?:room|space) (?:around|above|for|on|to|at)"
         r"|(?:shows?|includes?|captures?) less of the (?:scene|surroundings?|landscape|environment|background|view)"
         r"|(?:frame|framing|crop)(?: (?:in|of) [ab])? is (?:tighter|closer|narrower)|tighter",
         "fault", None, 2, "tight_crop"),
    Term(r"keeps only|leaves out|has only(?= \d)|is left(?= in [ab]\b)|is cut off(?= in [ab]\b)",
         "fault", None, 2, "tight_crop"),
    Term(r"wider for their height|broadened|pulled out sideways", "fault", None, 2, "broadened"),
    Term(r"narrower for their height|slimmed|squeezed sideways", "fault", None, -1, "broadened"),
    # --- Content
    Term("overlaid with text|lettered", "fault", None, 1, "text_overlay"),
)  # fmt: skip
"""For a fault, ``sign`` 2 means more of it than the other picture has and -1 less, whatever words precede it."""

_AESTHETIC = (
    r"well[- ](?:exposed|lit|composed|framed|balanced|timed|controlled exposure)",
    r"(?:better|evenly|beautifully|nicely) (?:lit|exposed|composed)|(?:true|truer) to life|lifelike|faithful",
    r"(?:more |better |less |un)?balanced(?: exposure| composition)?|balance|imbalanced|unbalanced|stable|unstable",
    r"compositions?|composed|framing|angle|perspective|viewpoint|vantage point|depth of field|colou?r rendition",
    r"(?:sense of )?(?:depth|scale|space)|bokeh|background blur|three[- ]dimensional(?:ity)?|context|simplicity",
    r"atmosphere|atmospheric|mood|moody|ambience|emotion(?:al|s)?|feeling|calm|serene|serenity|cosy|dramatic|drama",
    r"cinematic|tranquil|peaceful|nostalgic|romantic|mysterious|energetic|gloomy|sombre|melancholic|evocative|intimate",
    r"appealing|pleasing|pleasant|engaging|dynamic|interesting|inviting|striking|captivating|compelling|beautiful"
    r"|attractive|impactful|impact|memorable|immersive|stunning|mesmeri[sz]ing|expressive|powerful",
    r"eye[- ]catching|boring|bland|harmonious|harmony|elegant|artistic|flattering|unflattering|polished|professional"
    r"|refined|cohesive|coherent|sophisticated|tasteful|amateurish|snapshot[- ]like|unremarkable",
    r"distracting|distracts?|busy|busier|tidy|tidier|messy|untidy|uncluttered|chaotic|crowded|simpler"
    r"|minimalist|awkward",
    r"natural|unnatural|artificial|realistic|authentic|processed|muddy|chromatic aberration"
    r"|(?:purple |colou?r )?fringing",
    r"storytelling|tells a story|narrative|moment|expressions?|gestures?|poses?|gaze|timing|body language",
    r"rule of thirds|leading lines|focal point|symmetr(?:y|ical)|negative space|visual flow|whole body|headroom",
    r"visual impact|visual interest|visual weight|(?:draws|guides|leads|catches) the (?:viewer's )?eye"
    r"|(?<!what )stands? out",
    r"soft(?:er)? (?:light|lighting|shadows?|contrast|tones?|colou?rs?|glow on \w+)|soft and flattering|light is soft",
    r"harsh(?:er)? (?:light|lighting|shadows?)|lighting|(?:light )?quality of light|golden hour",
    r"clean(?:er)? (?:background|composition|lines|frame|design|whites|look)|whites are clean|(?:deep|deeper) blacks"
    r"|blacks(?: (?:in|of) [ab])? are deep(?:er)?|bright whites|(?:higher|better|lower) resolution|lifted blacks",
    r"(?:makes?|making|lets?|helps?) the subject (?:pop|stand out)|isolates? (?:it|the subject)|subject separation"
    r"|(?:preserves|keeps|retains) the clouds|gritty|composure",
)
"""Predicates that no measurement decides. They are counted, so that the measurable share of a reasoning is known."""


_IGNORED = (
    r"(?:in|by) (?:sharp |stark |strong )?contrast(?=,| to\b| with\b)|on balance|light and (?:dark|shade)",
    r"(?:clear|sharp|stark|striking|obvious|noticeable|visible) "
    r"(?:difference|distinction|contrast (?:to|with|between))s?",
    r"(?:striking|obvious|interesting|distracting|noticeable|glaring|main) "
    r"(?:flaw|problem|weakness|difference|feature|fault|issue|defect)s?",
    r"cable cars?|noise reduction|text (?:messages?|books?)|(?:reading|writing) a text|soft (?:toys?|drinks?)",
    r"contrasts? with|at first (?:glance|sight)|still life|natural light|color photograph|colou?r photo",
)
"""Phrases that state nothing, although their words would state something elsewhere."""


def _registry() -> list[Term]:
    """Return the terms that the registry of quantities has."""
    terms: list[Term] = []
    for quantity in QUANTITIES.values():
        terms += _more(quantity.name, *(_plain(word) for word in quantity.more))
        terms += _less(quantity.name, *(_plain(word) for word in quantity.less))
        terms.append(Term(_plain(quantity.spoken), "noun", quantity.name))
    return terms


def _plain(phrase: str) -> str:
    """Return a phrase of the registry as a pattern that accepts both spellings of colour."""
    return re.escape(phrase.lower()).replace("colour", "colou?r")


def _faults() -> list[Term]:
    terms = []
    for fault in FAULTS.values():
        telling = fault.shown_by[0] if fault.shown_by else (None, "more")
        sign = 1 if telling[1] == "more" else -1
        terms += [Term(pattern, "fault", telling[0], sign, fault.name) for pattern in fault.words]
    return terms


@lru_cache(maxsize=1)
def terms() -> tuple[Term, ...]:
    """Return all terms, those with the longest patterns first. If several terms have a phrase, the first keeps it."""
    known = [*_faults(), *_registry(), *_CRITICS, *(Term(pattern, "aesthetic") for pattern in _AESTHETIC)]
    known += [Term(pattern, "ignored") for pattern in _IGNORED]
    single: list[Term] = []
    for term in known:
        single += [Term(branch, term.form, term.quantity, term.sign, term.fault) for branch in _branches(term.pattern)]
    unique = {term.pattern: term for term in reversed(single)}  # the first that names a phrase keeps it
    return tuple(sorted(unique.values(), key=lambda term: -len(term.pattern)))


def _branches(pattern: str) -> list[str]:
    """Return the alternatives at the top of a pattern."""
    parts, depth, start = [], 0, 0
    for at, character in enumerate(pattern):
        depth += (character == "(") - (character == ")")
        if character == "|" and depth == 0:
            parts.append(pattern[start:at])
            start = at + 1
    return [*parts, pattern[start:]]


_RANK: dict[Form, int] = {"adjective": 0, "fault": 1, "noun": 2, "aesthetic": 3, "ignored": -1}
"""If a phrase has two readings, the one with the lower rank is taken."""


@lru_cache(maxsize=1)
def _anywhere() -> re.Pattern[str]:
    choices = "|".join(term.pattern for term in terms())
    return re.compile(rf"(?<![\w'])(?:{choices})(?![\w'])")


@cache
def _beginning(letter: str) -> tuple[Term, ...]:
    """Return the terms that can begin with this letter, in their order."""
    return tuple(
        term
        for term in terms()
        if term.pattern[0] == letter or not term.pattern[0].isalpha() or term.pattern[1:2] in ("?", "*", "{")
    )


@cache
def _alone(pattern: str) -> re.Pattern[str]:
    """Return one compiled pattern. Patterns are compiled when first needed: a short text needs few of the hundreds, and
    compiling all of them takes longer than reading the text.
    """
    return re.compile(rf"(?:{pattern})(?![\w'])")


def find(low: str, start: int, end: int) -> Iterator[tuple[Term, int, int]]:
    """Yield the terms in a part of a text with their start and end positions; at each position the longest term.

    Args:
        low: the text in lower case.
        start: position where the part begins.
        end: position where the part ends.
    """
    at = start
    while (match := _anywhere().search(low, at, end)) is not None:
        candidates = _beginning(low[match.start()])
        here = ((_alone(term.pattern).match(low, match.start(), end), term) for term in candidates)
        longest, term = max(((m.end(), -_RANK[t.form], t) for m, t in here if m is not None), key=lambda one: one[:2])[
            ::2
        ]
        yield term, match.start(), longest
        at = longest


def begins_term(low: str, at: int) -> bool:
    """Return whether a term begins at that place of a text in lower case."""
    return _anywhere().match(low, at, min(len(low), at + 80)) is not None
