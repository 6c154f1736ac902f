"""Measurements of glimpses and scores: how concentrated glimpses are, how they move, how many steps a class needs."""

import numpy as np

from visual_attention.experiment.evaluation import predictions, score, window_scores
from visual_attention.util import metrics


def entropy(alpha):
    """Entropy of glimpses (..., L) in nats, (...): 0 for a single location, log L for a uniform glimpse."""
    return -(alpha * np.log(np.maximum(alpha, 1e-30))).sum(axis=-1)


def movement(alpha):
    """Share of the weight that moved since the previous step: half the sum of |changes|, (T, ..., L) -> (T-1, ...)."""
    return np.abs(np.diff(alpha, axis=0)).sum(axis=-1) / 2


def overlap(a, b):
    """Share of the weight that two glimpses (..., L) have in common, (...): 1 where they are equal."""
    return np.minimum(a, b).sum(axis=-1)


def of_model(model, data, coverage=None):
    """Scores, and means over all windows at each step; a dict of lists of T values, `movement` of T-1.

    `score_by_steps`: in percent, from the steps up to this one only (last_n is ignored). `score`: a single number, from
    the last `last_n` steps. If the model has attention: `entropy` in nats, `movement`, and with a coverage (see
    `evaluation.evaluate`) `on_figure`, the share of attention on the figure's box, and `uniform_on_figure`, the share
    that a uniform glimpse has there.
    """
    options, index = model.options.replace(last_n=0), data.index
    T, sums = options.maxlen, {}
    window_probs = np.zeros((T + 1, data.n_windows, options.n_actions))  # the last row: by the model's own last_n
    for chosen, probs, alpha in predictions(model, data):
        for t in range(T):
            window_probs[t, chosen] = window_scores(options, probs[: t + 1])
        window_probs[T, chosen] = window_scores(model.options, probs)
        if alpha is None:
            continue
        by_window = {"entropy": entropy(alpha), "movement": movement(alpha)}  # (T, n)
        if coverage is not None:
            window_coverage = coverage[index[:, chosen]]  # (T, n, L)
            by_window["on_figure"] = (alpha * window_coverage).sum(axis=-1)
            by_window["uniform_on_figure"] = window_coverage.mean(axis=-1)
        for name, values in by_window.items():
            sums[name] = sums.get(name, 0) + values.sum(axis=1, dtype=float)
    video_probs = (metrics.video_probabilities(probs, data.video, len(data.labels)) for probs in window_probs)
    *by_steps, final = (score(options, probs, data.labels) for probs in video_probs)
    means = {name: (values / data.n_windows).tolist() for name, values in sums.items()}
    return {"score": final, "score_by_steps": by_steps, **means}
