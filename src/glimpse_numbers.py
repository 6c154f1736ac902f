"""The numbers behind the pictures: how sharp glimpses are, how they move, and what a class is told from."""

import numpy as np

from visual_attention.evaluation import predictions, score, window_scores
from visual_attention.util import metrics


def entropy(alpha):
    """Entropy of glimpses (..., L) in nats, (...): 0 for a single location, log L for a uniform glimpse."""
    return -(alpha * np.log(np.maximum(alpha, 1e-30))).sum(axis=-1)


def movement(alpha):
    """Share of the weight that moved since the step before: half the sum of |changes|, (T, ..., L) -> (T-1, ...)."""
    return np.abs(np.diff(alpha, axis=0)).sum(axis=-1) / 2


def overlap(one, other):
    """Share of the weight that two glimpses (..., L) have in common, (...): 1 where they are the same."""
    return np.minimum(one, other).sum(axis=-1)


def of_model(model, data, coverage=None):
    """Means over all windows at each step: dict of lists of T, `movement` of T-1.

    `score_by_steps`: in percent, from the steps up to this one alone (last_n counts as 0); and where the model attends
    `entropy` in nats, `movement`, and with a coverage (see evaluation.evaluate) `on_figure`, the share of attention on
    its box, and `uniform_on_figure`, that of a uniform glimpse. `score`: a number, from all steps that last_n says.
    """
    options, index = model.options.replace(last_n=0), data.index
    T, sums = options.maxlen, {}
    window_probs = np.zeros((T + 1, data.n_windows, options.n_actions))
    for chosen, probs, alpha in predictions(model, data):
        for t in range(T):
            window_probs[t, chosen] = window_scores(options, probs[: t + 1])
        window_probs[T, chosen] = window_scores(model.options, probs)
        if alpha is None:
            continue
        found = {"entropy": entropy(alpha), "movement": movement(alpha)}  # (T, n)
        if coverage is not None:
            cover = coverage[index[:, chosen]]  # (T, n, L)
            found |= {"on_figure": (alpha * cover).sum(axis=-1), "uniform_on_figure": cover.mean(axis=-1)}
        for name, values in found.items():
            sums[name] = sums.get(name, 0) + values.sum(axis=1, dtype=float)
    video_probs = (metrics.video_probabilities(probs, data.video, len(data.labels)) for probs in window_probs)
    *by_steps, final = (score(options, probs, data.labels) for probs in video_probs)
    means = {name: (values / data.n_windows).tolist() for name, values in sums.items()}
    return {"score": final, "score_by_steps": by_steps, **means}
