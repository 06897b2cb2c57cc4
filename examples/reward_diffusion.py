"""Train a tiny diffusion pipeline by policy gradients on what an assessor thinks of its pictures.

    python examples/reward_diffusion.py                   # a judge that likes red: half a minute of one core
    python examples/reward_diffusion.py --judge nano      # redaes/nano, which has never seen such pictures

The denoising steps of a diffusion model with a random part (DDIM, eta 1) are actions of a Gaussian policy, so their
probabilities can be made larger where the picture was liked (as DDPO does). For each prompt a group of pictures is
drawn; they meet each other in a tournament, and their win rates, less the group's mean and over its spread, are the
advantages. A tournament's mean is 0.5 whatever is drawn, so what is learned is measured apart: by the win rate, against
pictures of the untrained pipeline, of pictures from noise that was not trained on.

The pipeline is a DeepFloyd IF of random weights, 8 x 8 pixels: it draws blotches. Figures are in docs/rewards.md.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from redaes import Assessor
from redaes.backends.base import BatchBackend, Request
from redaes.backends.local import LocalBackend
from redaes.errors import BackendError
from redaes.images import content_id
from redaes.rewards import as_reward
from redaes.types import ImageRef, Sampling

PROMPTS = ("a red cup", "a lake at dawn")
DENOISING_STEPS = 4
SIDE, SHOWN = 8, 64  # of a picture, in pixels, as drawn and as enlarged for the judge


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=60, help="updates of the denoiser")
    parser.add_argument("--group", type=int, default=12, help="pictures drawn for each prompt")
    parser.add_argument("--evaluated", type=int, default=8, help="pictures of each prompt in the measurement")
    parser.add_argument("--judge", choices=("red", "nano"), default="red", help="a rule that likes red, or redaes/nano")
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


class LikesRed(BatchBackend):
    """A judge of known taste in the place of a model, to see whether the loop climbs where the aim is plain."""

    model, revision = "likes-red", "1"

    def read(self, requests: Sequence[Request], choices: Sequence[str]) -> NDArray[np.float64]:
        """Log-odds of A: ten times how much redder it is than B, in [-10, 10]."""
        shown = [[np.asarray(image, dtype=np.float64).mean((0, 1)) / 255 for image in r.pixels] for r in requests]
        odds = [10 * (a[0] - a[1:].mean() - b[0] + b[1:].mean()) / 2 for a, b in shown]
        return np.array([(-np.logaddexp(0, -odd), -np.logaddexp(0, odd), -99.0) for odd in odds])

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[str]:
        raise BackendError("likes-red writes no reasons; ask it in the fast mode")


def text_to_image() -> Any:
    """The DeepFloyd IF that is trained; its weights follow torch's global seed."""
    from diffusers import DDIMScheduler, IFPipeline, UNet2DConditionModel
    from transformers import T5Config, T5EncoderModel, T5Tokenizer

    pieces = ["<pad>", "</s>", "<unk>", "▁", *"abcdefghijklmnopqrstuvwxyz0123456789,.;-"]
    encoder = T5Config(vocab_size=64, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2, pad_token_id=0)
    return IFPipeline(
        tokenizer=T5Tokenizer(vocab=[(piece, -1.0) for piece in pieces], extra_ids=0, model_max_length=512),
        text_encoder=T5EncoderModel(encoder),
        unet=UNet2DConditionModel(
            block_out_channels=(16, 16), layers_per_block=1, cross_attention_dim=16, attention_head_dim=2,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), norm_num_groups=2, in_channels=3, out_channels=3,
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        ),
        scheduler=DDIMScheduler(prediction_type="v_prediction", clip_sample=False, set_alpha_to_one=False),
        safety_checker=None,
        feature_extractor=None,
        watermarker=None,
        requires_safety_checker=False,
    )  # fmt: skip


def denoised(pipeline: Any, step: int, noisy: Tensor, text: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (N, 3, S, S) and standard deviation () of what a step leaves: DDIM with eta 1."""
    scheduler = pipeline.scheduler
    now = int(scheduler.timesteps[step])
    before = now - scheduler.config.num_train_timesteps // DENOISING_STEPS
    kept, kept_before = scheduler.alphas_cumprod[now], scheduler.alphas_cumprod[max(0, before)]
    v = pipeline.unet(noisy, now, encoder_hidden_states=text).sample
    clean, noise = kept.sqrt() * noisy - (1 - kept).sqrt() * v, kept.sqrt() * v + (1 - kept).sqrt() * noisy
    variance = (1 - kept_before) / (1 - kept) * (1 - kept / kept_before)
    return kept_before.sqrt() * clean + (1 - kept_before - variance).clamp(min=0).sqrt() * noise, variance.sqrt()


@torch.no_grad()
def drawn(pipeline: Any, text: Tensor, seed: int) -> tuple[Tensor, list[Tensor]]:
    """Pictures (N, 3, H, W) in [0, 1] as the judge sees them, and what was there before and after each step."""
    generator = torch.Generator().manual_seed(seed)
    path = [torch.randn(len(text), 3, SIDE, SIDE, generator=generator)]
    for step in range(DENOISING_STEPS):
        mean, spread = denoised(pipeline, step, path[-1], text)
        path.append(mean + spread * torch.randn(mean.shape, generator=generator))
    pictures = torch.nn.functional.interpolate(path[-1], (SHOWN, SHOWN), mode="bicubic", antialias=True)
    return (pictures / 2 + 0.5).clamp(0, 1), path


def update(pipeline: Any, optimizer: Any, text: Tensor, path: list[Tensor], advantages: Tensor) -> None:
    """One step up the expected reward: the log-probability of each denoising step, times the picture's advantage."""
    optimizer.zero_grad()
    for step in range(DENOISING_STEPS):
        mean, spread = denoised(pipeline, step, path[step], text)
        if spread == 0:
            continue  # the last step is no choice
        log_probability = torch.distributions.Normal(mean, spread).log_prob(path[step + 1]).mean((1, 2, 3))  # (N,)
        (-(advantages * log_probability).mean() / DENOISING_STEPS).backward()
    torch.nn.utils.clip_grad_norm_(pipeline.unet.parameters(), 1.0)
    optimizer.step()


def main(args: argparse.Namespace) -> tuple[float, float]:
    """Train; print the win rate against the untrained pipeline's pictures, before and after, and return both."""
    torch.manual_seed(args.seed)
    pipeline = text_to_image()
    pipeline.scheduler.set_timesteps(DENOISING_STEPS)
    texts = [pipeline.encode_prompt(prompt, False)[0].detach() for prompt in PROMPTS]  # each (1, 77, 16)
    judge = Assessor(LocalBackend() if args.judge == "nano" else LikesRed(), mode="fast")
    reward = as_reward(judge)
    with tempfile.TemporaryDirectory() as folder:
        references = []
        for number, text in enumerate(texts):
            for position, picture in enumerate(drawn(pipeline, text.expand(4, -1, -1), args.seed + number)[0]):
                file = Path(folder, f"{number}-{position}.png")
                pipeline.numpy_to_pil(picture.permute(1, 2, 0).numpy())[0].save(file)
                references.append(ImageRef(id=content_id(file.read_bytes()), path=file))
        measure = as_reward(judge, references=judge.reference_set("untrained", references))

    def measured() -> list[float]:
        found = []
        for number, text in enumerate(texts):
            pictures, _ = drawn(pipeline, text.expand(args.evaluated, -1, -1), 10_000 + number)
            found += [value for value in measure.values(pictures) if value is not None]
        return found

    before = measured()
    optimizer = torch.optim.Adam(pipeline.unet.parameters(), args.learning_rate)
    for step in range(args.steps):
        spread = []
        for number, text in enumerate(texts):
            several = text.expand(args.group, -1, -1)
            pictures, path = drawn(pipeline, several, args.seed + 1000 * (step + 1) + number)
            values = torch.tensor([float("nan") if value is None else value for value in reward.values(pictures)])
            spread.append(float(values[~values.isnan()].std()))
            advantages = (values - values.nanmean()) / (spread[-1] + 1e-4)
            update(pipeline, optimizer, several, path, advantages.nan_to_num(0.0))  # no value: no say
        if (step + 1) % 10 == 0:
            print(f"step {step + 1}: win rate {fmean(measured()):.3f}, spread in a group {fmean(spread):.3f}")
    after = measured()
    for name, values in (("before", before), ("after", after)):
        error = stdev(values) / len(values) ** 0.5
        print(f"{name}: win rate against the untrained pipeline {fmean(values):.3f} +- {error:.3f} ({len(values)})")
    print(reward.report())
    return fmean(before), fmean(after)


if __name__ == "__main__":
    main(parse_args())
