"""Stage 1: supervised fine-tuning on edit-induced pairs.

    accelerate launch stages/stage1_sft.py                                  # embedded model, sample photographs
    accelerate launch stages/stage1_sft.py --config nano --data my_pairs

The same as ``redaes train sft``.
"""

from redaes.cli import main

if __name__ == "__main__":
    main("train", "sft")
