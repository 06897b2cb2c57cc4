"""Arguments of the FGAesQ training besides the trainer's own."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from redaes.errors import TrainingError
from redaes.models.fgaesq import losses
from redaes.models.fgaesq.tiny_clip import TINY_TOKENS
from redaes.models.fgaesq.tokens import TokenSettings


@dataclass
class FGAesQArguments:
    """Arguments of the FGAesQ training besides the trainer's own. Batch sizes are per process."""

    series: str | None = field(
        default=None,
        metadata={"help": "JSON Lines file of series. By default, small series are made from sample photographs."},
    )
    coarse: str | None = field(
        default=None,
        metadata={"help": "JSON Lines file of score distributions. With your own series, there are none by default."},
    )
    clip: str | None = field(
        default=None,
        metadata={
            "help": "Folder of a CLIP model with patches of 16 pixels. By default, a tiny CLIP with random weights "
            "is used."
        },
    )
    coarse_epochs: int = field(default=3, metadata={"help": "Number of epochs over the coarse data alone."})
    joint_epochs: int = field(
        default=7, metadata={"help": "Number of epochs over the series, with coarse batches in between."}
    )
    series_per_batch: int = field(
        default=14, metadata={"help": "Number of series in a fine batch (14 series have about 64 pairs)."}
    )
    pictures_per_batch: int = field(default=128, metadata={"help": "Number of pictures in a coarse batch."})
    max_pairs: int = field(
        default=10, metadata={"help": "Largest number of pairs of a series in one epoch; each epoch draws them anew."}
    )
    align_weight: float = field(
        default=losses.ALIGN_WEIGHT, metadata={"help": "Weight of the loss CTAlign. 0 turns it off."}
    )
    rank_weight: float = field(default=1.0, metadata={"help": "Weight of the loss RankReg. 0 turns it off."})
    difference_tokens: bool = field(
        default=True, metadata={"help": "Use DiffToken. With false, each picture is seen alone."}
    )
    budget: int | None = field(
        default=None,
        metadata={"help": "Largest number of tokens of a picture. The default is 512, or 80 for the tiny CLIP."},
    )
    fine_blocks: int | None = field(
        default=None,
        metadata={"help": "Number of blocks that stay at full resolution. The default is 14, or 5 for the tiny CLIP."},
    )
    min_side: int | None = field(
        default=None,
        metadata={
            "help": "Side in pixels to which the pictures of a small pair are enlarged. The default is 384, or 0 for "
            "the tiny CLIP, which enlarges none."
        },
    )

    def check(self) -> None:
        """Refuse impossible settings before anything is loaded.

        Raises:
            TrainingError: names the setting, its value and the remedy.
        """
        for name in ("series_per_batch", "pictures_per_batch", "max_pairs"):
            if getattr(self, name) < 1:
                raise TrainingError(f"{name} is {getattr(self, name)}; give at least 1")
        for name in ("coarse_epochs", "joint_epochs", "align_weight", "rank_weight"):
            if getattr(self, name) < 0:
                raise TrainingError(f"{name} is {getattr(self, name)}; give 0 or more")
        if not self.align_weight and not self.rank_weight and self.joint_epochs:
            raise TrainingError(
                "align_weight and rank_weight are both 0, so that the series would teach nothing; give at least one "
                "of them a positive value"
            )

    @property
    def series_file(self) -> Path:
        """The list of series, which the command has checked by now.

        Raises:
            TrainingError: no list was given.
        """
        if self.series is None:
            raise TrainingError("no series are given; give a file as --series")
        return Path(self.series)

    def tokens(self) -> TokenSettings:
        """Return DiffToken's settings: the given ones, and defaults that fit the CLIP model.

        Raises:
            InputError: the settings are impossible.
        """
        names = ("budget", "fine_blocks", "min_side")
        given = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        return replace(TINY_TOKENS if self.clip is None else TokenSettings(), **given)
