"""Products that PyTensor's JAX backend states in a way XLA computes slowly, each as an Op of its own.

`perform` says in NumPy what an Op computes, and is what C and NUMBA call; `jax_...` how XLA does it fast on a CPU.
On a GPU the plain form is the fast one.
"""

import jax
import jax.numpy as jnp
import numpy as np
from pytensor.gradient import DisconnectedType
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op
from pytensor.link.jax.dispatch import jax_funcify
from pytensor.tensor.type import tensor


def times(x, W):
    """x W for a few rows x (B, n); W (n, m), which should not change from step to step."""
    return FewRowsDot()(x, W.T)


def weighted_sum(alpha, frames, rows):
    """Eq. 5 without a copy of the cubes in floatX: alpha (B, L), frames (n, L, D), rows (B,) -> (B, D)."""
    return WeightedSum()(alpha, frames, rows)


def take(frames, rows):
    """frames[rows] for rows (B,) that are all there, and no gradient by the frames."""
    return TakeRows()(frames, rows)


def project(frames, W, rows=None):
    """X W for many cubes; X = frames (n, L, D), or frames[rows] (m, L, D), W (D, k) -> (n or m, L, k)."""
    return CubesDot()(frames, W, *([] if rows is None else [rows]))


class FewRowsDot(Op):
    """x V^T for x (B, n) and V (m, n). As (V x^T)^T, V being 2048 x 1536, it takes XLA 0.65 of the time for B = 32, 0.9
    for B = 128; with much smaller matrices nothing is gained."""

    __props__ = ()

    def make_node(self, x, V):
        return Apply(self, [x, V], [tensor(dtype=x.type.dtype, shape=(x.type.shape[0], V.type.shape[0]))])

    def perform(self, node, inputs, outputs):
        outputs[0][0] = inputs[0] @ inputs[1].T

    def infer_shape(self, fgraph, node, shapes):
        return [(shapes[0][0], shapes[1][0])]

    def pullback(self, inputs, outputs, grads):
        x, V = inputs
        return [FewRowsDot()(grads[0], V.T), grads[0].T @ x]


class TakeRows(Op):
    """frames[rows]; (n, ...), (B,) -> (B, ...)."""

    __props__ = ()

    def make_node(self, frames, rows):
        shape = (rows.type.shape[0], *frames.type.shape[1:])
        return Apply(self, [frames, rows], [tensor(dtype=frames.type.dtype, shape=shape)])

    def perform(self, node, inputs, outputs):
        outputs[0][0] = inputs[0][inputs[1]]

    def infer_shape(self, fgraph, node, shapes):
        return [(shapes[1][0], *shapes[0][1:])]

    def connection_pattern(self, node):
        return [[False], [False]]


class WeightedSum(Op):
    """alpha_b X_b for each b, X = frames[rows]."""

    __props__ = ()

    def make_node(self, alpha, frames, rows):
        shape = (alpha.type.shape[0], frames.type.shape[2])
        return Apply(self, [alpha, frames, rows], [tensor(dtype=alpha.type.dtype, shape=shape)])

    def perform(self, node, inputs, outputs):
        alpha, frames, rows = inputs
        outputs[0][0] = (alpha[:, None, :] @ frames[rows].astype(alpha.dtype))[:, 0, :]

    def infer_shape(self, fgraph, node, shapes):
        return [(shapes[0][0], shapes[1][2])]

    def pullback(self, inputs, outputs, grads):
        return [LocationScores()(grads[0], *inputs[1:]), DisconnectedType()(), DisconnectedType()()]

    def connection_pattern(self, node):
        return [[True], [False], [False]]


class LocationScores(Op):
    """X_b v_b for each b, X = frames[rows]: the gradient of WeightedSum by alpha. v (B, D) -> (B, L)."""

    __props__ = ()

    def make_node(self, v, frames, rows):
        shape = (v.type.shape[0], frames.type.shape[1])
        return Apply(self, [v, frames, rows], [tensor(dtype=v.type.dtype, shape=shape)])

    def perform(self, node, inputs, outputs):
        v, frames, rows = inputs
        outputs[0][0] = (frames[rows].astype(v.dtype) @ v[:, :, None])[:, :, 0]

    def infer_shape(self, fgraph, node, shapes):
        return [(shapes[0][0], shapes[1][1])]


class CubesDot(Op):
    """X W; X = frames (n, L, D), or frames[rows] (m, L, D), and W (D, k) -> (n or m, L, k)."""

    __props__ = ()

    def make_node(self, frames, W, *rows):
        n = (rows or [frames])[0].type.shape[0]
        out = tensor(dtype=W.type.dtype, shape=(n, frames.type.shape[1], W.type.shape[1]))
        return Apply(self, [frames, W, *rows], [out])

    def perform(self, node, inputs, outputs):
        frames, W, *rows = inputs
        outputs[0][0] = (frames[rows[0]] if rows else frames).astype(W.dtype) @ W

    def infer_shape(self, fgraph, node, shapes):
        frames, W, *rows = shapes
        return [((rows or [frames])[0][0], frames[1], W[1])]

    def pullback(self, inputs, outputs, grads):
        frames, W, *rows = inputs
        return [DisconnectedType()(), CubesOuter()(frames, grads[0], *rows), *(DisconnectedType()() for _ in rows)]

    def connection_pattern(self, node):
        return [[False], [True], [False]][: len(node.inputs)]


class CubesOuter(Op):
    """X^T Y over all rows and locations, the gradient of CubesDot by W. Y (n or m, L, k) -> (D, k)."""

    __props__ = ()

    def make_node(self, frames, Y, *rows):
        shape = (frames.type.shape[2], Y.type.shape[2])
        return Apply(self, [frames, Y, *rows], [tensor(dtype=Y.type.dtype, shape=shape)])

    def perform(self, node, inputs, outputs):
        frames, Y, *rows = inputs
        X = (frames[rows[0]] if rows else frames).astype(Y.dtype)
        outputs[0][0] = X.reshape(-1, X.shape[2]).T @ Y.reshape(-1, Y.shape[2])

    def infer_shape(self, fgraph, node, shapes):
        return [(shapes[0][2], shapes[1][2])]


# ---------------------------------------------------------------- for JAX


def _on_cpu():
    return jax.default_backend() == "cpu" and jax.device_count() == 1


@jax_funcify.register(FewRowsDot)
def jax_few_rows_dot(op, node, **kwargs):
    def plain(x, V):
        return x @ V.T

    def turned(x, V):
        # without the barrier XLA would turn the product back
        return jax.lax.optimization_barrier(V @ x.T).T

    return turned if _on_cpu() else plain


def take_rows(frames, rows):
    """frames[rows]; the default of JAX looks for rows out of range in everything it has copied."""
    return jnp.take(frames, rows, axis=0, mode="clip")


@jax_funcify.register(TakeRows)
def jax_take_rows(op, node, **kwargs):
    return take_rows


def group_size(n, most):
    """The largest divisor of n up to `most`; n itself where groups would not help."""
    return next(g for g in range(min(n, max(1, most)), 0, -1) if n % g == 0) if _on_cpu() else n


def in_groups(function, x, frames, rows):
    """function(x, frames[rows]) some rows at a time, so that the copy of these cubes stays in the cache."""
    n = len(rows)
    size = group_size(n, 4_000_000 // (frames[0].size * x.dtype.itemsize))

    def group(part):
        x, rows = part
        return function(x, take_rows(frames, rows).astype(x.dtype))

    if size == n:
        return group((x, rows))
    return jax.lax.map(group, (x.reshape(-1, size, x.shape[1]), rows.reshape(-1, size))).reshape(n, -1)


def _weighted(alpha, cubes):
    return (alpha[:, None, :] @ cubes)[:, 0, :]


@jax_funcify.register(WeightedSum)
def jax_weighted_sum(op, node, **kwargs):
    return lambda alpha, frames, rows: in_groups(_weighted, alpha, frames, rows)


@jax_funcify.register(LocationScores)
def jax_location_scores(op, node, **kwargs):
    def of_cubes(v, cubes):
        return (cubes @ v[:, :, None])[:, :, 0]

    return lambda v, frames, rows: in_groups(of_cubes, v, frames, rows)


@jax_funcify.register(CubesDot)
def jax_cubes_dot(op, node, **kwargs):
    def cubes_dot(frames, W, rows=None):
        rows = jnp.arange(len(frames)) if rows is None else rows
        m, (_, n_locations, depth) = len(rows), frames.shape
        size = group_size(m, 512 // n_locations)  # products of some 512 rows are the fastest

        def group(rows):
            return take_rows(frames, rows).astype(W.dtype).reshape(-1, depth) @ W

        return jax.lax.map(group, rows.reshape(-1, size)).reshape(m, n_locations, -1)

    return cubes_dot


@jax_funcify.register(CubesOuter)
def jax_cubes_outer(op, node, **kwargs):
    def cubes_outer(frames, Y, rows=None):
        rows = jnp.arange(len(frames)) if rows is None else rows
        m, (_, n_locations, depth), k = len(rows), frames.shape, Y.shape[-1]
        size = group_size(m, 3072 // n_locations)

        def product(rows, Y):
            return take_rows(frames, rows).astype(Y.dtype).reshape(-1, depth).T @ Y

        if size == m:
            return product(rows, Y.reshape(-1, k))
        parts = rows.reshape(-1, size), Y.reshape(-1, size * n_locations, k)
        return jax.lax.scan(lambda s, part: (s + product(*part), None), jnp.zeros((depth, k), Y.dtype), parts)[0]

    return cubes_outer


def frame_means(frames, floatX):
    """Means over locations of each frame, (n, L, D) -> (n, D), where the frames are; NumPy or JAX."""
    if isinstance(frames, np.ndarray):
        return frames.mean(axis=1, dtype=floatX)
    return _frame_means(frames, floatX)


@jax.jit(static_argnums=1)
def _frame_means(frames, floatX):
    n, n_locations, _ = frames.shape
    alpha = jnp.full((n, n_locations), 1 / n_locations, floatX)
    return in_groups(_weighted, alpha, frames, jnp.arange(n))
