"""The notebooks, run from the first cell to the last as a notebook program runs them."""

from __future__ import annotations

from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["compare_and_rank", "teach_a_taste"])
def test_every_cell_runs(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import nbformat
    from nbclient import NotebookClient

    monkeypatch.setenv("PYTHONPATH", str(EXAMPLES.parent))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    notebook = nbformat.read(EXAMPLES / f"{name}.ipynb", as_version=4)
    NotebookClient(notebook, timeout=1200, resources={"metadata": {"path": str(EXAMPLES)}}).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    pages = [output["data"]["text/html"] for output in outputs if "text/html" in output.get("data", {})]
    printed = "".join(output["text"] for output in outputs if output.get("name") == "stdout")
    assert all("<img src='data:image/" in page for page in pages)
    if name == "compare_and_rank":
        assert len(pages) == 2
        assert "chelsea.jpg" in pages[0]
        assert "strengths in logits" in pages[1]
        assert "5. " in printed
    else:
        assert len(pages) == 1
        assert "60 picks of 12 photographs" in printed
        assert "learnt: better than before" in printed
