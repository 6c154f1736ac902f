"""What is compiled, counted: numbers that do not depend on the machine, so that what made it fast is not lost."""

import re

import jax
import numpy as np
import pytest
from test_model import TINY, make_batch

from visual_attention import backend
from visual_attention.model import Model, model_for

# A layer of the LSTM is 3 products: forward, gradient by what it is given, gradient by its weights; so is the
# projection of a state; f_init's and the class's layers are too, but that the first needs no gradient by the means.
LAYERS = 2
LSTM = 3 * LAYERS
INIT_AND_HEAD = 1 + 3 * (1 + 2 * LAYERS) - 1 + 3 * 2


@pytest.mark.parametrize(
    "attention, own, loops",
    [
        # the score of locations; the weighted sum and its gradient
        ("location", 3 + 2, 2),
        # the state's projection; the cubes', which needs no gradient by them; U, whose gradient by what it is given is
        # no product; the weighted sum and its gradient
        ("mlp", 3 + 2 + 2 + 2, 2 + 1),
    ],
)
def test_matrix_products_and_copies_of_an_update(attention, own, loops):
    backend.set_precision("float32", "jax")
    options = TINY.replace(floatX="float32", n_layers_lstm=LAYERS, attention=attention)
    model, batch = Model(options, "float32"), make_batch(options)
    bits = np.frombuffer(np.random.default_rng(0).bytes(model.graph.dropout.size), "uint8")
    args = [*model._inputs(batch), batch.y, bits, *(v.container.storage[0] for v in model._update.shared)]
    lowered = jax.jit(model._update.translated).lower(*args)
    handed_over, compiled = lowered.as_text(), lowered.compile().as_text()
    assert handed_over.count("stablehlo.dot_general") == LSTM + INIT_AND_HEAD + own
    # no loops but the two over time and, on a CPU, those over groups of cubes
    assert handed_over.count("stablehlo.while") == loops
    assert len(re.findall(r" dot\(", compiled)) <= LSTM + INIT_AND_HEAD + own
    assert len(re.findall(r" copy\(", compiled)) <= 50  # 44 and 47 by jaxlib 0.10.2


def test_numbers_compile_nothing_twice():
    """Other lambdas, rates and seeds, and parts of other sizes, use the functions of the first."""
    models = set()
    for k, changes in enumerate(({}, {"alpha_c": 3.0}, {"lrate": 0.1}, {"seed": 5}, {"decay_c": 0.0})):
        options = TINY.replace(n_layers_lstm=1, **changes)
        model = model_for(options, "float64")
        model.update(make_batch(options, k), np.random.default_rng(k))
        model.predict(make_batch(options, k))
        assert len(model._update.compiled) == len(model._predict.compiled) == 1
        models.add(model)
    assert len(models) == 1
