"""Faults that a reasoning can name, and which measurements would show them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from redaes.types import Factor

Seen = Literal["values", "changes", "view"]
"""What decides whether a picture has it: its measured values; a part of the scene that only it has; how the two
pictures lie over each other."""


@dataclass(frozen=True)
class Fault:
    """One fault of a photograph."""

    name: str
    """Where an embedded operation makes it, the operation's name."""
    factor: Factor
    words: tuple[str, ...]
    """Regular expressions, one of which its name in English matches, whole words, case ignored. The first ones are the
    names that our own writer uses."""
    shown_by: tuple[tuple[str, Literal["more", "less"]], ...] = ()
    """Quantities that differ in the picture that has it, the telling one first; empty: nothing measured shows it.
    One of them is enough."""
    seen: Seen = "values"


_COLOUR = r"(?:colou?r )?(?:cast|tint|tinge|tone|hue|bias)s?"
_TOWARDS = r"(?:colou?r )?(?:cast|tint|shift) (?:towards?|to)"
_SHADOWS = r"(?:shadows?(?: (?:detail|area|region|part|tone)s?)?|blacks|dark(?:er)? (?:area|part|region|tone)s)"
_LIGHTS = r"(?:highlights?(?: (?:detail|area|region)s?)?|whites|bright(?:er)? (?:area|part|region)s|sky|skies|clouds)"
_OF = r"(?: (?:in|of) (?:the )?(?:image |photo |picture )?[ab])?"
_BE = r"(?:is|are|look|looks|appear|appears|get|gets|become|becomes|seem|seems|being)"
_DEGREE = r"(?:(?:slightly|partly|partially|completely|heavily|badly|severely|totally|a little|very|almost|all) )?"
_LOST = r"(?:lost|swallowed|missing|blocked(?: up)?|crushed|clipped|plugged(?: up)?|gone)"

_ALL: tuple[Fault, ...] = (
    # --- Light
    Fault(
        "exposure_down",
        "light",
        (
            r"underexposure with (?:blocked|crushed) shadows",
            r"under[- ]?expos(?:ure|ed)",
            r"(?:too|overly|excessively) dark",
        ),
        (("brightness", "less"), ("clipped_shadows", "more")),
    ),
    Fault(
        "exposure_up",
        "light",
        (
            r"overexposure with (?:burnt|blown)(?:[- ]out)? highlights",
            r"over[- ]?expos(?:ure|ed)",
            r"(?:too|overly|excessively) bright",
        ),
        (("brightness", "more"), ("clipped_highlights", "more")),
    ),
    Fault(
        "blown_highlights",
        "light",
        (
            rf"(?:blown|burnt|burned|clipped|blocked|washed)(?:[- ]out)? {_LIGHTS}",
            rf"{_LIGHTS} (?:lose|loses|lack) (?:all )?details?",
            rf"{_LIGHTS}{_OF} (?:that )?{_BE} {_DEGREE}(?:blown|burnt|burned|clipped)(?:[- ]out)?",
            rf"(?:blows|burns|clips) (?:out )?(?:the |its )?{_LIGHTS}",
            r"(?:highlight )?clipping|blown(?:[- ]?out)?|burnt[- ]out|burned[- ]out|blow[- ]?outs?",
            rf"(?:loses|losing|lacks) (?:all )?detail in (?:the|its) {_LIGHTS}",
            rf"details? in (?:the|its) {_LIGHTS} {_BE} {_LOST}",
            rf"details? (?:is|are|gets?) (?:lost|burnt out) in (?:the |its )?{_LIGHTS}",
            r"pure white",
        ),
        (("clipped_highlights", "more"),),
    ),
    Fault(
        "crushed_shadows",
        "light",
        (
            r"crushing of the shadows",
            rf"(?:blocked|crushed|clipped|plugged|lost)(?:[- ]up)? {_SHADOWS}",
            rf"{_SHADOWS}{_OF} {_BE} {_DEGREE}(?:blocked|crushed|clipped|plugged)(?:[- ]up)?",
            rf"{_SHADOWS} (?:block|plug) up|{_SHADOWS} (?:lose|loses|lack|lack all) (?:all )?details?",
            r"(?:become|becomes|turn|turns|go|goes) (?:pitch|pure|solid) black",
            rf"details? (?:is|are|gets?) (?:lost|swallowed|hidden) in (?:the |its )?{_SHADOWS}",
            rf"(?:loses|losing|lacks|loss of) (?:all )?details? in (?:the|its) {_SHADOWS}",
            rf"details? in (?:the|its) {_SHADOWS} {_BE} {_DEGREE}{_LOST}",
            r"pure black",
        ),
        (("clipped_shadows", "more"),),
    ),
    Fault(
        "sunken_shadows",
        "light",
        (
            r"shadows too deep to show what is in them",
            r"(?:sunken|impenetrable) shadows|shadows (?:are )?too deep",
        ),
        (("clipped_shadows", "more"), ("brightness", "less")),
    ),
    Fault(
        "dim_subject",
        "light",
        (
            r"subject left darker than its surroundings",
            r"(?:dim|underlit|underexposed|dark) (?:subject|face)s?",
            r"(?:subject|face)s? (?:is|are) (?:too dark|underlit)",
        ),
        (("brightness", "less"),),
    ),
    Fault(
        "glare",
        "light",
        (r"patch of glare that washes out detail", r"(?:patch(?:es)? of )?glare|(?:window )?reflections? on the glass"),
        (("haze", "more"), ("contrast", "less")),
    ),
    Fault(
        "contrast_down",
        "light",
        (r"loss of contrast", r"washed[- ]?out", r"(?:too|overly) flat"),
        (("contrast", "less"), ("dynamic_range", "less"), ("haze", "more")),
    ),
    Fault(
        "contrast_up",
        "light",
        (
            r"excess of contrast",
            r"(?:excessive|harsh|too much|exaggerated|overdone) contrast",
            r"(?:too|overly) contrasty",
        ),
        (("contrast", "more"), ("dynamic_range", "more")),
    ),
    Fault(
        "haze",
        "light",
        (
            r"(?:grey|gray|milky|foggy|hazy|white) (?:haze|veil|fog|mist)",
            r"haze|haziness|veiled|veil",
        ),
        (("haze", "more"), ("contrast", "less")),
    ),
    Fault(
        "vignette",
        "light",
        (
            r"darkening (?:of|in|at|towards) the corners",
            r"darkened (?:corners|edges)|dark(?:ened)? vignette",
            r"vignett(?:e|es|ing|ed)|light fall[- ]?off",
        ),
        (("vignetting", "more"),),
    ),
    Fault(
        "uneven_light",
        "light",
        (r"unevenness of the light", r"uneven(?:ly)? (?:light|lighting|lit|exposure)", r"light falls unevenly"),
        (("unevenness", "more"),),
    ),
    Fault(
        "backlight",
        "light",
        (
            r"backlight that leaves the subject dark",
            r"back[- ]?lit|back[- ]?light(?:ing|ed)?",
            r"against the light(?! (?:upper|lower|left|right|top|bottom|cent|middle))",
            r"(?:subject|face)s? (?:is|are|falls?|lies?|left) (?:into|in) (?:the )?(?:shadow|darkness)",
        ),
    ),
    # --- Colour
    Fault(
        "cast_warm",
        "colour",
        (
            rf"{_TOWARDS} (?:orange|yellow|amber|red|warm)",
            rf"(?:warm|orange|yellow|yellowish|amber|sepia|reddish|red) {_COLOUR}",
            r"jaundiced",
        ),
        (("warmth", "more"), ("cast", "more")),
    ),
    Fault(
        "cast_cool",
        "colour",
        (
            rf"{_TOWARDS} (?:blue|cyan|cold)",
            rf"(?:cool|cold|blue|bluish|cyan) {_COLOUR}",
        ),
        (("warmth", "less"), ("cast", "more")),
    ),
    Fault(
        "cast_green",
        "colour",
        (rf"{_TOWARDS} (?:green)", rf"(?:green|greenish) {_COLOUR}", r"leans? (?:towards? )?green"),
        (("magenta", "less"), ("cast", "more")),
    ),
    Fault(
        "cast_magenta",
        "colour",
        (
            rf"{_TOWARDS} (?:magenta|pink|purple|violet)",
            rf"(?:magenta|pink|pinkish|purple|purplish|violet) {_COLOUR}",
            r"leans? towards? (?:magenta|pink|purple)",
        ),
        (("magenta", "more"), ("cast", "more")),
    ),
    Fault("colour_cast", "colour", (r"colou?r cast", r"colou?r tint"), (("cast", "more"),)),
    Fault(
        "saturation_down",
        "colour",
        (r"loss of colou?r", r"de[- ]?saturat(?:ed|ion)|under[- ]?saturat(?:ed|ion)", r"drained|colou?rless"),
        (("colourfulness", "less"),),
    ),
    Fault(
        "saturation_up",
        "colour",
        (r"over[- ]?saturat(?:ed|ion)", r"(?:too|overly|excessively) saturated|excessive saturation", r"garish"),
        (("colourfulness", "more"),),
    ),
    Fault(
        "hue_shift",
        "colour",
        (
            r"shift to unnatural hues",
            r"(?:unnatural|wrong|false|shifted) (?:hues|colou?rs)|hue shift|colou?r shift",
            rf"(?:hues|colou?rs)(?: (?:in|of) [AaBb])? {_BE} (?:unnatural|wrong|shifted|off)",
        ),
    ),
    Fault(
        "ungraded",
        "colour",
        (r"flat, ungraded look with pale blacks", r"ungraded(?: look)?|flat profile|log footage|(?:pale|milky) blacks"),
        (("dynamic_range", "less"), ("contrast", "less"), ("colourfulness", "less")),
    ),
    Fault(
        "posterize",
        "colour",
        (r"posteri[sz]ation of the tones", r"posteri[sz](?:ation|ed)|too few tones"),
        (("banding", "more"),),
    ),
    # --- Focus
    Fault(
        "defocus",
        "focus",
        (
            r"defocus blur|de[- ]?focus(?:ed)?",
            r"out[- ]of[- ]focus|blurs?(?! (?:part|the|out))|blurring|blurriness",
            r"focus blur|lens blur|softness",
        ),
        (("sharpness", "less"), ("edge_width", "more")),
    ),
    Fault(
        "motion_blur",
        "focus",
        (
            r"motion blur from camera shake",
            r"(?:motion|movement)[- ]blur(?:red)?|camera[- ](?:shake|movement|motion)",
            r"blurred by (?:camera )?(?:shake|motion|movement)",
            r"smear(?:ed|ing)? (?:by|from) (?:camera )?(?:shake|motion|movement)(?: of the camera)?",
        ),
        (("motion", "more"), ("sharpness", "less"), ("edge_width", "more")),
    ),
    Fault(
        "oversharpen",
        "focus",
        (
            r"oversharpening with halos",
            r"over[- ]?sharpen(?:ed|ing)|sharpening halos|excessive sharpening",
            r"sharpening(?: in [AaBb])? is (?:overdone|excessive|too strong)",
            r"haloe?s",
        ),
        (("halos", "more"),),
    ),
    Fault(
        "zoom_blur",
        "focus",
        (r"radial blur(?: towards (?:the|its) (?:borders|edges))?", r"zoom blur"),
        (("sharpness", "less"), ("edge_width", "more")),
    ),
    Fault(
        "missed_focus",
        "focus",
        (
            r"misfocus that leaves the subject soft",
            r"mis[- ]?focus(?:ed)?|missed focus|focus is (?:missed|off|inaccurate|wrong)",
            r"focus of [AaBb] is (?:missed|off|inaccurate|wrong)|(?:wrong|inaccurate|missed) focus",
            r"misses (?:the )?focus",
        ),
        (("centre_sharpness", "less"), ("sharpness", "less"), ("edge_width", "more")),
    ),
    Fault(
        "soft_glow",
        "focus",
        (r"soft glow that swallows detail", r"(?:soft|dreamy|greasy|hazy) glow", r"soft[- ]focus (?:effect|filter)"),
        (("sharpness", "less"), ("contrast", "less"), ("haze", "more")),
    ),
    # --- Noise
    Fault(
        "noise_luma",
        "noise",
        (r"grain(?:iness)?", r"(?:image |luminance |digital )?noise(?: levels?)?", r"levels? of noise"),
        (("noise", "more"),),
    ),
    Fault(
        "noise_chroma",
        "noise",
        (r"(?:(?:blotchy|mottled) )?(?:colou?r|chroma|chromatic)[- ]noise", r"colou?r(?:ed)? (?:blotches|speckles)"),
        (("chroma_noise", "more"),),
    ),
    Fault(
        "jpeg_blocks",
        "noise",
        (
            r"compression damage",
            r"(?:heavy |strong )?(?:jpe?g )?compression(?: arti?e?facts?| blocks)?",
            r"jpe?g (?:arti?e?facts?|blocks|blocking)",
            r"block(?:y|ing) arti?e?facts?|(?:visible|compression|square) blocks|macro[- ]?blocking|blockiness",
            r"arti?e?facts",
        ),
        (("blocking", "more"),),
    ),
    Fault(
        "banding",
        "noise",
        (
            r"banding noise",
            r"(?:colou?r |tonal |horizontal |vertical )?banding",
            r"break(?:s|ing)? into (?:bands|steps)|(?:(?:horizontal |vertical )?(?:stripes|bands) of noise)|stripes",
        ),
        (("banding", "more"), ("stripes", "more"), ("noise", "more")),
    ),
    Fault(
        "impulse",
        "noise",
        (
            r"speckling by hot and dead pixels",
            r"(?:hot|dead|stray|stuck)(?: (?:and|or) (?:hot|dead))? pixels",
            r"salt[- ]and[- ]pepper(?: noise| speckling)?|speckl(?:es|ing)",
        ),
        (("impulse", "more"),),
    ),
    Fault(
        "pixelation",
        "noise",
        (r"pixel+[ai]tion|pixel+ated|pixeli[sz]ed", r"mosaic(?: blocks| effect)?|coarse pixels"),
        (("pixelation", "more"), ("sharpness", "less")),
    ),
    # --- Composition
    Fault(
        "tilt",
        "composition",
        (
            r"tilt of the (?:frame|horizon)",
            r"(?:tilted|crooked|slanted|slanting|sloping|leaning|skewed) (?:horizon|frame|framing)",
            r"horizon(?: line)?(?: (?:in|of) (?:image |picture |photo )?[AaBb])?(?: there)? "
            r"(?:visibly |clearly |slightly )?(?:tilts|leans|slopes|slants)",
            r"(?:camera |horizon )?tilt|tilted|crooked|slanted|sloping|lopsided|askew",
            r"leans (?:to|towards) (?:the|one) (?:left|right|side)|leans(?= by)|tilts(?= by| to)|slopes (?:down|up|to)",
        ),
        (("tilt", "more"),),
        "view",
    ),
    Fault(
        "crop_off",
        "composition",
        (
            r"off[- ]cent(?:re|er) crop that cuts the subject",
            r"off[- ]cent(?:re|er) crop|(?:awkward|bad|poor|clumsy) crop(?:ping)?",
            r"(?:cut|cuts|cutting|chopped|chops) (?:off|into)(?! from)",
            r"cropped off|pushed to the edge|crop(?:s|ped|ping)? out|cut(?:s|ting)? out",
        ),
        (),
        "view",
    ),
    Fault(
        "tight_crop",
        "composition",
        (
            r"(?:overly|too) tight(?:ly)?(?: (?:crop|cropped|framed|framing))?",
            r"cropped too (?:tightly|closely)|(?:cramped|claustrophobic)",
            r"tight(?:ly)? (?:crop|cropped|framing|framed)",
        ),
        (),
        "view",
    ),
    Fault(
        "stretch",
        "composition",
        (
            r"stretching of the proportions",
            r"stretched|squashed|squeezed|compressed horizontally|compressed vertically",
            r"(?:wrong|distorted) (?:proportions|aspect ratio)",
        ),
        (),
        "view",
    ),
    Fault(
        "keystone",
        "composition",
        (
            r"distortion of the perspective",
            r"converging (?:verticals|lines)|keystone(?: distortion)?|perspective distortion|distorted perspective",
            r"verticals (?:clearly )?(?:converge|lean|are converging)|lean(?:s|ing)? (?:backwards?|inwards?)",
            r"perspective(?: (?:in|of) [AaBb])? is (?:distorted|off|skewed)",
        ),
        (("keystone", "more"),),
    ),
    Fault("broadened", "composition", (), (), "view"),  # wider or narrower for its height than in the other picture
    Fault("turned", "composition", (r"turned(?= by| against)|rotated|turn of(?= \d)",), (), "view"),
    Fault("mirror", "composition", (r"mirrored(?: frame| version)?", r"flipped(?: horizontally)?"), (), "view"),
    Fault("tiny_crop", "composition", (r"frame that is narrower by a sliver",), (), "view"),
    # --- Content
    Fault(
        "clutter",
        "content",
        (
            r"clutter (?:along|at|around) the (?:borders|edges)",
            r"clutter(?:ed)?|(?:distracting|foreign|stray) (?:object|pole|post|branch|person|people|element)s?",
        ),
        (),
        "changes",
    ),
    Fault(
        "covered",
        "content",
        (
            r"takes up|takes(?= \d)|is covered by it|lies over(?= \d)",
            r"shows what is not in(?= [ab]\b)|obstruct(?:ed|ion)|obscured",
        ),
        (),
        "changes",
    ),
    Fault(
        "date_stamp",
        "content",
        (r"date stamp across the picture", r"(?:date|time)[- ]?stamps?|printed date"),
        (("lettering", "more"),),
        "changes",
    ),
    Fault(
        "watermark",
        "content",
        (r"watermark across the picture", r"water[- ]?mark(?:s|ed|ing)?(?: lettering| text| logo)?"),
        (("lettering", "more"),),
        "changes",
    ),
    Fault(
        "text_overlay",
        "content",
        (r"(?:overlaid |superimposed )?(?:text|lettering|caption|logo)s?(?: overlays?)?",),
        (("lettering", "more"),),
        "changes",
    ),
    Fault(
        "border",
        "content",
        (r"(?:black|white|grey|gray|thick|thin|coloured)(?: \w+)? (?:bar|border|frame)s?|letterbox(?:ed|ing)",),
        (("border", "more"),),
    ),
    Fault(
        "lens_dirt",
        "content",
        (
            r"dirt spots from the lens",
            r"(?:dirt|dust|water|sensor|lens)[- ](?:spot|drop|speck|mark)s?(?: on the lens)?",
            r"dirty lens|dirt|dust|smudge[sd]?|smears? on the lens|rain ?drops|droplets",
        ),
        (),
        "changes",
    ),
    Fault(
        "lens_flare",
        "content",
        (r"(?:lens |bright |sun )?flares?",),
        (),
        "changes",
    ),
    Fault(
        "power_lines",
        "content",
        (
            r"cluttering by power lines",
            r"(?:power|telephone|electric|overhead)[- ](?:line|cable|wire)s?",
            r"cables?|wires?",
        ),
        (),
        "changes",
    ),
    Fault(
        "finger",
        "content",
        (
            r"obstruction by a finger",
            r"finger that reaches into the frame|(?:finger|thumb)s?",
        ),
        (),
        "changes",
    ),
    # --- What no eye can see
    Fault("tiny_tone", "light", (r"invisible change of brightness",)),
    Fault("reencode", "noise", (r"invisible change of file quality",)),
    # --- What retouching would mend
    Fault(
        "sunken_shadows",
        "light",
        (r"sunken shadows", r"shadows (?:that are )?(?:too|overly) (?:deep|heavy|dense)"),
        (("brightness", "less"), ("clipped_shadows", "more")),
    ),
    Fault(
        "dim_subject",
        "light",
        (r"dim(?:ly lit)? subject", r"(?:subject|face)s? (?:is|are) (?:too dim|dimly lit|under-?lit)"),
        (("brightness", "less"),),
    ),
    Fault(
        "glare",
        "light",
        (r"patch(?:es)? of glare",),
        (("haze", "more"), ("clipped_highlights", "more"), ("brightness", "more")),
        "changes",
    ),
    Fault(
        "ungraded",
        "colour",
        (r"ungraded (?:look|colou?rs?|footage|tones?)", r"log[- ]like (?:look|curve|tones?)"),
        (("contrast", "less"), ("dynamic_range", "less"), ("colourfulness", "less")),
    ),
)

FAULTS: dict[str, Fault] = {fault.name: fault for fault in _ALL}
"""All of them by name."""
