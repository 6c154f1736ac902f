"""The speed layer (src/fast) by itself: what each rewrite makes of a graph, counted, and that the numbers stay."""

import jax
import jax.numpy as jnp
import numpy as np
import numpy_model
import pytensor
import pytensor.tensor as pt
import pytest
from pytensor.graph.basic import Constant
from pytensor.graph.fg import FunctionGraph
from pytensor.graph.traversal import graph_inputs
from pytensor.scan.op import Scan
from pytensor.scan.utils import until
from pytensor.tensor.blas import BatchedDot
from pytensor.tensor.elemwise import CAReduce
from pytensor.tensor.math import Dot
from pytensor.tensor.sort import ArgSortOp
from pytensor.tensor.subtensor import AdvancedSubtensor
from test_model import TINY, VARIANTS, make_batch, make_model

from visual_attention import actrec, backends
from visual_attention.fast import compiling, kernels
from visual_attention.fast.frames import split_tables, taken_rows
from visual_attention.fast.kernels import (
    CubesDot,
    CubesOuter,
    FewRowsDot,
    FrameSums,
    Largest,
    LocationScores,
    WeightedSum,
)
from visual_attention.fast.loops import Loop, restate_loops
from visual_attention.fast.rewrites import rewrite
from visual_attention.layers import init_tparams

T, B, N, D = 5, 3, 4, 6  # steps, rows, size of the input, size of the state


@pytest.fixture(autouse=True)
def double_precision():
    backends.set_precision("float64")


def count(nodes, *ops):
    return sum(isinstance(node.op, ops) for node in nodes)


# ---------------------------------------------------------------- loops


def lstm_step(x, mask, h, c, W, U, b):
    i, f, o, g = pt.split(pt.dot(x, W) + pt.dot(h, U) + b, [D] * 4, axis=1)
    c_new = pt.sigmoid(f) * c + pt.sigmoid(i) * pt.tanh(g)
    h_new = pt.sigmoid(o) * pt.tanh(c_new)
    keep = mask[:, None]
    return keep * h_new + (1 - keep) * h, keep * c_new + (1 - keep) * c


def gru_step(x, mask, h, W, U, b):
    r, z = (pt.sigmoid(pt.dot(x, W[:, s]) + pt.dot(h, U[:, s]) + b[s]) for s in (slice(0, D), slice(D, 2 * D)))
    new = pt.tanh(pt.dot(x, W[:, 2 * D :]) + pt.dot(r * h, U[:, 2 * D :]) + b[2 * D :])
    return mask[:, None] * (z * h + (1 - z) * new) + (1 - mask[:, None]) * h


CELLS = {"lstm": (lstm_step, 4, 2), "gru": (gru_step, 3, 1)}  # the step, its gates and its states


def recurrent_net(cell, **scan_options):
    """(inputs, their values, weights, the cost, and what is differentiated with respect to) of a small network."""
    step, n_gates, n_states = CELLS[cell]
    rng = np.random.default_rng(0)
    dummy, x = pt.tensor("dummy", shape=(1, 1, 1)), pt.tensor("x", shape=(T, B, N))
    mask = pt.tensor("mask", shape=(T, B))
    shapes = {"W": (N, n_gates * D), "U": (D, n_gates * D), "b": (n_gates * D,)}
    shapes |= {f"h{k}": (B, D) for k in range(n_states)}
    params = init_tparams({name: rng.normal(0, 0.5, shape) for name, shape in shapes.items()})
    weights, initial = list(params.values())[:3], list(params.values())[3:]
    states = pytensor.scan(
        step, sequences=[x, mask], outputs_info=initial, non_sequences=weights, strict=True, return_updates=False,
        **scan_options,
    )  # fmt: skip
    h = states[0] if n_states > 1 else states
    cost = (pt.specify_shape(h, (T, B, D)) ** 2 * np.arange(1.0, T + 1)[:, None, None]).sum()
    values = [np.zeros((1, 1, 1)), rng.normal(size=(T, B, N)), (rng.random((T, B)) > 0.2).astype("float64")]
    return [dummy, x, mask], values, cost, [*params.values(), x]


def compare(inputs, values, outputs, rtol=1e-10):
    """The speed layer's values of a graph equal those of plain PyTensor; returns them."""
    plain = pytensor.function(inputs, outputs, mode="FAST_COMPILE", on_unused_input="ignore")(*values)
    fast = backends.compile_function(dict.fromkeys(inputs), outputs)(*values)
    for a, b in zip(fast, plain, strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=1e-12)
    assert all(np.abs(value).max() > 1e-6 for value in plain)
    return plain


def restated(outputs):
    """(FunctionGraph, its Loops forward, those backward) after restate_loops."""
    graph = FunctionGraph(outputs=outputs, clone=True)
    restate_loops(graph)
    loops = [node for node in graph.toposort() if isinstance(node.op, Loop)]
    return graph, [n for n in loops if not n.op.reverse], [n for n in loops if n.op.reverse]


@pytest.mark.parametrize("cell", CELLS)
def test_a_scan_and_its_gradient_become_two_loops(cell):
    """With the same numbers: the cost, and its gradient with respect to weights, initial states and inputs."""
    inputs, values, cost, wrt = recurrent_net(cell)
    outputs = [cost, *pytensor.grad(cost, wrt)]
    compare(inputs, values, outputs)
    graph, forward, backward = restated(outputs)
    assert len(forward) == len(backward) == 1 and count(graph.toposort(), Scan) == 0


def test_products_of_a_loop_and_its_gradient():
    """An LSTM needs five products: x W and h U of each step; of each step backwards, with respect to h and x; and two
    with respect to W and U, of all steps together after the loop."""
    inputs, _, cost, wrt = recurrent_net("lstm")
    graph, (forward,), (backward,) = restated([cost, *pytensor.grad(cost, wrt)])
    assert count(forward.op.inner.toposort(), Dot) == 2
    assert count(backward.op.inner.toposort(), Dot) == 2  # neither x W nor h U are computed once more
    outside = [node for node in graph.toposort() if isinstance(node.op, Dot)]
    assert len(outside) == 2
    assert sorted(node.inputs[0].type.shape[1] for node in outside) == [T * B, T * B]
    # no gradient of a weight is carried from step to step: only h's, c's and the bias's, which is a sum and no product
    carried = [v.type.shape for v in backward.op.split(backward.op.inner.inputs)[1]]
    assert sorted(carried) == [(B, D), (B, D), (4 * D,)]


def test_gradient_of_the_inputs_is_computed_only_if_wanted():
    inputs, _, cost, wrt = recurrent_net("lstm")
    _, _, (backward,) = restated(pytensor.grad(cost, wrt[:3]))
    assert count(backward.op.inner.toposort(), Dot) == 1


def test_only_what_is_read_is_kept():
    """Without a gradient a state is kept at all steps only if the graph reads it there."""
    inputs, _, cost, _ = recurrent_net("lstm")
    _, (forward,), backward = restated([cost])
    assert not backward and forward.op.traced == [True, False]


def test_a_scan_from_the_last_step_to_the_first():
    inputs, values, cost, wrt = recurrent_net("lstm", go_backwards=True)
    compare(inputs, values, [cost, *pytensor.grad(cost, wrt)])


def test_a_truncated_gradient_stays_a_scan():
    _, _, cost, wrt = recurrent_net("lstm", truncate_gradient=2)
    graph, _, backward = restated([cost, *pytensor.grad(cost, wrt)])
    assert not backward and count(graph.toposort(), Scan) == 2


def test_two_scans_one_upon_the_other():
    inputs, values, cost, wrt = recurrent_net("gru")
    x = inputs[1]
    V = pytensor.shared(np.random.default_rng(1).normal(0, 0.5, (D, D)), name="V", shape=(D, D))
    h = pytensor.scan(
        lambda x, h, W: pt.tanh(pt.dot(x, W) + h), [x], [pt.zeros((B, D))], [wrt[0][:, :D]], return_updates=False
    )
    g = pytensor.scan(
        lambda h, g, V: pt.tanh(h + pt.dot(g, V)), [h], [pt.zeros((B, D))], [V], return_updates=False, strict=True
    )
    cost = cost + (g**2).sum() + h[-1].sum()
    compare(inputs, values, [cost, *pytensor.grad(cost, [*wrt, V])])


def test_gradient_of_a_gradient():
    inputs, values, cost, wrt = recurrent_net("gru")
    slope = sum((g**2).sum() for g in pytensor.grad(cost, wrt[:2]))
    compare(inputs, values, [slope, *pytensor.grad(slope, wrt[:2])])


def test_cost_of_the_last_state_alone():
    """The gradient that the cost adds at the steps before is 0."""
    inputs, values, _, wrt = recurrent_net("gru")
    x, mask, (W, U, b, h0) = inputs[1], inputs[2], wrt[:4]
    h = pytensor.scan(gru_step, [x, mask], [h0], [W, U, b], return_updates=False, strict=True)
    cost = (h[-1] ** 2).sum()
    compare(inputs, values, [cost, *pytensor.grad(cost, wrt)])


def scalar_scan(kind):
    """(inputs, values, outputs) of scans that are not a plain recurrent network's."""
    dummy, x, w = pt.tensor("dummy", shape=(1, 1, 1)), pt.tensor("x", shape=(T, B)), pt.tensor("w", shape=(B,))
    start = pt.zeros((B,))
    if kind == "two steps back":
        out = pytensor.scan(
            lambda x, y2, y1, w: pt.tanh(x + w * y1 - y2), [x], [{"initial": pt.ones((2, B)), "taps": [-2, -1]}], [w],
            return_updates=False,
        )  # fmt: skip
    elif kind == "a sequence read at two places":
        out = pytensor.scan(
            lambda x0, x1, y, w: pt.tanh(x0 * w - x1 + y), [{"input": x, "taps": [0, 1]}], [start], [w],
            return_updates=False,
        )  # fmt: skip
    elif kind == "a sequence read backwards":
        out = pytensor.scan(lambda x, y, w: pt.tanh(x * w + y), [x[::-1]], [start], [w], return_updates=False)
    elif kind == "every second entry":
        out = pytensor.scan(lambda x, y, w: pt.tanh(x * w + y), [x[::2]], [start], [w], return_updates=False)
    elif kind == "sequences of two lengths":
        out = pytensor.scan(
            lambda x, z, y, w: pt.tanh(x * w + y * z), [x, x[1:]], [start], [w], return_updates=False
        )  # fmt: skip
    elif kind == "no state":
        out = pytensor.scan(lambda x, w: pt.tanh(x * w), [x], [None], [w], return_updates=False)
    elif kind == "a number of steps":
        out = pytensor.scan(lambda y, w: pt.tanh(y * w + 1), None, [start], [w], n_steps=4, return_updates=False)
    rng = np.random.default_rng(0)
    cost = (out**2).sum()
    inputs = [dummy, x, w]
    wrt = [w] if kind == "a number of steps" else [x, w]
    return inputs, [np.zeros((1, 1, 1)), rng.normal(size=(T, B)), rng.normal(size=B)], [cost, *pytensor.grad(cost, wrt)]


@pytest.mark.parametrize(
    "kind",
    [
        "two steps back", "a sequence read at two places", "a sequence read backwards", "every second entry",
        "sequences of two lengths", "no state", "a number of steps",
    ],
)  # fmt: skip
def test_scans_of_other_kinds_are_right(kind):
    compare(*scalar_scan(kind))


def test_a_scan_with_two_earlier_states_stays_a_scan():
    _, _, outputs = scalar_scan("two steps back")
    graph, forward, backward = restated(outputs[:1])
    assert not forward and not backward and count(graph.toposort(), Scan) == 1


def test_a_scan_that_stops_by_itself_stays_a_scan():
    y = pytensor.scan(lambda y: (2 * y, until(y > 20)), outputs_info=[pt.ones(())], n_steps=10, return_updates=False)
    graph, forward, backward = restated([y[-1]])
    assert not forward and not backward and count(graph.toposort(), Scan) == 1


# ---------------------------------------------------------------- what depends on a frame alone


def rewritten(name, predicts, **changes):
    """Options, and the FunctionGraph that the speed layer makes of the prediction or the update of a variant."""
    options = TINY.replace(**{**VARIANTS[name], "n_layers_lstm": 1} | changes)
    params = init_tparams(actrec.init_params(options))
    model = actrec.build_model(params, options, training=not predicts)
    outputs = [model.probs] if predicts else [model.cost, *pytensor.grad(model.cost, list(params.values()))]
    frames = [model.frames] if model.fine is None else [model.frames, model.fine]
    inputs = [*frames, *(v for v in graph_inputs(outputs) if v not in frames and not isinstance(v, Constant))]
    graph = FunctionGraph(inputs, outputs, clone=True)
    rewrite(graph, graph.inputs[: len(frames)], predicts)
    return options, graph


def loops_of(graph):
    return [node.op.inner.toposort() for node in graph.toposort() if isinstance(node.op, Loop)]


@pytest.mark.parametrize("predicts", [True, False])
@pytest.mark.parametrize("name", ["average_pooled_lstm", "max_pooled_lstm"])
def test_pooling_is_done_once_per_frame(name, predicts):
    """No loop reduces over locations, and the means or maxima of a frame table are computed once for it."""
    options, graph = rewritten(name, predicts)
    forward, *backward = loops_of(graph)
    assert len(backward) == (0 if predicts else 1)
    assert count(forward, CAReduce, WeightedSum, FrameSums) == 0
    # in prediction even the product of a mean with W is computed once per frame
    width = 4 * options.dim if predicts else options.ctx_dim
    assert [node.inputs[0].type.shape[1:] for node in forward if taken_rows(node)] == [(width,)]
    tables = split_tables(graph, graph.inputs[:1])["tables"]
    # the mean over locations of Eq. 6; and what the LSTM reads
    assert sorted(v.type.ndim for v in tables.outputs) == [2, 2]
    n_sums, n_maxima = (2, 0) if name == "average_pooled_lstm" else (1, 1)
    assert (count(tables.toposort(), FrameSums), count(tables.toposort(), CAReduce)) == (n_sums, n_maxima)


def test_cubes_are_projected_once_per_frame_in_prediction_alone():
    """In an update a batch holds few frames twice, and the frame table holds many that are not in the batch."""
    options, graph = rewritten("attention_mlp_lambda0", predicts=True)
    (forward,) = loops_of(graph)
    assert count(forward, CubesDot) == 0
    shapes = [node.outputs[0].type.shape for node in graph.toposort() if isinstance(node.op, (Dot, CubesDot))]
    assert sum(shape[-1:] == (options.ctx_dim,) and None in shape for shape in shapes) == 1
    options, graph = rewritten("attention_mlp_lambda0", predicts=False)
    forward, backward = loops_of(graph)
    assert count(forward, CubesDot) == 1 and count(backward, CubesDot) == 0  # the backward loop reads what was kept
    assert count(backward, CubesOuter) == 1 and count(forward, CubesOuter) == 0


def test_glimpses_of_location_attention_meet_their_kernels():
    _, graph = rewritten("attention_lambda0", predicts=False)
    forward, backward = loops_of(graph)
    assert [count(forward, op) for op in (WeightedSum, LocationScores, BatchedDot)] == [1, 0, 0]
    assert [count(backward, op) for op in (WeightedSum, LocationScores, BatchedDot)] == [0, 1, 0]
    assert count(forward, FewRowsDot) == 2  # scores of locations; [x, h] with [W; U]
    assert count(graph.toposort(), Scan) == 0


@pytest.mark.parametrize("predicts, focus, k", [(True, "hybrid", 3), (False, "hybrid", 3), (False, "hard", 1)])
def test_only_features_of_chosen_locations_are_read(predicts, focus, k, monkeypatch):
    """All Scans become Loops, and no Loop takes whole cubes."""
    monkeypatch.setitem(VARIANTS, "focused", {"focus": focus, "top_k": k})
    options, graph = rewritten("focused", predicts)
    assert count(graph.toposort(), Scan) == 0
    for nodes in loops_of(graph):
        assert count(nodes, WeightedSum, LocationScores, ArgSortOp) == 0
        assert not any(taken_rows(node) and node.inputs[0].type.ndim == 3 for node in nodes)
        shapes = {node.outputs[0].type.shape for node in nodes if is_read(node)}
        assert shapes <= {(options.batch_size, k, options.ctx_dim)}
    forward = loops_of(graph)[0]
    assert sum(is_read(node) for node in forward) == 1 and count(forward, Largest) == (focus == "hybrid")


def is_read(node):
    return isinstance(node.op, AdvancedSubtensor) and node.inputs[0].type.ndim == 3


def test_largest_on_jax_equals_numpy():
    x = np.random.default_rng(0).random((6, 9)).astype("float32")
    x[0] = 0.5  # of equal entries, the first
    v = pt.tensor("x", shape=(6, 9), dtype="float32")
    expected = np.argsort(-x, axis=1, kind="stable")[:, :4]
    for mode in ("JAX", "FAST_COMPILE"):
        np.testing.assert_array_equal(pytensor.function([v], kernels.Largest(4)(v), mode=mode)(x), expected)


def test_both_layers_meet_the_kernels_of_one():
    """A weighted sum of each layer; nothing projects all locations; and the mean of Eq. 6 once for each frame table."""
    _, graph = rewritten("both_layers", predicts=False)
    forward, backward = loops_of(graph)
    assert [count(forward, op) for op in (WeightedSum, LocationScores, BatchedDot, CubesDot)] == [2, 0, 0, 0]
    assert [count(backward, op) for op in (WeightedSum, LocationScores, BatchedDot, CubesOuter)] == [0, 2, 0, 0]
    tables = split_tables(graph, graph.inputs[:2])["tables"]
    assert count(tables.toposort(), FrameSums) == len(tables.outputs) == 2


def test_each_layer_is_projected_once_per_frame_in_prediction():
    options, graph = rewritten("layer_then_place", predicts=True)
    (forward,) = loops_of(graph)
    assert count(forward, CubesDot) == 0
    shapes = [node.outputs[0].type.shape for node in graph.toposort() if isinstance(node.op, (Dot, CubesDot))]
    assert sum(shape[-1:] == (options.common_dim,) and None in shape for shape in shapes) == 2


@pytest.mark.parametrize("transposed_first", [True, False])
def test_a_product_with_reshaped_cubes_is_right(transposed_first):
    """Only (B, L, D) and (B L, D) are cubes to the kernels, not the matrix (B D, L) that has L columns too."""
    rng = np.random.default_rng(0)
    frames, rows = pt.tensor("frames", shape=(None, N, D)), pt.tensor("rows", dtype="int32", shape=(B,))
    X, W = frames[rows], pt.tensor("W", shape=(N if transposed_first else D, 2))
    X = X.transpose((0, 2, 1)).reshape((B * D, N)) if transposed_first else X.reshape((B * N, D))
    product = pt.dot(X, W)
    values = [rng.normal(size=(7, N, D)), np.array([5, 0, 5], "int32"), rng.normal(size=W.type.shape)]
    compare([frames, rows, W], values, [product, pytensor.grad((product**2).sum(), W)])


@pytest.mark.parametrize("name", ["average_pooled_lstm", "attention_mlp_lambda0", "softmax_regression"])
@pytest.mark.parametrize("n_frames", [1, 50])
def test_tables_of_fewer_and_of_more_frames_than_a_batch_reads(name, n_frames):
    """A batch reads T B = 12 frames."""
    options = TINY.replace(**{**VARIANTS[name], "n_layers_lstm": 1})
    model, batch = make_model(options), make_batch(options, n_frames=n_frames)
    expected, _, _ = numpy_model.forward(
        {k: np.array(v.get_value()) for k, v in model.tparams.items()}, options, batch.frames[batch.index], batch.mask
    )
    np.testing.assert_allclose(model.predict(batch)[0], expected, rtol=1e-10)


def test_tables_are_computed_once_for_a_frame_table(monkeypatch):
    """Again only when another one is given; and the results are those of the table that was given."""
    options = TINY.replace(**VARIANTS["average_pooled_lstm"])
    model, run, parts = make_model(options), compiling.JaxFunction._run, []

    def recorded(function, part, args):
        parts.append(part)
        return run(function, part, args)

    monkeypatch.setattr(compiling.JaxFunction, "_run", recorded)
    first, other = (make_batch(options, seed) for seed in (0, 1))
    expected = {id(batch): model.predict(batch)[0] for batch in (first, other)}
    for batch in (first, other):
        batch.frames = model.frames(batch.frames)
    parts.clear()
    for batch, n_tables in ((first, 1), (first, 1), (other, 2), (other, 2), (first, 3)):
        np.testing.assert_array_equal(model.predict(batch)[0], expected[id(batch)])
        assert parts.count("tables") == n_tables
    assert parts.count("main") == 5


# ---------------------------------------------------------------- kernels


def kernel_inputs(kernel, n_rows):
    """Inputs of a kernel for n_rows rows of 11 frames."""
    rng, L, depth, k = np.random.default_rng(0), 4, 6, 3
    frames = rng.normal(size=(11, L, depth)).astype("float32")
    rows = rng.integers(0, 11, n_rows).astype("int32")
    x = {
        WeightedSum: (n_rows, L), LocationScores: (n_rows, depth), CubesDot: (depth, k), CubesOuter: (n_rows, L, k),
        FewRowsDot: (n_rows, depth),
    }[kernel]  # fmt: skip
    x = rng.normal(size=x)
    return (x, rng.normal(size=(k, depth))) if kernel is FewRowsDot else (x, frames, rows)


@pytest.mark.parametrize("most", [None, 1, 2, 4])
@pytest.mark.parametrize("n_rows", [1, 7, 8, 12])
@pytest.mark.parametrize("kernel", kernels.FUNCTIONS)
def test_kernels_on_jax_equal_numpy(kernel, n_rows, most, monkeypatch):
    """With one group of rows and with several, and of 7 rows, which no group but 1 and 7 divides."""
    if most:
        group_size, sizes = kernels.group_size, []
        monkeypatch.setattr(kernels, "group_size", lambda n, _: sizes.append(group_size(n, most)) or sizes[-1])
    inputs = kernel_inputs(kernel, n_rows)
    expected = kernel.compute(*inputs)
    found = kernels.FUNCTIONS[kernel](*map(jnp.asarray, inputs))
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert found.dtype == "float64" and found.shape == kernel.shape(*(np.shape(v) for v in inputs))
    if most and kernel is not FewRowsDot:
        assert len(sizes) == 1 and n_rows % sizes[0] == 0 and sizes[0] <= most


def test_perform_of_a_kernel_is_numpy():
    """Without JAX a rewritten graph can be evaluated too."""
    for kernel in kernels.FUNCTIONS:
        inputs = kernel_inputs(kernel, 7)
        variables = [pt.as_tensor(v) for v in inputs]
        found = pytensor.function([], kernel()(*variables), mode="FAST_COMPILE")()
        np.testing.assert_array_equal(found, kernel.compute(*inputs))


@pytest.mark.parametrize("n", [1, 7, 16, 33])
def test_sums_of_frames(n):
    frames = np.random.default_rng(0).normal(size=(n, N, D)).astype("float16")
    variable = FrameSums("float64")(pt.as_tensor(frames))
    found = backends.compile_function({pt.tensor("dummy", shape=(1, 1, 1)): None}, variable)(np.zeros((1, 1, 1)))
    np.testing.assert_allclose(found, frames.sum(axis=1, dtype="float64"), rtol=1e-12)
    np.testing.assert_array_equal(variable.eval(), frames.sum(axis=1, dtype="float64"))


@pytest.mark.parametrize("n, most, size", [(12, 5, 4), (12, 100, 12), (7, 6, 1), (7, 0, 1), (8, 8, 8)])
def test_size_of_groups(n, most, size):
    assert kernels.on_cpu() and kernels.group_size(n, most) == size


def test_without_a_cpu_there_are_no_groups(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert kernels.group_size(12, 5) == 12
