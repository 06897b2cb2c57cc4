"""Merge a stage's LoRA into its base model.

    python stages/merge.py runs/stage3/final --out runs/merged

The same as ``redaes train merge``.
"""

from redaes.cli import main

if __name__ == "__main__":
    main("train", "merge")
