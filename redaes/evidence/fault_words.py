"""English names of faults: regular expressions without unbounded repetition, first the names that this project writes
itself."""

from __future__ import annotations

_COLOUR = r"(?:colou?r )?(?:cast|tint|tinge|tone|hue|bias)s?"
_TOWARDS = r"(?:colou?r )?(?:cast|tint|shift) (?:towards?|to)"
_SHADOWS = r"(?:shadows?(?: (?:detail|area|region|part|tone)s?)?|blacks|dark(?:er)? (?:area|part|region|tone)s)"
_LIGHTS = r"(?:highlights?(?: (?:detail|area|region)s?)?|whites|bright(?:er)? (?:area|part|region)s|sky|skies|clouds)"
_OF = r"(?: (?:in|of) (?:the )?(?:image |photo |picture )?[ab])?"
_BE = r"(?:is|are|look|looks|appear|appears|get|gets|become|becomes|seem|seems|being)"
_DEGREE = r"(?:(?:slightly|partly|partially|completely|heavily|badly|severely|totally|a little|very|almost|all) )?"
_LOST = r"(?:lost|swallowed|missing|blocked(?: up)?|crushed|clipped|plugged(?: up)?|gone)"

WORDS: dict[str, tuple[str, ...]] = {
    # --- Light
    "exposure_down": (
        r"underexposure with (?:blocked|crushed) shadows",
        r"under[- ]?expos(?:ure|ed)",
        r"(?:too|overly|excessively) dark",
    ),
    "exposure_up": (
        r"overexposure with (?:burnt|blown)(?:[- ]out)? highlights",
        r"over[- ]?expos(?:ure|ed)",
        r"(?:too|overly|excessively) bright",
    ),
    "blown_highlights": (
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
    "crushed_shadows": (
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
    "sunken_shadows": (
        r"shadows too deep to show what is in them",
        r"(?:sunken|impenetrable) shadows",
        r"shadows (?:(?:that )?are )?(?:too|overly) (?:deep|heavy|dense)",
    ),
    "dim_subject": (
        r"subject left darker than its surroundings",
        r"(?:dim|dimly lit|underlit|underexposed|dark) (?:subject|face)s?",
        r"(?:subject|face)s? (?:is|are) (?:too dark|too dim|dimly lit|under-?lit)",
    ),
    "glare": (
        r"patch of glare that washes out detail",
        r"(?:patch(?:es)? of )?glare|(?:window )?reflections? on the glass",
    ),
    "contrast_down": (r"loss of contrast", r"washed[- ]?out", r"(?:too|overly) flat"),
    "contrast_up": (
        r"excess of contrast",
        r"(?:excessive|harsh|too much|exaggerated|overdone) contrast",
        r"(?:too|overly) contrasty",
    ),
    "haze": (
        r"(?:grey|gray|milky|foggy|hazy|white) (?:haze|veil|fog|mist)",
        r"haze|haziness|veiled|veil",
    ),
    "vignette": (
        rf"(?:edges|corners)(?: of the (?:frame|image|picture))?{_OF} {_BE} {_DEGREE}darkened",
        r"darkening (?:of|in|at|towards) the corners",
        r"darkened (?:corners|edges)|dark(?:ened)? vignette",
        r"vignett(?:e|es|ing|ed)|light fall[- ]?off",
    ),
    "uneven_light": (
        r"unevenness of the light",
        r"uneven(?:ly)? (?:light|lighting|lit|exposure)",
        r"light falls unevenly",
        rf"(?:light|lighting|illumination|exposure){_OF} {_BE} {_DEGREE}uneven(?:ly)?",
    ),
    "backlight": (
        r"backlight that leaves the subject dark",
        r"back[- ]?lit|back[- ]?light(?:ing|ed)?",
        r"against the light(?! (?:upper|lower|left|right|top|bottom|cent|middle))",
        r"(?:subject|face)s? (?:is|are|falls?|lies?|left) (?:into|in) (?:the )?(?:shadow|darkness)",
    ),
    # --- Colour
    "cast_warm": (
        r"leans? towards? (?:orange|yellow|amber|red)",
        rf"{_TOWARDS} (?:orange|yellow|amber|red|warm)",
        rf"(?:warm|orange|yellow|yellowish|amber|sepia|reddish|red) {_COLOUR}",
        r"jaundiced",
    ),
    "cast_cool": (
        r"leans? towards? (?:blue|cyan)",
        rf"{_TOWARDS} (?:blue|cyan|cold)",
        rf"(?:cool|cold|blue|bluish|cyan) {_COLOUR}",
    ),
    "cast_green": (rf"{_TOWARDS} (?:green)", rf"(?:green|greenish) {_COLOUR}", r"leans? towards? green"),
    "cast_magenta": (
        rf"{_TOWARDS} (?:magenta|pink|purple|violet)",
        rf"(?:magenta|pink|pinkish|purple|purplish|violet) {_COLOUR}",
        r"leans? towards? (?:magenta|pink|purple)",
    ),
    "colour_cast": (r"colou?r cast", r"colou?r tint"),
    "saturation_down": (
        r"loss of colou?r",
        r"de[- ]?saturat(?:ed|ion)|under[- ]?saturat(?:ed|ion)",
        r"drained|colou?rless|monochrom(?:e|atic)|gr[ea]y[- ]?scale",
    ),
    "saturation_up": (
        r"over[- ]?saturat(?:ed|ion)",
        r"(?:too|overly|excessively) saturated|excessive saturation",
        r"garish",
        rf"(?:saturation|colou?rs?){_OF} (?:has|have|is|are|was|were)(?: been)? "
        r"(?:pushed|boosted|cranked(?: up)?|turned up|dialled up|dialed up) "
        r"(?:too|way too|much too) (?:far|high|much|hard)",
    ),
    "hue_shift": (
        r"shift to unnatural hues",
        r"(?:unnatural|wrong|false|shifted) (?:hues|colou?rs)|hue shift|colou?r shift",
        rf"(?:hues|colou?rs)(?: (?:in|of) [AaBb])? {_BE} (?:unnatural|wrong|shifted|off)",
    ),
    "ungraded": (
        r"flat, ungraded look with pale blacks",
        r"ungraded(?: (?:look|colou?rs?|footage|tones?))?|flat profile",
        r"log footage|log[- ]like (?:look|curve|tones?)|(?:pale|milky) blacks",
    ),
    "posterize": (r"posteri[sz]ation of the tones", r"posteri[sz](?:ation|ed)|too few tones"),
    # --- Focus
    "defocus": (
        r"defocus blur|de[- ]?focus(?:ed)?",
        r"out[- ]of[- ]focus|blurs?(?! (?:part|the|out))|blurring|blurriness",
        r"focus blur|lens blur|softness",
    ),
    "motion_blur": (
        r"motion blur from camera shake",
        r"(?:motion|movement)[- ]blur(?:red)?|camera[- ](?:shake|movement|motion)",
        r"blurred by (?:camera )?(?:shake|motion|movement)",
        r"smear(?:ed|ing)? (?:by|from) (?:camera )?(?:shake|motion|movement)(?: of the camera)?",
    ),
    "oversharpen": (
        r"oversharpening with halos",
        r"over[- ]?sharpen(?:ed|ing)|sharpening halos|excessive sharpening",
        r"sharpening(?: in [AaBb])? is (?:overdone|excessive|too strong)",
        r"haloe?s",
    ),
    "zoom_blur": (r"radial blur(?: towards (?:the|its) (?:borders|edges))?", r"zoom blur"),
    "missed_focus": (
        r"misfocus that leaves the subject soft",
        r"mis[- ]?focus(?:ed)?|missed focus|focus is (?:missed|off|inaccurate|wrong)",
        r"focus of [AaBb] is (?:missed|off|inaccurate|wrong)|(?:wrong|inaccurate|missed) focus",
        r"misses (?:the )?focus",
    ),
    "soft_glow": (
        r"soft glow that swallows detail",
        r"(?:soft|dreamy|greasy|hazy) glow",
        r"soft[- ]focus (?:effect|filter)",
    ),
    # --- Noise
    "noise_luma": (r"grain(?:iness)?", r"(?:image |luminance |digital )?noise(?: levels?)?", r"levels? of noise"),
    "noise_chroma": (
        r"(?:(?:blotchy|mottled) )?(?:colou?r|chroma|chromatic)[- ]noise",
        r"colou?r(?:ed)? (?:blotches|speckles)",
    ),
    "jpeg_blocks": (
        r"compression damage",
        r"(?:heavy |strong )?(?:jpe?g )?compression(?: arti?e?facts?| blocks)?",
        r"jpe?g (?:arti?e?facts?|blocks|blocking)",
        r"block(?:y|ing) arti?e?facts?|(?:visible|compression|square) blocks|macro[- ]?blocking|blockiness",
        r"arti?e?facts",
    ),
    "banding": (
        r"banding noise",
        r"(?:colou?r |tonal |horizontal |vertical )?banding",
        r"break(?:s|ing)? into (?:bands|steps)|(?:(?:horizontal |vertical )?(?:stripes|bands) of noise)|stripes",
    ),
    "impulse": (
        r"speckling by hot and dead pixels",
        r"(?:hot|dead|stray|stuck)(?: (?:and|or) (?:hot|dead))? pixels",
        r"salt[- ]and[- ]pepper(?: noise| speckling)?|speckl(?:es|ing)",
    ),
    "pixelation": (r"pixel+[ai]tion|pixel+ated|pixeli[sz]ed", r"mosaic(?: blocks| effect)?|coarse pixels"),
    # --- Composition
    "tilt": (
        r"tilt of the (?:frame|horizon)",
        r"(?:tilted|crooked|slanted|slanting|sloping|leaning|skewed) (?:horizon|frame|framing)",
        r"horizon(?: line)?(?: (?:in|of) (?:image |picture |photo )?[AaBb])?(?: there)? "
        r"(?:visibly |clearly |slightly )?(?:tilts|leans|slopes|slants)",
        r"(?:camera |horizon )?tilt|tilted|crooked|slanted|sloping|lopsided|askew",
        r"leans (?:to|towards) (?:the|one) (?:left|right|side)|leans(?= by)|tilts(?= by| to)|slopes (?:down|up|to)",
    ),
    "crop_off": (
        r"off[- ]cent(?:re|er) crop that cuts the subject",
        r"off[- ]cent(?:re|er) crop|(?:awkward|bad|poor|clumsy) crop(?:ping)?",
        r"(?:cut|cuts|cutting|chopped|chops) (?:off|into)(?! from)",
        r"cropped off|pushed to the edge|crop(?:s|ped|ping)? out|cut(?:s|ting)? out",
    ),
    "tight_crop": (
        r"(?:overly|too) tight(?:ly)?(?: (?:crop|cropped|framed|framing))?",
        r"cropped too (?:tightly|closely)|(?:cramped|claustrophobic)",
        r"tight(?:ly)? (?:crop|cropped|framing|framed)",
    ),
    "stretch": (
        r"stretching of the proportions",
        r"stretched|squashed|squeezed|compressed horizontally|compressed vertically",
        r"(?:wrong|distorted) (?:proportions|aspect ratio)",
    ),
    "keystone": (
        r"distortion of the perspective",
        r"converging (?:verticals|lines)|keystone(?: distortion)?|perspective distortion|distorted perspective",
        r"verticals (?:clearly )?(?:converge|lean|are converging)|lean(?:s|ing)? (?:backwards?|inwards?)",
        r"perspective(?: (?:in|of) [AaBb])? is (?:distorted|off|skewed)",
    ),
    "broadened": (),
    "turned": (r"turned(?= by| against)|rotated|turn of(?= \d)",),
    "mirror": (
        r"mirrored(?: frame| version)?|mirror image|mirror[- ]reversed|flopped",
        r"flipped(?: horizontally)?",
    ),
    "tiny_crop": (r"frame that is narrower by a sliver",),
    # --- Content
    "clutter": (
        r"clutter (?:along|at|around) the (?:borders|edges)",
        r"clutter(?:ed)?|(?:distracting|foreign|stray) (?:object|pole|post|branch|person|people|element)s?",
    ),
    "covered": (
        r"takes up|takes(?= \d)|is covered by it|lies over(?= \d)",
        r"shows what is not in(?= [ab]\b)|obstruct(?:ed|ion)|obscured",
    ),
    "date_stamp": (r"date stamp across the picture", r"(?:date|time)[- ]?stamps?|printed date"),
    "watermark": (r"watermark across the picture", r"water[- ]?mark(?:s|ed|ing)?(?: lettering| text| logo)?"),
    "text_overlay": (r"(?:overlaid |superimposed )?(?:text|lettering|caption|logo)s?(?: overlays?)?",),
    "border": (r"(?:black|white|grey|gray|thick|thin|coloured)(?: \w+)? (?:bar|border|frame)s?|letterbox(?:ed|ing)",),
    "lens_dirt": (
        r"dirt spots from the lens",
        r"(?:dirt|dust|water|sensor|lens)[- ](?:spot|drop|speck|mark)s?(?: on the lens)?",
        r"dirty lens|dirt|dust|smudge[sd]?|smears? on the lens|rain ?drops|droplets",
    ),
    "lens_flare": (r"(?:lens |bright |sun )?flares?",),
    "power_lines": (
        r"cluttering by power lines",
        r"(?:power|telephone|electric|overhead)[- ](?:line|cable|wire)s?",
        r"cables?|wires?",
    ),
    "finger": (
        r"obstruction by a finger",
        r"finger that reaches into the frame|(?:finger|thumb)s?",
    ),
    # --- What no eye can see
    "tiny_tone": (r"invisible change of brightness",),
    "reencode": (r"invisible change of file quality",),
}
"""Patterns for each fault, by its name."""
