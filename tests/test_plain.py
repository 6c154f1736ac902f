"""The graph without the speed layer (option plain); the layer's kernels; pytensor.grad, with and without the layer."""

import numpy as np
import numpy_model
import pytensor
import pytest
from test_model import (
    TINY,
    VARIANTS,
    assert_prediction_equals_numpy,
    assert_update_equals_numpy,
    dropout_masks,
    make_batch,
    make_model,
)

from visual_attention import actrec, backends
from visual_attention.fast import kernels
from visual_attention.layers import init_tparams
from visual_attention.model import Model, draw_masks

SMALL = {"n_layers_lstm": 1, "maxlen": 3}  # without the speed layer a gradient takes 8 s to compile
# Variants whose updates are tested too. Gradients of location and mlp attention alone are tested below.
UPDATED = ("softmax_regression", "max_pooled_lstm", "released_multilabel", "both_layers", "all_switches")


@pytest.fixture
def own_cache(monkeypatch, tmp_path):
    """What a changed speed layer makes of a graph is not left in the cache, nor the unchanged one's taken from it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


@pytest.mark.parametrize("name", VARIANTS)
def test_plain_equals_numpy(name):
    options = TINY.replace(**{**VARIANTS[name], **SMALL, "plain": True})
    model, batch = make_model(options), make_batch(options)
    assert_prediction_equals_numpy(model, batch)
    if name in UPDATED:
        assert_update_equals_numpy(model, batch)


@pytest.mark.parametrize("name", ["attention_lambda0", "all_switches"])
def test_kernels_in_groups_of_rows_equal_numpy(name, own_cache, monkeypatch):
    """Kernels convert cubes a few at a time. Here they do so one and two at a time, of tables with fewer and with more
    frames than the 12 that a batch reads."""
    options = TINY.replace(**{**VARIANTS[name], **SMALL, "batch_size": 4})
    group_size, n_groups = kernels.group_size, set()

    def at_most_two(n, most):
        size = group_size(n, min(most, 2))
        n_groups.add(n // size)
        return size

    monkeypatch.setattr(kernels, "group_size", at_most_two)
    model, rng = Model(options, "float64"), np.random.default_rng(0)
    for n_frames in (2, 40):
        for variable in model.tparams.values():
            variable.set_value(rng.normal(0, 0.5, variable.get_value().shape))
        batch = make_batch(options, n_frames=n_frames)
        assert_prediction_equals_numpy(model, batch)
        assert_update_equals_numpy(model, batch)
    assert max(n_groups) > 1


# ---------------------------------------------------------------- the obvious line


@pytest.mark.parametrize("compiler", ["plain PyTensor, C", "plain PyTensor, JAX", "the speed layer"])
@pytest.mark.parametrize("attention", ["location", "mlp"])
def test_pytensor_grad_equals_finite_differences(attention, compiler):
    """pytensor.grad(graph.cost, params), compiled by pytensor.function."""
    options, in_c = TINY.replace(attention=attention, **SMALL), compiler == "plain PyTensor, C"
    backends.set_precision("float64", "c" if in_c else "jax")
    params, rng = init_tparams(actrec.init_params(options)), np.random.default_rng(0)
    for variable in params.values():
        variable.set_value(rng.normal(0, 0.5, variable.get_value().shape))
    graph = actrec.build_model(params, options, training=True)
    outputs = [graph.cost, *pytensor.grad(graph.cost, list(params.values()))]
    inputs = [graph.frames, graph.index, graph.mask, graph.y, *graph.masks.values()]
    if compiler == "the speed layer":
        function = backends.compile_function(dict.fromkeys(inputs), outputs)
    else:
        function = pytensor.function(inputs, outputs, mode="CVM" if in_c else "JAX")
    batch = make_batch(options)
    cost, *gradient = function(
        batch.frames, batch.index, batch.mask, batch.y, *draw_masks(options, np.random.default_rng(5))
    )
    values = {name: np.array(variable.get_value()) for name, variable in params.items()}
    drop, x = dropout_masks(options, np.random.default_rng(5)), batch.frames[batch.index]

    def numpy_cost(values):
        return numpy_model.cost(values, options, x, batch.mask, batch.y, drop)

    np.testing.assert_allclose(cost, numpy_cost(values), rtol=1e-10)
    for (name, value), g in zip(values.items(), gradient, strict=True):
        direction, e = rng.standard_normal(value.shape), 1e-5
        up, down = (numpy_cost({**values, name: value + s * e * direction}) for s in (1, -1))
        np.testing.assert_allclose((g * direction).sum(), (up - down) / (2 * e), rtol=1e-6, atol=1e-8, err_msg=name)
        assert name == "decoder_c_tt" or np.abs(g).max() > 1e-6, name  # softmax takes no notice of a shift
