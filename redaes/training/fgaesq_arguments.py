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
        default=None, metadata={"help": "series as JSON lines; without them, small ones are made from samples"}
    )
    coarse: str | None = field(
        default=None, metadata={"help": "score distributions as JSON lines; with series of your own, none by default"}
    )
    clip: str | None = field(
        default=None, metadata={"help": "folder of a CLIP model with patches of 16 px; without one, a tiny random one"}
    )
    coarse_epochs: int = field(default=3, metadata={"help": "epochs over the coarse data alone"})
    joint_epochs: int = field(default=7, metadata={"help": "epochs over the series, with coarse batches between"})
    series_per_batch: int = field(default=14, metadata={"help": "series of a fine batch (14 have some 64 pairs)"})
    pictures_per_batch: int = field(default=128, metadata={"help": "pictures of a coarse batch"})
    max_pairs: int = field(default=10, metadata={"help": "most pairs of a series in one epoch, drawn anew in each"})
    align_weight: float = field(default=losses.ALIGN_WEIGHT, metadata={"help": "weight of CTAlign; 0: without"})
    rank_weight: float = field(default=1.0, metadata={"help": "weight of RankReg; 0: without"})
    difference_tokens: bool = field(default=True, metadata={"help": "DiffToken; false: every picture seen alone"})
    budget: int | None = field(
        default=None, metadata={"help": "most tokens of a picture; default: 512, for the tiny CLIP 80"}
    )
    fine_blocks: int | None = field(
        default=None, metadata={"help": "blocks kept at full resolution; default: 14, for the tiny CLIP 5"}
    )
    min_side: int | None = field(
        default=None, metadata={"help": "pixels small pairs are enlarged to; default: 384, for the tiny CLIP 0"}
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
            raise TrainingError("align_weight and rank_weight are both 0: series have nothing to teach; give one")

    @property
    def series_file(self) -> Path:
        """The list of series, which the command has checked by now.

        Raises:
            TrainingError: no list was given.
        """
        if self.series is None:
            raise TrainingError("no series: give --series FILE")
        return Path(self.series)

    def tokens(self) -> TokenSettings:
        """Return DiffToken's settings: the given ones, and defaults that fit the CLIP model.

        Raises:
            InputError: the settings are impossible.
        """
        names = ("budget", "fine_blocks", "min_side")
        given = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        return replace(TINY_TOKENS if self.clip is None else TokenSettings(), **given)
