"""Scripts refuse what cannot be right before they import a heavy library."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from redaes import early_checks
from redaes.errors import InputError, RecordError, TrainingError
from redaes.option_sources import Unreadable, defaults_of, names_of

ROOT = Path(__file__).resolve().parents[2]

RUN_ALL = """
import contextlib, io, json, os, runpy, sys
found = []
for script, arguments in json.loads(sys.argv[1]):
    sys.argv = [script, *arguments]
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            runpy.run_path(script, run_name="__main__")
            code = "none"
        except SystemExit as stop:
            code = stop.code
    heavy = [name for name in ("torch", "transformers", "trl", "datasets", "cv2", "pyarrow") if name in sys.modules]
    found.append([code, err.getvalue(), out.getvalue(), heavy])
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("early")
    (place / "unknown.yaml").write_text("learning_rat: 1.0e-4\n")
    (place / "list.yaml").write_text("- model\n")
    (place / "data" / "data").mkdir(parents=True)
    (place / "file").write_text("")
    return place


REFUSED = [
    ("stages/stage1_sft.py", ["--config", "none.yaml"], "none.yaml"),
    ("stages/stage1_sft.py", ["--config", "unknown.yaml"], "learning_rat"),
    ("stages/stage1_sft.py", ["--config", "list.yaml"], "not a YAML mapping"),
    ("stages/stage1_sft.py", ["--config"], "--config has no value"),
    ("stages/stage1_sft.py", ["--learning_rat_e", "1"], "--learning_rat_e"),
    ("stages/stage1_sft.py", ["--data", "none"], "none is not a RED dataset"),
    ("stages/stage1_sft.py", ["--data", "data", "--model", "./none"], "./none: no such model folder"),
    ("stages/stage1_sft.py", ["--data=data", "--output_dir", "file/run"], "file is not a folder"),
    ("stages/stage1_sft.py", ["--output-dir"], "no usable value"),
    ("stages/stage2_align.py", ["--config", "none.yaml"], "none.yaml"),
    ("stages/stage2_align.py", ["--objective", "dpo", "--adapter", "none"], "adapter_config.json"),
    ("stages/stage2_align.py", ["--objective", "ppo"], "'ppo', which is unknown"),
    ("stages/stage3_grpo.py", ["--config", "unknown.yaml"], "learning_rat"),
    ("stages/stage3_grpo.py", ["--data", "none"], "none is not a RED dataset"),
    ("stages/stage3_grpo.py", ["--reward_weights", "1", "2"], "2 reward_weights for 9 rewards (format, "),
    ("stages/stage3_grpo.py", ["--rewards", "format", "factor", "--reward-w", "1"], "for 2 rewards (format, factor)"),
    ("stages/stage3_grpo.py", ["--reward_plugin", "a:f", "--reward_plugin", "b:g"], "for 11 rewards and plugins"),
    ("stages/warmup_vision.py", ["--data", "none"], "none is not a RED dataset"),
    ("stages/warmup_reading.py", ["--config", "unknown.yaml"], "learning_rat"),
    ("stages/fgaesq.py", ["--series", "none.jsonl"], "none.jsonl"),
    ("stages/fgaesq.py", ["--config", "unknown.yaml"], "learning_rat"),
    ("redaes/__main__.py", ["train", "grpo", "--config", "nowhere"], "recipe 'nowhere' is unknown"),
    ("redaes/__main__.py", ["train", "sft", "--config", "qwen3_vl_8b", "--data", "none"], "none is not a RED dataset"),
    ("redaes/__main__.py", ["train", "sft", "--data", "none", "--num_processes", "2"], "none is not a RED dataset"),
    ("redaes/__main__.py", ["train", "sft", "--accelerate_config", "zero9"], "cpu, ddp, multi_node, single_gpu, zero2"),
    ("redaes/__main__.py", ["train", "merge", "none", "--out", "merged"], "adapter_config.json"),
    ("stages/check.py", ["none", "--data", "data"], "run_record.json"),
    ("stages/merge.py", ["none", "--out", "merged"], "adapter_config.json"),
    ("stages/build_nano.py", ["--data", "none", "--out", "nano"], "none is not a RED dataset"),
    ("data_gen/build_pairs.py", ["--config", "none.yaml"], "none.yaml"),
    ("data_gen/build_pairs.py", ["none", "--out", "pairs"], "none: no such file"),
    ("data_gen/build_pairs.py", ["data", "--out", "file/pairs"], "file is not a folder"),
    ("data_gen/build_series.py", ["--natural", "none", "--out", "series"], "none: no such file"),
    ("eval/run_benchmark.py", ["ava", "--data", "data", "--config", "none.yaml"], "none.yaml"),
    ("eval/run_benchmark.py", ["ava", "--data", "data", "--out", "file/run"], "file is not a folder"),
    ("eval/check_leaks.py", ["none", "--benchmark", "ava", "--data", "data"], "none: no such file"),
    ("eval/compare_runs.py", ["none", "--out", "report"], "none/results.json"),
    ("eval/probe_robustness.py", ["build", "none"], "none: no such file"),
    ("eval/rationale_quality.py", ["none"], "none is not a RED dataset"),
    ("eval/rationale_quality.py", ["data", "--adapter", "none"], "adapter_config.json"),
    ("eval/rationale_quality.py", ["data", "--revision", "r1"], "--revision works only together with --endpoint"),
    ("eval/rationale_quality.py", ["data", "--prompt", "compare/v999"], "give one of compare/v1, compare_measured/v1"),
    ("eval/rationale_quality.py", ["data", "--measured", "--prompt", "compare/v1"], "give only one of them"),
    ("eval/rationale_quality.py", ["data", "--samples", "-1"], "samples is -1"),
    ("eval/calibrate.py", ["data", "--model", "./none"], "./none: no such model folder"),
    ("data_gen/build_series.py", ["--assessor", "./none", "--out", "series"], "./none: no such model folder"),
    ("redaes/__main__.py", ["compare", "a.jpg", "b.jpg", "--model", "./none"], "./none: no such model folder"),
    ("redaes/__main__.py", ["compare", "a.jpg", "b.jpg", "--adapter", "none"], "adapter_config.json"),
    ("redaes/__main__.py", ["score", "a.jpg", "--model", "./none"], "./none: no such model folder"),
    ("redaes/__main__.py", ["rank", "data", "--adapter", "none"], "adapter_config.json"),
    ("redaes/__main__.py", ["rank", "data", "--model", "fgaesq", "--weights", "none"], "none: no such file or folder"),
    (
        "redaes/__main__.py",
        ["rank", "data", "--model", "fgaesq", "--weights", "data", "--judge", "./none"],
        "./none: no such model folder",
    ),
    ("redaes/__main__.py", ["models", "convert", "none.pt", "--out", "m"], "none.pt: no such file"),
    ("redaes/__main__.py", ["models", "convert", "data", "--out", "m"], "Is a directory"),
    ("redaes/__main__.py", ["models", "convert", "unknown.yaml", "--out", "m"], "does not contain weights"),
    ("redaes/__main__.py", ["serve", "--model", "./none"], "./none: no such model folder"),
    ("redaes/__main__.py", ["serve", "--adapter", "none"], "adapter_config.json"),
]
ANSWERED = [
    ("stages/stage1_sft.py", []),
    ("stages/stage2_align.py", []),
    ("stages/stage3_grpo.py", []),
    ("stages/fgaesq.py", []),
    ("redaes/__main__.py", ["train", "dpo", "--config", "qwen3_5_2b"]),
]


@pytest.fixture(scope="module")
def outcomes(folder: Path) -> list[tuple[object, str, str, list[str]]]:
    """What one new interpreter says to all cases, one after the other."""
    cases = [(str(ROOT / script), arguments) for script, arguments, _ in REFUSED]
    cases += [(str(ROOT / script), [*arguments, "--help"]) for script, arguments in ANSWERED]
    done = subprocess.run(
        [sys.executable, "-c", RUN_ALL, json.dumps(cases)], cwd=folder, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return [tuple(one) for one in json.loads(done.stdout)]


@pytest.mark.parametrize("number", range(len(REFUSED)), ids=lambda n: f"{Path(REFUSED[n][0]).stem}-{n}")
def test_a_script_refuses_before_it_imports_a_heavy_library(number: int, outcomes: list[tuple], folder: Path) -> None:
    code, error, _, heavy = outcomes[number]
    assert code == 2, error
    assert REFUSED[number][2] in error.splitlines()[-1]
    assert heavy == []


def test_nothing_was_written_by_refused_runs(outcomes: list[tuple], folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} == {"unknown.yaml", "list.yaml", "data", "file"}


@pytest.mark.parametrize("number", range(len(ANSWERED)), ids=lambda n: Path(ANSWERED[n][0]).stem)
def test_help_lists_every_option_without_a_heavy_library(number: int, outcomes: list[tuple]) -> None:
    code, error, text, heavy = outcomes[len(REFUSED) + number]
    assert code == 0, error
    assert heavy == []
    for option in ("--output_dir", "--learning_rate", "--gradient_checkpointing", "--num_processes"):
        assert option in text
    assert "config" in text


def test_options_of_a_dataclass_are_read_from_its_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "sources_of_options"
    package.mkdir()
    (package / "__init__.py").write_text("from .one import A as B\n")
    (package / "one.py").write_text(
        "from dataclasses import dataclass, field\nfrom typing import ClassVar\nfrom .two import Base\n"
        "@dataclass\nclass A(Base):\n    x: int = field(default=3, metadata={'help': 'an ' 'x'})\n"
        "    y: ClassVar[int] = 1\n    z: str = field(default='', init=False)\n"
    )
    (package / "two.py").write_text("from dataclasses import dataclass\n@dataclass\nclass Base:\n    b: float = 0.5\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert names_of("sources_of_options:B") == {"x", "b"}
    assert defaults_of("sources_of_options:B") == {"x": "3", "b": "0.5"}
    with pytest.raises(Unreadable, match="no class C"):
        names_of("sources_of_options:C")


def test_bases_named_by_their_library_are_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "sources_of_bases"
    package.mkdir()
    (package / "__init__.py").write_text("from .two import Base\n")
    (package / "two.py").write_text("class Base:\n    b: float = 0.5\n")
    (package / "one.py").write_text(
        "import sources_of_bases\nimport sources_of_bases.two as two\nimport sources_of_bases.two\n"
        "class A(sources_of_bases.Base):\n    a: int = 1\nclass B(two.Base):\n    pass\n"
        "class C(sources_of_bases.two.Base, object):\n    pass\nclass D(made().Base):\n    pass\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert names_of("sources_of_bases.one:A") == {"a", "b"}
    assert names_of("sources_of_bases.one:B") == names_of("sources_of_bases.one:C") == {"b"}
    with pytest.raises(Unreadable, match=r"made\(\)\.Base cannot be followed"):
        names_of("sources_of_bases.one:D")


def test_options_read_are_the_options_there_are() -> None:
    from redaes.datagen.dataset_settings import DatasetSettings

    assert names_of("redaes.datagen.dataset_settings:DatasetSettings") == set(DatasetSettings.model_fields)


def test_a_model_is_a_folder_or_a_name_of_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    early_checks.check_model("owner/name")
    early_checks.check_model("redaes/nano-base")
    monkeypatch.chdir(tmp_path)  # in a checkout, the embedded model's name is that of a folder of sources
    (tmp_path / "redaes" / "nano").mkdir(parents=True)
    early_checks.check_model("redaes/nano")
    with pytest.raises(InputError, match=r"no config\.json"):
        early_checks.check_model(str(tmp_path))
    with pytest.raises(InputError, match="no such model folder"):
        early_checks.check_model(str(tmp_path / "none"))
    with pytest.raises(InputError, match=r"no config\.json"):
        early_checks.check_judge(str(tmp_path), None)
    (tmp_path / "adapter_config.json").write_text("{}")
    early_checks.check_judge(str(tmp_path), None)


def test_an_output_folder_is_not_made(tmp_path: Path) -> None:
    early_checks.check_writable(tmp_path / "a" / "b")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordError, match="is not a folder"):
        early_checks.check_writable(tmp_path / "file" / "b")


def test_a_recipe_may_be_named_in_one_word(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text("lora_r: 5\n")
    classes = ("redaes.training.stage_arguments:StageArguments",)
    argv = [f"--config={tmp_path / 'recipe.yaml'}", "--max_pixels=3"]
    assert early_checks.settings(argv, Path("nowhere.yaml"), classes)["lora_r"] == 5
    assert early_checks.apart(argv) == ["--config", str(tmp_path / "recipe.yaml"), "--max_pixels=3"]


def test_beginnings_of_options_and_negations_are_left_to_the_parser(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text("env: {}\n")
    classes = ("redaes.training.stage_arguments:StageArguments",)
    early_checks.settings(["--max_pix", "3", "--no_full_training", "--lora-r=4"], tmp_path / "recipe.yaml", classes)
    with pytest.raises(TrainingError, match="--lora_s"):
        early_checks.settings(["--lora_s", "4"], tmp_path / "recipe.yaml", classes)
