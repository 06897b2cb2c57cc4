"""Of pictures that a generator made, those that are better than what you would accept.

    python examples/filter_generated.py ACCEPTED_FOLDER GENERATED_FOLDER

ACCEPTED_FOLDER holds pictures that are just good enough. They are ranked once; each generated picture is then scored
against them, and kept if even its score less one standard error is above their middle. What cannot be read or gets no
usable answer is named, and is not kept.
"""

import sys
from pathlib import Path

from redaes import Assessor, ImageError, ParseError

MIDDLE = 4.5  # points: a picture as good as the mean of the reference set


def main(accepted: str, generated: str) -> list[str]:
    """Print a line for each generated picture, and return the names of those that are kept."""
    assessor = Assessor(mode="fast")
    references = assessor.reference_set("accepted", sorted(Path(accepted).iterdir()))
    kept, failed = [], 0
    for file in sorted(Path(generated).iterdir()):
        try:
            score = assessor.score(file, references)
        except (ImageError, ParseError) as error:
            failed += 1
            print(f"fails  {file.name}: {error}")
            continue
        good = score.score - score.error > MIDDLE
        print(f"{'keep ' if good else 'drop '}  {file.name}  {score.score:.1f} +/- {score.error:.1f} points")
        if good:
            kept.append(file.name)
    print(f"{len(kept)} kept, {failed} without an answer; by {references.model}")
    return kept


if __name__ == "__main__":
    main(*sys.argv[1:3])
