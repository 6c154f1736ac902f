"""The graph against the equations in NumPy, finite differences, itself unrolled, and itself on other backends."""

import functools

import numpy as np
import numpy_model
import pytensor
import pytensor.tensor as pt
import pytest

from visual_attention import actrec, backends, layers
from visual_attention.experiment import parameters, run_folder
from visual_attention.experiment.parameters import trained_model
from visual_attention.model import Functions, Model, draw_masks, model_for
from visual_attention.options import MODELS, RECIPES, TABLE1, Options, graph_options
from visual_attention.util.data_handler import Batch

TINY = Options(
    dim=5, dim_out=4, ctx_dim=6, n_locations=9, n_actions=3, n_layers_lstm=1, maxlen=4, batch_size=3,
    optimizer="sgd", lrate=1.0, floatX="float64", alpha_c=0.7, decay_c=0.01,
)  # fmt: skip
RELEASED = {name: RECIPES["released"]["embedded"][name] for name in ("attention", "dropout", "cost")}
TWO_LAYERS = {"fine_locations": 16, "fine_dim": 4, "common_dim": 7}
VARIANTS = {name: {**MODELS[name], "alpha_c": 0.7} for name in TABLE1 if "lambda1" not in name}
for name in ("attention_lambda0", "attention_mlp_lambda0"):
    VARIANTS[name]["n_layers_lstm"] = 2  # stacks are tested with these two and with all switches
VARIANTS |= {
    "hybrid": {"focus": "hybrid", "top_k": 4},
    "no_dropout": {"use_dropout": False},
    "multilabel": {"multilabel": True},
    "all_switches": {"n_layers_lstm": 2, "attention": "mlp", "n_layers_att": 3, "n_layers_out": 2, "ctx2out": True,
                     "selector": True, "temperature_inverse": 2.0},
    "selector_and_ctx2out_of_the_mean": {"pooling": "mean", "selector": True, "ctx2out": True},
    "released": {**RELEASED, "n_layers_att": 2, "n_layers_out": 3, "n_layers_init": 2, "ctx2out": True,
                 "selector": True},
    "released_multilabel": {**RELEASED, "multilabel": True, "n_layers_init": 3},
    "both_layers": {**TWO_LAYERS, "resolutions": "both"},
    "layer_then_place": {**TWO_LAYERS, "resolutions": "choose", "attention": "mlp"},
    "location_as_released": {**RELEASED, "attention": "location", "temperature_inverse": 0.5, "selector": True},
}  # fmt: skip


def make_batch(options, seed=0, n_frames=20):
    """Windows that share frames; time-steps of one are masked, and the last window is padding."""
    rng = np.random.default_rng(seed)
    T, B, C = options.maxlen, options.batch_size, options.n_actions
    shape = options.n_locations, options.ctx_dim
    if options.resolutions != "one":  # both layers one after another
        shape = (int(np.prod(shape)) + options.fine_locations * options.fine_dim,)
    frames = rng.standard_normal((n_frames, *shape)).astype(options.floatX)
    mask = np.ones((T, B), options.floatX)
    mask[2:, 0] = 0
    mask[:, -1] = 0
    y = rng.integers(0, 2, (B, C)) if options.multilabel else rng.integers(0, C, B)
    index = rng.integers(0, n_frames, (T, B)).astype("int32")
    return Batch(frames, index, mask, y.astype("int32"), np.arange(B))


compiled = functools.lru_cache(lambda options: Functions(options, options.floatX))


def make_model(options, seed=0):
    """A model whose parameters are all far from 0, so that every path counts; compiled once for all tests."""
    model, rng = Model(options, functions=compiled(graph_options(options))), np.random.default_rng(seed)
    for variable in model.tparams.values():
        variable.set_value(rng.normal(0, 0.5, variable.get_value().shape).astype(options.floatX))
    return model


def values(model):
    return {name: np.array(variable.get_value()) for name, variable in model.tparams.items()}


def dropout_masks(options, rng):
    """An update's dropout masks from one draw of random bytes: name -> mask of 0 and 2 (released: 1)."""
    if not options.use_dropout or options.pooling == "cube":
        return None
    T, B, d, D = options.maxlen, options.batch_size, options.dim, options.depth
    shapes = {f"init_{k}": (B, D) for k in range(1, options.n_layers_init)}
    if options.dropout == "paper":
        shapes |= {f"layer_{k}": (T, B, d if k else D) for k in range(options.n_layers_lstm)}
    shapes["head_h"] = T, B, d
    if options.ctx2out and options.dropout == "paper":
        shapes["head_ctx"] = T, B, D
    shapes["head_hidden"] = T, B, options.dim_out
    shapes |= {f"head_{k}": (T, B, options.dim_out) for k in range(1, options.n_layers_out)}
    size = sum(int(np.prod(rows)) * -(-n // 8) for *rows, n in shapes.values())
    data, masks, start = np.frombuffer(rng.bytes(size), "uint8"), {}, 0
    for name, (*rows, n) in shapes.items():
        n_bytes = int(np.prod(rows)) * -(-n // 8)
        bits = np.unpackbits(data[start : start + n_bytes].reshape(*rows, -1), axis=-1, bitorder="little")
        kept = 2.0 if options.dropout == "paper" else 1.0
        masks[name], start = kept * bits[..., :n], start + n_bytes
    return masks


def assert_prediction_equals_numpy(model, batch):
    probs, alpha = model.predict(batch)
    x = batch.frames[batch.index]
    expected, _, expected_alpha = numpy_model.forward(values(model), model.options, x, batch.mask)
    np.testing.assert_allclose(probs, expected, rtol=1e-10)
    assert (alpha is None) == (expected_alpha is None)
    if alpha is not None:
        np.testing.assert_allclose(alpha, expected_alpha, rtol=1e-10)


def slope(options, params, direction, *arguments):
    """Derivative of NumPy's cost along a direction, exact except for rounding, from an imaginary step."""
    moved = {name: value + 1e-30j * direction.get(name, 0) for name, value in params.items()}
    return numpy_model.cost(moved, options, *arguments).imag / 1e-30


def assert_update_equals_numpy(model, batch):
    """With sgd at rate 1 an update subtracts the gradient. Checked along random directions, with dropout on."""
    before, rng, drop = values(model), np.random.default_rng(6), dropout_masks(model.options, np.random.default_rng(5))
    arguments = batch.frames[batch.index], batch.mask, batch.y, drop
    cost = model.update(batch, np.random.default_rng(5))
    np.testing.assert_allclose(cost, numpy_model.cost(before, model.options, *arguments), rtol=1e-10)
    for name, after in values(model).items():
        direction = rng.standard_normal(after.shape)
        found = ((before[name] - after) * direction).sum()
        expected = slope(model.options, before, {name: direction}, *arguments)
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("name", VARIANTS)
def test_prediction_equals_numpy(name):
    options = TINY.replace(**VARIANTS[name])
    assert_prediction_equals_numpy(make_model(options), make_batch(options))


@pytest.mark.parametrize("name", VARIANTS)
def test_update_equals_numpy(name):
    options = TINY.replace(**VARIANTS[name])
    assert_update_equals_numpy(make_model(options), make_batch(options))


@pytest.mark.parametrize("name", ["attention_lambda0", "attention_mlp_lambda0"])
def test_scan_equals_unrolled(name):
    options = TINY.replace(**VARIANTS[name])
    model, batch = make_model(options), make_batch(options)
    frames, index, mask = (pt.as_tensor(v) for v in (batch.frames, batch.index, batch.mask))
    h, c = actrec.initial_state(model.tparams, options, actrec.cubes(frames, index), {})
    alpha = pt.full((options.batch_size, options.n_locations), 1 / options.n_locations)
    tops, contexts, glimpses = [], [], []
    for t in range(options.maxlen):
        X = actrec.cubes(frames, index[t])
        h, c, alpha, ctx = actrec.step(model.tparams, options, X, mask[t], {}, h, c, alpha, None)
        tops.append(h[-1])
        contexts.append(ctx)
        glimpses.append(alpha)
    logits = actrec.class_logits(model.tparams, options, pt.stack(tops), pt.stack(contexts), {})
    unrolled = pytensor.function([], [pt.special.softmax(logits, axis=-1), pt.stack(glimpses)], mode="JAX")()
    for a, b in zip(model.predict(batch), unrolled, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


def outputs_of(options, updates):
    """Predictions, and costs and parameters of some updates by Adam."""
    model, batch, rng = make_model(options), make_batch(options), np.random.default_rng(3)
    probs, alpha = model.predict(batch)
    costs = [model.update(batch, rng) for _ in range(updates)]
    return [probs, np.array(costs), *([] if alpha is None else [alpha]), *values(model).values()]


@pytest.mark.parametrize(
    "name, changes, backend_name, updates",
    [
        # Several labels change the head and the cost alone.
        ("softmax_regression", {"multilabel": True}, "c", 2),
        ("max_pooled_lstm", {}, "c", 0),  # its update is the others' but for the gradient of a maximum
        ("attention_lambda0", {}, "c", 2),
        ("attention_mlp_lambda0", {}, "c", 2),
        # NUMBA takes minutes to compile an update of an LSTM, so it predicts with one and updates what has none
        ("attention_lambda0", {}, "numba", 0),
        ("softmax_regression", {}, "numba", 2),
    ],
)
def test_backend_equals_jax(name, changes, backend_name, updates):
    options = TINY.replace(**{**VARIANTS[name], "n_layers_lstm": 1, "optimizer": "adam", "lrate": 0.01} | changes)
    expected, found = (outputs_of(o, updates) for o in (options, options.replace(backend=backend_name)))
    for a, b in zip(expected, found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


def test_float32_equals_float64():
    options = TINY.replace(optimizer="adam", lrate=0.01)
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
    backends.set_precision("float64", "c")
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


@pytest.mark.parametrize("name", ["attention_lambda0", "released"])
def test_dropout_masks_are_the_random_bits_in_order(name):
    """Each mask keeps half; the masks together are one draw of bytes, of which the last bits of a row are not used."""
    options = TINY.replace(**VARIANTS[name], dim=125, dim_out=997, ctx_dim=61)
    masks, rng = draw_masks(options, np.random.default_rng(5)), np.random.default_rng(5)
    expected = dropout_masks(options, rng)
    assert len(masks) == len(expected) >= 3 and all(mask.dtype == np.uint8 for mask in masks)
    kept = 2 if options.dropout == "paper" else 1
    for mask, scaled in zip(masks, expected.values(), strict=True):
        np.testing.assert_array_equal(kept * mask, scaled)
        assert set(np.unique(mask)) == {0, 1} and abs(mask.mean() - 0.5) < 3 * 0.5 / np.sqrt(mask.size)
    rng_of_masks = np.random.default_rng(5)
    draw_masks(options, rng_of_masks)
    assert rng_of_masks.bytes(8) == rng.bytes(8)


def test_orthogonal_weights():
    """They are Q of NumPy's QR decomposition, with the signs that make the diagonal of R positive."""
    weights = layers.ortho_weight(np.random.RandomState(0), 40, "glorot")
    Q, R = np.linalg.qr(np.random.RandomState(0).randn(40, 40))
    np.testing.assert_allclose(weights, Q * np.sign(np.diag(R)), rtol=0, atol=1e-14)
    np.testing.assert_allclose(weights.T @ weights, np.eye(40), rtol=0, atol=1e-14)


def test_dropout_keeps_the_expectation():
    """`paper` doubles in training what it keeps, `released` halves in testing."""
    x, mask = np.array([1.0, -3.0]), np.array([1, 0], "uint8")
    for convention, training, testing in (("paper", [2, 0], [1, -3]), ("released", [1, 0], [0.5, -1.5])):
        options = TINY.replace(dropout=convention)
        np.testing.assert_array_equal(layers.dropout(pt.as_tensor(x), options, pt.as_tensor(mask)).eval(), training)
        np.testing.assert_array_equal(layers.dropout(pt.as_tensor(x), options).eval(), testing)
        options = options.replace(use_dropout=False)
        np.testing.assert_array_equal(layers.dropout(pt.as_tensor(x), options).eval(), x)


def test_lambda_is_a_number_in_one_graph():
    """The three lambdas of Table 1 share what is compiled, and their costs differ by the penalty."""
    batch, costs, functions = make_batch(TINY), {}, set()
    for alpha_c in (0.0, 1.0, 10.0):
        model = model_for(TINY.replace(alpha_c=alpha_c), "float64")
        functions.add(model.functions.compiled_update)
        costs[alpha_c] = model.update(batch, np.random.default_rng(0))
    assert len(functions) == 1
    np.testing.assert_allclose(costs[10.0] - costs[0.0], 10 * (costs[1.0] - costs[0.0]), rtol=1e-6)
    assert costs[1.0] > costs[0.0]


@pytest.mark.parametrize("backend_name, name", [("jax", "average_pooled_lstm"), ("c", "softmax_regression")])
def test_models_of_one_graph_share_what_is_compiled_and_nothing_else(backend_name, name, tmp_path):
    """Two runs' models side by side, updated in turns, are what each would be alone."""
    options = TINY.replace(**VARIANTS[name], optimizer="adam", lrate=0.1, backend=backend_name)
    batch, alone = make_batch(options), []
    for seed in (1, 2):
        run_folder.open_run(tmp_path / str(seed), options, "digest", tmp_path)
        parameters.write_params(tmp_path / str(seed) / "model.npz", make_model(options, seed), [])
        model = trained_model(tmp_path / str(seed), "float64")
        predicted, rng = model.predict(batch)[0], np.random.default_rng(0)
        costs = [model.update(batch, rng) for _ in range(3)]
        alone.append((predicted, costs, model.predict(batch)[0]))
    assert not np.allclose(alone[0][0], alone[1][0])
    models = [trained_model(tmp_path / str(seed), "float64") for seed in (1, 2)]
    predicted = [model.predict(batch)[0] for model in models]
    rngs = [np.random.default_rng(0), np.random.default_rng(0)]
    costs = [[model.update(batch, rng) for model, rng in zip(models, rngs, strict=True)] for _ in range(3)]
    for k, model in enumerate(models):
        together = predicted[k], [pair[k] for pair in costs], model.predict(batch)[0]
        for a, b in zip(alone[k], together, strict=True):
            np.testing.assert_array_equal(a, b)
    assert models[0].functions is models[1].functions


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
