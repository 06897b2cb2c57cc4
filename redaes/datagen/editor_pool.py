"""The editors of a worker process: each device has its own copy, so that all devices edit at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from PIL import Image

from redaes.datagen.editors import load_editor
from redaes.datagen.editors.base import EditJob, Editor, EditOutcome
from redaes.errors import BackendError

BROKEN = frozenset({"out_of_memory", "editor_error"})
"""Failures of an edit that may be due to the editor or its device."""

BROKEN_FROM_THE_START = 8
"""Number of such failures after which the run ends if no edit has succeeded before."""

BROKEN_AFTER = 24
"""Number of such failures in a row after which the run ends if the editor has worked before."""


class _Lane:
    """A device and its thread. Editors block, so each device does one thing at a time."""

    def __init__(self, device: str | None) -> None:
        self.device = device
        self.editors: dict[str, Editor] = {}
        self.thread = ThreadPoolExecutor(1, thread_name_prefix=f"editor {device or ''}")
        self.busy_s = 0.0
        self.n_edits = 0


class EditorPool:
    """Editors by name; each is loaded when it is first needed and kept as long as the pool."""

    def __init__(self, options: Mapping[str, Any], devices: Sequence[str] = ()) -> None:
        """
        Args:
            options: options of every editor except the embedded one, as
                :func:`~redaes.datagen.editors.load_editor` takes them.
            devices: devices on which editors work at once, such as ``cuda:0``. If empty, there is one copy of each
                editor, on the device that it chooses.
        """
        self._options = dict(options)
        self._lanes = [_Lane(device) for device in devices or (None,)]
        self._free: list[_Lane] | None = None
        self._freed: asyncio.Condition | None = None
        self._n_broken: dict[str, int] = {}
        self._have_worked: set[str] = set()

    @property
    def n_lanes(self) -> int:
        """Number of edits that can be made at once."""
        return len(self._lanes)

    @property
    def busy_s(self) -> list[float]:
        """Seconds that each device was at work, including loading."""
        return [lane.busy_s for lane in self._lanes]

    @property
    def n_edits(self) -> int:
        """Number of edits that were tried."""
        return sum(lane.n_edits for lane in self._lanes)

    async def edit(self, name: str, source: Image.Image, jobs: Sequence[EditJob]) -> tuple[Editor, list[EditOutcome]]:
        """Wait for a free device, and return the editor with the outcomes of its edits of a picture.

        A view's jobs for one editor stay together, because rounding may depend on the other jobs of a batch.

        Raises:
            InputError, BackendError, MissingDependency: the editor cannot be loaded or does not accept the picture, or
                it fails so often that the editor itself must be broken.
        """
        if self._free is None:
            self._free, self._freed = list(self._lanes), asyncio.Condition()
        assert self._freed is not None
        async with self._freed:
            while not self._free:
                await self._freed.wait()
            # A device that has this editor in memory already is preferred.
            lane = next((lane for lane in self._free if name in lane.editors), self._free[0])
            self._free.remove(lane)
        loop = asyncio.get_running_loop()
        work = loop.run_in_executor(lane.thread, self._edit, lane, name, source, jobs)
        try:
            editor, made = await asyncio.shield(work)
            self._refuse_broken(name, made)
            return editor, made
        finally:
            # A thread cannot be stopped: after a cancellation its device stays occupied.
            if work.done():
                self._free.append(lane)
                async with self._freed:
                    self._freed.notify()

    def _refuse_broken(self, name: str, made: Sequence[EditOutcome]) -> None:
        """Count failures in a row, and give up an editor that has too many; failed edits are not tried again.

        Raises:
            BackendError: it has failed so often in a row that the pictures cannot be the cause.
        """
        for outcome in made:
            if outcome.failure not in BROKEN:
                self._n_broken[name] = 0
                self._have_worked.add(name)
                continue
            n = self._n_broken[name] = self._n_broken.get(name, 0) + 1
            if n >= (BROKEN_AFTER if name in self._have_worked else BROKEN_FROM_THE_START):
                raise BackendError(
                    f"editor {name}: {n} edits in a row have failed, the last with {outcome.failure}: "
                    f"{outcome.detail}; see to that (its device's memory, editor_options), then run again to go on"
                )

    def _edit(
        self, lane: _Lane, name: str, source: Image.Image, jobs: Sequence[EditJob]
    ) -> tuple[Editor, list[EditOutcome]]:
        since = time.monotonic()
        if name not in lane.editors:
            options: dict[str, Any] = {}
            if name != "embedded":
                options = self._options | ({} if lane.device is None else {"device": lane.device})
            lane.editors[name] = load_editor(name, **options)
        editor = lane.editors[name]
        made = editor.edit(source, jobs)
        lane.busy_s += time.monotonic() - since
        lane.n_edits += len(jobs)
        return editor, made

    def close(self) -> None:
        """Start no further edit; an edit under way is completed."""
        for lane in self._lanes:
            lane.thread.shutdown(wait=False, cancel_futures=True)
