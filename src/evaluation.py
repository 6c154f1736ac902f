"""Evaluation as in the paper: class probabilities averaged over the steps of a window, then over a video's windows."""

import csv
import io

import numpy as np

from visual_attention.run_folder import write_file
from visual_attention.util import metrics
from visual_attention.util.data_handler import read_ahead


def predict(model, data, frames_too=False):
    """Class probabilities of every window, averaged over its steps: (n, C). With `frames_too` also each window's
    probabilities (T, C) and glimpse (T, L) by step, stacked: (n, T, C), and (n, T, L) or None."""
    window_probs = np.zeros((data.n_windows, model.options.n_actions))
    steps, glimpses = [], []
    for batch in read_ahead(data.batches(np.arange(data.n_windows), model.options.batch_size)):
        probs, alpha = model.predict(batch)
        n = len(batch.windows)
        window_probs[batch.windows] = probs[:, :n].mean(axis=0)
        if frames_too:
            steps.append(probs[:, :n].swapaxes(0, 1))
            glimpses.append(None if alpha is None else alpha[:, :n].swapaxes(0, 1))
    if not frames_too:
        return window_probs
    return window_probs, np.concatenate(steps), None if glimpses[0] is None else np.concatenate(glimpses)


def score(options, video_probs, labels):
    """Accuracy, or mean average precision over the classes that occur; in percent."""
    if options.multilabel:
        return 100 * float(np.nanmean(metrics.average_precision(video_probs, labels)))
    return 100 * float((video_probs.argmax(axis=1) == labels).mean())


def evaluate(model, data):
    """Paper's evaluation of a part: video probabilities (videos, C) and the score in percent."""
    video_probs = metrics.video_probabilities(predict(model, data), data.video, len(data.labels))
    return video_probs, score(model.options, video_probs, data.labels)


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

    def write(file):
        text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["video", "windows", "true", "predicted", *names])
        for k, name in enumerate(data.lists.filenames):
            labels = ["+".join(n for n, hit in zip(names, row[k], strict=False) if hit) for row in (true, predicted)]
            writer.writerow([name, counts[k], *labels, *(f"{p:.6f}" for p in video_probs[k])])
        text.detach()

    write_file(path, write)
