"""How well critiques are read: the table of docs/claims.md.

    python benchmarks/claims_reading.py

The texts, and the claims that they make, are those of tests/unit/claims_sentences.py. A few seconds on one core.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    """Prints precision and recall for each group of texts, and the time that a rationale takes."""
    sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "unit")]
    from redaes.evidence.extraction import extract
    from tests.unit import claims_sentences as texts
    from tests.unit.claims_scoring import scores

    groups = {
        "300 sentences": texts.SENTENCES,
        "- 200 to tune on": texts.GOLD_TUNING,
        "- 100 held out": texts.GOLD_HELD_OUT,
        "80 further sentences": texts.FRESH,
        "60 after those": texts.AFRESH,
        "20 paragraphs": texts.PARAGRAPHS,
    }
    print("| texts | precision | recall |\n|---|---|---|")
    for name, group in groups.items():
        precision, recall = scores(group)
        print(f"| {name} | {precision:.3f} | {recall:.3f} |")
    everything = [text for group in groups.values() for text, _ in group]
    begin = time.perf_counter()
    for text in everything:
        extract(text)
    print(f"\n{1000 * (time.perf_counter() - begin) / len(everything):.2f} ms a text")


if __name__ == "__main__":
    main()
