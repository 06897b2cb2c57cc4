"""The picture at the head of README.md: two photographs, the verdict, and the statements held against the pixels.

    python release/verdict_picture.py docs/verdict.svg

Everything in it is what `redaes compare rocket.jpg rocket-tinted.jpg --json` answers with the embedded model; both
photographs are among the reference photographs of the package. Run it again when the weights change.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import subprocess
import sys
import textwrap
from html import escape
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from PIL import Image

NAMES = ("rocket.jpg", "rocket-tinted.jpg")
WIDTH, MARGIN, GAP = 660, 18, 12
SIDE = (WIDTH - 2 * MARGIN - GAP) // 2
MARKS = {"supported": ("yes", "✓ confirmed"), "contradicted": ("no", "✗ contradicted")}
STYLE = """
  text { font: 15px ui-sans-serif, system-ui, "Segoe UI", Helvetica, Arial, sans-serif; fill: #1f2328; }
  .card { fill: #f6f8fa; stroke: #d1d9e0; } .head { font-size: 21px; font-weight: 600; } .dim { fill: #59636e; }
  .quote { font-style: italic; }
  .yes { fill: #116329; font-weight: 600; } .no { fill: #a40e26; font-weight: 600; }
  .tag { fill: #1f2328; } .on { fill: #ffffff; font-weight: 600; }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc; } .card { fill: #151b23; stroke: #3d444d; } .dim { fill: #9198a1; }
    .yes { fill: #56d364; } .no { fill: #ff8182; }
  }
"""


def answer() -> dict[str, Any]:
    """What the command says of the two photographs, as its JSON object."""
    command = [sys.executable, "-m", "redaes", "compare", *(str(photograph(name)) for name in NAMES), "--json"]
    found: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return found


def photograph(name: str) -> Path:
    """A photograph of the package, found without importing what reads pictures."""
    spec = find_spec("redaes")
    if spec is None or spec.origin is None:
        raise SystemExit("redaes is not installed here")
    return Path(spec.origin).parent / "reference_photographs" / name


def lines_of(found: dict[str, Any]) -> list[tuple[str, str]]:
    """The lines under the photographs, each with the class of its style."""
    better = NAMES["AB".index(found["winner"])] if found["winner"] else None
    said = [("head", f"{better} is better" if better else "undecided")]
    if better:
        said.append(("", f"by {abs(found['delta']):.1f} points of 9, with a probability of {found['probability']:.0%}"))
    said += [("quote", line) for line in textwrap.wrap(f"“{found['rationale']}”", 78)]
    for one in found["claims"]["checked"]:
        style, word = MARKS.get(one["status"], ("dim", "? not to be measured"))
        said.append((style, f"{word}: “{one['claim']['text']}”"))
        if one["status"] == "contradicted":
            row = next(row for row in found["measured"] if row["quantity"] == one["claim"]["quantity"])
            said.append(("dim", f"      measured instead: {_measured(row)}"))
    said += [("dim", f"also measured: {_measured(row)}") for row in found["measured"] if row["status"] is None][:1]
    return said


def _measured(row: dict[str, Any]) -> str:
    first, second = (f"{row[side]:.{row['digits']}f} {row['unit']}".replace("-", "−") for side in ("first", "second"))
    return f"{row['name']} {first} in A, {second} in B"


def picture(found: dict[str, Any]) -> str:
    """The SVG of an answer: the photographs side by side, the lines under them."""
    sizes = [Image.open(photograph(name)).size for name in NAMES]
    height = max(round(SIDE * h / w) for w, h in sizes)
    lines = lines_of(found)
    bottom = MARGIN + height + 44 + 25 * (len(lines) - 1) + MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{bottom}" viewBox="0 0 {WIDTH} {bottom}" '
        'role="img" aria-labelledby="t d">',
        f'<title id="t">{escape(lines[0][1])}</title>',
        f'<desc id="d">A is {NAMES[0]}, B is {NAMES[1]}. {escape("; ".join(text.strip() for _, text in lines))}</desc>',
        f"<style>{STYLE}</style>",
        f'<rect class="card" x="1" y="1" width="{WIDTH - 2}" height="{bottom - 2}" rx="10"/>',
    ]
    for place, name in enumerate(NAMES):
        x = MARGIN + place * (SIDE + GAP)
        letter = f"{'AB'[place]} · {name}"
        parts += [
            f'<image x="{x}" y="{MARGIN}" width="{SIDE}" height="{height}" preserveAspectRatio="xMidYMid slice" '
            f'href="data:image/jpeg;base64,{_jpeg(name)}"/>',
            f'<rect class="tag" x="{x + 8}" y="{MARGIN + 8}" width="{8 * len(letter) + 18}" height="26" rx="5" '
            'opacity=".8"/>',
            f'<text class="on" style="fill:#fff" x="{x + 15}" y="{MARGIN + 26}">{letter}</text>',
        ]
    y = MARGIN + height + 34
    for style, text in lines:
        parts.append(f'<text class="{style}" x="{MARGIN}" y="{y}" xml:space="preserve">{escape(text)}</text>')
        y += 25
    return "\n".join([*parts, "</svg>\n"])


def _jpeg(name: str) -> str:
    with Image.open(photograph(name)) as image:
        image.thumbnail((512, 512))
        held = io.BytesIO()
        image.convert("RGB").save(held, "JPEG", quality=82, optimize=True)
    return base64.b64encode(held.getvalue()).decode()


def main() -> int:
    """Ask, and write the picture; the exit status."""
    parser = argparse.ArgumentParser(description=textwrap.dedent(__doc__ or "").partition("\n")[0])
    parser.add_argument("out", type=Path, help="the SVG file to write")
    out: Path = parser.parse_args().out
    out.write_text(picture(answer()), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
