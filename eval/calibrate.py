"""Fit how far a model's probabilities can be believed, on pairs whose better picture is known.

    python eval/calibrate.py other_edits --model redaes/nano --out runs/calibration
    python eval/calibrate.py other_edits --adapter runs/stage3/final --write

The folder holds pairs.csv with first, second, p (1 or 0), group (the photograph) and, for the tables, factor and kind,
and the pictures, none of which the model was trained on. One temperature is fitted for each mode on half of the
photographs and reported on the other half. Writes answers.jsonl and report.json; --write puts calibration.json beside
the weights (of the adapter, if there is one), where whoever loads the model finds it. See docs/confidence.md.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from redaes.cli.running import reporting_errors
from redaes.early_checks import check_adapter, check_exists, check_model, check_writable
from redaes.errors import InputError, importing

with importing("eval"):
    from redaes.assessor import Assessor, known_mode
    from redaes.backends.temperatures import Temperature, write_temperatures
    from redaes.evaluation.benchmarks.base import read_rows
    from redaes.evaluation.confidence import Group, Judged, ceiling_of, fit_temperature, group_of, half_of
    from redaes.images import load_image
    from redaes.models import nano
    from redaes.prompts import Mode
    from redaes.records import write_json

if TYPE_CHECKING:
    from redaes.backends.base import Backend

AT_ONCE = 32


def parse_args(argv: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("data", type=Path, help="folder with pairs.csv, such as benchmarks/other_edits.py makes")
    parser.add_argument("--model", default=nano.NAME, help="folder or name on the hub; default: %(default)s")
    parser.add_argument("--adapter", type=Path, help="folder of a LoRA adapter")
    parser.add_argument("--device", help="such as cpu or cuda; default: the best there is")
    parser.add_argument("--mode", action="append", help="fast or reasoned; may be repeated; default: both")
    parser.add_argument("--says", help="what the pairs are, in words; default: the folder's name")
    parser.add_argument("--out", type=Path, default=Path("runs/calibration"), help="folder; default: %(default)s")
    parser.add_argument("--write", action="store_true", help="put calibration.json beside the weights")
    return parser.parse_args(argv)


def main(args: argparse.Namespace) -> None:
    """Ask, fit, report, and write."""
    modes = [known_mode(name) for name in args.mode or ("fast", "reasoned")]
    check_exists(args.data)
    check_model(args.model)
    check_writable(args.out)
    if args.adapter is not None:
        check_adapter(str(args.adapter))
    rows = read_rows(args.data / "pairs.csv", ("first", "second", "p", "group"))
    place = _place_of(args.model, args.adapter) if args.write else None
    from redaes.backends.local import LocalBackend

    backend = LocalBackend(args.model, adapter=args.adapter, device=args.device, batch_size=16)
    found: list[Temperature] = []
    report = {}
    args.out.mkdir(parents=True, exist_ok=True)
    with (args.out / "answers.jsonl").open("w", encoding="utf-8") as file:
        for mode in modes:
            answers = []
            for answer in ask(backend, args.data, rows, mode):
                answers.append(answer)
                file.write(answer.model_dump_json() + "\n")
            temperature, tables = calibrate(answers, backend, mode, args.says or args.data.name)
            found.append(temperature)
            report[mode] = {name: group.model_dump(mode="json") for name, group in tables.items()}
            _print(temperature, tables)
    write_json(args.out / "report.json", {"temperatures": [one.as_json() for one in found], "groups": report})
    if place is not None:
        print(f"written to {write_temperatures(place, found)}")


def ask(backend: Backend, folder: Path, rows: Sequence[Mapping[str, str]], mode: Mode) -> Iterator[Judged]:
    """The model's answers to the pairs that have a better picture; those without a probability are left out."""
    assessor = Assessor(backend, mode=mode)
    decided = [row for row in rows if float(row["p"]) != 0.5]
    done = 0
    for start in range(0, len(decided), AT_ONCE):
        part = decided[start : start + AT_ONCE]
        pairs = [(load_image(folder / row["first"]), load_image(folder / row["second"])) for row in part]
        for row, result in zip(part, assessor.compare_many(pairs), strict=True):
            if result.log_odds is not None:
                yield Judged(
                    photograph=row["group"],
                    factor=row.get("factor") or "",
                    kind=row.get("kind") or "",
                    mode=mode,
                    first_is_better=float(row["p"]) > 0.5,
                    log_odds=result.log_odds,
                    decided=result.winner in ("A", "B"),
                )
        done += len(part)
        print(f"\r{mode}: {done}/{len(decided)} pairs", end="", file=sys.stderr)
    print(file=sys.stderr)


def calibrate(
    answers: Sequence[Judged], backend: Backend, mode: Mode, says: str
) -> tuple[Temperature, dict[str, Group]]:
    """The temperature of the first half of the photographs, and what becomes of the other half with it.

    Raises:
        InputError: a half holds no answer that calls a picture better.
    """
    fitted = [one for one in answers if half_of(one.photograph) == 0 and one.decided]
    rest = [one for one in answers if half_of(one.photograph) == 1]
    if not fitted or not any(one.decided for one in rest):
        raise InputError(f"{mode}: one half of the photographs has no answer that decides; give more photographs")
    temperature = fit_temperature([one.log_odds for one in fitted], [one.first_is_better for one in fitted])
    ceiling = ceiling_of(fitted, temperature)
    entry = Temperature(
        revision=backend.revision,
        prompt_id=Assessor(backend, mode="fast").prompt_id,
        mode=mode,
        temperature=temperature,
        ceiling=ceiling,
        data=says,
        n_pairs=len(fitted),
        n_photographs=len({one.photograph for one in fitted}),
    )
    tables = {"all, not calibrated": group_of(rest, 1.0, 1.0), "all": group_of(rest, temperature, ceiling)}
    keys: tuple[Callable[[Judged], str], ...] = (lambda one: one.factor, lambda one: one.kind)
    for key in keys:
        for name in sorted({key(one) for one in rest} - {""}):
            tables[name] = group_of([one for one in rest if key(one) == name], temperature, ceiling)
    return entry, tables


def _place_of(model: str, adapter: Path | None) -> Path:
    """The folder beside whose weights the file belongs.

    Raises:
        InputError: the weights lie in no folder here.
    """
    if adapter is not None:
        return adapter
    place = nano.weights(model) if model in nano.NAMES else Path(model)
    if not place.is_dir():
        raise InputError(f"{model} is no folder; download it and give the folder, so that --write has a place")
    return place


def _print(temperature: Temperature, tables: Mapping[str, Group]) -> None:
    print(
        f"{temperature.mode}: temperature {temperature.temperature:.2f}, claims up to {temperature.ceiling:.2f}, from "
        f"{temperature.n_pairs} pairs of {temperature.n_photographs} photographs"
    )
    print(f"{'':22} {'n':>5} {'claimed':>8} {'right':>22} {'ECE':>6} {'above 95 %':>12} {'undecided, tie':>15}")
    for name, one in tables.items():
        numbers = (one.claimed, one.right, one.low, one.high, one.ece)
        claimed, right, low, high, ece = ("-" if value is None else f"{value:.3f}" for value in numbers)
        sure = f"{one.n_sure_right} of {one.n_sure}"
        print(f"{name:22} {one.n:5} {claimed:>8} {right:>6} [{low:>6}, {high:>6}] {ece:>6} {sure:>12} {one.n_not:>15}")


if __name__ == "__main__":
    with reporting_errors():
        main(parse_args(sys.argv[1:]))
