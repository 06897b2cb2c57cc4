"""Stage 2: relative-pair alignment.

    accelerate launch stages/stage2_align.py                                # embedded model, sample photographs
    accelerate launch stages/stage2_align.py --adapter runs/stage1/final --data my_pairs --output_dir runs/stage2
    accelerate launch stages/stage2_align.py --objective dpo --adapter runs/stage1/final --data my_pairs

The same as ``redaes train align``.
"""

from redaes.cli import main

if __name__ == "__main__":
    main("train", "align")
