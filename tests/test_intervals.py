"""Intervals of scores: against other computations, in cases that are known exactly, and their coverage."""

import numpy as np
import pytest
from scipy.stats import bootstrap, norm

from visual_attention.util import intervals, metrics
from visual_attention.util.intervals import Predictions, resample


def right_or_wrong(hits, names=None):
    """Predictions of two classes, of which the true one is 0; hits (videos,)."""
    names = names or [f"v{k}" for k in range(len(hits))]
    return Predictions(names, np.where(np.asarray(hits)[:, None], [0.9, 0.1], [0.1, 0.9]), np.zeros(len(hits), int))


def model(hits):
    """Runs of a model; hits (seeds, videos)."""
    return [[right_or_wrong(row)] for row in hits]


def test_identical_predictions_do_not_differ():
    hits = np.random.default_rng(0).random(40) < 0.6
    difference = resample(model([hits] * 3), 0) - resample(model([hits] * 5), 1)
    assert difference.mean == 0 and difference.interval() == (0, 0)


def test_a_model_that_is_always_right_and_one_that_is_always_wrong():
    difference = resample(model(np.ones((2, 30), bool)), 0) - resample(model(np.zeros((3, 30), bool)), 1)
    assert difference.mean == 100 and difference.interval() == (100, 100)


def test_one_seed_agrees_with_scipy():
    rng = np.random.default_rng(1)
    a, b = rng.random((2, 300)) < [[0.7], [0.55]]
    difference = resample(model([a]), 0) - resample(model([b]), 1)
    assert difference.mean == pytest.approx(100 * (a.mean() - b.mean()))
    expected = bootstrap(
        (a, b), lambda a, b, axis: 100 * (a.mean(axis) - b.mean(axis)), paired=True, method="percentile", random_state=0
    ).confidence_interval
    np.testing.assert_allclose(difference.interval(), expected, atol=0.7)


def test_seeds_that_differ_widen_the_interval():
    rng = np.random.default_rng(2)
    same, other = np.tile(rng.random(200) < 0.5, (4, 1)), np.arange(200) < np.array([[60], [90], [110], [140]])
    narrow, wide = (np.ptp(resample(model(hits), 0).interval()) for hits in (same, other))
    assert wide > 1.5 * narrow


def test_coverage(monkeypatch):
    """Of 100 experiments with known truth, about 95 % have it in their intervals; both videos and seeds vary."""
    monkeypatch.setattr(intervals, "RESAMPLES", 300)
    rng, videos, seeds, covered = np.random.default_rng(3), 120, 4, 0
    names = [f"v{k}" for k in range(videos)]

    def runs(skill, difficulty):
        values = skill - difficulty + rng.normal(0, 0.5, videos) + rng.normal(0, 0.2, (seeds, 1))
        return [[right_or_wrong(row > 0, names)] for row in values + rng.normal(0, 0.5, (seeds, videos))]

    def truth(skill):
        return 100 * norm.cdf(skill / np.sqrt(1 + 0.25 + 0.04 + 0.25))

    for _ in range(100):
        difficulty = rng.normal(0, 1, videos)
        low, high = (resample(runs(0.3, difficulty), 0) - resample(runs(0, difficulty), 1)).interval()
        covered += low <= truth(0.3) - truth(0) <= high
    assert 86 <= covered <= 99


def test_mean_average_precision_of_copies():
    rng = np.random.default_rng(4)
    probs, labels = rng.random((25, 4)).round(1), (rng.random((25, 4)) < [0.1, 0.3, 0.5, 0.04]).astype(int)  # with ties
    counts = rng.multinomial(25, np.full(25, 1 / 25), 20)
    copies = [np.repeat(np.arange(25), row) for row in counts]
    expected = [np.nanmean(metrics.average_precision(probs[rows], labels[rows])) for rows in copies]
    np.testing.assert_allclose(intervals.mean_average_precision(probs, labels, counts), expected)


def test_several_labels_are_scored_by_mean_average_precision():
    rng = np.random.default_rng(5)
    probs, labels = rng.random((30, 3)), (rng.random((30, 3)) < 0.4).astype(int)
    names = [f"v{k}" for k in range(30)]
    score = resample([[Predictions(names, probs, labels)]], 0)
    assert score.mean == pytest.approx(100 * np.nanmean(metrics.average_precision(probs, labels)))
    low, high = score.interval()
    assert low < score.mean < high


def test_videos_of_one_source_and_of_several_splits_are_drawn_together():
    hits = np.arange(40) < 20
    alone = right_or_wrong(hits, [f"a/{k}" for k in range(40)])
    grouped = right_or_wrong(hits, [f"a/{k // 10}/{k}" for k in range(40)])  # as UCF-11's names: 4 groups
    widths = [np.ptp(resample([[split]], 0).interval()) for split in (alone, grouped)]
    assert widths[1] > 2 * widths[0]
    other = right_or_wrong(hits, [f"b/{k}" for k in range(40)])
    twice, apart = (np.ptp(resample([splits], 0).interval()) for splits in ([alone, alone], [alone, other]))
    assert twice == pytest.approx(widths[0], rel=0.1) and apart < 0.85 * twice


def test_different_videos_are_an_error():
    hits = np.ones(3, bool)
    with pytest.raises(ValueError, match="tested on different videos; expected the same ones in the same order"):
        resample(model([hits]), 0) - resample([[right_or_wrong(hits, ["x", "y", "z"])]], 1)
