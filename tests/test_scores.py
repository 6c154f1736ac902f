"""Scores of windows and videos, compared with the released code's numbers and with scikit-learn."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, confusion_matrix

from visual_attention.experiment.evaluation import batch_size, class_table, predictions, score
from visual_attention.experiment.runs import write_predictions
from visual_attention.model import Model
from visual_attention.options import MODELS, Options
from visual_attention.util import metrics
from visual_attention.util.data_handler import DataHandler
from visual_attention.util.data_lists import write_lists
from visual_attention.util.frame_table import FrameTableWriter

GOLDEN = np.load(Path(__file__).parent / "data" / "video_scores.npz", allow_pickle=False)


@pytest.mark.parametrize("case", ["good", "ties", "exact_batches"])
def test_votes_equal_those_of_the_released_code(case):
    labels = GOLDEN[f"{case}/labels"]
    one_hot = np.eye(99)[GOLDEN[f"{case}/window_predictions"]]  # votes, as evaluation.window_scores computes them
    votes = metrics.video_probabilities(one_hot, GOLDEN[f"{case}/window_video"], len(labels))
    assert (votes.argmax(axis=1) == labels).mean() == GOLDEN[f"{case}/accuracy"]


@pytest.mark.parametrize("case", ["map_random", "map_all_tied"])
def test_average_precision_equals_that_of_the_released_code(case):
    labels = GOLDEN[f"{case}/labels"]
    window_scores, video = GOLDEN[f"{case}/window_predictions"], GOLDEN[f"{case}/window_video"]
    scores = metrics.video_probabilities(window_scores, video, len(labels))
    np.testing.assert_allclose(metrics.average_precision(scores, labels), GOLDEN[f"{case}/AP"], rtol=1e-12)
    np.testing.assert_allclose(score(Options(multilabel=True), scores, labels), 100 * GOLDEN[f"{case}/mAP"])


def test_average_precision_equals_that_of_scikit_learn():
    rng = np.random.default_rng(0)
    labels, scores = rng.integers(0, 2, (40, 5)), rng.random((40, 5))  # no ties: scikit-learn ranks them differently
    expected = [average_precision_score(labels[:, c], scores[:, c]) for c in range(5)]
    np.testing.assert_allclose(metrics.average_precision(scores, labels), expected, rtol=1e-12)


def test_class_without_positives_is_left_out_of_the_mean():
    """In the released code, such a class makes mAP NaN."""
    labels, scores = np.array([[1, 0], [0, 0]]), np.array([[0.2, 0.3], [0.8, 0.1]])
    assert score(Options(multilabel=True), scores, labels) == 50
    table = class_table(Options(multilabel=True, n_actions=2), scores, labels, ["a", "b"])
    assert table == [{"class": "a", "videos": 1, "percent": 50.0}, {"class": "b", "videos": 0, "percent": None}]


def test_confusion_matrix_and_class_table():
    rng = np.random.default_rng(0)
    labels, probs = rng.integers(0, 3, 50), rng.random((50, 4))
    predicted = probs.argmax(axis=1)
    expected = confusion_matrix(labels, predicted, labels=range(4))
    np.testing.assert_array_equal(metrics.confusion_matrix(labels, predicted, 4), expected)
    table = class_table(Options(n_actions=4), probs, labels, list("abcd"))
    for k in range(3):
        assert (table[k]["class"], table[k]["videos"]) == ("abcd"[k], expected[k].sum())
        np.testing.assert_allclose(table[k]["percent"], 100 * expected[k, k] / expected[k].sum())
    assert table[3] == {"class": "d", "videos": 0, "percent": None}


def test_video_probabilities_are_means_over_windows():
    window_probs, video = np.array([[1.0, 0], [0, 1], [0.5, 0.5], [0.9, 0.1]]), np.array([0, 0, 0, 1])
    expected = [[0.5, 0.5], [0.9, 0.1]]
    np.testing.assert_allclose(metrics.video_probabilities(window_probs, video, 2), expected)


def test_box_coverage():
    """A box that covers location (1, 2) and the left half of (1, 3), in 224 pixels, which are seven strips of 32."""
    coverage = metrics.box_coverage(np.array([[64, 32, 112, 64]]))
    expected = np.zeros((7, 7))
    expected[1, 2:4] = 1, 0.5
    np.testing.assert_allclose(coverage[0].reshape(7, 7), expected)
    whole = metrics.box_coverage(np.array([[0, 0, 224, 224]]))
    assert (whole == 1).all()


def test_predictions_file(tmp_path):
    with FrameTableWriter(tmp_path / "test_features.h5", 9, 4) as table:
        table.append(np.zeros((8, 9, 4)))
    write_lists(tmp_path, "test", ["a.avi", 'b,"c".avi'], [5, 3], [1, 0])
    data = DataHandler(tmp_path, "test", maxlen=3)
    write_predictions(tmp_path / "predictions.csv", data, np.array([[0.25, 0.75], [0.4, 0.6]]), ["run", "sit"])
    assert (tmp_path / "predictions.csv").read_text().splitlines() == [
        "video,windows,true,predicted,run,sit",
        "a.avi,3,sit,sit,0.250000,0.750000",
        '"b,""c"".avi",1,run,sit,0.400000,0.600000',
    ]


@pytest.mark.parametrize("n", [1, 15, 70, 542, 3000])
@pytest.mark.parametrize("size", [4, 32, 128])
@pytest.mark.parametrize("devices", [1, 2])
def test_windows_are_predicted_in_nearly_full_batches(n, size, devices):
    options, unit = Options(maxlen=30, batch_size=size, devices=devices), 16 * devices

    def batches(stride):
        """The size and number of batches for windows that begin so many frames apart."""
        index = np.arange(30)[:, None] + stride * np.arange(n)
        chosen, _ = batch_size(options, index)
        return chosen, -(-n // chosen)

    chosen, n_batches = batches(stride=1)
    assert chosen % unit == 0 and chosen * n_batches < n + n_batches * unit
    assert n_batches == 1 or chosen > 500 or 2 * chosen * 1.5 + 30 > 30 * size  # frames that an update may have
    assert batches(stride=30)[0] <= max(size, unit)  # windows without common frames


@pytest.mark.parametrize("name", ["attention_lambda0", "softmax_regression"])
def test_predictions_do_not_depend_on_the_batch(tmp_path, name):
    options = Options(dim=4, dim_out=4, ctx_dim=4, n_locations=9, n_actions=3, n_layers_lstm=1, maxlen=3, batch_size=16,
                      floatX="float64", **MODELS[name])  # fmt: skip
    with FrameTableWriter(tmp_path / "test_features.h5", 9, 4, dtype="float32") as table:
        table.append(np.random.default_rng(0).random((40, 9, 4)))
    write_lists(tmp_path, "test", ["a", "b"], [25, 15], [1, 2])
    data, model = DataHandler(tmp_path, "test", maxlen=3), Model(options, "float32")
    windows, probs, _ = zip(*predictions(model, data), strict=True)
    assert [len(some) for some in windows] == [36] and (np.concatenate(windows) == np.arange(36)).all()
    by_16 = [probs for _, probs, _ in predictions(model, data, np.arange(36))]
    assert [some.shape[1] for some in by_16] == [16, 16, 4]
    np.testing.assert_allclose(probs[0], np.concatenate(by_16, axis=1), rtol=1e-12)
    data.table.close()
