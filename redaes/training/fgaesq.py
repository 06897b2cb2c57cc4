"""Training FGAesQ: coarse epochs on score distributions, then joint ones in which fine and coarse batches take turns.

The paper released no training code. Taken from the paper: the losses and their weights, the alternation, 3 + 7 epochs,
learning rate, weight decay, batch sizes. Ours: the order of the data (a pure function of seed and epoch, so that a
resumed run sees the same batches as an uninterrupted one), and newly drawn tokens in every epoch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import gather_object
from torch import Tensor
from torch.utils.data import DataLoader

from redaes.errors import ImageError, TrainingError
from redaes.file_writing import write_json
from redaes.metrics import pair_accuracy
from redaes.models.fgaesq import losses
from redaes.models.fgaesq.network import FGAesQ, from_clip, revision, save
from redaes.models.fgaesq.scorer import MAX_SERIES, FGAesQScorer
from redaes.models.fgaesq.texts import comparative_text, text_embeddings
from redaes.models.fgaesq.tiny_clip import build_tiny_clip
from redaes.models.fgaesq.tokens import TokenBatch
from redaes.series_records import Histogram, Series, read_histograms, read_series
from redaes.training.checkpoints import ExactCheckpoints
from redaes.training.fgaesq_arguments import FGAesQArguments
from redaes.training.fgaesq_batches import FGAesQCollator, FGAesQData, PlannedBatches, plan
from redaes.training.run_record import environment
from redaes.training.stage_run import FINAL, claim_folder, run_trainer
from redaes.types import FACTORS

# isort: split
from transformers import Trainer, TrainingArguments

STAGE = "fgaesq"


class FGAesQTrainer(ExactCheckpoints, Trainer):
    """``Trainer`` that follows a fixed plan of batches and uses FGAesQ's losses."""

    def __init__(self, *, batches: PlannedBatches, arguments: FGAesQArguments, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.batches = batches
        self.weights = arguments.align_weight, arguments.rank_weight
        self.model_accepts_loss_kwargs = False
        self.n_views = 0
        """Number of pictures seen by this process since it started; a picture in two pairs counts twice."""

    def get_train_dataloader(self) -> DataLoader[Any]:
        """Return a loader of the plan's batches; every process makes its own batches."""
        return DataLoader(
            self.train_dataset,
            batch_sampler=self.batches,
            collate_fn=self.data_collator,
            num_workers=self.args.dataloader_num_workers,
            multiprocessing_context=self.args.dataloader_multiprocessing_context
            if self.args.dataloader_num_workers
            else None,
        )

    def compute_loss(self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, **_: Any) -> Any:
        """Return the EMD of a coarse batch, or 10 x CTAlign + RankReg of a fine one."""
        views: TokenBatch = inputs["views"].to(self.args.device)
        self.n_views += len(views.n_tokens)
        features, logits = model(views)
        loss = self._coarse(logits, inputs) if "target" in inputs else self._fine(features, logits, inputs)
        return (loss, logits) if return_outputs else loss

    def _coarse(self, logits: Tensor, inputs: dict[str, Tensor]) -> Tensor:
        return losses.emd_loss(logits.float(), inputs["target"])

    def _fine(self, features: Tensor, logits: Tensor, inputs: dict[str, Tensor]) -> Tensor:
        align_weight, rank_weight = self.weights
        first, second = inputs["pairs"]
        loss = logits.sum() * 0.0  # a batch without texts needs a gradient, even if only texts count
        told = inputs["has_text"]
        if align_weight and bool(told.any()):
            a, b = features[first[told]].float(), features[second[told]].float()
            loss = loss + align_weight * losses.align_loss(a, b, inputs["text"][told])
        if rank_weight:
            scores = losses.expected_score(logits.float())
            loss = loss + rank_weight * losses.pair_loss(scores[first], scores[second], inputs["probability"])
            table = inputs["scores"]
            count = torch.zeros(table.numel(), device=scores.device).index_add(
                0, inputs["cell"], torch.ones_like(scores)
            )
            total = torch.zeros(table.numel(), device=scores.device).index_add(0, inputs["cell"], scores)
            mean = (total / count.clamp(min=1)).view(table.shape)
            loss = loss + rank_weight * losses.listmle_loss(mean, table, (count > 0).view(table.shape))
        return loss


@dataclass(frozen=True)
class HeldOutSeries:
    """Predictions of a model for some held-out series; each process has its own share."""

    predicted: tuple[float, ...]
    """For each labelled pair the score of the first picture minus that of the second."""
    labels: tuple[float, ...]
    """For each labelled pair the probability that the first picture is preferred, minus one half."""
    n_series: int
    unreadable: tuple[str, ...]
    """Series left out because of a picture that cannot be read, with the reason."""


def look(model: FGAesQ, series: Iterable[Series], difference_tokens: bool = True) -> HeldOutSeries:
    """Return a model's predictions for the labelled pairs of series, from each picture's mean score over the pairs that
    it is in.

    The model stays on its device and is left in evaluation mode.
    """
    scorer = FGAesQScorer(model, name=STAGE, revision="", device=str(next(model.parameters()).device))
    predicted: list[float] = []
    labels: list[float] = []
    unreadable: list[str] = []
    n_series = 0
    for item in series:
        try:
            pictures = [scorer.load_picture(path) for path in item.images]
        except ImageError as error:
            unreadable.append(f"{item.id}: {error}")
            continue
        scores = next(iter(scorer.series([pictures]))).scores if difference_tokens else scorer.score(pictures)
        predicted += [float(scores[pair.first] - scores[pair.second]) for pair in item.pairs]
        labels += [pair.probability - 0.5 for pair in item.pairs]
        n_series += 1
    return HeldOutSeries(tuple(predicted), tuple(labels), n_series, tuple(unreadable))


def held_out_figures(parts: Sequence[HeldOutSeries]) -> dict[str, Any]:
    """Return the figures for the run record of the held-out series of all processes."""
    predicted: list[float | None] = [value for part in parts for value in part.predicted]
    accuracy = pair_accuracy(predicted, [label for part in parts for label in part.labels], tie_margin=0.0)
    unreadable = sorted(reason for part in parts for reason in part.unreadable)
    return {
        "held_out_series": sum(part.n_series for part in parts),
        "held_out_pairs": accuracy.n,
        "held_out_pair_accuracy": accuracy.value,
        **({"held_out_unreadable": unreadable} if unreadable else {}),
    }


def run_fgaesq(arguments: FGAesQArguments, config: TrainingArguments) -> Path:
    """Train FGAesQ, and leave the model in ``final/``. A finished run is not repeated.

    Returns:
        ``final/``: ``config.json``, ``model.safetensors``, ``trainer_state.json`` and, last, ``run_record.json``.

    Raises:
        TrainingError: settings are impossible or differ from those of the run in the folder, or a loss is not finite.
        RecordError: a list cannot be used.
        BackendError: there is no CLIP model in the folder.
    """
    arguments.check()
    series_file, coarse_file = arguments.series_file, None if arguments.coarse is None else Path(arguments.coarse)
    with config.main_process_first(local=False):
        clip = _clip(arguments, Path(str(config.output_dir)))
    series = read_series(series_file)
    coarse = [] if coarse_file is None else read_histograms(coarse_file)
    train = [item for item in series if item.split == "train" and item.pairs]
    held_out = [item for item in series if item.split != "train" and item.pairs]
    _check_data(series_file, train, series)
    batches = plan(
        len(train), len(coarse), arguments, n_processes=config.world_size, seed=config.data_seed or config.seed
    )
    if config.max_steps > 0:
        batches = batches[: config.max_steps]
    if not batches:
        raise TrainingError("the plan has no batches: give more than 0 epochs, and data for them")
    settings = {"stage": STAGE, "data_hash": _data_hash(series_file, coarse_file, series, coarse), **vars(arguments)}
    for name in ("series", "coarse", "clip"):
        settings.pop(name)
    settings["clip_revision"] = revision(clip)
    run = claim_folder(config, settings)
    if run.final is not None:
        return run.final
    config.max_steps = len(batches)
    config.remove_unused_columns = False
    config.label_names = []
    tokens = arguments.tokens()
    model = from_clip(clip, tokens, seed=config.seed)
    texts = {pair.text for item in train for pair in item.pairs if pair.text is not None}
    embeddings = text_embeddings(clip, texts) if arguments.align_weight else {}
    trainer = FGAesQTrainer(
        model=model,
        args=config,
        train_dataset=FGAesQData(train, coarse, tokens, arguments),
        data_collator=FGAesQCollator(embeddings),
        batches=PlannedBatches(batches, config.process_index, config.world_size),
        arguments=arguments,
    )
    about, metrics = run_trainer(run, trainer)
    final = Path(str(config.output_dir)) / FINAL
    metrics["views_per_second"] = round(trainer.n_views * config.world_size / about["seconds"], 2)
    metrics["peak_memory_mib"] = _peak_memory_mib()
    if trainer.is_world_process_zero():
        save(model, final)
        trainer.state.save_to_json(str(final / "trainer_state.json"))
    if held_out:
        # Every process evaluates its share on the device that it trained on, so none waits for another.
        part = look(model, held_out[config.process_index :: config.world_size], arguments.difference_tokens)
        metrics.update(held_out_figures(gather_object([part])))
    if trainer.is_world_process_zero():
        write_json(
            final / "run_record.json",
            {
                **settings,
                "arguments": vars(arguments),
                "parameters": model.n_parameters(),
                "revision": revision(final),
                **about,
                "metrics": metrics,
                **environment(),
            },
        )
    trainer.accelerator.wait_for_everyone()
    return final


def _clip(arguments: FGAesQArguments, output_dir: Path) -> Path:
    """Return the folder of the CLIP model: the given one, or a tiny one that is made."""
    if arguments.clip is not None:
        return Path(arguments.clip)
    clip = output_dir / "tiny_clip"
    if not (clip / "tokenizer.json").is_file():  # this file is written last
        corpus = [comparative_text([factor], better) for factor in FACTORS for better in (True, False)]
        build_tiny_clip(clip, corpus, seed=0)
    return clip


def _check_data(path: Path, train: Sequence[Series], series: Sequence[Series]) -> None:
    if not train:
        raise TrainingError(f"{path} has no series of the split 'train' with pairs")
    for item in series:
        if len(item.images) > MAX_SERIES:
            raise TrainingError(
                f"{path}: series {item.id} has {len(item.images)} pictures; at most {MAX_SERIES} are taken"
            )
    shared = {image for item in train for image in item.images} & {
        image for item in series if item.split != "train" for image in item.images
    }
    if shared:
        raise TrainingError(f"{path}: {min(shared)} is in series of several splits; keep each picture in one")


def _data_hash(
    series_file: Path, coarse_file: Path | None, series: Sequence[Series], coarse: Sequence[Histogram]
) -> str:
    """Return the SHA-256 over the lists and over the sizes of the picture files, which are too many to read twice."""
    digest = hashlib.sha256()
    for file in (series_file, coarse_file):
        digest.update(b"" if file is None else file.read_bytes())
    images = {*(image for item in series for image in item.images), *(item.image for item in coarse)}
    for image in sorted(images):
        try:
            size = image.stat().st_size
        except OSError as error:
            raise TrainingError(f"{image} cannot be read ({error.strerror}); correct the lists of the data") from error
        digest.update(f"{image.name}:{size}\n".encode())
    return digest.hexdigest()


def _peak_memory_mib() -> int:
    """Return the peak memory of this process in MiB: the GPU's if there is one, otherwise the machine's."""
    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated() / 2**20)
    import resource  # this module is not on every system

    return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10)
