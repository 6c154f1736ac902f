"""Pictures: light falls where the model looked, on every row and column; the scripts make them from a run."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from visual_attention.pictures import right_and_wrong
from visual_attention.util import drawing
from visual_attention.util.data_handler import DataHandler
from visual_attention.util.embedded import make_embedded

SCRIPTS = Path(__file__).parents[1] / "scripts"


def script(name, *arguments):
    command = [sys.executable, SCRIPTS / name, *arguments]
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize("location", [0, 6, 24, 27, 42, 48])
def test_smooth_keeps_the_maximum_where_it_was(location):
    """Location i is row i // 7, column i % 7, as everywhere; 32 pixels a side."""
    light = drawing.smooth(np.eye(49)[location], 224)
    assert light.shape == (224, 224)
    row, column = np.unravel_index(light.argmax(), light.shape)
    assert (row // 32, column // 32) == divmod(location, 7)


def test_overlay_is_bright_where_looked_at():
    frames = np.full((2, 224, 224, 3), 120, np.uint8)
    alpha = np.full((2, 49), 0.1 / 48)
    alpha[0, 8], alpha[1, 40] = 0.9, 0.9
    lit = drawing.overlay(frames, alpha).mean(axis=-1)
    for picture, (row, column) in zip(lit, [(1, 1), (5, 5)], strict=True):
        centre = picture[32 * row + 16, 32 * column + 16]
        assert centre > 120 and picture[112, 112] < 60 and centre == picture.max()


def test_uniform_glimpse_is_evenly_dim():
    lit = drawing.overlay(np.full((1, 224, 224, 3), 120, np.uint8), np.full((1, 49), 1 / 49))
    assert lit.min() == lit.max() < 120


def test_right_and_wrong(tmp_path):
    data = type("Part", (), {})()
    data.labels = np.array([0, 1, 0, 1, 0])
    data.lists = type("Lists", (), {"multilabel": False})
    probs = np.array([[0.9, 0.1], [0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.2, 0.8]])
    chosen = right_and_wrong(probs, data, n=2)
    assert len(chosen) == 4
    assert set(chosen[:2]) <= {0, 2, 3} and set(chosen[2:]) == {1, 4}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of one epoch on a tiny embedded set: (data folder, run folder)."""
    folder = tmp_path_factory.mktemp("embedded")
    data = make_embedded(folder / "data", seed=1, videos_per_class=(1, 1, 1), workers=1)
    options = {"maxlen": 5, "training-stride": 9, "testing-stride": 5, "dim": 8, "dim-out": 8, "n-layers-lstm": 1}
    options |= {"batch-size": 8, "max-epochs": 1, "model": "attention_lambda0"}
    done = script("train.py", "--data", data, "--run", folder / "run", *(f"--{k}={v}" for k, v in options.items()))
    assert done.returncode == 0, done.stderr
    return data, folder / "run"


def test_draw_attention(run, tmp_path):
    data, folder = run
    name = "jack/test_000"
    done = script("draw_attention.py", folder, "--data", data, "--video", name, "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{name}:  predicted ") and "true jack" in done.stdout
    with Image.open(tmp_path / "jack_test_000.png") as strip, Image.open(tmp_path / "jack_test_000.gif") as movie:
        assert strip.width == 8 * (drawing.TILE + 4) + 4
        part = DataHandler(data, "test", maxlen=5, stride=5)  # as the run was tested; jack is the third video
        assert movie.n_frames == len(np.unique(part.index[:, part.video == 2]))


def test_draw_attention_of_unknown_video(run, tmp_path):
    data, folder = run
    done = script("draw_attention.py", folder, "--data", data, "--video", "nobody")
    assert done.returncode == 1
    assert done.stderr == (
        f"error: {data}/test_filename.txt: names no video 'nobody'; "
        "expected one of its lines, such as 'walk/test_000'\n"
    )


def test_attention_on_the_figure_is_told(run):
    result = json.loads((run[1] / "result.json").read_text())
    assert 0.02 < result["uniform_on_figure"] < 0.5
    assert 0 < result["attention_on_figure"] < 1
