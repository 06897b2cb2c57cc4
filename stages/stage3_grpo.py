"""Stage 3: GRPO with the ranking-consistency reward.

    accelerate launch stages/stage3_grpo.py                                 # embedded model, sample photographs
    accelerate launch stages/stage3_grpo.py --adapter runs/stage2/final --data my_pairs --output_dir runs/stage3

The same as ``redaes train grpo``.
"""

import sys

from redaes.cli.running import reporting_errors
from redaes.cli.train import run_stage

if __name__ == "__main__":
    with reporting_errors():
        run_stage("grpo", sys.argv[1:])
