"""FGAesQ: train the fine-grained series ranker.

    accelerate launch stages/fgaesq.py                             # a tiny CLIP on series made from sample photographs
    accelerate launch stages/fgaesq.py --config vit_b_16 --clip DIR --series S --coarse C

The same as ``redaes train fgaesq``.
"""

from redaes.cli import main

if __name__ == "__main__":
    main("train", "fgaesq")
