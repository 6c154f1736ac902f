"""The single-label model (UCF-11, HMDB-51): parameters, graph, prediction.

The graph's inputs are always
    frames (n, L, D)  cubes: of a whole frame table, or of the batch
    means (n, D)      their means over locations
    index (T, B)      int32 rows of `frames`: the windows
    mask (T, B)       1, or 0 where a window is only padding
    y (B,)            int32 class, or (B, C) of 0 and 1 where a video has several labels
"""

from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.gradient import disconnected_grad

from visual_attention.kernels import take
from visual_attention.layers import (
    Dropout,
    dropout_of,
    fflayer,
    layer_name,
    lstm_cond_layer,
    mlp_projection,
    norm_weight,
    param_init_fflayer,
    param_init_lstm_cond,
)
from visual_attention.recurrence import Loop


def init_params(options, rng=None):
    """Initial parameters, name -> array, in the released program's order of names and of random draws.

    Its numbers after numpy.random.seed(s) are those of seed s and init `released` (rng: to draw on from another state).
    """
    rng, params = rng or np.random.RandomState(options.seed), OrderedDict()
    D, d, d_out, C, init = options.ctx_dim, options.dim, options.dim_out, options.n_actions, options.init
    if options.pooling == "cube":
        params["ff_logit_W"] = norm_weight(rng, options.n_locations * D, C, init=init)
        params["ff_logit_b"] = np.zeros(C)
    else:
        for k in range(1, options.n_layers_init):
            param_init_fflayer(params, f"ff_init_{k}", rng, D, D, init)
        for k in range(options.n_layers_lstm):
            param_init_fflayer(params, layer_name("ff_state", k), rng, D, d, init)
            param_init_fflayer(params, layer_name("ff_memory", k), rng, D, d, init)
        param_init_lstm_cond(params, "decoder", rng, options)
        param_init_fflayer(params, "ff_logit_lstm", rng, d, d_out, init)
        if options.ctx2out:
            param_init_fflayer(params, "ff_logit_ctx", rng, D, d_out, init)
        for k in range(1, options.n_layers_out):
            param_init_fflayer(params, f"ff_logit_h{k}", rng, d_out, d_out, init)
        param_init_fflayer(params, "ff_logit", rng, d_out, C, init)
    return OrderedDict((name, value.astype(options.floatX)) for name, value in params.items())


def init_tparams(params):
    """Parameters as shared variables of static shape."""
    return OrderedDict((name, pytensor.shared(value, name=name, shape=value.shape)) for name, value in params.items())


def relu(x):
    return pt.maximum(x, 0)


@dataclass
class Graph:
    """Symbolic inputs and outputs of one model."""

    frames: pt.TensorVariable  # (n, L, D)
    means: pt.TensorVariable  # (n, D)
    index: pt.TensorVariable  # (T, B)
    mask: pt.TensorVariable  # (T, B)
    y: pt.TensorVariable  # (B,) or (B, C)
    dropout: Dropout | None
    probs: pt.TensorVariable  # (T, B, C)
    alpha: pt.TensorVariable | None  # (T, B, L)
    cost: pt.TensorVariable  # ()
    alpha_c: pytensor.compile.SharedVariable
    decay_c: pytensor.compile.SharedVariable
    loop: Loop | None  # for layers.gradients
    outputs: dict  # everything computed on the way, by the released program's names


def initial_state(tparams, options, means, index, dropout=None):
    """Eq. 6: h_0 and c_0 of every layer, lists of (B, d), from the mean cube entry of the window; means (n, D)."""
    T, B, D = options.maxlen, options.batch_size, options.ctx_dim
    # a mean as a product: XLA's own takes 15 times as long
    weights = pt.full((1, T), 1 / T, dtype=means.dtype)
    hidden = (weights @ take(means, index.flatten()).reshape((T, B * D))).reshape((B, D))
    for k in range(1, options.n_layers_init):
        hidden = fflayer(tparams, hidden, f"ff_init_{k}", relu)
        hidden = dropout(hidden, (B, D)) if dropout else hidden
    names = [[layer_name(prefix, k) for k in range(options.n_layers_lstm)] for prefix in ("ff_state", "ff_memory")]
    return [[fflayer(tparams, hidden, name, pt.tanh) for name in layer] for layer in names]


def class_logits(tparams, options, h, ctx, dropout=None):
    """A tanh layer, rectifier layers, one number a class: h (T, B, d), ctx (T, B, D) with ctx2out -> (T, B, C)."""
    T, B = options.maxlen, options.batch_size
    h = dropout(h, (T, B, options.dim)) if dropout else h
    hidden = fflayer(tparams, h, "ff_logit_lstm")
    if options.ctx2out:
        # the released program drops nothing of it; in ours it is a connection like others
        ctx = dropout(ctx, (T, B, options.ctx_dim)) if dropout and options.dropout == "paper" else ctx
        hidden += fflayer(tparams, ctx, "ff_logit_ctx")
    hidden = pt.tanh(hidden)
    hidden = dropout(hidden, (T, B, options.dim_out)) if dropout else hidden
    for k in range(1, options.n_layers_out):
        hidden = fflayer(tparams, hidden, f"ff_logit_h{k}", relu)
        hidden = dropout(hidden, (T, B, options.dim_out)) if dropout else hidden
    return fflayer(tparams, hidden, "ff_logit")


def class_probabilities(logits):
    """Softmax over classes; (T, B, C) -> (T, B, C)."""
    return pt.special.softmax(logits, axis=-1)


def cross_entropy(logits, y, of=lambda s: s):
    """-log p of the true class at every step; (T, B, C), (B,) -> (T, B). of: see `floored`.

    As softplus(log sum of exp z over the other classes - z of the true one), which subtracts no near-equal numbers: the
    gradient by a logit is right to the last digits even where p is all but 0 or 1.
    """
    true = pt.eq(y[..., None], np.arange(logits.type.shape[-1], dtype="int32"))  # (B, C)
    others = pt.switch(true, -1e30, logits)
    top = disconnected_grad(others.max(axis=-1, keepdims=True))
    others = pt.log(pt.exp(others - top).sum(axis=-1)) + top[..., 0]  # (T, B)
    return of(pt.softplus(others - (logits * true).sum(axis=-1)))


def floored(s):
    """-log(p + 1e-8) from s = -log p: the released program's way to keep the cost finite."""
    floor = float(np.log(1e-8))
    # two ways to write the same thing; each loses digits, of value or of gradient, where the other does not
    return pt.switch(s < 9, s - pt.softplus(s + floor), -floor - pt.softplus(-s - floor))


def doubly_stochastic(alpha, mask):
    """Eq. 7's penalty: sum over locations of (1 - sum over steps of alpha)^2; (T, B, L), (T, B) -> (B,)."""
    return ((1 - (alpha * mask[:, :, None]).sum(axis=0)) ** 2).sum(axis=-1)


def build_model(
    tparams,
    options,
    training,
    frames_dtype=None,
    head=class_probabilities,
    loss=cross_entropy,
    wanted=(),
    y=None,
    overlapping=False,
):
    """The symbolic graph of every model of the paper and of the released program.

    `training`: whether dropout drops. `frames_dtype`: the frame table's, floatX where not given. `head`: logits
    (T, B, C) -> probabilities; `loss`: logits, y -> (T, B); the released code's second program (src/actrec_mAP.py) has
    others. `wanted`: what else of `layers.lstm_cond_step` to keep of every step, in Graph.outputs. `y`: labels that may
    change within a window, (T, B) or (T, B, C), instead of one a window. `overlapping`: for predicting windows that
    share frames, all of which are theirs; such a graph has no right gradient.
    """
    T, B, L, D, C = options.maxlen, options.batch_size, options.n_locations, options.ctx_dim, options.n_actions
    floatX = pytensor.config.floatX
    frames = pt.tensor("frames", dtype=frames_dtype or floatX, shape=(None, L, D))
    means = pt.tensor("means", dtype=floatX, shape=(None, D))
    index = pt.tensor("index", dtype="int32", shape=(T, B))
    mask = pt.tensor("mask", dtype=floatX, shape=(T, B))
    if y is None:
        y = pt.tensor("y", dtype="int32", shape=(B, C) if options.multilabel else (B,))
    alpha_c = pytensor.shared(np.asarray(options.alpha_c, floatX), name="alpha_c", shape=())
    decay_c = pytensor.shared(np.asarray(options.decay_c, floatX), name="decay_c", shape=())
    dropout, outputs, loop = dropout_of(options, training), {}, None

    # What depends on a frame alone is computed once a frame; or, as `frames` may be a whole table, of the windows'
    # frames only. `rows`: which of the results a step reads.
    seen = None if overlapping else index.flatten()
    cubes = frames if overlapping else take(frames, seen)
    rows = index if overlapping else pt.arange(T * B, dtype="int32").reshape((T, B))
    if options.pooling == "cube":
        logits = fflayer(tparams, cubes.astype(floatX).reshape((-1, L * D)), "ff_logit")[rows]
    else:
        if options.pooling == "mean":
            table, index_of = {"pooled": means}, index
        elif options.pooling == "max":
            table, index_of = {"pooled": cubes.max(axis=1).astype(floatX)}, rows
        else:
            table, index_of = {"frames": frames}, index
            if options.attention == "mlp":
                table["projection"] = mlp_projection(tparams, options, frames, seen)
        h0, c0 = initial_state(tparams, options, means, index, dropout)
        wanted = [*wanted, *(["ctx"] if options.ctx2out and "ctx" not in wanted else [])]
        loop = lstm_cond_layer(tparams, options, table, index_of, mask, h0, c0, dropout, rows, wanted)
        outputs = dict(loop.outputs)
        top = outputs[layer_name("h", options.n_layers_lstm - 1)]
        logits = class_logits(tparams, options, top, outputs.get("ctx"), dropout)
        outputs |= {"init_h": h0[0], "init_c": c0[0]}
    alpha, probs = outputs.get("alpha"), head(logits)

    if options.cost == "released":  # src/actrec.py, build_model and train
        cost0 = (loss(logits, y, floored) * mask).sum()
        penalty = None if alpha is None else ((1 - alpha.sum(axis=0)) ** 2).sum(axis=0).mean()
    else:
        # Eq. 7: summed over steps; the mean over the batch's windows, of which those that are only padding do not count
        valid = mask.max(axis=0)  # (B,)
        cost0 = ((loss(logits, y) * mask).sum(axis=0) * valid).sum() / valid.sum()
        penalty = None if alpha is None else (doubly_stochastic(alpha, mask) * valid).sum() / valid.sum()
    cost = cost0 + decay_c * sum((p**2).sum() for p in tparams.values())
    if penalty is not None:
        cost += alpha_c * penalty
    outputs |= {"logits": logits, "probs": probs, "cost0": cost0, "cost": cost}
    return Graph(frames, means, index, mask, y, dropout, probs, alpha, cost, alpha_c, decay_c, loop, outputs)
