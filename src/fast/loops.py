"""PyTensor's Scan and the Scan of its gradient become two loops that share what they compute.

`pytensor.grad` of a Scan is a second Scan. It computes the forward step again. At every step it adds to the gradient of
every weight. `restate_loops` replaces the two Scans by two Loops:

- The forward Loop keeps the results of its matrix products. The backward Loop reads them (`common_results`).
- A weight's gradient is a sum over steps of x_t^T y_t. The backward Loop records x_t and y_t, and one product after the
  loop computes the sum (`product_of`).
- Nothing is reversed or copied: a Loop reads its sequences in either direction.

Words of PyTensor's Scan (pytensor/scan/op.py): a variable of the step is "inner". The variable of the surrounding graph
that belongs to it is "outer".

- seq: a sequence; step k reads its entry k. Sequences of a gradient are slices [::-1] of arrays in the order of time.
- non_seq: the same at every step, as a weight. Here: a constant.
- sitsot (single input tap, single output tap): a state. Its buffer has n_steps + 1 entries, the initial one first. In
  the gradient of a Scan, it is the sum so far of the gradient with respect to a constant.
- nitsot (no input tap, single output tap): a result, with one entry per step.
- mitmot (multiple input taps, multiple output taps): the gradient with respect to a state. Its buffer has n_steps + 1
  entries, in reversed time: entry k belongs to state n_steps - k. Each starts as what the cost alone contributes. Step
  k reads entry k, by then complete, and entry k + 1, and writes entry k + 1 complete. So the last entry becomes the
  gradient with respect to the initial state.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import pytensor.tensor as pt
from pytensor.graph.basic import Apply, Constant, Variable
from pytensor.graph.fg import FunctionGraph
from pytensor.graph.op import Op
from pytensor.graph.replace import clone_replace
from pytensor.graph.rewriting.basic import MergeOptimizer
from pytensor.graph.traversal import ancestors
from pytensor.link.jax.dispatch import jax_funcify
from pytensor.scalar.basic import Add
from pytensor.scan.op import Scan
from pytensor.tensor.basic import Alloc, get_underlying_scalar_constant_value
from pytensor.tensor.blockwise import Blockwise
from pytensor.tensor.elemwise import DimShuffle, Elemwise
from pytensor.tensor.math import Dot
from pytensor.tensor.shape import Reshape, SpecifyShape
from pytensor.tensor.subtensor import IncSubtensor, Subtensor, indices_from_subtensor


class Loop(Op):
    """The inner graph, n_steps times: (entries of sequences, carried, constants) -> (new carried, results).

    Inputs of the node: sequences (n, ...), the initial values of what is carried, constants. Outputs of the node: for
    each carried value either the values at all steps, (n_steps + 1, ...) with the initial one first, or the last value;
    then the results, (n_steps, ...).
    places: (start, stride) for each sequence; step k reads its entry start + stride k. traced: for each carried value,
    whether the values at all steps are an output. reverse: whether step k writes its results at n_steps - 1 - k.
    """

    def __init__(self, inputs, outputs, n_steps, places, traced, reverse=False):
        self.inner = FunctionGraph(inputs, outputs, clone=True)
        self.n_steps, self.places, self.traced, self.reverse = n_steps, places, traced, reverse

    def make_node(self, *inputs):
        types, n = [v.type for v in self.inner.outputs], self.n_steps
        shapes = [(n + 1, *t.shape) if traced else t.shape for t, traced in zip(types, self.traced, strict=False)]
        shapes += [(n, *t.shape) for t in types[len(self.traced) :]]
        outputs = [pt.tensor(dtype=t.dtype, shape=shape) for t, shape in zip(types, shapes, strict=True)]
        return Apply(self, list(inputs), outputs)

    def perform(self, node, inputs, outputs):
        raise NotImplementedError("a Loop runs on JAX only")

    def split(self, inputs):
        """(sequences or their entries, carried, constants) of the inputs of the node or of the inner graph."""
        a, b = len(self.places), len(self.places) + len(self.traced)
        return list(inputs[:a]), list(inputs[a:b]), list(inputs[b:])


def with_constants(graph, node, new):
    """Adds constants to the Loop of a node, after its inner graph was changed: inner variable -> outer variable."""
    op = node.op
    loop = Loop(op.inner.inputs, op.inner.outputs, op.n_steps, op.places, op.traced, op.reverse)
    outputs = loop(*node.inputs, *new.values(), return_list=True)
    graph.replace_all(zip(node.outputs, outputs, strict=True), import_missing=True)


def replace(graph, old, new):
    """Replaces a variable of a FunctionGraph by one with the same values, whose static shape may say more or less."""
    new = new if new.type.ndim == old.type.ndim else new.reshape(old.type.shape)
    graph.replace(old, old.type.filter_variable(new), import_missing=True)


# ---------------------------------------------------------------- a Scan and its parts


def mutable_copy(step):
    """A copy of the inner graph of a loop, to be rewritten. Expressions that it holds several times are merged, as a
    gradient has many of them."""
    graph = step.unfreeze() if hasattr(step, "unfreeze") else step.clone()  # PyTensor 3.3 has frozen inner graphs
    MergeOptimizer().rewrite(graph)
    return graph


class ScanParts:
    """A Scan node with a copy of its inner graph.

    Its attributes `inner_seqs`, `outer_nitsot_outs` and so on are lists of what the methods of these names in
    pytensor.scan.op.ScanMethodsMixin select.
    """

    def __init__(self, node, n_steps):
        self.node, self.info, self.graph, self.n_steps = node, node.op.info, mutable_copy(node.op.fgraph), n_steps

    def __getattr__(self, name):
        if not name.startswith(("inner_", "outer_")):
            raise AttributeError(name)
        node = self.graph if name.startswith("inner_") else self.node
        return list(getattr(self.node.op, name)(list(node.outputs if name.endswith("_outs") else node.inputs)))

    @property
    def reads(self):
        """For each sequence, the array and the rows of it: see `read_from`."""
        return [read_from(v, self.n_steps) for v in self.outer_seqs]

    def reads_in_steps_of(self, stride):
        """Whether it reads n_steps rows of each array, with this stride."""
        return all(len(rows) == self.n_steps and (rows.step == stride or len(rows) == 1) for _, rows in self.reads)


def is_forward(scan):
    """Whether `restate_forward` can restate a Scan: its states are plain, and it reads its sequences forwards."""
    info = scan.info
    others = info.mit_mot_in_slices or info.mit_sot_in_slices or info.n_untraced_sit_sot
    return not others and scan.reads_in_steps_of(1)


def is_backward(graph, scan):
    """Whether `restate_backward` can restate a Scan: it reads its sequences backwards, carries gradients and sums,
    and the graph reads nothing but the last entries of their buffers."""
    info, n = scan.info, scan.n_steps
    mitmots = set(info.mit_mot_in_slices) == {(0, 1)} and set(info.mit_mot_out_slices) == {(1,)}
    is_truncated = scan.node.op.truncate_gradient != -1
    if not mitmots or info.mit_sot_in_slices or is_truncated or not scan.reads_in_steps_of(-1):
        return False
    buffers = [*scan.outer_mitmot_outs, *scan.outer_sitsot_outs]
    return all(rows_read(graph, buffer, range(n + 1)) <= {n} for buffer in buffers)


def n_steps(node):
    """The number of steps of a Scan node; None if it is not known before the graph runs."""
    if isinstance(node.inputs[0], Constant):
        return int(node.inputs[0].data)
    lengths = {v.type.shape[0] for v in node.op.outer_seqs(node.inputs)} - {None}
    return lengths.pop() if len(lengths) == 1 else None


def read_from(variable, T):
    """(array, rows): the array from which a chain of slices takes the variable, and the rows that it takes, a range.

    The chain belongs to a Scan of T steps. Bounds that are not known before the graph runs are taken to be T. If the
    range has T rows, they are right.
    """
    slices = []
    while variable.owner and isinstance(variable.owner.op, (Subtensor, SpecifyShape)):
        if isinstance(variable.owner.op, Subtensor):
            slices.append(variable.owner)
        variable = variable.owner.inputs[0]
    op = variable.owner and variable.owner.op
    is_buffer = isinstance(op, Scan) and variable.owner.outputs.index(variable) < op.n_tap_outs
    rows = range(variable.type.shape[0] or (T + 1 if is_buffer else T))
    for node in reversed(slices):
        rows = sliced(rows, node, T)
        if not isinstance(rows, range):
            return variable, range(0)
    return variable, rows


def rows_read(graph, variable, rows):
    """The set of rows of an array that the graph reads, or more. rows: the range of them that the variable holds."""
    read = set()
    for node, position in graph.clients[variable]:
        if isinstance(node.op, Subtensor) and position == 0:
            taken = sliced(rows, node, None)
            read |= rows_read(graph, node.outputs[0], taken) if isinstance(taken, range) else {taken}
        else:
            read |= set(rows)
    return read


def sliced(rows, node, otherwise):
    """What a Subtensor node takes from a range of rows: a range, or one row. otherwise: the value of unknown bounds."""
    index = indices_from_subtensor(node.inputs[1:], node.op.idx_list)[0]
    if isinstance(index, slice):
        bounds = (index.start, index.stop, index.step)
        return rows[slice(*(bound if bound is None else constant_of(bound, otherwise) for bound in bounds))]
    row = constant_of(index, None)
    return rows if row is None else rows[row]


def constant_of(scalar, otherwise):
    """The value of a symbolic scalar, or `otherwise` if it is not known before the graph runs."""
    value = get_underlying_scalar_constant_value(scalar, raise_not_constant=False)
    return otherwise if isinstance(value, Variable) else int(value)


def sliced_array(variable):
    """The array from which a chain of slices takes the variable."""
    return read_from(variable, 1)[0]


def first_entry(buffer):
    """buffer[0], or the value itself if a node writes it into an empty buffer."""
    if buffer.owner and isinstance(buffer.owner.op, IncSubtensor) and buffer.owner.op.set_instead_of_inc:
        return buffer.owner.inputs[1][0]
    return buffer[0]


def is_zeros(variable):
    fill = variable.owner and isinstance(variable.owner.op, Alloc) and variable.owner.inputs[0]
    return isinstance(fill, Constant) and not fill.data.any()


# ---------------------------------------------------------------- the rewrite


def restate_loops(graph):
    """Replaces Scans of a FunctionGraph by Loops: forward ones, and the gradient of each. All other Scans stay."""
    nodes = [node for node in graph.toposort() if isinstance(node.op, Scan) and not node.op.info.as_while]
    forwards = {node: ScanParts(node, n_steps(node)) for node in nodes if n_steps(node)}
    forwards = {node: scan for node, scan in forwards.items() if is_forward(scan)}
    for node in nodes:
        origins = {sliced_array(v).owner for v in node.op.outer_seqs(node.inputs)} & forwards.keys()
        if node not in forwards and len(origins) == 1:
            forward = forwards.pop(origins.pop())
            backward = ScanParts(node, forward.n_steps)
            if is_backward(graph, backward):
                forward_of = common_results(forward, backward)
                arrays = restate_forward(graph, forward, list(dict.fromkeys(forward_of.values())))
                restate_backward(graph, backward, {v: arrays[result] for v, result in forward_of.items()})
    for forward in forwards.values():
        restate_forward(graph, forward, [])


# ---------------------------------------------------------------- what both loops compute


def common_results(forward, backward):
    """Results of matrix products that both inner graphs compute: backward variable -> forward variable.

    If only one operation uses a result, the result of that operation is taken in its place, and so on. So of
    x W + h U + b one array is kept, and not two.
    """
    # Several backward variables may equal the same forward variable. They are merged, so that each has all its clients.
    forward_of, first = common_variables(forward, backward), {}
    for variable, original in forward_of.items():
        first.setdefault(original, variable)
    backward.graph.replace_all((v, first[x]) for v, x in forward_of.items() if v is not first[x])
    MergeOptimizer().rewrite(backward.graph)
    forward_of, results = common_variables(forward, backward), {}
    for node in backward.graph.toposort():
        variable = node.outputs[0]
        if is_product(node.op) and variable in forward_of:
            while len(clients := backward.graph.clients[variable]) == 1 and keeps_size(clients[0][0].op):
                if clients[0][0].outputs[0] not in forward_of:
                    break
                variable = clients[0][0].outputs[0]
            results[variable] = forward_of[variable]
    return results


def is_product(op):
    return isinstance(op, Dot) or (isinstance(op, Blockwise) and isinstance(op.core_op, Dot))


def keeps_size(op):
    """Whether the result of an operation is no larger than its operand, so that it can be kept in its place."""
    return isinstance(op, (Elemwise, Reshape)) or (isinstance(op, DimShuffle) and not op.is_transpose)


def common_variables(forward, backward):
    """Backward variable -> the forward variable with the same value at the same step, inputs first.

    Inputs are compared at step T - 1, which is the backward loop's first.
    """
    T, constants = forward.n_steps, dict(zip(forward.outer_non_seqs, forward.inner_non_seqs, strict=True))
    # (array, row) -> the forward variable that is read or written there at step T - 1
    places = {(array, rows[-1]): v for v, (array, rows) in zip(forward.inner_seqs, forward.reads, strict=True)}
    states, results = forward.outer_sitsot_outs, forward.outer_nitsot_outs
    places |= {(s, T - 1): v for v, s in zip(forward.inner_sitsot, states, strict=True)}
    places |= {(s, T): v for v, s in zip(forward.inner_sitsot_outs, states, strict=True)}
    places |= {(y, T - 1): v for v, y in zip(forward.inner_nitsot_outs, results, strict=True)}
    inputs = zip(backward.inner_seqs, backward.reads, strict=True)
    forward_of = {v: places.get((array, rows[0])) for v, (array, rows) in inputs}
    forward_of |= {v: constants.get(x) for v, x in zip(backward.inner_non_seqs, backward.outer_non_seqs, strict=True)}
    forward_of = {v: original for v, original in forward_of.items() if original is not None}

    def key(node, names):
        return node.op, *(v.signature() if isinstance(v, Constant) else names.get(v, v) for v in node.inputs)

    forward_nodes = {key(node, {}): node for node in forward.graph.toposort()}
    for node in backward.graph.toposort():
        if original := forward_nodes.get(key(node, forward_of)):
            forward_of |= dict(zip(node.outputs, original.outputs, strict=True))
    return forward_of


# ---------------------------------------------------------------- the forward loop


def restate_forward(graph, scan, kept):
    """Replaces a Scan by a Loop that also keeps the inner variables `kept`; returns these -> arrays (n_steps, ...)."""
    traced = [bool(graph.clients[out]) for out in scan.outer_sitsot_outs]
    used = [out for out in scan.outer_nitsot_outs if graph.clients[out]]
    results = [v for v, out in zip(scan.inner_nitsot_outs, scan.outer_nitsot_outs, strict=True) if out in used]
    inputs = [*scan.inner_seqs, *scan.inner_sitsot, *scan.inner_non_seqs]
    places = [(rows[0], rows.step) for _, rows in scan.reads]
    loop = Loop(inputs, [*scan.inner_sitsot_outs, *results, *kept], scan.n_steps, places, traced)
    initial = [first_entry(buffer) for buffer in scan.outer_sitsot]
    outputs = loop(*(array for array, _ in scan.reads), *initial, *scan.outer_non_seqs, return_list=True)
    for old, new in zip([*scan.outer_sitsot_outs, *used], outputs, strict=False):
        if graph.clients[old]:
            replace(graph, old, new)
    return dict(zip(kept, outputs[len(traced) + len(used) :], strict=True))


# ---------------------------------------------------------------- the backward loop


class Sequence(NamedTuple):
    """An inner variable that is entry start - k of an array at step k."""

    inner: Variable
    array: Variable
    start: int


class Carried(NamedTuple):
    """An inner variable with its initial value and what the step makes of it."""

    inner: Variable
    initial: Variable
    new: Variable


def restate_backward(graph, scan, kept):
    """Replaces the Scan of a gradient by a Loop. kept: inner variable -> its values at all steps, (T, ...)."""
    T = scan.n_steps
    from_cost, gradients, zeros = gradients_of_states(scan)
    products, sums = gradients_of_constants(graph, scan)
    read_instead = {v: v.type() for v in kept}
    sequences = [Sequence(v, array, rows[0]) for v, (array, rows) in zip(scan.inner_seqs, scan.reads, strict=True)]
    sequences += [Sequence(read_instead[v], array, T - 1) for v, array in kept.items()] + from_cost
    carried = [*gradients, *sums.values()]
    pairs = zip(scan.inner_nitsot_outs, scan.outer_nitsot_outs, strict=True)
    of_sequences = {out: v for v, out in pairs if graph.clients[out]}  # gradients with respect to sequences

    # What is needed at all steps, in the order of time. Only what is not a sequence already is recorded.
    at_all_steps = {s.inner: s.array[s.start - T + 1 : s.start + 1] for s in sequences}
    factors = [v for product in products.values() for v in product]
    recorded = list(dict.fromkeys([*(v for v in factors if v not in at_all_steps), *of_sequences.values()]))

    results = clone_replace([*(c.new for c in carried), *recorded], read_instead | zeros)
    constants = list(zip(scan.inner_non_seqs, scan.outer_non_seqs, strict=True))
    needed = set(ancestors(results, blockers=[s.inner for s in sequences]))
    sequences = [s for s in sequences if s.inner in needed]
    constants = [(inner, value) for inner, value in constants if inner in needed]
    inputs = [*(s.inner for s in sequences), *(c.inner for c in carried), *(inner for inner, _ in constants)]
    loop = Loop(inputs, results, T, [(s.start, -1) for s in sequences], [False] * len(carried), reverse=True)
    arguments = [*(s.array for s in sequences), *(c.initial for c in carried), *(value for _, value in constants)]
    outputs = loop(*arguments, return_list=True)

    last = outputs[: len(carried)]
    at_all_steps |= dict(zip(recorded, outputs[len(carried) :], strict=True))
    for out, value in zip([*scan.outer_mitmot_outs, *sums], last, strict=True):
        replace_last(graph, out, value, T)
    for out, (x, y) in products.items():
        x, y = (at_all_steps[v].reshape((-1, v.type.shape[1])) for v in (x, y))
        replace_last(graph, out, pt.dot(x.T, y), T)
    for out, variable in of_sequences.items():
        replace(graph, out, at_all_steps[variable][::-1])


def replace_last(graph, buffer, last, T):
    """Replaces what the graph reads of a buffer (T + 1, ...), its last entry alone, by `last`.

    Its slices are replaced and not the buffer: PyTensor 3.0.7 rewrites join(0, zeros, x)[::-1][:1].sum(0) to 0.
    """
    for node, _ in list(graph.clients[buffer]):
        rows = sliced(range(T + 1), node, None)
        if rows == T:
            replace(graph, node.outputs[0], last)
        elif T in rows:
            others = [pt.zeros((n, *last.type.shape), last.type.dtype) for n in (rows.index(T), rows[::-1].index(T))]
            replace(graph, node.outputs[0], pt.join(0, others[0], last[None], others[1]))


def gradients_of_states(scan):
    """The gradients with respect to states (mitmot): [Sequence] of what the cost adds at each step, [Carried], zeros.

    zeros: inner variable -> 0, for states to which the cost adds nothing at any step.
    """
    T, from_cost, carried, zeros = scan.n_steps, [], [], {}
    for k, (buffer, new) in enumerate(zip(scan.outer_mitmot, scan.inner_mitmot_outs, strict=True)):
        gradient, added = scan.inner_mitmot[2 * k : 2 * k + 2]
        array = sliced_array(buffer)  # (T + 1, ...), in the order of time
        if is_zeros(array):
            initial = pt.zeros(gradient.type.shape, gradient.type.dtype)
            zeros[added] = pt.zeros(added.type.shape, added.type.dtype)
        else:
            initial = array[T]
            from_cost.append(Sequence(added, array, T - 1))
        carried.append(Carried(gradient, initial, new))
    return from_cost, carried, zeros


def gradients_of_constants(graph, scan):
    """The gradients with respect to constants (sitsot): {outer variable: (x, y)} if it is a sum of products, and
    {outer variable: Carried} of other sums. Gradients that the graph does not read are left out."""
    n_rows, products, sums = scan.inner_mitmot[0].type.shape[0], {}, {}
    for out, total, new in zip(scan.outer_sitsot_outs, scan.inner_sitsot, scan.inner_sitsot_outs, strict=True):
        if graph.clients[out]:
            if factors := product_of(total, new, n_rows):
                products[out] = factors
            else:
                sums[out] = Carried(total, pt.zeros(total.type.shape, total.type.dtype), new)
    return products, sums


def product_of(total, new, n_rows):
    """x (B, n) and y (B, m) where new = total + x^T y and B is n_rows; else None."""
    if not (new.owner and isinstance(new.owner.op, Elemwise) and isinstance(new.owner.op.scalar_op, Add)):
        return None
    terms = [v for v in new.owner.inputs if v is not total]
    if len(terms) != 1 or len(new.owner.inputs) != 2 or not (terms[0].owner and isinstance(terms[0].owner.op, Dot)):
        return None
    left, y = terms[0].owner.inputs
    if y.type.ndim != 2 or y.type.shape[0] != n_rows:
        return None
    # x itself, and not the transpose of its transpose: it may be a sequence, which need not be recorded
    is_transpose = left.owner and isinstance(left.owner.op, DimShuffle) and left.owner.op.new_order == (1, 0)
    return (left.owner.inputs[0] if is_transpose else left.T), y


# ---------------------------------------------------------------- on JAX


@jax_funcify.register(Loop)
def jax_loop(op, node, **kwargs):
    """A function of the node's inputs. All arrays are allocated before the loop, and each step writes its entries."""
    step, T = jax_funcify(op.inner), op.n_steps

    def loop(*inputs):
        sequences, carried, constants = op.split(inputs)
        # Every entry will be written, so any numbers will do. Equal numbers would be a single array, copied for each
        # output. Numbers from the loop's inputs take no memory before the loop can begin.
        numbers = max([*sequences, *carried], key=jnp.size).ravel()
        buffers = [jnp.full(v.type.shape, numbers[k], v.type.dtype) for k, v in enumerate(node.outputs)]
        states = [_write(buffer, x, 0) if traced else None
                  for x, buffer, traced in zip(carried, buffers, op.traced, strict=False)]  # fmt: skip
        results = buffers[len(carried) :]

        def body(k, before):
            carried, states, results = before
            rows = [start + stride * k for start, stride in op.places]
            entries = [_read(array, row) for array, row in zip(sequences, rows, strict=True)]
            new = step(*entries, *carried, *constants)
            new = list(new) if isinstance(new, (tuple, list)) else [new]
            carried, of_step = new[: len(carried)], new[len(carried) :]
            states = [None if s is None else _write(s, x, k + 1) for s, x in zip(states, carried, strict=True)]
            row = T - 1 - k if op.reverse else k
            return carried, states, [_write(array, x, row) for array, x in zip(results, of_step, strict=True)]

        last, states, results = jax.lax.fori_loop(0, T, body, (carried, states, results))
        outputs = [x if s is None else s for x, s in zip(last, states, strict=True)] + results
        return outputs[0] if len(outputs) == 1 else outputs

    return loop


def _read(array, k):
    return jax.lax.dynamic_index_in_dim(array, k, keepdims=False)


def _write(array, entry, k):
    return jax.lax.dynamic_update_index_in_dim(array, entry, k, 0)
