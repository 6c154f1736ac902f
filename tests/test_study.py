"""The study of when attention helps, on tiny sizes."""

import csv
import json
import subprocess
import sys
from pathlib import Path

from PIL import Image

SCRIPT = Path(__file__).parents[1] / "scripts" / "study_embedded.py"
TINY = """--models attention_lambda0 attention_lambda1 --heights 120 60 --spreads 0 --seeds 2 --videos-per-class 1 1 1
--workers 1 --maxlen 4 --dim 4 --dim-out 4 --batch-size 16 --max-epochs 1 --training-stride 9 --testing-stride 9"""


def study(folder):
    words = [*TINY.split(), "--data", folder / "data", "--runs", folder / "runs"]
    return subprocess.run([sys.executable, SCRIPT, *map(str, words)], capture_output=True, text=True)


def test_study_writes_table_and_figures_and_continues(tmp_path):
    done = study(tmp_path)
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "runs" / "study.json").read_text())
    settings = [(row["height"], row["spread"], row["model"]) for row in rows]
    models = ("attention_lambda0", "attention_lambda1")
    assert settings == [(height, 0, model) for height in (120, 60) for model in models]
    assert all(0 <= row["mean"] <= 100 and len(row["values_by_seed"]) == 2 for row in rows)
    large, small = (row["uniform_on_figure"] for row in rows if row["model"] == "attention_lambda0")
    assert large > 2.5 * small
    assert all(row["difference"] is None for row in rows)  # average pooling was not trained
    head, *body = csv.reader((tmp_path / "runs" / "study.csv").open())
    assert head[:3] == ["height", "spread", "model"] and [row[0] for row in body] == ["120", "120", "60", "60"]
    for name in ("study.png", "study_shares.png"):
        with Image.open(tmp_path / "runs" / name) as picture:
            assert min(picture.size) > 200

    trained = {path: path.stat().st_mtime_ns for path in tmp_path.glob("runs/*/*/*/model.npz")}
    again = study(tmp_path)
    assert again.returncode == 0 and len(trained) == 8
    assert {path: path.stat().st_mtime_ns for path in trained} == trained
    assert json.loads((tmp_path / "runs" / "study.json").read_text()) == rows
