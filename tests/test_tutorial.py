"""The tutorial's notebooks and the solutions of their exercises run from top to bottom, and assert their claims."""

import re
from pathlib import Path

import nbclient
import nbformat
import pytest

NOTEBOOKS = sorted((Path(__file__).parents[1] / "docs" / "tutorial").glob("*.ipynb"))
SOLUTION = re.compile(r"<summary>Solution</summary>(.*?)</details>", re.DOTALL)


def sources(notebook, kind):
    return [cell.source for cell in notebook.cells if cell.cell_type == kind]


def solutions(notebook):
    """The folded texts of the solutions."""
    return [text for source in sources(notebook, "markdown") for text in SOLUTION.findall(source)]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_and_its_solutions_run(path, monkeypatch):
    monkeypatch.setenv("TUTORIAL_QUICK", "1")  # notebooks 4 and 5: small sizes
    notebook = nbformat.read(path, 4)
    for text in solutions(notebook):
        notebook.cells += map(nbformat.v4.new_code_cell, re.findall(r"```python\n(.*?)```", text, re.DOTALL))
    # raises the error of a failing cell
    nbclient.NotebookClient(notebook, timeout=120, resources={"metadata": {"path": path.parent}}).execute()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_committed_with_its_outputs(path):
    text = path.read_text(encoding="utf-8")
    notebook = nbformat.reads(text, 4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1)) and len(text) < 1e6
    outputs = [out for cell in cells for out in cell.outputs]
    assert outputs and not any(out.output_type == "error" or out.get("name") == "stderr" for out in outputs)
    assert "site-packages" not in text and "Warning" not in text  # no traces of the machine it ran on
    assert sum("assert " in source for source in sources(notebook, "code")) >= 4
    exercises = re.findall(r"^\*\*\d\.\*\*", "\n".join(sources(notebook, "markdown")), re.MULTILINE)
    assert len(exercises) == len(solutions(notebook)) >= 3


def test_index_links_all_six_notebooks():
    index = (NOTEBOOKS[0].parent / "README.md").read_text(encoding="utf-8")
    assert [path.name[0] for path in NOTEBOOKS] == list("123456")
    assert all(f"({path.name})" in index for path in NOTEBOOKS)
