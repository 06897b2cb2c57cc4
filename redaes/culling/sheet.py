"""The contact sheet in HTML: the content of its pages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from redaes import viewer
from redaes.assessing.measured import Measured, marked
from redaes.assessing.words import NO_DIFFERENCE, counted
from redaes.errors import ImageError
from redaes.evidence.claims import Claims
from redaes.html_pages import jpeg_bytes, jpeg_url, policy_digest
from redaes.images import fit_area, load_image

THUMBNAIL_PIXELS = 76_800
"""Area of a thumbnail: 320 x 240."""

MAX_THUMBNAIL_BYTES = 10_000
"""Largest size of a thumbnail as JPEG; a larger one is stored at lower quality, and then smaller [ours]."""

SERIES_FOOT = "</div></div></section>\n"

_STYLE = """
:root {
  color-scheme: light dark; --line: #8884; --good: #2a8; --open: #c90; --rest: #c44; --paper: light-dark(#fff, #16191c);
  --ink: light-dark(#1d2329, #e6e8ea); --quiet: light-dark(#5a636c, #a9b2bb); --bad: light-dark(#a02a1e, #f2968b);
}
* { box-sizing: border-box; }
[hidden] { display: none !important; }
body { font: 15px/1.45 system-ui, sans-serif; margin: 0; color: var(--ink); background: var(--paper); }
body { overflow-wrap: anywhere; }
main { margin: 0 auto; max-width: 1600px; padding: 1.5rem; }
section { border-top: 1px solid var(--line); padding: 1rem 0; }
section.single { display: inline-block; vertical-align: top; max-width: 100%; margin-right: 1rem; }
h1 { font-size: 1.4rem; margin: 0; } h2 { font-size: 1.05rem; margin: 0 0 .5rem; }
:focus-visible { outline: 3px solid light-dark(#1f5fa8, #79b2f2); outline-offset: 2px; }
.tools button {
  font: inherit; color: inherit; background: none; border: 1px solid var(--quiet); border-radius: .3rem;
  min-height: 2.5rem; padding: .3rem .8rem; cursor: pointer;
}
.tools button[aria-pressed=true] { background: var(--ink); color: var(--paper); }
.picks figure:not(.Green) { display: none; }
.picks section:not(:has(figure.Green)) .body { display: none; }
.row { display: flex; flex-wrap: wrap; gap: .9rem; align-content: flex-start; }
figure { margin: 0; width: 220px; max-width: 100%; border-top: 4px solid; }
figure.Green { border-color: var(--good); } figure.Yellow { border-color: var(--open); }
figure.Red { border-color: var(--rest); } figure.alone { border-color: transparent; }
figure.Green img { outline: 3px solid var(--good); outline-offset: -3px; }
figure > a { display: block; position: relative; cursor: zoom-in; color: inherit; }
nav a, nav b { padding: .2rem .35rem; }
figure > a > b { position: absolute; left: .35rem; top: .35rem; }
figure > a > b, .verdict b.letter { padding: 0 .45rem; border-radius: .25rem; background: #000c; color: #fff; }
.row img { width: 100%; height: 165px; object-fit: contain; background: #8882; display: block; }
figcaption { font-size: .85rem; overflow-wrap: anywhere; padding-top: .25rem; }
.mark { font-weight: 600; }
mark { background: none; color: var(--bad); text-decoration: underline wavy; }
.verdict p { margin: 0 0 .6rem; }
.sides { display: flex; align-items: center; gap: .5rem; white-space: nowrap; max-width: 26rem; }
.sides meter { flex: 1; min-width: 3rem; }
.measured { border-collapse: collapse; font-size: .85rem; margin-bottom: .8rem; }
.measured th, .measured td { padding: .15rem .6rem .15rem 0; text-align: left; font-weight: normal; }
.measured { overflow-wrap: break-word; } .measured td { white-space: nowrap; }
.measured .left { text-align: right; } .measured .left meter { transform: scaleX(-1); }
.measured caption { text-align: left; color: var(--quiet); } .measured meter { width: 3.2rem; margin: 0 .3rem; }
.told { max-width: 75ch; } .quiet { color: var(--quiet); } .bad { color: var(--bad); }
.body.judged { display: flex; flex-direction: column; gap: .75rem; } .body.judged .row { order: -1; }
@media (min-width: 60rem) {
  .body.judged { display: grid; grid-template-columns: minmax(0, 1fr) 28rem; gap: 1.5rem; align-items: start; }
  .body.judged .verdict { grid-column: 2; grid-row: 1; position: sticky; top: 0; padding-top: .5rem; }
  .body.judged .row { grid-column: 1; grid-row: 1; }
}
@media (max-width: 40rem) {
  main { padding: .75rem; }
  .row { display: grid; grid-template-columns: 1fr 1fr; gap: .6rem; } figure { width: auto; }
  .row img { height: 130px; }
  .measured meter { display: block; width: 3.5rem; margin: 0; } .measured .left meter { margin-left: auto; }
}
"""

_SCRIPT = """
document.addEventListener("click", (event) => {
  const link = event.target.closest("figure > a");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  let links = [...link.closest("section").querySelectorAll("figure > a")];
  const isAlone = links.length === 1;
  if (isAlone) links = [...document.querySelectorAll("figure > a")];
  const at = links.indexOf(link);
  const pictures = links.map((one) => {
    const image = one.querySelector("img");
    const caption = one.parentElement.querySelector(".quiet");
    return { name: image.alt, url: one.href, small: image.src, caption: caption ? caption.textContent : "" };
  });
  const other = isAlone ? Math.min(at + 1, links.length - 1) : Math.min(1, links.length - 1);
  if (isAlone) closer.open(pictures, at, other);
  else closer.open(pictures, 0, at === 0 ? other : at);
});
(() => {
  const button = document.getElementById("picks");
  button.closest("p").hidden = false;
  function only(picks) {
    document.body.classList.toggle("picks", picks);
    button.setAttribute("aria-pressed", String(picks));
    history.replaceState(null, "", picks ? "#picks" : "#");
  }
  button.addEventListener("click", () => only(button.getAttribute("aria-pressed") !== "true"));
  document.addEventListener("keydown", (event) => {
    const isPlain = !event.ctrlKey && !event.metaKey && !event.altKey;
    if (event.key.toLowerCase() === "p" && isPlain) button.click();
  });
  if (location.hash === "#picks") only(true);
})();
"""

_ALL_STYLE = _STYLE + viewer.STYLE
_ALL_SCRIPT = viewer.SCRIPT + _SCRIPT


@dataclass(frozen=True)
class Told:
    """Why the best picture of a series is preferred to the next one."""

    winner: str | None
    """``A``: the best one by the ranking, ``B``: the next one, ``tie``; None: undecided, or no usable answer."""
    undecided: str | None
    """Why nothing is decided, in words; None: it is decided."""
    probability: float | None
    delta: float | None
    rationale: str | None
    """The model's text, or why there is none."""
    letters: tuple[str, str]
    """What A and B in the text stand for."""
    notes: tuple[str, ...]
    claims: Claims | None = None
    """The checked statements of the text; None: they were not checked."""
    claims_summary: str | None = None
    measured: tuple[Measured, ...] = ()
    """Measurements of the best picture (first) and of the next one."""
    agreement: str | None = None
    """How far repeated answers agree, in words; None: they were not repeated."""


def head(folder: Path, n_pictures: int, n_series: int, page: int = 1, n_pages: int = 1) -> str:
    """Return a page up to its first series."""
    name = folder.resolve().name or str(folder.resolve())
    of_pages = f", page {page} of {n_pages}" if n_pages > 1 else ""
    order = "best first"
    if n_series == n_pictures > 1:
        order = (
            "one picture in each: no two belong together by time and likeness, so nothing was compared. "
            "<code>redaes rank</code> compares them with <code>--one-series</code> or <code>--by-folder</code>"
        )
    policy = (
        f"default-src 'none'; img-src 'self' data: file:; style-src '{policy_digest(_ALL_STYLE)}'; "
        f"script-src '{policy_digest(_ALL_SCRIPT)}'; base-uri 'none'; form-action 'none'"
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Contact sheet: {escape(name)}{of_pages}</title><style>{_ALL_STYLE}</style></head>\n<body><main>"
        f"<h1>{escape(name)}</h1><p class=quiet>{escape(str(folder.resolve()))}</p>"
        f"<p>{counted(n_pictures, 'picture')} in {n_series} series, {order}. "
        "Green, 5 stars: the best of its series, by a visible lead. Yellow, 3 stars: not settled. "
        "Red, 1 star or rejected: worse. No colour: alone, or its series could not be ranked. "
        "A click on a picture shows it beside the best of its series, at full size, both moved and "
        "enlarged together.</p>\n"
        "<p class=tools hidden><button type=button id=picks aria-pressed=false>Only the picks (P)</button></p>\n"
        + links(page, n_pages)
    )


def links(page: int, n_pages: int) -> str:
    """Return the links to the other pages; empty: there is only one page."""
    if n_pages == 1:
        return ""
    numbers = (
        f"<b aria-current=page>{number}</b>" if number == page else f'<a href="{page_name(number)}">{number}</a>'
        for number in range(1, n_pages + 1)
    )
    return f"<nav aria-label=Pages>Pages {' '.join(numbers)}</nav>\n"


def page_name(number: int) -> str:
    """Return the file name of a page; pages are numbered from 1."""
    return "contact_sheet.html" if number == 1 else f"contact_sheet_{number}.html"


def series_head(
    name: str,
    n_pictures: int,
    failure: str | None,
    told: Told | None,
    remark: str | None = None,
    *,
    continued: bool = False,
) -> str:
    """Return a series up to its first picture on a page; ``continued``: it began on an earlier page."""
    single = " class=single" if n_pictures == 1 else ""
    text = f"<section{single}><h2>Series {escape(name)} <span class=quiet>· {counted(n_pictures, 'picture')}"
    text += ", continued" if continued else ""
    text += "</span></h2>"
    if continued:
        return text + "<div class=body><div class=row>\n"
    if failure is not None:
        text += f"<p class=bad>Not ranked: {escape(failure)}</p>"
    if remark is not None:
        text += f"<p class=quiet>{escape(remark)}.</p>"
    if told is None:
        return text + "<div class=body><div class=row>\n"
    text += f'<div class="body judged"><div class=verdict>{_sides(told)}<p class=told>{_in_words(told)}</p>'
    return text + f"{_table(told)}</div><div class=row>\n"


@dataclass(frozen=True)
class SheetPicture:
    """One picture on the sheet."""

    path: Path
    name: str
    """The name that is shown."""
    link: str
    """URL of the file, relative to the sheet."""
    place: int
    score: tuple[float, float | None] | None
    """The score with its standard error; None: it has no score."""
    unit: str
    """Unit of the score."""
    taken: str
    label: str
    """Label of its mark; empty: it has none."""
    letter: str = ""
    """Its letter in the series' reasoning; empty: the reasoning does not mention it."""
    mark: str = ""
    """The mark in words; empty: it has none."""
    standing: str | None = None
    """Its comparison with the best picture, in words; None: its score is shown instead."""


def figure(picture: SheetPicture) -> str:
    """Return one picture with its caption."""
    name = escape(picture.name, quote=True)
    try:
        letter = f"<b aria-hidden=true>{picture.letter}</b>" if picture.letter else ""
        alt = f"{picture.letter}: {name}" if picture.letter else name
        image = f'<img src="{_thumbnail(picture.path)}" alt="{alt}" loading="lazy">{letter}'
        image = f'<a href="{escape(picture.link, quote=True)}">{image}</a>'
    except ImageError as error:  # it was readable when the series was ranked
        image = f"<p class=bad>{escape(str(error))}</p>"
    lines = [f"<b>{picture.place}.</b> {name}" if picture.score is not None else name]
    if picture.mark:
        lines.append(f"<span class=mark>{escape(picture.mark)}</span>")
    if picture.standing is not None:
        lines += [f"<span class=quiet>{escape(picture.standing)}</span>"] if picture.standing else []
    elif picture.score is not None:
        value, error_of_it = picture.score
        spread = "" if error_of_it is None else f" ± {error_of_it:.2f}"
        lines.append(f"<span class=quiet>{round(value, 2) + 0.0:+.2f}{spread} {escape(picture.unit)}</span>")
    if picture.taken:
        lines.append(f"<span class=quiet>{escape(picture.taken)}</span>")
    return f"<figure class={picture.label or 'alone'}>{image}<figcaption>{'<br>'.join(lines)}</figcaption></figure>\n"


def foot(
    unreadable: Sequence[tuple[str, str]], passed_over: Sequence[str] = (), page: int = 1, n_pages: int = 1
) -> str:
    """Return a page after its last series.

    Args:
        unreadable: files and folders that could not be read, each with the reason.
        passed_over: files and folders that were not searched, in words.
        page: number of the page, from 1.
        n_pages: number of pages.
    """
    text = links(page, n_pages)
    if unreadable:
        items = "".join(f"<li>{escape(reason)}</li>" for _, reason in unreadable)
        text += f"<section><h2>Could not be read: {len(unreadable)}</h2><ul class=bad>{items}</ul></section>\n"
    if passed_over:
        items = "".join(f"<li>{escape(words)}</li>" for words in passed_over)
        text += f"<section><h2>Not looked at</h2><ul>{items}</ul></section>\n"
    return text + f"</main><script>{_ALL_SCRIPT}</script></body></html>\n"


def _in_words(told: Told) -> str:
    """Return the explanation as HTML."""
    if told.winner is None and told.undecided is None:
        return f"No usable explanation ({escape(told.rationale or '')})."
    facts = []
    if told.probability is not None:
        facts.append(f"{told.probability:.0%} that the best is better than the next one")
    if told.delta is not None:
        facts.append(f"{told.delta:+.1f} points")
    if told.agreement is not None:
        facts.append(told.agreement)
    known = escape(", ".join(facts)) + ". " if facts else ""
    if told.undecided is not None:
        text = f"<b>{escape(told.undecided[:1].upper() + told.undecided[1:])}.</b> {known}"
    elif told.winner == "tie":
        text = f"<b>{NO_DIFFERENCE}.</b> {known}"
    else:
        text = f"<b>{known.rstrip()}</b> " if known else ""
    if told.winner == "B":
        text += "Asked for reasons, the model prefers the next one. "
    if told.rationale is not None:
        a, b = told.letters
        text += f"{_reasons(told.rationale, told.claims)} <span class=quiet>(A is {a}, B is {b}.)</span>"
    if told.claims_summary is not None:
        text += f" <span>Held against the pictures: {escape(told.claims_summary)}.</span>"
    notes = (escape(note[:1].upper() + note[1:]) for note in told.notes)
    return text + "".join(f" <span class=quiet>{note}.</span>" for note in notes)


def _reasons(text: str, claims: Claims | None) -> str:
    """Return the reasoning as HTML, contradicted statements marked."""
    return "".join(
        f"<mark title='contradicted by what was measured'>{escape(piece)}</mark> [contradicted]"
        if status == "contradicted"
        else escape(piece)
        for piece, status in marked(text, claims)
    )


def _sides(told: Told) -> str:
    """Return a bar with two sides: how probable it is that the best one, or the next one, is better."""
    if told.probability is None or (told.winner is None and told.undecided is None):
        return ""
    best, other = _letters(told)
    share = told.probability
    return (
        f"<p class=sides><span><b class=letter>{best}</b> {share:.0%}</span>"
        f'<meter value={share:.3f} aria-label="how probable it is that {best} is better"></meter>'
        f"<span>{1 - share:.0%} <b class=letter>{other}</b></span></p>"
    )


def _letters(told: Told) -> tuple[str, str]:
    """Return the letters of the best one and of the next one."""
    return ("A", "B") if told.letters[0] == "the best" else ("B", "A")


def _table(told: Told) -> str:
    """Return the measurements of the best picture and the next one, with bars to both sides."""
    if not told.measured:
        return ""
    text = "<table class=measured><caption>Measured by redaes</caption><thead><tr><th scope=col>quantity"
    for letter, which, side in zip(_letters(told), ("the best", "the next one"), (" class=left", ""), strict=True):
        text += f"<th scope=col{side}>{letter}, {which}"
    text += "<th scope=col><span class=quiet>reasoning</span></thead><tbody>"
    for row in told.measured:
        shown = [escape(row.shown(value)) for value in (row.first, row.second)]
        first, second = (f"<meter value={share:.3f} aria-hidden=true></meter>" for share in row.shares())
        remark = "contradicted" if row.status == "contradicted" else ""
        text += f"<tr><th scope=row>{escape(row.name)}<td class=left>{shown[0]}{first}<td>{second}{shown[1]}"
        text += f"<td class=bad>{remark}</tr>"
    return text + "</tbody></table>"


def _thumbnail(path: Path) -> str:
    """Return the picture as a ``data:`` URL of few bytes."""
    pixels = THUMBNAIL_PIXELS
    image = load_image(path, max_pixels=pixels).image
    while True:
        for quality in (75, 60, 45, 30):
            data = jpeg_bytes(image, quality)
            if len(data) <= MAX_THUMBNAIL_BYTES:
                return jpeg_url(data)
        pixels //= 2
        image = image.resize(fit_area(image.size, pixels))
