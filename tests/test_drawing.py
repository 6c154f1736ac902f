"""Pictures: they are bright where the model looks, in every row and column; scripts draw them from a run."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from visual_attention.model import model_for
from visual_attention.options import Options
from visual_attention.presentation.pictures import is_right, right_and_wrong, verdict
from visual_attention.util import drawing
from visual_attention.util.data_handler import DataHandler
from visual_attention.util.data_lists import write_class_names, write_lists
from visual_attention.util.embedded import extract_cubes, make_embedded
from visual_attention.util.frame_table import FrameTableWriter
from visual_attention.util.metrics import box_coverage

SCRIPTS = Path(__file__).parents[1] / "scripts"


def script(name, *arguments):
    command = [sys.executable, SCRIPTS / name, *arguments]
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize("K, size", [(7, 224), (7, 100), (14, 224), (2, 30), (1, 8)])
def test_smooth_keeps_the_position_of_the_maximum(K, size):
    """Location i is in row i // K, column i % K. Holds for any glimpse, not only a single peak; no overshooting."""
    rng = np.random.default_rng(0)
    for alpha in (*np.eye(K * K), *rng.dirichlet(np.full(K * K, 0.7), 20)):
        light = drawing.smooth(alpha, size)
        assert light.shape == (size, size) and alpha.min() - 1e-9 <= light.min() and light.max() <= alpha.max() + 1e-9
        row, column = np.unravel_index(light.argmax(), light.shape)
        assert (int((row + 0.5) * K / size), int((column + 0.5) * K / size)) == divmod(int(alpha.argmax()), K)


LUMINANCE = np.array([0.2126, 0.7152, 0.0722])  # weights of red, green and blue in ITU-R BT.709


def test_pictures_can_be_read_in_greyscale():
    """Luminance grows with the weight, whatever the frame's colour."""
    weights = np.linspace(0, 0.1, 40)
    alpha = np.repeat(weights[:, None], 49, axis=1)  # the same weight everywhere in a frame
    colours = np.random.default_rng(0).integers(0, 256, (200, 3)).tolist() + [[0, 0, 0], [255, 255, 255], [255, 255, 0]]
    for colour in colours:
        frames = np.full((40, 14, 14, 3), colour, np.uint8)
        light = (drawing.overlay(frames, alpha, full=0.1) @ LUMINANCE)[:, 7, 7]
        assert (np.diff(light) >= 0).all() and light[-1] > light[0] + 20
    light = (drawing.heat(alpha, full=0.1) @ LUMINANCE)[:, 7, 7]
    assert (np.diff(light) > 0).all() and light[0] == 0 and light[-1] > 250


@pytest.mark.parametrize("row, column", [(0, 0), (0, 6), (2, 5), (6, 0), (5, 1)])
def test_bright_where_the_features_are(row, column, tmp_path):
    """From pixels to cube, file, window, attention and picture, (row, column) stays the same, never mirrored."""
    frames = np.full((4, 224, 224, 3), 90, np.uint8)
    frames[:, 32 * row + 8 : 32 * row + 24, 32 * column + 8 : 32 * column + 24] = (230, 20, 20)
    cubes = extract_cubes(frames)
    assert cubes.sum(axis=-1).argmax(axis=1).tolist() == [7 * row + column] * 4
    single = np.zeros((4, 49, 64), "float32")
    single[:, 7 * row + column, 3] = 1
    for layout, table in (("released", cubes), ("location", single)):
        folder = tmp_path / layout
        folder.mkdir()
        with FrameTableWriter(folder / "test_features.h5", 49, 64, layout, "float32") as writer:
            writer.append(table)
        write_lists(folder, "test", ["video"], [4], [0])
        options = Options(attention="mlp", n_actions=2, ctx_dim=64, dim=4, dim_out=4, n_layers_lstm=1, maxlen=4,
                          batch_size=1)  # fmt: skip
        model = model_for(options, "float32")
        # a location's score is the sum of its features
        for name, value in {"Wc_att": np.eye(64), "Wd_att": np.zeros((4, 64)), "U_att": np.full((64, 1), 50)}.items():
            model.tparams[f"decoder_{name}"].set_value(value.astype("float32"))
        batch = next(DataHandler(folder, "test", maxlen=4).batches(np.array([0]), 1))
        alpha = model.predict(batch)[1][:, 0]
        assert alpha.argmax(axis=1).tolist() == [7 * row + column] * 4
        for picture in (drawing.overlay(frames, alpha) @ LUMINANCE, drawing.heat(alpha, size=224) @ LUMINANCE):
            squares = picture.reshape(4, 7, 32, 7, 32).mean(axis=(2, 4))
            assert squares.reshape(4, 49).argmax(axis=1).tolist() == [7 * row + column] * 4


def test_verdict_names_true_and_predicted_class_and_probability(tmp_path):
    write_class_names(tmp_path, ["walk", "wave", "jack"])
    data = type("Part", (), {"folder": tmp_path, "labels": np.array([2, 0])})()
    data.lists = type("Lists", (), {"multilabel": False})
    probs = np.array([0.125, 0.25, 0.625])
    assert verdict(data, 0, probs) == "predicted jack (62 %), true jack" and is_right(data, 0, probs)
    assert verdict(data, 1, probs) == "predicted jack (62 %), true walk" and not is_right(data, 1, probs)
    data.labels, data.lists.multilabel = np.array([[1, 0, 1], [0, 0, 0]]), True
    assert verdict(data, 0, probs) == "predicted jack (62 %), true walk + jack" and is_right(data, 0, probs)
    assert verdict(data, 1, probs) == "predicted jack (62 %), true none" and not is_right(data, 1, probs)


@pytest.mark.parametrize("length", [20, 150, 200])
def test_captions_are_not_cut(length):
    alpha = np.full((8, 49), 1 / 49)
    picture = np.asarray(drawing.strip([drawing.heat(alpha)], "W" * length, True))
    text = np.flatnonzero((picture[:28] < 128).any(axis=(0, 2)))
    assert picture.shape[:2] == (30 + drawing.TILE + 4 + 18, 8 * (drawing.TILE + 4) + 4)
    assert text.max() < picture.shape[1] - 4
    movie = drawing.movie_frames(np.full((1, 224, 224, 3), 9, np.uint8), alpha[:1], "w" * 70, False)[0]
    assert np.flatnonzero((movie[226:] < 128).any(axis=(0, 2))).max() < movie.shape[1] - 2


def test_overlay_is_bright_where_the_weight_is():
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
        part = DataHandler(data, "test", maxlen=5, fps=15, stride=5)  # as in the run's test; jack is the third video
        assert movie.n_frames == len(np.unique(part.index[:, part.video == 2]))


def test_draw_attention_of_unknown_video(run, tmp_path):
    data, folder = run
    done = script("draw_attention.py", folder, "--data", data, "--video", "nobody")
    assert done.returncode == 1
    assert done.stderr == (
        f"error: {data}/test_filename.txt: names no video 'nobody'; "
        "expected one of its lines, such as 'walk/test_000'\n"
    )


def test_attention_on_the_figure_is_in_the_result(run):
    result = json.loads((run[1] / "result.json").read_text())
    assert 0.02 < result["uniform_on_figure"] < 0.5
    assert 0 < result["attention_on_figure"] < 1


# ---------------------------------------------------------------- locations that do not form a square grid

NO_GRID = "50 locations are no square grid; expected K x K of them, such as 49"


@pytest.fixture(scope="module")
def no_grid(tmp_path_factory):
    """A run on a table of 50 locations: (data folder, folder of the runs)."""
    folder, rng = tmp_path_factory.mktemp("no_grid"), np.random.default_rng(0)
    data, runs = folder / "features", folder / "runs" / "ucf11"
    data.mkdir()
    for part in ("train", "valid", "test"):
        with FrameTableWriter(data / f"{part}_features.h5", 50, 4, dtype="float32") as table:
            table.append(rng.random((6, 50, 4)))
        write_lists(data, part, [f"{part}0", f"{part}1"], [3, 3], [0, 1])
    about = {"source": "videos", "root": str(folder.resolve()), "extractor": "efficientnet-lite0"}
    (data / "dataset.json").write_text(json.dumps(about))
    options = "--maxlen 2 --dim 3 --dim-out 3 --n-layers-lstm 1 --batch-size 2 --max-epochs 1".split()
    done = script("train.py", "--data", data, "--run", runs / "attention_lambda0" / "seed0", *options)
    assert done.returncode == 0, done.stderr
    return data, runs


def test_locations_that_are_no_grid_train_but_are_not_drawn(no_grid):
    data, runs = no_grid
    run = runs / "attention_lambda0" / "seed0"
    assert "test" in json.loads((run / "result.json").read_text())
    with pytest.raises(ValueError, match=NO_GRID):
        drawing.smooth(np.full((2, 50), 0.02), 100)
    with pytest.raises(ValueError, match=NO_GRID):
        box_coverage(np.zeros((2, 4)), 50)
    done = script("figures.py", "ucf11", "--runs", runs.parent)
    assert done.returncode == 1 and done.stderr.startswith(f"error: {NO_GRID}"), done.stderr
    assert not (runs / "figures").exists()


def test_classify_says_before_training_that_there_is_no_grid(no_grid):
    data, _ = no_grid
    done = script("classify_videos.py", "--videos", data.parent, "--out", data.parent)
    assert done.returncode == 1 and done.stderr.startswith(f"error: {NO_GRID}"), done.stderr
    assert not (data.parent / "attention_lambda0").exists()
