"""The player: a page on which videos are played with what models do, and on which a glimpse can be given by hand.

make_player("player.html", "embedded", {"attention_lambda0": model}, data, [3, 5], frames)  # frames: a function of k

All of it is in one HTML file. The models' own glimpses and class probabilities are computed here, and the page shows
them. Under a glimpse given by hand, the page computes the model itself: templates/given_glimpse.js.
"""

import base64
import io
import zlib

import numpy as np
from PIL import Image

from visual_attention.actrec import init_params
from visual_attention.experiment.data import load_coverage
from visual_attention.experiment.evaluation import watch_videos, windows_of
from visual_attention.experiment.parameters import params_of
from visual_attention.layers import Zeros
from visual_attention.options import MODELS, TITLES
from visual_attention.presentation import pictures
from visual_attention.presentation.figures.given_glimpse import given_options
from visual_attention.presentation.page import render
from visual_attention.util import drawing
from visual_attention.util.data_lists import read_class_names
from visual_attention.util.files import write_file
from visual_attention.util.metrics import grid_side

N_VIDEOS = 12  # on a page, unless the user chooses more
N_FRAMES = 120  # of a video that are shown
SIDE = 192  # width and height of a frame, in pixels
COLUMNS = 8  # frames side by side in the picture that holds the frames of a video
ORDER = ("attention_mlp_lambda0", "attention_lambda0", "average_pooled_lstm", "max_pooled_lstm")
# What a glimpse by hand may add to the page, in bytes before compression: cubes of all videos, weights of a model.
MOST_CUBES, MOST_WEIGHTS = 8_000_000, 1_500_000
OPTIONS = (
    "n_layers_lstm", "n_layers_init", "n_layers_out", "ctx2out", "selector", "use_dropout", "dropout", "multilabel",
    "last_n", "video_score",
)  # fmt: skip
"""options that templates/given_glimpse.js follows"""


def in_order(names):
    """Rows of Table 1 in the order of the page; the first two are shown when it opens."""
    return [name for name in dict.fromkeys((*ORDER, *MODELS)) if name in names]


def choose_videos(probs, data, chosen=()):
    """Numbers of the chosen videos, then of as many at random as make a dozen: half classified correctly, if possible.

    probs: class probabilities of all videos (videos, C).
    """
    chosen = list(dict.fromkeys(chosen))
    right_first = pictures.right_and_wrong(probs, data, n=len(probs))
    right = [int(k) for k in right_first if k not in chosen and pictures.is_right(data, k, probs[k])]
    wrong = [int(k) for k in right_first if k not in chosen and k not in right]
    n = max(N_VIDEOS - len(chosen), 0)
    n_right = max(min(len(right), n // 2), n - len(wrong))
    return [*chosen, *right[:n_right], *wrong[: n - n_right]]


def make_player(path, title, models, data, videos, frames):
    """Writes the page.

    models: rows of Table 1 -> Models, in the order of the page. data: the test part. videos: numbers of its videos.
    frames: a function that returns the frames of video k, (n, H, H, 3) uint8, or None.
    """
    values = {"title": title, "page": page(title, models, data, videos, frames)}
    write_file(path, render("player.html", values).encode())


def page(title, models, data, videos, frames):
    """The JSON of the page."""
    n_frames = sum(int(data.lists.frame_numbers[k]) for k in videos)
    weights = {name: given_params(model) for name, model in models.items()}
    reasons = {name: reason_against_hand(model.options, weights[name], n_frames) for name, model in models.items()}
    by_hand = not all(reasons.values())
    watched = {name: watch_videos(model, data, videos) for name, model in models.items()}
    coverage, (model, *_) = load_coverage(data), models.values()
    return {
        "title": title,
        "classes": read_class_names(data.folder, model.options.n_actions)[: model.options.n_actions],
        "fps": model.options.fps,
        "windowLength": model.options.maxlen,
        "columns": COLUMNS,
        "side": SIDE,
        "sides": sides(model.options),
        "models": [
            {
                "title": TITLES[name],
                "attends": model.options.pooling == "attention",
                "reason": reasons[name],
                "options": {option: getattr(model.options, option) for option in OPTIONS},
                "params": None if reasons[name] else {key: pack(value) for key, value in weights[name].items()},
            }
            for name, model in models.items()
        ],
        "videos": [
            video(data, k, frames(k), coverage, [seen[j] for seen in watched.values()], model.options, by_hand)
            for j, k in enumerate(videos)
        ],
    }


def sides(options):
    """K of the K x K locations of each layer that a glimpse weighs."""
    return [grid_side(n) for n in (options.n_locations, options.all_locations - options.n_locations) if n]


def given_params(model):
    """The parameters, name -> array, that a model uses under a given glimpse; None if it takes none."""
    if model.options.pooling != "attention" or model.options.resolutions != "one":
        return None
    names, params = init_params(given_options(model.options), Zeros()), params_of(model)
    return {name: params[name].astype("float32") for name in names}


def reason_against_hand(options, weights, n_frames):
    """Why no glimpse can be given by hand to a model, or "". n_frames: of all videos."""
    if options.pooling != "attention":
        return "This model pools all locations equally, so it has no glimpse."
    if weights is None:
        return "A glimpse of two resolutions cannot be given by hand."
    bytes_of_weights = sum(value.nbytes for value in weights.values())
    bytes_of_cubes = 2 * n_frames * options.n_locations * options.ctx_dim
    for what, size, most in (("weights", bytes_of_weights, MOST_WEIGHTS), ("cubes", bytes_of_cubes, MOST_CUBES)):
        if size > most:
            return f"A glimpse cannot be given by hand: the {what} take {size / 1e6:.1f} MB, limit {most / 1e6:g} MB."
    return ""


def video(data, k, frames, coverage, watched, options, by_hand):
    """The JSON of video k. watched: of each model; options: those that all models share."""
    n, first = int(data.lists.frame_numbers[k]), int(data.starts[k])
    rows = watched[0].rows[:N_FRAMES]
    m = len(rows)
    return {
        "name": data.lists.filenames[k],
        "true": pictures.true_classes(data, k),
        "nFrames": n,
        "rows": rows.tolist(),
        "places": watched[0].places[:m].tolist(),
        "picture": None if frames is None else picture(frames[rows]),
        "coverage": None if coverage is None else pack(coverage[first + rows], "float16"),
        "cubes": pack(data.table.read(first, first + n), "float16") if by_hand else None,
        "windows": (data.index[:, windows_of(data, k)].T - first).tolist() if by_hand else None,
        "models": [
            {
                "probs": seen.probs.tolist(),
                "steps": pack(seen.steps[:m], "float32"),
                "alpha": None if seen.alpha is None else pack(seen.alpha[:m], "float16"),
                "full": None if seen.alpha is None else full_weights(seen.alpha[:m], options),
            }
            for seen in watched
        ],
    }


def full_weights(alpha, options):
    """The weight at full brightness for each layer of a video's glimpses (m, L); see `drawing.maps`."""
    return [float(full) for _, full in drawing.maps(alpha, options.n_locations)]


def pack(array, dtype="float32"):
    """An array as JSON: shape, dtype, and its little-endian bytes, deflated, as base64."""
    array = np.asarray(array)
    data = zlib.compress(np.ascontiguousarray(array, np.dtype(dtype).newbyteorder("<")).tobytes())
    return {"shape": list(array.shape), "dtype": dtype, "deflated": base64.b64encode(data).decode()}


def picture(frames):
    """A data URI of one picture with all frames (m, H, H, 3), COLUMNS in a row."""
    m, file = len(frames), io.BytesIO()
    whole = Image.new("RGB", (min(m, COLUMNS) * SIDE, -(-m // COLUMNS) * SIDE))
    for t, frame in enumerate(frames):
        tile = Image.fromarray(frame).resize((SIDE, SIDE), Image.Resampling.BOX)
        whole.paste(tile, (t % COLUMNS * SIDE, t // COLUMNS * SIDE))
    whole.save(file, "WEBP", quality=50, method=2)
    return "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode()
