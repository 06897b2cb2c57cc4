"""Fit how far a model's probabilities can be believed. The same as ``redaes eval calibrate``.

python eval/calibrate.py other_edits --model redaes/nano --out runs/calibration
python eval/calibrate.py other_edits --adapter runs/stage3/final --write
"""

from redaes.cli import main

if __name__ == "__main__":
    main("eval", "calibrate")
