"""What a model folder makes of two pictures, in any transformers: ``forward_pass.py FOLDER OUT.npz [COPY]``.

Stands alone: it is also run by environments that have another transformers and no redaes. An adapter's folder is asked
for its processor alone; COPY is where to save what was loaded, as that version writes it.
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
CHAT = [{"role": "user", "content": [{"type": "text", "text": "Which?"}, {"type": "image"}]}]


def forward_pass(folder: Path, copy: Path | None = None) -> dict[str, np.ndarray]:
    """Token ids, patches, their grids, a chat as it is rendered, and the logits after the text."""
    spec = importlib.util.spec_from_file_location("torchvision_compat", SHIM)
    shim = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(shim)
    shim.make_torchvision_importable()
    import transformers
    from transformers import AutoModelForImageTextToText, AutoProcessor

    processor = AutoProcessor.from_pretrained(folder)
    rng = np.random.default_rng(0)
    pictures = [Image.fromarray(rng.integers(0, 256, (90, 140, 3), dtype=np.uint8)) for _ in range(2)]
    inputs = processor(text=[TEXT], images=[pictures], return_tensors="pt")
    found = {
        "version": np.array(transformers.__version__),
        "chat": np.array(processor.apply_chat_template(CHAT, add_generation_prompt=True, tokenize=False)),
        **{name: inputs[name].numpy() for name in ("input_ids", "pixel_values", "image_grid_thw")},
    }
    if (folder / "config.json").is_file():
        model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32).eval()
        with torch.no_grad():
            found["logits"] = model(**inputs).logits[0, -1].numpy()
        if copy is not None:
            model.save_pretrained(copy)
            processor.save_pretrained(copy)
    return found


if __name__ == "__main__":
    np.savez(sys.argv[2], **forward_pass(*(Path(argument) for argument in [sys.argv[1], *sys.argv[3:]])))
