"""Build the embedded model with random weights, its tokenizer trained on a RED dataset's texts.

    python stages/build_nano.py --data my_pairs --out runs/nano_random

The same as ``redaes train nano-build``.
"""

from redaes.cli.running import run_alone
from redaes.cli.train import nano_build

if __name__ == "__main__":
    run_alone(nano_build)
