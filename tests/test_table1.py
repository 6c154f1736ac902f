"""The table that scripts/table1.py writes from results."""

import csv
import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from visual_attention.options import MODELS

SCRIPT = Path(__file__).parents[1] / "scripts" / "table1.py"


@pytest.fixture(scope="module")
def table1():
    spec = importlib.util.spec_from_file_location("table1", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def result(test, share=None):
    found = {"metric": "accuracy", "test": test, "training_seconds": 2.0, "test_seconds": 0.5}
    return found | ({} if share is None else {"attention_on_figure": share, "uniform_on_figure": 0.125})


def test_table(table1, tmp_path):
    results = {name: [result(40.0), result(44.0), result(48.0)] for name in MODELS}
    results["attention_lambda0"] = [result(50.0, 0.25), result(50.0, 0.27)]
    table1.write_table(tmp_path, "embedded", results)
    cells = {cell["model"]: cell for cell in json.loads((tmp_path / "table1.json").read_text())["cells"]}
    assert list(cells) == list(MODELS)
    pooled = cells["average_pooled_lstm"]
    assert pooled["values_by_seed"] == [40, 44, 48] and pooled["mean"] == 44 and pooled["seconds"] == 7.5
    np.testing.assert_allclose(pooled["deviation"], 4)
    assert pooled["paper"] == {"ucf11": 82.56, "hmdb51": 40.52, "hollywood2": 43.19}
    np.testing.assert_allclose(cells["attention_lambda0"]["attention_on_figure"], 0.26)
    assert cells["attention_mlp_lambda0"]["paper"] is None
    rows = list(csv.reader((tmp_path / "table1.csv").open()))
    assert len(rows) == 1 + len(MODELS) and {len(row) for row in rows} == {7}
    assert rows[2][1] == "44.0 ± 4.0" and rows[2][4].endswith("82.56") and "paper" in rows[0][4]
    assert rows[4][2] == "26.0 (12.5)"
    markdown = (tmp_path / "table1.md").read_text().splitlines()
    assert len(markdown) == 2 + len(MODELS) and {line.count("|") for line in markdown} == {8}
    tex = (tmp_path / "table1.tex").read_text()
    assert tex.count(r"\\") == 1 + len(MODELS) and not set("λ±_") & set(tex.replace(r"\_", ""))
    assert "%" not in tex.replace(r"\%", "")


def test_one_seed_has_no_deviation(table1, tmp_path):
    table1.write_table(tmp_path, "embedded", {name: [result(40.0)] for name in MODELS})
    assert "| 40.0 |" in (tmp_path / "table1.md").read_text()


def test_paper_rows_are_the_papers(table1):
    """The paper's own rows, in its order; ours that it does not have stand last."""
    assert list(MODELS)[: len(table1.PAPER_TABLE1)] == list(table1.PAPER_TABLE1)
    assert set(table1.TITLES) == set(MODELS)
