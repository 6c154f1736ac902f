"""Kinds of attention: glimpses that are given, and a kind that is added here as a reader of src/ would add one."""

import dataclasses
from typing import Literal

import numpy as np
import numpy_model
import pytensor.tensor as pt
import pytest
from test_model import TINY, dropout_masks, make_batch, make_model, values
from test_training import data_folder, train  # noqa: F401  (a fixture)

from visual_attention import attention
from visual_attention.attention import ATTENTION, Attention
from visual_attention.layers import norm_weight
from visual_attention.model import Model
from visual_attention.options import Options

GIVEN = TINY.replace(attention="given")

# ---------------------------------------------------------------- given


@pytest.fixture(scope="module")
def location_and_given():
    """A model with location attention, one with the same parameters to which glimpses are given, and a batch."""
    chooses, given = make_model(TINY), make_model(GIVEN)
    for name, variable in given.tparams.items():
        variable.set_value(chooses.tparams[name].get_value())
    assert chooses.tparams.keys() - given.tparams.keys() == {"decoder_W_loc"}
    return chooses, given, make_batch(TINY)


def test_glimpses_that_were_chosen_predict_the_same_when_given(location_and_given):
    chooses, given, batch = location_and_given
    probs, alpha = chooses.predict(batch)
    given_probs, given_alpha = given.predict(batch, given=alpha)
    np.testing.assert_allclose(given_probs, probs, rtol=1e-12)
    np.testing.assert_array_equal(given_alpha, alpha)
    other = given.predict(batch, given=np.roll(alpha, 1, axis=-1))[0]
    assert np.abs(other - probs).max() > 1e-4


def test_one_glimpse_is_given_to_all_steps_and_windows(location_and_given):
    _, given, batch = location_and_given
    one = np.eye(TINY.n_locations)[3]
    probs, alpha = given.predict(batch, given=one)
    assert alpha.shape == (TINY.maxlen, TINY.batch_size, TINY.n_locations)
    np.testing.assert_array_equal(alpha, np.broadcast_to(one, alpha.shape))
    expected, *_ = numpy_model.forward(
        values(given),
        GIVEN,
        batch.frames[batch.index],
        batch.mask,
        glimpse=lambda p, x, h, a: np.broadcast_to(one, a.shape),
    )
    np.testing.assert_allclose(probs, expected, rtol=1e-10)


def test_glimpses_missing_or_superfluous_are_refused(location_and_given):
    chooses, given, batch = location_and_given
    alpha = np.full(TINY.n_locations, 1 / TINY.n_locations)
    message = "glimpses are given to a model with attention 'given', and to no other"
    for model, glimpses in ((given, None), (chooses, alpha)):
        with pytest.raises(ValueError) as error:
            model.predict(batch, given=glimpses)
        assert str(error.value) == message
        with pytest.raises(ValueError) as error:
            model.update(batch, np.random.default_rng(0), given=glimpses)
        assert str(error.value) == message


def test_training_with_attention_given_is_refused(data_folder, tmp_path):  # noqa: F811
    done = train(data_folder, tmp_path / "run", "--attention", "given")
    assert done.returncode == 1, done.stderr
    expected = "option attention is 'given'; expected a kind that chooses its glimpses: location or mlp"
    assert f"error: {expected}" in done.stderr and "Traceback" not in done.stderr, done.stderr
    assert not (tmp_path / "run" / "model.npz").exists()


# ---------------------------------------------------------------- a kind that is added


def follow_params(options, rng):
    return {
        "decoder_W_follow": norm_weight(rng, options.dim, options.n_locations, ortho=False, init=options.init),
        "decoder_Wc_follow": norm_weight(rng, options.ctx_dim, 1, init=options.init),
        "decoder_v_follow": np.ones(options.n_locations),
    }


def follow_glimpse(params, options, now):
    """Scores locations by h, the cube and the previous alpha."""
    scores = pt.dot(now.h, params["decoder_W_follow"]) + pt.dot(now.X, params["decoder_Wc_follow"]).squeeze(2)
    return attention.softmax_over_locations(scores + params["decoder_v_follow"] * now.alpha, options)


def follow_in_numpy(p, x, h, alpha):
    scores = h @ p["decoder_W_follow"] + (x @ p["decoder_Wc_follow"])[..., 0] + p["decoder_v_follow"] * alpha
    return numpy_model.softmax(scores)


@pytest.fixture
def follow(monkeypatch):
    """Options whose kind of attention is `follow`."""
    monkeypatch.setitem(ATTENTION, "follow", Attention(follow_params, follow_glimpse, lambda options: 0))
    (field,) = (field for field in dataclasses.fields(Options) if field.name == "attention")
    monkeypatch.setattr(field, "type", Literal[tuple(ATTENTION)])  # as if Options had been defined after it
    return TINY.replace(attention="follow")


def test_an_added_kind_of_attention_trains(follow):
    """It predicts as NumPy does, and its gradient, through the previous glimpses too, is that of NumPy's cost."""
    model, batch, rng = Model(follow, "float64"), make_batch(follow), np.random.default_rng(0)
    for variable in model.tparams.values():
        variable.set_value(rng.normal(0, 0.5, variable.get_value().shape))
    before, x = values(model), batch.frames[batch.index]
    probs, alpha = model.predict(batch)
    expected, _, expected_alpha = numpy_model.forward(before, follow, x, batch.mask, glimpse=follow_in_numpy)
    np.testing.assert_allclose(probs, expected, rtol=1e-10)
    np.testing.assert_allclose(alpha, expected_alpha, rtol=1e-10)

    cost, drop = model.update(batch, np.random.default_rng(5)), dropout_masks(follow, np.random.default_rng(5))

    def numpy_cost(params):
        return numpy_model.cost(params, follow, x, batch.mask, batch.y, drop, follow_in_numpy)

    np.testing.assert_allclose(cost, numpy_cost(before), rtol=1e-10)
    for name, after in values(model).items():
        direction, e = rng.standard_normal(after.shape), 1e-5
        up, down = (numpy_cost({**before, name: before[name] + s * e * direction}) for s in (1, -1))
        slope = ((before[name] - after) * direction).sum()  # sgd at rate 1 has subtracted the gradient
        np.testing.assert_allclose(slope, (up - down) / (2 * e), rtol=1e-6, atol=1e-8, err_msg=name)
        assert np.abs(before[name] - after).max() > 1e-6, name
