"""The best shot of a burst, with how sure that is, and why it is better than the runner-up.

    python examples/best_of_burst.py BURST/*.jpg

Few pairs are asked, in both orders; a picture that cannot be read is named and left out.
"""

import sys
from pathlib import Path

from redaes import Assessor, ImageError, load_image


def main(files: list[str], seed: int = 0) -> str:
    """Rank the files, print the order, and return the best one."""
    pictures = []
    for file in files:
        try:
            load_image(file)
        except ImageError as error:
            print(f"left out: {error}", file=sys.stderr)
        else:
            pictures.append(file)
    assessor = Assessor()
    ranked = assessor.rank(pictures, mode="fast", seed=seed)  # no reason is used for an order
    for place, (index, name) in enumerate(zip(ranked.indices, ranked.order, strict=True), 1):
        strength, error = ranked.scores[name], ranked.errors[name]
        print(f"{place:3}  {Path(pictures[index]).name}  {strength:+.2f} +/- {error:.2f} logits")
    best, second = (pictures[index] for index in ranked.indices[:2])
    print(assessor.compare(best, second))
    return best


if __name__ == "__main__":
    main(sys.argv[1:])
