"""One rendering of a chat in all stages and on the way to every backend, with Qwen's own vocabulary and templates."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from qwen_vocabulary import tokenizer
from test_stages import run
from transformers import AutoProcessor, AutoTokenizer
from trl.chat_template_utils import (
    deepseek_r1_distill_chat_template,
    qwen2_5_vl_chat_template,
    qwen3_5_nothink_chat_template,
    qwen3_5_think_chat_template,
    qwen3_6_chat_template,
    qwen3_vl_chat_template,
)
from trl.data_utils import prepare_multimodal_messages
from trl.trainer.dpo_trainer import DataCollatorForVisionPreference
from trl.trainer.sft_trainer import DataCollatorForVisionLanguageModeling

from redaes import prompts
from redaes.answers import SCORE_CHOICES, SCORE_PREFIX, WINNER_PREFIX
from redaes.backends.base import Request
from redaes.backends.chat_templates import opens_thinking
from redaes.backends.loading import load_processor
from redaes.backends.local import LocalBackend
from redaes.errors import BackendError, TrainingError
from redaes.models.nano.builder import make_processor
from redaes.records import PairRecord, read_records
from redaes.training.alignment import choice_ids
from redaes.training.formatting import (
    IGNORED,
    MODES,
    ORDERS,
    answer_batch,
    chat_text,
    check_chat,
    drawn_answers,
    preference_example,
    sft_example,
    target,
)

CHAT = """
{%- for message in messages %}
    {{- '<|im_start|>' + message.role + '\\n' }}
    {%- if message.role == 'assistant' and BEFORE %}{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}
    {%- for part in message.content %}
        {%- if part.type == 'image' %}{{- '<|vision_start|><|image_pad|><|vision_end|>' }}
        {%- else %}{{- part.text }}{%- endif %}
    {%- endfor %}
    {{- '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' + AFTER }}{%- endif %}"""
"""A chat that puts an empty block before a last answer, and ends a prompt, as is said."""


def chat(*, before: str, after: str) -> str:
    return CHAT.replace("BEFORE", before).replace("AFTER", repr(after))


THINKING = chat(before="loop.last", after="<think>\n")
"""What Qwen3-VL-Thinking's template comes down to."""

TEMPLATES = {
    "Qwen2.5-VL": qwen2_5_vl_chat_template,
    "Qwen3-VL": qwen3_vl_chat_template,
    "Qwen3-VL-Thinking": THINKING,
    "Qwen3.5": qwen3_5_think_chat_template,
}
OTHERS = {
    "Qwen3.5, small": qwen3_5_nothink_chat_template,
    "Qwen3.6": qwen3_6_chat_template,
    "block after the prompt only": chat(before="false", after="<think>\n"),
    "block before the answer only": chat(before="true", after=""),
}
"""Tried with a small vocabulary only, which loads in no time."""


def saved(folder: Path, template: str | None, vocabulary: Path | None = None) -> Path:
    """A folder with a processor: with Qwen's vocabulary, or that of a model."""
    words = tokenizer() if vocabulary is None else AutoTokenizer.from_pretrained(vocabulary)
    words.chat_template = template
    make_processor(words, 96 * 96).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def records(red_folder: Path) -> list[PairRecord]:
    return [record for record, _ in zip(read_records(red_folder, "train"), range(6), strict=False)]


@pytest.fixture(scope="module", params=[*TEMPLATES, *OTHERS])
def processor(request: pytest.FixtureRequest, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """As every stage and the local backend load it."""
    small = request.param in OTHERS
    folder = saved(
        tmp_path_factory.mktemp("model"), {**TEMPLATES, **OTHERS}[request.param], tiny_model if small else None
    )
    return check_chat(load_processor(folder, None))


def compare(mode: str) -> prompts.Prompt:
    return prompts.load(prompts.COMPARE[mode])  # type: ignore[index]


@pytest.mark.parametrize("template", {**TEMPLATES, **OTHERS}.values(), ids=[*TEMPLATES, *OTHERS])
def test_thoughts_are_closed_and_stay_so_when_saved(template: str, tiny_model: Path, tmp_path: Path) -> None:
    processor = load_processor(saved(tmp_path / "model", template, tiny_model), None)
    head = chat_text(processor, compare("fast"), "")
    assert not opens_thinking(head)
    processor.save_pretrained(tmp_path / "final")
    messages = compare("fast").messages()
    for kind in (AutoProcessor, AutoTokenizer):  # vLLM takes either's
        again = kind.from_pretrained(tmp_path / "final")
        assert again.apply_chat_template(messages, add_generation_prompt=True, tokenize=False) == head
    assert load_processor(tmp_path / "final", None).chat_template == processor.chat_template


def test_all_stages_learn_the_same_tokens_of_the_same_chat(processor: Any, records: list[PairRecord]) -> None:
    words = processor.tokenizer
    texts, orders, _ = drawn_answers(processor, records, MODES)
    modes = ["reasoned" if "<rationale>" in text.rpartition("<|im_start|>")[2] else "fast" for text in texts]
    assert set(orders) == set(ORDERS)
    assert len(set(modes)) == 2
    batch = answer_batch(processor, records)
    imitate = DataCollatorForVisionLanguageModeling(processor, completion_only_loss=True)
    prefer = DataCollatorForVisionPreference(processor)
    for n, (record, order, mode) in enumerate(zip(records, orders, modes, strict=True)):
        aligned = batch["input_ids"][n][batch["attention_mask"][n] == 1]
        learned = batch["labels"][n][batch["labels"][n] != IGNORED]
        assert words.decode(learned) == target(record, order, mode) + "<|im_end|>"  # type: ignore[arg-type]
        imitated = imitate([sft_example(record, order, mode)])  # type: ignore[arg-type]
        # TRL also learns the line break that the templates put after an answer.
        assert imitated["input_ids"][0][:-1].tolist() == aligned.tolist()
        assert imitated["labels"][0][imitated["labels"][0] != IGNORED][:-1].tolist() == learned.tolist()
        if record.rationale is None or record.rationale.better == "tie":
            continue
        preferred = prefer([preference_example(record, order, mode)])  # type: ignore[arg-type]
        whole = preferred["input_ids"][0][preferred["attention_mask"][0] == 1]
        assert whole[:-1].tolist() == aligned.tolist()
        assert preferred["completion_mask"][0].sum() == len(learned) + 1


def test_answers_are_sampled_and_read_after_the_same_text(processor: Any, records: list[PairRecord]) -> None:
    backend = LocalBackend.from_model(None, processor, "model", "in memory")
    pictures = (Image.new("RGB", (64, 64)), Image.new("RGB", (64, 96)))
    for prompt, prefix in ((compare("reasoned"), ""), (compare("fast"), WINNER_PREFIX)):
        text = backend._text(Request(prompt, pictures, prefix))
        assert text == chat_text(processor, prompt, prefix)
        shown = processor(text=[text], images=[list(pictures)], return_tensors="pt")["input_ids"]
        messages = prompt.messages()
        if prefix:  # as vLLM is asked
            messages.append({"role": "assistant", "content": [{"type": "text", "text": prefix}]})
            assert processor.apply_chat_template(messages, continue_final_message=True, tokenize=False) == text
        else:  # as TRL samples
            sampled = processor.apply_chat_template(
                prepare_multimodal_messages(messages, list(pictures)), add_generation_prompt=True, tokenize=True,
                return_dict=True, return_tensors="pt",
            )  # fmt: skip
            assert torch.equal(sampled["input_ids"], shown)


@pytest.mark.parametrize("processor", [*TEMPLATES], indirect=True)
def test_verdict_and_score_are_read_at_qwens_own_tokens(processor: Any) -> None:
    verdicts, digits = [362, 425, 18131], list(range(15, 25))
    assert choice_ids(processor, WINNER_PREFIX, (" A", " B", " tie")) == verdicts
    assert choice_ids(processor, SCORE_PREFIX, SCORE_CHOICES) == digits
    backend = LocalBackend.from_model(None, processor, "model", "in memory")
    fast, score = (chat_text(processor, compare("fast"), WINNER_PREFIX),
                   chat_text(processor, prompts.load(prompts.SCORE), SCORE_PREFIX))  # fmt: skip
    reasoned = chat_text(processor, compare("reasoned"), f"<rationale>\nA is dark.\n</rationale>\n{WINNER_PREFIX}")
    for text in (fast, reasoned):
        assert backend._first_tokens(text, (" A", " B", " tie")) == verdicts
    assert backend._first_tokens(score, SCORE_CHOICES) == digits


def test_a_processor_that_somebody_else_loaded_is_asked_in_the_same_way(tiny_model: Path, tmp_path: Path) -> None:
    theirs = AutoProcessor.from_pretrained(saved(tmp_path, THINKING, tiny_model))
    backend = LocalBackend.from_model(None, theirs, "model", "in memory")
    assert not opens_thinking(backend._chat(compare("fast")))
    assert theirs.chat_template == THINKING


def test_a_run_on_a_model_that_thinks_leaves_a_closed_template(
    tiny_model: Path, red_folder: Path, tmp_path: Path
) -> None:
    model = tmp_path / "thinking"
    shutil.copytree(tiny_model, model)
    (model / "chat_template.jinja").write_text(THINKING)
    final = run("stage2", model, red_folder, tmp_path / "run", "--max_steps", "1")
    left = AutoProcessor.from_pretrained(final)
    asked = left.apply_chat_template(compare("fast").messages(), add_generation_prompt=True, tokenize=False)
    assert asked.endswith("<think>\n\n</think>\n\n")
    assert LocalBackend(model)._chat(compare("fast")) == asked


@pytest.mark.parametrize(
    ("template", "match"),
    [
        (None, "has no chat template"),
        (chat(before="true", after="<think>\nLet me look.\n"), "renders a chat in two ways"),
        (
            THINKING.replace("</think>", "").replace("'<think>\\n\\n\\n\\n'", "'<think>\\n'"),
            "renders a chat in two ways",
        ),
        (deepseek_r1_distill_chat_template, "cannot be used"),
        (chat(before="true", after="").replace("part.text", "part.text.missing.text"), "cannot be used"),
    ],
)
def test_templates_that_cannot_be_closed_are_refused(
    template: str | None, match: str, tiny_model: Path, tmp_path: Path
) -> None:
    with pytest.raises(BackendError, match=match):
        load_processor(saved(tmp_path, template, tiny_model), None)


@pytest.mark.parametrize(
    ("template", "match"),
    [
        (chat(before="false", after="") + "{%- if add_generation_prompt %}{{- ' ' }}{%- endif %}", "in two ways"),
        (chat(before="false", after="").replace("'<|im_end|>\\n'", "'<|endoftext|>'"), "eos_token is '<|im_end|>'"),
        (chat(before="false", after="").replace("role + '\\n'", "role + ': '").replace("assistant\\n", "assistant: "),
         "joins the end of a prompt"),
    ],
)  # fmt: skip
def test_chats_that_cannot_be_taught_are_refused(template: str, match: str, tmp_path: Path) -> None:
    processor = load_processor(saved(tmp_path, template), None)
    with pytest.raises(TrainingError, match=match):
        check_chat(processor)
