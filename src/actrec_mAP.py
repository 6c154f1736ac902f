"""What differs where a video has several labels (Hollywood2): the head and its cost."""

import pytensor.tensor as pt

from visual_attention import actrec


def class_probabilities(logits):
    """A sigmoid for each class; (T, B, C) -> (T, B, C)."""
    return pt.sigmoid(logits)


def cross_entropy(logits, y, of=lambda s: s):
    """Binary cross-entropy summed over classes at every step; (T, B, C), (B, C) of 0 and 1 -> (T, B). of: see
    `actrec.floored`."""
    return (y * of(pt.softplus(-logits)) + (1 - y) * of(pt.softplus(logits))).sum(axis=-1)


def build_model(*args, **kwargs):
    """`actrec.build_model` with sigmoids instead of a softmax."""
    return actrec.build_model(*args, **kwargs, head=class_probabilities, loss=cross_entropy)
