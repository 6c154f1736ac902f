"""Layers: the initial parameters of each, and the function that builds its graph.

Shapes: T time-steps, B windows, L locations, D feature depth, d LSTM size, C classes. Gates stand side by side in the
order i, f, o, g. `params` is a dict name -> shared variable throughout; names are the released program's where it has
the parameter (src/actrec.py, param_init_fflayer and param_init_lstm_cond).
"""

import numpy as np
import pytensor
import pytensor.tensor as pt

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
    """Dropout 0.5 with masks that come into the graph as bits, drawn by NumPy: `keep(x, "hidden", (T, B, 512))`.

    Eight masks fit a byte, so drawing and moving them costs next to nothing, every backend drops the same units, and
    a resumed run needs no generator's state: the bits of an update are a function of seed and update number.
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


def location_softmax(params, h, prefix="decoder"):
    """Eq. 4: softmax over locations of W_i h_{t-1}; h (B, d) of the top layer -> (B, L)."""
    return pt.special.softmax(h @ params[f"{prefix}_W_loc"], axis=-1)


def mlp_projection(params, cubes, prefix="decoder"):
    """The part of mlp attention that depends on the cube alone; (..., L, D) -> (..., L, D)."""
    return cubes @ params[f"{prefix}_Wc_att"] + params[f"{prefix}_b_att"]


def mlp_softmax(params, projection, h, prefix="decoder"):
    """The released code's attention: softmax of U tanh(projection + Wd h) + c; (B, L, D), (B, d) -> (B, L)."""
    state = h @ params[f"{prefix}_Wd_att"]  # (B, D)
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


def lstm_step(params, x, h, c, mask, prefix="decoder"):
    """Eqs. 1-3, one layer, one step: x (B, nin), h and c (B, d), mask (B,) -> new h and c. Mask 0 keeps them."""
    d = h.type.shape[1]
    preact = x @ params[f"{prefix}_W"] + h @ params[f"{prefix}_U"] + params[f"{prefix}_b"]  # (B, 4d)
    i, f, o = (pt.sigmoid(preact[:, k * d : (k + 1) * d]) for k in range(3))
    g = pt.tanh(preact[:, 3 * d :])
    c_new = f * c + i * g
    h_new = o * pt.tanh(c_new)
    keep = mask[:, None]
    return keep * h_new + (1 - keep) * h, keep * c_new + (1 - keep) * c


def lstm_cond_step(params, options, cubes, projection, mask, dropout_bits, h, c, prefix="decoder"):
    """One time-step: look (Eqs. 4, 5), then the stack of LSTM layers (Eqs. 1-3).

    cubes (B, L, D), mask (B,), h and c lists of (B, d), one a layer; projection (B, L, D) or None (see mlp_projection);
    dropout_bits: a list of packed masks, one a layer's input, or None. Returns new h and c, and alpha (B, L) or None.
    """
    alpha = None
    if options.pooling == "mean":
        x = cubes.mean(axis=1)
    elif options.pooling == "max":
        x = cubes.max(axis=1)
    else:
        alpha = location_softmax(params, h[-1]) if projection is None else mlp_softmax(params, projection, h[-1])
        x = weighted_sum(alpha, cubes)
    h, c = list(h), list(c)
    for k in range(options.n_layers_lstm):
        if dropout_bits is not None:
            x = x * unpack(dropout_bits[k], options.ctx_dim if k == 0 else options.dim)
        h[k], c[k] = lstm_step(params, x, h[k], c[k], mask, layer_name(prefix, k))
        x = h[k]
    return h, c, alpha


def lstm_cond_layer(params, options, frames, index, mask, h0, c0, dropout=None, prefix="decoder"):
    """The loop over time. frames (n, L, D), index and mask (T, B), h0 and c0 lists of (B, d).

    Returns h (T, B, d) of the top layer and alpha (T, B, L), None where nothing attends. The step fetches its cubes
    by index: as a sequence of the scan they would be copied in reverse for the gradient.
    """
    n, (T, B) = options.n_layers_lstm, index.type.shape
    sequences = {"index": index, "mask": mask}
    if options.pooling == "attention" and options.attention == "mlp":
        # one matmul for all steps; h does not enter it
        cubes = frames[index].astype(pytensor.config.floatX)  # (T, B, L, D)
        sequences["projection"] = mlp_projection(params, cubes)
    if dropout is not None:
        for k in range(n):
            sequences[f"bits_{k}"] = dropout.packed((T, B, options.ctx_dim if k == 0 else options.dim))
    weights = {name: value for name, value in params.items() if name.startswith(prefix)}

    def step(*args):
        args = iter(args)
        now = {name: next(args) for name in sequences}
        h, c = [next(args) for _ in range(n)], [next(args) for _ in range(n)]
        table = next(args)
        cubes = table[now["index"]].astype(pytensor.config.floatX)  # (B, L, D)
        bits = None if dropout is None else [now[f"bits_{k}"] for k in range(n)]
        inner = dict(zip(weights, args, strict=True))
        h, c, alpha = lstm_cond_step(inner, options, cubes, now.get("projection"), now["mask"], bits, h, c, prefix)
        return [*h, *c] + ([] if alpha is None else [alpha])

    attends = options.pooling == "attention"
    outputs = pytensor.scan(
        step,
        sequences=list(sequences.values()),
        outputs_info=[*h0, *c0] + [None] * attends,
        non_sequences=[frames, *weights.values()],
        strict=True,
        n_steps=T,
        return_updates=False,
    )
    return outputs[n - 1], outputs[2 * n] if attends else None
