"""What a model folder makes of two pictures: ``forward_pass.py FOLDER OUT.npz``, in whatever transformers is there.

Stands alone: it is also run by environments that have another transformers and no redaes.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image

SHIM = Path(__file__).parents[2] / "redaes" / "torchvision_compat.py"
TEXT = (
    "<|im_start|>user\n<|vision_start|><|image_pad|><|vision_end|> or <|vision_start|><|image_pad|><|vision_end|>?"
    "<|im_end|>\n<|im_start|>assistant\nWinner:"
)


def forward_pass(folder: Path) -> dict[str, np.ndarray]:
    """Token ids, patches, their grids, the rendering of a chat, and the logits after the text, of two pictures."""
    spec = importlib.util.spec_from_file_location("torchvision_compat", SHIM)
    shim = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(shim)
    shim.make_torchvision_importable()
    import transformers
    from transformers import AutoModelForImageTextToText, AutoProcessor

    processor = AutoProcessor.from_pretrained(folder)
    model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32).eval()
    rng = np.random.default_rng(0)
    pictures = [Image.fromarray(rng.integers(0, 256, (90, 140, 3), dtype=np.uint8)) for _ in range(2)]
    inputs = processor(text=[TEXT], images=[pictures], return_tensors="pt")
    with torch.no_grad():
        logits = model(**inputs).logits[0, -1]
    chat = [{"role": "user", "content": [{"type": "text", "text": "Which?"}, {"type": "image"}]}]
    return {
        "version": np.array(transformers.__version__),
        "chat": np.array(processor.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)),
        "input_ids": inputs["input_ids"].numpy(),
        "pixel_values": inputs["pixel_values"].numpy(),
        "image_grid_thw": inputs["image_grid_thw"].numpy(),
        "logits": logits.numpy(),
    }


if __name__ == "__main__":
    np.savez(sys.argv[2], **forward_pass(Path(sys.argv[1])))
