"""Products with cubes and products of few rows, in the form that XLA computes fastest on a CPU.

Each is an Op that replaces plain Ops of a graph (`rewrites.py`). Its `compute` states in NumPy what it computes. The
function registered for it below computes the same on JAX. On a GPU the plain form is the fastest, and is used.

Cubes stay in the frame table, in its precision. They are converted a few at a time, so that they are still in the
processor's cache when they are multiplied. Shapes: frames (n, L, D), rows (B,).
"""

import jax
import jax.numpy as jnp
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op
from pytensor.link.jax.dispatch import jax_funcify
from pytensor.tensor.type import tensor


class Kernel(Op):
    """An Op whose output has the precision of its first input. Subclasses define `shape` and `compute`, which map the
    inputs' shapes to the output's, and the inputs, NumPy arrays, to the output."""

    __props__ = ()

    def make_node(self, *inputs):
        shape = self.shape(*(v.type.shape for v in inputs))
        return Apply(self, list(inputs), [tensor(dtype=inputs[0].type.dtype, shape=shape)])

    def perform(self, node, inputs, outputs):
        outputs[0][0] = self.compute(*inputs).astype(node.outputs[0].dtype)


class FewRowsDot(Kernel):
    """x V^T; x (B, n), V (m, n) -> (B, m).

    It is computed as (V x^T)^T. For V of 2048 x 1536, XLA takes 0.65 of the time of the plain form if B is 32, and 0.9
    if B is 128.
    """

    shape = staticmethod(lambda x, V: (x[0], V[0]))
    compute = staticmethod(lambda x, V: x @ V.T)


class WeightedSum(Kernel):
    """Eq. 5: alpha_b X_b for each b, where X = frames[rows]; alpha (B, L) -> (B, D)."""

    shape = staticmethod(lambda alpha, frames, rows: (alpha[0], frames[2]))
    compute = staticmethod(lambda alpha, frames, rows: (alpha[:, None] @ frames[rows].astype(alpha.dtype))[:, 0])


class LocationScores(Kernel):
    """X_b v_b for each b, where X = frames[rows]; v (B, D) -> (B, L). WeightedSum's gradient with respect to alpha."""

    shape = staticmethod(lambda v, frames, rows: (v[0], frames[1]))
    compute = staticmethod(lambda v, frames, rows: (frames[rows].astype(v.dtype) @ v[:, :, None])[:, :, 0])


class CubesDot(Kernel):
    """X W, where X = frames[rows]; W (D, k) -> (B, L, k). The projection of cubes in attention `mlp`."""

    shape = staticmethod(lambda W, frames, rows: (rows[0], frames[1], W[1]))
    compute = staticmethod(lambda W, frames, rows: frames[rows].astype(W.dtype) @ W)


class CubesOuter(Kernel):
    """X^T Y, a sum over rows and locations; Y (B, L, k) -> (D, k). CubesDot's gradient with respect to W."""

    shape = staticmethod(lambda Y, frames, rows: (frames[2], Y[2]))

    @staticmethod
    def compute(Y, frames, rows):
        X = frames[rows].astype(Y.dtype)
        return X.reshape(-1, X.shape[2]).T @ Y.reshape(-1, Y.shape[2])


class Largest(Op):
    """The columns of the k largest entries of each row, largest first; (B, L) -> (B, k).

    XLA sorts whole rows for this, unless it is asked for k entries.
    """

    __props__ = ("k",)

    def __init__(self, k):
        self.k = k

    def make_node(self, x):
        return Apply(self, [x], [tensor(dtype="int64", shape=(x.type.shape[0], self.k))])

    def perform(self, node, inputs, outputs):
        outputs[0][0] = (-inputs[0]).argsort(axis=1, kind="stable")[:, : self.k]


class FrameSums(Op):
    """Sums over locations of all frames, (n, L, D) -> (n, D), in the precision `dtype`.

    It is computed as a product with ones. XLA's sum takes 15 times as long.
    """

    __props__ = ("dtype",)

    def __init__(self, dtype):
        self.dtype = dtype

    def make_node(self, frames):
        n, _, depth = frames.type.shape
        return Apply(self, [frames], [tensor(dtype=self.dtype, shape=(n, depth))])

    def perform(self, node, inputs, outputs):
        outputs[0][0] = inputs[0].sum(axis=1, dtype=self.dtype)


# ---------------------------------------------------------------- on JAX


def on_cpu():
    """Whether there is a single CPU device. Groups of rows would cut across the parts that several devices take."""
    return jax.default_backend() == "cpu" and jax.device_count() == 1


def take_rows(frames, rows):
    """frames[rows]. JAX's default mode would check every row that it copies for being out of range."""
    return jnp.take(frames, rows, axis=0, mode="clip")


def group_size(n, most):
    """The largest divisor of n that is at most `most`; n where groups do not help."""
    return next(g for g in range(min(n, max(1, most)), 0, -1) if n % g == 0) if on_cpu() else n


def in_groups(function, x, frames, rows):
    """function(x, frames[rows]), computed with about 4 MB of converted cubes at a time."""
    n = len(rows)
    size = group_size(n, 4_000_000 // (frames[0].size * x.dtype.itemsize))

    def group(part):
        x, rows = part
        return function(x, take_rows(frames, rows).astype(x.dtype))

    if size == n:
        return group((x, rows))
    return jax.lax.map(group, (x.reshape(-1, size, x.shape[1]), rows.reshape(-1, size))).reshape(n, -1)


def few_rows_dot(x, V):
    if not on_cpu():
        return x @ V.T
    # Without the barrier, XLA would undo the transposition.
    return jax.lax.optimization_barrier(V @ x.T).T


def weighted_sum(alpha, frames, rows):
    return in_groups(lambda alpha, X: (alpha[:, None, :] @ X)[:, 0, :], alpha, frames, rows)


def location_scores(v, frames, rows):
    return in_groups(lambda v, X: (X @ v[:, :, None])[:, :, 0], v, frames, rows)


def cubes_dot(W, frames, rows):
    m, (_, n_locations, depth) = len(rows), frames.shape
    size = group_size(m, 512 // n_locations)  # products of about 512 rows are the fastest

    def group(rows):
        return take_rows(frames, rows).astype(W.dtype).reshape(-1, depth) @ W

    return jax.lax.map(group, rows.reshape(-1, size)).reshape(m, n_locations, -1)


def cubes_outer(Y, frames, rows):
    m, (_, n_locations, depth), k = len(rows), frames.shape, Y.shape[-1]
    size = group_size(m, 3072 // n_locations)

    def product(rows, Y):
        return take_rows(frames, rows).astype(Y.dtype).reshape(-1, depth).T @ Y

    if size == m:
        return product(rows, Y.reshape(-1, k))
    parts = rows.reshape(-1, size), Y.reshape(-1, size * n_locations, k)
    return jax.lax.scan(lambda s, part: (s + product(*part), None), jnp.zeros((depth, k), Y.dtype), parts)[0]


@jax_funcify.register(Largest)
def jax_largest(op, node, **kwargs):
    return lambda x: jax.lax.top_k(x, op.k)[1]


@jax_funcify.register(FrameSums)
def jax_frame_sums(op, node, **kwargs):
    def frame_sums(frames):
        n, n_locations, _ = frames.shape
        # A multiple of 16 has divisors, so there are groups. Rows beyond n are clipped, and their sums are dropped.
        rows = jnp.arange(-(-n // 16) * 16)
        return weighted_sum(jnp.ones((len(rows), n_locations), op.dtype), frames, rows)[:n]

    return frame_sums


FUNCTIONS = {
    FewRowsDot: few_rows_dot, WeightedSum: weighted_sum, LocationScores: location_scores, CubesDot: cubes_dot,
    CubesOuter: cubes_outer,
}  # fmt: skip
for kernel, function in FUNCTIONS.items():
    jax_funcify.register(kernel, lambda op, node, function=function, **kwargs: function)
