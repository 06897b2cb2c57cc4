"""Cores that this process may use, cores that are free, and how threads that share cores wait for each other.

torch splits each operation into one piece for each thread, and all threads wait for the last piece. By default they
wait by keeping their cores busy. On a core that another process also needs, this takes away the time that the last
piece is waiting for (docs/log.md has the measurements). So redaes lets threads sleep while they wait. Their number, on
which the last digits of results depend, is then the same every time, whatever else runs. The number of processes, on
which no result depends, follows the cores that are free.
"""

from __future__ import annotations

import os
import time
from collections.abc import MutableMapping
from pathlib import Path

THREADS = "OMP_NUM_THREADS"
WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "KMP_LIBRARY")
"""Environment variables that say how OpenMP threads wait: the standard's, GNU's, and Intel's or LLVM's."""

SAMPLE_S = 0.2
"""Seconds over which the use of the cores is measured; the kernel counts in hundredths of a second."""

_threads_said = THREADS in os.environ
"""Whether the number of threads was already chosen when this process started."""


def prepare_threads(environment: MutableMapping[str, str] = os.environ) -> None:
    """Make the threads of this process, and of processes that it starts, sleep while they wait for each other.

    This does nothing once torch is loaded, because OpenMP has read its variables by then. Variables that are set
    already stay.

    Args:
        environment: the environment variables to set.
    """
    if not any(name in environment for name in WAITING):
        environment["OMP_WAIT_POLICY"] = "passive"
    # OpenMP respects the cores that a process may run on, but not a container's share of processor time.
    if THREADS not in environment and usable_cores() < _open_cores():
        environment[THREADS] = str(usable_cores())


def threads_of_each(n_processes: int) -> dict[str, str]:
    """Return environment variables with which several processes of one machine share its cores.

    Args:
        n_processes: number of processes on this machine.

    Returns:
        An empty dictionary where the user chose the number of threads.
    """
    return {} if _threads_said else {THREADS: str(max(1, usable_cores() // n_processes))}


def usable_cores(groups: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> int:
    """Return how many cores this process may use: those it may run on, or a container's share if that is less; at least
    1.

    Args:
        groups: where the kernel shows its control groups.
        own: the file that says which of them this process is in.
    """
    share = _share(groups, own)
    return _open_cores() if share is None else max(1, min(_open_cores(), int(share)))


def free_cores() -> int:
    """Return how many of the usable cores are free at the moment; at least 1.

    Two calls may give different numbers, so use it only for what changes no result, such as the number of processes.
    """
    return max(1, min(usable_cores(), round(idle_cores())))


def idle_cores(sample_s: float = SAMPLE_S, stat: Path = Path("/proc/stat")) -> float:
    """Return how much of the open cores' time is idle, in cores.

    Args:
        sample_s: how long to look, in seconds.
        stat: the kernel's counter file. Where there is none (not on Linux), the load of the last minute is used
            instead.
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
    if hasattr(os, "sched_getaffinity"):  # Linux only
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _load() -> float:
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0


def _ticks(stat: Path) -> dict[str, tuple[int, int]]:
    """Return idle time and total time of each core that this process may run on; empty: the kernel does not tell."""
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
