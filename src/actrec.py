"""The model, Eqs. 1-7 of the paper, as one symbolic graph.

Shapes: T time steps, B windows, L locations, D feature depth, d LSTM size, C classes. `params` is a dict from names to
symbolic weights. Cubes X and frame tables are lists of two where a glimpse sees two layers (resolutions.py). Names of
parameters and intermediate variables are the released program's (its src/actrec.py).
"""

from collections import OrderedDict
from dataclasses import dataclass, field

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.graph.traversal import ancestors

from visual_attention import losses
from visual_attention.attention import ATTENTION, Moment
from visual_attention.focus import FOCUS, drawn_shapes
from visual_attention.layers import (
    dropout,
    dropout_shapes,
    fflayer,
    layer_name,
    named,
    norm_weight,
    ortho_weight,
    param_init_fflayer,
    relu,
)
from visual_attention.reinforce import reinforce
from visual_attention.resolutions import layer_then_place, mean_vector, projected, resolution_params

# ---------------------------------------------------------------- one step


def lstm_step(params, x, h, c, mask, prefix="decoder"):
    """Eqs. 1-3 for one layer: x (B, n), h and c (B, d) of the previous step, mask (B,) -> the new h and c.

    W (n, 4d), U (d, 4d) and b (4d,) hold the gates side by side, in the order i, f, o, g. Where the mask is 0, h and c
    keep their values.
    """
    W, U, b = (params[f"{prefix}_{name}"] for name in "WUb")
    preact = named("preact", pt.dot(x, W) + pt.dot(h, U) + b)  # Eq. 1, (B, 4d)
    i, f, o, g = pt.split(preact, [U.type.shape[0]] * 4, axis=1)
    i, f, o = named("i", pt.sigmoid(i)), named("f", pt.sigmoid(f)), named("o", pt.sigmoid(o))
    c_new = f * c + i * pt.tanh(g)  # Eq. 2
    h_new = o * pt.tanh(c_new)  # Eq. 3
    keep = mask[:, None]
    return keep * h_new + (1 - keep) * h, keep * c_new + (1 - keep) * c


def look(params, options, X, masks, h, alpha, given):  # 7 parameters: those of the step that concern looking
    """Eqs. 4 and 5: location weights and attended vector; for the baselines, the mean or maximum over locations.

    X (B, L, D); masks: random numbers of focus `hard`, by name; h (B, d) of the top layer and alpha (B, L) of the
    previous step; given (B, L) for attention `given`, else None -> alpha (B, L), or None for a baseline; x (B, D).
    """
    if options.pooling == "mean":
        alpha, x = None, mean_vector(params, X, axis=1)
    elif options.pooling == "max":
        alpha, x = None, projected(params, X).max(axis=1)
    else:
        alpha = ATTENTION[options.attention].glimpse(params, options, Moment(projected(params, X), h, alpha, given))
        if options.resolutions == "choose" and given is None:
            alpha = layer_then_place(params, options, h, alpha)
        alpha, x = FOCUS[options.focus](params, options, alpha, X, masks)  # Eq. 5
    if options.selector:  # a gate of the released program (its src/actrec.py, lstm_cond_layer)
        sel = pt.sigmoid(pt.dot(h, params["decoder_W_sel"]) + params["decoder_b_sel"])
        x = named("sel", sel.squeeze(1))[:, None] * x
    return alpha, named("ctx", x)


def step(params, options, X, mask, masks, h, c, alpha, given):  # 9 parameters: the step's quantities, one by one
    """One time step: attention, then the stack of LSTM layers. Returns h, c, alpha and the attended vector (B, D).

    X (B, L, D); mask (B,); masks: by name, dropout masks of the layers' inputs and random numbers of focus `hard`; h
    and c: lists of (B, d), one per layer; alpha and given: see `look`.
    """
    alpha, ctx = look(params, options, X, masks, h[-1], alpha, given)
    x, h, c = ctx, list(h), list(c)
    for k in range(options.n_layers_lstm):
        if options.dropout == "paper":
            x = dropout(x, options, masks.get(layer_name("x", k)))
        h[k], c[k] = lstm_step(params, x, h[k], c[k], mask, layer_name("decoder", k))
        x = h[k]
    return h, c, alpha, ctx


# ---------------------------------------------------------------- all steps


def initial_state(params, options, X, masks):
    """Eq. 6: h_0 and c_0 of every layer, lists of (B, d), from the mean cube over steps and locations; X (T, B, L, D).

    masks: dropout masks of the hidden layers, by name.
    """
    hidden = mean_vector(params, X, axis=(0, 2))  # (B, D)
    for k in range(1, options.n_layers_init):
        hidden = fflayer(params, hidden, f"ff_init_{k}", relu)
        hidden = dropout(hidden, options, masks.get(f"ff_init_{k}"))
    layers = range(options.n_layers_lstm)
    h = [fflayer(params, hidden, layer_name("ff_state", k), pt.tanh) for k in layers]
    c = [fflayer(params, hidden, layer_name("ff_memory", k), pt.tanh) for k in layers]
    return h, c


def loop(params, options, frames, index, mask, masks, given=None, record=()):  # 8 parameters: the inputs of the graph
    """The step, T times, from the initial state. Returns a dict of (T, B, ...).

    Its keys: h and c of the first layer, h_2, c_2, h_3, ... of the others; top, the h of the top layer; alpha, if the
    model attends; ctx, the attended vectors; and the names in `record`, which are those of variables in the step.
    Besides, init_h and init_c (B, d) are the initial state of the first layer, and init_top is h of the top layer.

    frames (n, L, D); index and mask (T, B); masks: dropout masks and random numbers of focus `hard`, by name; given
    (T, B, L) or None. The step gets the parameters whose names begin with "decoder", and the masks whose names begin
    with "x" or "focus".
    """
    T, B, L, n = options.maxlen, options.batch_size, options.all_locations, options.n_layers_lstm
    attends = options.pooling == "attention"
    weights = {name: value for name, value in params.items() if name.startswith("decoder")}
    tables = frames if isinstance(frames, list) else [frames]
    sequences = {"index": index, "mask": mask}
    sequences |= {name: m for name, m in masks.items() if name.startswith(("x", "focus"))}
    sequences |= {"given": given} if given is not None else {}
    h, c = initial_state(params, options, cubes(frames, index), masks)
    states = [*h, *c] + ([pt.full((B, L), 1 / L, dtype=mask.dtype)] if attends else [])
    names = [layer_name(letter, k) for letter in "hc" for k in range(n)] + (["alpha"] if attends else [])

    def one_step(*arguments):
        arguments = iter(arguments)
        now = {name: next(arguments) for name in sequences}
        before = [next(arguments) for _ in names]
        constants = {name: next(arguments) for name in weights}
        X = cubes([next(arguments) for _ in tables] if len(tables) > 1 else next(arguments), now["index"])  # (B, L, D)
        h, c, alpha = before[:n], before[n : 2 * n], before[-1] if attends else None
        h, c, alpha, ctx = step(constants, options, X, now["mask"], now, h, c, alpha, now.get("given"))
        new = [*h, *c] + ([alpha] if attends else [])
        inside = {variable.name: variable for variable in ancestors(new)} if record else {}
        return [*new, ctx, *(inside[name] for name in record)]

    results = pytensor.scan(
        one_step,
        sequences=list(sequences.values()),
        outputs_info=[*states] + [None] * (1 + len(record)),
        non_sequences=[*weights.values(), *tables],
        strict=True,
        return_updates=False,
    )
    outputs = dict(zip([*names, "ctx", *record], results, strict=True))
    outputs = {name: pt.specify_shape(value, (T, *value.type.shape[1:])) for name, value in outputs.items()}
    first = {"init_h": h[0], "init_c": c[0], "init_top": h[-1]}
    return outputs | {"top": outputs[layer_name("h", n - 1)]} | first


def cubes(frames, index):
    """The cubes in rows `index` of the frame table, in floatX: frames (n, L, D), index (...) -> (..., L, D)."""
    if isinstance(frames, list):
        return [cubes(table, index) for table in frames]
    return frames[index].astype(pytensor.config.floatX)


def class_logits(params, options, h, ctx, masks):
    """A tanh layer, rectifier layers, then one logit per class; h (T, B, d), ctx (T, B, D) -> (T, B, C)."""
    hidden = fflayer(params, dropout(h, options, masks.get("h")), "ff_logit_lstm")
    if options.ctx2out:
        # The released program has no dropout here. In the paper's convention this is a connection like all others.
        ctx = dropout(ctx, options, masks.get("ctx")) if options.dropout == "paper" else ctx
        hidden += fflayer(params, ctx, "ff_logit_ctx")
    hidden = dropout(pt.tanh(hidden), options, masks.get("ff_logit_lstm"))
    for k in range(1, options.n_layers_out):
        hidden = dropout(fflayer(params, hidden, f"ff_logit_h{k}", relu), options, masks.get(f"ff_logit_h{k}"))
    return fflayer(params, hidden, "ff_logit")


# ---------------------------------------------------------------- the cost


def doubly_stochastic(alpha, mask):
    """Eq. 7's penalty: sum over i of (1 - sum over t of alpha_{t,i})^2; alpha (T, B, L), mask (T, B) -> (B,)."""
    return ((1 - (alpha * mask[:, :, None]).sum(axis=0)) ** 2).sum(axis=-1)


def paper_cost(cross_entropy, alpha, mask, alpha_c):
    """Eq. 7 without weight decay, which `build_model` adds. The mean over windows; windows of padding do not count.

    cross_entropy (T, B); alpha (T, B, L) or None -> the first term, and the sum of the first two.
    """
    valid = mask.max(axis=0)  # (B,), 0 for a window of padding
    cost = (cross_entropy * mask).sum() / valid.sum()
    if alpha is None:
        return cost, cost
    return cost, cost + alpha_c * (doubly_stochastic(alpha, mask) * valid).sum() / valid.sum()


def released_cost(cross_entropy, alpha, mask, alpha_c):
    """The released program's form of `paper_cost` (its src/actrec.py, build_model).

    Cross-entropies are summed over windows. The penalty is summed over windows, averaged over locations, and does not
    use the mask.
    """
    cost = (cross_entropy * mask).sum()
    if alpha is None:
        return cost, cost
    return cost, cost + alpha_c * ((1 - alpha.sum(axis=0)) ** 2).sum(axis=0).mean()


# ---------------------------------------------------------------- the whole


@dataclass
class Graph:
    """Symbolic inputs and outputs of one model."""

    frames: pt.TensorVariable  # (n, L, D), cubes: a whole frame table, or the frames of a batch
    index: pt.TensorVariable  # (T, B), int32: for each step of each window, its row of frames
    mask: pt.TensorVariable  # (T, B), 1, or 0 for padding
    y: pt.TensorVariable  # (B,), int32 classes; or (B, C) of 0 and 1 if a video has several labels
    masks: dict  # random numbers, name -> variable: dropout masks of 0 and 1 in training; those of `drawn_shapes`
    given: pt.TensorVariable | None  # (T, B, L), location weights that are an input, for attention `given`
    probs: pt.TensorVariable  # (T, B, C)
    alpha: pt.TensorVariable | None  # (T, B, L)
    cost: pt.TensorVariable  # ()
    alpha_c: pt.TensorVariable  # (), shared: lambda of Eq. 7
    decay_c: pt.TensorVariable  # (), shared: gamma of Eq. 7
    recorded: dict = field(default_factory=dict)  # intermediate variables, by the released program's names
    updates: dict = field(default_factory=dict)  # shared variable -> its value after an update of the parameters
    fine: pt.TensorVariable | None = None  # (n, L_2, D_2), the fine layer of two; `frames` is then the coarse one


def build_model(params, options, training, frames_dtype=None, record=(), y=None):
    """The symbolic graph of any model of the paper or of the released program.

        graph = build_model(params, options, training=True)
        grads = pytensor.grad(graph.cost, list(params.values()))

    training: whether there is dropout, and REINFORCE with focus `hard`. frames_dtype: dtype of the frame table; None:
    floatX. record: see `loop`. y: a variable for labels that may change within a window, (T, B) or (T, B, C); None: one
    label per window.
    """
    T, B, L, D, C = options.maxlen, options.batch_size, options.n_locations, options.ctx_dim, options.n_actions
    floatX = pytensor.config.floatX
    frames, fine = pt.tensor("frames", dtype=frames_dtype or floatX, shape=(None, L, D)), None
    if options.resolutions != "one":
        fine = pt.tensor("fine", dtype=frames.type.dtype, shape=(None, options.fine_locations, options.fine_dim))
    index = pt.tensor("index", dtype="int32", shape=(T, B))
    mask = pt.tensor("mask", dtype=floatX, shape=(T, B))
    y = pt.tensor("y", dtype="int32", shape=(B, C) if options.multilabel else (B,)) if y is None else y
    shapes = dropout_shapes(options) if training else {}
    masks = {name: pt.tensor(f"drop_{name}", dtype="uint8", shape=shape) for name, shape in shapes.items()}
    draws = drawn_shapes(options, training)
    masks |= {name: pt.tensor(name, dtype=dtype, shape=shape) for name, (shape, dtype) in draws.items()}
    record = (*record, "drawn") if draws else record
    is_given = options.pooling == "attention" and options.attention == "given"
    given = pt.tensor("given", dtype=floatX, shape=(T, B, options.all_locations)) if is_given else None
    alpha_c = pytensor.shared(np.asarray(options.alpha_c, floatX), name="alpha_c", shape=())
    decay_c = pytensor.shared(np.asarray(options.decay_c, floatX), name="decay_c", shape=())

    if options.pooling == "cube":  # softmax regression
        recorded = {}
        logits = fflayer(params, cubes(frames, index).reshape((T, B, L * D)), "ff_logit")
    else:
        tables = frames if fine is None else [frames, fine]
        recorded = loop(params, options, tables, index, mask, masks, given, record)
        logits = class_logits(params, options, recorded["top"], recorded["ctx"], masks)
    alpha = recorded.get("alpha")
    if options.multilabel:
        probs, cross_entropy = losses.multilabel_probs(logits), losses.multilabel_cross_entropy
    else:
        probs, cross_entropy = losses.single_label_probs(logits), losses.single_label_cross_entropy
    if options.cost == "released":
        cost0, cost = released_cost(cross_entropy(logits, y, losses.floored), alpha, mask, alpha_c)
    else:
        cost0, cost = paper_cost(cross_entropy(logits, y), alpha, mask, alpha_c)
    updates = {}
    if draws and training:
        penalty = alpha_c * doubly_stochastic(alpha, mask)
        added, updates = reinforce(params, options, recorded, masks, mask, cross_entropy(logits, y), penalty)
        cost += added
    cost += decay_c * sum((p**2).sum() for p in params.values())  # Eq. 7's last term
    recorded |= {"logits": logits, "probs": probs, "cost0": cost0, "cost": cost}
    return Graph(frames, index, mask, y, masks, given, probs, alpha, cost, alpha_c, decay_c, recorded, updates, fine)


# ---------------------------------------------------------------- initial parameters


def init_params(options, rng=None):
    """Initial parameters, name -> array, in the released program's order of names and random draws.

    Option init `released` with seed s gives the numbers that the released program draws after numpy.random.seed(s).
    rng: a numpy.random.RandomState; None: of option seed.
    """
    rng, params = rng or np.random.RandomState(options.seed), OrderedDict()
    D, d, d_out, C, init = options.depth, options.dim, options.dim_out, options.n_actions, options.init
    if options.pooling == "cube":
        params["ff_logit_W"] = norm_weight(rng, options.n_locations * D, C, init=init)
        params["ff_logit_b"] = np.zeros(C)
    else:
        for k in range(1, options.n_layers_init):
            param_init_fflayer(params, f"ff_init_{k}", rng, D, D, init)
        for k in range(options.n_layers_lstm):
            param_init_fflayer(params, layer_name("ff_state", k), rng, D, d, init)
            param_init_fflayer(params, layer_name("ff_memory", k), rng, D, d, init)
        for k in range(options.n_layers_lstm):
            nin, name = d if k else D, layer_name("decoder", k)
            params[f"{name}_W"] = np.concatenate([norm_weight(rng, nin, d, init=init) for _ in "ifog"], axis=1)
            params[f"{name}_U"] = np.concatenate([ortho_weight(rng, d, init) for _ in "ifog"], axis=1)
            params[f"{name}_b"] = np.zeros(4 * d)
            if k == 0 and options.resolutions != "one":
                params |= resolution_params(options, rng)
            if k == 0 and options.pooling == "attention":
                params |= ATTENTION[options.attention].init_params(options, rng)
            if k == 0 and options.selector:
                params |= {"decoder_W_sel": norm_weight(rng, d, 1, init=init), "decoder_b_sel": np.zeros(())}
        param_init_fflayer(params, "ff_logit_lstm", rng, d, d_out, init)
        if options.ctx2out:
            param_init_fflayer(params, "ff_logit_ctx", rng, D, d_out, init)
        for k in range(1, options.n_layers_out):
            param_init_fflayer(params, f"ff_logit_h{k}", rng, d_out, d_out, init)
        param_init_fflayer(params, "ff_logit", rng, d_out, C, init)
        if options.focus == "hard" and options.baseline == "state":
            params |= {"baseline_W": np.zeros((d, 1)), "baseline_b": np.zeros(1)}
    return OrderedDict((name, value.astype(options.floatX)) for name, value in params.items())
