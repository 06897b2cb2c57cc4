"""Stage 2: relative-pair alignment.

    accelerate launch stages/stage2_align.py                                # embedded model, sample photographs
    accelerate launch stages/stage2_align.py --adapter runs/stage1/final --data my_pairs --output_dir runs/stage2
    accelerate launch stages/stage2_align.py --objective dpo --adapter runs/stage1/final --data my_pairs

The same as ``redaes train align``.
"""

import sys

from redaes.cli.running import reporting_errors
from redaes.cli.train import run_stage

if __name__ == "__main__":
    with reporting_errors():
        run_stage("align", sys.argv[1:])
