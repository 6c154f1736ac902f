"""Sizes of 1 and up: prediction, cost and gradient against the NumPy equations, recorded numbers, a whole run."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import numpy_model
import pytensor
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_model import TINY, VARIANTS, assert_prediction_equals_numpy, assert_update_equals_numpy, slope, values

from visual_attention.experiment.released import to_released
from visual_attention.experiment.replay import replay
from visual_attention.model import Model
from visual_attention.util.data_handler import Batch
from visual_attention.util.data_lists import write_lists
from visual_attention.util.frame_table import FrameTableWriter

SIZES = ("maxlen", "batch_size", "n_locations", "ctx_dim", "dim", "dim_out", "n_actions")
SCRIPTS = Path(__file__).parents[1] / "scripts"


@pytest.fixture(autouse=True)
def rewrites_must_not_fail():
    """By default PyTensor only logs a failed rewrite, and continues with a graph that JAX may be unable to trace."""
    with pytensor.config.change_flags(on_opt_error="raise"):
        yield


def ones(*names, **sizes):
    return dict.fromkeys(names, 1) | sizes


def make_batch(options, rng):
    """Windows over 5 frames. If T > 1, the last step of the first window is masked; if B > 1, the whole last window."""
    T, B, C = options.maxlen, options.batch_size, options.n_actions
    frames = rng.standard_normal((5, options.n_locations, options.ctx_dim)).astype(options.floatX)
    mask = np.ones((T, B), options.floatX)
    if T > 1:
        mask[-1, 0] = 0
    if B > 1:
        mask[:, -1] = 0
    y = rng.integers(0, 2, (B, C)) if options.multilabel else rng.integers(0, C, B)
    return Batch(frames, rng.integers(0, 5, (T, B)).astype("int32"), mask, y.astype("int32"), np.arange(B))


def check(name, **changes):
    """Checks prediction, cost and gradient of a variant with one LSTM layer against the NumPy equations."""
    options, rng = TINY.replace(**{**VARIANTS[name], "n_layers_lstm": 1} | changes), np.random.default_rng(0)
    model, batch = Model(options, options.floatX), make_batch(options, rng)
    for variable in model.tparams.values():
        variable.set_value(rng.normal(0, 0.5, variable.get_value().shape))
    assert_prediction_equals_numpy(model, batch)
    assert_update_equals_numpy(model, batch)


@pytest.mark.parametrize(
    "name, sizes",
    [
        ("attention_lambda0", ones("maxlen", n_layers_lstm=2)),
        ("attention_mlp_lambda0", ones("maxlen", "batch_size")),
        ("all_switches", ones("n_locations")),
        ("all_switches", ones(*SIZES)),
        ("released", ones("batch_size")),
        ("released", ones("maxlen", "ctx_dim")),
        ("released_multilabel", ones(*SIZES)),
        ("selector_and_ctx2out_of_the_mean", ones("maxlen", "batch_size")),
        ("max_pooled_lstm", ones(*SIZES)),
        ("softmax_regression", ones(*SIZES)),
    ],
)
def test_size_one(name, sizes):
    check(name, **sizes)


@settings(max_examples=2, deadline=None, derandomize=True)
@given(st.sampled_from(sorted(VARIANTS)), st.tuples(*[st.integers(1, 3) for _ in SIZES]))
def test_drawn_sizes(name, sizes):
    check(name, **dict(zip(SIZES, sizes, strict=True)))


def test_size_one_in_c():
    check("softmax_regression", **ones(*SIZES), backend="c")  # recorded numbers, below, test an LSTM in C


# ---------------------------------------------------------------- recorded numbers


def record(path, options, updates):
    """Writes a file like those with the released program's numbers, but with NumPy's numbers."""
    rng, o = np.random.default_rng(0), options
    model = Model(o, "float64")
    params = {name: rng.normal(0, 0.5, value.shape) for name, value in values(model).items()}
    batch = make_batch(o, rng)
    x, states = batch.frames[batch.index], []
    probs, _, alpha = numpy_model.forward(params, o, x, batch.mask, states=states)
    arguments = x, batch.mask, batch.y
    gradient = {name: np.zeros_like(value) for name, value in params.items()}
    for name, value in params.items():
        for entry in np.ndindex(value.shape):
            direction = np.zeros_like(value)
            direction[entry] = 1
            gradient[name][entry] = slope(o, params, {name: direction}, *arguments)
    outputs = {
        "h": np.array([h for h, _ in states]), "c": np.array([c for _, c in states]), "alpha": alpha, "probs": probs,
        "preds": probs.mean(axis=0) if o.multilabel else probs.mean(axis=0).argmax(axis=1),
        "cost": numpy_model.cost(params, o, *arguments),
        "cost0": numpy_model.cost(params, o.replace(alpha_c=0, decay_c=0), *arguments),
    }  # fmt: skip
    y = np.broadcast_to(batch.y, (o.maxlen, *batch.y.shape))
    number = "0" if updates else ""
    recorded = {f"x{number}": x, f"mask{number}": batch.mask, f"y{number}": y, "param_names": json.dumps(list(params))}
    recorded |= {"options": json.dumps(to_released(o))} | {f"p{number}/{name}": v for name, v in params.items()}
    if updates:
        recorded |= {"optimizer": "sgd", "lrate": 1.0, "costs": np.array([outputs["cost"]])}
        recorded |= {f"p1/{name}": value - gradient[name] for name, value in params.items()}
    else:
        recorded |= {f"{kind}/{name}": value for kind in ("o", "o64") for name, value in outputs.items()}
        recorded |= {f"{kind}/{name}": value for kind in ("g", "g64") for name, value in gradient.items()}
    np.savez(path, **{k: np.array(v.encode()) if isinstance(v, str) else v for k, v in recorded.items()})


@pytest.mark.parametrize(
    "backend_name, multilabel, updates, sizes",
    [
        ("jax", False, False, ones("maxlen", "batch_size")),
        ("jax", False, True, ones("batch_size", "n_locations")),
        ("jax", True, True, ones(*SIZES)),
        ("c", False, False, ones(*SIZES)),
    ],
)
def test_recorded_numbers_of_size_one(backend_name, multilabel, updates, sizes, tmp_path):
    variant = VARIANTS["released_multilabel" if multilabel else "released"]
    options = TINY.replace(**variant).replace(use_dropout=False, **sizes)
    record(tmp_path / "recorded.npz", options, updates)
    for checked in replay(tmp_path / "recorded.npz", "float64", backend_name):
        assert checked.good, checked


# ---------------------------------------------------------------- a run


def test_run_with_every_size_one(tmp_path):
    """Training and testing with T = 1, B = 1, a grid of one location, and one class."""
    data, run = tmp_path / "data", tmp_path / "run"
    data.mkdir()
    for part in ("train", "valid", "test"):
        with FrameTableWriter(data / f"{part}_features.h5", 1, 1, dtype="float32") as table:
            table.append(np.random.default_rng(0).random((3, 1, 1)))
        write_lists(data, part, [f"{part}0", f"{part}1"], [1, 2], [0, 0])
    options = "--maxlen 1 --batch-size 1 --dim 1 --dim-out 1 --max-epochs 1 --recipe released".split()
    command = [sys.executable, SCRIPTS / "train.py", "--data", data, "--run", run, *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert json.loads((run / "result.json").read_text())["test"] == 100.0
    assert "ERROR" not in done.stderr, done.stderr
