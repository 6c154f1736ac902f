"""Scores of windows to probabilities of videos, and these to accuracy and average precision; boxes on the grid."""

import math

import numpy as np


def video_probabilities(window_probs, video, n_videos):
    """Mean over the windows of each video: (n, C), (n,) -> (videos, C)."""
    total = np.zeros((n_videos, window_probs.shape[1]))
    np.add.at(total, video, window_probs)
    return total / np.bincount(video, minlength=n_videos)[:, None]


def average_precision(scores, labels):
    """Average precision of each class: mean of precision@k over its positives; (videos, C) twice -> (C,).

    NaN for a class without positives. Among equal scores the earlier video ranks first.
    """
    order = np.argsort(-scores, axis=0, kind="stable")
    hits = np.take_along_axis(labels, order, axis=0)  # (videos, C), best first
    precision = hits.cumsum(axis=0) / np.arange(1, len(hits) + 1)[:, None]
    positives = hits.sum(axis=0)
    return np.where(positives > 0, (precision * hits).sum(axis=0) / np.maximum(positives, 1), np.nan)


def confusion_matrix(true, predicted, n_actions):
    """Videos by true (row) and predicted (column) class, (C, C)."""
    matrix = np.zeros((n_actions, n_actions), int)
    np.add.at(matrix, (true, predicted), 1)
    return matrix


def grid_side(n_locations):
    """K for K x K locations. ValueError where they are no square grid, which cannot be laid over a frame."""
    K = math.isqrt(n_locations)
    if K * K != n_locations:
        raise ValueError(
            f"{n_locations} locations are no square grid; expected K x K of them, such as 49, where they are drawn or "
            "compared with places in a frame (training needs no grid)"
        )
    return K


def box_coverage(boxes, n_locations=49, size=224):
    """Share of each location's area that a box covers: boxes (n, 4) of x0, y0, x1, y1 in pixels -> (n, L)."""
    K = grid_side(n_locations)
    edges = np.arange(K + 1) * size / K

    def overlap(low, high):  # (n, K): of [low, high) with each of K strips, as a share of the strip
        inside = np.minimum(high[:, None], edges[1:]) - np.maximum(low[:, None], edges[:-1])
        return np.maximum(inside, 0) * K / size

    x0, y0, x1, y1 = np.asarray(boxes, float).T
    return (overlap(y0, y1)[:, :, None] * overlap(x0, x1)[:, None, :]).reshape(len(boxes), n_locations)
