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


class FewRowsDot(Op):
    """x V^T for x (B, n) and V (m, n). As (V x^T)^T it takes XLA 0.6 to 0.9 of the time where B is small."""

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


def in_groups(function, x, frames, rows):
    """function(x, frames[rows]) some rows at a time, so that the copy of these cubes stays in the cache."""
    n, bytes_a_row = len(rows), frames[0].size * x.dtype.itemsize
    size = next((g for g in range(min(n, max(1, 4_000_000 // bytes_a_row)), 0, -1) if n % g == 0), n)
    if not _on_cpu() or size == n:
        return function(x, take_rows(frames, rows).astype(x.dtype))

    def group(part):
        x, rows = part
        return function(x, take_rows(frames, rows).astype(x.dtype))

    out = jax.lax.map(group, (x.reshape(-1, size, x.shape[1]), rows.reshape(-1, size)))
    return out.reshape(n, -1)


@jax_funcify.register(WeightedSum)
def jax_weighted_sum(op, node, **kwargs):
    def of_cubes(alpha, cubes):
        return (alpha[:, None, :] @ cubes)[:, 0, :]

    return lambda alpha, frames, rows: in_groups(of_cubes, alpha, frames, rows)


@jax_funcify.register(LocationScores)
def jax_location_scores(op, node, **kwargs):
    def of_cubes(v, cubes):
        return (cubes @ v[:, :, None])[:, :, 0]

    return lambda v, frames, rows: in_groups(of_cubes, v, frames, rows)


def frame_means(frames, floatX):
    """Means over locations of each frame, (n, L, D) -> (n, D), where the frames are; NumPy or JAX."""
    if isinstance(frames, np.ndarray):
        return frames.mean(axis=1, dtype=floatX)
    return _frame_means(frames, floatX)


@jax.jit(static_argnums=1)
def _frame_means(frames, floatX):
    n, n_locations, _ = frames.shape
    alpha = jnp.full((n, n_locations), 1 / n_locations, floatX)
    return in_groups(lambda alpha, cubes: (alpha[:, None, :] @ cubes)[:, 0, :], alpha, frames, jnp.arange(n))
