"""FGAesQ: train the fine-grained series ranker.

    accelerate launch stages/fgaesq.py                             # a tiny CLIP on series made from sample photographs
    accelerate launch stages/fgaesq.py --config vit_b_16 --clip DIR --series S --coarse C

The same as ``redaes train fgaesq``.
"""

import sys

from redaes.cli.running import reporting_errors
from redaes.cli.train import run_stage

if __name__ == "__main__":
    with reporting_errors():
        run_stage("fgaesq", sys.argv[1:])
