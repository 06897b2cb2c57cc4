"""What the runner itself costs: 20,000 small pictures, a scripted model, killed and resumed five times.

    python benchmarks/evaluation_runner.py [--pictures 20000] [--kills 5]

The model's answers are made up from each picture's pixels, so that they are the same in every part of a run. Printed:
milliseconds per picture of an undisturbed run, in processor time because other work may share the machine; those of
reading the same pictures and asking the same script in a bare loop; memory after a tenth of the answers and after all
of them, and its peak at a tenth of the pictures and at all, which adds what labels and numbers take; and whether the
results of the killed run are those of the undisturbed one to the byte. For Linux.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from redaes import answers, prompts
from redaes.backends.base import Request
from redaes.backends.scripted import ScriptedBackend
from redaes.evaluation.assessors.local import LocalScores
from redaes.evaluation.benchmarks import load
from redaes.evaluation.questions import CHUNK
from redaes.evaluation.run_spec import RunSpec
from redaes.evaluation.runner import run_assessor
from redaes.images import load_image

FILES = ("results.json", "pictures.csv", "run.json")


class ContentScript(ScriptedBackend):
    """Log-probabilities drawn from a hash of what is shown."""

    def read(self, requests: Sequence[Request], choices: Sequence[str]) -> NDArray[np.float64]:
        """Shape (len(requests), len(choices))."""
        rows = []
        for request in requests:
            digest = hashlib.sha256(request.pixels[0].tobytes()).digest()
            logits = np.frombuffer(digest[: len(choices)], dtype=np.uint8) / 64.0
            rows.append(logits - np.log(np.exp(logits).sum()))
        return np.array(rows)


def make_pictures(folder: Path, n: int) -> None:
    """Write n pictures of 32 x 32 pixels and their scores."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    with (folder / "scores.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["image", "score"])
        for index in range(n):
            name = f"{index:06d}.png"
            pixels = rng.integers(0, 255, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name, compress_level=1)
            rows.writerow([name, round(float(rng.normal(5, 1)), 3)])


def child(data: Path, out: Path) -> None:
    """One run, in a process of its own; prints processor seconds, and MiB: at a tenth, after the answers, the peak."""
    spec = RunSpec(benchmark="scores", data=data, assessor="scripted")
    seen: list[float] = []

    def progress(done: int, total: int) -> None:
        if done >= total / 10:
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            seen.append(pages * resource.getpagesize() / 2**20)

    run_assessor(load("scores", data), LocalScores(ContentScript()), out, spec=spec, progress=progress)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{time.process_time():.2f} {seen[0]:.0f} {seen[-1]:.0f} {peak:.0f}")


def launch(data: Path, out: Path) -> subprocess.Popen[str]:
    command = [sys.executable, __file__, "--child", str(data), str(out)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> list[float]:
    text, _ = process.communicate()
    if process.returncode:
        raise AssertionError(f"a run ended with {process.returncode}")
    return [float(number) for number in text.split()]


def main(n: int, kills: int) -> None:
    """Measure, compare, print."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        data = folder / "data"
        make_pictures(data, n)
        small = folder / "small.csv"
        small.write_text("\n".join((data / "scores.csv").read_text().splitlines()[: n // 10 + 1]) + "\n")
        (data / "small.csv").write_text(small.read_text())

        start, script, prompt = time.process_time(), ContentScript(), prompts.load(prompts.SCORE)
        for path in sorted(data.glob("*.png")):
            request = Request(prompt, (load_image(path).image,), prefix=answers.SCORE_PREFIX)
            script.read([request], answers.SCORE_CHOICES)
        bare_s = time.process_time() - start

        *_, small_peak = finish(launch(data / "small.csv", folder / "tenth"))
        seconds, early, late, peak = finish(launch(data, folder / "whole"))
        print(
            f"{n} pictures: {seconds:.1f} s of processor time, start and intervals included: "
            f"{1000 * seconds / n:.2f} ms each; reading and asking alone {1000 * bare_s / n:.2f} ms; "
            f"the runner's own {1000 * (seconds - bare_s) / n:.2f} ms"
        )
        print(f"memory while answering: {early:.0f} MiB after a tenth, {late:.0f} MiB after all")
        print(f"peak memory: {small_peak:.0f} MiB for {n // 10} pictures, {peak:.0f} MiB for {n}")

        out, total = folder / "killed", -(-n // CHUNK)
        for kill in range(kills):
            process = launch(data, out)
            goal = (kill + 1) * total // (kills + 1)
            while len(list((out / "answers").glob("[0-9]*.jsonl"))) < goal:
                if process.poll() is not None:
                    raise AssertionError("a run ended before it was killed")
                time.sleep(0.01)
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            done = len(list((out / "answers").glob("[0-9]*.jsonl")))
            print(f"killed after {done} of {total} files of answers")
        finish(launch(data, out))
        for name in FILES:
            if (out / name).read_bytes() != (folder / "whole" / name).read_bytes():
                raise AssertionError(f"{name} differs")
        print(f"after {kills} kills: {', '.join(FILES)} equal to the byte")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(Path(sys.argv[2]), Path(sys.argv[3]))
    else:
        parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
        parser.add_argument("--pictures", type=int, default=20_000)
        parser.add_argument("--kills", type=int, default=5)
        arguments = parser.parse_args()
        main(arguments.pictures, arguments.kills)
