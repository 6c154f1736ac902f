"""Layers: the initial parameters of each, and the function that builds its graph.

Shapes: T time-steps, B windows, L locations, D feature depth, d LSTM size, C classes. Gates stand side by side in the
order i, f, o, g. `params` is a dict name -> shared variable throughout; names are the released program's where it has
the parameter (src/actrec.py, param_init_fflayer and param_init_lstm_cond).
"""

import numpy as np
import pytensor
import pytensor.tensor as pt

from visual_attention.kernels import project, take, times, weighted_sum
from visual_attention.recurrence import Loop, Product

# ---------------------------------------------------------------- initial weights


class Zeros:
    """In place of a generator, for parameters of which only the shape is wanted."""

    def randn(self, *shape):
        return np.zeros(shape)

    def uniform(self, low, high, shape):
        return np.zeros(shape)


def ortho_weight(rng, ndim):
    """An orthogonal (ndim, ndim) matrix: left singular vectors of a normal one."""
    normal = rng.randn(ndim, ndim)
    return normal if isinstance(rng, Zeros) else np.linalg.svd(normal)[0]


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


def affine(x, W, b=0):
    """x W + b; x (..., nin) -> (..., nout)."""
    # all rows in one product: a batch of products would have as many gradients by W, to be summed
    y = x.reshape((-1, W.type.shape[0])) @ W + b
    return y.reshape((*x.shape[:-1], W.type.shape[1]))


def fflayer(params, x, prefix, activation=None):
    """activation(x W + b); x (..., nin) -> (..., nout)."""
    y = affine(x, params[f"{prefix}_W"], params[f"{prefix}_b"])
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


def mlp_projection(params, options, frames, seen=None, prefix="decoder"):
    """The part of mlp attention that depends on the frame alone; (n, L, D), seen (m,) -> (m, L, D), seen None: all.

    As released, nothing bends between Wc_att and the layer after it, nor after the last: the state is added first.
    The last layer's bias is left to `attend`, which adds it to the state: there are fewer of that.
    """
    projection, n = project(frames, params[f"{prefix}_Wc_att"], seen), options.n_layers_att
    for k in range(1, n):
        projection += params[_att_bias(prefix, k)]
        if 1 < k:
            projection = pt.tanh(projection)
        projection = affine(projection, params[f"{prefix}_W_att_{k}"])
    return projection


def _att_bias(prefix, n_layers_att):
    """Name of the last bias of so many layers of mlp attention."""
    return f"{prefix}_b_att" if n_layers_att == 1 else f"{prefix}_b_att_{n_layers_att - 1}"


def attend(params, options, frames, rows, h, prefix="decoder"):
    """Eqs. 4 and 5: the glimpse and what it shows. frames (n, L, D), rows (B,): those of this step; h (B, d): h_{t-1}
    of the top layer.

    Attention `location` is Eq. 4, softmax of W_i h; `mlp` the released code's, softmax of U tanh(projection + b + Wd h)
    + c (src/actrec.py, lstm_cond_layer).
    Returns a dict with alpha (B, L) and ctx (B, D), and what is in between: score (B, L), or as released pctx_ (B, L,
    D), the frames' projection, pstate, pctx_pre, pctx, alpha_pre.
    """
    if options.attention == "location":
        score = times(h, params[f"{prefix}_W_loc"])  # (B, L)
        now = {"score": score}
    else:
        pctx_ = mlp_projection(params, options, frames, rows, prefix)  # (B, L, D)
        pstate = times(h, params[f"{prefix}_Wd_att"])  # (B, D)
        pctx_pre = pctx_ + (pstate + params[_att_bias(prefix, options.n_layers_att)])[:, None, :]
        pctx = pt.tanh(pctx_pre)
        alpha_pre = pctx @ params[f"{prefix}_U_att"] + params[f"{prefix}_c_tt"]  # (B, L, 1)
        now = {"pctx_": pctx_, "pstate": pstate, "pctx_pre": pctx_pre, "pctx": pctx, "alpha_pre": alpha_pre}
        score = alpha_pre[:, :, 0]
    alpha = pt.special.softmax(score * options.temperature_inverse, axis=-1)
    return now | {"alpha": alpha, "ctx": weighted_sum(alpha, frames, rows)}


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


def lstm_step(params, x, h, c, mask, prefix="decoder"):
    """Eqs. 1-3, one layer, one step: x (B, nin), h and c (B, d), mask (B,). Mask 0 keeps h and c.

    Returns a dict: the new h and c (B, d), and as released preact (B, 4d) and the gates i, f, o; x and h side by side.
    """
    W, U, b = (params[f"{prefix}_{name}"] for name in "WUb")
    both = pt.concatenate([x, h], axis=1)  # (B, nin + d): one product, not two
    preact = times(both, pt.concatenate([W, U])) + b  # (B, 4d)
    i, f, o, g = pt.split(preact, [U.type.shape[0]] * 4, axis=1)
    i, f, o, g = pt.sigmoid(i), pt.sigmoid(f), pt.sigmoid(o), pt.tanh(g)
    keep = mask[:, None]
    c_new = keep * (f * c + i * g) + (1 - keep) * c
    h_new = keep * (o * pt.tanh(c_new)) + (1 - keep) * h
    return {"h": h_new, "c": c_new, "preact": preact, "i": i, "f": f, "o": o, "both": both}


def lstm_cond_step(params, options, table, rows, mask, dropout_bits, h, c, prefix="decoder"):
    """One time-step: look (Eqs. 4, 5), then the stack of LSTM layers (Eqs. 1-3).

    table: "frames" (n, L, D), or where nothing attends "pooled" (n, D); rows (B,): those of this step; mask (B,), h and
    c lists of (B, d), one a layer; dropout_bits: a list of packed masks, one a layer's input, or None.
    Returns all that was computed, by name: h, c, preact, ... of the first layer, h_2, ... of the second; h_before
    (B, d), h_{t-1} of the top layer; ctx (B, D), what the cube was pooled to, and all of `attend`.
    """
    now = {"h_before": h[-1]}
    if options.pooling == "attention":
        now |= attend(params, options, table["frames"], rows, h[-1], prefix)
    else:
        now["ctx"] = take(table["pooled"], rows)
    if options.selector:
        now["sel"] = pt.sigmoid((h[-1] @ params[f"{prefix}_W_sel"] + params[f"{prefix}_b_sel"])[:, 0])  # (B,)
        now["ctx"] = now["sel"][:, None] * now["ctx"]
    x = now["ctx"]
    for k in range(options.n_layers_lstm):
        if dropout_bits is not None:
            x = x * unpack(dropout_bits[k], options.ctx_dim if k == 0 else options.dim)
        layer = lstm_step(params, x, h[k], c[k], mask, layer_name(prefix, k))
        now |= {layer_name(name, k): value for name, value in layer.items()}
        x = layer["h"]
    return now


def lstm_cond_layer(
    params, options, table, index, mask, h0, c0, dropout=None, projected=None, wanted=(), prefix="decoder"
):
    """The loop over time; its `outputs` are those of `lstm_cond_step` at all steps, (T, B, ...): h and c of each layer,
    alpha, and whatever names are `wanted`. table: see `lstm_cond_step`, and "projection" (m, L, D), of mlp attention,
    from `mlp_projection`; index, mask and projected (T, B): rows of frames or what is pooled, and of the projection; h0
    and c0: lists of (B, d)."""
    n, (T, B), d = options.n_layers_lstm, index.type.shape, options.dim
    attends = options.pooling == "attention"
    h, c, preact, both = ([layer_name(name, k) for k in range(n)] for name in ("h", "c", "preact", "both"))
    in_lstm = dropout is not None and dropout.in_lstm
    bits = {f"bits_{k}": dropout.packed((T, B, d if k else options.ctx_dim)) for k in range(n)} if in_lstm else {}
    weights = {name: value for name, value in params.items() if name.startswith(prefix)}

    def known(now, constant):
        return {"pctx_": take(constant["projection"], now["projected"])} if "projection" in table else {}

    def step(now, before, constant):
        tables = {name: constant[name] for name in table}
        masks = [now[name] for name in bits] if in_lstm else None
        state = [before[name] for name in h], [before[name] for name in c]
        return lstm_cond_step(constant, options, tables, now["index"], now["mask"], masks, *state, prefix)

    products, kept = {}, [*preact, "ctx"]
    for k in range(n):
        name = layer_name(prefix, k)
        products[preact[k]] = Product(both[k], {f"{name}_W": d if k else options.ctx_dim, f"{name}_U": d}, f"{name}_b")
    if attends:
        if options.attention == "location":
            att, W, b = "score", "W_loc", None
        else:  # the bias is added right after it
            att, W, b = "pstate", "Wd_att", _att_bias(prefix, options.n_layers_att)
        products[att] = Product("h_before", {f"{prefix}_{W}": d}, b)
        kept += [att, "alpha"]
    if options.selector:
        kept.append("sel")
    sequences = {"index": index, "mask": mask, **bits} | ({"projected": projected} if "projection" in table else {})
    initial = dict(zip([*h, *c], [*h0, *c0], strict=True))
    return Loop(step, sequences, initial, table | weights, kept, wanted, products, known)


def gradients(cost, tparams, loop=None):
    """Gradients of the cost by all parameters, in order; through the `loop`, if there is one, by its own gradient."""
    params = list(tparams.values())
    if loop is None:
        return pytensor.grad(cost, params)
    by_outputs = dict(
        zip(
            loop.outputs,
            pytensor.grad(cost, list(loop.outputs.values()), return_disconnected="none", disconnected_inputs="ignore"),
            strict=True,
        )
    )
    by_outputs = {name: g for name, g in by_outputs.items() if g is not None}
    after = {name for product in loop.products.values() for name in (*product.weights, product.bias)}
    inside = [name for name in loop.weights if name in tparams and name not in after]
    through = loop.gradients(by_outputs, inside)
    # the way past the loop: what enters it has these gradients
    entering = [(value, through[name]) for name, value in loop.initial.items()]
    past = cost + sum((value * g).sum() for value, g in entering)
    constant = [*loop.outputs.values(), *(g for _, g in entering)]
    grads = dict(
        zip(tparams, pytensor.grad(past, params, consider_constant=constant, disconnected_inputs="ignore"), strict=True)
    )
    return [g + through[name].reshape(g.shape) if name in through else g for name, g in grads.items()]
