"""The tables that `visual-attention table1` and `table2` write from results."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from visual_attention import actrec
from visual_attention.commands import command_line, table1
from visual_attention.experiment import budget
from visual_attention.experiment.cells import Cell, check_needs
from visual_attention.options import DATA_SETS, MODELS, RECIPES, TITLES, Options, recipe
from visual_attention.presentation import table1 as tables
from visual_attention.util import data_sets
from visual_attention.util.data_lists import write_lists
from visual_attention.util.frame_table import FrameTableWriter
from visual_attention.util.intervals import Predictions

SCRIPT = Path(__file__).parents[1] / "scripts" / "table1.py"


def result(test, share=None):
    values = {"metric": "accuracy", "test": test, "training_seconds": 2.0, "test_seconds": 0.5}
    values["classes"] = [{"class": "a", "percent": test}, {"class": "b", "percent": None}]
    return values | ({} if share is None else {"attention_on_figure": share, "uniform_on_figure": 0.125})


def predicted(results, n_classes=2, videos=20, splits=1):
    """Predictions that go with results: of each run, as many of the first videos are right as its score says."""
    names = [[f"s{split}v{k}" for k in range(videos)] for split in range(splits)]
    return {
        model: [
            [
                Predictions(of_split, np.eye(n_classes)[(np.arange(videos) >= run["test"] * videos / 100).astype(int)],
                            np.zeros(videos, int))
                for of_split, run in zip(names, seed, strict=True)
            ]
            for seed in seeds
        ]
        for model, seeds in results.items()
    }  # fmt: skip


def test_table(tmp_path):
    results = {name: [[result(40.0)], [result(45.0)], [result(50.0)]] for name in MODELS}
    results["attention_lambda0"] = [[result(95.0, 0.25)], [result(90.0, 0.27)]]
    results["max_pooled_lstm"] = [[result(0.0)]] * 3
    tables.write_table(tmp_path, "embedded", results, predicted(results))
    table = json.loads((tmp_path / "table1.json").read_text())
    cells = {cell["model"]: cell for cell in table["cells"]}
    assert list(cells) == list(MODELS) and (table["seeds"], table["test_videos"]) == (3, 20)
    pooled = cells["average_pooled_lstm"]
    assert pooled["values_by_seed"] == [40, 45, 50] and pooled["mean"] == 45 and pooled["seconds"] == 7.5
    np.testing.assert_allclose(pooled["deviation"], 5)
    assert pooled["paper"] == {"ucf11": 82.56, "hmdb51": 40.52, "hollywood2": 43.19}
    assert pooled["difference"] is None and pooled["interval"][0] < 45 < pooled["interval"][1]
    attention = cells["attention_lambda0"]
    np.testing.assert_allclose(attention["attention_on_figure"], 0.26)
    assert attention["difference"]["to"] == "average_pooled_lstm"
    np.testing.assert_allclose(attention["difference"]["mean"], 92.5 - 45)
    low, high = attention["difference"]["interval"]
    assert 0 < low < 47.5 < high
    assert cells["attention_mlp_lambda0"]["paper"] is None
    rows = list(csv.reader((tmp_path / "table1.csv").open()))
    assert len(rows) == 1 + len(MODELS) and {len(row) for row in rows} == {8}
    assert rows[0][2] == "minus Average pooled LSTM, 95 % interval" and rows[2][2] == ""
    assert rows[2][1] == "45.0 ± 5.0" and rows[2][5].endswith("82.56") and "paper" in rows[0][5]
    assert rows[3][2].startswith("−45.0 [−") and rows[4][2].startswith("47.5 [")
    assert rows[4][3] == "26.0 ± 1.4 (12.5)"
    markdown = (tmp_path / "table1.md").read_text().splitlines()
    lines = [line for line in markdown if line.startswith("|")]
    assert len(lines) == 2 + len(MODELS) and {line.count("|") for line in lines} == {9}
    tex = (tmp_path / "table1.tex").read_text()
    assert tex.count(r"\\") == 1 + len(MODELS) and not set("λ±_−") & set(tex.replace(r"\_", ""))
    assert "%" not in tex.replace(r"\%", "")


def test_text_under_the_table_says_what_the_intervals_show(tmp_path):
    scores = {"softmax_regression": 50.0, "average_pooled_lstm": 50.0, "max_pooled_lstm": 10.0,
              "attention_lambda0": 90.0, "attention_lambda1": 100.0}  # fmt: skip
    results = {name: [[result(score)]] * 2 for name, score in scores.items()}
    tables.write_table(tmp_path, "embedded", results, predicted(results))
    _, measured, shown = (tmp_path / "table1.md").read_text().split("\n\n")
    assert measured.startswith("20 test videos, 2 seeds; mean ± standard deviation over seeds.")
    assert shown.strip() == (
        "Above Average pooled LSTM: Soft attention, λ = 0; Soft attention, λ = 1. Below Average pooled LSTM: "
        "Max pooled LSTM. Not shown to differ from Average pooled LSTM: Softmax regression (full cube)."
    )


def test_without_average_pooling_nothing_is_compared(tmp_path):
    results = {"max_pooled_lstm": [[result(40.0)]]}
    tables.write_table(tmp_path, "embedded", results, predicted(results))
    assert "minus" not in (tmp_path / "table1.md").read_text()
    assert json.loads((tmp_path / "table1.json").read_text())["cells"][0]["difference"] is None


def test_one_seed_has_no_deviation(tmp_path):
    results = {name: [[result(40.0)]] for name in MODELS}
    tables.write_table(tmp_path, "embedded", results, predicted(results))
    text = (tmp_path / "table1.md").read_text()
    assert "| 40.0 | |" in text.replace("|  |", "| |") and "one seed says nothing about others" in text


def test_rows_of_the_paper_come_first():
    """The paper's rows come first, in its order. Our additional rows come last."""
    scores = [data_set.table1 for data_set in data_sets.DATA_SETS.values() if data_set.table1]
    assert len(scores) == 3
    for rows in scores:
        assert list(MODELS)[: len(rows)] == list(rows)
    assert set(TITLES) == set(MODELS)


def test_splits_are_averaged(tmp_path):
    results = {
        "attention_lambda0": [[result(40.0), result(50.0), result(60.0)], [result(42.0), result(52.0), result(62.0)]]
    }
    tables.write_table(tmp_path, "hmdb51", results, predicted(results, splits=3))
    row = json.loads((tmp_path / "table1.json").read_text())["cells"][0]
    assert row["values_by_seed"] == [50, 52] and row["values_by_split"] == [41, 51, 61] and row["mean"] == 51
    head, line = list(csv.reader((tmp_path / "table1.csv").open()))
    assert head[1:5] == ["hmdb51 accuracy %", "split1", "split2", "split3"]
    assert line[1:5] == ["51.0 ± 1.4", "41.0", "51.0", "61.0"]
    tables.write_class_table(tmp_path, results)
    rows = list(csv.reader((tmp_path / "classes.csv").open()))
    assert rows[1:] == [["a", "51.0"], ["b", ""]]


@pytest.mark.parametrize(
    "words, expected",
    [
        ("--max-epochs 2 --lrate=0.5 --no-use-dropout --shuffle buffer",
         {"max_epochs": 2, "lrate": 0.5, "use_dropout": False, "shuffle": "buffer"}),
        ("--max_epochs 2", {"max_epochs": 2}),
        ("", {}),
        ("--epochs 2", "option --epochs is unknown; expected --max-epochs, perhaps; --help lists all of them"),
        ("--seed 2", "option --seed is unknown; expected --seeds, perhaps; --help lists all of them"),
        ("--dim many", "error: option --dim is 'many'; expected a whole number"),
        ("--selector yes", "error: Unrecognized options: yes"),
    ],
)  # fmt: skip
def test_changed_options(words, expected, monkeypatch, capsys):
    """Those that are given change the recipe; the others stay the recipe's."""
    monkeypatch.setattr(sys, "argv", ["table1", "ucf11", *words.split()])
    if isinstance(expected, dict):
        assert command_line.parse(table1.Arguments, "").changes == expected
        return
    with pytest.raises((ValueError, SystemExit)) as error:
        command_line.parse(table1.Arguments, "")
    assert expected in (str(error.value), capsys.readouterr().err.strip())


def test_help_has_the_text_of_every_option(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["table1", "--help"])
    with pytest.raises(SystemExit):
        command_line.parse(table1.Arguments, "")
    text = capsys.readouterr().out
    for name in Options.__dataclass_fields__.keys() - set(table1.OPTIONS_OF_ROWS):
        assert f"--{name.replace('_', '-')}" in text
    assert "size of each LSTM layer" in text


def test_message_before_training_if_pictures_cannot_be_drawn(capsys):
    assert table1.models_to_draw("ucf11", 49) == table1.DRAWN and not capsys.readouterr().out
    assert table1.models_to_draw("ucf11", 50) == ()
    assert capsys.readouterr().out.startswith("ucf11: no pictures will be drawn: 50 locations are no square grid")


def test_number_of_parameters_in_the_budget():
    for data_set in DATA_SETS:
        for model in MODELS:
            for name in RECIPES:
                options = recipe(name, data_set, model, dim=9, dim_out=7, ctx_dim=11, ctx2out=True, selector=True,
                                 n_layers_out=3)  # fmt: skip
                assert budget.n_params(options) == sum(value.size for value in actrec.init_params(options).values())


def test_too_little_disk_or_memory_is_refused(tmp_path, monkeypatch):
    for part in ("train", "valid", "test"):
        with FrameTableWriter(tmp_path / f"{part}_features.h5", 49, 64) as table:
            table.append(np.zeros((40, 49, 64)))
        write_lists(tmp_path, part, ["a", "b"], [35, 5], [0, 1])
    options = recipe("paper", "embedded", maxlen=30, fps=30, batch_size=32, training_stride=2, testing_stride=1)
    frame = 49 * 64 * 2 / 1e9
    expected = budget.Sizes([4, 7, 7], [40 * frame] * 3, [0, 64 * frame, 64 * frame], frame, 2)
    assert budget.sizes(tmp_path, options) == expected
    cells = {"a": Cell(options, tmp_path / "run", tmp_path)}
    monkeypatch.setattr(budget, "available_gb", lambda folder: (100.0, 0.0))
    with pytest.raises(ValueError, match="needs 0.0 GB of disk, 0.0 are free; give another folder by --runs"):
        check_needs(tmp_path / "runs", cells, None)
    monkeypatch.setattr(budget, "available_gb", lambda folder: (0.5, 100.0))
    with pytest.raises(ValueError, match="GB of memory, 0.5 are free; expected fewer --workers, or less"):
        check_needs(tmp_path / "runs", cells, None)
    monkeypatch.setattr(budget, "available_gb", lambda folder: (100.0, 100.0))
    assert check_needs(tmp_path / "runs", cells, 3) == 3


def test_table2(tmp_path):
    def table2():
        done = subprocess.run([sys.executable, str(SCRIPT.with_name("table2.py")), "--runs", str(tmp_path)],
                              capture_output=True, text=True)  # fmt: skip
        assert done.returncode == 0, done.stderr
        return list(csv.reader((tmp_path / "table2.csv").open())), done.stdout

    rows, text = table2()
    assert rows[3] == ["Soft attention (this project, measured)", "frames", "not run", "not run"]
    assert "visual-attention table1 hmdb51 --data DIR makes it" in text and len(rows) == 11
    (tmp_path / "hmdb51").mkdir()
    cells = [{"model": "attention_lambda0", "mean": 40.04, "deviation": None}]
    (tmp_path / "hmdb51" / "table1.json").write_text(json.dumps({"cells": cells}))
    assert table2()[0][3][2:] == ["40.0", "not run"]
