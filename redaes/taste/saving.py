"""The folder of a taste: an adapter if something was learnt, and always the decisions and the measurements.

::

    adapter_model.safetensors, adapter_config.json   a LoRA of rank 1; only where it is better than before
    tokenizer and processor files, prompts.json      as a stage leaves them beside its adapter
    run_record.json                                  the base with its revision, which --adapter compares
    report.json                                      what was measured
    decisions.jsonl                                  what was learnt from: ids, answers and where the pictures were
    README.md                                        the same for people
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from redaes import prompts
from redaes.datagen.imported.labels import StatedLabel
from redaes.datagen.imported.rows import StatedPair, StatedPicture
from redaes.errors import RecordError
from redaes.file_writing import read_json, write_atomically, write_json
from redaes.taste.card import taste_card
from redaes.taste.decisions import TasteDecision
from redaes.taste.learning import LearnedTaste, TasteSettings
from redaes.training.model_files import save_processor
from redaes.training.run_record import environment

REPORT, DECISIONS = "report.json", "decisions.jsonl"
_FORM = 1
"""Version of the folder's own files."""


def save_taste(
    folder: Path,
    learned: LearnedTaste,
    decisions: Sequence[TasteDecision],
    settings: TasteSettings,
    told: Mapping[str, Any],
) -> dict[str, Any]:
    """Write the files into an empty folder.

    Args:
        folder: an existing, empty folder.
        learned: the learnt taste; its model must not be used afterwards.
        decisions: the decisions from which it was learnt.
        settings: settings of the learning.
        told: further entries of the report.

    Returns:
        The report.
    """
    base, taste = learned.base, learned.taste
    report = {
        "taste": _FORM,
        "better": taste.claim.better,
        "says": taste.claim.in_words(),
        "model": base.name,
        "revision": base.revision,
        "prompt": prompts.load(prompts.COMPARE["fast"]).id,
        "claim": taste.claim.model_dump(mode="json"),
        "forgetting": vars(taste.forgetting),
        "settings": vars(settings),
        **told,
        "held_out": [vars(one) for one in taste.held_out],
    }
    if taste.claim.better:
        _save_adapter(folder, learned)
        save_processor(base.processor, base.folder, folder)
        write_json(folder / "prompts.json", {name: prompts.load(name).id for name in sorted(prompts.names())})
        record = {"stage": "taste", "base": {"name": base.name, "revision": base.revision}, **environment()}
        write_json(folder / "run_record.json", record)
    write_atomically(folder / DECISIONS, "".join(f"{json.dumps(_row(one))}\n" for one in decisions).encode())
    write_json(folder / REPORT, report)
    write_atomically(folder / "README.md", taste_card(report).encode())
    return report


@torch.no_grad()
def _save_adapter(folder: Path, learned: LearnedTaste) -> None:
    from peft import LoraConfig, get_peft_model

    base, head = learned.base, learned.base.reader.head
    row = torch.from_numpy(learned.taste.row)
    column = torch.from_numpy(head.direction / (head.direction @ head.direction))
    # Only their product counts; with equal lengths, neither loses digits.
    factor = (row.norm() / column.norm()).sqrt()
    config = LoraConfig(
        r=1, lora_alpha=1, lora_dropout=0.0, target_modules=re.escape(head.matrix), task_type="CAUSAL_LM"
    )
    model = get_peft_model(base.model, config)
    layer = model.get_base_model().get_submodule(head.matrix)
    layer.lora_A["default"].weight.copy_((row / factor)[None])
    layer.lora_B["default"].weight.copy_((column * factor)[:, None])
    model.save_pretrained(str(folder), safe_serialization=True)
    (folder / "README.md").unlink(missing_ok=True)
    file = folder / "adapter_config.json"
    write_json(file, {**read_json(file), "base_model_name_or_path": base.name})


def _row(one: TasteDecision) -> dict[str, Any]:
    return {
        "id": one.id,
        **{
            side: {"id": picture.id, "path": str(picture.path)}
            for side, picture in (("first", one.first), ("second", one.second))
        },
        "p_first": one.p_first,
        "n_votes": one.n_votes,
        "series": one.series,
    }


def earlier_report(folder: Path) -> dict[str, Any]:
    """Return the report of an earlier taste.

    Raises:
        RecordError: the folder contains no taste, or a damaged one.
    """
    file = folder / REPORT
    if not file.is_file() or not (folder / DECISIONS).is_file():
        raise RecordError(f"{folder} contains no taste; give a folder that redaes taste learn wrote")
    report = read_json(file, "copy the taste again")
    if not isinstance(report, dict) or report.get("taste") != _FORM:
        raise RecordError(f"{folder} contains no taste; give a folder that redaes taste learn wrote")
    if not {"model", "revision"} <= report.keys() or "n" not in (report.get("decisions") or ()):
        raise RecordError(f"{file} is not whole; copy the taste again")
    return report


class EarlierDecisions:
    """The decisions of an earlier taste, in the form of answers."""

    def __init__(self, folder: Path) -> None:
        """
        Raises:
            RecordError: the decisions cannot be read, or their number differs from that of the taste.
        """
        n_told = earlier_report(folder)["decisions"]["n"]
        self._ids: dict[str, tuple[str, str]] = {}
        self._rows: list[StatedPair] = []
        file = folder / DECISIONS
        try:
            for line in file.read_text(encoding="utf-8").splitlines():
                self._add(json.loads(line))
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise RecordError(f"{file} cannot be read ({error}); copy the taste again") from error
        if len(self._rows) != n_told:
            raise RecordError(
                f"{file} has {len(self._rows)} decisions, and {REPORT} tells of {n_told}; copy the taste again"
            )

    def _add(self, row: Mapping[str, Any]) -> None:
        where = f"earlier decision {row['id']}"
        first, second = (Path(row[side]["path"]) for side in ("first", "second"))
        n_votes = float(row["n_votes"] or 1)
        if not 0 <= row["p_first"] <= 1:
            raise ValueError(f"{row['p_first']} is not a share of answers")
        self._ids[where] = (row["first"]["id"], row["second"]["id"])
        self._rows.append(
            StatedPair(
                where=where,
                first=StatedPicture(str(first), path=first),
                second=StatedPicture(str(second), path=second),
                label=StatedLabel(votes=(row["p_first"] * n_votes, (1 - row["p_first"]) * n_votes)),
                source=f"earlier {row['series']}",
            )
        )

    def __iter__(self) -> Iterator[StatedPair]:
        return iter(self._rows)

    def ids(self, where: str) -> tuple[str, str] | None:
        """Return the ids that the pictures of a row must have; None: the row is not from this taste."""
        return self._ids.get(where)
