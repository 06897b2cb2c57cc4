"""TRL's GRPOTrainer with the assessor as its reward: the policy writes a text, and a picture is painted from it.

    python examples/reward_trl.py

The policy is a Qwen2 of random weights, the picture its letters as grey levels: what counts is how the parts fit.
"""

import sys
import tempfile
from typing import Any

import datasets
import numpy as np
from PIL import Image

from redaes import Assessor  # before transformers: beside a CPU build of torch, torchvision loads by its import only
from redaes.backends.local import LocalBackend
from redaes.models.nano.builder import train_tokenizer
from redaes.rewards import as_reward

# isort: split
from transformers import Qwen2Config, Qwen2ForCausalLM
from trl import GRPOConfig, GRPOTrainer

PROMPTS = ["Paint a lake:", "Paint a cup:"]


def painted(completion: str, **_: Any) -> Image.Image:
    """8 x 8 grey levels, enlarged."""
    levels = np.frombuffer(completion.encode()[:64].ljust(64), np.uint8).reshape(8, 8)
    return Image.fromarray(levels).resize((64, 64))


def main(output_dir: str, steps: int = 4) -> list[dict[str, float]]:
    """Train, and return what was logged."""
    tokenizer = train_tokenizer(PROMPTS, 320, chat_template="")
    size = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    policy = Qwen2ForCausalLM(Qwen2Config(vocab_size=len(tokenizer), num_key_value_heads=2, **size))
    reward = as_reward(Assessor(LocalBackend(), mode="fast"), pictures=painted, group_size=4)
    config = GRPOConfig(
        output_dir, num_generations=4, per_device_train_batch_size=8, max_completion_length=32, max_steps=steps,
        logging_steps=1, use_cpu=True, bf16=False, gradient_checkpointing=False, save_strategy="no", report_to="none",
        disable_tqdm=True,
    )  # fmt: skip
    rows = datasets.Dataset.from_dict({"prompt": PROMPTS})
    trainer = GRPOTrainer(policy, reward, config, train_dataset=rows, processing_class=tokenizer)
    trainer.train()
    print(reward.report())
    return trainer.state.log_history


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        main(sys.argv[1] if sys.argv[1:] else folder)
