"""From a model's class probabilities to scores: over the steps of a window, then over the windows of a video.

In the paper both are averages. Options last_n and video_score select what the released program does instead.
"""

from itertools import zip_longest
from typing import NamedTuple

import numpy as np

from visual_attention.util import metrics
from visual_attention.util.data_handler import frames_of_batches, read_ahead, rounded_up

MOST_WINDOWS = 1024  # predicted at a time


def predictions(model, data, order=None):
    """Predicts the windows in `order`, by default all. All of them are predicted in batches of nearly equal size.

    Yields for each batch of n windows: their numbers (n,), class probabilities at every step (T, n, C), and glimpses
    (T, n, L), or None for a model without attention.
    """
    if order is None:
        order, (size, capacity) = np.arange(data.n_windows), batch_size(model.options, data.index)
    else:
        size = model.options.batch_size
        capacity = min(len(data.index) * size, rounded_up(frames_of_batches(data.index, order, size)))
    for batch in read_ahead(data.batches(order, size, capacity=capacity)):
        probs, alpha = model.predict(batch)
        n = len(batch.windows)
        yield batch.windows, probs[:, :n], None if alpha is None else alpha[:, :n]


def batch_size(options, index):
    """Numbers of windows to predict at a time, when all windows of a part are predicted, and of frames that they need.

    index: the frames of all windows, (T, n).
    Large products are faster, and padding takes time. So it is as large as possible, and the last batch is nearly full.
    The frames of a batch are at most as many as those of an update, so that they fit into memory. Kernels of the speed
    layer divide a multiple of 16 into groups. Of frames the number is a multiple of 64, so that parts whose batches
    need about as many share a compiled function.
    """
    n, unit = index.shape[1], 16 * options.devices
    n_batches = -(-n // max(MOST_WINDOWS, options.batch_size))
    while True:
        size = -(-n // (n_batches * unit)) * unit
        frames = frames_of_batches(index, np.arange(n), size)
        if size <= max(options.batch_size, unit) or frames <= options.maxlen * options.batch_size:
            return size, -(-frames // 64) * 64
        n_batches *= 2


def window_scores(options, probs):
    """Class probabilities of windows (n, C) from those at every step (T, n, C): the mean over the last `last_n` steps.

    With video_score "vote" they become 1 for the likeliest class and 0 for the others, so that a video's mean is each
    class's share of the votes (released code: src/actrec.py, build_model and pred_acc).
    """
    scores = probs[-options.last_n :].mean(axis=0)
    if options.video_score == "vote" and not options.multilabel:
        return np.eye(scores.shape[1])[scores.argmax(axis=1)]
    return scores


def evaluate(model, data, coverage=None):
    """Class probabilities of the videos (videos, C), the score in percent, and the share of attention on the figure.

    coverage: (n_frames, L), the share of each location that the figure's box covers, or None. Without it, or without
    attention, the share is None.
    """
    window_probs, shares = np.zeros((data.n_windows, model.options.n_actions)), []
    for chosen, probs, alpha in predictions(model, data):
        window_probs[chosen] = window_scores(model.options, probs)
        if alpha is not None and coverage is not None:
            shares.append((alpha * coverage[data.index[:, chosen]]).sum(axis=-1).ravel())
    video_probs = metrics.video_probabilities(window_probs, data.video, len(data.labels))
    share = float(np.concatenate(shares).mean()) if shares else None
    return video_probs, score(model.options, video_probs, data.labels), share


def score(options, video_probs, labels):
    """Accuracy, or mean average precision over the classes that occur; in percent."""
    if options.multilabel:
        return 100 * float(np.nanmean(metrics.average_precision(video_probs, labels)))
    return 100 * float((video_probs.argmax(axis=1) == labels).mean())


def class_table(options, video_probs, labels, names):
    """For each class its videos, and accuracy or average precision in percent (None for a class without videos)."""
    if options.multilabel:
        values, counts = metrics.average_precision(video_probs, labels), labels.sum(axis=0)
    else:
        counts = np.bincount(labels, minlength=options.n_actions)
        hits = np.bincount(labels[video_probs.argmax(axis=1) == labels], minlength=options.n_actions)
        values = np.where(counts > 0, hits / np.maximum(counts, 1), np.nan)
    return [
        {"class": name, "videos": int(count), "percent": None if np.isnan(value) else 100 * float(value)}
        for name, count, value in zip(names, counts, values, strict=False)
    ]


class Watched(NamedTuple):
    """What a model does with a video. Glimpses come from as few windows, one after another, as contain every frame."""

    probs: np.ndarray  # (C,), class probabilities over all windows
    rows: np.ndarray  # (m,), frames that the model sees, counted from the video's first
    alpha: np.ndarray | None  # (m, L), the glimpse at each of them, or None for a model without attention
    steps: np.ndarray  # (m, C), class probabilities at each of them
    places: np.ndarray  # (m, 2), where each of them was seen: the window, counted from the video's first, and the step


def watch(model, data, k):
    """What the model does with video k."""
    return watch_videos(model, data, [k])[0]


def watch_videos(model, data, videos):
    """What the model does with each of these videos; their windows share batches, so that less is compiled."""
    windows = {k: windows_of(data, k) for k in videos}
    chosen = {w for k in videos for w in covering(data, windows[k])}
    total, seen = {k: np.zeros(model.options.n_actions) for k in videos}, {}
    for batch, probs, alpha in predictions(model, data, np.concatenate(list(windows.values()))):
        for i, (w, scores) in enumerate(zip(batch, window_scores(model.options, probs), strict=True)):
            total[data.video[w]] += scores
            if w in chosen:
                seen[w] = probs[:, i], None if alpha is None else alpha[:, i]
    watched = []
    for k in videos:
        first, steps = {}, {}  # frame -> what is seen of it in the first window that has it
        for number, w in enumerate(windows[k]):
            for t, row in enumerate(data.index[:, w] if w in chosen else ()):
                if row not in first:
                    first[row] = number, t
                    steps[row] = [None if values is None else values[t] for values in seen[w]]
        rows = np.array(sorted(first))
        probs, alpha = ([steps[row][j] for row in rows] for j in range(2))
        watched.append(
            Watched(
                probs=total[k] / len(windows[k]),
                rows=rows - data.index[:, windows[k]].min(),
                alpha=None if alpha[0] is None else np.stack(alpha),
                steps=np.stack(probs),
                places=np.array([first[row] for row in rows]),
            )
        )
    return watched


def windows_of(data, k):
    """The windows of video k in the order of their first frames."""
    windows = np.flatnonzero(data.video == k)
    return windows[np.argsort(data.index[0, windows])]


def covering(data, windows):
    """As few of a video's windows as contain every frame: in step with the first, each as late as leaves none out."""
    in_step = [w for w in windows if (data.index[0, w] - data.index[0, windows[0]]) % data.skip == 0]
    chosen = [in_step[0]]
    for w, after in zip_longest(in_step[1:], in_step[2:]):
        if after is None or data.index[0, after] > data.index[-1, chosen[-1]] + data.skip:
            chosen.append(w)
    return chosen
