"""Hard and hybrid attention: REINFORCE against the sum over all paths, draws on every backend, runs and their tests."""

import itertools
import json
import signal
import subprocess

import numpy as np
import numpy_model
import pytensor
import pytensor.tensor as pt
import pytest
from test_model import TINY, make_batch, values
from test_training import arrays, assert_same_run, command, data_folder, train, wait_for  # noqa: F401

from visual_attention import actrec, backends, focus
from visual_attention.experiment.data import load_part
from visual_attention.experiment.evaluation import evaluate, predictions
from visual_attention.experiment.parameters import trained_model
from visual_attention.layers import init_tparams
from visual_attention.model import Model, draw_masks, uniform
from visual_attention.options import Options

L = T = 3
HARD = TINY.replace(
    dim=2, dim_out=2, ctx_dim=2, n_locations=L, n_actions=2, n_layers_init=1, maxlen=T, batch_size=1,
    use_dropout=False, focus="hard", entropy_c=0.3,
)  # fmt: skip
CASES = {
    "location": HARD,
    "mlp": HARD.replace(attention="mlp", baseline="state", half_expectation=True),
}

# ---------------------------------------------------------------- the expected cost, by all paths, in NumPy


def alpha_of(p, options, x, h):
    if options.attention == "location":
        return numpy_model.softmax(h @ p["decoder_W_loc"])
    inner = np.tanh(x @ p["decoder_Wc_att"] + p["decoder_b_att"] + (h @ p["decoder_Wd_att"])[:, None])
    return numpy_model.softmax((inner @ p["decoder_U_att"])[..., 0] + p["decoder_c_tt"])


def follow(p, options, x, mask, y, paths=None):
    """The cost (n,) of a window if the locations of each path (n, T) are drawn, and alpha (T, n, L).

    Without paths: of the expectation, with n = 1.
    """
    n, alphas = 1 if paths is None else len(paths), []

    def glimpse(p, x_t, h, before):
        alphas.append(alpha_of(p, options, x_t, h))
        return alphas[-1] if paths is None else np.eye(L)[paths[:, len(alphas) - 1]]

    probs, *_ = numpy_model.forward(p, options, np.repeat(x, n, axis=1), np.repeat(mask, n, axis=1), glimpse=glimpse)
    alpha = np.stack(alphas)
    cost = -(mask * np.log(probs[:, :, y[0]])).sum(axis=0)
    cost = cost + options.alpha_c * ((1 - (mask[:, :, None] * alpha).sum(axis=0)) ** 2).sum(axis=1)
    return cost + options.entropy_c * (mask[:, :, None] * alpha * np.log(alpha)).sum(axis=(0, 2)), alpha


PATHS = np.array(list(itertools.product(range(L), repeat=T)))  # (27, T)


def at(alpha, paths):
    """alpha (T, n, L) at the locations of paths (n, T) -> (T, n)."""
    return np.take_along_axis(alpha, paths.T[:, :, None], axis=2)[:, :, 0]


def expected_cost(p, *window):
    cost, alpha = follow(p, *window, PATHS)
    return (at(alpha, PATHS).prod(axis=0) * cost).sum()


def exact_gradient(function, p, *window):
    """The gradient of a function of the parameters with weight decay, exact but for rounding: imaginary steps."""
    gradient = {name: np.zeros(value.shape) for name, value in p.items()}
    for name, value in p.items():
        for entry in np.ndindex(value.shape):
            step = np.zeros(value.shape, complex)
            step[entry] = 1e-30j
            gradient[name][entry] = np.imag(function({**p, name: value + step}, *window)) / 1e-30
    return {name: gradient[name] + 2 * window[0].decay_c * value for name, value in p.items()}


# ---------------------------------------------------------------- the estimator


class Estimator:
    """The graph of HARD as a function of parameters, baseline and random numbers."""

    def __init__(self, options):
        backends.set_precision("float64")
        self.options, self.params = options, init_tparams(actrec.init_params(options))
        graph = actrec.build_model(self.params, options, training=True)
        self.average = next(iter(graph.updates), None)
        inputs = [graph.frames, graph.index, graph.mask, graph.y, *graph.masks.values()]
        outputs = [graph.cost, *pytensor.grad(graph.cost, list(self.params.values())), *graph.updates.values()]
        self.function = backends.compile_function(dict.fromkeys(inputs), outputs)
        self.names = list(graph.masks)

    def __call__(self, p, batch, u, is_expected=False):
        """Cost, gradients by name, new baseline."""
        for name, variable in self.params.items():
            variable.set_value(p[name])
        expected = np.full((T, 1), is_expected, "uint8")
        random = [{"focus_uniform": u, "focus_expected": expected}[name] for name in self.names]
        cost, *rest = self.function(batch.frames, batch.index, batch.mask, batch.y, *random)
        return float(cost), dict(zip(p, map(np.asarray, rest), strict=False)), np.asarray(rest[-1])

    def of_all_paths(self, p, batch, window):
        """Probability and gradients of each path."""
        costs, alpha = follow(p, *window, PATHS)
        weights = at(alpha, PATHS)  # (T, 27)
        middles = at(alpha.cumsum(axis=2), PATHS) - weights / 2  # of the drawn locations' parts of [0, 1)
        for k, cost in enumerate(costs):
            found, gradient, _ = self(p, batch, middles[:, k, None])
            np.testing.assert_allclose(found, cost + decay(self.options, p), rtol=1e-12)  # so this path was drawn
            yield weights[:, k].prod(), gradient

    def moments(self, p, batch, window):
        """Mean and variance of the gradients, by name."""
        paths = list(self.of_all_paths(p, batch, window))
        mean = {name: sum(w * g[name] for w, g in paths) for name in p}
        return mean, {name: sum(w * (g[name] - mean[name]) ** 2 for w, g in paths) for name in p}


def decay(options, p):
    return options.decay_c * sum((v**2).sum() for v in p.values())


@pytest.fixture(scope="module", params=CASES)
def case(request):
    """An Estimator, parameters and a batch of one window."""
    options = CASES[request.param]
    estimator, rng = Estimator(options), np.random.default_rng(3)
    p = {name: rng.normal(0, 0.7, v.get_value().shape) for name, v in estimator.params.items()}
    batch = make_batch(options, n_frames=5)
    batch.mask[:] = 1
    return estimator, p, batch


def window_of(estimator, batch):
    return estimator.options, batch.frames[batch.index], batch.mask, batch.y


@pytest.mark.parametrize("n_steps", [3, 2])
def test_mean_over_all_paths_is_the_gradient_of_the_expected_cost(case, n_steps):
    """With a baseline that is 0 and with another one. The last step of a shorter window is masked."""
    estimator, p, batch = case
    batch.mask[:] = (np.arange(T) < n_steps)[:, None]
    window = window_of(estimator, batch)
    own = {name: v for name, v in p.items() if not name.startswith("baseline")}
    expected = exact_gradient(expected_cost, own, *window)
    for scale in (0, 1):
        if estimator.average is not None:
            estimator.average.set_value(scale * np.array([0.9, -2.0, 0.4]))
        q = {name: v if name in own else scale * v for name, v in p.items()}
        mean, _ = estimator.moments(q, batch, window)
        for name, gradient in expected.items():
            np.testing.assert_allclose(mean[name], gradient, rtol=0, atol=1e-10, err_msg=name)
            assert name == "decoder_c_tt" or np.abs(gradient).max() > 1e-4, name
    batch.mask[:] = 1


def test_mean_over_draws_is_the_gradient_of_the_expected_cost(case):
    """Within its error, for the numbers that updates draw."""
    estimator, p, batch = case
    own = {name: v for name, v in p.items() if not name.startswith("baseline")}
    expected = exact_gradient(expected_cost, own, *window_of(estimator, batch))
    rng, draws = np.random.default_rng(0), []
    for _ in range(400):
        gradient = estimator(p, batch, uniform(rng, (T, 1)))[1]
        draws.append(np.concatenate([gradient[name].ravel() for name in own]))
    draws, expected = np.array(draws), np.concatenate([expected[name].ravel() for name in own])
    varies = draws.std(axis=0) > 1e-9
    error = (draws.mean(axis=0) - expected)[varies] / (draws.std(axis=0)[varies] / np.sqrt(len(draws)))
    assert np.abs(error).max() < 4.5 and 0.4 < np.sqrt((error**2).mean()) < 1.8, error


def test_variance_with_a_trained_baseline_is_lower(case):
    """After some updates by gradient descent. Without a baseline: the same estimator with one that is 0."""
    estimator, p, batch = case
    p, rng = {name: v.copy() for name, v in p.items()}, np.random.default_rng(1)
    if estimator.average is not None:
        estimator.average.set_value(np.zeros(T))
    for _ in range(200):
        _, gradient, average = estimator(p, batch, uniform(rng, (T, 1)))
        for name in p:
            p[name] -= 0.02 * gradient[name]
        if estimator.average is not None:
            estimator.average.set_value(average)
    without = {name: np.zeros_like(v) if name.startswith("baseline") else v for name, v in p.items()}
    window = window_of(estimator, batch)
    _, variance = estimator.moments(p, batch, window)
    if estimator.average is not None:
        estimator.average.set_value(np.zeros(T))
    _, variance_without = estimator.moments(without, batch, window)
    own = [name for name in p if not name.startswith("baseline")]
    total, total_without = (sum(v[name].sum() for name in own) for v in (variance, variance_without))
    assert total < 0.9 * total_without, (total, total_without)


def test_windows_that_get_the_expectation_have_its_gradient(case):
    """And the moving average, like the parameters of the other baseline, takes no notice of them."""
    estimator, p, batch = case
    if estimator.average is not None:
        return  # without half_expectation
    cost, gradient, _ = estimator(p, batch, np.zeros((T, 1)), is_expected=True)
    window = window_of(estimator, batch)
    np.testing.assert_allclose(cost, follow(p, *window)[0][0] + decay(estimator.options, p), rtol=1e-12)
    expected = exact_gradient(lambda *arguments: follow(*arguments)[0][0], p, *window)
    for name, g in expected.items():
        np.testing.assert_allclose(gradient[name], g, rtol=0, atol=1e-10, err_msg=name)


def test_moving_average_is_of_what_is_left_of_the_cost(case):
    estimator, p, batch = case
    if estimator.average is None:
        return
    average, window = np.array([0.5, 1.0, 2.0]), window_of(estimator, batch)
    estimator.average.set_value(average)
    _, _, new = estimator(p, batch, np.full((T, 1), 0.4))
    costs, alpha = follow(p, *window, PATHS)
    u_in_part = (at(alpha.cumsum(axis=2), PATHS) > 0.4) & (at(alpha.cumsum(axis=2) - alpha, PATHS) <= 0.4)
    (k,) = np.flatnonzero(u_in_part.all(axis=0))  # the path that was drawn
    options, x, mask, y = window
    steps, alpha = iter(PATHS[k]), alpha[:, k]
    probs, *_ = numpy_model.forward(p, options, x, mask, glimpse=lambda p, x, h, a: np.eye(L)[[next(steps)]])
    of_step = -np.log(probs[:, 0, y[0]]) + options.entropy_c * (alpha * np.log(alpha)).sum(axis=1)
    penalty = options.alpha_c * ((1 - alpha.sum(axis=0)) ** 2).sum()
    np.testing.assert_allclose(of_step.sum() + penalty, costs[k], rtol=1e-12)
    target = [(of_step[t:].sum() + penalty) / (T - t) for t in range(T)]
    np.testing.assert_allclose(new, 0.9 * average + 0.1 * np.array(target), rtol=1e-12)


# ---------------------------------------------------------------- draws


@pytest.mark.parametrize("mode", ["JAX", "CVM", "NUMBA"])
@pytest.mark.filterwarnings("ignore:Numba function argsort")
def test_every_backend_draws_and_chooses_the_same(mode):
    backends.set_precision("float64")
    rng = np.random.default_rng(0)
    alpha = rng.dirichlet(np.full(7, 0.3), 500)
    alpha[0], alpha[1] = np.eye(7)[0], np.eye(7)[6]
    u = uniform(rng, 500)
    a, v = pt.tensor("a", shape=(500, 7), dtype="float64"), pt.tensor("u", shape=(500,), dtype="float64")
    drawn, chosen = pytensor.function([a, v], [focus.draw(a, v), focus.largest(a, 3)], mode=mode)(alpha, u)
    np.testing.assert_array_equal(drawn, [np.flatnonzero(row.cumsum() > x)[0] for row, x in zip(alpha, u, strict=True)])
    np.testing.assert_array_equal(chosen[2:], np.argsort(-alpha[2:], axis=1)[:, :3])
    np.testing.assert_array_equal([len(set(row)) for row in np.asarray(chosen)], 3)


def test_frequencies_of_draws_are_the_weights():
    alpha = np.array([0.1, 0.0, 0.55, 0.35])
    u = (np.arange(10000) + 0.5) / 10000
    drawn = np.asarray(focus.draw(pt.as_tensor(np.tile(alpha, (10000, 1))), pt.as_tensor(u)).eval(mode="FAST_COMPILE"))
    np.testing.assert_allclose(np.bincount(drawn, minlength=4) / 10000, alpha, atol=1e-9)


def test_ends_of_the_unit_interval_draw_locations_that_have_weight():
    """Also where weights do not sum to 1 by rounding."""
    alpha = np.array([[0.0, 0.2, 0.5, 0.0], [0.0, 0.7, 0.4, 0.0]], "float32")
    for u, expected in ((0.0, [1, 1]), (1 - 2.0**-23, [2, 2])):
        both = pt.as_tensor(np.full(2, u, "float32"))
        assert focus.draw(pt.as_tensor(alpha), both).eval(mode="FAST_COMPILE").tolist() == expected


def test_equal_weights_give_exactly_k():
    alpha = pt.as_tensor(np.full((2, 5), 0.2))
    X, o = pt.as_tensor(np.random.default_rng(0).random((2, 5, 3))), Options(focus="hybrid", top_k=3, n_locations=5)
    glimpse, x = (v.eval(mode="FAST_COMPILE") for v in focus.hybrid({}, o, alpha, X, {}))
    np.testing.assert_allclose(glimpse, [[1 / 3] * 3 + [0] * 2] * 2, rtol=1e-6)
    np.testing.assert_allclose(x, X.eval()[:, :3].mean(axis=1), rtol=1e-6)


def test_numbers_of_an_update_follow_from_its_generator():
    """Dropout masks are those of a soft model; the numbers of focus hard come after them."""
    o = TINY.replace(focus="hard", half_expectation=True, batch_size=40)
    *masks, u, is_expected = draw_masks(o, np.random.default_rng(5))
    for mask, soft in zip(masks, draw_masks(o.replace(focus="soft"), np.random.default_rng(5)), strict=True):
        np.testing.assert_array_equal(mask, soft)
    assert u.shape == is_expected.shape == (o.maxlen, o.batch_size) and 0 <= u.min() and u.max() < 1
    np.testing.assert_array_equal(u.astype("float32"), u)
    assert (is_expected == is_expected[0]).all() and 8 < is_expected[0].sum() < 32


# ---------------------------------------------------------------- hybrid


def test_hybrid_of_all_locations_is_soft_to_the_bit():
    outputs = []
    for changes in ({"focus": "soft"}, {"focus": "hybrid", "top_k": 4}):
        o = TINY.replace(maxlen=2, n_locations=4, **changes)
        model, batch = Model(o, "float64"), make_batch(o)
        outputs.append([*model.predict(batch), model.update(batch, np.random.default_rng(0)), *values(model).values()])
    for a, b in zip(*outputs, strict=True):
        np.testing.assert_array_equal(a, b)


# ---------------------------------------------------------------- runs


WORDS = "--model hard_location --baseline moving --half-expectation --entropy-c 0.01 --checkpoint-seconds 0".split()


@pytest.fixture(scope="module")
def hard_run(data_folder, tmp_path_factory):  # noqa: F811
    run = tmp_path_factory.mktemp("runs") / "hard"
    done = train(data_folder, run, *WORDS)
    assert done.returncode == 0, done.stderr
    return run


def test_killed_and_resumed_hard_run_ends_the_same(hard_run, data_folder, tmp_path):  # noqa: F811
    run = tmp_path / "run"
    process = subprocess.Popen(command(data_folder, run, *WORDS), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert wait_for(run, lambda n: n >= 1, process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (run / "result.json").is_file()
    done = train(data_folder, run, *WORDS)
    assert done.returncode == 0, done.stderr
    assert_same_run(run, hard_run)
    average = arrays(run / "checkpoint.npz")["baseline"]
    assert average.shape == (4,) and (average > 0).all()


def test_all_ways_of_testing_are_reported(hard_run, data_folder):  # noqa: F811
    result, data = json.loads((hard_run / "result.json").read_text()), load_part(data_folder, "test", options(hard_run))
    assert list(result["tests"]) == ["likeliest", "expectation", "samples"]
    assert result["tests"]["likeliest"]["test"] == result["test"]
    model, by_kind = trained_model(hard_run, data.table.dtype), {}
    for kind, values_of_kind in result["tests"].items():
        tested = model.tested_by(glimpse_test=kind)
        probs, score, _ = evaluate(tested, data)
        assert score == values_of_kind["test"]
        by_kind[kind] = probs
        _, _, glimpse = next(predictions(tested, data))
        np.testing.assert_allclose(glimpse.sum(axis=2), 1, rtol=1e-5)
        n_values = {"likeliest": 1, "samples": 10, "expectation": 9}[kind]
        assert ((glimpse > 0).sum(axis=2) <= n_values).all()
    assert len({probs.tobytes() for probs in by_kind.values()}) == 3


def test_samples_of_a_window_do_not_depend_on_its_batch(hard_run, data_folder):  # noqa: F811
    data = load_part(data_folder, "test", options(hard_run))
    model = trained_model(hard_run, data.table.dtype).tested_by(glimpse_test="samples", n_samples=3)
    n = data.n_windows
    in_order, backwards = np.zeros((2, n, 2))
    for found, order in ((in_order, np.arange(n)), (backwards, np.arange(n)[::-1])):
        for chosen, probs, _ in predictions(model, data, order):
            found[chosen] = probs.mean(axis=0)
    np.testing.assert_allclose(in_order, backwards, rtol=1e-5)
    other_seed = next(predictions(model.tested_by(seed=1), data, np.arange(n)))[1]
    assert np.abs(other_seed - next(predictions(model, data, np.arange(n)))[1]).max() > 1e-4


def options(run):
    return Options(**json.loads((run / "options.json").read_text())["options"])


@pytest.mark.parametrize(
    "change, message",
    [
        ({"focus": "sharp"}, "option focus is 'sharp'; expected one of soft, hard, hybrid"),
        ({"focus": "hard", "pooling": "mean"}, "option focus is 'hard'; expected soft with pooling mean"),
        ({"focus": "hybrid", "attention": "given"}, "option focus is 'hybrid'; expected soft with attention given"),
        ({"focus": "hard", "cost": "released"}, "option focus is 'hard'; expected soft or hybrid with cost released"),
        ({"focus": "hybrid", "top_k": 50}, "option top_k is 50; expected at most n_locations 49"),
        ({"top_k": 0}, "option top_k is 0; expected at least 1"),
        ({"n_samples": 0}, "option n_samples is 0; expected at least 1"),
        ({"entropy_c": -1}, "option entropy_c is -1; expected at least 0"),
        ({"baseline": "mean"}, "option baseline is 'mean'; expected one of none, moving, state"),
    ],
)
def test_impossible_options(change, message):
    with pytest.raises(ValueError) as error:
        Options(**change)
    assert str(error.value) == message
