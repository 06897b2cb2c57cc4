"""What one ``redaes compare`` costs: processor time, time on the clock, memory; alone, and with the background service.

    python benchmarks/command_line.py a.jpg b.jpg [--runs 5] [--against CHECKOUT]

Each round runs every way once, so that what else the machine does falls on all of them alike. ``--against`` runs the
same commands with the sources of another checkout, too, and prints the ratio. Bytecode is compiled before anything is
measured. The service's own work is counted apart: its processor time for the same questions, and its memory.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RUN = "import sys; sys.path.insert(0, sys.argv.pop(1)); from redaes.cli import main; main()"


@dataclass(frozen=True)
class Cost:
    """Of one process."""

    cpu_s: float
    """User and system time."""
    wall_s: float
    peak_mb: float
    """Largest resident memory."""


def measure(environment: dict[str, str], sources: Path, *words: str) -> Cost:
    """Run a command to its end.

    Raises:
        SystemExit: it fails.
    """
    begun = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, str(sources), *words],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment,
    )  # fmt: skip
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"redaes {' '.join(words)} ends with {process.returncode}")
    kilobytes = used.ru_maxrss / (1024 if sys.platform == "darwin" else 1)
    return Cost(used.ru_utime + used.ru_stime, time.perf_counter() - begun, kilobytes / 1024)


def cpu_of(process: int) -> float:
    """User and system time that a process of Linux has used, in seconds."""
    fields = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_of(process: int) -> float:
    """Largest resident memory that a process of Linux has had, in MB."""
    found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{process}/status").read_text(encoding="ascii"))
    return int(found[1]) / 1024 if found else 0.0


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", nargs=2)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--against", type=Path, help="another checkout")
    given = parser.parse_args()
    pictures = [str(Path(picture).resolve()) for picture in given.pictures]
    folder = tempfile.mkdtemp(prefix="r-")
    alone = {
        **os.environ,
        "REDAES_SERVICE": "off",
        "PYTHONPYCACHEPREFIX": f"{folder}/compiled",
        "XDG_RUNTIME_DIR": folder,
    }
    alone.pop("PYTHONDONTWRITEBYTECODE", None)
    served = {name: value for name, value in alone.items() if name != "REDAES_SERVICE"}
    trees = {"this": ROOT} | ({"against": given.against.resolve()} if given.against else {})
    found: dict[str, list[Cost]] = {}
    service: dict[str, list[float]] = {"fast": [], "reasoned": []}
    try:
        for sources in trees.values():
            measure(alone, sources, "compare", *pictures)  # compiles
        started = subprocess.run(
            [sys.executable, "-c", RUN, str(ROOT), "serve", "--background"],
            env=served, check=True, capture_output=True, text=True,
        )  # fmt: skip
        process = int(re.search(r"process (\d+)", started.stdout)[1])  # type: ignore[index]
        for mode in service:
            measure(served, ROOT, "compare", *pictures, "--mode", mode)
        for _ in range(given.runs):
            for mode, its_part in service.items():
                for name, sources in trees.items():
                    found.setdefault(f"{mode}, alone, {name}", []).append(
                        measure(alone, sources, "compare", *pictures, "--mode", mode)
                    )
                before = cpu_of(process)
                found.setdefault(f"{mode}, with the service", []).append(
                    measure(served, ROOT, "compare", *pictures, "--mode", mode)
                )
                its_part.append(cpu_of(process) - before)
        peak = peak_of(process)
    finally:
        stop = [sys.executable, "-c", RUN, str(ROOT), "serve", "--stop"]
        subprocess.run(stop, env=served, capture_output=True, check=False)
        shutil.rmtree(folder)
    print(f"Python {platform.python_version()}, {platform.machine()}, {os.cpu_count()} cores, {given.runs} runs each")
    print("| way | CPU-seconds: median (range) | seconds | peak memory, MB |\n| --- | --- | --- | --- |")
    for name, costs in found.items():
        wall_s, most = statistics.median(cost.wall_s for cost in costs), max(cost.peak_mb for cost in costs)
        print(f"| {name} | {spread([cost.cpu_s for cost in costs])} | {wall_s:.2f} | {most:.0f} |")
    for mode, its_part in service.items():
        print(f"| {mode}, the service's part | {spread(its_part)} | | {peak:.0f} |")
    if given.against:
        for mode in service:
            both = zip(found[f"{mode}, alone, this"], found[f"{mode}, alone, against"], strict=True)
            print(f"{mode}: {spread([here.cpu_s / there.cpu_s for here, there in both])} of the other checkout's")


def spread(numbers: list[float]) -> str:
    """Median and range."""
    return f"{statistics.median(numbers):.2f} ({min(numbers):.2f} to {max(numbers):.2f})"


if __name__ == "__main__":
    main()
