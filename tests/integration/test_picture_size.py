"""One pair along every way into a model: at the size that the adapter was trained on, and the same patches."""

from __future__ import annotations

import base64
import io
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from colours import running
from PIL import Image
from typer.testing import CliRunner

from redaes.assessor import Assessor
from redaes.backends.loading import load_processor
from redaes.backends.local import LocalBackend
from redaes.backends.preprocessing import PictureSize, picture_size, size_shown
from redaes.cli.app import app
from redaes.culling.rankers import AssessorRanker
from redaes.errors import BackendError, InputError, TrainingError
from redaes.evaluation.assessors import ASSESSORS
from redaes.evaluation.assessors.base import Question, QuestionPicture
from redaes.heldout import evaluate
from redaes.images import data_url, load_image
from redaes.records import PairRecord, read_records, write_shard
from redaes.serving.app import create_app
from redaes.serving.vllm import ServedModel
from redaes.training.alignment import AlignmentConfig, run_align
from redaes.training.dpo import PairDPOConfig, run_dpo
from redaes.training.grpo import RankingGRPOConfig, run_grpo
from redaes.training.recipes import parse
from redaes.training.sft import PairSFTConfig, run_sft
from redaes.training.vllm_rollouts import picture_settings
from redaes.types import Sampling

CAP = 48 * 48
"""Area in pixels at which the adapter is trained; the base's own is four times that."""
RECIPES = Path(__file__).parents[2] / "stages" / "configs"
STAGES: dict[str, tuple[type, Any, list[str]]] = {
    "stage1": (PairSFTConfig, run_sft, ["--per_device_train_batch_size", "2"]),
    "stage2": (AlignmentConfig, run_align, ["--per_device_train_batch_size", "1"]),
    "stage2_dpo": (PairDPOConfig, run_dpo, ["--per_device_train_batch_size", "2"]),
    "stage3": (
        RankingGRPOConfig,
        run_grpo,
        ["--per_device_train_batch_size", "8", "--steps_per_generation", "1", "--num_generations", "2",
         "--max_completion_length", "4", "--completion_page_steps", "0"],
    ),
}  # fmt: skip


def train(stage: str, model: Path, data: Path, out: Path, *more: str) -> Path:
    config_class, run, small = STAGES[stage]
    argv = ["--model", str(model), "--data", str(data), "--output_dir", str(out), "--max_steps", "1", "--bf16", "false",
            "--save_strategy", "no", "--disable_tqdm", "true", "--lora_r", "4"]  # fmt: skip
    return run(*parse(config_class, RECIPES / f"{stage}_nano.yaml", [*argv, *small, *more]))


@pytest.fixture(scope="module")
def record(red_folder: Path) -> PairRecord:
    """A pair whose pictures both caps shrink, each to another size."""
    for found in read_records(red_folder, "train"):
        if min(load_size(data) for data in (found.first_bytes, found.second_bytes)) > CAP and found.pair.factors:
            return found
    raise AssertionError("no such pair")


def load_size(data: bytes) -> int:
    width, height = Image.open(io.BytesIO(data)).size
    return width * height


@pytest.fixture(scope="module")
def data(record: PairRecord, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of this pair alone."""
    folder = tmp_path_factory.mktemp("one") / "pairs"
    for split in ("train", "test"):
        write_shard(folder / "data" / f"{split}-00000.parquet", [record])
    return folder


@pytest.fixture(scope="module")
def files(record: PairRecord, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The pair's pictures as files."""
    folder = tmp_path_factory.mktemp("files")
    for name, picture in (("first.jpg", record.first_bytes), ("second.jpg", record.second_bytes)):
        (folder / name).write_bytes(picture)
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def adapter(tiny_model: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What stage 1 leaves when it is trained at a size that is not the base's."""
    return train("stage1", tiny_model, data, tmp_path_factory.mktemp("sft") / "run", "--max_pixels", str(CAP))


class Looks:
    """The pictures that vision towers looked at."""

    def __init__(self) -> None:
        self.seen: list[tuple[tuple[int, ...], torch.Tensor]] = []

    def note(self, pixel_values: torch.Tensor, grid: torch.Tensor) -> None:
        parts = torch.split(pixel_values.detach().float(), grid.prod(-1).tolist())
        self.seen += list(zip(map(tuple, grid.tolist()), parts, strict=True))


@contextmanager
def looking() -> Iterator[Looks]:
    """While this lasts, every vision tower's inputs are noted."""
    from transformers.models.qwen3_vl.modeling_qwen3_vl import Qwen3VLVisionModel

    looks, forward = Looks(), Qwen3VLVisionModel.forward

    def noted(self: Any, hidden_states: torch.Tensor, grid_thw: torch.Tensor, **kwargs: Any) -> Any:
        looks.note(hidden_states, grid_thw)
        return forward(self, hidden_states, grid_thw=grid_thw, **kwargs)

    Qwen3VLVisionModel.forward = noted
    try:
        yield looks
    finally:
        Qwen3VLVisionModel.forward = forward


@pytest.fixture(scope="module")
def wanted(adapter: Path, tiny_model: Path, files: list[Path]) -> Looks:
    """The two pictures as the adapter's own processor patches them."""
    looks = Looks()
    found = _processed(load_processor(adapter, None), [load_image(file).image for file in files])
    looks.note(found["pixel_values"], found["image_grid_thw"])
    theirs = _processed(load_processor(tiny_model, None), [load_image(file).image for file in files])
    assert theirs["image_grid_thw"].tolist() != found["image_grid_thw"].tolist()
    return looks


def _processed(processor: Any, images: list[Image.Image], **settings: Any) -> Any:
    return processor.image_processor(images=images, return_tensors="pt", **settings)


def assert_same(found: Looks, wanted: Looks) -> None:
    """Both pictures of the pair were looked at, and nothing else."""
    met = set()
    for grid, patches in found.seen:
        same = [n for n, (size, other) in enumerate(wanted.seen) if size == grid and torch.equal(patches, other)]
        assert same, f"a picture of {grid} patches, where {[size for size, _ in wanted.seen]} are wanted"
        met.update(same)
    assert met == {0, 1}


@pytest.mark.parametrize("stage", STAGES)
def test_a_later_stage_shows_what_the_earlier_did(
    stage: str, tiny_model: Path, data: Path, adapter: Path, wanted: Looks, tmp_path: Path
) -> None:
    with looking() as looks:
        final = train(stage, tiny_model, data, tmp_path / "run", "--adapter", str(adapter))
    assert_same(looks, wanted)
    assert picture_size(final) == picture_size(adapter) == PictureSize(1024, CAP)
    pictures = json.loads((final / "run_record.json").read_text())["pictures"]
    assert (pictures["longest_edge"], pictures["longest_edge_before"]) == (CAP, CAP)


def _request(backend: LocalBackend, files: list[Path]) -> None:
    Assessor(backend, mode="fast").compare(*files)


@pytest.mark.parametrize("way", ["beside its base", "by itself", "merged", "an assessor of the benchmarks"])
def test_asking_shows_what_training_did(
    way: str, tiny_model: Path, adapter: Path, wanted: Looks, files: list[Path], tmp_path: Path
) -> None:
    with looking() as looks:
        if way == "an assessor of the benchmarks":
            made, _ = ASSESSORS["vlm_pairs"]
            assessor = made({"model": str(tiny_model), "adapter": str(adapter), "device": "cpu"})
            shown = tuple(QuestionPicture(file.name, file, load_image(file)) for file in files)
            assessor.answer([Question("0", shown)])
        elif way == "merged":
            from redaes.training.merging import merge

            out = merge(adapter, tmp_path / "merged")
            looks.seen.clear()
            _request(LocalBackend(out, device="cpu"), files)
        elif way == "by itself":
            _request(LocalBackend(adapter, device="cpu"), files)
        else:
            _request(LocalBackend(tiny_model, adapter=adapter, device="cpu"), files)
    assert_same(looks, wanted)


def test_evaluation_ranking_and_the_service_show_what_training_did(
    tiny_model: Path, adapter: Path, wanted: Looks, files: list[Path], record: PairRecord, tmp_path: Path
) -> None:
    # One for each: a backend does not look again at what it has seen lately.
    backends = [LocalBackend(tiny_model, adapter=adapter, device="cpu") for _ in range(3)]
    with looking() as looks:
        evaluate(backends[0], [record], n_reasoned=0, sampling=Sampling(), seed=0)
    assert_same(looks, wanted)
    with looking() as looks:
        pictures = [load_image(file).ref for file in files]
        ranker = AssessorRanker(Assessor(backends[1], mode="fast"))
        list(ranker.rank([{ref.id: ref for ref in pictures}], tmp_path))  # as culling does
    assert_same(looks, wanted)
    urls = ["data:image/jpeg;base64," + base64.b64encode(file.read_bytes()).decode() for file in files]
    with looking() as looks, running(create_app(backends[2])) as address:
        body = {"first": urls[0], "second": urls[1], "mode": "fast"}
        assert httpx.post(f"{address}/v1/compare", json=body, timeout=60).status_code == 200
    assert_same(looks, wanted)


def test_the_command_shows_what_training_did(tiny_model: Path, adapter: Path, wanted: Looks, files: list[Path]) -> None:
    options = ["--model", str(tiny_model), "--adapter", str(adapter), "--device", "cpu"]
    with looking() as looks:
        done = CliRunner().invoke(app, ["compare", *map(str, files), "--mode", "fast", *options])
    assert done.exit_code == 0, done.output
    assert_same(looks, wanted)


@pytest.mark.parametrize("way", ["beside its base", "by itself", "rollouts"])
def test_vllm_is_told_what_training_did(
    way: str, tiny_model: Path, adapter: Path, wanted: Looks, files: list[Path]
) -> None:
    if way == "rollouts":
        settings = picture_settings(load_processor(tiny_model, None, adapter))
    else:
        served = ServedModel(str(tiny_model), adapter) if way == "beside its base" else ServedModel(str(adapter))
        told = served.arguments(8000)
        assert told[told.index("--model") + 1] == str(tiny_model)
        assert "--chat-template" not in told  # it is the base's own
        settings = json.loads(told[told.index("--mm-processor-kwargs") + 1])
        assert served.revision() == LocalBackend(tiny_model, adapter=adapter, device="cpu").revision
    # Pictures travel as PNG; vLLM gives the settings to the processor of the folder that it serves.
    sent = [Image.open(io.BytesIO(base64.b64decode(data_url(load_image(f).image).split(",")[1]))) for f in files]
    found = _processed(load_processor(tiny_model, None), sent, **settings)
    looks = Looks()
    looks.note(found["pixel_values"], found["image_grid_thw"])
    assert_same(looks, wanted)


# --- another size -----------------------------------------------------------------------------------------------


def test_another_size_is_refused_by_name(tiny_model: Path, adapter: Path, tmp_path: Path) -> None:
    words = rf"max_pixels is 9,216, but {adapter} was trained on pictures of at most 2,304 .*processor_config\.json"
    merged = tmp_path / "merged"
    shutil.copytree(adapter, merged)
    (merged / "adapter_config.json").unlink()  # what tells a merged model is its record
    for ask in (
        lambda: LocalBackend(tiny_model, adapter=adapter, max_pixels=96 * 96, device="cpu"),
        lambda: LocalBackend(adapter, max_pixels=96 * 96, device="cpu"),
        lambda: ServedModel(str(tiny_model), adapter, max_pixels=96 * 96).arguments(1),
    ):
        with pytest.raises(InputError, match=words):
            ask()
    with pytest.raises(InputError, match=r"merged was trained on pictures of at most 2,304"):
        LocalBackend(merged, max_pixels=96 * 96, device="cpu")
    done = CliRunner().invoke(
        app, ["serve", "--model", str(tiny_model), "--adapter", str(adapter), "--max-pixels", "9216"]
    )
    assert (done.exit_code, "was trained on pictures of at most 2,304" in done.stderr) == (2, True)
    assert LocalBackend(tiny_model, adapter=adapter, max_pixels=CAP, device="cpu").revision.endswith("-2304px")


def test_an_evaluation_shows_no_smaller_pictures(tiny_model: Path, adapter: Path, data: Path, tmp_path: Path) -> None:
    command = ["eval", "red", "--data", str(data), "--assessor", "vlm_pairs", "--out", str(tmp_path / "out")]
    options = [f"--option={name}={value}" for name, value in (("model", tiny_model), ("adapter", adapter))]
    done = CliRunner().invoke(app, [*command, *options, "--option=device=cpu", "--max-pixels", "2000"])
    assert (done.exit_code, "max_pixels is 2,000, but" in done.stderr, "up to 2,304" in done.stderr) == (2, True, True)
    assert not (tmp_path / "out" / "run.json").exists()


def test_a_server_that_runs_has_a_size_of_its_own() -> None:
    done = CliRunner().invoke(app, ["serve", "--attach", "http://127.0.0.1:9/v1", "--max-pixels", "9216"])
    assert (done.exit_code, "--max-pixels works only with" in done.stderr) == (2, True)


def test_a_later_stage_may_change_the_size_and_says_so(
    tiny_model: Path, data: Path, adapter: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    more = ["--adapter", str(adapter), "--max_pixels", str(32 * 64)]
    final = train("stage2", tiny_model, data, tmp_path / "run", *more)
    said = capfd.readouterr().err
    assert "max_pixels is 2,048: this stage trains, and its result is served, on pictures of at most that" in said
    assert f"where {adapter} was trained on pictures of at most 2,304" in said
    pictures = json.loads((final / "run_record.json").read_text())["pictures"]
    assert (pictures["longest_edge"], pictures["longest_edge_before"]) == (2048, 2304)
    assert picture_size(final) == PictureSize(1024, 2048)


@pytest.mark.parametrize("cap", ["0", "1048577"])
def test_a_cap_that_would_not_hold_is_refused(cap: str, tmp_path: Path, data: Path, tiny_model: Path) -> None:
    with pytest.raises(TrainingError, match="give 1 to 1,048,576"):
        train("stage1", tiny_model, data, tmp_path / "run", "--max_pixels", cap)
    assert not (tmp_path / "run").exists()


def test_an_adapter_without_a_processor_goes_by_its_base(tiny_model: Path, adapter: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        shutil.copyfile(adapter / name, bare / name)
    backend = LocalBackend(tiny_model, adapter=bare, device="cpu")
    assert backend._processor.image_processor.size["longest_edge"] == 96 * 96
    assert LocalBackend(tiny_model, adapter=bare, device="cpu", max_pixels=CAP).revision.endswith("-2304px")
    # Some tools leave the settings for pictures alone.
    shutil.copyfile(adapter / "preprocessor_config.json", bare / "preprocessor_config.json")
    assert load_processor(tiny_model, None, bare).image_processor.size["longest_edge"] == CAP


def test_two_layouts_that_contradict_each_other_are_named(adapter: Path, tiny_model: Path, tmp_path: Path) -> None:
    torn = tmp_path / "torn"
    shutil.copytree(adapter, torn)
    settings = json.loads((torn / "preprocessor_config.json").read_text())
    settings["size"]["longest_edge"] = 9216
    (torn / "preprocessor_config.json").write_text(json.dumps(settings))
    with pytest.raises(BackendError, match=r"at 1,024 to 2,304 pixels, preprocessor_config\.json at 1,024 to 9,216"):
        LocalBackend(tiny_model, adapter=torn, device="cpu")


def test_vllm_serves_no_adapter_whose_patches_are_not_the_models(
    adapter: Path, tiny_model: Path, tmp_path: Path
) -> None:
    odd = tmp_path / "odd"
    shutil.copytree(adapter, odd)
    whole = json.loads((odd / "processor_config.json").read_text())
    whole["image_processor"]["image_mean"] = [0.4, 0.4, 0.4]
    (odd / "processor_config.json").write_text(json.dumps(whole))
    with pytest.raises(BackendError, match=r"image_mean \[0\.4, 0\.4, 0\.4\].*merge the adapter"):
        ServedModel(str(tiny_model), odd).arguments(1)
    (odd / "processor_config.json").write_text((adapter / "processor_config.json").read_text())
    (odd / "chat_template.jinja").write_text("{{ messages[0]['content'] }}")
    told = ServedModel(str(tiny_model), odd).arguments(1)
    assert told[told.index("--chat-template") + 1] == str(odd / "chat_template.jinja")


@pytest.mark.parametrize(
    ("settings", "size"),
    [
        ({"size": {"shortest_edge": 65_536, "longest_edge": 16_777_216}}, PictureSize(65_536, 16_777_216)),
        ({"min_pixels": 3136, "max_pixels": 12_845_056}, PictureSize(3136, 12_845_056)),  # Qwen2.5-VL's own
        ({"size": {"min_pixels": 3136, "max_pixels": 200_704}}, PictureSize(3136, 200_704)),
        ({"size": {"shortest_edge": 1, "longest_edge": 2}, "min_pixels": None, "max_pixels": 9}, PictureSize(1, 9)),
        ({"patch_size": 14}, None),
    ],
)
def test_sizes_are_read_in_every_form(tmp_path: Path, settings: dict[str, Any], size: PictureSize | None) -> None:
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({**settings, "merge_size": 2}))
    assert picture_size(tmp_path) == size
    shown = size_shown(tmp_path, None, 12_544)
    assert shown == (None if size is None else size.capped(12_544))
