"""The graph against the equations in NumPy, finite differences, itself unrolled, and itself on other backends."""

import functools

import numpy as np
import numpy_model
import pytensor
import pytensor.tensor as pt
import pytest

from visual_attention import actrec, backend, layers
from visual_attention.model import Model
from visual_attention.options import MODELS, RECIPES, Options
from visual_attention.util.data_handler import Batch

TINY = Options(
    dim=5, dim_out=4, ctx_dim=6, n_locations=9, n_actions=3, n_layers_lstm=2, maxlen=4, batch_size=3,
    optimizer="sgd", lrate=1.0, floatX="float64", alpha_c=0.7, decay_c=0.01,
)  # fmt: skip
RELEASED = {name: RECIPES["released"]["embedded"][name] for name in ("attention", "n_layers_lstm", "dropout", "cost")}
VARIANTS = {name: {**changes, "alpha_c": 0.7} for name, changes in MODELS.items() if "lambda1" not in name}
VARIANTS |= {
    "one_layer": {"n_layers_lstm": 1},
    "no_dropout": {"use_dropout": False},
    "multilabel": {"multilabel": True},
    "all_switches": {"attention": "mlp", "n_layers_att": 3, "n_layers_out": 2, "ctx2out": True, "selector": True,
                     "temperature_inverse": 2.0},
    "selector_and_ctx2out_of_the_mean": {"pooling": "mean", "selector": True, "ctx2out": True},
    "released": {**RELEASED, "n_layers_att": 2, "n_layers_out": 3, "n_layers_init": 2, "ctx2out": True,
                 "selector": True},
    "released_multilabel": {**RELEASED, "multilabel": True, "n_layers_init": 3},
    "location_as_released": {**RELEASED, "attention": "location", "temperature_inverse": 0.5, "selector": True},
}  # fmt: skip


def make_batch(options, seed=0, n_frames=20):
    """Windows that share frames; time-steps of one are masked, and the last window is padding."""
    rng = np.random.default_rng(seed)
    T, B, C = options.maxlen, options.batch_size, options.n_actions
    frames = rng.standard_normal((n_frames, options.n_locations, options.ctx_dim)).astype(options.floatX)
    mask = np.ones((T, B), options.floatX)
    mask[2:, 0] = 0
    mask[:, -1] = 0
    y = rng.integers(0, 2, (B, C)) if options.multilabel else rng.integers(0, C, B)
    index = rng.integers(0, n_frames, (T, B)).astype("int32")
    return Batch(frames, index, mask, y.astype("int32"), np.arange(B))


compiled = functools.lru_cache(lambda options: Model(options, options.floatX))


def make_model(options, seed=0):
    """A model whose parameters are all far from 0, so that every path counts; compiled once for all tests."""
    model, rng = compiled(options), np.random.default_rng(seed)
    backend.set_precision(options.floatX, options.backend)
    model.start(options)
    for variable in model.tparams.values():
        variable.set_value(rng.normal(0, 0.5, variable.get_value().shape).astype(options.floatX))
    return model


def values(model):
    return {name: np.array(variable.get_value()) for name, variable in model.tparams.items()}


def dropout_masks(options, rng, size):
    """What the graph's bits mean: name -> mask of 0 and 2 (released: 1), in the graph's order."""
    T, B, d, D = options.maxlen, options.batch_size, options.dim, options.ctx_dim
    shapes = {f"init_{k}": (B, D) for k in range(1, options.n_layers_init)}
    if options.dropout == "paper":
        shapes |= {f"layer_{k}": (T, B, d if k else D) for k in range(options.n_layers_lstm)}
    shapes["head_h"] = T, B, d
    if options.ctx2out and options.dropout == "paper":
        shapes["head_ctx"] = T, B, D
    shapes["head_hidden"] = T, B, options.dim_out
    shapes |= {f"head_{k}": (T, B, options.dim_out) for k in range(1, options.n_layers_out)}
    data, masks, start = np.frombuffer(rng.bytes(size), "uint8"), {}, 0
    for name, (*rows, n) in shapes.items():
        n_bytes = int(np.prod(rows)) * -(-n // 8)
        bits = np.unpackbits(data[start : start + n_bytes].reshape(*rows, -1), axis=-1, bitorder="little")
        kept = 2.0 if options.dropout == "paper" else 1.0
        masks[name], start = kept * bits[..., :n], start + n_bytes
    assert start == size
    return masks


@pytest.mark.parametrize("name", VARIANTS)
def test_prediction_equals_numpy(name):
    options = TINY.replace(**VARIANTS[name])
    model, batch = make_model(options), make_batch(options)
    probs, alpha = model.predict(batch)
    expected, _, expected_alpha = numpy_model.forward(values(model), options, batch.frames[batch.index], batch.mask)
    np.testing.assert_allclose(probs, expected, rtol=1e-10)
    assert (alpha is None) == (expected_alpha is None)
    if alpha is not None:
        np.testing.assert_allclose(alpha, expected_alpha, rtol=1e-10)


@pytest.mark.parametrize("name", [name for name in VARIANTS])
def test_update_equals_finite_differences_of_numpy_cost(name):
    """With sgd at rate 1 an update subtracts the gradient. Checked along random directions, with dropout on."""
    options = TINY.replace(**VARIANTS[name])
    model, batch = make_model(options), make_batch(options)
    before, x = values(model), batch.frames[batch.index]
    dropout = model.graph.dropout
    drop = dropout_masks(options, np.random.default_rng(5), dropout.size) if dropout else None
    cost = model.update(batch, np.random.default_rng(5))
    np.testing.assert_allclose(cost, numpy_model.cost(before, options, x, batch.mask, batch.y, drop), rtol=1e-10)
    gradient, rng, e = {k: before[k] - v for k, v in values(model).items()}, np.random.default_rng(6), 1e-5
    for parameter, g in gradient.items():
        direction = rng.standard_normal(g.shape)
        up, down = (
            numpy_model.cost({**before, parameter: before[parameter] + s * e * direction}, options, x, batch.mask,
                             batch.y, drop)
            for s in (1, -1)
        )  # fmt: skip
        slope = (up - down) / (2 * e)
        np.testing.assert_allclose((g * direction).sum(), slope, rtol=1e-6, atol=1e-8, err_msg=parameter)


@pytest.mark.parametrize("name", ["attention_lambda0", "attention_mlp_lambda0"])
def test_scan_equals_unrolled(name):
    options = TINY.replace(**VARIANTS[name])
    model, batch = make_model(options), make_batch(options)
    T, n = options.maxlen, options.n_layers_lstm
    frames, index, mask = (pt.as_tensor(v) for v in (batch.frames, batch.index, batch.mask))
    h, c = actrec.initial_state(model.tparams, options, frames.mean(axis=1), index)
    table = {"frames": frames}
    top, glimpses = [], []
    for t in range(T):
        now = layers.lstm_cond_step(model.tparams, options, table, index[t], mask[t], None, h, c)
        h, c = ([now[layers.layer_name(letter, k)] for k in range(n)] for letter in "hc")
        top.append(h[n - 1])
        glimpses.append(now["alpha"])
    probs = actrec.class_probabilities(actrec.class_logits(model.tparams, options, pt.stack(top), None))
    unrolled = pytensor.function([], [probs, pt.stack(glimpses)], mode="JAX")()
    for a, b in zip(model.predict(batch), unrolled, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


def outputs_of(options, updates):
    """Predictions, and costs and parameters of some updates by Adam."""
    model, batch, rng = make_model(options), make_batch(options), np.random.default_rng(3)
    probs, alpha = model.predict(batch)
    costs = [model.update(batch, rng) for _ in range(updates)]
    return [probs, np.array(costs), *([] if alpha is None else [alpha]), *values(model).values()]


@pytest.mark.parametrize(
    "name, backend_name, updates",
    [(name, "c", 2) for name in [*MODELS, "multilabel"] if "lambda1" not in name]
    # NUMBA takes minutes to compile an update of an LSTM, so it predicts with one and updates what has none
    + [("attention_lambda0", "numba", 0), ("softmax_regression", "numba", 2)],
)
def test_backend_equals_jax(name, backend_name, updates):
    options = TINY.replace(**{**VARIANTS[name], "n_layers_lstm": 1, "optimizer": "adam", "lrate": 0.01})
    expected, found = (outputs_of(o, updates) for o in (options, options.replace(backend=backend_name)))
    for a, b in zip(expected, found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


def test_float32_equals_float64():
    options = TINY.replace(**VARIANTS["attention_lambda0"], n_layers_lstm=1, optimizer="adam", lrate=0.01)
    for a, b in zip(outputs_of(options.replace(floatX="float32"), 2), outputs_of(options, 2), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["attention_lambda0", "attention_mlp_lambda0"])
def test_padding_changes_nothing(name):
    """Whatever frames and label a padded window points at, cost and update stay the same to the last bit."""
    options = TINY.replace(**VARIANTS[name])
    model, batch, results = make_model(options), make_batch(options), []
    start = values(model)
    for row in (0, 7):
        for name, value in start.items():
            model.tparams[name].set_value(value)
        batch.index[:, -1], batch.y[-1] = row, row % 3
        cost = model.update(batch, np.random.default_rng(3))
        results.append([cost, *values(model).values()])
    for a, b in zip(*results, strict=True):
        np.testing.assert_array_equal(a, b)


def test_mask_zero_carries_the_state_over():
    """A window masked from step 2 on predicts at all later steps what it predicted at step 1."""
    options = TINY.replace(**VARIANTS["attention_lambda0"])
    probs, _ = make_model(options).predict(make_batch(options))
    np.testing.assert_allclose(probs[2:, 0], np.broadcast_to(probs[1, 0], probs[2:, 0].shape), rtol=1e-12)
    assert np.abs(probs[1, 0] - probs[0, 0]).max() > 1e-3


def test_saturated_logits_give_finite_cost_and_update():
    for multilabel in (False, True):
        options = TINY.replace(**VARIANTS["multilabel" if multilabel else "attention_lambda0"])
        model, batch = make_model(options), make_batch(options)
        model.tparams["ff_logit_b"].set_value(np.array([500.0, -500.0, 0.0]))
        batch.y[:] = 1 if not multilabel else [0, 1, 1]  # as wrong as can be
        cost = model.update(batch, np.random.default_rng(0))
        assert 400 < cost < 1e5
        assert all(np.isfinite(v).all() for v in values(model).values())


def test_adam_is_the_textbook_one():
    backend.set_precision("float64", "c")
    from visual_attention.optimizers import adam

    theta = pytensor.shared(np.array([1.0, -2.0]), name="theta", shape=(2,))
    updates = adam(np.float64(0.1), {"theta": theta}, [pytensor.grad((theta**4).sum(), theta)])
    step = pytensor.function([], [], updates=updates, mode="FAST_COMPILE")
    expected, m, v = np.array([1.0, -2.0]), 0, 0
    for t in range(1, 6):
        step()
        g = 4 * expected**3
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        expected = expected - 0.1 * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
        np.testing.assert_allclose(theta.get_value(), expected, rtol=1e-12)


def test_dropout_keeps_half_and_doubles_it():
    bits = np.random.default_rng(0).integers(0, 256, (50, 125), dtype="uint8")
    masks = layers.unpack(pt.as_tensor(bits), 997).eval()
    assert masks.shape == (50, 997)
    assert set(np.unique(masks)) == {0.0, 2.0}
    assert abs(masks.mean() - 1) < 0.02


def test_lambda_is_a_number_in_one_graph():
    """The three lambdas of Table 1 share what is compiled, and their costs differ by the penalty."""
    from visual_attention.model import model_for

    batch, costs, functions = make_batch(TINY), {}, set()
    for alpha_c in (0.0, 1.0, 10.0):
        model = model_for(TINY.replace(alpha_c=alpha_c, n_layers_lstm=1), "float64")
        functions.add(id(model._update))
        costs[alpha_c] = model.update(batch, np.random.default_rng(0))
    assert len(functions) == 1
    np.testing.assert_allclose(costs[10.0] - costs[0.0], 10 * (costs[1.0] - costs[0.0]), rtol=1e-6)
    assert costs[1.0] > costs[0.0]


@pytest.mark.parametrize(
    "change, message",
    [
        ({"n_layers_lstm": 6}, "option n_layers_lstm is 6; expected 1 to 5"),
        ({"pooling": "sum"}, "option pooling is 'sum'; expected one of attention, mean, max, cube"),
        ({"lrate": float("nan")}, "option lrate is nan; expected at least 0"),
        ({"dim": 0}, "option dim is 0; expected at least 1"),
        ({"dim": 2.5}, "option dim is 2.5; expected a whole number"),
        ({"n_layers_att": 2}, "option n_layers_att is 2; expected 1 with attention location"),
        ({"last_n": -1}, "option last_n is -1; expected at least 0"),
    ],
)
def test_options_out_of_range(change, message):
    with pytest.raises(ValueError) as error:
        Options(**change)
    assert str(error.value) == message
