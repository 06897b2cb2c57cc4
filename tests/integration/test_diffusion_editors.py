"""Every adapter drives a real pipeline of its class: random weights, a few thousand of them, saved and loaded again."""

from __future__ import annotations

import builtins
import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

pytest.importorskip("diffusers", reason="the extra 'diffusion' is not installed")

from tiny_pipelines import BUILDERS, build, small_area

from redaes.datagen.editors import load_editor
from redaes.datagen.editors.base import EditJob, EditOutcome
from redaes.datagen.editors.diffusion import DiffusionEditor, working_size
from redaes.datagen.editors.diffusion.pipelines import ADAPTERS
from redaes.datagen.editors.diffusion.published_weights import CHECKPOINTS, checkpoint_of
from redaes.errors import BackendError, InputError, MissingDependency

KLEIN = "Flux2KleinPipeline"
KONTEXT = "FluxKontextPipeline"
LONGCAT = "LongCatImageEditPipeline"
PIX2PIX = "StableDiffusionInstructPix2PixPipeline"
PLUS = "QwenImageEditPlusPipeline"
QWEN = "QwenImageEditPipeline"
BATCHING = [KLEIN, KONTEXT, PIX2PIX]
CACHING = [KONTEXT, PLUS, QWEN]
TRANSFORMERS = [KLEIN, KONTEXT, LONGCAT, PLUS, QWEN]

SMALL = 96 * 96
DARKER = EditJob("Make it darker.", 1)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder per class of pipelines."""
    root = tmp_path_factory.mktemp("pipelines")
    for name in BUILDERS:
        build(name, root / name)
    return root


@pytest.fixture(autouse=True)
def small_pictures() -> Iterator[None]:
    with small_area():
        yield


@pytest.fixture
def picture() -> Image.Image:
    """Of a size that fits no pipeline's grid."""
    return Image.fromarray(np.random.default_rng(0).integers(0, 255, (101, 77, 3), dtype=np.uint8))


def load(folders: Path, name: str, **options: Any) -> DiffusionEditor:
    if ADAPTERS[name].max_pixels is not None:
        options.setdefault("max_pixels", SMALL)
    return DiffusionEditor.load(folders / name, device="cpu", **{"steps": 2, **options})


def pixels(outcome: EditOutcome) -> bytes:
    assert outcome.failure is None, outcome.detail
    assert outcome.image is not None
    assert outcome.image.mode == "RGB"
    return outcome.image.tobytes()


def test_there_is_a_tiny_pipeline_for_every_adapter() -> None:
    assert sorted(BUILDERS) == sorted(ADAPTERS)


# --- Edits --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(ADAPTERS))
def test_edits_are_of_the_sources_size_and_follow_seed_and_instruction(
    folders: Path, picture: Image.Image, name: str
) -> None:
    editor = load(folders, name)
    before = picture.tobytes()
    jobs = [DARKER, EditJob(DARKER.instruction, 2), EditJob("Blur the background of this photograph.", 1), DARKER]
    outcomes = editor.edit(picture, jobs)
    assert [outcome.image.size for outcome in outcomes if outcome.image] == [(77, 101)] * 4
    first, other_seed, other_instruction, again = map(pixels, outcomes)
    assert first == again
    assert first != other_seed
    assert first != other_instruction
    assert picture.tobytes() == before
    # Another process, that is another load: the same bytes.
    assert pixels(load(folders, name).edit(picture, [DARKER])[0]) == first


@pytest.mark.parametrize("name", sorted(ADAPTERS))
def test_another_source_gives_another_picture(folders: Path, picture: Image.Image, name: str) -> None:
    editor = load(folders, name)
    flat = Image.new("RGB", picture.size, (200, 30, 30))
    assert pixels(editor.edit(picture, [DARKER])[0]) != pixels(editor.edit(flat, [DARKER])[0])


@pytest.mark.parametrize("size", [(64, 64), (1, 1), (200, 40)])
def test_any_size_comes_back(folders: Path, size: tuple[int, int]) -> None:
    [outcome] = load(folders, KLEIN).edit(Image.new("RGB", size, "gray"), [DARKER])
    assert outcome.image is not None
    assert outcome.image.size == size


def test_what_the_pipeline_itself_refuses_is_said(folders: Path) -> None:
    [outcome] = load(folders, KLEIN).edit(Image.new("RGB", (2000, 90)), [DARKER])
    assert outcome.failure == "editor_error"
    assert "Aspect ratio too extreme" in outcome.detail


@pytest.mark.parametrize("name", BATCHING)
def test_a_batch_gives_what_single_calls_give(folders: Path, picture: Image.Image, name: str) -> None:
    jobs = [EditJob(f"Edit number {number}.", number) for number in range(5)]
    single = load(folders, name).edit(picture, jobs)
    batched = load(folders, name, batch_size=2).edit(picture, jobs)
    for one, other in zip(single, batched, strict=True):
        difference = np.abs(np.asarray(one.image, dtype=int) - np.asarray(other.image, dtype=int))
        assert difference.max() <= 2  # grey levels: sums are rounded in another order


def attentions(editor: DiffusionEditor) -> Counter[str]:
    """Counts from now on how often each attention of the denoiser computes its queries."""
    counted: Counter[str] = Counter()
    for part, module in editor._pipeline.transformer.named_modules():
        if part.endswith("attn.to_q") or part.endswith("attn.to_qkv_mlp_proj"):
            module.register_forward_hook(lambda *_, part=part: counted.update([part]))
    return counted


@pytest.mark.parametrize(
    ("name", "options", "share"),
    [
        *((name, {"cache": "first_block", "cache_threshold": 1e9}, 0.75) for name in CACHING),
        *((name, {"cache": "taylorseer", "cache_interval": 3}, 0.8) for name in TRANSFORMERS),
    ],
)
def test_a_step_cache_spares_work_and_leaves_nothing_behind(
    folders: Path, picture: Image.Image, name: str, options: dict[str, Any], share: float
) -> None:
    plain, cached = load(folders, name, steps=8), load(folders, name, steps=8, **options)
    all_of_them, some = attentions(plain), attentions(cached)
    expected = pixels(plain.edit(picture, [DARKER])[0])
    first, again = cached.edit(picture, [DARKER, DARKER])
    assert pixels(first) == pixels(again)
    assert 0 < some.total() / 2 < share * all_of_them.total()
    # The tiny denoisers of Qwen hardly decide a picture, so that skipping may not show.
    assert pixels(first) != expected or name in (PLUS, QWEN)


def test_a_threshold_that_nothing_meets_changes_nothing(folders: Path, picture: Image.Image) -> None:
    plain, cached = (
        load(folders, KONTEXT, steps=4),
        load(folders, KONTEXT, steps=4, cache="first_block", cache_threshold=1e-9),
    )
    assert pixels(cached.edit(picture, [DARKER])[0]) == pixels(plain.edit(picture, [DARKER])[0])
    assert cached.settings["cache_threshold"] == 1e-9


def test_a_cache_that_would_never_be_used_is_refused(folders: Path) -> None:
    with pytest.raises(InputError, match="first 3 steps whole, and there are 3"):
        load(folders, KLEIN, cache="taylorseer", steps=3)


def test_recipes_name_the_number_format(folders: Path) -> None:
    assert load(folders, KLEIN, dtype="bfloat16").settings["dtype"] == "torch.bfloat16"
    with pytest.raises(InputError, match="dtype is 'int8'; give bfloat16, float16 or float32"):
        load(folders, KLEIN, dtype="int8")


@pytest.mark.slow
@pytest.mark.parametrize("name", [KLEIN, PIX2PIX])
def test_compiled_blocks_draw_the_same(folders: Path, picture: Image.Image, name: str) -> None:
    plain, compiled = load(folders, name), load(folders, name, compile=True)
    made = [np.asarray(editor.edit(picture, [DARKER])[0].image, dtype=int) for editor in (plain, compiled)]
    assert np.abs(made[0] - made[1]).max() <= 2
    assert compiled.settings["compile"] is True


@pytest.mark.parametrize("name", sorted(ADAPTERS))
def test_half_precision_runs(folders: Path, picture: Image.Image, name: str) -> None:
    editor = load(folders, name, dtype=torch.bfloat16)
    assert pixels(editor.edit(picture, [DARKER])[0]) == pixels(editor.edit(picture, [DARKER])[0])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("offload", ["model", "sequential"])
@pytest.mark.parametrize("name", sorted(ADAPTERS))
def test_what_is_offloaded_draws_the_same(folders: Path, picture: Image.Image, name: str, offload: str) -> None:
    area = {} if ADAPTERS[name].max_pixels is None else {"max_pixels": SMALL}
    plain, offloaded = (
        DiffusionEditor.load(folders / name, device="cuda", dtype=torch.float32, steps=2, offload=where, **area)
        for where in ("none", offload)
    )
    made = [np.asarray(editor.edit(picture, [DARKER])[0].image, dtype=int) for editor in (plain, offloaded)]
    assert np.abs(made[0] - made[1]).max() <= 2


def test_guidance_and_steps_matter(folders: Path, picture: Image.Image) -> None:
    made = [
        pixels(load(folders, QWEN, **options).edit(picture, [DARKER])[0])
        for options in ({"guidance": 1.0}, {"guidance": 4.0}, {"guidance": 4.0, "steps": 3})
    ]
    assert len(set(made)) == 3


@pytest.mark.parametrize("mode", ["L", "RGBA"])
def test_only_rgb_is_taken(folders: Path, mode: str) -> None:
    with pytest.raises(InputError, match=mode):
        load(folders, KLEIN).edit(Image.new(mode, (64, 64)), [DARKER])


def test_no_jobs(folders: Path, picture: Image.Image) -> None:
    assert load(folders, KLEIN).edit(picture, []) == []


# --- Failures -----------------------------------------------------------------------------------------


def _failing(editor: DiffusionEditor, error: Exception, when: Callable[[Any], bool]) -> None:
    """Let the denoiser of a real pipeline raise for some instructions."""
    pipeline = editor._pipeline
    real = type(pipeline).__call__

    class Failing(type(pipeline)):  # type: ignore[misc]
        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            if when(kwargs["prompt"]):
                raise error
            return real(self, *args, **kwargs)

    pipeline.__class__ = Failing


@pytest.mark.parametrize("batch_size", [1, 3])
@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate"), "out_of_memory"),
        (RuntimeError("kernel went wrong"), "editor_error"),
        (ValueError("no such height"), "editor_error"),
    ],
)
def test_a_job_that_fails_does_not_lose_the_others(
    folders: Path, picture: Image.Image, batch_size: int, error: Exception, reason: str
) -> None:
    jobs = [DARKER, EditJob("Break.", 1), EditJob("Blur it.", 1)]
    expected = [pixels(outcome) for outcome in load(folders, PIX2PIX).edit(picture, [jobs[0], jobs[2]])]
    editor = load(folders, PIX2PIX, batch_size=batch_size)
    _failing(editor, error, lambda prompts: "Break." in prompts)
    outcomes = editor.edit(picture, jobs)
    assert [outcome.failure for outcome in outcomes] == [None, reason, None]
    assert outcomes[1].detail == f"{type(error).__name__}: {str(error).splitlines()[0]}"
    assert [pixels(outcomes[0]), pixels(outcomes[2])] == expected


def test_what_is_no_failure_of_a_job_is_not_swallowed(folders: Path, picture: Image.Image) -> None:
    editor = load(folders, PIX2PIX)
    _failing(editor, KeyError("a fault of the code"), lambda prompts: True)
    with pytest.raises(KeyError):
        editor.edit(picture, [DARKER])


@pytest.mark.parametrize("name", sorted(ADAPTERS))
def test_an_instruction_that_would_be_cut_off_fails_alone(folders: Path, picture: Image.Image, name: str) -> None:
    outcomes = load(folders, name).edit(picture, [EditJob("Make it darker. " * 200, 1), DARKER])
    assert [outcome.failure for outcome in outcomes] == ["instruction_too_long", None]


def test_numbers_that_are_none_make_no_black_picture(folders: Path, picture: Image.Image) -> None:
    editor = load(folders, PIX2PIX)
    with torch.no_grad():
        editor._pipeline.vae.decoder.conv_out.bias.fill_(torch.nan)
    [outcome] = editor.edit(picture, [DARKER])
    assert outcome.failure == "not_finite"


def test_what_the_safety_filter_blackens_is_a_failure(folders: Path, picture: Image.Image) -> None:
    editor = load(folders, PIX2PIX)

    def filter_all(image: np.ndarray, device: object, dtype: object) -> tuple[np.ndarray, list[bool]]:
        return image, [True] * len(image)

    editor._pipeline.run_safety_checker = filter_all
    [outcome] = editor.edit(picture, [DARKER])
    assert outcome.failure == "withheld"


# --- Loading ------------------------------------------------------------------------------------------


def test_the_name_says_pipeline_and_folder_and_the_revision_follows_the_files(folders: Path, tmp_path: Path) -> None:
    editor = load(folders, KLEIN)
    assert editor.name == f"diffusers:{KLEIN}/{KLEIN}"
    copy = tmp_path / KLEIN
    shutil.copytree(folders / KLEIN, copy)
    assert load(tmp_path, KLEIN).revision == editor.revision
    file = copy / "transformer" / "diffusion_pytorch_model.safetensors"
    weights = load_file(file)
    save_file({key: value * 1.01 for key, value in weights.items()}, file, metadata={"format": "pt"})
    assert load(tmp_path, KLEIN).revision != editor.revision


def test_settings_say_what_else_decides_the_pictures(folders: Path) -> None:
    assert json.loads(json.dumps(load(folders, KLEIN, batch_size=2).settings)) == {
        "steps": 2,
        "guidance": 1.0,
        "max_pixels": SMALL,
        "batch_size": 2,
        "device": "cpu",
        "dtype": "torch.float32",
        "compile": False,
        "cache": "none",
    }


def test_an_editor_is_found_by_its_folder(folders: Path, picture: Image.Image) -> None:
    editor = load_editor(str(folders / KLEIN), device="cpu", steps=2, max_pixels=SMALL)
    assert pixels(editor.edit(picture, [DARKER])[0]) == pixels(load(folders, KLEIN).edit(picture, [DARKER])[0])


def test_an_unknown_pipeline_lists_the_known_ones(folders: Path, tmp_path: Path) -> None:
    (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": "Flux2Pipeline"}))
    with pytest.raises(InputError, match=r"Flux2Pipeline; there are Flux2KleinPipeline, .*Pix2PixPipeline"):
        DiffusionEditor.load(tmp_path, device="cpu")


def test_a_folder_without_a_pipeline(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="model_index"):
        DiffusionEditor.load(tmp_path, device="cpu")


def test_a_hub_name_that_cannot_be_had() -> None:
    with pytest.raises(BackendError, match="the Hugging Face Hub does not provide"):
        load_editor("nobody/nothing", device="cpu")


def test_a_model_in_the_hubs_cache_is_pinned_by_its_commit(
    folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, picture: Image.Image
) -> None:
    commit = "0123456789" * 4
    repository = tmp_path / "models--black-forest-labs--FLUX.2-klein-4B"
    shutil.copytree(folders / KLEIN, repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    for constants in ("huggingface_hub.constants.HF_HUB_CACHE", "diffusers.utils.constants.HF_HUB_CACHE"):
        monkeypatch.setattr(constants, str(tmp_path), raising=False)
    editor = load_editor("diffusers", device="cpu", steps=2, max_pixels=SMALL)
    assert editor.name == f"diffusers:{KLEIN}/black-forest-labs/FLUX.2-klein-4B"
    assert (editor.revision, editor.licence, editor.commercial) == (commit, "Apache-2.0", True)
    assert pixels(editor.edit(picture, [DARKER])[0]) == pixels(load(folders, KLEIN).edit(picture, [DARKER])[0])


@pytest.mark.parametrize("part", ["transformer", "text_encoder", "vae"])
def test_missing_weights_are_refused(folders: Path, tmp_path: Path, part: str) -> None:
    shutil.copytree(folders / KLEIN, tmp_path / KLEIN)
    [file] = (tmp_path / KLEIN / part).glob("*.safetensors")
    weights = load_file(file)
    del weights[sorted(weights)[0]]
    save_file(weights, file, metadata={"format": "pt"})
    with pytest.raises(BackendError, match=f"{part} lacks 1 weights"):
        load(tmp_path, KLEIN)


@pytest.mark.parametrize("name", [KLEIN, KONTEXT])
def test_a_missing_vocabulary_is_refused(folders: Path, tmp_path: Path, name: str) -> None:
    shutil.copytree(folders / name, tmp_path / name)
    (tmp_path / name / "tokenizer" / "tokenizer.json").unlink()
    with pytest.raises(BackendError):
        load(tmp_path, name)


def test_pickled_weights_are_not_read(folders: Path, tmp_path: Path) -> None:
    shutil.copytree(folders / KLEIN, tmp_path / KLEIN)
    file = tmp_path / KLEIN / "vae" / "diffusion_pytorch_model.safetensors"
    torch.save(load_file(file), file.with_suffix(".bin"))
    file.unlink()
    with pytest.raises(BackendError, match="cannot be loaded"):
        load(tmp_path, KLEIN)


def test_without_diffusers_the_install_line_is_given(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def absent(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "diffusers":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(MissingDependency, match=r"pip install 'redaes\[diffusion\]'"):
        DiffusionEditor.load(folders / KLEIN, device="cpu")


# --- Settings -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        (QWEN, {"batch_size": 2}, "one instruction at a time"),
        (PLUS, {"batch_size": 2}, "one instruction at a time"),
        (LONGCAT, {"batch_size": 2}, "one instruction at a time"),
        (KLEIN, {"batch_size": 0}, "batch_size is 0"),
        (PLUS, {"max_pixels": 4096}, "chooses the size"),
        (KLEIN, {"max_pixels": 0}, "max_pixels is 0"),
        (KLEIN, {"steps": 0}, "steps is 0"),
        (KLEIN, {"guidance": -1.0}, "guidance is -1"),
        (KLEIN, {"guidance": float("nan")}, "guidance is nan"),
        (KLEIN, {"cache": "first_block"}, "does not know Flux2"),
        (LONGCAT, {"cache": "first_block"}, "does not know LongCat"),
        (PIX2PIX, {"cache": "first_block"}, "does not know Stable"),
        (PIX2PIX, {"cache": "taylorseer"}, "does not know Stable"),
        (KLEIN, {"cache": "everything"}, "none, first_block, taylorseer"),
        (KLEIN, {"cache_threshold": 0.1}, "belongs to cache=first_block"),
        (QWEN, {"cache": "first_block", "cache_threshold": 0.0}, "cache_threshold is 0.0"),
        (KLEIN, {"cache_interval": 4}, "belongs to cache=taylorseer"),
        (KLEIN, {"cache": "taylorseer", "cache_interval": 1}, "cache_interval is 1"),
        (KLEIN, {"offload": "disk"}, "none, model, sequential"),
        (KLEIN, {"offload": "model"}, "the device is the CPU"),
        (LONGCAT, {"lora": "a/b:c.safetensors"}, "no LoRA"),
        (KLEIN, {"lora": "c.bin"}, "give a safetensors file"),
        (KLEIN, {"revision": "main"}, "no revisions"),
    ],
)
def test_settings_that_a_pipeline_does_not_have(folders: Path, name: str, options: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        load(folders, name, **options)


def test_a_device_that_is_not_there(folders: Path) -> None:
    with pytest.raises(BackendError, match="device 'nonesuch'"):
        DiffusionEditor.load(folders / KLEIN, device="nonesuch")


def test_steps_and_guidance_are_those_of_the_release(folders: Path, tmp_path: Path) -> None:
    def settings(folder: Path, **options: Any) -> tuple[int, float]:
        editor = DiffusionEditor.load(folder, device="cpu", **options)
        return editor.steps, editor.guidance

    assert settings(folders / KLEIN) == (4, 1.0)
    assert settings(folders / KLEIN, steps=6, guidance=2.0) == (6, 2.0)
    assert settings(folders / PLUS) == (40, 4.0)
    assert settings(folders / LONGCAT) == (50, 4.5)
    base = tmp_path / "base"
    shutil.copytree(folders / KLEIN, base)
    index = base / "model_index.json"
    index.write_text(index.read_text().replace('"is_distilled": true', '"is_distilled": false'))
    assert settings(base) == (50, 4.0)
    turbo = tmp_path / "LongCat-Image-Edit-Turbo"
    shutil.copytree(folders / LONGCAT, turbo)
    assert settings(turbo) == (8, 1.0)


# --- LoRA ---------------------------------------------------------------------------------------------


@pytest.fixture
def lora(folders: Path, tmp_path: Path) -> Path:
    """A LoRA for the tiny Qwen transformer, named like one of the Lightning series."""
    generator = torch.Generator().manual_seed(0)
    weights = {}
    for layer in range(2):
        key = f"transformer.transformer_blocks.{layer}.attn.to_q"
        weights[f"{key}.lora_A.weight"] = torch.randn(4, 32, generator=generator)
        weights[f"{key}.lora_B.weight"] = torch.randn(32, 4, generator=generator)
    file = tmp_path / "Qwen-Image-Edit-Lightning-4steps-V1.0.safetensors"
    save_file(weights, file, metadata={"format": "pt"})
    return file


def test_a_lightning_lora_brings_its_steps_and_schedule(folders: Path, picture: Image.Image, lora: Path) -> None:
    plain = DiffusionEditor.load(folders / PLUS, device="cpu", steps=4, guidance=1.0)
    fast = DiffusionEditor.load(folders / PLUS, device="cpu", lora=str(lora))
    assert (fast.steps, fast.guidance) == (4, 1.0)
    assert fast._pipeline.scheduler.config.shift_terminal is None
    assert fast._pipeline.scheduler.config.base_shift == pytest.approx(1.0986, abs=1e-4)
    assert fast.name == f"{plain.name} + {lora.name}"
    assert fast.revision.startswith(f"{plain.revision}+")
    assert pixels(fast.edit(picture, [DARKER])[0]) != pixels(plain.edit(picture, [DARKER])[0])
    # A licence that nobody looked up permits nothing.
    assert fast.licence == "LicenseRef-unknown"
    assert not fast.commercial


def test_a_lora_of_another_model_is_refused(folders: Path, lora: Path) -> None:
    weights = {key.replace("to_q", "no_such_layer"): value for key, value in load_file(lora).items()}
    save_file(weights, lora, metadata={"format": "pt"})
    with pytest.raises(BackendError, match="does not fit"):
        DiffusionEditor.load(folders / PLUS, device="cpu", lora=str(lora))


# --- Licences -----------------------------------------------------------------------------------------


def test_models_that_are_not_for_commercial_use_are_flagged(folders: Path, tmp_path: Path) -> None:
    flagged = {name for name, checkpoint in CHECKPOINTS.items() if not checkpoint.commercial}
    assert flagged == {
        "Qwen/Qwen-Image-2.1",
        "black-forest-labs/FLUX.1-Kontext-dev",
        "black-forest-labs/FLUX.2-dev",
        "black-forest-labs/FLUX.2-klein-9B",
        "black-forest-labs/FLUX.2-klein-base-9B",
    }
    unknown = load(folders, KLEIN)
    assert (unknown.licence, unknown.commercial) == ("LicenseRef-unknown", False)
    for folder, licence in (("FLUX.2-klein-4B", "Apache-2.0"), ("FLUX.2-klein-9B", "LicenseRef-FLUX-Non-Commercial")):
        shutil.copytree(folders / KLEIN, tmp_path / folder)
        editor = DiffusionEditor.load(tmp_path / folder, device="cpu")
        assert (editor.licence, editor.commercial) == (licence, licence == "Apache-2.0")


def test_a_hub_name_is_known_only_as_a_whole() -> None:
    assert checkpoint_of("BLACK-forest-labs/FLUX.2-klein-4B").commercial
    assert not checkpoint_of("somebody/FLUX.2-klein-4B").commercial


@pytest.mark.parametrize("enlarge", [False, True])
@pytest.mark.parametrize("size", [(1, 1), (77, 101), (1024, 1024), (4000, 3000), (3000, 20), (16, 5000)])
def test_working_sizes_keep_to_grid_area_and_aspect(size: tuple[int, int], enlarge: bool) -> None:
    width, height = working_size(size, 1024 * 1024, 16, enlarge=enlarge)
    assert width % 16 == height % 16 == 0
    assert width * height <= 1024 * 1024
    assert working_size((2000, 90), 96 * 96, 16, min_side=64) == (1424, 64)  # not squeezed into the area
    if min(width, height) > 64:
        assert width / height == pytest.approx(size[0] / size[1], rel=0.2)
