"""The embedded model: whole, small, of a shape that is served elsewhere, and able to answer."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from redaes.models import nano
from redaes.torchvision_compat import make_torchvision_importable

make_torchvision_importable()
from transformers import AutoModelForImageTextToText, AutoProcessor  # noqa: E402


@pytest.mark.parametrize("name", nano.NAMES)
def test_it_loads_with_the_plain_auto_classes(name: str) -> None:
    model = AutoModelForImageTextToText.from_pretrained(nano.weights(name))
    assert type(model).__name__ == "Qwen3VLForConditionalGeneration"
    assert type(AutoProcessor.from_pretrained(nano.weights(name))).__name__ == "Qwen3VLProcessor"


def test_their_files_are_safe_and_small() -> None:
    files = [file for name in nano.NAMES for file in nano.weights(name).iterdir()]
    assert sum(file.stat().st_size for file in files) < 16_000_000
    assert {file.suffix for file in files} <= {".json", ".jinja", ".safetensors", ".md"}


def test_its_shape_is_one_that_vllm_serves() -> None:
    model = AutoModelForImageTextToText.from_pretrained(nano.weights())
    text, vision = model.config.text_config, model.config.vision_config
    assert text.head_dim == 32
    assert sum(text.rope_parameters["mrope_section"]) == text.head_dim // 2
    assert vision.out_hidden_size == text.hidden_size
    assert vision.hidden_size // vision.num_heads % 4 == 0
    assert all(index < vision.depth for index in vision.deepstack_visual_indexes)
    assert len(vision.deepstack_visual_indexes) <= text.num_hidden_layers
    assert int(vision.num_position_embeddings**0.5) ** 2 == vision.num_position_embeddings
    processor = AutoProcessor.from_pretrained(nano.weights()).image_processor
    assert (processor.patch_size, processor.merge_size) == (vision.patch_size, vision.spatial_merge_size)


@pytest.mark.parametrize("text", ["Winner: A\nDifference: -3.4", "Pâtes à l'ail, 3½ ☃ 漢字\t\n  end", "", "a" * 500])
def test_its_tokenizer_reads_back_any_text(text: str) -> None:
    tokenizer = AutoProcessor.from_pretrained(nano.weights()).tokenizer
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_digits_and_verdicts_are_tokens_of_their_own() -> None:
    tokenizer = AutoProcessor.from_pretrained(nano.weights()).tokenizer
    assert tokenizer.tokenize("Score: 12")[-4:] == [":", "Ġ", "1", "2"]
    assert [tokenizer.tokenize(f"Winner: {choice}")[-1] for choice in ("A", "B", "tie")] == ["ĠA", "ĠB", "Ġtie"]


def test_patch_filters_tell_fine_structure_from_brightness() -> None:
    from redaes.models.nano.builder import frequency_filters

    filters = frequency_filters(128).sum(2)  # both frames
    assert filters.shape == (128, 3, 16, 16)
    grey = torch.ones(3, 16, 16)
    blocks = grey * (torch.arange(16) % 2 * 2 - 1)  # the finest stripes there are
    to_grey, to_blocks = (filters * grey).sum((1, 2, 3)).abs(), (filters * blocks).sum((1, 2, 3)).abs()
    assert to_grey.argmax() != to_blocks.argmax()
    assert (to_grey > 1e-4).sum() == 1  # only the constant filter of lightness sees brightness
    assert (to_blocks[to_grey > 1e-4] < 1e-4).all()


def test_a_position_embedding_of_cosines_tells_places_at_every_size() -> None:
    from redaes.models.nano.builder import place_waves

    embedding = place_waves(256, 128, 0.4, seed=0)
    assert embedding.shape == (256, 128)
    torch.testing.assert_close(embedding.std(), torch.tensor(0.4))
    torch.testing.assert_close(embedding.mean(0), torch.zeros(128), atol=1e-5, rtol=0)
    assert torch.equal(embedding, place_waves(256, 128, 0.4, seed=0))
    row = torch.arange(16).repeat_interleave(16).float()
    for place in (row, row.view(16, 16).T.flatten()):  # a linear reading tells where a patch is
        seen = embedding - embedding.mean(0)
        weights = torch.linalg.lstsq(seen, place - place.mean(), driver="gelsd").solution
        assert (seen @ weights - (place - place.mean())).square().mean() / place.var() < 0.02


def test_options_of_the_builder_change_what_they_name_alone(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    from redaes.models.nano.builder import build

    sizes = {"hidden": 64, "layers": 2, "vision_hidden": 32, "vision_layers": 2}
    for name, more in {"plain": {}, "places": {"place_spread": 0.4}, "wide": {"intermediate": 256}}.items():
        build(tmp_path / name, ["Winner: A and B", "a text"], seed=0, vocab_size=300, **sizes, **more)
    plain, places, wide = (load_file(tmp_path / name / "model.safetensors") for name in ("plain", "places", "wide"))
    changed = {name for name in plain if not torch.equal(plain[name], places[name])}
    assert changed == {"model.visual.pos_embed.weight"}
    torch.testing.assert_close(places["model.visual.pos_embed.weight"].std(), torch.tensor(0.4))
    other = {name for name in plain if plain[name].shape != wide[name].shape}
    assert other == {
        f"model.language_model.layers.{n}.mlp.{one}_proj.weight" for n in range(2) for one in ("gate", "up", "down")
    }
    model = AutoModelForImageTextToText.from_pretrained(tmp_path / "wide")
    assert model.config.text_config.intermediate_size == 256


def test_a_trained_model_gets_places_and_keeps_the_rest(tmp_path: Path) -> None:
    from safetensors.torch import load_file
    from typer.testing import CliRunner

    from redaes.cli.app import app
    from redaes.models.nano.builder import place_waves

    runner = CliRunner()
    asked = ["train", "nano-build", "--model", "redaes/nano-base", "--out", str(tmp_path / "new")]
    done = runner.invoke(app, [*asked, "--place-spread", "0.4"])
    assert done.exit_code == 0, done.output
    before = load_file(nano.weights("redaes/nano-base") / "model.safetensors")
    after = load_file(tmp_path / "new" / "model.safetensors")
    assert after.keys() == before.keys()
    name = "model.visual.pos_embed.weight"
    assert {key for key in before if not torch.equal(before[key].float(), after[key])} == {name}
    torch.testing.assert_close(after[name] - before[name].float(), place_waves(256, 128, 0.4, seed=0))
    assert AutoProcessor.from_pretrained(tmp_path / "new").tokenizer.get_vocab()
    for options, said in (
        ([], "say what is to change"),
        (["--intermediate", "448"], "layers can only be widened"),
    ):
        refused = runner.invoke(app, [*asked, *options])
        assert refused.exit_code == 2
        assert said in " ".join(refused.stderr.split())
    (tmp_path / "empty").mkdir()
    refused = runner.invoke(app, [*asked, "--model", str(tmp_path / "empty"), "--place-spread", "0.4"])
    assert refused.exit_code == 4
    assert str(tmp_path / "empty") in "".join(refused.stderr.split())


def test_a_wider_model_computes_the_same_and_a_new_tokenizer_keeps_the_tokens_that_stay(tmp_path: Path) -> None:
    from redaes.models.nano.builder import build, continued

    sizes = {"hidden": 64, "layers": 2, "vision_hidden": 32, "vision_layers": 2}
    texts = ["Winner: A and B", "a text of noise", "the noise in B"]
    build(tmp_path / "old", texts, seed=0, vocab_size=300, initializer_range=0.2, **sizes)
    begun = [loader.from_pretrained(tmp_path / "old") for loader in (AutoModelForImageTextToText, AutoProcessor)]
    continued(*begun, tmp_path / "wide", seed=1, intermediate=256)
    continued(*begun, tmp_path / "told", seed=1, corpus=["Winner: B and A", "text about blur"] * 9)
    names = ("old", "wide", "told")
    old, wide, told = (AutoModelForImageTextToText.from_pretrained(tmp_path / name).eval() for name in names)
    assert wide.config.text_config.intermediate_size == 256
    ids = torch.tensor([[1, 2, 3, 40, 41, 270]])
    with torch.no_grad():
        torch.testing.assert_close(wide(input_ids=ids).logits, old(input_ids=ids).logits)
    before, after = (AutoProcessor.from_pretrained(tmp_path / name).tokenizer for name in ("old", "told"))
    known, embeddings = before.get_vocab(), (old.get_input_embeddings().weight, told.get_input_embeddings().weight)
    new = [token for token in after.get_vocab() if token not in known]
    assert new
    for token, number in after.get_vocab().items():
        its = [known[token]] if token in known else before(after.convert_tokens_to_string([token]))["input_ids"]
        torch.testing.assert_close(embeddings[1][number], embeddings[0][its].mean(0))
    others = [name for name, _ in told.named_parameters() if "embed_tokens" not in name]
    assert all(torch.equal(told.get_parameter(name), old.get_parameter(name)) for name in others)


def test_heads_begin_at_the_same_place_of_the_other_picture(tmp_path: Path) -> None:
    from redaes.models.nano.builder import build
    from redaes.models.nano.same_place import LAYERS, favour_same_place
    from redaes.training.warmup_vision import offset_of_pictures

    build(tmp_path, ["Winner: A and B"], seed=0, vocab_size=300, hidden=64, layers=3, vision_hidden=32, vision_layers=2)
    model = AutoModelForImageTextToText.from_pretrained(tmp_path, attn_implementation="eager").eval()
    processor = AutoProcessor.from_pretrained(tmp_path)
    generator = torch.Generator().manual_seed(0)
    images = [torch.randint(0, 255, (3, 224, 224), dtype=torch.uint8, generator=generator) for _ in range(2)]
    from redaes import prompts

    chat = processor.apply_chat_template(prompts.load(prompts.COMPARE["fast"]).messages(), tokenize=False)
    batch = processor(text=[chat], images=images, return_tensors="pt")
    places = torch.nonzero(batch["input_ids"][0] == processor.image_token_id).flatten()
    assert len(places) == 2 * 49
    offset = offset_of_pictures(model, processor, 224 * 224)

    def found() -> torch.Tensor:
        """Share of B's cells whose heads look most at the same cell of A."""
        with torch.no_grad():
            layers = model(**batch, output_attentions=True).attentions
        rows = torch.stack([layers[number][0, :2, places[49:]] for number in LAYERS])  # (layers, heads, 49, T)
        return (rows.argmax(-1) == places[:49]).float().mean()

    assert found() < 0.2
    favour_same_place(model, offset)
    assert found() > 0.95


def test_its_answers_follow_the_grammar(red_folder: Path) -> None:
    from redaes.backends.local import LocalBackend
    from redaes.heldout import evaluate
    from redaes.records import read_records
    from redaes.types import Sampling

    records = list(read_records(red_folder, "test"))[:12]
    result = evaluate(LocalBackend(), records, n_reasoned=6, sampling=Sampling(), seed=0)
    parsed = result.reasoned.parse_rate
    assert parsed.n == 12
    assert parsed.n_right >= 10
