"""docs/red-20k.md to the letter: its commands (and those of docs/audit.md) are read, its scripts do what it says."""

from __future__ import annotations

import csv
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer
import yaml
from PIL import Image

from redaes.cli.app import app
from redaes.datagen.build_recipe import make_recipe
from redaes.datagen.sources import curate

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "red-20k.md").read_text(encoding="utf-8")
VLLM_OPTIONS = {
    "--host", "--port", "--tensor-parallel-size", "--max-model-len", "--limit-mm-per-prompt", "--load-format",
    "--generation-config", "--enable-prefix-caching", "--gpu-memory-utilization",
}  # fmt: skip
"""Looked up in the wheels of vLLM 0.31.0, 0.32.0 and 0.33.0 (vllm/engine/arg_utils.py and the server's cli_args.py)."""


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}[^\n]*\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def named(file: str) -> str:
    (found,) = re.findall(rf"^```\w+ file={re.escape(file)}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    return str(found)


def commands(program: str) -> list[list[str]]:
    lines = [line for block in blocks("bash") for line in block.replace("\\\n", " ").splitlines()]
    found = [shlex.split(line, comments=True) for line in lines if re.match(rf"\s*{program}\b", line)]
    assert found
    return found


AUDIT = [
    shlex.split(line, comments=True)
    for line in (ROOT / "docs" / "audit.md").read_text(encoding="utf-8").splitlines()
    if line.startswith("redaes data audit")
]


@pytest.mark.parametrize("words", [*commands("redaes"), *AUDIT], ids=" ".join)
def test_every_command_is_one(words: list[str]) -> None:
    command, rest = typer.main.get_command(app), words[1:]
    while hasattr(command, "commands"):
        assert rest[0] in command.commands, words
        command, rest = command.commands[rest[0]], rest[1:]
    context = command.make_context(words[-1], rest)  # raises where an option or a value is not one
    assert not context.args


def test_the_recipe_is_read_whole(tmp_path: Path) -> None:
    (tmp_path / "panel.yaml").write_text(named("panel.yaml"), encoding="utf-8")
    recipe = make_recipe(tmp_path / "panel.yaml", {})
    assert recipe.panel is not None
    servers = recipe.panel.servers()
    ports = {model: [url[-7:-3] for url in entry.endpoint or ()] for model, entry in servers.items()}
    assert ports == {"Qwen/Qwen3-VL-32B-Instruct": ["8001", "8002"], "google/gemma-4-31B-it": ["8003"]}
    assert all(
        f"serve {gpus} {port} {model}\n" in PAGE for gpus, port, model in re.findall(r"serve (\S+) (\d+) (\S+)", PAGE)
    )
    assert recipe.settings.views == 2
    pictures = recipe.settings.variants + 1
    assert pictures * (pictures - 1) // 2 == 36  # as the page says


def test_the_hosted_judge_is_one() -> None:
    (line,) = re.findall(r"`(- \{model: gpt-5.*?\})`", PAGE)
    values = yaml.safe_load(named("panel.yaml"))["panel"]
    values["judges"] += yaml.safe_load(line)
    from redaes.datagen.panel import Panel

    assert Panel.model_validate(values).servers()["gpt-5"].price is not None


def test_the_savings_are_what_the_page_says() -> None:
    (line,) = re.findall(r"`(savings: \{.*?\})`", PAGE)
    from redaes.datagen.pair_choice import n_questions
    from redaes.datagen.panel import Panel

    panel = Panel.model_validate({**yaml.safe_load(named("panel.yaml"))["panel"], **yaml.safe_load(line)})
    assert n_questions(9, panel.savings.pair_share) == 18
    assert "asks about 18 of a view's 36 pairs" in " ".join(PAGE.split())


def test_the_options_of_vllm_are_those_that_were_looked_up() -> None:
    (line,) = [
        line for block in blocks("bash") for line in block.replace("\\\n", " ").splitlines() if "vllm serve" in line
    ]
    assert set(re.findall(r"--[a-z][a-z-]+", line)) == VLLM_OPTIONS


def test_the_arithmetic_is_right() -> None:
    assert "20,000 / 10.8 = 1,852 views = 926 photographs" in PAGE
    views = round(20_000 / (36 * 0.3))
    assert (views, views // 2, round(views * 8, -1)) == (1852, 926, 14_820)
    judging, planning, writing = views * 36 * 2 * 2 * 2, views * 9, 40_000
    assert (round(judging, -3), round(planning, -3)) == (533_000, 17_000)
    assert round(judging + planning + writing, -4) == 590_000
    seconds = 2220 * 3600 / 1.3e6
    assert round(seconds, 1) == 6.1
    assert round(590_000 * seconds / 3600, -2) == 1000
    assert round(590_000 * seconds / 3600 / 8 / 24, 1) == 5.2


def run(tmp_path: Path, script: str, *words: str) -> str:
    (tmp_path / script).write_text(named(script), encoding="utf-8")
    done = subprocess.run([sys.executable, script, *words], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_pictures_of_open_images_are_drawn_with_their_authors(tmp_path: Path) -> None:
    fields = [
        "ImageID", "Subset", "OriginalURL", "OriginalLandingURL", "License", "AuthorProfileURL", "Author", "Title",
        "OriginalSize", "OriginalMD5", "Thumbnail300KURL", "Rotation",
    ]  # fmt: skip
    licence = "https://creativecommons.org/licenses/by/2.0/"
    with (tmp_path / "metadata.csv").open("w", newline="") as file:
        out = csv.DictWriter(file, fields, restval="")
        out.writeheader()
        for n in range(30):
            out.writerow(
                {"ImageID": f"{n:016x}", "Subset": "validation", "OriginalLandingURL": f"https://page/{n}",
                 "License": licence if n != 3 else "https://other", "AuthorProfileURL": f"https://people/{n // 2}",
                 "Author": 'A "quoted", name', "Title": "a\nb",
                 "Rotation": "90.0" if n == 5 else "0.0" if n % 2 else ""}
            )  # fmt: skip
    said = run(tmp_path, "choose_openimages.py", "metadata.csv", "9", "photos")
    assert said == "9 pictures of as many authors\n"
    wanted = (tmp_path / "photos" / "wanted.txt").read_text().split()
    assert len(wanted) == 9
    assert not {f"validation/{n:016x}" for n in (3, 5)} & set(wanted)
    rows = list(csv.DictReader((tmp_path / "photos" / "attribution.csv").open(newline="")))
    assert len({row["source_id"] for row in rows}) == 9
    assert rows[0]["author"] == 'A "quoted", name'
    for place, name in enumerate(wanted):
        file = tmp_path / "photos" / f"{name.partition('/')[2]}.jpg"
        Image.effect_noise((200, 160), 20 + 9 * place).convert("RGB").save(file)
    found = curate([tmp_path / "photos" / "list.csv"], test_fraction=0.2, seed=0)
    assert len(found.sources) == 9
    assert {one.licence for one in found.sources} == {"CC-BY-2.0"}


def test_a_folder_is_listed_with_its_licence(tmp_path: Path) -> None:
    (tmp_path / "photos" / "deep").mkdir(parents=True)
    for n in range(4):
        Image.effect_noise((200, 160), 20 + 20 * n).convert("RGB").save(tmp_path / "photos" / "deep" / f"{n}, x.jpg")
    assert run(tmp_path, "list_folder.py", "photos", "3", "terms: a, b") == "3 of 4 pictures\n"
    found = curate([tmp_path / "photos" / "list.csv"], test_fraction=0.4, seed=0)
    assert len(found.sources) == 3
    assert {one.licence for one in found.sources} == {"terms: a, b"}


def test_unsplash_gives_what_curl_reads(tmp_path: Path) -> None:
    fields = ["photo_id", "photo_image_url", "photographer_username"]
    with (tmp_path / "photos.tsv000").open("w", newline="") as file:
        out = csv.writer(file, delimiter="\t")
        out.writerow(fields)
        out.writerows([f"id{n}", f"https://images.unsplash.com/photo-{n}", f"user{n // 2}"] for n in range(8))
    lines = run(tmp_path, "choose_unsplash.py", "photos.tsv000", "3").splitlines()
    assert len(lines) == 6
    number = re.fullmatch(r'output = "id(\d)\.jpg"', lines[1])
    assert number is not None
    assert lines[0] == f'url = "https://images.unsplash.com/photo-{number[1]}?w=2048&q=90&fm=jpg"'


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", PAGE):
        assert (ROOT / "docs" / target).is_file(), target
