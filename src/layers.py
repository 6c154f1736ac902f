"""Layers: the initial parameters of each, and the function that builds its graph.

Shapes: T time-steps, B windows, L locations, D feature depth, d LSTM size, C classes. Gates stand side by side in the
order i, f, o, g. `params` is a dict name -> shared variable throughout; names are the released program's where it has
the parameter (src/actrec.py, param_init_fflayer and param_init_lstm_cond).
"""

from dataclasses import dataclass

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.gradient import disconnected_grad

# ---------------------------------------------------------------- initial weights


def ortho_weight(rng, ndim):
    """An orthogonal (ndim, ndim) matrix: left singular vectors of a normal one."""
    return np.linalg.svd(rng.randn(ndim, ndim))[0]


def norm_weight(rng, nin, nout, ortho=True, init="released"):
    """(nin, nout) weights: orthogonal if square and `ortho`, else 0.01 N(0, 1), or uniform +-sqrt(6/(nin+nout))."""
    if nin == nout and ortho:
        return ortho_weight(rng, nin)
    if init == "glorot":
        return rng.uniform(-1, 1, (nin, nout)) * np.sqrt(6 / (nin + nout))
    return 0.01 * rng.randn(nin, nout)


# ---------------------------------------------------------------- feed-forward


def param_init_fflayer(params, prefix, rng, nin, nout, init):
    params[f"{prefix}_W"] = norm_weight(rng, nin, nout, init=init)
    params[f"{prefix}_b"] = np.zeros(nout)


def fflayer(params, x, prefix, activation=None):
    """activation(x W + b); x (..., nin) -> (..., nout)."""
    y = x @ params[f"{prefix}_W"] + params[f"{prefix}_b"]
    return y if activation is None else activation(y)


# ---------------------------------------------------------------- dropout

_BITS = np.array([1, 2, 4, 8, 16, 32, 64, 128], "uint8")


class Dropout:
    """Dropout 0.5 with masks that come into the graph as bits, drawn by NumPy: `drop(x, (T, B, 512))`, x of that shape.

    Eight masks fit a byte, so little has to be drawn and moved, every backend drops the same units, and a resumed run
    needs no generator's state: the bits of an update are a function of seed and update number.
    `bits` is the graph's input, a uint8 vector; `size` its length once the graph is built. `kept` is what a kept entry
    is multiplied by. Not in training, everything is multiplied by one half.
    """

    def __init__(self, kept, training=True, in_lstm=True):
        self.kept, self.training, self.in_lstm = kept, training, in_lstm
        self.bits, self.size = pt.vector("dropout_bits", dtype="uint8"), 0

    def packed(self, shape):
        """The next masks of shape (..., n) as bytes (..., ceil(n / 8)); `unpack` makes them 0 and `kept`."""
        *rows, n = shape
        shape = (*rows, -(-n // 8))
        start, self.size = self.size, self.size + int(np.prod(shape))
        return self.bits[start : self.size].reshape(shape)

    def __call__(self, x, shape):
        return x * unpack(self.packed(shape), shape[-1], self.kept) if self.training else x / 2


def dropout_of(options, training):
    """The Dropout of a graph, None where it has none: the paper's convention needs it in training only."""
    if not options.use_dropout or options.pooling == "cube":
        return None
    if options.dropout == "released":  # src/actrec.py, dropout_layer
        return Dropout(1, training, in_lstm=False)
    return Dropout(2) if training else None


def unpack(packed, n, kept=2):
    """Bytes (..., ceil(n/8)) -> masks (..., n) of 0 and `kept`; with 2, testing needs no change."""
    bits = pt.neq(pt.bitwise_and(packed[..., None], _BITS), 0)  # (..., ceil(n/8), 8)
    masks = bits.reshape((*packed.shape[:-1], -1))[..., :n].astype(pytensor.config.floatX)
    return masks if kept == 1 else kept * masks


# ---------------------------------------------------------------- attention


def param_init_attention(params, prefix, rng, options):
    D, d, L, init = options.ctx_dim, options.dim, options.n_locations, options.init
    if options.attention == "location":
        params[f"{prefix}_W_loc"] = norm_weight(rng, d, L, ortho=False, init=init)
        return
    params[f"{prefix}_Wc_att"] = norm_weight(rng, D, D, ortho=False, init=init)
    params[f"{prefix}_Wd_att"] = norm_weight(rng, d, D, init=init)
    params[f"{prefix}_b_att"] = np.zeros(D)
    for k in range(1, options.n_layers_att):
        params[f"{prefix}_W_att_{k}"] = ortho_weight(rng, D)
        params[f"{prefix}_b_att_{k}"] = np.zeros(D)
    params[f"{prefix}_U_att"] = norm_weight(rng, D, 1, init=init)
    params[f"{prefix}_c_tt"] = np.zeros(1)


def mlp_projection(params, options, cubes, prefix="decoder"):
    """The part of mlp attention that depends on the cube alone; (..., L, D) -> (..., L, D).

    As released, nothing bends between Wc_att and the layer after it, nor after the last: the state is added first.
    """
    projection = cubes @ params[f"{prefix}_Wc_att"] + params[f"{prefix}_b_att"]
    for k in range(1, options.n_layers_att):
        projection = projection @ params[f"{prefix}_W_att_{k}"] + params[f"{prefix}_b_att_{k}"]
        if k < options.n_layers_att - 1:
            projection = pt.tanh(projection)
    return projection


def attend(params, options, cubes, projection, h, delta=0, prefix="decoder"):
    """Eqs. 4 and 5: the glimpse and what it shows. cubes (B, L, D), h (B, d), h_{t-1} of the top layer.

    Attention `location` is Eq. 4, softmax of W_i h; `mlp` the released code's, softmax of U tanh(projection + Wd h) + c
    (src/actrec.py, lstm_cond_layer), projection (B, L, D) from `mlp_projection`. delta: see Tap.
    Returns a dict with alpha (B, L) and ctx (B, D); of mlp also pstate, pctx_pre, pctx, alpha_pre, as released.
    """
    if options.attention == "location":
        now, score = {}, h @ params[f"{prefix}_W_loc"] + delta  # (B, L)
    else:
        pstate = h @ params[f"{prefix}_Wd_att"] + delta  # (B, D)
        pctx_pre = projection + pstate[:, None, :]  # (B, L, D)
        pctx = pt.tanh(pctx_pre)
        alpha_pre = pctx @ params[f"{prefix}_U_att"] + params[f"{prefix}_c_tt"]  # (B, L, 1)
        now, score = {"pstate": pstate, "pctx_pre": pctx_pre, "pctx": pctx, "alpha_pre": alpha_pre}, alpha_pre[:, :, 0]
    alpha = pt.special.softmax(score * options.temperature_inverse, axis=-1)
    # a batched matmul: multiply-and-sum takes twice as long
    return now | {"alpha": alpha, "ctx": (alpha[:, None, :] @ cubes)[:, 0, :]}


# ---------------------------------------------------------------- LSTM


def layer_name(prefix, k):
    """Name of the k-th of a stack: the first has the released program's name, the next are decoder_2, decoder_3, ..."""
    return prefix if k == 0 else f"{prefix}_{k + 1}"


def param_init_lstm_cond(params, prefix, rng, options):
    """Parameters of the stacked LSTM and of its attention."""
    for k in range(options.n_layers_lstm):
        nin, d, name = options.ctx_dim if k == 0 else options.dim, options.dim, layer_name(prefix, k)
        params[f"{name}_W"] = np.concatenate([norm_weight(rng, nin, d, init=options.init) for _ in "ifog"], axis=1)
        params[f"{name}_U"] = np.concatenate([ortho_weight(rng, d) for _ in "ifog"], axis=1)
        params[f"{name}_b"] = np.zeros(4 * d)
        if k == 0 and options.pooling == "attention":
            param_init_attention(params, prefix, rng, options)
        if k == 0 and options.selector:
            params[f"{prefix}_W_sel"] = norm_weight(rng, d, 1, init=options.init)
            params[f"{prefix}_b_sel"] = np.zeros(())


def lstm_step(params, x, h, c, mask, delta=0, prefix="decoder"):
    """Eqs. 1-3, one layer, one step: x (B, nin), h and c (B, d), mask (B,). Mask 0 keeps h and c.

    Returns a dict: the new h and c (B, d), and as released preact (B, 4d) and the gates i, f, o.
    """
    d = params[f"{prefix}_U"].type.shape[0]
    preact = x @ params[f"{prefix}_W"] + h @ params[f"{prefix}_U"] + params[f"{prefix}_b"] + delta  # (B, 4d)
    i, f, o = (pt.sigmoid(preact[:, k * d : (k + 1) * d]) for k in range(3))
    g = pt.tanh(preact[:, 3 * d :])
    keep = mask[:, None]
    c_new = keep * (f * c + i * g) + (1 - keep) * c
    h_new = keep * (o * pt.tanh(c_new)) + (1 - keep) * h
    return {"h": h_new, "c": c_new, "preact": preact, "i": i, "f": f, "o": o}


def lstm_cond_step(params, options, cubes, projection, mask, dropout_bits, h, c, deltas=None, prefix="decoder"):
    """One time-step: look (Eqs. 4, 5), then the stack of LSTM layers (Eqs. 1-3).

    cubes (B, L, D), mask (B,), h and c lists of (B, d), one a layer; projection (B, L, D) or None (see mlp_projection);
    dropout_bits: a list of packed masks, one a layer's input, or None; deltas: name -> zeros (see Tap), or None.
    Returns all that was computed, by name: h, c, preact, ... of the first layer, h_2, ... of the second; each layer's
    input x, x_2, ... (dropout done); ctx (B, D), what the cube was pooled to, and all of `attend`.
    """
    deltas = deltas or {}
    if options.pooling == "mean":
        now = {"ctx": cubes.mean(axis=1)}
    elif options.pooling == "max":
        now = {"ctx": cubes.max(axis=1)}
    else:
        now = attend(params, options, cubes, projection, h[-1], deltas.get("att", 0), prefix)
    if options.selector:
        score = h[-1] @ params[f"{prefix}_W_sel"] + params[f"{prefix}_b_sel"] + deltas.get("sel", 0)  # (B, 1)
        now["sel"] = pt.sigmoid(score[:, 0])
        now["ctx"] = now["sel"][:, None] * now["ctx"]
    x = now["ctx"]
    for k in range(options.n_layers_lstm):
        if dropout_bits is not None:
            x = x * unpack(dropout_bits[k], options.ctx_dim if k == 0 else options.dim)
        layer = lstm_step(params, x, h[k], c[k], mask, deltas.get(k, 0), layer_name(prefix, k))
        now |= {layer_name(name, k): value for name, value in {"x": x, **layer}.items()}
        x = layer["h"]
    return now


@dataclass
class Tap:
    """Where weights' gradients are taken out of the loop over time.

    Adding a zero, delta (T, B, m), to what a product x W (+ b) gives at each step changes nothing, but the cost's
    gradient by it is the gradient by the product, at all steps at once. So W's gradient is one matmul over T*B rows
    after the loop, x^T ddelta, instead of a small one added to a sum at every step of it.
    """

    delta: pt.TensorVariable  # (T, B, m), zeros
    inputs: dict  # name of W -> x (T, B, n)
    bias: str | None = None  # name of b


def gradients(cost, tparams, taps):
    """Gradients of the cost by all parameters, in order: what the taps stand for by matmul, the rest by `grad`."""
    wrt = [*tparams.values(), *(tap.delta for tap in taps)]
    found = pytensor.grad(cost, wrt, disconnected_inputs="ignore")
    grads = dict(zip(tparams, found, strict=False))
    for tap, delta in zip(taps, found[len(tparams) :], strict=True):
        delta = delta.reshape((-1, tap.delta.type.shape[2]))  # (T*B, m)
        for name, x in tap.inputs.items():
            grads[name] += x.reshape((-1, x.type.shape[2])).T @ delta
        if tap.bias:
            grads[tap.bias] += delta.sum(axis=0).reshape(tparams[tap.bias].type.shape)
    return list(grads.values())


def lstm_cond_layer(params, options, frames, index, mask, h0, c0, dropout=None, wanted=(), prefix="decoder"):
    """The loop over time. frames (n, L, D), index and mask (T, B), h0 and c0 lists of (B, d).

    Returns what `lstm_cond_step` computed at all steps, (T, B, ...) by name: h and c of each layer, alpha, and whatever
    names are `wanted`; and the taps for `gradients`, which alone knows the gradients by the tapped weights. The step
    fetches its cubes by index: as a sequence of the scan they would be copied in reverse for the gradient.
    """
    n, (T, B), d, floatX = options.n_layers_lstm, index.type.shape, options.dim, pytensor.config.floatX
    mlp = options.pooling == "attention" and options.attention == "mlp"
    names = {letter: [layer_name(letter, k) for k in range(n)] for letter in ("h", "c", "x")}
    layers = [layer_name(prefix, k) for k in range(n)]

    # ---- what is tapped: key of the delta -> its length, its weights with the names of their inputs, its bias
    tapped = {k: (4 * d, {f"{layer}_W": names["x"][k], f"{layer}_U": names["h"][k]}, f"{layer}_b")
              for k, layer in enumerate(layers)}  # fmt: skip
    if mlp:
        tapped["att"] = options.ctx_dim, {f"{prefix}_Wd_att": names["h"][-1]}, None
    elif options.pooling == "attention":
        tapped["att"] = options.n_locations, {f"{prefix}_W_loc": names["h"][-1]}, None
    if options.selector:
        tapped["sel"] = 1, {f"{prefix}_W_sel": names["h"][-1]}, f"{prefix}_b_sel"
    without_gradient = {name for _, weights, bias in tapped.values() for name in (*weights, bias)}

    sequences = {"index": index, "mask": mask}
    sequences |= {key: pt.zeros((T, B, length), dtype=floatX) for key, (length, _, _) in tapped.items()}
    if mlp:  # one matmul for all steps; h does not enter it
        sequences["projection"] = mlp_projection(params, options, frames[index].astype(floatX), prefix)  # (T, B, L, D)
    in_lstm = dropout is not None and dropout.in_lstm
    if in_lstm:
        for k in range(n):
            sequences[f"bits_{k}"] = dropout.packed((T, B, options.ctx_dim if k == 0 else d))
    weights = {name: value for name, value in params.items() if name.startswith(prefix)}
    emitted = [*names["x"], *(["alpha"] if options.pooling == "attention" else []), *wanted]

    def step(*args):
        args = iter(args)
        now = {name: next(args) for name in sequences}
        h, c = [next(args) for _ in range(n)], [next(args) for _ in range(n)]
        table = next(args)
        inner = {
            name: disconnected_grad(w) if name in without_gradient else w for name, w in zip(weights, args, strict=True)
        }
        cubes = table[now["index"]].astype(floatX)  # (B, L, D)
        bits = [now[f"bits_{k}"] for k in range(n)] if in_lstm else None
        new = lstm_cond_step(inner, options, cubes, now.get("projection"), now["mask"], bits, h, c, now, prefix)
        return [new[name] for name in (*names["h"], *names["c"], *emitted)]

    outputs = pytensor.scan(
        step,
        sequences=list(sequences.values()),
        outputs_info=[*h0, *c0] + [None] * len(emitted),
        non_sequences=[frames, *weights.values()],
        strict=True,
        n_steps=T,
        return_updates=False,
    )
    steps = dict(zip((*names["h"], *names["c"], *emitted), outputs, strict=True))
    inputs = {name: steps[name] for name in names["x"]}
    inputs |= {name: pt.concatenate([h0[k][None], steps[name][:-1]]) for k, name in enumerate(names["h"])}  # h_{t-1}
    taps = [
        Tap(sequences[key], {name: inputs[x] for name, x in weights.items()}, bias)
        for key, (_, weights, bias) in tapped.items()
    ]
    return steps, taps
