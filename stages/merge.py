"""Merge a stage's LoRA into its base model.

    python stages/merge.py runs/stage3/final --out runs/merged

The same as ``redaes train merge``.
"""

from redaes.cli.running import run_alone
from redaes.cli.train import merge

if __name__ == "__main__":
    run_alone(merge)
