"""FGAesQ's network: CLIP's visual tower over DiffToken's tokens, and a head that gives scores from 1 to 10."""

from __future__ import annotations

import hashlib
import math
from collections import OrderedDict
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional
from transformers import CLIPConfig, CLIPVisionConfig, CLIPVisionModelWithProjection

from redaes.errors import BackendError, InputError
from redaes.file_writing import read_json, write_json, writing
from redaes.models.fgaesq.losses import N_SCORES
from redaes.models.fgaesq.tokens import PATCH, Grid, TokenBatch, TokenSettings

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
MODEL_TYPE = "fgaesq"

_KEPT_TABLES = 32  # of positions, two for each size of pictures; some 4 MB each
_OFFSET = 0.1  # added to the grid before the position table is stretched to it, as the published code does


@dataclass(frozen=True)
class ModelSettings:
    """The content of a checkpoint's ``config.json``."""

    vision: dict[str, Any]
    """CLIP's vision configuration, ``projection_dim`` included."""
    tokens: TokenSettings = field(default_factory=TokenSettings)
    attend_padding: bool = False
    """The published weights were trained with padding to the budget that the other tokens attend to. True: act as if
    it were there (exactly, by one token with the weight of all); False: padding does not exist."""

    def __post_init__(self) -> None:
        if self.vision.get("patch_size") != PATCH:
            raise InputError(
                f"the CLIP model has patches of {self.vision.get('patch_size')} pixels; give one with {PATCH}"
            )


class FGAesQ(nn.Module):
    """Scores pictures. Features are those of CLIP's joint space, so that differences compare with texts."""

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__()
        self.settings = settings
        self._tables: OrderedDict[tuple[Any, ...], Tensor] = OrderedDict()
        config = CLIPVisionConfig(**settings.vision)
        self.tower = CLIPVisionModelWithProjection(config)
        width = config.hidden_size
        self.scale_embedding = nn.Parameter(torch.randn(2, width) * 0.02)
        self.mask_token = nn.Parameter(torch.zeros(width)) if settings.attend_padding else None
        self.head = nn.Sequential(
            nn.Linear(config.projection_dim, 256), nn.ReLU(), nn.Dropout(0.2),
            nn.Linear(256, 64), nn.ReLU(), nn.Dropout(0.1),
            nn.Linear(64, N_SCORES),
        )  # fmt: skip

    def forward(self, batch: TokenBatch) -> tuple[Tensor, Tensor]:
        """Return features (B, d) and logits (B, 10) over the scores 1 .. 10."""
        features = self.features(batch)
        return features, self.head(features)

    def features(self, batch: TokenBatch) -> Tensor:
        """Return (B, d) in CLIP's joint space, not normalised."""
        vision = self.tower.vision_model
        embeddings = vision.embeddings
        n_views, length = batch.scale.shape
        weight = embeddings.patch_embedding.weight  # (width, 3, 16, 16): a convolution over one patch is a product
        tokens = batch.patches.reshape(n_views, length, -1).to(weight.dtype) @ weight.flatten(1).T
        table = torch.cat([self._positions(grid) for grid in batch.grids])
        tokens = tokens + table[batch.index] + self.scale_embedding[batch.scale]
        first = embeddings.class_embedding + embeddings.position_embedding.weight[0]
        sequence = [first.expand(n_views, 1, -1), tokens]
        bias = self._key_bias(batch)
        if self.mask_token is not None:
            padding = self.mask_token + self.scale_embedding[0]
            sequence.insert(1, padding.expand(n_views, 1, -1))
        hidden = vision.pre_layrnorm(torch.cat(sequence, 1))
        mask = None if bias is None else bias[:, None, None, :].to(hidden.dtype)
        *layers, last = vision.encoder.layers
        for layer in layers:
            hidden = layer(hidden, mask)
        return self.tower.visual_projection(vision.post_layernorm(_class_token(last, hidden, mask)))

    def _positions(self, grid: Grid) -> Tensor:
        """Return (rows * columns, width): CLIP's position table stretched to a grid; kept where nothing is learned."""
        weight = self.tower.vision_model.embeddings.position_embedding.weight
        if not torch.is_inference_mode_enabled():
            return self._stretched(weight, grid)
        key = grid, weight.device, weight.data_ptr(), weight._version  # other weights have other tables
        if key not in self._tables:
            self._tables[key] = self._stretched(weight, grid)
        self._tables.move_to_end(key)
        while len(self._tables) > _KEPT_TABLES:
            self._tables.popitem(last=False)
        return self._tables[key]

    @staticmethod
    def _stretched(weight: Tensor, grid: Grid) -> Tensor:
        table = weight[1:]
        side = math.isqrt(len(table))
        square = table.reshape(1, side, side, -1).permute(0, 3, 1, 2)
        factors = ((grid[0] + _OFFSET) / side, (grid[1] + _OFFSET) / side)
        stretched = functional.interpolate(square, scale_factor=factors, mode="bicubic", align_corners=False)
        return stretched.permute(0, 2, 3, 1).reshape(grid[0] * grid[1], -1)

    def _key_bias(self, batch: TokenBatch) -> Tensor | None:
        """Return (B, 1 [+ 1] + L), added to attention logits: 0 for tokens, -inf for what pads the batch.

        With attended padding, the second place stands for n equal tokens: equal tokens stay equal from layer to
        layer, and n of them count as much in a softmax as one whose logit is larger by log n.
        """
        n_views, length = batch.scale.shape
        absent = torch.arange(length, device=batch.scale.device) >= batch.n_tokens[:, None]
        if self.mask_token is None and not bool(absent.any()):
            return None
        bias = torch.zeros(n_views, length, device=absent.device).masked_fill(absent, -torch.inf)
        heads = [torch.zeros(n_views, 1, device=absent.device)]
        if self.mask_token is not None:
            # The published budget includes the class token.
            n_padding = (self.settings.tokens.budget - 1 - batch.n_tokens).clamp(min=0)
            heads.append(n_padding.float().log()[:, None])
        return torch.cat([*heads, bias], 1)

    def n_parameters(self) -> int:
        """Return the number of parameters."""
        return sum(parameter.numel() for parameter in self.parameters())


def _class_token(layer: Any, hidden: Tensor, mask: Tensor | None) -> Tensor:
    """Return (B, width): a layer's output for the class token. The last layer needs no other outputs."""
    attention = layer.self_attn
    normed = layer.layer_norm1(hidden)  # (B, L, width)

    def heads(values: Tensor) -> Tensor:
        return values.unflatten(-1, (attention.num_heads, attention.head_dim)).transpose(1, 2)

    seen = functional.scaled_dot_product_attention(
        heads(attention.q_proj(normed[:, :1])),
        heads(attention.k_proj(normed)),
        heads(attention.v_proj(normed)),
        attn_mask=mask,
    )
    token = hidden[:, 0] + attention.out_proj(seen.transpose(1, 2).flatten(1))
    return token + layer.mlp(layer.layer_norm2(token))


def from_clip(folder: str | Path, tokens: TokenSettings | None = None, *, seed: int = 0) -> FGAesQ:
    """Return a model with CLIP's visual tower and a fresh head.

    Args:
        folder: a CLIP model in transformers' format, safetensors.
        tokens: None: the published settings.
        seed: of the head and the scale embedding.

    Raises:
        BackendError: no CLIP model there, or not a whole one.
        InputError: its patches are not of 16 pixels.
    """
    folder = Path(folder)
    config = _clip_config(folder)
    vision = {**config.vision_config.to_diff_dict(), "projection_dim": config.projection_dim}
    vision["patch_size"] = config.vision_config.patch_size
    torch.manual_seed(seed)
    model = FGAesQ(ModelSettings(vision, tokens or TokenSettings()))
    wanted = model.tower.state_dict()
    found = {name: value for name, value in _weights(folder / WEIGHTS).items() if name in wanted}
    _load_strictly(model.tower, found, folder)
    return model


def save(model: FGAesQ, folder: str | Path) -> None:
    """Write ``config.json`` and ``model.safetensors``.

    Raises:
        RecordError: the folder cannot be written to.
    """
    folder, settings = Path(folder), model.settings
    weights = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    with writing(folder / WEIGHTS) as temporary:
        save_file(weights, temporary)
    write_json(folder / CONFIG, {"model_type": MODEL_TYPE, **asdict(settings)})


def load(folder: str | Path) -> FGAesQ:
    """Return a saved model, in evaluation mode, every weight from the file.

    Raises:
        BackendError: no FGAesQ model there, or not a whole one.
    """
    folder = Path(folder)
    values = read_json(folder / CONFIG) if (folder / CONFIG).is_file() else {}
    if not isinstance(values, dict) or values.get("model_type") != MODEL_TYPE:
        raise BackendError(f"{folder} holds no FGAesQ model (no {CONFIG} with model_type {MODEL_TYPE!r})")
    try:
        settings = ModelSettings(values["vision"], TokenSettings(**values["tokens"]), values["attend_padding"])
        model = FGAesQ(settings)
    except (KeyError, TypeError, ValueError) as error:
        raise BackendError(f"{folder / CONFIG} is not as FGAesQ writes it ({error}); copy the model again") from error
    _load_strictly(model, _weights(folder / WEIGHTS), folder)
    return model.eval()


def revision(folder: str | Path) -> str:
    """Return the revision of a model's folder: SHA-256 over its settings and weights, 16 hex digits.

    Raises:
        BackendError: one of the two files is missing.
    """
    digest = hashlib.sha256()
    for name in (CONFIG, WEIGHTS):
        try:
            digest.update(hashlib.sha256((Path(folder) / name).read_bytes()).digest())
        except OSError as error:
            raise BackendError(
                f"{Path(folder) / name} cannot be read ({error.strerror}); give a model's folder"
            ) from error
    return digest.hexdigest()[:16]


def _clip_config(folder: Path) -> CLIPConfig:
    values = read_json(folder / CONFIG) if (folder / CONFIG).is_file() else {}
    if not isinstance(values, dict) or values.get("model_type") != "clip":
        raise BackendError(f"{folder} holds no CLIP model (no {CONFIG} with model_type 'clip'); give its folder")
    return CLIPConfig(**values)


def _weights(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise BackendError(f"{path} is not readable safetensors ({error}); copy the model again") from error


def _load_strictly(module: nn.Module, weights: dict[str, Tensor], folder: Path) -> None:
    wanted = module.state_dict()
    missing = sorted(set(wanted) - set(weights))
    unknown = sorted(set(weights) - set(wanted))
    shaped = sorted(name for name in set(wanted) & set(weights) if wanted[name].shape != weights[name].shape)
    for what, names in (("lacks", missing), ("has unknown", unknown), ("has misshapen", shaped)):
        if names:
            raise BackendError(f"{folder} {what} weights: {len(names)}, such as {names[0]}; copy the model again")
    module.load_state_dict(weights)
