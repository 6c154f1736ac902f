"""What is compiled, counted: numbers that do not depend on the machine, so that what made it fast is not lost."""

import os
import re
from pathlib import Path

import jax
import numpy as np
import pytest
from test_model import TINY, make_batch

from visual_attention import backends
from visual_attention.model import Model, draw_masks, model_for

# A layer of the LSTM is 4 products: [x, h] [W; U] of a step, the gradient with respect to [x, h], and after the loop
# those with respect to W and to U, each of all steps. The projection of a state is 3, and so are the head's layers:
# forward, and the gradients with respect to the input and the weights. f_init's layer is 2, as the mean needs none.
LAYERS = 2
LSTM = 4 * LAYERS
INIT_AND_HEAD = 2 + 3 * 2 * LAYERS + 3 * 2


@pytest.mark.parametrize(
    "attention, own, loops",
    [
        # the score of locations; the weighted sum and its gradient
        ("location", 3 + 2, 2),
        # the state's projection; the cubes', which need no gradient; U, whose gradients are elementwise products and
        # sums; the weighted sum and its gradient. A third loop is the one over groups of cubes
        ("mlp", 3 + 2 + 1 + 2, 2 + 1),
    ],
)
def test_matrix_products_and_copies_of_an_update(attention, own, loops):
    backends.set_precision("float32", "jax")
    options = TINY.replace(floatX="float32", n_layers_lstm=LAYERS, attention=attention)
    model, batch = Model(options, "float32"), make_batch(options)
    update = model.functions.compiled_update
    masks, variables = (
        draw_masks(options, np.random.default_rng(0)),
        model.tparams | model.optimizer_state | model.scalars,
    )
    args = [*model._inputs(batch, None), batch.y, *masks, *(variables[v.name].get_value() for v in update.shared)]
    tables = jax.jit(update.translated["tables"])
    (means,) = (v for v in jax.tree.leaves(tables(args[0])))
    assert means.shape == batch.frames.shape[::2]  # of Eq. 6, once per frame
    assert tables.lower(args[0]).as_text().count("stablehlo.dot_general") == 1
    lowered = jax.jit(update.translated["main"]).lower(*args, means)
    handed_over, compiled = lowered.as_text(), lowered.compile().as_text()
    assert handed_over.count("stablehlo.dot_general") == LSTM + INIT_AND_HEAD + own
    # no loops but the two over time and, on a CPU, those over groups of cubes
    assert handed_over.count("stablehlo.while") == loops
    assert len(re.findall(r" dot\(", compiled)) <= LSTM + INIT_AND_HEAD + own
    assert len(re.findall(r" copy\(", compiled)) <= 62  # 56 and 57 by jaxlib 0.10.2


def test_numbers_compile_nothing_twice():
    """Other lambdas, rates and seeds, and parts of other sizes, use the functions of the first."""
    shared = set()
    for k, changes in enumerate(({}, {"alpha_c": 3.0}, {"lrate": 0.1}, {"seed": 5}, {"decay_c": 0.0})):
        options = TINY.replace(**changes)
        model = model_for(options, "float64")
        model.update(make_batch(options, k), np.random.default_rng(k))
        model.predict(make_batch(options, k))
        shared.add(model.functions)
        update, predict = model.functions.compiled_update, model.functions.compiled_predict(options.batch_size)
        assert len(update.compiled) == len(predict.compiled) == 2
        for function in (*update.compiled.values(), *predict.compiled.values()):
            assert function._cache_size() == 1  # the first call and later ones have arguments of the same kind
    assert len(shared) == 1


def test_variables_stay_on_the_device():
    """They are moved there in the first call, and in no later one."""
    options = TINY.replace(floatX="float32")
    model, batch = model_for(options, "float32"), make_batch(options)
    model.predict(batch)
    on_device = {name: variable.container.storage[0] for name, variable in model.tparams.items()}
    assert all(isinstance(value, jax.Array) for value in on_device.values())
    model.predict(batch)
    assert all(model.tparams[name].container.storage[0] is value for name, value in on_device.items())
    model.update(batch, np.random.default_rng(0))
    variables = model.tparams | model.optimizer_state | model.scalars
    assert all(isinstance(variable.container.storage[0], jax.Array) for variable in variables.values())


@pytest.mark.skipif(jax.default_backend() != "cpu" or not hasattr(os, "sched_setaffinity"), reason="for CPUs, on Linux")
def test_each_of_xlas_threads_has_a_core():
    options = TINY.replace(floatX="float32")
    Model(options, "float32").update(make_batch(options), np.random.default_rng(0))
    tasks = [path.parent for path in Path("/proc/self/task").glob("*/comm")]
    threads = [int(task.name) for task in tasks if (task / "comm").read_text().startswith("tf_XLAEigen")]
    cores = os.sched_getaffinity(0)
    assert threads, "XLA names its threads otherwise"
    if len(threads) != len(cores):
        pytest.skip(f"XLA has {len(threads)} threads for {len(cores)} cores")
    assert {core for thread in threads for core in os.sched_getaffinity(thread)} == cores
    assert all(len(os.sched_getaffinity(thread)) == 1 for thread in threads)
