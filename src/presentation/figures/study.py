"""Fig. 9, the glimpse study: location weights are drawn at random, then optimised on one video.

stages = study(run, data, k)  # {"trained": Stage, "random": Stage, "optimised": Stage}
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from visual_attention.attention import ATTENTION
from visual_attention.experiment.data import load_coverage
from visual_attention.experiment.evaluation import watch
from visual_attention.experiment.parameters import load_params, params_of
from visual_attention.experiment.run_folder import load_options
from visual_attention.layers import Zeros, layer_name
from visual_attention.model import model_for
from visual_attention.options import TITLES
from visual_attention.presentation import glimpse_numbers, pictures
from visual_attention.presentation.figures import Figure
from visual_attention.util.data_handler import frames_of_batches
from visual_attention.util.data_lists import read_lists

HEADING, POSITION = "Glimpse study", 60
STAGES = ("trained", "random", "optimised")
MOST_PADDED = 1 << 28  # bytes of a frame table with as many frames as that of training
MOST_TRIED = 60  # videos, in search of some that are classified wrongly with random location weights


def draw_model(runs, folder, name):
    """Glimpses of one video, and a table of several."""
    if not runs.choices.studies:
        return Figure("Fig. 9, the glimpse study, was left out by --studies 0.")
    studies = study_videos(runs, name)
    if not studies:
        return Figure(f"Fig. 9 needs a test video that {name} classifies correctly; there is none.")
    coverage = load_coverage(runs.data)
    rows = [study_numbers(runs.data, k, stages, coverage) for k, stages in studies.items()]
    k, stages = next(iter(studies.items()))
    optimised, frames, T = stages.get("optimised"), runs.frames(k), runs.options.maxlen
    captions = {"trained": "trained", "random": "random location weights"}
    captions["optimised"] = f"optimised location weights, {optimised.updates} updates" if optimised else ""
    path = folder / f"glimpse_study_{name}.png"
    pictures.compare_glimpses(
        path,
        runs.data.lists.filenames[k],
        None if frames is None else frames[stages["trained"].rows[:T]],
        [
            (f"{captions[stage]}:  {pictures.verdict(runs.data, k, s.probs)}", s.alpha[:T], s.right)
            for stage, s in stages.items()
        ],
        runs.options.n_locations,
    )
    caption = (
        f"The glimpse study, as in the paper's Fig. 9 ({TITLES[name]}). From top to bottom: frames; the glimpse of the "
        "trained model; the glimpse of the same model with location weights drawn uniformly between their minimum and "
        "maximum; the glimpse after only these weights were optimised on this video until it is classified correctly."
    )
    if all(stages["trained"].right and not stages["random"].right for stages in studies.values()):
        caption += " The videos are ones that the trained weights classify correctly and the random weights wrongly."
    if optimised is None:
        caption += " Random weights also classify this video correctly, so nothing was optimised."
    note = "Overlap is the share of the weight that two glimpses have in common, averaged over the video's frames."
    return Figure(caption, path, {f"glimpse_study_{name}": rows}, study_table(rows), note)


def study_videos(runs, name):
    """The studies of some videos, number of the video -> stages.

    They are chosen videos, then videos that are classified wrongly with random weights. If there are none, it is the
    first that is classified correctly by the trained weights, or none at all.
    """
    run, data, studies = runs.run(name), runs.data, {}
    candidates = runs.correct_videos(name)
    for k in candidates[:MOST_TRIED]:
        if len(studies) < runs.choices.studies:
            stages = study(run, data, k, seed=k, random_wrong=k not in runs.chosen)
            studies |= {k: stages} if stages else {}
    return studies or {k: study(run, data, k, seed=k) for k in candidates[:1]}


def study_numbers(data, k, stages, coverage):
    """What numbers.json says about the study of video k; coverage: see `evaluation.evaluate`."""
    true, trained = pictures.true_classes(data, k), stages["trained"].alpha
    numbers = {"video": data.lists.filenames[k]}
    for stage, s in stages.items():
        numbers[stage] = {
            "right": s.right,
            "true_class_probability": float(s.probs[true].max()) if true else None,
            "entropy": float(glimpse_numbers.entropy(s.alpha).mean()),
            "overlap_with_trained": float(glimpse_numbers.overlap(s.alpha, trained).mean()),
        }
        if coverage is not None:
            video_coverage = coverage[data.starts[k] + s.rows]
            numbers[stage]["on_figure"] = float((s.alpha * video_coverage).sum(axis=-1).mean())
        if stage == "optimised":
            numbers[stage]["updates"] = s.updates
    return numbers


def study_table(rows):
    """Head and body of a table of `study_numbers`, one row per video."""
    has_figure = "on_figure" in rows[0]["trained"]
    head = ["Video", "updates", *(f"p(true), {stage}" for stage in STAGES)]
    head += ["overlap with trained: random", "optimised"]
    head += [f"on the figure %: {stage}" for stage in STAGES] if has_figure else []
    body = []
    for row in rows:

        def cells(key, scale, form, row=row):
            values = [row.get(stage, {}).get(key) for stage in STAGES]
            return ["" if value is None else form.format(scale * value) for value in values]

        optimised = row.get("optimised", {"updates": 0, "right": True})
        updates = f"{optimised['updates']}" + ("" if optimised["right"] else " (still wrong)")
        body.append([row["video"], updates, *cells("true_class_probability", 1, "{:.2f}"),
                     *cells("overlap_with_trained", 1, "{:.2f}")[1:],
                     *(cells("on_figure", 100, "{:.1f}") if has_figure else [])])  # fmt: skip
    return head, body


# ---------------------------------------------------------------- the experiment


@dataclass
class Stage:
    """The model's output for the video at one stage of the study: see `evaluation.watch`."""

    probs: np.ndarray  # (C,)
    rows: np.ndarray  # (m,)
    alpha: np.ndarray  # (m, L)
    right: bool
    updates: int = 0  # of the location weights


def location_weights(options):
    """Names of the parameters that only score locations, those of the kind of attention: for Eq. 4, W."""
    return list(ATTENTION[options.attention].init_params(options, Zeros()))


def redrawn(options, params, rng):
    """Parameters with location weights drawn uniformly between the minimum and the maximum of each array."""
    drawn = {name: rng.uniform(params[name].min(), params[name].max(), params[name].shape).astype(params[name].dtype)
             for name in location_weights(options)}  # fmt: skip
    return params | drawn


def params_for_updates(options, params):
    """Parameters with which an update that drops no unit computes what the model computes in testing.

    By either convention of dropout, a unit that is kept counts twice as much in an update as in testing. So the weights
    that receive these units are halved. One graph then serves training, updates of the study, and predictions.
    """
    o = options
    if not o.use_dropout:
        return params
    halved = {"ff_logit_lstm_W", "ff_logit_W", *(f"ff_logit_h{k}_W" for k in range(1, o.n_layers_out))}
    if o.dropout == "paper":
        halved |= {"ff_logit_ctx_W", *(f"{layer_name('decoder', k)}_W" for k in range(o.n_layers_lstm))}
    if o.n_layers_init > 1:
        halved |= {n for n in params if n.startswith(("ff_state", "ff_memory", "ff_init")) and n.endswith("_W")}
        halved -= {"ff_init_1_W"}  # its input, mu, has no dropout
    return {name: value / 2 if name in halved else value for name, value in params.items()}


def study(run, data, k, seed=0, lrate=0.01, most=100, random_wrong=False):
    """Fig. 9 on video k: {"trained", "random", "optimised"} -> Stage. "optimised" is missing if "random" is correct.

    The location weights are drawn with `seed`. Then Adam with learning rate `lrate` updates them, and nothing else, on
    the cost (Eq. 7) of this video's windows without dropout, until the video is classified correctly or `most` updates
    are done. random_wrong: returns None if the trained weights are wrong or the random weights are correct.
    """
    options = load_options(run)[0]
    model = model_for(options.replace(optimizer="adam", lrate=lrate), data.table.dtype)
    load_params(model, Path(run, "model.npz"))
    trained = params_of(model)
    fixed = {name: value for name, value in trained.items() if name not in location_weights(options)}
    fixed_in_updates = params_for_updates(options, fixed)

    stages = {"trained": watch_stage(model, data, k)}
    if random_wrong and not stages["trained"].right:
        return None
    set_params(model, redrawn(options, trained, np.random.default_rng(seed)))
    stages["random"] = last = watch_stage(model, data, k)
    if random_wrong and last.right:
        return None
    windows = np.flatnonzero(data.video == k)
    capacity = capacity_as_in_training(options, data, windows)
    while not last.right and last.updates < most:
        updates = last.updates
        for batch in data.batches(windows, options.batch_size, capacity=capacity):
            set_params(model, fixed_in_updates)
            model.update(batch, np.random.default_rng(updates), drop=False)
            updates += 1
        set_params(model, fixed)
        stages["optimised"] = last = watch_stage(model, data, k, updates)
    return stages


def capacity_as_in_training(options, data, windows):
    """The number of frames in training's table, as capacity for batches of these windows; None if it does not suit.

    XLA compiles an update for one number of frames. With training's number, the update is already in the cache. That
    number suits if such a table is small and holds the frames of each batch.
    """
    n = int(read_lists(data.folder, "train").frame_numbers.sum())
    is_small = n * data.table.frame_bytes < min(MOST_PADDED, 1e9 * options.memory_gb)
    return n if is_small and frames_of_batches(data.index, windows, options.batch_size) <= n else None


def set_params(model, params):
    """Sets some of a model's parameters, name -> array."""
    for name, value in params.items():
        model.tparams[name].set_value(value)


def watch_stage(model, data, k, updates=0):
    """The model's output for video k as a Stage."""
    probs, rows, alpha, *_ = watch(model, data, k)
    return Stage(probs, rows, alpha, pictures.is_right(data, k, probs), updates)
