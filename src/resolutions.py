"""Two layers of a network at once, a coarse and a fine one: glimpses choose between two resolutions.

Layer k gives features F (B, L_k, D_k), the coarse layer first. A learned projection V_k (D_k, D) to a common depth
makes them the cube of the other equations: X_{t,i} = F_{t,i} V_k, where k is the layer of location i, one of
L = L_1 + L_2. F of two layers is a list. With a single layer F is no list, there is no V, and X = F.
"""

import pytensor.tensor as pt

from visual_attention import attention
from visual_attention.layers import affine, norm_weight

PROJECTIONS = ("decoder_V", "decoder_V_fine")


def resolution_params(options, rng):
    depths, D, init = (options.ctx_dim, options.fine_dim), options.common_dim, options.init
    params = {name: norm_weight(rng, n, D, init=init) for name, n in zip(PROJECTIONS, depths, strict=True)}
    if options.resolutions == "choose":
        params["decoder_W_layer"] = norm_weight(rng, options.dim, 2, ortho=False, init=init)
    return params


def projected(params, F):
    """X_{t,i} = F_{t,i} V_k: the cubes (B, L, D)."""
    if not isinstance(F, list):
        return F
    return pt.concatenate([affine(F_k, params[V]) for F_k, V in zip(F, PROJECTIONS, strict=True)], axis=1)


def attended(params, alpha, F):
    """Eq. 5, x_t = sum over i of l_{t,i} X_{t,i} = sum over k of (sum over i of layer k of l_{t,i} F_{t,i}) V_k.

    alpha (B, L) -> (B, D).
    """
    if not isinstance(F, list):
        return attention.attended(alpha, F)
    parts = of_layers(alpha, [F_k.type.shape[1] for F_k in F])
    sums = [attention.attended(part, F_k) for part, F_k in zip(parts, F, strict=True)]
    return sum(affine(x, params[V]) for x, V in zip(sums, PROJECTIONS, strict=True))


def mean_vector(params, F, axis):
    """The mean of X over locations, and steps if there are any: axis 1, or (0, 2) of (T, B, L, D) -> (B, D)."""
    if not isinstance(F, list):
        return F.mean(axis=axis)
    sizes = [F_k.type.shape[-2] for F_k in F]
    return sum(
        n / sum(sizes) * affine(F_k.mean(axis=axis), params[V]) for n, F_k, V in zip(sizes, F, PROJECTIONS, strict=True)
    )


def layer_then_place(params, options, h, alpha):
    """Two softmaxes: the glimpse first chooses a layer k, then a location i of it. l_{t,i} = p_k q_i.

    p = softmax over the two layers of W h_{t-1}. q is the softmax over the locations of layer k alone: it is alpha,
    the softmax over all locations, divided by its sum over layer k. h (B, d), alpha (B, L) -> (B, L).
    """
    p = pt.special.softmax(pt.dot(h, params["decoder_W_layer"]), axis=-1)  # (B, 2)
    parts = of_layers(alpha, [options.n_locations, options.fine_locations])
    smallest = 1e-30  # keeps 0 / 0 away
    q = [part / (part.sum(axis=1, keepdims=True) + smallest) for part in parts]
    return pt.concatenate([p[:, :1] * q[0], p[:, 1:] * q[1]], axis=1)


def of_layers(alpha, sizes):
    """The parts of a glimpse (B, L_1 + L_2) that belong to each layer: (B, L_1), (B, L_2)."""
    return pt.split(alpha, sizes, axis=1)
