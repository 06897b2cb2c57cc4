"""How often a model agrees with judgements that you have, pair by pair.

    python examples/judge_agreement.py PAIRS.csv

The list has the columns first, second (files, relative to it) and winner (first or second). A pair without a usable
answer, or undecided, is counted as wrong and told apart. `redaes data import` and `redaes eval red` do the same for
large lists, with splits, ties and a report.
"""

import csv
import sys
from collections import Counter
from pathlib import Path

from redaes import Assessor, ImageError

POSITION = {"A": "first", "B": "second"}


def main(file: str) -> Counter[str]:
    """Print the agreement, and return how many pairs came out how."""
    folder = Path(file).parent
    with Path(file).open(newline="", encoding="utf-8-sig") as lines:
        rows = list(csv.DictReader(lines))
    assessor = Assessor(mode="fast")
    outcomes = Counter[str]()
    for row in rows:
        try:
            result = assessor.compare(folder / row["first"], folder / row["second"])
        except ImageError as error:
            outcomes["unreadable"] += 1
            print(f"left out: {error}", file=sys.stderr)
            continue
        if result.failure is not None:
            outcomes["failed"] += 1
        elif result.winner is None:
            outcomes["undecided"] += 1
        else:
            outcomes["agrees" if POSITION.get(result.winner) == row["winner"] else "differs"] += 1
    asked = outcomes.total() - outcomes["unreadable"]
    if asked:
        share = outcomes["agrees"] / asked
        error = (share * (1 - share) / asked) ** 0.5
        print(f"agrees in {outcomes['agrees']} of {asked} pairs ({share:.0%}, standard error {error:.0%})")
    print(dict(outcomes))
    return outcomes


if __name__ == "__main__":
    main(sys.argv[1])
