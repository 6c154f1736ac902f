"""Cross-entropies from logits, accurate even if a probability is almost 0 or 1.

A video has one label (softmax; the released program's src/actrec.py) or several (sigmoids; its src/actrec_mAP.py).
`transform`: a function applied to each -log p. With `floored` the cost is the released program's, which stays finite.
"""

import numpy as np
import pytensor.tensor as pt
from pytensor.gradient import disconnected_grad


def single_label_probs(logits):
    """Softmax over classes; (T, B, C) -> (T, B, C)."""
    return pt.special.softmax(logits, axis=-1)


def multilabel_probs(logits):
    """A sigmoid for each class; (T, B, C) -> (T, B, C)."""
    return pt.sigmoid(logits)


def single_label_cross_entropy(logits, y, transform=None):
    """-log p of the true class at every step (Eq. 7's first term); logits z (T, B, C), y (B,) -> (T, B).

    It is computed as softplus(log of the sum of exp z over the other classes - z of the true class). This does not
    subtract nearly equal numbers, so the gradient with respect to a logit is accurate too. y may also be (T, B).
    """
    true = pt.eq(y[..., None], np.arange(logits.type.shape[-1], dtype="int32"))  # (B, C)
    others = pt.switch(true, -1e30, logits)
    top = disconnected_grad(others.max(axis=-1, keepdims=True))
    others = pt.log(pt.exp(others - top).sum(axis=-1)) + top[..., 0]  # (T, B)
    return (transform or _same)(pt.softplus(others - (logits * true).sum(axis=-1)))


def multilabel_cross_entropy(logits, y, transform=None):
    """Sum over classes of binary cross-entropies at every step; logits (T, B, C), y (B, C) of 0 and 1 -> (T, B)."""
    transform = transform or _same
    return (y * transform(pt.softplus(-logits)) + (1 - y) * transform(pt.softplus(logits))).sum(axis=-1)


def floored(s):
    """-log(p + 1e-8) from s = -log p."""
    floor = float(np.log(1e-8))
    # Two forms of the same function. Each is accurate, with its gradient, where the other is not.
    return pt.switch(s < 9, s - pt.softplus(s + floor), -floor - pt.softplus(-s - floor))


def _same(s):
    return s
