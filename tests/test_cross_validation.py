"""Folds of training videos by group, and the windows of each fold."""

import csv
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from test_data import make_part
from test_training import data_folder  # noqa: F401  (a fixture)

from visual_attention.experiment.data import load_parts
from visual_attention.options import Options
from visual_attention.util.data_handler import DataHandler
from visual_attention.util.data_lists import DataLists
from visual_attention.util.folds import folds_of_groups, group_of

SCRIPT = Path(__file__).parents[1] / "scripts" / "cross_validate.py"


@pytest.mark.parametrize(
    "name, group",
    [
        ("basketball/v_shooting_01/v_shooting_01_02.mpg", "basketball/v_shooting_01"),
        ("brush_hair/April_09_brush_hair_u_nm_np1_ba_goo_0.avi", "april_09"),
        ("hit/A_hit_film_hit_f_cm_np1_fr_bad_2.avi", "a_hit_film"),
        ("AVIClips/actioncliptrain00001.avi", "AVIClips/actioncliptrain00001.avi"),
        ("walk/train_003", "walk/train_003"),
    ],
)
def test_groups(name, group):
    assert group_of(name) == group


def test_folds_keep_groups_together_and_spread_classes():
    names = [f"class{c}/v_{g:02}/v_{g:02}_{k:02}.mpg" for c in range(3) for g in range(10) for k in range(1 + g % 4)]
    labels = np.array([int(name[5]) for name in names])
    folds = folds_of_groups(DataLists(names, np.ones(len(names), int), labels), 5)
    for group in {group_of(name) for name in names}:
        assert len({fold for name, fold in zip(names, folds, strict=True) if group_of(name) == group}) == 1
    for c in range(3):
        groups = {(group_of(n), f) for n, f, label in zip(names, folds, labels, strict=True) if label == c}
        assert np.bincount([fold for _, fold in groups]).tolist() == [2] * 5
    with pytest.raises(
        ValueError, match="the training videos are of 30 groups; expected at least as many as folds, 31"
    ):
        folds_of_groups(DataLists(names, np.ones(len(names), int), labels), 31)


def test_windows_of_selected_videos(tmp_path):
    make_part(tmp_path, frame_numbers=(7, 3, 5), labels=(0, 1, 2))
    whole = DataHandler(tmp_path, "train", maxlen=3, ctx_dim=4)
    selected = whole.only(np.array([0, 2]))
    assert selected.video.tolist() == [0] * 5 + [1] * 3 and selected.labels.tolist() == [0, 2]
    assert selected.lists.filenames == ["v0", "v2"] and selected.digest() != whole.digest()
    np.testing.assert_array_equal(selected.index, whole.index[:, whole.video != 1])
    (batch,) = selected.batches(np.arange(8), 8)
    np.testing.assert_array_equal(batch.y, [0] * 5 + [2] * 3)
    np.testing.assert_allclose(batch.frames[batch.index][:, -1, 0, 0], [12, 13, 14], rtol=1e-6)


def test_windows_of_selected_videos_from_disk(tmp_path):
    """Read through the buffer, each batch has the same frames as the same windows in memory."""
    make_part(tmp_path, frame_numbers=(4, 3, 5, 4, 3, 4), labels=range(6))
    videos = np.array([1, 2, 4, 5])
    selected, memory = (
        DataHandler(tmp_path, "train", maxlen=3, ctx_dim=4, memory_gb=gb).only(videos) for gb in (2.3e-6, 1)
    )
    assert not selected.in_memory and memory.in_memory and selected.buffer_frames("buffer") > 0
    order = selected.shuffled(np.random.default_rng(0))
    assert sorted(order) == list(range(selected.n_windows))
    for a, b in zip(selected.batches(order, 2), memory.batches(order, 2), strict=True):
        np.testing.assert_array_equal(a.frames[a.index], b.frames[b.index])
        np.testing.assert_array_equal(a.y, b.y)


def test_folds_divide_only_the_training_part(data_folder):  # noqa: F811
    options = Options(maxlen=4, n_locations=9, ctx_dim=5, n_actions=2, training_stride=2)
    whole, seen = load_parts(data_folder, options), []
    for k in range(3):
        parts = load_parts(data_folder, options, (k, 3))
        train, held_out = (set(parts[part].lists.filenames) for part in ("train", "test"))
        assert not train & held_out and train | held_out == set(whole["train"].lists.filenames)
        assert parts["valid"].lists.filenames == whole["valid"].lists.filenames
        assert parts["train"].n_windows < parts["train"].lists.frame_numbers.sum() / 2  # because of its stride
        seen += sorted(held_out)
    assert sorted(seen) == sorted(whole["train"].lists.filenames)


def test_script(data_folder, tmp_path):  # noqa: F811
    """Two settings, two folds: the table lists the best setting first, and its means match its folds."""
    command = [sys.executable, SCRIPT, "embedded", "--data", data_folder, "--runs", tmp_path, "--folds", 2, "--layers",
               "1", "--alpha-c", "0", "5", "--maxlen", 4, "--dim", 6, "--dim-out", 5, "--ctx-dim", 5, "--n-locations",
               9, "--n-actions", 2, "--max-epochs", 2, "--batch-size", 8]  # fmt: skip
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader((tmp_path / "embedded_cv" / "cross_validation.csv").open()))
    means = [float(row["accuracy %"].split()[0]) for row in rows]
    assert len(rows) == 2 and means == sorted(means, reverse=True) and {row["λ"] for row in rows} == {"0", "5"}
    for row, mean in zip(rows, means, strict=True):
        np.testing.assert_allclose((float(row["fold 1"]) + float(row["fold 2"])) / 2, mean, atol=0.11)
    assert f"best with --n-layers-lstm 1 --alpha-c {rows[0]['λ']}" in done.stdout
