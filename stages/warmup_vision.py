"""First warm-up of the embedded model: train its vision tower alone.

    accelerate launch stages/warmup_vision.py --model runs/nano_random --data pairs --output_dir runs/nano_vision

The same as ``redaes train nano-vision``.
"""

from redaes.cli import main

if __name__ == "__main__":
    main("train", "nano-vision")
