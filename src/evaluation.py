"""From a model's probabilities to scores: over the steps of a window, then over a video's windows.

As in the paper both are averages; options last_n and video_score make them the released program's.
"""

import csv
import io
from itertools import zip_longest

import numpy as np

from visual_attention.run_folder import write_file
from visual_attention.util import metrics
from visual_attention.util.data_handler import read_ahead


def predictions(model, data, order=None):
    """Predicts windows, all unless `order` names some; yields a batch at a time: the windows (n,), class probabilities
    at every step (T, n, C), and glimpses (T, n, L), None where nothing attends."""
    order = np.arange(data.n_windows) if order is None else order
    for batch in read_ahead(data.batches(order, model.options.batch_size, overlapping=True)):
        probs, alpha = model.predict(batch)
        n = len(batch.windows)
        yield batch.windows, probs[:, :n], None if alpha is None else alpha[:, :n]


def window_scores(options, probs):
    """Class probabilities of windows (n, C) from those at every step (T, n, C): the mean over the last `last_n`.

    To be voted on, they become 1 for the likeliest class and 0 for all others: a video's mean is then each class's
    share of votes (src/actrec.py, build_model and pred_acc).
    """
    scores = probs[-options.last_n :].mean(axis=0)
    if options.video_score == "vote" and not options.multilabel:
        return np.eye(scores.shape[1])[scores.argmax(axis=1)]
    return scores


def evaluate(model, data, coverage=None):
    """Probabilities of the videos (videos, C), the score in percent, and the share of attention on the figure.

    coverage: (n_frames, L), the share of each location that a figure's box covers, or None; so is then the last result.
    """
    window_probs, on_figure = np.zeros((data.n_windows, model.options.n_actions)), []
    for chosen, probs, alpha in predictions(model, data):
        window_probs[chosen] = window_scores(model.options, probs)
        if alpha is not None and coverage is not None:
            on_figure.append((alpha * coverage[data.index[:, chosen]]).sum(axis=-1).ravel())
    video_probs = metrics.video_probabilities(window_probs, data.video, len(data.labels))
    share = float(np.concatenate(on_figure).mean()) if on_figure else None
    return video_probs, score(model.options, video_probs, data.labels), share


def score(options, video_probs, labels):
    """Accuracy, or mean average precision over the classes that occur; in percent."""
    if options.multilabel:
        return 100 * float(np.nanmean(metrics.average_precision(video_probs, labels)))
    return 100 * float((video_probs.argmax(axis=1) == labels).mean())


def class_table(options, video_probs, labels, names):
    """By class: videos of it, and accuracy or average precision in percent (None for a class without videos)."""
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


def write_predictions(path, data, video_probs, names):
    """A row a video: name, windows, true and predicted class (several: those over 0.5), probabilities."""
    counts = np.bincount(data.video, minlength=len(data.labels))
    if data.lists.multilabel:
        true, predicted = data.labels, video_probs > 0.5
    else:
        one_hot = np.eye(video_probs.shape[1], dtype=int)
        true, predicted = one_hot[data.labels], one_hot[video_probs.argmax(axis=1)]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["video", "windows", "true", "predicted", *names])
    for k, name in enumerate(data.lists.filenames):
        labels = ["+".join(n for n, hit in zip(names, row[k], strict=False) if hit) for row in (true, predicted)]
        writer.writerow([name, counts[k], *labels, *(f"{p:.6f}" for p in video_probs[k])])
    write_file(path, lambda file: file.write(text.getvalue().encode()))


def watch(model, data, k):
    """What the model does with video k: class probabilities (C,), the frames it takes (m,), counted from the video's
    first, and its glimpse at each (m, L), None where nothing attends.

    Probabilities are of all windows; glimpses of windows one after another, as many as it takes to see every frame.
    """
    own = np.flatnonzero(data.video == k)
    own = own[np.argsort(data.index[0, own])]
    # windows in step with the first, each the latest that leaves no frame out
    in_step = [w for w in own if (data.index[0, w] - data.index[0, own[0]]) % data.skip == 0]
    chosen = [in_step[0]]
    for w, after in zip_longest(in_step[1:], in_step[2:]):
        if after is None or data.index[0, after] > data.index[-1, chosen[-1]] + data.skip:
            chosen.append(w)
    total, glimpse = np.zeros(model.options.n_actions), {}
    for windows, probs, alpha in predictions(model, data, own):
        total += window_scores(model.options, probs).sum(axis=0)
        for i, w in enumerate(windows):
            if w in chosen:
                for t, row in enumerate(data.index[:, w]):
                    glimpse.setdefault(row, None if alpha is None else alpha[t, i])
    rows = np.array(sorted(glimpse))
    alpha = None if glimpse[rows[0]] is None else np.stack([glimpse[row] for row in rows])
    return total / len(own), rows - data.index[:, own].min(), alpha
