"""What depends on a frame alone is computed once per frame, not at each step that reads the frame.

A function of each frame can be computed before rows are taken: f(frames[rows]) = f(frames)[rows]. There are two cases:

- f has no parameters, as a mean over locations. f(frames) is computed once per frame table (`split_tables`).
- f has parameters, as a projection of cubes. This pays only in prediction, where windows share frames.

Shapes: frames (n, L, D), rows (B,).
"""

from math import prod
from typing import NamedTuple

import pytensor.tensor.subtensor
from pytensor.graph.basic import Constant, Variable
from pytensor.graph.fg import FunctionGraph
from pytensor.graph.replace import clone_replace
from pytensor.graph.rewriting.basic import node_rewriter
from pytensor.graph.traversal import graph_inputs
from pytensor.tensor.elemwise import CAReduce, DimShuffle, Elemwise
from pytensor.tensor.math import Dot, Sum
from pytensor.tensor.shape import Reshape
from pytensor.tensor.subtensor import AdvancedSubtensor

from visual_attention.fast.kernels import FrameSums
from visual_attention.fast.loops import Loop, replace, with_constants

# PyTensor 3.0 has a separate Op for an index that is a vector.
AdvancedSubtensor1 = getattr(pytensor.tensor.subtensor, "AdvancedSubtensor1", AdvancedSubtensor)


class PerFrame(NamedTuple):
    """A variable that is f(frames)[rows]."""

    rows: Variable
    table: Variable  # f(frames), outside of the loop
    reduced: bool  # whether f has a product or a reduction; without one f(frames) would only be a copy


def compute_once_per_frame(graph, frames, predicts):
    """Rewrites a FunctionGraph in place. frames: its frame table. predicts: see `rewrites.rewrite`."""
    for variable, f in functions_of_frames(graph, frames, lambda v: v, frames, predicts).items():
        replace(graph, variable, f.table[f.rows])
    for node in graph.toposort():
        if isinstance(node.op, Loop) and frames in node.op.split(node.inputs)[2]:
            compute_before_loop(graph, node, frames, predicts)


def compute_before_loop(graph, node, frames, predicts):
    """Does the same in the inner graph of a Loop: f(frames) becomes a constant of the loop."""
    op, inner = node.op, node.op.inner
    constants = dict(zip(op.split(inner.inputs)[2], op.split(node.inputs)[2], strict=True))
    inner_frames = next(v for v, value in constants.items() if value is frames)

    def outside(variable):
        if isinstance(variable, Constant) or all(v in constants for v in graph_inputs([variable])):
            return clone_replace(variable, constants)

    tables = {}
    for variable, f in functions_of_frames(inner, inner_frames, outside, frames, predicts).items():
        table = f.table.type()
        inner.add_input(table)
        replace(inner, variable, table[f.rows])
        tables[table] = f.table
    if tables:
        with_constants(graph, node, tables)


@node_rewriter([Sum])
def sum_over_locations(fgraph, node):
    """Splits a sum over frames[index] in two: over locations of all frames, then over dimensions of the index.

    The mean cube of Eq. 6 has this form. The first sum is a function of each frame.
    """
    taken, casts = node.inputs[0], []
    while taken.owner and isinstance(taken.owner.op, Elemwise) and len(taken.owner.inputs) == 1:
        casts.append(taken.owner.op)
        taken = taken.owner.inputs[0]
    if taken.owner and isinstance(taken.owner.op, AdvancedSubtensor) and len(taken.owner.inputs) == 2:
        frames, index = taken.owner.inputs
        n = index.type.ndim
        axes_of_frame = [axis - n + 1 for axis in node.op.axis or () if axis >= n]
        axes_of_index = [axis for axis in node.op.axis or () if axis < n]
        if axes_of_frame:
            for cast in reversed(casts):
                frames = cast(frames)
            sums = frames.sum(axis=axes_of_frame)[index]
            return [sums.sum(axis=axes_of_index) if axes_of_index else sums]


@node_rewriter([AdvancedSubtensor])
def vector_of_rows(fgraph, node):
    """frames[index] for an index of several dimensions becomes frames[rows], reshaped. PyTensor 3.0 does so itself."""
    shape = node.outputs[0].type.shape
    if node.op.idx_list == (0,) and node.inputs[1].type.ndim > 1 and None not in shape:
        frames, index = node.inputs
        return [frames[index.reshape((-1,))].reshape(shape)]


# ---------------------------------------------------------------- functions of each frame


def taken_rows(node):
    """(array, rows) if the node is array[rows] for a vector of rows, else None."""
    is_taken = isinstance(node.op, (AdvancedSubtensor, AdvancedSubtensor1)) and node.op.idx_list == (0,)
    return node.inputs if is_taken and node.inputs[1].type.ndim == 1 else None


def functions_of_frames(graph, inner_frames, outside, frames, predicts):
    """The variables of a graph that are worth computing once per frame: variable -> PerFrame.

    graph: the inner graph of a Loop, or the graph that contains the Loop. inner_frames: the frame table in `graph`;
    frames: the same outside of the loop. outside: a function of a variable of `graph` that returns the same variable
    outside of the loop, or None if the variable changes from step to step.
    """
    per_frame = {}
    for node in graph.toposort():
        if (taken := taken_rows(node)) and taken[0] is inner_frames:
            per_frame[node.outputs[0]] = PerFrame(taken[1], frames, False)
        elif any(v in per_frame for v in node.inputs) and (f := on_all_frames(node, per_frame, outside)):
            per_frame[node.outputs[0]] = f
    pays = {v: f for v, f in per_frame.items() if f.reduced and (predicts or set(graph_inputs([f.table])) == {frames})}
    return {v: f for v, f in pays.items() if has_one_entry_per_row(v, f) and not is_used_only_by(graph, v, pays)}


def on_all_frames(node, per_frame, outside):
    """The PerFrame of a node's output if it is a function of each frame, else None. per_frame: variable -> PerFrame."""
    op, out = node.op, node.outputs[0]
    inputs = [per_frame[v].table if v in per_frame else outside(v) for v in node.inputs]
    rows, *others = {per_frame[v].rows for v in node.inputs if v in per_frame}
    if others or None in inputs or None in out.type.shape or len(node.outputs) > 1:
        return None
    if isinstance(op, Reshape):
        # In C order the numbers of a frame stay together. The first k dimensions are the rows, or also parts of a row.
        k = next(k for k in range(1, out.type.ndim + 1) if prod(out.type.shape[:k]) % rows.type.shape[0] == 0)
        table = inputs[0].reshape((-1, *out.type.shape[k:]))
    elif keeps_rows_apart(node, per_frame, rows.type.shape[0]):
        table = op(*inputs)
    else:
        return None
    reduced = isinstance(op, (CAReduce, Dot)) or any(per_frame[v].reduced for v in node.inputs if v in per_frame)
    return PerFrame(rows, table, reduced)


def keeps_rows_apart(node, per_frame, n_rows):
    """Whether each row of a node's output depends only on the same row of its inputs."""
    op, others = node.op, [v for v in node.inputs if v not in per_frame]
    if isinstance(op, Elemwise) and len(node.inputs) == 1:
        return True
    if any(v.type.shape[0] % n_rows for v in node.inputs if v in per_frame):  # the rows are several dimensions
        return False
    return (
        (isinstance(op, Elemwise) and all(v.type.shape[0] == 1 for v in others))
        or (isinstance(op, Dot) and node.inputs[1] in others)
        or (isinstance(op, CAReduce) and bool(op.axis) and 0 not in op.axis)
        or (isinstance(op, DimShuffle) and op.new_order[:1] == (0,))
    )


def has_one_entry_per_row(variable, f):
    """Whether the first dimension of a variable, or the first two, are the rows: (B, ...) or (1, B, ...)."""
    return any(prod(variable.type.shape[:k]) == f.rows.type.shape[0] for k in (1, 2))


def is_used_only_by(graph, variable, variables):
    """Whether everything that a graph computes from a variable is among `variables`."""
    return all(node.outputs and node.outputs[0] in variables for node, _ in graph.clients[variable])


# ---------------------------------------------------------------- once per frame table


def split_tables(graph, frames):
    """Splits a FunctionGraph: "tables" depends on `frames`, a list of frame tables, alone; "main" is the rest.

    The results of "tables" are further inputs of "main".
    """
    of_frames, reduced = set(frames), set()
    for node in graph.toposort():
        if set(node.inputs) & of_frames and all(v in of_frames or isinstance(v, Constant) for v in node.inputs):
            of_frames.update(node.outputs)
            if isinstance(node.op, (CAReduce, FrameSums)) or set(node.inputs) & reduced:
                reduced.update(node.outputs)
    results = [v for v in reduced if not is_used_only_by(graph, v, reduced)]
    tables = FunctionGraph(frames, results, clone=True)
    for variable in results:
        table = variable.type()
        graph.add_input(table)
        graph.replace(variable, table)
    return {"tables": tables, "main": graph}
