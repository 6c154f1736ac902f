"""Does attention move to the finer of two resolutions for small figures? A study on the embedded data set.

    python benchmarks/two_resolutions.py --folder runs/two_resolutions
    python benchmarks/two_resolutions.py --cost    # time and memory of an update at the size of GoogLeNet's layers

It makes a data set with a second, finer layer (14 x 14 beside 7 x 7) and figures of 40 to 145 pixels, trains `mlp`
attention on one layer, on both, and on a layer chosen first, and prints what each does with small, medium and large
figures. Two controls tell what else two layers bring. They are trained on both layers of data sets in which the fine
layer is the coarse one again, or nothing. Finished runs are kept. docs/two_resolutions.md shows the result.
"""

import resource
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from visual_attention.commands import command_line, exit_status
from visual_attention.experiment.cells import Cell, run_cells
from visual_attention.experiment.data import data_options, load_coverage
from visual_attention.experiment.evaluation import predictions
from visual_attention.experiment.parameters import trained_model
from visual_attention.model import Model
from visual_attention.options import Options, recipe
from visual_attention.presentation.table1 import load_predictions
from visual_attention.util import files, metrics, tables
from visual_attention.util.data_handler import Batch
from visual_attention.util.data_lists import PARTS, read_lists
from visual_attention.util.embedded import Difficulty, make_embedded
from visual_attention.util.frame_table import FrameTable, FrameTableWriter
from visual_attention.util.intervals import Predictions, resample
from visual_attention.util.workers import worker_pool

RESOLUTIONS = ("one", "both", "choose")
PROJECTED, TWICE = "one, projected", "coarse twice"
# Name -> option resolutions. The controls have the projections of `both`.
CONTENDERS = {"one": "one", PROJECTED: "both", TWICE: "both", "both": "both", "choose": "choose"}
COMPARED = ((PROJECTED, "one"), (TWICE, PROJECTED), ("both", PROJECTED), ("both", TWICE), ("both", "one"),
            ("choose", "one"), ("choose", "both"))  # fmt: skip
GROUPS = ("small", "medium", "large", "all")  # a third of the test videos each


@dataclass(frozen=True)
class Arguments:
    folder: Path = Path("runs/two_resolutions")
    """of the data sets, the runs and the tables"""
    seeds: int = 5
    """runs of each model"""
    heights: tuple[float, float] = (40.0, 145.0)
    """least and largest height of a figure, in pixels"""
    workers: int | None = None
    """processes that train side by side, by default one per core"""
    cost: bool = False
    """only measure an update of a model on one layer and on two, on random features of GoogLeNet's sizes"""
    batch_size: int = 32
    """with --cost: windows of 30 frames"""


def main():
    arguments = command_line.parse(Arguments, __doc__)
    if arguments.cost:
        print_costs(arguments.batch_size)
        return
    folder = arguments.folder
    data = make_embedded(folder / "data", fine=True, difficulty=Difficulty(heights=arguments.heights))
    controls = {name: control(data, folder / f"data, {name}", fine) for name, fine in FINE_OF_CONTROLS.items()}
    cells = {}
    for seed in range(arguments.seeds):
        for name, resolutions in CONTENDERS.items():
            of_cell = controls.get(name, data)
            changes = data_options(of_cell) | {"resolutions": resolutions, "common_dim": 64, "seed": seed}
            options = recipe("paper", "embedded", "attention_mlp_lambda0", **changes)
            cells[name, seed] = Cell(options, folder / name / f"seed{seed}", of_cell, finish=measure)
    run_cells(cells, arguments.workers)
    chosen, limits = groups_of(data)
    print("largest height of a box, in pixels: " + ", ".join(f"{name} {limits[name]:.0f}" for name in GROUPS))
    print(table(data, cells, chosen), comparisons(data, cells, chosen), sep="\n")


def each_four_times(cubes):
    """The coarse cubes (n, L, D) on a grid of half the length, (n, 4 L, D)."""
    n, L, D = cubes.shape
    K = metrics.grid_side(L)
    return cubes.reshape(n, K, K, D).repeat(2, axis=1).repeat(2, axis=2).reshape(n, 4 * L, D)


def one_of_zeros(cubes):
    """A single location without features: (n, 1, D)."""
    return np.zeros_like(cubes[:, :1])


FINE_OF_CONTROLS = {PROJECTED: one_of_zeros, TWICE: each_four_times}


def control(data, folder, fine_of):
    """The data set of folder `data` with the fine layer fine_of(coarse cubes)."""
    if folder.is_dir():
        return folder
    with files.new_folder(folder, f"{folder}.part") as building:
        shutil.copytree(data, building, ignore=shutil.ignore_patterns("*.h5"), dirs_exist_ok=True)
        for part in PARTS:
            table = FrameTable(data / f"{part}_features.h5")
            cubes = table.load()
            fine, about = fine_of(cubes), (table.layout, table.dtype, {"fps": table.fps})
            with FrameTableWriter(building / table.path.name, *table.frame_shape, *about, fine.shape[1:]) as writer:
                writer.append(cubes, fine)
    return folder


def measure(run, data):
    """Writes glimpses.npz of a trained model, a Cell's `finish`. Its arrays (videos,) are shares of each test video:

    of attention on the figure, of a uniform glimpse on it, of attention on the fine layer, and there on the figure.
    """
    if (run / "glimpses.npz").is_file():
        return
    model, coverage = trained_model(run, data.table.dtype), load_coverage(data)
    n_coarse = model.options.n_locations
    names = ("on_figure", "uniform", "fine", "fine_on_figure")
    of_windows = np.zeros((data.n_windows, len(names)))
    for chosen, _, alpha in predictions(model, data):
        on_figure = coverage[data.index[:, chosen]]  # (T, n, L)
        hits, fine = alpha * on_figure, alpha[..., n_coarse:].sum(axis=-1)
        numbers = hits.sum(axis=-1), on_figure.mean(axis=-1), fine, hits[..., n_coarse:].sum(axis=-1)
        of_windows[chosen] = np.mean(numbers, axis=1).T
    of_videos = metrics.video_probabilities(of_windows, data.video, len(data.labels))
    np.savez(run / "glimpses.npz", **dict(zip(names, of_videos.T, strict=True)))


def groups_of(data):
    """Numbers of the test videos of each group, and its largest height, of the median box of a video, in pixels."""
    lists, boxes = read_lists(data, "test"), np.load(data / "test_boxes.npy")
    ends = np.cumsum(lists.frame_numbers)
    heights = np.array([np.median(box[:, 3] - box[:, 1]) for box in np.split(boxes, ends[:-1])])
    order = np.argsort(heights, kind="stable")
    chosen = dict(zip(GROUPS, [*(np.sort(third) for third in np.array_split(order, 3)), np.arange(len(heights))],
                      strict=True))  # fmt: skip
    return chosen, {name: heights[videos].max() for name, videos in chosen.items()}


def table(data, cells, groups):
    """Rows of each contender and group: means and deviations over runs, in percent."""
    lists, rows = read_lists(data, "test"), []
    for name, resolutions in CONTENDERS.items():
        runs = [cell.run for key, cell in cells.items() if key[0] == name]
        glimpses = [dict(np.load(run / "glimpses.npz")) for run in runs]
        probs = [load_predictions(lists, run).probs for run in runs]
        for group, chosen in groups.items():
            shares = [{key: values[chosen].mean() for key, values in of_run.items()} for of_run in glimpses]
            right = [(p.argmax(axis=1) == lists.labels)[chosen].mean() for p in probs]
            row = [cell_of(right), f"{cell_of([s['on_figure'] for s in shares])} ({100 * shares[0]['uniform']:.1f})"]
            fine = [s["fine"] for s in shares], [s["fine_on_figure"] / s["fine"] for s in shares if s["fine"]]
            rows.append([name, group, *row, *(["", ""] if resolutions == "one" else map(cell_of, fine))])
    head = ["layers", "figures", "accuracy %", "on figure (uniform) %", "fine layer %", "of it on figure %"]
    return tables.markdown(head, rows)


def comparisons(data, cells, groups):
    """Differences of accuracy between contenders, in each group, with their intervals."""
    lists, rows = read_lists(data, "test"), {pair: [" − ".join(pair)] for pair in COMPARED}
    for chosen in groups.values():
        some, scores = lists.only(chosen), {}
        for number, name in enumerate(CONTENDERS):
            probs = [load_predictions(lists, cell.run).probs[chosen] for key, cell in cells.items() if key[0] == name]
            scores[name] = resample([[Predictions(some.filenames, p, some.labels)] for p in probs], number)
        for first, second in COMPARED:
            rows[first, second].append(tables.difference((scores[first] - scores[second]).summary()))
    return tables.markdown(["difference of accuracy", *groups], list(rows.values()))


def cell_of(shares):
    """Mean and deviation over runs, in percent."""
    return tables.mean_and_deviation(100 * np.mean(shares), 100 * np.std(shares, ddof=1) if len(shares) > 1 else None)


# ---------------------------------------------------------------- cost


def print_costs(batch_size):
    rows = []
    for attention in ("location", "mlp"):
        for resolutions in RESOLUTIONS:
            with worker_pool(1) as pool:  # a process each, for its peak of memory
                numbers = pool.submit(cost, attention, resolutions, batch_size).result()
            rows.append([attention, resolutions, *(f"{number:.2f}" for number in numbers)])
            print(*rows[-1], flush=True)
    head = ["attention", "resolutions", "s per update", "s per prediction", "peak GB", "of them frames"]
    print(tables.markdown(head, rows))


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


if __name__ == "__main__":
    exit_status.run(main)
