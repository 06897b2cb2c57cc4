"""How many cores this process may use, how many of them are free, and how threads that share them wait.

torch cuts each operation into one piece for each thread, and all threads wait for the last piece. The libraries'
way of waiting is to keep the core busy. On a core that something else needs, too, that takes away the very time that
the last piece is waiting for (docs/log.md has what it costs). Threads that sleep while they wait need no choosing by
what else runs, so their number, on which results depend in their last digits, is the same every time. The number of
processes, on which nothing depends, goes by the cores that are free.
"""

from __future__ import annotations

import os
import time
from collections.abc import MutableMapping
from pathlib import Path

THREADS = "OMP_NUM_THREADS"
WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "KMP_LIBRARY")
"""Variables that say how OpenMP's threads wait: GNU's and Intel's or LLVM's own beside the standard's."""

SAMPLE_S = 0.2
"""Seconds over which the use of the cores is looked at; the kernel counts in hundredths."""

_threads_said = THREADS in os.environ
"""Whether whoever started this process has chosen the number of threads."""


def prepare_threads(environment: MutableMapping[str, str] = os.environ) -> None:
    """Have the threads of this process, and of those that it starts, sleep while they wait for each other.

    Does nothing once torch is loaded: OpenMP reads its variables then. What is set already is left as it is.

    Args:
        environment: where OpenMP will look.
    """
    if not any(name in environment for name in WAITING):
        environment["OMP_WAIT_POLICY"] = "passive"
    # OpenMP knows of cores that are closed to a process, and not of a container's share of their time.
    if THREADS not in environment and usable_cores() < _open_cores():
        environment[THREADS] = str(usable_cores())


def threads_of_each(n_processes: int) -> dict[str, str]:
    """Return what goes into the environment of several processes of one machine, so that they share the cores.

    Args:
        n_processes: on this machine.

    Returns:
        Nothing where the number of threads was chosen by the user.
    """
    return {} if _threads_said else {THREADS: str(max(1, usable_cores() // n_processes))}


def usable_cores(groups: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> int:
    """Return cores whose time this process may use: those open to it, or a container's share, if that is less; at least
    1.

    Args:
        groups: where the kernel shows its control groups.
        own: the file that says which of them this process is in.
    """
    share = _share(groups, own)
    return _open_cores() if share is None else max(1, min(_open_cores(), int(share)))


def free_cores() -> int:
    """Return how many of the usable cores nothing else uses just now; at least 1.

    For the number of processes, which changes no result: asked twice, it may answer differently.
    """
    return max(1, min(usable_cores(), round(idle_cores())))


def idle_cores(sample_s: float = SAMPLE_S, stat: Path = Path("/proc/stat")) -> float:
    """Return how much of the open cores' time is idle, in cores.

    Args:
        sample_s: how long to look, in seconds.
        stat: the kernel's count. Where there is none (not Linux), the load of the last minute is taken instead.
    """
    before = _ticks(stat)
    if not before:
        return max(0.0, _open_cores() - _load())
    time.sleep(sample_s)
    after = _ticks(stat)
    found = 0.0
    for core, (idle, total) in after.items():
        idle_before, total_before = before.get(core, (0, 0))
        if total > total_before:
            found += (idle - idle_before) / (total - total_before)
    return found


def _open_cores() -> int:
    if hasattr(os, "sched_getaffinity"):  # Linux
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _load() -> float:
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0


def _ticks(stat: Path) -> dict[str, tuple[int, int]]:
    """Of each core that is open to this process: time without work, and all time; empty: the kernel does not say."""
    if not hasattr(os, "sched_getaffinity"):
        return {}
    wanted = {f"cpu{number}" for number in os.sched_getaffinity(0)}
    try:
        lines = stat.read_text(encoding="ascii").splitlines()
    except OSError:
        return {}
    found = {}
    for line in lines:
        core, *numbers = line.split()
        if core in wanted:
            # user nice system idle iowait irq softirq steal; guests' time is in user's.
            ticks = [int(number) for number in numbers[:8]]
            found[core] = (ticks[3] + ticks[4], sum(ticks))
    return found


def _share(groups: Path, own: Path) -> float | None:
    """Return the smallest share of processor time, in cores, of the control groups that this process is in; None: no
    bound.
    """
    try:
        lines = own.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    shares = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        names = controllers.split(",")
        if controllers == "":
            shares += [_quota(folder, "cpu.max") for folder in _upwards(groups, path)]
        elif "cpu" in names:
            for mount in (groups / controllers, groups / "cpu"):
                shares += [_quota(folder, "cpu.cfs_quota_us", "cpu.cfs_period_us") for folder in _upwards(mount, path)]
    known = [share for share in shares if share is not None]
    return min(known, default=None)


def _upwards(mount: Path, path: str) -> list[Path]:
    """Return a group's folder and those above it: each may have a bound. In a container its own is often shown as the
    top.
    """
    folder = mount / path.strip("/")
    return [folder, *(above for above in folder.parents if above == mount or mount in above.parents)]


def _quota(folder: Path, *files: str) -> float | None:
    try:
        words = " ".join((folder / file).read_text(encoding="ascii") for file in files).split()
        time_us, period_us = int(words[0]), int(words[1])
    except (OSError, ValueError, IndexError):  # no such group here, or "max": no bound
        return None
    return time_us / period_us if time_us > 0 and period_us > 0 else None
