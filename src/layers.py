"""Building blocks: initial weights, affine layers, dropout.

Functions that initialize take and return dicts name -> array. Functions that build a graph take `params`, name ->
symbolic variable. Parameters that the released program also has carry its names (its src/actrec.py, param_init_fflayer
and fflayer).
"""

import numpy as np
import pytensor
import pytensor.tensor as pt
from scipy.linalg import lapack

# ---------------------------------------------------------------- initial weights


class Zeros:
    """Replaces a random generator if only the shapes of parameters are needed. Its arrays take no memory."""

    def randn(self, *shape):
        return np.broadcast_to(0.0, shape)


def ortho_weight(rng, ndim, init="released"):
    """A random orthogonal (ndim, ndim) matrix, from a matrix of N(0, 1).

    By init `released` these are its left singular vectors, as in the released program. By init `glorot` it is Q of its
    QR decomposition, with the signs that make all orthogonal matrices equally likely (Mezzadri 2007). That is several
    times faster for large matrices.
    """
    normal = rng.randn(ndim, ndim)
    if isinstance(rng, Zeros):
        return normal
    if init == "released":
        return np.linalg.svd(normal)[0]
    # What numpy.linalg.qr computes, without its copies and R.
    reflectors, tau, *_ = lapack.dgeqrf(normal, lwork=64 * ndim)
    signs = np.sign(np.diag(reflectors))  # the diagonal of R
    return lapack.dorgqr(reflectors, tau, lwork=64 * ndim, overwrite_a=True)[0] * signs


def norm_weight(rng, nin, nout, ortho=True, init="released"):
    """Weights (nin, nout): orthogonal if square and `ortho`; else by init `released` 0.01 N(0, 1), or by init `glorot`
    uniform within +-sqrt(6 / (nin + nout)) (Glorot & Bengio 2010, Eq. 16)."""
    if isinstance(rng, Zeros):
        return rng.randn(nin, nout)
    if nin == nout and ortho:
        return ortho_weight(rng, nin, init)
    if init == "glorot":
        return rng.uniform(-1, 1, (nin, nout)) * np.sqrt(6 / (nin + nout))
    return 0.01 * rng.randn(nin, nout)


def param_init_fflayer(params, prefix, rng, nin, nout, init):
    """Adds W (nin, nout) and b (nout,) of an affine layer to params."""
    params[f"{prefix}_W"] = norm_weight(rng, nin, nout, init=init)
    params[f"{prefix}_b"] = np.zeros(nout)


def init_tparams(params):
    """name -> array becomes name -> shared variable of static shape, which takes the array without copying it."""
    return {name: pytensor.shared(value, name, shape=value.shape, borrow=True) for name, value in params.items()}


# ---------------------------------------------------------------- layers


def named(name, variable):
    """Names a variable and returns it. Names show in printed graphs, and `actrec.loop` records variables by name."""
    variable.name = name
    return variable


def relu(x):
    return pt.maximum(x, 0)


def affine(x, W, b=0):
    """x W + b; x (..., n_in), W (n_in, n_out) -> (..., n_out)."""
    return pt.dot(x, W) + b


def fflayer(params, x, prefix, activation=lambda y: y):
    """activation(x W + b); x (..., n_in) -> (..., n_out)."""
    return activation(affine(x, params[f"{prefix}_W"], params[f"{prefix}_b"]))


# ---------------------------------------------------------------- dropout


def dropout_shapes(options):
    """Shapes of the dropout masks of an update, in the order of drawing, by the name of what each mask multiplies."""
    T, B, D, d = options.maxlen, options.batch_size, options.depth, options.dim
    if not options.use_dropout or options.pooling == "cube":
        return {}
    shapes = {f"ff_init_{k}": (B, D) for k in range(1, options.n_layers_init)}
    if options.dropout == "paper":
        shapes |= {layer_name("x", k): (T, B, d if k else D) for k in range(options.n_layers_lstm)}
    shapes["h"] = (T, B, d)
    if options.ctx2out and options.dropout == "paper":
        shapes["ctx"] = (T, B, D)
    shapes["ff_logit_lstm"] = (T, B, options.dim_out)
    return shapes | {f"ff_logit_h{k}": (T, B, options.dim_out) for k in range(1, options.n_layers_out)}


def dropout(x, options, mask=None):
    """Dropout 0.5: x times a mask of 0 and 1, or in testing (mask None) the expectation.

    Option dropout `paper` doubles what remains, so that nothing is done in testing. `released`, the released program's
    convention, doubles nothing in training and halves x in testing.
    """
    if mask is None:
        return x / 2 if options.use_dropout and options.dropout == "released" else x
    dropped = x * mask.astype(x.dtype)
    return 2 * dropped if options.dropout == "paper" else dropped


def layer_name(prefix, k):
    """The name of layer k of a stack, from 0. The first has the released program's name: decoder, decoder_2, ..."""
    return prefix if k == 0 else f"{prefix}_{k + 1}"
