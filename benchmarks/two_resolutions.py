"""Does attention move to the finer of two resolutions for small figures? A study on the embedded data set.

    python benchmarks/two_resolutions.py --folder runs/two_resolutions
    python benchmarks/two_resolutions.py --cost    # time and memory of an update at the size of GoogLeNet's layers

It makes a data set with a second, finer layer (14 x 14 beside 7 x 7) and figures of 40 to 145 pixels, trains `mlp`
attention on one layer, on both, and on a layer chosen first, and prints what each does with small, medium and large
figures. Runs that are finished are not trained again. docs/two_resolutions.md shows the result.
"""

import resource
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from visual_attention.commands import command_line, exit_status
from visual_attention.experiment.data import data_options, load_coverage, load_parts
from visual_attention.experiment.evaluation import predictions, window_scores
from visual_attention.experiment.parameters import trained_model
from visual_attention.experiment.runs import run_cell
from visual_attention.model import Model
from visual_attention.options import Options, recipe
from visual_attention.util import files, metrics
from visual_attention.util.data_handler import Batch
from visual_attention.util.embedded import Difficulty, make_embedded
from visual_attention.util.tables import markdown
from visual_attention.util.workers import worker_pool

RESOLUTIONS = ("one", "both", "choose")
GROUPS = ("small", "medium", "large")  # a third of the test videos each


@dataclass(frozen=True)
class Arguments:
    folder: Path = Path("runs/two_resolutions")
    """of the data set, the runs and result.json"""
    seeds: int = 3
    """runs of each model"""
    model: str = "attention_mlp_lambda0"
    """row of Table 1 that is trained on one layer and on two"""
    heights: tuple[float, float] = (40.0, 145.0)
    """least and largest height of a figure, in pixels"""
    max_epochs: int = 15
    """epochs"""
    cost: bool = False
    """only measure an update of a model on one layer and on two, on random features of GoogLeNet's sizes"""
    batch_size: int = 32
    """with --cost: windows of 30 frames"""


def main():
    arguments = command_line.parse(Arguments, __doc__)
    if arguments.cost:
        print_costs(arguments.batch_size)
        return
    data = make_embedded(arguments.folder / "data", fine=True, difficulty=Difficulty(heights=arguments.heights))
    numbers = {resolutions: [] for resolutions in RESOLUTIONS}
    for seed in range(arguments.seeds):
        for resolutions, runs in numbers.items():
            changes = data_options(data) | {"common_dim": 64, "max_epochs": arguments.max_epochs, "seed": seed}
            options = recipe("paper", "embedded", arguments.model, resolutions=resolutions, **changes)
            run, parts = arguments.folder / resolutions / f"seed{seed}", load_parts(data, options)
            result = run_cell(options, run, parts)
            measured = measure(trained_model(run, parts["test"].table.dtype), parts["test"])
            runs.append(measured | {"accuracy": result["test"], "seconds": result["training_seconds"]})
            print(resolutions, seed, runs[-1], flush=True)
    rows = [row for resolutions, runs in numbers.items() for row in table_rows(resolutions, runs)]
    files.write_json(arguments.folder / "result.json", numbers)
    head = ["resolutions", "figures", "accuracy %", "on figure % (uniform)", "fine layer %", "of it on figure %"]
    print(markdown(head, rows))


def print_costs(batch_size):
    rows = []
    for attention in ("location", "mlp"):
        for resolutions in RESOLUTIONS:
            with worker_pool(1) as pool:  # a process each, for its peak of memory
                numbers = pool.submit(cost, attention, resolutions, batch_size).result()
            rows.append([attention, resolutions, *(f"{number:.2f}" for number in numbers)])
            print(*rows[-1], flush=True)
    head = ["attention", "resolutions", "s per update", "s per prediction", "peak GB", "of them frames"]
    print(markdown(head, rows))


def cost(attention, resolutions, batch_size, turns=4):
    """Seconds of an update and of a prediction, the least of some; GB of memory at most, and of the frames in them."""
    sizes = {"fine_locations": 196, "fine_dim": 832, "common_dim": 512}  # inception4e beside inception5b
    options = Options(attention=attention, resolutions=resolutions, batch_size=batch_size, **sizes)
    n = options.maxlen * batch_size
    shape = (n, 49, 1024) if resolutions == "one" else (n, 49 * 1024 + 196 * 832)
    frames = np.random.default_rng(0).random(shape, "float32").astype("float16")
    index = np.arange(n, dtype="int32").reshape(options.maxlen, batch_size)
    batch = Batch(frames, index, np.ones(index.shape, "float32"), np.zeros(batch_size, "int32"), np.arange(batch_size))
    model, seconds = Model(options, "float16"), {"update": [], "predict": []}
    batch.frames = model.frames(frames)
    for turn in range(turns + 1):  # the first one compiles
        for name, call in (("update", lambda: model.update(batch, np.random.default_rng(0))),
                           ("predict", lambda: model.predict(batch))):  # fmt: skip
            began = time.monotonic()
            call()
            seconds[name] += [time.monotonic() - began] if turn else []
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return min(seconds["update"]), min(seconds["predict"]), peak, frames.nbytes / 1e9


def measure(model, data):
    """Numbers of a trained model on the test part: of all videos, and of each third of them by the figure's height.

    The height of a figure is the median height of its box. `fine` is the share of the glimpse on the fine layer,
    `fine_on_figure` the share of that part of the glimpse that is on the figure's box.
    """
    coverage, o = load_coverage(data), model.options
    boxes = np.load(data.folder / "test_boxes.npy")
    ends = np.cumsum(data.lists.frame_numbers)
    heights = [np.median(boxes[a:b, 3] - boxes[a:b, 1]) for a, b in zip(data.starts, ends, strict=True)]
    third = np.argsort(np.argsort(heights, kind="stable"), kind="stable") * 3 // len(heights)  # of each video
    window_probs = np.zeros((data.n_windows, o.n_actions))
    of_windows = {name: np.zeros(data.n_windows) for name in ("on_figure", "uniform", "fine", "fine_on_figure")}
    for chosen, probs, alpha in predictions(model, data):
        window_probs[chosen] = window_scores(o, probs)
        on_figure = coverage[data.index[:, chosen]]  # (T, n, L)
        fine = alpha[..., o.n_locations :]
        of_windows["on_figure"][chosen] = (alpha * on_figure).sum(axis=-1).mean(axis=0)
        of_windows["uniform"][chosen] = on_figure.mean(axis=-1).mean(axis=0)
        of_windows["fine"][chosen] = fine.sum(axis=-1).mean(axis=0)
        hits = (fine * on_figure[..., o.n_locations :]).sum(axis=-1).mean(axis=0)
        of_windows["fine_on_figure"][chosen] = hits / np.maximum(of_windows["fine"][chosen], 1e-12)
    n_videos = len(data.labels)
    right = metrics.video_probabilities(window_probs, data.video, n_videos).argmax(axis=1) == data.labels
    of_videos = {
        name: metrics.video_probabilities(values[:, None], data.video, n_videos)[:, 0]
        for name, values in of_windows.items()
    }
    of_videos["right"] = right.astype(float)
    groups = {
        group: {name: 100 * float(values[third == k].mean()) for name, values in of_videos.items()}
        for k, group in enumerate(GROUPS)
    }
    ranks = [np.argsort(np.argsort(values, kind="stable")) for values in (heights, of_videos["fine"])]
    limits = [float(np.max(np.array(heights)[third == k])) for k in range(3)]
    return {
        "groups": groups,
        "largest_height": dict(zip(GROUPS, limits, strict=True)),
        # of the rank of a video's height with that of its share on the fine layer; without that layer it means nothing
        "rank_correlation": float(np.corrcoef(*ranks)[0, 1]),
        "all": {name: 100 * float(values.mean()) for name, values in of_videos.items()},
    }


def table_rows(resolutions, runs):
    """Rows of the printed table: means and deviations over runs."""

    def cell(of, name):
        values = [of(run)[name] for run in runs]
        return f"{np.mean(values):.1f}" + (f" ± {np.std(values, ddof=1):.1f}" if len(values) > 1 else "")

    rows = []
    for group in (*GROUPS, "all"):

        def of(run, group=group):
            return run["all"] if group == "all" else run["groups"][group]

        two = resolutions != "one"
        rows.append([resolutions, group, cell(of, "right"), f"{cell(of, 'on_figure')} ({of(runs[0])['uniform']:.1f})",
                     cell(of, "fine") if two else "", cell(of, "fine_on_figure") if two else ""])  # fmt: skip
    return rows


if __name__ == "__main__":
    exit_status.run(main)
