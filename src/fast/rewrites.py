"""The rewrites of the speed layer: from the graph as the equations state it to the graph that JAX compiles."""

import pytensor.tensor as pt
from pytensor.compile.mode import JAX
from pytensor.graph.rewriting.basic import MergeOptimizer, dfs_rewriter, node_rewriter
from pytensor.scalar.basic import Add, Cast, Neg
from pytensor.tensor.blas import BatchedDot
from pytensor.tensor.elemwise import DimShuffle, Elemwise
from pytensor.tensor.math import Dot, Sum
from pytensor.tensor.shape import Reshape
from pytensor.tensor.sort import ArgSortOp
from pytensor.tensor.subtensor import AdvancedSubtensor, Subtensor, indices_from_subtensor

from visual_attention.fast.frames import compute_once_per_frame, sum_over_locations, taken_rows, vector_of_rows
from visual_attention.fast.kernels import (
    CubesDot,
    CubesOuter,
    FewRowsDot,
    FrameSums,
    Largest,
    LocationScores,
    WeightedSum,
)
from visual_attention.fast.loops import Loop, replace, restate_loops, with_constants

# PyTensor's rewrites for JAX, except fusion, which is XLA's task, and those of Scans, which have become Loops.
PYTENSOR_REWRITES = JAX.excluding("fusion", "scan")
FEW_ROWS = 256  # a product with at most this many rows in its left factor is computed by FewRowsDot


def rewrite(graph, frames, predicts):
    """Rewrites a FunctionGraph in place, in this order:

    1. The mean over steps and locations (Eq. 6) becomes a mean over locations per frame, then a mean over steps.
    2. Scans become Loops, while they still are as `pytensor.grad` made them.
    3. PyTensor's rewrites simplify the graph and the step of each Loop.
    4. What depends on a frame alone is computed once per frame.
    5. Products and sums of cubes become kernels, and products of few rows are joined. Of cubes of which only some
       locations are used, only these are read.

    frames: the inputs that are frame tables. predicts: whether the function predicts. Then `frames` hold only the
    frames of the batch, so that a function of all of them computes nothing in vain.
    """
    MergeOptimizer().rewrite(graph)  # replacing placeholders of gradients leaves copies of the forward Scan
    dfs_rewriter(sum_over_locations).rewrite(graph)
    restate_loops(graph)
    PYTENSOR_REWRITES.optimizer.rewrite(graph)
    dfs_rewriter(vector_of_rows).rewrite(graph)
    loops = [node for node in graph.toposort() if isinstance(node.op, Loop)]
    for node in loops:
        PYTENSOR_REWRITES.optimizer.rewrite(node.op.inner)
    for table in frames:
        compute_once_per_frame(graph, table, predicts)
    for node in graph.toposort():
        if isinstance(node.op, Loop):
            dfs_rewriter(features_of_cubes, largest_weights).rewrite(node.op.inner)
            dfs_rewriter(products_with_cubes, sums_of_cubes, thin_products).rewrite(node.op.inner)
            join_products(graph, node)
    dfs_rewriter(products_with_cubes, sums_of_cubes).rewrite(graph)


def is_cast(node):
    return isinstance(node.op, Elemwise) and isinstance(node.op.scalar_op, Cast)


def taken_cubes(variable):
    """(frames, rows, is_transposed) if the variable is frames[rows] or its transpose, else None.

    It may be converted to another precision, and have the shape (B, L, D) or (B L, D).
    """
    is_transposed, is_reshaped, node = False, False, variable.owner
    while node and not taken_rows(node):
        if transposed(variable) is not None and not is_reshaped:
            is_transposed = not is_transposed
        elif isinstance(node.op, Reshape) and node.outputs[0].type.shape[-1] == node.inputs[0].type.shape[-1]:
            is_reshaped = True  # Cubes that were transposed before they were reshaped do not have this form.
        elif not is_cast(node):
            return None
        variable, node = node.inputs[0], node.inputs[0].owner
    if node and node.inputs[0].type.ndim == 3 and node.inputs[1].type.shape[0]:
        return *node.inputs, is_transposed


def transposed(variable):
    """The x of which the variable is the transpose, for a matrix or a stack of matrices; else None."""
    node, n = variable.owner, variable.type.ndim
    if node and isinstance(node.op, DimShuffle) and n > 1 and node.op.new_order[-2:] == (n - 1, n - 2):
        return node.inputs[0]


@node_rewriter([Dot, BatchedDot])
def products_with_cubes(fgraph, node):
    """Products with cubes become kernels, which convert a few cubes at a time."""
    x, y = node.inputs
    if isinstance(node.op, BatchedDot) and x.type.shape[1] == 1 and (cubes := taken_cubes(y)):
        frames, rows, is_transposed = cubes
        vectors = x.reshape((x.type.shape[0], x.type.shape[2]))
        kernel = LocationScores() if is_transposed else WeightedSum()
        return [kernel(vectors, frames, rows)[:, None]]
    if isinstance(node.op, Dot) and (cubes := taken_cubes(x)):
        frames, rows, is_transposed = cubes
        if is_transposed:
            return [CubesOuter()(y.reshape((rows.type.shape[0], -1, y.type.shape[1])), frames, rows)]
        return [CubesDot()(y, frames, rows).reshape(node.outputs[0].type.shape)]


@node_rewriter([AdvancedSubtensor])
def features_of_cubes(fgraph, node):
    """frames[rows][b, locations] becomes frames[rows[b], locations], which reads these locations alone."""
    if node.op.idx_list == (0, 1) and (cubes := taken_cubes(node.inputs[0])):
        frames, rows, is_transposed = cubes
        _, b, locations = node.inputs
        if not is_transposed and node.inputs[0].type.ndim == 3:
            return [frames[rows[b], locations].astype(node.outputs[0].type.dtype)]


@node_rewriter([Subtensor])
def largest_weights(fgraph, node):
    """The first k columns of an argsort of -x become the kernel that looks for no more than them."""
    sort, out = node.inputs[0].owner, node.outputs[0]
    if not (sort and isinstance(sort.op, ArgSortOp) and out.type.ndim == 2):
        return None
    axis = sort.inputs[1].data if len(sort.inputs) > 1 else sort.op.axis  # an input until PyTensor 3.0
    if axis not in (1, -1):
        return None
    rows, columns = indices_from_subtensor(node.inputs[1:], node.op.idx_list)
    is_first_columns = rows == slice(None) and columns.start is None and columns.step is None and out.type.shape[1]
    negated = sort.inputs[0].owner
    if is_first_columns and negated and isinstance(negated.op, Elemwise) and isinstance(negated.op.scalar_op, Neg):
        return [Largest(out.type.shape[1])(negated.inputs[0])]


@node_rewriter([Sum])
def sums_of_cubes(fgraph, node):
    """The sum over locations of all frames becomes a kernel."""
    frames = node.inputs[0]
    while frames.owner and is_cast(frames.owner):
        frames = frames.owner.inputs[0]
    if frames.owner is None and frames.type.ndim == 3 and node.op.axis == (1,):
        return [FrameSums(node.outputs[0].type.dtype)(frames)]


@node_rewriter([Dot])
def thin_products(fgraph, node):
    """Products with a single column become elementwise.

    A column times a row is an elementwise product, which XLA can fuse with what follows. x^T times a column is a
    weighted sum of rows of x, which reads x in the order in which it is stored.
    """
    x, y = node.inputs
    if x.type.shape[-1] == 1 and x.type.ndim == y.type.ndim == 2:
        return [x * y]
    if y.type.shape[-1] == 1 and transposed(x) is not None:
        return [(transposed(x) * y).sum(axis=0)[:, None]]


# ---------------------------------------------------------------- products of few rows in a loop


def join_products(graph, node):
    """Joins the products of few rows with constants in a Loop, so that there are fewer and larger ones.

    x W + h U becomes [x, h] [W; U]. Products of the same x with several matrices become one product with all of them.
    The matrices are joined before the loop.
    """
    op, inner = node.op, node.op.inner
    constants = dict(zip(op.split(inner.inputs)[2], op.split(node.inputs)[2], strict=True))
    joined = {}  # inner variable -> the joined matrix outside of the loop

    def add_constant(value):
        inner.add_input(variable := value.type())
        joined[variable] = value
        return variable

    for total in inner.toposort():
        if isinstance(total.op, Elemwise) and isinstance(total.op.scalar_op, Add):
            join_terms(inner, total, constants, add_constant)
    join_products_of_same_factor(inner, constants, add_constant)
    if joined:
        with_constants(graph, node, joined)


def join_terms(inner, total, constants, add_constant):
    """x W + h U + ... -> [x, h] [W; U] + ..., for a node that adds. add_constant: outer variable -> inner variable."""
    used_once = [v for v in total.inputs if len(inner.clients[v]) == 1]
    factors = {v: few_rows_factors(v, constants) for v in used_once}
    factors = {v: (x, W) for v, (x, W, is_transposed) in factors.items() if is_transposed is False}
    if factors:
        x = pt.concatenate([x for x, _ in factors.values()], axis=1)
        V = pt.concatenate([constants[W] for _, W in factors.values()]).T
        product = FewRowsDot()(x, add_constant(V))
        others = [v for v in total.inputs if v not in factors]
        replace(inner, total.outputs[0], total.op(product, *others) if others else product)


def join_products_of_same_factor(inner, constants, add_constant):
    """x V_1, x V_2, ... -> x [V_1, V_2, ...] and its parts."""
    products_of = {}  # x -> {product: its matrix, transposed, outside of the loop}
    for dot in inner.toposort():
        x, W, is_transposed = few_rows_factors(dot.outputs[0], constants)
        if x is not None and dot.outputs[0].type.shape[1] > 1:
            V = constants[W] if is_transposed else constants[W].T
            products_of.setdefault(x, {})[dot.outputs[0]] = V
    for x, products in products_of.items():
        sizes = [v.type.shape[1] for v in products]
        product = FewRowsDot()(x, add_constant(pt.concatenate(list(products.values()))))
        parts = pt.split(product, sizes, axis=1) if len(sizes) > 1 else [product]
        for v, part in zip(products, parts, strict=True):
            replace(inner, v, part)


def few_rows_factors(variable, constants):
    """(x, W, False) if the variable is x W, (x, W, True) if it is x W^T, where x has few rows and W is among the
    constants; else (None, None, None)."""
    node = variable.owner
    if node and isinstance(node.op, Dot) and 1 < (node.inputs[0].type.shape[0] or 0) <= FEW_ROWS:
        x, W = node.inputs
        if W in constants:
            return x, W, False
        if transposed(W) in constants:
            return x, transposed(W), True
    return None, None, None
