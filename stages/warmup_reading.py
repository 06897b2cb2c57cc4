"""The embedded model's second warm-up: it learns to look at both pictures and to write.

    accelerate launch stages/warmup_reading.py --model runs/nano_vision/final --data pairs --output_dir runs/nano_read

The same as ``redaes train nano-reading``.
"""

import sys

from redaes.cli.running import reporting_errors
from redaes.cli.train import run_stage

if __name__ == "__main__":
    with reporting_errors():
        run_stage("nano-reading", sys.argv[1:])
