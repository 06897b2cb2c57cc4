"""Folders that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from redaes.datagen.whole_folders import whole_folder
from redaes.errors import RecordError

KILLED = """
import os, signal, sys
from pathlib import Path
from redaes.datagen.whole_folders import whole_folder
with whole_folder(Path(sys.argv[1])) as making:
    (making / "half").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_folder_is_whole_or_not_there(tmp_path: Path) -> None:
    with whole_folder(tmp_path / "new" / "out") as making:
        (making / "file").write_text("all")
        assert not (tmp_path / "new" / "out").exists()
    assert (tmp_path / "new" / "out" / "file").read_text() == "all"
    with pytest.raises(RecordError, match="exists"), whole_folder(tmp_path / "new" / "out"):
        pass
    with pytest.raises(ValueError, match="no"), whole_folder(tmp_path / "out"):
        raise ValueError("no")
    assert [file.name for file in tmp_path.iterdir()] == ["new"]


def test_what_a_killed_process_left_is_removed_and_what_is_worked_on_is_not(tmp_path: Path) -> None:
    out = tmp_path / "out"
    process = subprocess.run([sys.executable, "-c", KILLED, str(out)], env=os.environ, check=False)
    assert process.returncode == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    assert left != out
    with whole_folder(out) as making:
        assert list(tmp_path.iterdir()) == [making]
        with whole_folder(tmp_path / "other"):
            pass
        with contextlib.suppress(ValueError), whole_folder(out) as second:
            assert {making, second} < set(tmp_path.iterdir())
            raise ValueError
        assert making.is_dir()
    assert out.is_dir()


def test_a_folder_that_somebody_else_made_meanwhile_stays(tmp_path: Path) -> None:
    def write() -> None:
        with whole_folder(tmp_path / "out") as making:
            (making / "mine").touch()
            (tmp_path / "out").mkdir()
            (tmp_path / "out" / "theirs").touch()

    with pytest.raises(RecordError, match="cannot be written"):
        write()
    assert [file.relative_to(tmp_path).as_posix() for file in sorted(tmp_path.rglob("*"))] == ["out", "out/theirs"]
