"""What a glimpse is worth: a model that is told where to look (Fig. 5), and one that learns it anew (Fig. 9).

model = told_model(run)
glimpse = parse_glimpse("3,5,2", 49)                     # centre row 3, column 5, two locations wide
probs = told_probabilities(model, options, data, k, [glimpse])   # (1, C): what video k is taken for

stages = study(run, data, k)                             # trained, random and optimised glimpses
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from visual_attention.evaluation import watch, window_scores
from visual_attention.model import model_for
from visual_attention.pictures import is_right
from visual_attention.run_folder import load_options, load_params, params_of
from visual_attention.util.data_handler import Batch

# ---------------------------------------------------------------- a glimpse that is given


def parse_glimpse(text, n_locations, maxlen=None):
    """Weights (L,), or (T, L) where they change, of "row,column,width" or of a JSON file's name.

    row, column: of the centre, counted from 0, fractions allowed; width: twice the standard deviation of a Gaussian, in
    locations. The file holds L, K x K, T x L or T x K x K numbers, not negative; they are scaled to a sum of 1 a step.
    """
    K = round(n_locations**0.5)
    if str(text).endswith(".json"):
        return _read_glimpse(Path(text), n_locations, maxlen)
    try:
        row, column, width = (float(word) for word in text.split(","))
    except ValueError:
        raise ValueError(f"option --glimpse is {text!r}; expected row,column,width or the name of a .json") from None
    if not (0 <= row <= K - 1 and 0 <= column <= K - 1 and 0 < width < float("inf")):
        raise ValueError(f"option --glimpse is {text!r}; expected row and column from 0 to {K - 1}, width above 0")
    rows, columns = np.divmod(np.arange(n_locations), K)
    squared = ((rows - row) ** 2 + (columns - column) ** 2) / (width / 2) ** 2
    weights = np.exp(-(squared - squared.min()) / 2)
    return weights / weights.sum()


def _read_glimpse(path, n_locations, maxlen):
    K = round(n_locations**0.5)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; expected a JSON of a glimpse's weights")
    try:
        found = np.array(json.loads(path.read_text()), float)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path}: not a JSON of numbers ({error})") from error
    if found.shape[-2:] == (K, K) and found.shape != (K, n_locations):
        found = found.reshape(*found.shape[:-2], n_locations)
    if found.shape not in ((n_locations,), (maxlen, n_locations)):
        raise ValueError(f"{path}: holds {found.shape} numbers; expected {n_locations} or {maxlen} x {n_locations}")
    total = found.sum(axis=-1, keepdims=True)
    if not (np.isfinite(found).all() and (found >= 0).all() and (total > 0).all()):
        raise ValueError(f"{path}: expected weights that are not negative, and some above 0 at each step")
    return found / total


def told_model(run):
    """A run's model that does not choose where to look; for `predict_told`."""
    options = load_options(run)[0]
    model = model_for(options.replace(pooling="mean", n_locations=1, maxlen=options.maxlen + 1), "float32")
    load_params(model, Path(run, "model.npz"))
    return model


def predict_told(model, batch, alpha):
    """Class probabilities (T, B, C) of a batch under glimpses alpha, which broadcast to (T, B, L).

    The attended vectors (Eq. 5) go in as cubes of a single location. From them alone h_0 and c_0 (Eq. 6) would be
    wrong: these see the mean of whole cubes. So a step goes before, whose mask of 0 keeps h_0 and c_0, and whose vector
    makes the mean what it has to be.
    """
    cubes = np.asarray(batch.frames)[batch.index].astype("float32")  # (T, B, L, D)
    T, B, L, D = cubes.shape
    x = (np.broadcast_to(alpha, (T, B, L)).astype("float32")[:, :, None] @ cubes)[:, :, 0]  # (T, B, D)
    before = (T + 1) * cubes.mean(axis=(0, 2)) - x.sum(axis=0)
    frames = np.concatenate([before[None], x]).reshape(-1, 1, D)
    index = np.arange(len(frames), dtype="int32").reshape(T + 1, B)
    mask = np.concatenate([np.zeros((1, B)), batch.mask]).astype("float32")
    return model.predict(Batch(frames, index, mask, batch.y, batch.windows))[0][1:]


def told_probabilities(model, options, data, k, glimpses):
    """Class probabilities (G, C) of video k under each of G glimpses, (L,) or (T, L). model: `told_model`'s; options:
    the run's."""
    own = np.flatnonzero(data.video == k)
    total = np.zeros((len(glimpses), options.n_actions))
    for batch in data.batches(own, options.batch_size):
        for g, glimpse in enumerate(glimpses):
            probs = predict_told(model, batch, glimpse if glimpse.ndim == 1 else glimpse[:, None])
            total[g] += window_scores(options, probs[:, : len(batch.windows)]).sum(axis=0)
    return total / len(own)


# ---------------------------------------------------------------- weights that are drawn and learned anew


@dataclass
class Stage:
    """What the model does with the video at one stage of the study: see `evaluation.watch`."""

    probs: np.ndarray  # (C,)
    rows: np.ndarray  # (m,)
    alpha: np.ndarray  # (m, L)
    right: bool
    updates: int = 0  # of the location weights, since they were drawn


def location_weights(params):
    """Names of what scores locations, and nothing else does: Eq. 4's W; of mlp attention, which has no weights of a
    single location, all of its layers."""
    return [name for name in params if name == "decoder_W_loc" or name == "decoder_c_tt" or "_att" in name]


def redrawn(params, rng):
    """Parameters with location weights drawn uniformly between the least and the largest of each array."""
    drawn = {name: rng.uniform(params[name].min(), params[name].max(), params[name].shape).astype(params[name].dtype)
             for name in location_weights(params)}  # fmt: skip
    return params | drawn


def without_dropout(options, params):
    """Options and parameters of the same model without dropout.

    In testing the released program halves what dropout dropped in training: so here the weights are, that take it in.
    """
    if options.use_dropout and options.dropout == "released" and options.pooling != "cube":
        halved = {"ff_logit_lstm_W", "ff_logit_W", *(f"ff_logit_h{k}_W" for k in range(1, options.n_layers_out))}
        if options.n_layers_init > 1:
            halved |= {n for n in params if n.startswith(("ff_state", "ff_memory", "ff_init")) and n.endswith("_W")}
            halved -= {"ff_init_1_W"}  # mu is not dropped
        params = {name: value / 2 if name in halved else value for name, value in params.items()}
    return options.replace(use_dropout=False), params


def study(run, data, k, seed=0, lrate=0.01, most=300, random_wrong=False):
    """Fig. 9 on video k: {"trained", "random", "optimised"} -> Stage; the last is missing where none was needed.

    The location weights are redrawn by `seed` and then updated by Adam, at rate `lrate`, on the cost (Eq. 7) of this
    video's windows, everything else fixed and no dropout, until its class is right or `most` updates are done.
    random_wrong: None instead where it is right by random weights, or wrong by the trained ones.
    """
    options, path = load_options(run)[0], Path(run, "model.npz")
    options, _ = without_dropout(options.replace(optimizer="adam", lrate=lrate), {})
    model = model_for(options, data.table.dtype)
    load_params(model, path)
    _, trained = without_dropout(load_options(run)[0], params_of(model))
    names, own = location_weights(trained), np.flatnonzero(data.video == k)

    def put(params):
        for name, value in params.items():
            model.tparams[name].set_value(value)

    def look(updates=0):
        probs, rows, alpha = watch(model, data, k)
        return Stage(probs, rows, alpha, is_right(data, k, probs), updates)

    put(trained)
    stages = {"trained": look()}
    if random_wrong and not stages["trained"].right:
        return None
    put(redrawn(trained, np.random.default_rng(seed)))
    stages["random"] = last = look()
    if random_wrong and last.right:
        return None
    others = {name: value for name, value in trained.items() if name not in names}
    while not last.right and last.updates < most:
        updates = last.updates
        for batch in data.batches(own, options.batch_size):
            model.update(batch, np.random.default_rng(0))  # which draws nothing: there is no dropout
            put(others)
            updates += 1
        stages["optimised"] = last = look(updates)
    return stages
