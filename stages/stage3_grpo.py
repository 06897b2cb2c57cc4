"""Stage 3: GRPO with the ranking-consistency reward.

    accelerate launch stages/stage3_grpo.py                                 # embedded model, sample photographs
    accelerate launch stages/stage3_grpo.py --adapter runs/stage2/final --data my_pairs --output_dir runs/stage3

The same as ``redaes train grpo``.
"""

from redaes.cli import main

if __name__ == "__main__":
    main("train", "grpo")
