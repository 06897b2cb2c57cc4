"""Who finds the best picture of a series: trivial measures, the embedded model in rounds, others, in one table.

    python benchmarks/series_peers.py FOLDER... --out DIR [--photographs N] [--fgaesq MODEL_FOLDER]

FOLDER... hold photographs; 15 % of them are held out as the dataset builder does it (seed 0), so that the embedded
model was not trained on them. Their series are synthetic (`redaes.datagen.series.synthetic`): one photograph made worse
step by step, and crops that keep less and less of it; nobody judged them. They are the series of
`benchmarks/fgaesq_series.py` if the folders and the number of photographs are the same. The series become a file that
`redaes eval series --data DIR` reads, so that any other assessor can be put beside these.

Intervals: 95 %, resampling photographs with all their series. The same command again goes on with what was stopped.
"""

from __future__ import annotations

import argparse
import csv
import io
import time
from collections.abc import Sequence
from pathlib import Path

from redaes.datagen.series.synthetic import write_series
from redaes.datagen.sources import curate
from redaes.evaluation.report import cell
from redaes.evaluation.run_spec import RunSpec
from redaes.evaluation.runner import read_predictions, run
from redaes.evaluation.series_measures import chance_series_accuracy
from redaes.evaluation.summary import Prediction, by_group, pair_metrics, series_metrics
from redaes.file_writing import write_atomically
from redaes.models import nano
from redaes.series_records import CATEGORIES, Series, read_series

LENGTHS = (3, 4, 5, 6)
SIDE = 224
MEASURES = (
    ("random", "larger"), ("file_size", "larger"), ("sharpness", "larger"), ("exposure", "larger"),
    ("luma", "larger"), ("luma", "smaller"), ("contrast", "larger"), ("colourfulness", "larger"),
)  # fmt: skip
"""Baselines, and which of their numbers are taken for better; no direction was chosen by these series."""


def prepare(folders: Sequence[Path], out: Path, n: int | None) -> int:
    """Write the series and the file that ``redaes eval series`` reads, once.

    Returns:
        The number of photographs.
    """
    unknown = [one for one in curate(folders, test_fraction=0.15, seed=0).sources if one.split == "test"][:n]
    named = {f"{one.path.parent.name}-{one.path.stem}": one.path for one in unknown}
    if not (out / "series.csv").is_file():
        file, _ = write_series(
            named, out, per_category=2, lengths=LENGTHS, n_coarse=0, side=SIDE,
            split_of=dict.fromkeys(named, "test"), seed=0,
        )  # fmt: skip
        write_atomically(out / "series.csv", _table(read_series(file), out).encode())
    return len(named)


def _table(series: Sequence[Series], out: Path) -> str:
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["series", "image", "score", "source"])
    for one in series:
        source = one.id.partition("-")[2].rpartition("-")[0]
        for image, score in zip(one.images, one.scores, strict=True):
            rows.writerow([one.id, image.relative_to(out).as_posix(), score, source])
    return text.getvalue()


def rows_of(name: str, pictures: Sequence[Prediction], pairs: Sequence[Prediction]) -> list[str]:
    """Lines of the table: all series, then each category."""
    lines = []
    for category in ("", *CATEGORIES):
        some = [one for one in pictures if one.group.startswith(category)]
        found = pair_metrics([one for one in pairs if one.group.startswith(category)]) | series_metrics(some)
        shown = (cell(found[metric]) for metric in ("pair_accuracy", "s_acc", "s_srcc"))
        lines.append(f"| {f'- {category}' if category else name} | {' | '.join(shown)} |")
    return lines


def main() -> None:
    """Run everybody and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folders", type=Path, nargs="+", help="of photographs")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--photographs", type=int, help="fewer held-out ones than there are")
    parser.add_argument("--model", default=nano.NAME, help="in rounds; default: %(default)s")
    parser.add_argument("--fgaesq", type=Path, help="folder of a FGAesQ model that is to be put beside the others")
    args = parser.parse_args()
    n = prepare(args.folders, args.out, args.photographs)
    peers = [("baseline", {"measure": measure, "better": better}) for measure, better in MEASURES]
    if args.fgaesq is not None:
        peers.append(("fgaesq_series", {"model": str(args.fgaesq)}))
    peers.append(("vlm_tournament", {"model": args.model}))
    lines = ["| | pair accuracy | s-Acc | s-SRCC |", "|---|---|---|---|"]
    for kind, options in peers:
        started = time.process_time()
        spec = RunSpec(benchmark="series", data=args.out, assessor=kind, options=options)
        folder = args.out / "runs" / "-".join((kind, *options.values())).replace("/", "-")
        results = run(spec, folder, progress=lambda done, total: None)
        if results is None:
            raise AssertionError("one shard is all there is")
        pictures = [one for one in read_predictions(folder / "pictures.csv") if one.label is not None]
        name = results.run["identity"]["model"]
        lines += rows_of(name, pictures, read_predictions(folder / "pairs.csv"))
        print(
            f"{name}: {results.summary.n_questions} questions, {results.summary.n_failed} without an answer, "
            f"{time.process_time() - started:.0f} CPU-s", flush=True,
        )  # fmt: skip
    labels = [of_one for _, of_one, _ in by_group(pictures).values()]
    print(f"{len(labels)} series, {len(pictures)} pictures of {n} photographs; chance of s-Acc", end=" ")
    print(f"{chance_series_accuracy(labels):.3f}", *lines, sep="\n")


if __name__ == "__main__":
    main()
