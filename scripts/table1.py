"""Table 1: every model of the paper trained and tested on a data set, with its seeds; finished runs are kept.

    python scripts/table1.py embedded [--quick]
    python scripts/table1.py ucf11 --data DIR        # also hmdb51, hollywood2; all of them: --data DIR/ucf11, ...

Before it starts it says what time, memory and disk it needs. The data set's folder is made by
scripts/extract_features.py; that of embedded by this script, which also draws the page of figures of its runs.
"""

import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import tyro

from visual_attention import command_line, run_folder
from visual_attention.cells import Cell, run_cells
from visual_attention.command_line import changes_of
from visual_attention.options import DATA_SETS, MODELS, RECIPES, TITLES, graph_options, recipe
from visual_attention.util import drawing
from visual_attention.util.embedded import make_embedded
from visual_attention.util.workers import n_cores, worker_pool

# accuracy on UCF-11 and HMDB-51, mAP on Hollywood2, in percent, as printed in the paper's Table 1
PAPER_TABLE1 = {
    "softmax_regression": (82.37, 33.46, 34.62),
    "average_pooled_lstm": (82.56, 40.52, 43.19),
    "max_pooled_lstm": (81.60, 37.58, 43.22),
    "attention_lambda0": (84.96, 41.31, 43.91),
    "attention_lambda1": (83.52, 40.98, 43.18),
    "attention_lambda10": (81.44, 39.87, 42.92),
}
REAL = ("ucf11", "hmdb51", "hollywood2")
SPLITS = {"hmdb51": ("split1", "split2", "split3")}  # a column is the mean over them
DRAWN = ("attention_lambda0", "attention_mlp_lambda0")  # the models of which pictures are made


@dataclass(frozen=True)
class Arguments:
    data_set: Annotated[Literal[(*DATA_SETS, "all")], tyro.conf.Positional] = "embedded"
    """which column; all: the three real data sets"""
    data: Path | None = None
    """folder of the data set, data/DATA_SET if not given; for hmdb51 that of split1, split2 and split3; for all that of
    the three data sets"""
    recipe: Literal[tuple(RECIPES)] = "paper"
    """whose hyper-parameters"""
    models: tuple[Literal[tuple(MODELS)], ...] = tuple(MODELS)
    """rows of the table"""
    seeds: int = 3
    """runs of each model"""
    quick: bool = False
    """one seed and three epochs, in folders of their own: a look, not a result"""
    change: tuple[str, ...] = ()
    """options that differ from the recipe, for all models: --change max_epochs=1 dim=64"""
    workers: int | None = None
    """processes that train side by side, each with its share of the cores; if not given, as many as cores and memory
    allow, one on a GPU"""
    cluster: str | None = None
    """address of a Dask scheduler whose workers run the cells, instead of processes of this machine; docs/cluster.md"""
    runs: Path = Path("runs")
    """folder of the runs and of the tables"""


def main():
    arguments = tyro.cli(Arguments, description=__doc__)
    command_line.check_at_least(arguments, seeds=1, workers=1)
    if arguments.data_set == "all":
        for name in REAL:
            make_column(name, (arguments.data or Path("data")) / name, arguments)
    else:
        make_column(arguments.data_set, arguments.data or Path("data") / arguments.data_set, arguments)


def make_column(name, data, arguments):
    """Trains and tests all cells of a data set; tables and pictures in runs/<name>."""
    began, quick = time.monotonic(), arguments.quick
    title = name + ("" if arguments.recipe == "paper" else f"_{arguments.recipe}") + ("_quick" if quick else "")
    folder, seeds = arguments.runs / title, range(1 if quick else arguments.seeds)
    changes = ({"max_epochs": 3} if quick else {}) | changes_of(arguments.change)
    if name == "embedded":
        make_embedded(data, workers=arguments.workers)
    elif not data.is_dir():
        raise FileNotFoundError(
            f"{data}: no such folder; expected the features of {name}, made by scripts/extract_features.py "
            f"--lists data_lists/{name} --videos VIDEOS --out {data} --extractor googlenet (or give --data)"
        )
    cells = {}
    for model in reversed(arguments.models):  # in reverse the one that takes longest comes first
        for split in SPLITS.get(name, ("",)):
            for seed in seeds:
                options = recipe(arguments.recipe, name, model, **{"seed": seed, **changes})
                run, sheet = folder / split / model / f"seed{seed}", None
                if model in DRAWN and seed == 0:
                    sheet = folder / split / f"{model}.png", f"{TITLES[model]}: where it looked"
                cells[model, split, seed] = Cell(options, run, data / split, sheet=sheet)
    workers = check_needs(name, folder, cells, arguments.workers, arguments.cluster)
    results = run_cells(cells, workers, arguments.cluster)
    by_model = defaultdict(list)
    for model in arguments.models:
        for seed in seeds:
            by_model[model].append([results[model, split, seed] for split in SPLITS.get(name, ("",))])
    write_table(folder, name, by_model)
    write_class_table(folder, by_model)
    draw_curves(
        folder,
        {model: [cell.run for key, cell in cells.items() if key[0] == model] for model in arguments.models},
        by_model,
    )
    print((folder / "table1.md").read_text())
    print(f"{folder}/table1.md, classes.md, learning_curves.png: {time.monotonic() - began:.0f} s", flush=True)
    draw_figures(name, folder)


# ---------------------------------------------------------------- before it starts


def check_needs(name, folder, cells, workers, cluster=None):
    """Says what the cells that are not finished need; how many workers to use. ValueError: it cannot be had."""
    from visual_attention import budget

    open_cells = [cell for cell in cells.values() if not (cell.run / "result.json").is_file()]
    if not open_cells:
        return 1
    sizes = {cell.data: budget.sizes(cell.data, cell.options) for cell in open_cells}
    with worker_pool(1) as pool:  # in a process of its own: JAX would keep a GPU's memory
        rate, gpu = pool.submit(budget.matmul_rate).result()
    needs = [budget.need(cell.options, *sizes[cell.data], rate) for cell in open_cells]
    memory, disk = budget.available_gb(folder)
    most, wanted = max(need.memory_gb for need in needs), sum(need.disk_gb for need in needs)
    n_graphs = len({graph_options(cell.options) for cell in open_cells})
    hours = sum(need.seconds for need in needs) / 3600 + n_graphs * 30 / 3600
    print(
        f"{name}: {len(open_cells)} runs to do, {sum(map(sum, (s[0] for s in sizes.values()))):,} windows; about "
        f"{hours:.1f} hours at {rate / 1e9:,.0f} GFLOP/s; {most:.1f} GB of memory a worker ({memory:.1f} free); "
        f"{wanted:.1f} GB of disk ({disk:.1f} free)",
        flush=True,
    )
    if wanted > disk:
        raise ValueError(f"{folder}: needs {wanted:.1f} GB of disk, {disk:.1f} are free; give another folder by --runs")
    if cluster is not None:  # its machines are not this one
        return None
    fit = 1 if gpu else min(n_cores(), int(memory / most))
    if (workers or 1) > memory / most:
        raise ValueError(
            f"{workers or 1} worker(s) need {(workers or 1) * most:.1f} GB of memory, {memory:.1f} are free; expected "
            "fewer --workers, or less of it by --change memory_gb=1 batch_size=32"
        )
    return workers or fit


# ---------------------------------------------------------------- tables and pictures


def write_table(folder, data_set, results):
    """table1.json, .md, .csv and .tex. results: model -> a list for each seed of result.json's, one a split."""
    rows = []
    for model, seeds in results.items():
        runs = [run for seed in seeds for run in seed]
        values = [float(np.mean([run["test"] for run in seed])) for seed in seeds]
        rows.append(
            {
                "model": model,
                "metric": runs[0]["metric"],
                "values_by_seed": values,
                "values_by_split": np.mean([[run["test"] for run in seed] for seed in seeds], axis=0).tolist(),
                "mean": float(np.mean(values)),
                "deviation": float(np.std(values, ddof=1)) if len(values) > 1 else None,
                "seconds": sum(run["training_seconds"] + run["test_seconds"] for run in runs),
                "paper": dict(zip(REAL, PAPER_TABLE1[model], strict=True)) if model in PAPER_TABLE1 else None,
            }
        )
        if "attention_on_figure" in runs[0]:
            rows[-1]["attention_on_figure"] = float(np.mean([run["attention_on_figure"] for run in runs]))
            rows[-1]["uniform_on_figure"] = runs[0]["uniform_on_figure"]
    run_folder.write_json(folder / "table1.json", {"data_set": data_set, "cells": rows})

    splits, figure = SPLITS.get(data_set, ()), "attention_on_figure" in rows[0] or data_set == "embedded"
    head = ["Model", f"{data_set} {rows[0]['metric']} %", *splits]
    head += ["attention on the figure (uniform) %"] if figure else []
    head += ["s", "paper: UCF-11 acc %", "paper: HMDB-51 acc %", "paper: Hollywood2 mAP %"]
    body = []
    for row in rows:
        deviation = "" if row["deviation"] is None else f" ± {row['deviation']:.1f}"
        share = ""
        if "attention_on_figure" in row:
            share = f"{100 * row['attention_on_figure']:.1f} ({100 * row['uniform_on_figure']:.1f})"
        literature = [f"{v:.2f}" for v in row["paper"].values()] if row["paper"] else ["", "", ""]
        by_split = [f"{value:.1f}" for value in row["values_by_split"]] if splits else []
        body.append([TITLES[row["model"]], f"{row['mean']:.1f}{deviation}", *by_split, *([share] if figure else []),
                     f"{row['seconds']:.0f}", *literature])  # fmt: skip
    run_folder.write_table(folder / "table1", head, body)


def write_class_table(folder, results):
    """classes.md, .csv and .tex: accuracy or average precision of each class, means over seeds and splits."""
    columns = {model: [run["classes"] for seed in seeds for run in seed] for model, seeds in results.items()}
    names = [row["class"] for row in next(iter(columns.values()))[0]]
    body = []
    for k, name in enumerate(names):
        cells = [[run[k]["percent"] for run in runs if run[k]["percent"] is not None] for runs in columns.values()]
        body.append([name, *(f"{np.mean(cell):.1f}" if cell else "" for cell in cells)])
    run_folder.write_table(folder / "classes", ["Class", *(TITLES[model] for model in columns)], body)


def draw_curves(folder, runs, results):
    """Learning curves of all models, means over seeds and splits."""
    logs = {TITLES[model]: [run_folder.load_log(run) for run in folders] for model, folders in runs.items()}
    metric = next(iter(results.values()))[0][0]["metric"]
    drawing.learning_curves(folder / "learning_curves.png", logs, metric)


def draw_figures(data_set, folder):
    """The page of figures, where it takes about a minute and a model attends; else how to make it."""
    if data_set != "embedded" or not any(folder.glob("attention_lambda0/*/result.json")):
        print(f"bash scripts/figures.sh {folder.name} --runs {folder.parent} draws the paper's figures of these runs")
        return
    from visual_attention.figures import Wanted, make_figures

    began = time.monotonic()
    path, _ = make_figures(folder, Wanted())
    print(f"{path}: {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    command_line.run(main)
