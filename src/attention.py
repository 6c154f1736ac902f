"""Kinds of attention. Each has initial parameters, a function that computes the location weights, and sizes.

For a new kind, write the functions that `Attention` describes and add a line to ATTENTION. Then `--attention NAME`
trains it. Names of its parameters must begin with "decoder_": these are passed to the step (`actrec.loop`).
Location weights, alpha, are called a glimpse. Shapes: B windows, L locations, D feature depth, d LSTM size.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytensor.tensor as pt

from visual_attention.layers import affine, named, norm_weight, ortho_weight


class Moment(NamedTuple):
    """What the glimpse of step t may depend on."""

    X: pt.TensorVariable  # (B, L, D), the cubes of step t
    h: pt.TensorVariable  # (B, d), the state of the top LSTM layer at step t - 1
    alpha: pt.TensorVariable  # (B, L), the glimpse of step t - 1; uniform before the first step
    given: pt.TensorVariable | None  # (B, L), for attention `given`, the glimpse that is an input for step t


class Attention(NamedTuple):
    """The functions of one kind of attention."""

    init_params: Callable  # (options, rng) -> {name: array}; draws from rng in the order of the dict
    glimpse: Callable  # (params, options, moment) -> alpha (B, L), nonnegative, each row with sum 1
    # estimates for the time and memory that a run needs (experiment/budget.py)
    flops: Callable  # (options) -> floating-point operations per frame, forward only
    kept: Callable = lambda options: 0  # (options) -> numbers per frame that the forward pass keeps for the gradient


def attended(alpha, X):
    """Eq. 5: x_t = sum over i of l_{t,i} X_{t,i}, where l is alpha; alpha (B, L), X (B, L, D) -> (B, D)."""
    return (alpha[:, None, :] @ X).squeeze(1)


def softmax_over_locations(scores, options):
    """Softmax of temperature_inverse times the scores; (B, L) -> (B, L)."""
    return pt.special.softmax(options.temperature_inverse * scores, axis=-1)


# ---------------------------------------------------------------- location: the paper's


def location_params(options, rng):
    return {"decoder_W_loc": norm_weight(rng, options.dim, options.all_locations, ortho=False, init=options.init)}


def location_glimpse(params, options, now):
    """Eq. 4: l_t = softmax over i of W_i h_{t-1}. The model chooses where to look before it sees the frame."""
    return softmax_over_locations(pt.dot(now.h, params["decoder_W_loc"]), options)


def location_flops(options):
    return 2 * options.dim * options.all_locations


# ---------------------------------------------------------------- mlp: the released program's


def mlp_params(options, rng):
    D, d, init = options.depth, options.dim, options.init
    params = {
        "decoder_Wc_att": norm_weight(rng, D, D, ortho=False, init=init),
        "decoder_Wd_att": norm_weight(rng, d, D, init=init),
        "decoder_b_att": np.zeros(D),
    }
    for k in range(1, options.n_layers_att):
        params |= {f"decoder_W_att_{k}": ortho_weight(rng, D, init), f"decoder_b_att_{k}": np.zeros(D)}
    return params | {"decoder_U_att": norm_weight(rng, D, 1, init=init), "decoder_c_tt": np.zeros(1)}


def mlp_glimpse(params, options, now):
    """l_t = softmax over i of U tanh(f(X_{t,i}) + W_d h_{t-1}) + c, where f is n_layers_att affine layers.

    The released program (its src/actrec.py, lstm_cond_layer) has no nonlinearity between the first two layers of f, nor
    after the last one, before the state is added.
    """
    projection = affine(now.X, params["decoder_Wc_att"], params["decoder_b_att"])  # (B, L, D)
    for k in range(1, options.n_layers_att):
        projection = projection if k == 1 else pt.tanh(projection)
        projection = affine(projection, params[f"decoder_W_att_{k}"], params[f"decoder_b_att_{k}"])
    pstate = named("pstate", pt.dot(now.h, params["decoder_Wd_att"]))  # (B, D)
    pctx_pre = named("pctx_pre", projection + pstate[:, None, :])
    pctx = named("pctx", pt.tanh(pctx_pre))
    scores = named("alpha_pre", affine(pctx, params["decoder_U_att"], params["decoder_c_tt"]))  # (B, L, 1)
    return softmax_over_locations(scores.squeeze(2), options)


def mlp_flops(options):
    L, D, d = options.all_locations, options.depth, options.dim
    return 2 * (options.n_layers_att * L * D * D + d * D + L * D)


def mlp_kept(options):
    return options.all_locations * options.depth * (1 + options.n_layers_att / 2)


# ---------------------------------------------------------------- given: an input, as in Fig. 5


def given_params(options, rng):
    return {}


def given_glimpse(params, options, now):
    """The glimpse that is an input of the graph."""
    return now.given


def given_flops(options):
    return 0


ATTENTION = {
    "location": Attention(location_params, location_glimpse, location_flops),
    "mlp": Attention(mlp_params, mlp_glimpse, mlp_flops, mlp_kept),
    "given": Attention(given_params, given_glimpse, given_flops),
}
