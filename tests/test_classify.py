"""What the command for one's own videos says about its scores."""

import csv

import numpy as np

from visual_attention.commands import classify_videos
from visual_attention.util.data_lists import DataLists


def lists(names, frames, labels):
    return DataLists(names, np.array(frames), np.array(labels))


def test_few_videos_and_frames_are_warned_of():
    many = [f"b/{k}" for k in range(10)]
    test = lists(["a/0", *many], [40] + [29] * 2 + [30] * 8, [0] + [1] * 10)
    train = lists([f"a/{k}" for k in range(1, 11)] + many[:3], [40] * 13, [0] * 10 + [1] * 3)
    few_test, few_train, short = classify_videos.warnings_of({"train": train, "test": test}, ["a", "b"], 30)
    assert few_test == "1 of 2 classes have fewer than 10 test videos (a 1); their accuracies mean nothing."
    assert few_train.startswith("1 of 2 classes have fewer than 10 training videos (b 3);")
    assert short.startswith("2 of 11 test videos have fewer frames than a window of 30 (b/0 29, b/1 29);")


def test_clips_cut_by_time_are_warned_of_and_enough_videos_are_not():
    enough = lists([f"{k}.mp4" for k in range(20)], [30] * 20, [0, 1] * 10)
    assert classify_videos.warnings_of({"train": enough, "test": enough}, ["a", "b"], 30) == []
    cut = lists([f"{k}.mp4#test" for k in range(20)], [30] * 20, [0, 1] * 10)
    (warning,) = classify_videos.warnings_of({"train": enough, "test": cut}, ["a", "b"], 30)
    assert (
        warning
        == "the test videos are later parts of the training videos, so the scores say nothing about other videos."
    )


def test_results_show_attention_that_sees_first_and_how_wide_the_interval_is(tmp_path):
    assert classify_videos.Arguments.models[0] == "attention_mlp_lambda0"
    results = {
        name: {"metric": "accuracy", "test": 75.0, "training_seconds": 2.2} for name in classify_videos.Arguments.models
    }
    classify_videos.write_results(tmp_path / "results", results, 4, ["few videos."])
    head, *rows = csv.reader((tmp_path / "results.csv").open())
    assert head[1] == "accuracy of 4 test videos, %"
    # the Wilson interval of 3 of 4, computed by hand
    n, p, z = 4, 0.75, 1.959964
    middle, half = p + z * z / (2 * n), z * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    low, high = (round(100 * (middle + sign * half) / (1 + z * z / n)) for sign in (-1, 1))
    assert rows[0][:3] == ["Soft attention by MLP, λ = 0 (not in the paper)", "75.0", f"{low} to {high}"]
    text = (tmp_path / "results.md").read_text()
    assert "sees each frame before it chooses" in text and text.endswith("\nWarning: few videos.\n")
