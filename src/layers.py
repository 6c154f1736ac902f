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
    `bits` is the graph's input, a uint8 vector; `size` its length once the graph is built.
    """

    def __init__(self):
        self.bits, self.size = pt.vector("dropout_bits", dtype="uint8"), 0

    def packed(self, shape):
        """The next masks of shape (..., n) as bytes (..., ceil(n / 8)); `unpack` makes them 0 and 2."""
        *rows, n = shape
        shape = (*rows, -(-n // 8))
        start, self.size = self.size, self.size + int(np.prod(shape))
        return self.bits[start : self.size].reshape(shape)

    def __call__(self, x, shape):
        return x * unpack(self.packed(shape), shape[-1])


def unpack(packed, n):
    """Bytes (..., ceil(n/8)) -> masks (..., n) of 0 and 2: what is kept is doubled, so testing needs no change."""
    bits = pt.neq(pt.bitwise_and(packed[..., None], _BITS), 0)  # (..., ceil(n/8), 8)
    masks = bits.reshape((*packed.shape[:-1], -1))[..., :n]
    return 2 * masks.astype(pytensor.config.floatX)


# ---------------------------------------------------------------- attention


def param_init_attention(params, prefix, rng, options):
    D, d, L = options.ctx_dim, options.dim, options.n_locations
    if options.attention == "location":
        params[f"{prefix}_W_loc"] = norm_weight(rng, d, L, ortho=False, init=options.init)
        return
    params[f"{prefix}_Wc_att"] = norm_weight(rng, D, D, ortho=False, init=options.init)
    params[f"{prefix}_Wd_att"] = norm_weight(rng, d, D, init=options.init)
    params[f"{prefix}_b_att"] = np.zeros(D)
    params[f"{prefix}_U_att"] = norm_weight(rng, D, 1, init=options.init)
    params[f"{prefix}_c_tt"] = np.zeros(1)


def location_softmax(params, h, delta=0, prefix="decoder"):
    """Eq. 4: softmax over locations of W_i h_{t-1}; h (B, d) of the top layer -> (B, L). delta (B, L): see Tap."""
    return pt.special.softmax(h @ params[f"{prefix}_W_loc"] + delta, axis=-1)


def mlp_projection(params, cubes, prefix="decoder"):
    """The part of mlp attention that depends on the cube alone; (..., L, D) -> (..., L, D)."""
    return cubes @ params[f"{prefix}_Wc_att"] + params[f"{prefix}_b_att"]


def mlp_softmax(params, projection, h, delta=0, prefix="decoder"):
    """The released code's attention: softmax of U tanh(projection + Wd h) + c; (B, L, D), (B, d) -> (B, L)."""
    state = h @ params[f"{prefix}_Wd_att"] + delta  # (B, D)
    score = pt.tanh(projection + state[:, None, :]) @ params[f"{prefix}_U_att"]  # (B, L, 1)
    return pt.special.softmax(score[:, :, 0] + params[f"{prefix}_c_tt"], axis=-1)


def weighted_sum(alpha, cubes):
    """Eq. 5: expected features; (B, L), (B, L, D) -> (B, D). A batched matmul: multiply-and-sum takes twice as long."""
    return (alpha[:, None, :] @ cubes)[:, 0, :]


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


def lstm_step(params, x, h, c, mask, delta=0, prefix="decoder"):
    """Eqs. 1-3, one layer, one step: x (B, nin), h and c (B, d), mask (B,) -> new h and c. Mask 0 keeps them."""
    d = h.type.shape[1]
    preact = x @ params[f"{prefix}_W"] + h @ params[f"{prefix}_U"] + params[f"{prefix}_b"] + delta  # (B, 4d)
    i, f, o = (pt.sigmoid(preact[:, k * d : (k + 1) * d]) for k in range(3))
    g = pt.tanh(preact[:, 3 * d :])
    c_new = f * c + i * g
    h_new = o * pt.tanh(c_new)
    keep = mask[:, None]
    return keep * h_new + (1 - keep) * h, keep * c_new + (1 - keep) * c


def lstm_cond_step(params, options, cubes, projection, mask, dropout_bits, h, c, deltas=None, prefix="decoder"):
    """One time-step: look (Eqs. 4, 5), then the stack of LSTM layers (Eqs. 1-3).

    cubes (B, L, D), mask (B,), h and c lists of (B, d), one a layer; projection (B, L, D) or None (see mlp_projection);
    dropout_bits: a list of packed masks, one a layer's input, or None; deltas: name -> zeros (see Tap), or None.
    Returns new h and c, the layers' inputs as a list, and alpha (B, L) or None.
    """
    deltas, alpha = deltas or {}, None
    if options.pooling == "mean":
        x = cubes.mean(axis=1)
    elif options.pooling == "max":
        x = cubes.max(axis=1)
    else:
        delta = deltas.get("att", 0)
        if projection is None:
            alpha = location_softmax(params, h[-1], delta, prefix)
        else:
            alpha = mlp_softmax(params, projection, h[-1], delta, prefix)
        x = weighted_sum(alpha, cubes)
    h, c, inputs = list(h), list(c), []
    for k in range(options.n_layers_lstm):
        if dropout_bits is not None:
            x = x * unpack(dropout_bits[k], options.ctx_dim if k == 0 else options.dim)
        inputs.append(x)
        h[k], c[k] = lstm_step(params, x, h[k], c[k], mask, deltas.get(k, 0), layer_name(prefix, k))
        x = h[k]
    return h, c, inputs, alpha


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
            grads[tap.bias] += delta.sum(axis=0)
    return list(grads.values())


def lstm_cond_layer(params, options, frames, index, mask, h0, c0, dropout=None, prefix="decoder"):
    """The loop over time. frames (n, L, D), index and mask (T, B), h0 and c0 lists of (B, d).

    Returns h (T, B, d) of the top layer, alpha (T, B, L), None where nothing attends, and the taps for `gradients`,
    which alone knows the gradients by the tapped weights. The step fetches its cubes by index: as a sequence of the
    scan they would be copied in reverse for the gradient.
    """
    n, (T, B), d, floatX = options.n_layers_lstm, index.type.shape, options.dim, pytensor.config.floatX
    attends = options.pooling == "attention"
    sequences, tapped = {"index": index, "mask": mask}, [layer_name(prefix, k) for k in range(n)]
    tapped = [f"{name}_{letter}" for name in tapped for letter in "WUb"]
    for k in range(n):
        sequences[k] = pt.zeros((T, B, 4 * d), dtype=floatX)
    if attends:
        mlp = options.attention == "mlp"
        sequences["att"] = pt.zeros((T, B, options.ctx_dim if mlp else options.n_locations), dtype=floatX)
        tapped.append(f"{prefix}_Wd_att" if mlp else f"{prefix}_W_loc")
        if mlp:  # one matmul for all steps; h does not enter it
            sequences["projection"] = mlp_projection(params, frames[index].astype(floatX), prefix)  # (T, B, L, D)
    if dropout is not None:
        for k in range(n):
            sequences[f"bits_{k}"] = dropout.packed((T, B, options.ctx_dim if k == 0 else d))
    weights = {name: value for name, value in params.items() if name.startswith(prefix)}

    def step(*args):
        args = iter(args)
        now = {name: next(args) for name in sequences}
        h, c = [next(args) for _ in range(n)], [next(args) for _ in range(n)]
        table = next(args)
        inner = {name: disconnected_grad(w) if name in tapped else w for name, w in zip(weights, args, strict=True)}
        cubes = table[now["index"]].astype(floatX)  # (B, L, D)
        bits = None if dropout is None else [now[f"bits_{k}"] for k in range(n)]
        h, c, inputs, alpha = lstm_cond_step(
            inner, options, cubes, now.get("projection"), now["mask"], bits, h, c, now, prefix
        )
        return [*h, *c, *inputs] + ([alpha] if attends else [])

    outputs = pytensor.scan(
        step,
        sequences=list(sequences.values()),
        outputs_info=[*h0, *c0] + [None] * (n + attends),
        non_sequences=[frames, *weights.values()],
        strict=True,
        n_steps=T,
        return_updates=False,
    )
    h, inputs = outputs[:n], outputs[2 * n : 3 * n]
    before = [pt.concatenate([h0[k][None], h[k][:-1]]) for k in range(n)]  # (T, B, d), h_{t-1}
    taps = []
    for k, name in enumerate(layer_name(prefix, k) for k in range(n)):
        taps.append(Tap(sequences[k], {f"{name}_W": inputs[k], f"{name}_U": before[k]}, f"{name}_b"))
    if attends:
        taps.append(Tap(sequences["att"], {tapped[-1]: before[-1]}))
    return h[-1], outputs[-1] if attends else None, taps
