"""Check a stage's result: it loads as it was trained, merges without change, and still has language.

    python stages/check.py runs/stage2/final --data my_pairs

The same as ``redaes train check``.
"""

from redaes.cli import main

if __name__ == "__main__":
    main("train", "check")
