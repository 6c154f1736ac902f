"""Fig. 5: the class of a video when the glimpse is given by hand, not chosen by the model.

glimpse = parse_glimpse("3,5,2", 49)  # centre in row 3, column 5; two locations wide
model = model_given_glimpses(run)
probs = video_probabilities(model, options, data, k, [glimpse])  # (1, C), of video k
"""

import json
from pathlib import Path

import numpy as np

from visual_attention.experiment.evaluation import window_scores
from visual_attention.experiment.parameters import load_params
from visual_attention.experiment.run_folder import load_options
from visual_attention.model import model_for
from visual_attention.options import TITLES
from visual_attention.presentation import pictures
from visual_attention.presentation.figures import Figure
from visual_attention.util.data_lists import read_class_names
from visual_attention.util.metrics import grid_side

HEADING, POSITION = "A given glimpse", 40


def draw(runs, folder):
    """The model's own glimpse and the given one; numbers: the class for each glimpse of a single location."""
    name, path, o = runs.choices.model, folder / "given_glimpse.png", runs.options
    if o.resolutions != "one":
        return [Figure("Fig. 5 gives glimpses of one layer by hand; these models see two.")]
    k = runs.example(name)
    watched = runs.watch(name, k)
    text, glimpse, probs, probs_by_location = give_glimpse(runs, k)
    classes, L = read_class_names(runs.data_folder, o.n_actions), o.n_locations
    n_right = sum(pictures.is_right(runs.data, k, p) for p in probs_by_location)
    verdict, right = pictures.verdict(runs.data, k, probs), pictures.is_right(runs.data, k, probs)
    T = min(o.maxlen, len(watched.rows))
    rows = [
        (f"the model's own glimpse:  {watched.verdict}", watched.alpha[:T], watched.right),
        (f"given glimpse {text}:  {verdict}", np.broadcast_to(glimpse, (o.maxlen, L))[:T], right),
    ]
    frames = None if watched.frames is None else watched.frames[:T]
    pictures.compare_glimpses(path, watched.video, frames, rows, o.n_locations)
    caption = (
        f"The same video under the glimpse of the model ({TITLES[name]}) and under a glimpse given by hand "
        "(row,column,width in locations, counted from 0 at the top left, or a file), as in the paper's Fig. 5. The "
        f"parameters, h_0 and c_0 are the same; only x_t differs. Of {L} glimpses with a width of one location, "
        f"{n_right} give a true class."
    )
    numbers = {
        "video": watched.video,
        "class_by_location": [classes[c] for c in probs_by_location.argmax(axis=1)],
        "locations_right": n_right,
        "glimpse": text,
        "verdict": verdict,
    }
    return [Figure(caption, path, {"given_glimpse": numbers})]


def give_glimpse(runs, k):
    """The chosen glimpse or, if there is none, the location at which a wrong class leads by most.

    Returns its text, its weights (L,) or (T, L), the class probabilities (C,) of video k under it, and those under each
    glimpse of one location, (L, C).
    """
    o, data, model = runs.options, runs.data, model_given_glimpses(runs.run(runs.choices.model))
    K = grid_side(o.n_locations)
    texts = [f"{i // K},{i % K},1" for i in range(o.n_locations)]
    glimpses = [parse_glimpse(text, o.n_locations) for text in texts]
    by_location = video_probabilities(model, o, data, k, glimpses)
    if runs.choices.glimpse:
        glimpse = parse_glimpse(runs.choices.glimpse, o.n_locations, o.maxlen)
        (probs,) = video_probabilities(model, o, data, k, [glimpse])
        return runs.choices.glimpse, glimpse, probs, by_location
    true = np.isin(np.arange(o.n_actions), pictures.true_classes(data, k))
    lead_of_wrong = np.where(true, 0, by_location).max(axis=1) - np.where(true, by_location, 0).max(axis=1)
    best = int(lead_of_wrong.argmax())
    return texts[best], glimpses[best], by_location[best], by_location


# ---------------------------------------------------------------- glimpses


def parse_glimpse(text, n_locations, maxlen=None):
    """Weights of a glimpse from "row,column,width" or the name of a .json file; (L,), or (T, L) if they change.

    row, column: of the centre, counted from 0, fractions allowed. width: twice the standard deviation of a Gaussian, in
    locations. The file has L, K x K, T x L or T x K x K non-negative numbers; they are scaled to sum to 1 at each step.
    FileNotFoundError, ValueError: no such file, or not a glimpse.
    """
    if str(text).endswith(".json"):
        return _read_glimpse(Path(text), n_locations, maxlen)
    try:
        row, column, width = (float(word) for word in text.split(","))
    except ValueError:
        raise ValueError(f"option --glimpse is {text!r}; expected row,column,width or the name of a .json") from None
    K = grid_side(n_locations)
    if not (0 <= row <= K - 1 and 0 <= column <= K - 1 and 0 < width < float("inf")):
        raise ValueError(f"option --glimpse is {text!r}; expected row and column from 0 to {K - 1}, width above 0")
    rows, columns = np.divmod(np.arange(n_locations), K)
    squared = ((rows - row) ** 2 + (columns - column) ** 2) / (width / 2) ** 2
    weights = np.exp(-(squared - squared.min()) / 2)
    return weights / weights.sum()


def _read_glimpse(path, n_locations, maxlen):
    K = grid_side(n_locations)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; expected a JSON of a glimpse's weights")
    try:
        weights = np.array(json.loads(path.read_text()), float)
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"{path}: not a JSON of numbers ({error}); expected {n_locations} weights") from error
    if weights.shape[-2:] == (K, K) and weights.shape != (K, n_locations):
        weights = weights.reshape(*weights.shape[:-2], n_locations)
    if weights.shape not in ((n_locations,), (maxlen, n_locations)):
        raise ValueError(f"{path}: holds {weights.shape} numbers; expected {n_locations} or {maxlen} x {n_locations}")
    total = weights.sum(axis=-1, keepdims=True)
    if not (np.isfinite(weights).all() and (weights >= 0).all() and (total > 0).all()):
        raise ValueError(f"{path}: expected weights that are not negative, and some above 0 at each step")
    return weights / total


# ---------------------------------------------------------------- the model under a given glimpse


def given_options(options):
    """The options with attention `given` in place of the model's own."""
    return options.replace(attention="given", focus="soft", n_layers_att=1)


def model_given_glimpses(run):
    """The model of a run with attention `given` in place of its own."""
    model = model_for(given_options(load_options(run)[0]), "float32")
    load_params(model, Path(run, "model.npz"))
    return model


def video_probabilities(model, options, data, k, glimpses):
    """Class probabilities (G, C) of video k under each of G glimpses, (L,) or (T, L).

    model: from `model_given_glimpses`. options: the run's.
    """
    windows = np.flatnonzero(data.video == k)
    total = np.zeros((len(glimpses), options.n_actions))
    for batch in data.batches(windows, options.batch_size):
        for g, glimpse in enumerate(glimpses):
            probs, _ = model.predict(batch, glimpse if glimpse.ndim == 1 else glimpse[:, None])
            total[g] += window_scores(options, probs[:, : len(batch.windows)]).sum(axis=0)
    return total / len(windows)
