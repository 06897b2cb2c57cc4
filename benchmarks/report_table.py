"""What a report's table of pairs costs a browser: loading, sorting and filtering, in seconds that its page is at work.

    python benchmarks/report_table.py [--rows 2000] [--work runs/report_table]

Needs Playwright and a Chromium (extra ``browser``). The pictures are made up, noise over soft colours, 150 x 112 as a
report of many pairs has them. The seconds are Chromium's own count of the time its main thread was busy with tasks
(``TaskDuration``), with which a busy machine still interferes.
"""

from __future__ import annotations

import argparse
import os
import shutil
from pathlib import Path

import numpy as np
from PIL import Image

from redaes.html_pages import jpeg_bytes, jpeg_url, page_template
from redaes.viewer.pair_table import PairPicture, PairRow, Statement, pair_table

FACTORS = ("light", "noise", "focus", "colour")
TEXT = (
    ("B suffers from ", None),
    ("strong speckling by hot and dead pixels", "contradicted"),
    (". A looks ", None),
    ("richer in fine detail", "supported"),
    (". So A is far the better picture.", None),
)
STATEMENT = Statement("richer in fine detail", "supported", "measured fine detail 2 in A, 1 in B")
STEPS = {
    "right verdict, wrong reason": "document.querySelector('#pair-filters [data-set]').click()",
    "sort what is left by label": "document.querySelector('#pair-table [data-key=label] button').click()",
    "show all": "document.querySelector('#pair-filters [type=reset]').click()",
    "sort all by reasons": "document.querySelector('#pair-table [data-key=reasons] button').click()",
}


def write_page(file: Path, n_rows: int) -> None:
    """Write a report with so many made-up pairs."""
    rng = np.random.default_rng(0)

    def picture(name: str) -> PairPicture:
        soft = Image.fromarray(rng.integers(0, 256, (9, 12, 3), dtype=np.uint8)).resize((150, 112))
        noisy = np.asarray(soft).astype(float) + rng.normal(0, 8, (112, 150, 1))
        return PairPicture(name, jpeg_url(jpeg_bytes(Image.fromarray(noisy.clip(0, 255).astype(np.uint8)), 60)))

    rows = [
        PairRow(
            id=str(number),
            pictures=(picture("no edit"), picture("noise, strength 0.50")),
            factor=FACTORS[number % 4],
            better="A",
            label=f"A is better by {number % 90 / 10:.1f} points",
            size=number % 90 / 10,
            outcome="wrong" if number % 3 == 0 else "right",
            verdict="A is better",
            truth=("true", "false", "partly")[number % 3],
            text=TEXT,
            counts=(1, number % 3, 0),
            statements=[STATEMENT] * 3,
            measured=[("noise, L*", "1.0", "2.0")] * 4,
        )
        for number in range(n_rows)
    ]
    known = page_template("redaes.datagen", "inspect.html.j2", extra="demo").globals
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(
        f'<!doctype html><html lang="en"><meta charset="utf-8"><style>{known["report_style"]}</style>'
        f"<main>{pair_table(rows)}</main><script>{known['report_script']}</script>",
        encoding="utf-8",
    )


def main() -> None:
    """Write a page, open it, and print what each step takes."""
    from playwright.sync_api import CDPSession, sync_playwright

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--work", type=Path, default=Path("runs/report_table"))
    arguments = parser.parse_args()
    file = arguments.work / "report.html"
    write_page(file, arguments.rows)
    print(f"{arguments.rows} rows: {file.stat().st_size / 1e6:.1f} MB")

    def busy(session: CDPSession) -> float:
        measured = session.send("Performance.getMetrics")["metrics"]
        return float(next(one["value"] for one in measured if one["name"] == "TaskDuration"))

    with sync_playwright() as playwright:
        program = os.environ.get("REDAES_CHROMIUM") or shutil.which("chromium")
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        for width in (1280, 390):
            page = browser.new_page(viewport={"width": width, "height": 900})
            session = page.context.new_cdp_session(page)
            session.send("Performance.enable")
            page.goto(file.absolute().as_uri())
            print(f"{width} px wide: load {busy(session):.2f} s", end="")
            for name, script in STEPS.items():
                before = busy(session)
                page.evaluate(script)
                page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
                print(f"; {name} {busy(session) - before:.2f} s", end="", flush=True)
            print()
            page.close()
        browser.close()


if __name__ == "__main__":
    main()
