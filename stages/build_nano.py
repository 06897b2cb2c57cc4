"""Build the embedded model with random weights, its tokenizer trained on a RED dataset's texts.

    python stages/build_nano.py --data my_pairs --out runs/nano_random

The same as ``redaes train nano-build``.
"""

from redaes.cli import main

if __name__ == "__main__":
    main("train", "nano-build")
