"""The old policy's log-probabilities, taken from the sampler, are those that reading the answers again would give."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from families import build
from own_pairs import write_own_pairs
from shared_trainers import arguments, trainer_of
from torch import Tensor
from trl import GRPOTrainer

from redaes.errors import TrainingError
from redaes.training import trl_methods
from redaes.training.grpo import RankingGRPOTrainer
from redaes.training.sampled_log_probs import SampledLogProbs
from redaes.training.trl_methods import check_trl

OUTLIVING = ["--per_device_train_batch_size", "12", "--steps_per_generation", "3", "--save_steps", "9",
             "--lora_r", "4"]  # fmt: skip
"""Answers are used in three optimizer steps: TRL asks for the old policy's log-probabilities."""


@pytest.fixture(scope="module")
def own_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_own_pairs(tmp_path_factory.mktemp("own") / "pairs", 4)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {name: build(name, tmp_path_factory.mktemp(name) / "model") for name in ("qwen2_5_vl", "qwen3_vl")}


@pytest.fixture
def trained(own_data: Path, folders: dict[str, Path], tmp_path: Path) -> Callable[..., RankingGRPOTrainer]:
    """Makes a trainer whose LoRA adds something, and which ends its answers on the way."""

    def make(*more: str, family: str = "qwen3_vl") -> RankingGRPOTrainer:
        trainer, _ = trainer_of(folders[family], own_data, tmp_path / "run", *more)
        vocabulary = trainer.model.config.get_text_config().vocab_size
        trainer.eos_token_ids = list(range(0, vocabulary, 8))
        return trainer

    return make


def passes_while(trainer: RankingGRPOTrainer, asked: Callable[[], Any]) -> tuple[Any, list[bool]]:
    """What it gives, and for each reading of packed rows or whole ones whether it was the reference's."""
    found: list[bool] = []
    model = trainer.accelerator.unwrap_model(trainer.model)
    hook = model.register_forward_pre_hook(lambda *_: found.append(model.active_adapters == ["ref"]))
    given = asked()
    hook.remove()
    return given, found


def written(trainer: RankingGRPOTrainer, batch: Any) -> tuple[dict[str, Any], list[bool]]:
    """A generation batch as TRL keeps it, always of the same draws, and the readings that it took."""
    torch.manual_seed(3)
    return passes_while(trainer, lambda: trainer._generate_and_score_completions(batch))


def read_again(trainer: RankingGRPOTrainer, made: dict[str, Any]) -> Tensor:
    ids, mask = (torch.cat([made[f"prompt_{what}"], made[f"completion_{what}"]], 1) for what in ("ids", "mask"))
    shown = {name: made[name] for name in ("pixel_values", "image_grid_thw", "num_images", "mm_token_type_ids")}
    with torch.no_grad():
        return trainer._get_per_token_logps_and_entropies(
            trainer.model, ids, mask, made["completion_ids"].shape[1], batch_size=12, **shown
        )[0]


@pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen3_vl"])
@pytest.mark.parametrize(
    "how", [[], ["--temperature", "0.7", "--top_k", "20"], ["--mask_truncated_completions", "true"]]
)
def test_they_are_those_of_reading_the_answers_again(
    family: str, how: list[str], trained: Callable[..., RankingGRPOTrainer]
) -> None:
    trainer = trained(*OUTLIVING, *how, family=family)
    assert trainer.notes_log_probs()
    made, readings = written(trainer, next(iter(trainer.get_train_dataloader())))
    assert readings == []
    lengths = made["completion_mask"].sum(1)
    assert len({*lengths.tolist()}) > 2  # answers end at different places
    assert bool((lengths == 0).any()) is ("--mask_truncated_completions" in how)
    mask, old = made["completion_mask"].bool(), made["old_per_token_logps"]
    shared = read_again(trainer, made)
    trainer.shares_prompts = False
    stock = read_again(trainer, made)
    assert old.shape == stock.shape == mask.shape
    assert len(old[mask].unique()) > 30
    for other in (shared, stock):
        # Of numbers down to -30; the LoRA is in the weights when they are drawn, and beside them when they are read.
        assert (old - other)[mask].abs().max() <= 5e-5
    assert not old[~mask].any()


def test_the_reference_is_read_by_itself(trained: Callable[..., RankingGRPOTrainer]) -> None:
    trainer = trained(*OUTLIVING, "--beta", "0.1")
    batch = next(iter(trainer.get_train_dataloader()))
    made, readings = written(trainer, batch)
    assert readings == [True] * 3  # the reference alone, in three parts
    trainer.notes_log_probs = lambda: False  # type: ignore[method-assign]
    plain, readings = written(trainer, batch)
    assert readings == [False] * 3 + [True] * 3
    assert torch.equal(made["completion_ids"], plain["completion_ids"])
    mask = made["completion_mask"].bool()
    for name in ("old_per_token_logps", "ref_per_token_logps"):
        assert (made[name] - plain[name])[mask].abs().max() <= 5e-5
    assert (made["old_per_token_logps"] - made["ref_per_token_logps"])[mask].abs().max() > 0.01


@pytest.mark.parametrize(
    "how",
    [
        ["--lora_dropout", "0.05"],
        ["--bf16", "true"],
        ["--share_prompts", "false"],
        ["--steps_per_generation", "1", "--per_device_train_batch_size", "36"],
    ],
)
def test_where_they_would_be_others_answers_are_read_again(
    how: list[str], trained: Callable[..., RankingGRPOTrainer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("redaes.training.stage_run.without_imitated_bfloat16", lambda _: None)
    aligned = how[0] == "--steps_per_generation"
    trainer = trained(*OUTLIVING, *how)
    assert not trainer.notes_log_probs()
    made, readings = written(trainer, next(iter(trainer.get_train_dataloader())))
    assert readings == ([] if aligned else [False] * 3)
    assert ("old_per_token_logps" in made) is not aligned
    assert trainer._sampled is None


def test_products_in_fewer_bits_have_answers_read_again(trained: Callable[..., RankingGRPOTrainer]) -> None:
    trainer = trained(*OUTLIVING)
    assert trainer.notes_log_probs()
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("high")  # as `--tf32 true` has it on a GPU
        assert not trainer.notes_log_probs()
    finally:
        torch.set_float32_matmul_precision(before)


def test_other_answers_than_those_that_were_drawn_are_read_again(trained: Callable[..., RankingGRPOTrainer]) -> None:
    trainer = trained(*OUTLIVING)
    draw = trainer._generate_single_turn

    def cut(*given: Any, **named: Any) -> Any:
        answers, nothing = draw(*given, **named)
        return [answer[:2] for answer in answers], nothing

    trainer._generate_single_turn = cut  # type: ignore[method-assign]
    made, readings = written(trainer, next(iter(trainer.get_train_dataloader())))
    assert readings == [False] * 3
    assert (made["old_per_token_logps"] - read_again(trainer, made)).abs().max() <= 1e-6


def test_an_answer_is_known_by_its_tokens() -> None:
    tokens = torch.tensor([[4, 5, 6], [7, -1, -1]])
    sampled = SampledLogProbs((), tokens, torch.tensor([[-1.0, -2.0, -3.0], [-4.0, 0.0, 0.0]]))
    ids, mask = torch.tensor([[4, 5, 6, 0], [7, 0, 0, 0]]), torch.tensor([[1, 1, 1, 0], [1, 0, 0, 0]])
    assert sampled.of(ids, mask).tolist() == [[-1.0, -2.0, -3.0, 0.0], [-4.0, 0.0, 0.0, 0.0]]  # type: ignore[union-attr]
    left_out = torch.tensor([[0, 0, 0, 0], [1, 0, 0, 0]])
    assert sampled.of(ids, left_out).tolist() == [[0.0] * 4, [-4.0, 0.0, 0.0, 0.0]]  # type: ignore[union-attr]
    assert sampled.of(ids[:1], mask[:1]) is None
    assert sampled.of(ids, torch.tensor([[1, 1, 0, 0], [1, 0, 0, 0]])) is None
    assert sampled.of(ids + 1, mask) is None


# --- TRL's own methods ------------------------------------------------------------------------------------------------


def test_the_installed_trl_is_the_one_that_is_known() -> None:
    check_trl(GRPOTrainer)
    pyproject = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    assert f'"{trl_methods.KNOWN_TRL}"' in pyproject
    for name, names in trl_methods.NAMES.items():
        assert names, name


def other_trainer(name: str, method: Any) -> type:
    return type("Other", (GRPOTrainer,), {name: method})


def test_another_trl_is_refused_with_the_remedy(
    own_data: Path, folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def _generate_single_turn(self: Any, prompt_ids: Any, images: Any, multimodal_fields: Any, n: int) -> None: ...

    other = other_trainer("_generate_single_turn", _generate_single_turn)
    monkeypatch.setattr("redaes.training.grpo.GRPOTrainer", other)
    what = r"TRL 1\.\S+ has another _generate_single_turn \(it differs in has_tool_images, n, num_generations\)"
    with pytest.raises(TrainingError, match=rf"{what}.* pip install 'trl>=1\.16,<1\.17', or set share_prompts: false"):
        arguments(folders["qwen3_vl"], own_data, tmp_path / "run")
    arguments(folders["qwen3_vl"], own_data, tmp_path / "run", "--share_prompts", "false")


@pytest.mark.parametrize("name", sorted(trl_methods.PARAMETERS))
def test_a_method_that_was_written_anew_is_refused(name: str) -> None:
    parameters = ", ".join(trl_methods.PARAMETERS[name])
    space: dict[str, Any] = {}
    exec(f"def method({parameters}): return None", space)
    if name in trl_methods.NAMES:
        with pytest.raises(TrainingError, match=rf"another {name} \(it makes no use of "):
            check_trl(other_trainer(name, space["method"]))
    exec(f"def method({parameters}, more): return None", space)
    with pytest.raises(TrainingError, match=rf"another {name} \(it differs in more\)"):
        check_trl(other_trainer(name, space["method"]))
    without = type(
        "Without", (), {other: getattr(GRPOTrainer, other) for other in trl_methods.PARAMETERS if other != name}
    )
    with pytest.raises(TrainingError, match=f"has no {name}"):
        check_trl(without)
