"""Table 1: trains and tests every model of the paper on a data set with several seeds; finished runs are kept.

    visual-attention table1 embedded [--quick]
    visual-attention table1 ucf11 --data DIR        # also hmdb51, hollywood2; all of them: --data DIR/ucf11, ...

It first prints the time, memory and disk that it needs. Data sets are made by visual-attention extract; only the
embedded one by this command, which also draws the page of figures of its runs.
"""

import functools
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from visual_attention.commands import command_line
from visual_attention.experiment.cells import Cell, check_needs, run_cells
from visual_attention.options import MODELS, RECIPES, TABLE1, TITLES, Options, recipe
from visual_attention.presentation import DRAWN
from visual_attention.presentation import table1 as tables
from visual_attention.util.data_lists import read_lists
from visual_attention.util.data_sets import DATA_SETS, with_videos
from visual_attention.util.metrics import grid_side

OPTIONS_OF_ROWS = ("pooling", "attention", "focus", "top_k", "alpha_c", "seed")  # follow from the row, and from --seeds


@dataclass(frozen=True)
class Arguments:
    data_set: Annotated[Literal[(*DATA_SETS, "all")], tyro.conf.Positional] = "embedded"
    """which column; all: the data sets of the paper"""
    data: Path | None = None
    """folder of the data set, data/DATA_SET if not given; for hmdb51 that of split1, split2 and split3; for all that of
    these data sets"""
    recipe: Literal[tuple(RECIPES)] = "paper"
    """whose hyper-parameters"""
    models: tuple[Literal[tuple(MODELS)], ...] = TABLE1
    """rows of the table; hard and hybrid attention only if named here"""
    seeds: int = 5
    """runs of each model"""
    quick: bool = False
    """one seed and three epochs, in separate folders: to see that everything works"""
    workers: int | None = None
    """processes that train side by side, each with its share of the cores; by default as many as cores and memory
    allow, or one with a GPU"""
    cluster: str | None = None
    """address of a Dask scheduler whose workers run the cells, instead of processes of this machine; docs/cluster.md"""
    runs: Path = Path("runs")
    """folder of the runs and of the tables"""
    changes: command_line.recipe_changes(*OPTIONS_OF_ROWS) = field(default_factory=dict)
    """what is given here differs from the recipe, in all runs"""


def main():
    arguments = command_line.parse(Arguments, __doc__)
    command_line.check_at_least(arguments, seeds=1, workers=1)
    if not arguments.models:
        raise ValueError(f"option --models names none; expected some of {', '.join(MODELS)}")
    if arguments.data_set == "all":
        for name in (name for name, data_set in with_videos().items() if data_set.table1):
            make_column(name, (arguments.data or Path("data")) / name, arguments)
    else:
        make_column(arguments.data_set, arguments.data or Path("data") / arguments.data_set, arguments)


def make_column(name, data, arguments):
    """Trains and tests all cells of a data set; tables and pictures in runs/<name>."""
    began, quick = time.monotonic(), arguments.quick
    title = name + ("" if arguments.recipe == "paper" else f"_{arguments.recipe}") + ("_quick" if quick else "")
    folder, seeds = arguments.runs / title, range(1 if quick else arguments.seeds)
    changes = ({"max_epochs": 3} if quick else {}) | arguments.changes
    splits = DATA_SETS[name].splits or ("",)
    if DATA_SETS[name].make is not None:
        DATA_SETS[name].make(data, workers=arguments.workers)
    elif not data.is_dir():
        raise FileNotFoundError(
            f"{data}: no such folder; expected the features of {name}, made by visual-attention extract "
            f"--lists {name} --videos VIDEOS --out {data} --extractor googlenet (or give --data)"
        )
    cells, drawn = {}, models_to_draw(name, changes.get("n_locations", Options.n_locations))
    for model in reversed(arguments.models):  # the models that take longest come first
        for split in splits:
            for seed in seeds:
                options = recipe(arguments.recipe, name, model, **{"seed": seed, **changes})
                run, finish = folder / split / model / f"seed{seed}", None
                if model in drawn and seed == 0:
                    path = folder / split / f"{model}.png"
                    finish = functools.partial(draw_sheet, path=path, title=f"{TITLES[model]}: where the model looks")
                cells[model, split, seed] = Cell(options, run, data / split, finish=finish)
    workers = check_needs(folder, cells, arguments.workers, arguments.cluster)
    results = run_cells(cells, workers, arguments.cluster)
    by_model = defaultdict(list)
    for model in arguments.models:
        for seed in seeds:
            by_model[model].append([results[model, split, seed] for split in splits])
    runs = {model: [cell.run for key, cell in cells.items() if key[0] == model] for model in arguments.models}
    lists = {split: read_lists(data / split, "test", DATA_SETS[name].n_actions) for split in splits}
    predictions = {
        model: [
            [tables.load_predictions(lists[split], cells[model, split, seed].run) for split in splits] for seed in seeds
        ]
        for model in arguments.models
    }
    tables.write_table(folder, name, by_model, predictions)
    tables.write_class_table(folder, by_model)
    tables.draw_curves(folder, runs, by_model)
    print((folder / "table1.md").read_text())
    print(f"{folder}/table1.md, classes.md, learning_curves.png: {time.monotonic() - began:.0f} s", flush=True)
    draw_figures(name, folder, workers or 1)


def models_to_draw(name, n_locations):
    """The models to draw. None if the locations do not form a square grid; prints a message before training."""
    try:
        grid_side(n_locations)
    except ValueError as error:
        print(f"{name}: no pictures will be drawn: {error}", flush=True)
        return ()
    return DRAWN


def draw_sheet(run, test, path, title):
    """Draws some test videos of a run; runs in the process that trained it."""
    from visual_attention.presentation import pictures  # not in the parent process, which computes nothing

    pictures.save_sheet(run, test, path, title)


def draw_figures(data_set, folder, workers):
    """Makes the page of figures if it takes about a minute and a model has attention; else prints how to make it."""
    if DATA_SETS[data_set].render is None or not any(folder.glob("attention_lambda0/*/result.json")):
        print(f"visual-attention figures {folder.name} --runs {folder.parent} draws the paper's figures of these runs")
        return
    from visual_attention.presentation.finished_runs import Choices
    from visual_attention.presentation.page import make_figures

    began = time.monotonic()
    path, _ = make_figures(folder, Choices(), workers)
    print(f"{path}: {time.monotonic() - began:.0f} s")
