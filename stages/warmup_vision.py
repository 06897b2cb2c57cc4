"""The embedded model's first warm-up: its vision tower by itself.

    accelerate launch stages/warmup_vision.py --model runs/nano_random --data pairs --output_dir runs/nano_vision

The same as ``redaes train nano-vision``.
"""

import sys

from redaes.cli.running import reporting_errors
from redaes.cli.train import run_stage

if __name__ == "__main__":
    with reporting_errors():
        run_stage("nano-vision", sys.argv[1:])
