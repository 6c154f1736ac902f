"""Focus: the locations of a cube that x_t is made of. Soft: all of them. Hybrid: a few. Hard: one, which is drawn.

Each works with every kind of attention that scores locations. Shapes: B windows, L locations, D feature depth, k chosen
locations. `masks`: the random numbers of a step, by name; see `drawn_shapes`.
"""

import numpy as np
import pytensor.tensor as pt
from pytensor.gradient import disconnected_grad

from visual_attention.layers import named
from visual_attention.resolutions import attended


def soft(params, options, alpha, X, masks):
    """Eq. 5 over all locations; alpha (B, L), X (B, L, D) -> glimpse (B, L), x (B, D)."""
    return alpha, attended(params, alpha, X)


def hybrid(params, options, alpha, X, masks):
    """Eq. 5 over the k locations S of the largest weights: l_i = alpha_i / sum of alpha over S, and 0 outside of S.

    Between soft (k = L) and hard (k = 1), as Sharma et al. 2015 propose for future work. Shapes: see `soft`.
    """
    if options.top_k >= options.n_locations:
        return soft(params, options, alpha, X, masks)
    chosen = largest(alpha, options.top_k)  # (B, k)
    is_chosen = one_hot(chosen, options)  # (B, k, L)
    weights = (is_chosen * alpha[:, None, :]).sum(axis=2)
    weights = weights / weights.sum(axis=1, keepdims=True)
    return (is_chosen * weights[:, :, None]).sum(axis=1), attended(params, weights, features_at(X, chosen))


def hard(params, options, alpha, X, masks):
    """s_t ~ alpha_t, x_t = X_{t,s_t} (Xu et al. 2015, section 4.1). Shapes: see `soft`. Gradient: see `reinforce`.

    For windows in which masks["focus_expected"] is 1, x_t is the expectation, which is Eq. 5.
    """
    drawn = named("drawn", draw(alpha, masks["focus_uniform"]))  # (B,)
    x = features_at(X, drawn[:, None]).squeeze(1)
    if "focus_expected" in masks:
        x = pt.switch(masks["focus_expected"][:, None], attended(params, alpha, X), x)
    return alpha, x


FOCUS = {"soft": soft, "hard": hard, "hybrid": hybrid}


def largest(alpha, k):
    """The locations of the k largest weights; of equal weights, the first; (B, L) -> (B, k)."""
    return pt.argsort(-disconnected_grad(alpha), axis=1, stable=True)[:, :k].astype("int32")


def draw(alpha, uniform):
    """The first location up to which alpha sums to more than u: the inverse of the cumulative distribution.

    alpha (B, L); u (B,), uniform in [0, 1) -> (B,).
    """
    total = disconnected_grad(alpha).cumsum(axis=1)
    below = total <= uniform[:, None] * total[:, -1:]  # by rounding, all weights may not sum to 1
    return pt.minimum(below.sum(axis=1), alpha.type.shape[1] - 1).astype("int32")


def features_at(X, chosen):
    """X_{b,i} for each chosen location i of window b; X (B, L, D), chosen (B, k) -> (B, k, D)."""
    return X[np.arange(X.type.shape[0])[:, None], chosen]


def one_hot(chosen, options):
    """(...) -> (..., L)."""
    locations = np.arange(options.n_locations)
    return pt.eq(chosen[..., None], locations).astype(options.floatX)


def drawn_shapes(options, training):
    """(shape, dtype) of the random numbers that focus needs, by name; empty if nothing is drawn.

    focus_uniform: u of `draw`. focus_expected: 0 or 1, the same at all steps of a window.
    """
    if options.pooling != "attention" or options.focus != "hard":
        return {}
    shape = options.maxlen, options.batch_size
    expected = {"focus_expected": (shape, "uint8")} if training and options.half_expectation else {}
    return {"focus_uniform": (shape, options.floatX)} | expected
