"""From a tree with the layout and names of a real data set to its column of Table 1: lists, features, one epoch."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from test_extraction import hub, make_clip, needs  # noqa: F401  (hub is a fixture)

from visual_attention.util.data_lists import PARTS, read_lists, read_video_lists

ROOT = Path(__file__).parents[1]
TINY = ["--maxlen=4", "--dim=8", "--dim-out=8", "--batch-size=4", "--max-epochs=1", "--n-layers-lstm=1",
        "--n-layers-init=1"]  # fmt: skip


def script(name, *arguments):
    command = [sys.executable, str(ROOT / "scripts" / name), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def pick(folder, n):
    """Names from a committed list: of each part n, spread over it."""
    parts, _ = read_video_lists(ROOT / "data_lists" / folder)
    names = []
    for lists in parts.values():
        names += [lists.filenames[k] for k in np.linspace(0, len(lists.filenames) - 1, n).astype(int)]
    return sorted(set(names))


def make_tree(root, names, fps=25):
    """Real video of 5 to 9 frames under each name."""
    for k, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        make_clip(root / name, 5 + k % 5, fps)


def features_and_table(root, data_set, models, hub_folder, tmp_path):
    lists, data, runs = tmp_path / "lists", tmp_path / "features", tmp_path / "runs"
    text = script("make_data_lists.py", data_set, "--root", root, "--present-only", "--out", lists)
    assert "missing: " in text and "extra: 0" in text and "unreadable: 0" in text
    extract = ["--lists", lists / data_set, "--videos", root, "--out", data, "--extractor", "googlenet"]
    script(
        "extract_features.py",
        *extract,
        "--hub-repo",
        hub_folder,
        "--weights",
        hub_folder / "random.pth",
        "--workers",
        1,
    )
    change = ["--runs", runs, "--seeds", 1, "--workers", 1, "--models", *models, *TINY]
    text = script("table1.py", data_set, "--data", data, *change)
    assert "runs to do" in text and "GB of disk" in text
    (row,) = csv.DictReader((runs / data_set / "table1.csv").open()) if len(models) == 1 else [None]
    return data, runs / data_set, row, text


@needs("torch", "torchvision")
def test_ucf11(tmp_path, hub):  # noqa: F811
    names = pick("ucf11", 3)
    root = tmp_path / "UCF11_updated_mpg"
    make_tree(root, [*names, "walking/v_walk_dog_01/v_walk_dog_01_01.mpg"], 29.97)
    (root / "walking" / "Annotation").mkdir()
    (root / "walking" / "Annotation" / "notes.mpg").write_bytes(b"no video")
    models = ["softmax_regression"]
    data, runs, _, text = features_and_table(root, "ucf11", models, hub[0], tmp_path)
    found = [name for part in PARTS for name in read_lists(data, part).filenames]
    assert sorted(found) == sorted({*names, "walking/v_walk_dog_01/v_walk_dog_01_01.mpg"})
    cells = json.loads((runs / "table1.json").read_text())["cells"]
    assert [cell["model"] for cell in cells] == models and all(0 <= cell["mean"] <= 100 for cell in cells)
    rows = list(csv.reader((runs / "classes.csv").open()))
    assert [row[0] for row in rows[1:]][:2] == ["basketball", "biking"] and len(rows) == 12
    assert (runs / "softmax_regression" / "seed0" / "model.npz").is_file() and (runs / "learning_curves.png").is_file()


@needs("torch", "torchvision")
def test_hmdb51_over_its_splits(tmp_path, hub):  # noqa: F811
    names = sorted({name for split in (1, 2, 3) for name in pick(f"hmdb51/split{split}", 2)})
    awkward = [name for name in pick("hmdb51/split1", 10**4) if any(sign in name for sign in "[]();#&!")][:3]
    assert awkward
    root = tmp_path / "hmdb51_org"
    make_tree(root, sorted({*names, *awkward}))
    data, runs, row, _ = features_and_table(root, "hmdb51", ["average_pooled_lstm"], hub[0], tmp_path)
    (cell,) = json.loads((runs / "table1.json").read_text())["cells"]
    tests = [json.loads((runs / f"split{k}" / "average_pooled_lstm" / "seed0" / "result.json").read_text())["test"]
             for k in (1, 2, 3)]  # fmt: skip
    assert cell["values_by_split"] == tests and cell["values_by_seed"] == [pytest.approx(np.mean(tests))]
    assert float(row["hmdb51 accuracy %"]) == pytest.approx(np.mean(tests), abs=0.05) and "split3" in row
    listed = {
        name for split in (1, 2, 3) for part in PARTS for name in read_lists(data / f"split{split}", part).filenames
    }
    assert set(awkward) <= listed


@needs("torch", "torchvision")
def test_hollywood2_by_map(tmp_path, hub):  # noqa: F811
    names = pick("hollywood2", 4)
    root = tmp_path / "Hollywood2"
    make_tree(root, names)
    data, runs, row, _ = features_and_table(root, "hollywood2", ["attention_lambda0"], hub[0], tmp_path)
    (cell,) = json.loads((runs / "table1.json").read_text())["cells"]
    assert cell["metric"] == "mAP" and "hollywood2 mAP %" in row
    rows = list(csv.reader((runs / "classes.csv").open()))
    aps = [float(ap) for _, ap in rows[1:] if ap]
    assert rows[1][0] == "AnswerPhone" and len(rows) == 13
    assert cell["mean"] == pytest.approx(np.mean(aps), abs=0.1)
    assert (runs / "attention_lambda0.png").stat().st_size > 10_000  # frames come from the videos
    script("table2.py", "--runs", tmp_path / "runs")
    assert list(csv.reader((tmp_path / "runs" / "table2.csv").open()))[3][3] == f"{cell['mean']:.1f}"
