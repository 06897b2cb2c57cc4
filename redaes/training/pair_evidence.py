"""Measure the evidence against which stage 3's rewards check reasonings, in all processes, before a model is loaded."""

from __future__ import annotations

import sys
import time

from accelerate import PartialState

from redaes.measured_pairs import MeasuredPairs, measured_pairs
from redaes.training.stage_arguments import StageArguments

EVERY_S = 10.0
"""Seconds between lines about the progress of measuring."""


def measure_training_pairs(arguments: StageArguments, workers: int) -> MeasuredPairs:
    """Return, in each process, the evidence of the training pairs; what was measured before is not measured again.

    Args:
        arguments: arguments of the stage.
        workers: number of threads of each process.

    Raises:
        RecordError: there is no dataset, or the cache cannot be written to.
    """
    state = PartialState()
    progress = _Progress(shown=state.is_main_process, n_processes=state.num_processes)
    share = (state.process_index, state.num_processes)
    found = measured_pairs(
        arguments.data_folder, "train", leave_out=arguments.leave_out, share=share, workers=workers, progress=progress
    )
    if state.num_processes > 1:
        state.wait_for_everyone()
        # The results of other processes are used if they are on a disk that this machine sees; the rest is measured
        # here.
        found = measured_pairs(arguments.data_folder, "train", leave_out=arguments.leave_out, workers=workers)
    return found


class _Progress:
    """Print progress to stderr: nothing if there is nothing to do, else a line at once and then one in a while."""

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
