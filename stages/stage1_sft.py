"""Stage 1: supervised fine-tuning on edit-induced pairs.

    accelerate launch stages/stage1_sft.py                                  # embedded model, sample photographs
    accelerate launch stages/stage1_sft.py --config nano --data my_pairs

The same as ``redaes train sft``.
"""

import sys

from redaes.cli.running import reporting_errors
from redaes.cli.train import run_stage

if __name__ == "__main__":
    with reporting_errors():
        run_stage("sft", sys.argv[1:])
