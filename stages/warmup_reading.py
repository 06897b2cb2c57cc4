"""Second warm-up of the embedded model: train it to look at both pictures and to write.

    accelerate launch stages/warmup_reading.py --model runs/nano_vision/final --data pairs --output_dir runs/nano_read

The same as ``redaes train nano-reading``.
"""

from redaes.cli import main

if __name__ == "__main__":
    main("train", "nano-reading")
