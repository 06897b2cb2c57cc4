"""The evidence that stage 3's rewards hold reasonings against: measured before a model is loaded, by all processes."""

from __future__ import annotations

import sys
import time

from accelerate import PartialState

from redaes.measured_pairs import MeasuredPairs, measured_pairs
from redaes.training.stage_arguments import StageArguments

EVERY_S = 10.0
"""Seconds between lines about how far measuring is."""


def measure_training_pairs(arguments: StageArguments, workers: int) -> MeasuredPairs:
    """Return the evidence of the pairs that are trained on, in each process; what is kept from before is not measured
    again.

    Args:
        arguments: the stage's.
        workers: threads of each process.

    Raises:
        RecordError: no dataset, or a cache that cannot be written to.
    """
    state = PartialState()
    progress = _Progress(shown=state.is_main_process, n_processes=state.num_processes)
    share = (state.process_index, state.num_processes)
    found = measured_pairs(
        arguments.data_folder, "train", leave_out=arguments.leave_out, share=share, workers=workers, progress=progress
    )
    if state.num_processes > 1:
        state.wait_for_everyone()
        # Of the others' work all that lies on a disk that this machine sees; the rest is measured here.
        found = measured_pairs(arguments.data_folder, "train", leave_out=arguments.leave_out, workers=workers)
    return found


class _Progress:
    """Lines on stderr: none where nothing is to do, the first at once, then one in a while."""

    def __init__(self, *, shown: bool, n_processes: int) -> None:
        self._shown = shown
        self._by = f", by each of {n_processes} processes" if n_processes > 1 else ""
        self._said = float("-inf")
        self._began = False

    def __call__(self, done: int, total: int) -> None:
        if not self._began and done >= total:
            return
        self._began = True
        now = time.monotonic()
        if self._shown and (now - self._said >= EVERY_S or done == total):
            self._said = now
            sys.stderr.write(f"evidence: {done} of {total} pairs measured{self._by}; they are kept\n")
            sys.stderr.flush()
