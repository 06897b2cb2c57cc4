"""Runs side by side: paired changes, refusals, the three forms of a report, published numbers kept apart."""

from __future__ import annotations

import doctest
import html
import html.parser
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from redaes import metrics
from redaes.errors import InputError, RecordError
from redaes.estimates import paired_bootstrap
from redaes.evaluation import comparison, report
from redaes.evaluation.comparison import compare, mean_over_categories, published
from redaes.evaluation.report import write_report
from redaes.evaluation.run_spec import RunSpec
from redaes.evaluation.runner import read_predictions, run

ROOT = Path(__file__).parents[2]


def quiet(done: int, total: int) -> None:
    pass


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    rows, series = ["image,score"], ["series,image,score"]
    for index in range(40):
        pixels = rng.integers(0, 40 + 5 * index, (16, 24, 3), dtype=np.uint8)
        name = f"<{index}>.png"  # names are data, not markup
        Image.fromarray(pixels).save(folder / name)
        rows.append(f"{name},{index + rng.normal(0, 8):.2f}")
        series.append(f"s{index // 4},{name},{index + rng.normal(0, 2):.2f}")
    (folder / "scores.csv").write_text("\n".join(rows) + "\n")
    (folder / "series.csv").write_text("\n".join(series) + "\n")
    return folder


def runs(data: Path, benchmark: str, out: Path) -> list[Path]:
    folders = []
    for measure in ("luma", "colourfulness", "constant"):
        spec = RunSpec(
            benchmark=benchmark,
            data=data / f"{benchmark}.csv",
            assessor="baseline",
            options={"measure": measure},
        )
        folders.append(out / measure)
        assert run(spec, folders[-1], progress=quiet) is not None
    return folders


def test_examples_in_docstrings() -> None:
    assert doctest.testmod(comparison).failed == 0
    assert doctest.testmod(report).failed == 0


def test_changes_are_paired(data: Path, tmp_path: Path) -> None:
    folders = runs(data, "scores", tmp_path)
    first, second, constant = compare(folders)
    assert first.changes == ()
    change = second.changes[0]
    value = second.results.summary.metrics["srcc"].value - first.results.summary.metrics["srcc"].value  # type: ignore[operator]
    assert change.value == pytest.approx(value)
    old, new = (read_predictions(folder / "pictures.csv") for folder in folders[:2])
    rows = np.array([(a.predicted, b.predicted, a.label) for a, b in zip(old, new, strict=True)], dtype=float)
    plain = paired_bootstrap(
        rows[:, [0, 2]],
        rows[:, [1, 2]],
        range(40),
        lambda part: metrics.srcc(part[:, 0], part[:, 1]),
        n_resamples=1000,
        seed=0,
    )
    assert (change.low, change.high) == pytest.approx((plain.low, plain.high))
    assert constant.changes[0].value is None  # a constant has no correlation, so no change either


def test_series_are_compared_by_pairs_and_by_series(data: Path, tmp_path: Path) -> None:
    _, second, constant = compare(runs(data, "series", tmp_path))
    assert [change.measure for change in second.changes] == ["pair_accuracy", "s_acc", "s_srcc"]
    accuracy, _, order = constant.changes
    assert accuracy.value == pytest.approx(-constant.results.summary.metrics["pair_accuracy"].value + accuracy.value)  # type: ignore[operator]
    assert accuracy.p is not None
    assert order.p is None
    assert order.high is not None
    assert order.high < 0


def test_runs_of_other_labels_are_refused(data: Path, tmp_path: Path) -> None:
    (one, *_), (other, *_) = runs(data, "scores", tmp_path / "a"), runs(data, "series", tmp_path / "b")
    with pytest.raises(InputError, match="not of the same labels: benchmark is series and scores"):
        compare([one, other])
    with pytest.raises(InputError, match="at least two"):
        compare([one])
    (one / "results.json").unlink()
    with pytest.raises(RecordError, match=r"results\.json cannot be read"):
        compare([one, one])


class Page(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


@pytest.mark.parametrize("benchmark", ["scores", "series"])
def test_the_three_forms(data: Path, tmp_path: Path, benchmark: str) -> None:
    folders = runs(data, benchmark, tmp_path)
    files = write_report(tmp_path / "report", compare(folders), folders)
    assert [file.name for file in files] == ["report.md", "report.json", "report.html"]
    found = json.loads(files[1].read_text())
    assert found["schema_version"] == 1
    assert [side["name"] for side in found["measured"]] == ["luma", "colourfulness", "constant"]
    metric = "srcc" if benchmark == "scores" else "s_acc"
    value = found["measured"][0]["results"]["summary"]["metrics"][metric]["value"]
    text = files[0].read_text()
    assert f"| {metric} | {value:.3f} [" in text
    page = Page()
    page.feed(files[2].read_text())
    text = files[2].read_text()
    pictures = [attrs for tag, attrs in page.tags if tag == "img"]
    assert pictures
    for attributes in pictures:
        if benchmark == "scores":
            assert (attributes["src"] or "").startswith("data:image/jpeg;base64,")
        else:
            assert f'id="{attributes["data-picture"]}">data:image/jpeg;base64,' in text
    assert not [attrs for tag, attrs in page.tags if tag in ("link", "iframe") or "href" in attrs]
    rows = [attrs for tag, attrs in page.tags if tag == "tr" and "data-verdict" in attrs]
    n_pairs = len(read_predictions(folders[0] / "pairs.csv")) if benchmark == "series" else 0
    assert [attrs["data-run"] for attrs in rows] == ["luma", "colourfulness", "constant"] * n_pairs
    assert "&lt;0&gt;.png" in files[2].read_text() or "&lt;1" in files[2].read_text()
    assert any(tag == "circle" for tag, _ in page.tags) == (benchmark == "scores")


def test_what_others_published_stands_with_its_source_and_what_is_not_known(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    triage = published("phototriage")
    monkeypatch.setattr(report, "published", lambda benchmark: triage)
    folders = runs(data, "series", tmp_path)
    for file in write_report(tmp_path / "report", compare(folders), folders, examples=False):
        text = html.unescape(file.read_text())
        for one in triage:
            assert one.source in text
            assert one.protocol in text, file


def test_a_report_without_the_pictures_says_so(data: Path, tmp_path: Path) -> None:
    folders = runs(data, "scores", tmp_path)
    spec = json.loads((folders[0] / "spec.json").read_text())
    (folders[0] / "spec.json").write_text(json.dumps({**spec, "data": str(tmp_path / "gone")}))
    with pytest.raises(RecordError, match="gone"):
        write_report(tmp_path / "report", compare(folders), folders)
    assert write_report(tmp_path / "report", compare(folders), folders, examples=False)


def test_published_numbers_name_source_and_protocol_and_agree() -> None:
    table = [published(f"fgaesthetics_{category}")[0].values for category in ("natural", "aigc", "cropping")]
    rows = [(row["pair_accuracy"], row["pair_f1"], row["s_acc"], row["s_srcc"]) for row in table]
    pair, whole = mean_over_categories(rows)
    assert pair == pytest.approx(0.753, abs=6e-4)  # as printed, three decimals of rounded numbers
    assert whole == pytest.approx(0.600, abs=6e-4)
    for name in ("ava", "tad66k", "flickr_aes"):
        assert published(name)
        assert all(one.source.startswith(("arXiv ", "huggingface.co/")) and one.protocol for one in published(name))
    triage = {one.system: one for one in published("phototriage")}
    unsourced = [name for name, one in triage.items() if one.source.startswith("passed on without a source")]
    assert unsourced == ["FGAesQ", "MobileCLIP2-S0, zero-shot"]
    assert all("not to be relied on" in triage[name].protocol for name in unsourced)
    assert published("scores") == []
    with pytest.raises(InputError, match="no categories"):
        mean_over_categories([])


def test_runs_are_put_side_by_side(data: Path, tmp_path: Path) -> None:
    folders = runs(data, "scores", tmp_path)
    command = [sys.executable, str(ROOT / "eval/compare_runs.py"), "--out", str(tmp_path / "report")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([*command, str(folders[0])], env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].endswith("report.html")
    done = subprocess.run([*command, str(tmp_path)], env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 2
    assert done.stderr.startswith("redaes: ")
