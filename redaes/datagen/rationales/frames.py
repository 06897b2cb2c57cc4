"""The sentences of which a rationale is made, with gaps.

``{side}`` is the picture that a sentence is about, and ``{rival}`` the other. No sentence begins with an article,
because "A" is a picture. No first sentence may be frequent: a model that has learnt one opening by heart uses it for
everything.
"""

from __future__ import annotations

from redaes.evidence.measurements import Place
from redaes.types import Factor

# --- The fault ----------------------------------------------------------------------------------------

FAULT = (
    "{side} shows {fault}.",
    "{side} suffers from {fault}.",
    "{side} is marred by {fault}.",
    "{side} is weakened by {fault}.",
    "{side} has one failing: {fault}.",
    "{side} struggles with {fault}.",
    "{side} is let down by {fault}.",
    "What stands out in {side} is {fault}.",
    "What spoils {side} is {fault}.",
    "What hurts {side} is {fault}.",
    "What one notices in {side} is {fault}.",
    "In {side} there is {fault}.",
    "In {side} one sees {fault}.",
    "In {side} the eye meets {fault}.",
    "One notices {fault} in {side}.",
    "One sees {fault} in {side}.",
    "Look at {side}: there is {fault}.",
    "The trouble with {side} is {fault}.",
    "The weakness of {side} is {fault}.",
    "The fault of {side} is {fault}.",
    "The eye catches {fault} in {side}.",
    "There is {fault} in {side}.",
    "Side by side, {side} shows {fault}.",
    "Next to {rival}, {side} shows {fault}.",
    "Beside {rival}, {side} betrays {fault}.",
    "Compared with {rival}, {side} has {fault}.",
    "Held against {rival}, {side} reveals {fault}.",
    "It is {side} that has {fault}.",
    "What troubles {side} is {fault}.",
    "Something is amiss in {side}, namely {fault}.",
    "Anyone will see {fault} in {side}.",
    "Looking closely at {side}, one finds {fault}.",
    "Of the two it is {side} that shows {fault}.",
    "Here {side} has to live with {fault}.",
)

UNNAMED = (
    "{side} falls behind in {noun}.",
    "{side} falls short in {noun}.",
    "{side} is let down by {noun}.",
    "What lets {side} down is {noun}.",
    "What {side} lacks is care in {noun}.",
    "In {noun} {side} does not keep up.",
    "Next to {rival}, {side} disappoints in {noun}.",
    "Compare {noun}: there {side} falls behind.",
)
"""Sentences for faults whose names the pixels do not confirm: they say only what the picture is weak in."""

WEAK_IN: dict[Factor, tuple[str, ...]] = {
    "light": ("the handling of light", "its light"),
    "colour": ("the handling of colour", "its colour"),
    "focus": ("the rendering of detail", "its focus"),
    "noise": ("its rendering, pixel by pixel", "what its pixels show"),
    "composition": ("its framing", "its composition"),
    "content": ("what it holds in the frame that should not be in the scene", "its busy scene"),
    "subject": ("its subject", "the moment of its subject"),
    "mood": ("its mood", "its atmosphere"),
}

AMOUNTS: tuple[tuple[float, tuple[str, ...]], ...] = (
    (1.5, ("slight", "mild", "faint", "modest", "minor")),
    (3.5, ("obvious", "distinct", "noticeable", "evident", "marked", "visible", "definite")),
    (9.1, ("strong", "heavy", "severe", "pronounced", "serious", "massive", "glaring")),
)
"""Adjectives for a fault that costs less than so many points, see the first column."""

LESSER = (
    "{side} has {fault}, which weighs less.",
    "Less harm comes to {side} from {fault}.",
    "{side}, for its part, has {fault}, but that costs less.",
    "{side} is not without blame, with {fault}, yet that is easier to forgive.",
    "In {side} there is {fault}, the lesser evil.",
    "Against that, {side} has only {fault} to answer for.",
    "By comparison, {fault} in {side} matters less.",
    "Set against it, {fault} in {side} does not count for much.",
    "One can live more easily with {side} and its fault, {fault}.",
    "True, {side} shows {fault}, but that disturbs less.",
    "What {side} has instead, {fault}, is less of a burden.",
    "The other side of it: {side} has {fault}, which does less damage.",
)

SAME_FAULT = (
    "{side} has the same fault, but less of it.",
    "In {side} it is there as well, only weaker.",
    "{side} shares the fault to a lesser degree.",
    "It is found in {side} too, though milder.",
    "{side} is not free of it either, yet gets off more lightly.",
)

# --- What was measured ----------------------------------------------------------------------------------

MEASURED = (
    "{side} is {adjective} than {rival}: {noun} {this} against {other}.",
    "{side} is {adjective}: {noun} {this} against {other}.",
    "{side} is {adjective}, with {noun} {this} against {other} in {rival}.",
    "{side} looks {adjective} than {rival}, {noun} {this} to {other}.",
    "{side} comes out {adjective}: {noun} is {this} in {side} and {other} in {rival}.",
    "Measured {noun} is {this} in {side} and {other} in {rival}, so {side} is {adjective}.",
    "With {noun} at {this} against {other}, {side} is {adjective} than {rival}.",
    "The figures agree that {side} is {adjective}: {noun} {this} against {other}.",
    "One can measure it: {noun} is {this} in {side} and {other} in {rival}, so {side} is {adjective}.",
    "The measurement bears it out: {side} is {adjective} than {rival}, {noun} {this} to {other}.",
    "No wonder {side} is {adjective}: {noun} {this} against {other}.",
    "As a result {side} is {adjective}, {noun} {this} against {other}.",
)
"""Sentence frames with the comparative and both figures, that of the described picture first."""

WITHOUT_FIGURES = (
    "{side} is {adjective} than {rival}.",
    "{side} looks {adjective} than {rival}.",
    "As a result {side} is {adjective}.",
)
"""Sentence frames without figures, used if the figures would look the same."""

FURTHER = (
    "{side} is also {adjective}, {noun} {this} against {other}.",
    "Besides, {side} is {adjective}: {noun} {this} against {other}.",
    "In addition, {side} is {adjective}: {noun} {this} against {other} in {rival}.",
    "What is more, {side} is {adjective}, with {noun} {this} to {other}.",
    "Moreover, {noun} is {this} in {side} and {other} in {rival}: {side} is {adjective}.",
    "Beyond that, {side} is {adjective}, {noun} {this} against {other}.",
)
"""Sentence frames for a second quantity."""

FURTHER_WITHOUT = (
    "{side} is also {adjective}.",
    "Besides, {side} is {adjective}.",
    "Moreover, {side} is {adjective} than {rival}.",
    "Beyond that, {side} is {adjective}.",
)

SEEN = (
    "In {side} {seen}.",
    "One sees what it does to {side}: {seen}.",
    "Its effect on {side} is plain: {seen}.",
    "For {side} that means: {seen}.",
    "As one looks at {side}, {seen}.",
    "It shows in {side}: {seen}.",
    "The outcome in {side}: {seen}.",
    "To the eye of whoever looks at {side}, {seen}.",
)
"""Sentences about the effect of a visible difference; they follow the sentence about the difference."""

GEOMETRY = {
    "turned": (
        "What {side} shows is turned by {amount} degrees against {rival}.",
        "Laid over {rival}, {side} is turned by {amount} degrees.",
        "{side} is turned by {amount} degrees against {rival}.",
        "Between {rival} and {side} lies a turn of {amount} degrees.",
    ),
    "cut": (
        "{side} keeps only {amount} % of what {rival} takes in.",
        "Of what {rival} takes in, {side} has only {amount} %.",
        "Only {amount} % of what is in {rival} is left in {side}.",
        "{side} leaves out {rest} % of what {rival} takes in.",
    ),
    "converging": (
        "Upright lines of {side} run together by {amount} degrees against {rival}.",
        "Measured against {rival}, {side} lets its uprights run together by {amount} degrees.",
        "From side to side, uprights of {side} lean by {amount} degrees against {rival}.",
    ),
    "wider": (
        "Shapes in {side} are {amount} % wider for their height than in {rival}.",
        "Everything in {side} is broadened by {amount} % against {rival}.",
        "Measured against {rival}, {side} is pulled out sideways by {amount} %.",
    ),
    "narrower": (
        "Shapes in {side} are {amount} % narrower for their height than in {rival}.",
        "Everything in {side} is slimmed by {amount} % against {rival}.",
        "Measured against {rival}, {side} is squeezed sideways by {amount} %.",
    ),
    "covered": (
        "It takes up {amount} % of the frame, {places}.",
        "{amount} % of {side}, {places}, shows what is not in {rival}.",
        "Some {amount} % of {side} is covered by it, {places}.",
        "It lies over {amount} % of {side}, {places}.",
        "Nothing of the kind is in {rival}; in {side} it takes {amount} % of the frame, {places}.",
    ),
}
"""Sentence frames by the kind of :class:`redaes.datagen.rationales.choosing.Geometry`."""

# --- Where ----------------------------------------------------------------------------------------------

WHERE = (
    "It shows most in {region}.",
    "It tells most in {region}.",
    "The difference is largest in {region}.",
    "Nowhere is it plainer than in {region}.",
    "Nowhere do the two differ more than in {region}.",
    "One sees it best in {region}.",
    "The worst of it falls on {region}.",
    "Compare {region}: there the gap is widest.",
    "{region} bears the brunt of it.",
    "{region} takes most of the harm.",
    "{region} gives it away first.",
)

EVENLY = (
    "It lies over the whole frame, from {region} to {other}.",
    "Both {region} and {other} are affected.",
    "It spares neither {region} nor {other}.",
    "No part escapes it, neither {region} nor {other}.",
    "One meets it all over, in {region} as in {other}.",
)

HUES = (
    "What is {there} {place} of {rival} is {here} in {side}.",
    "Where {rival} is {there}, {place}, {side} is {here}.",
    "Look {place}: {there} in {rival}, {here} in {side}.",
    "From {there} in {rival} it goes to {here} in {side} {place}.",
)
"""Sentence frames for a cell whose hue has another name in each picture."""

SCENE = (
    "Both show one scene, from {region} to {other}.",
    "The scene itself is the same, {region} with {other}.",
    "Either way one looks at {region} and {other}.",
    "What is shown is the same in both, {region} and {other}.",
)
"""Sentence frames for pictures that show the same part of the scene."""

SCENE_OF_ONE = (
    "{rival} sets {region} against {other}.",
    "{rival} holds {region} and {other} together.",
    "In {rival} the view runs from {region} to {other}.",
    "One finds {region} and {other} in {rival}.",
)
"""Sentence frames for other pictures; they describe the scene in the better picture."""

IN_PLACE: dict[Place, tuple[str, ...]] = {
    "upper left": ("in the upper left", "towards the upper left"),
    "top": ("at the top", "along the top"),
    "upper right": ("in the upper right", "towards the upper right"),
    "left": ("on the left", "at the left"),
    "centre": ("in the centre", "in the middle"),
    "right": ("on the right", "at the right"),
    "lower left": ("in the lower left", "towards the lower left"),
    "bottom": ("at the bottom", "along the bottom"),
    "lower right": ("in the lower right", "towards the lower right"),
}

REGION: dict[Place, tuple[str, ...]] = {
    "upper left": ("upper left", "upper left corner"),
    "top": ("top", "upper part"),
    "upper right": ("upper right", "upper right corner"),
    "left": ("left side", "left part"),
    "centre": ("centre", "middle"),
    "right": ("right side", "right part"),
    "lower left": ("lower left", "lower left corner"),
    "bottom": ("bottom", "lower part"),
    "lower right": ("lower right", "lower right corner"),
}
"""Nouns for a cell of the grid; "the" and an adjective are put before them."""

TRAITS = {
    "bright": ("lit", "radiant", "shining"),
    "dark": ("shaded", "shadowed", "sombre"),
    "busy": ("intricate", "textured", "patterned"),
    "plain": ("smooth", "plain", "quiet", "even"),
}
"""Words for the traits of a cell (:func:`redaes.datagen.rationales.looks.traits`); hues are named as they are. Words
that compare pictures, such as "bright", are avoided: they would be read as statements about the whole picture."""

# --- Conclusions ----------------------------------------------------------------------------------------

SIZES = ((1.5, "slightly"), (3.5, "clearly"), (9.1, "far"))
"""Differences in points below which each word is used in a conclusion."""

SIZE_WORDS = {
    "slightly": ("slightly", "marginally", "somewhat"),
    "clearly": ("clearly", "plainly", "distinctly", "noticeably"),
    "far": ("far", "much", "considerably", "vastly"),
}
"""Synonyms of these words."""

# No conclusion begins with a picture, as the sentences before it do. A small model that had named the fault of A wrote
# "A is" next, for which it had learnt "noisier", and ended with "far better".
CONCLUSIONS = (
    "So {winner} is {size} better.",
    "So {winner} is {plain_size} the better picture.",
    "That makes {winner} {size} better.",
    "That leaves {winner} {size} better.",
    "On balance {winner} is {size} better.",
    "All in all, {winner} is {size} better.",
    "Taken together, {winner} is {plain_size} the better picture.",
    "For that reason {winner} is {size} better.",
    "Hence {winner} is {size} better.",
    "Therefore {winner} is {size} better.",
    "Overall, {winner} is {plain_size} the better picture.",
    "In sum, {winner} is {size} better.",
    "As a photograph, {winner} is {size} better.",
    "That is why {winner} is {size} better.",
    "Seen as a whole, {winner} is {size} better.",
    "This is why {winner} is {plain_size} the better picture.",
)

# --- Where only the factors are known, and ties -----------------------------------------------------------

DECIDES = (
    "What tells them apart is {factors}.",
    "They differ in {factors}.",
    "What decides is {factors}.",
    "{factors} sets them apart.",
    "{factors} is where they differ.",
    "{factors} makes the difference.",
    "{factors} decides between them.",
    "{factors} is what counts here.",
    "The difference lies in {factors}.",
    "The choice turns on {factors}.",
    "The comparison is settled by {factors}.",
    "It comes down to {factors}.",
    "It is {factors} that decides.",
    "Look at {factors}: there they differ.",
    "One difference matters, {factors}.",
    "Side by side, {factors} tells them apart.",
    "The verdict rests on {factors}.",
    "All depends on {factors}.",
    "Here {factors} matters most.",
    "Much depends on {factors} here.",
    "Only {factors} separates them.",
    "With {factors} the question is settled.",
)

FACTOR_NAMES: dict[Factor, tuple[str, ...]] = {
    "light": ("light", "the light"),
    "colour": ("colour", "the colour"),
    "focus": ("focus", "the focus"),
    "noise": ("noise", "the noise"),
    "composition": ("composition", "the composition", "the framing"),
    "content": ("content", "what is in the scene"),
    "subject": ("subject", "the subject"),
    "mood": ("mood", "the mood", "the atmosphere"),
}

ALIKE = (
    "{noun} is alike, {a} in A and {b} in B.",
    "{noun} is the same, {a} in A and {b} in B.",
    "{noun} is as good as equal: {a} in A, {b} in B.",
    "{noun} is practically the same, {a} in A and {b} in B.",
    "{noun} is nearly identical: {a} in A, {b} in B.",
)
"""Sentence frames for quantities that differ by less than the noise floor."""

TIE_OPENINGS = (
    "A and B are hard to tell apart.",
    "There is nothing to choose between them.",
    "Neither stands out against the other.",
    "They might be taken for one picture.",
    "Side by side, A and B look the same.",
    "One looks in vain for a fault that only one has.",
    "Whatever one compares, both come out even.",
    "Going back and forth, one finds no gain in either.",
    "No fault sets one below the other.",
    "Equally good is what they look.",
    "Put beside each other, they match.",
    "Not even a close look finds a winner.",
    "The two are a match for each other.",
    "Nothing that matters differs between A and B.",
    "Faults, where there are any, are shared by both.",
    "Looked at closely, they remain equals.",
    "Here the choice is open.",
    "Which of them one takes makes no difference.",
)

TIE_MIRRORED = (
    "One is the mirror image of the other, which neither helps nor harms.",
    "Left and right are exchanged between them, which costs nothing.",
)

TIES = (
    "Neither picture gains anything over the other.",
    "A and B are equally good; what differs is not visible as a fault.",
    "Neither of them is the better picture.",
    "So they are equally good.",
    "That leaves them equal.",
    "One is as good as the other.",
    "On balance neither wins.",
    "Hence there is no better one.",
)
