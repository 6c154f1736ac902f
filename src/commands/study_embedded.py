"""When does attention help? Accuracy and attention on the figure, by the figure's size and by how it is placed.

    visual-attention study

Makes embedded data sets that differ in the figures' height and in the spread of their places, trains the models on
each with several seeds, and writes study.md, .json, .csv, .tex, and the figures study.png and study_shares.png.
Finished runs are kept: interrupt it at any time, and start it again to continue. docs/embedded_study.md shows a result.
"""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from visual_attention.commands import command_line
from visual_attention.commands.table1 import OPTIONS_OF_ROWS
from visual_attention.experiment.cells import Cell, check_needs, run_cells
from visual_attention.options import MODELS, TITLES, recipe
from visual_attention.presentation import table1 as tables
from visual_attention.util import drawing, files
from visual_attention.util.data_lists import read_lists
from visual_attention.util.embedded import VIDEOS_PER_CLASS, Difficulty, make_embedded
from visual_attention.util.tables import difference, mean_and_deviation, write_table

VARIATION = 0.15  # of the heights within a data set


@dataclass(frozen=True)
class Arguments:
    models: tuple[Literal[tuple(MODELS)], ...] = (
        "average_pooled_lstm", "max_pooled_lstm", "attention_lambda0", "attention_mlp_lambda0",
    )  # fmt: skip
    """rows of Table 1 to train, also hard_location, hybrid_location, hard_mlp and hybrid_mlp"""
    heights: tuple[float, ...] = (50.0, 80.0, 130.0)
    """mean height of the figures of a data set, in pixels of 224; a figure differs from it by up to 15 %"""
    spreads: tuple[float, ...] = (0.0, 0.5, 1.0)
    """where figures are: 0 always at the centre, 1 anywhere in the frame"""
    seeds: int = 3
    """runs of each model on each data set"""
    videos_per_class: tuple[int, int, int] = VIDEOS_PER_CLASS
    """videos of each class for training, validation and test"""
    workers: int | None = None
    """processes that work side by side, by default one per core"""
    data: Path = Path("data/embedded_study")
    """folder of the data sets"""
    runs: Path = Path("runs/embedded_study")
    """folder of the runs, the table and the figure"""
    changes: command_line.recipe_changes(*OPTIONS_OF_ROWS) = field(default_factory=dict)
    """what is given here differs from the recipe, in all runs"""


def main():
    arguments = command_line.parse(Arguments, __doc__)
    command_line.check_at_least(arguments, seeds=1, workers=1)
    for name in ("models", "heights", "spreads"):
        if not getattr(arguments, name):
            raise ValueError(f"option --{name} names none; expected one or more")
    began, folder, seeds = time.monotonic(), arguments.runs, range(arguments.seeds)
    settings = {(h, s): f"height{h:g}_spread{s:g}" for h in arguments.heights for s in arguments.spreads}
    for (height, spread), name in settings.items():
        heights = ((1 - VARIATION) * height, (1 + VARIATION) * height)
        make_embedded(
            arguments.data / name,
            videos_per_class=arguments.videos_per_class,
            workers=arguments.workers,
            difficulty=Difficulty(heights=heights, spread=spread),
        )
    cells = {
        (name, model, seed): Cell(
            recipe("paper", "embedded", model, **{"seed": seed, **arguments.changes}),
            folder / name / model / f"seed{seed}",
            arguments.data / name,
        )
        for model in reversed(arguments.models)  # those that take longest come first
        for name in settings.values()
        for seed in seeds
    }
    results = run_cells(cells, check_needs(folder, cells, arguments.workers))
    rows = []
    for (height, spread), name in settings.items():
        lists = read_lists(arguments.data / name, "test")
        by_model = {model: [[results[name, model, seed]] for seed in seeds] for model in arguments.models}
        predictions = {
            model: [[tables.load_predictions(lists, cells[name, model, seed].run)] for seed in seeds]
            for model in arguments.models
        }
        rows += [{"height": height, "spread": spread} | row for row in tables.rows_of(by_model, predictions)]
    write_study(folder, rows)
    draw_study(folder / "study.png", rows)
    print((folder / "study.md").read_text())
    print(f"{folder}/study.md, study.png: {time.monotonic() - began:.0f} s", flush=True)


def write_study(folder, rows):
    """Writes study.json, .md, .csv and .tex. rows: of `tables.rows_of`, with height and spread."""
    files.write_json(folder / "study.json", rows)
    head = ["height", "spread", "model", "accuracy %", f"minus {TITLES[tables.POOLED]}, 95 % interval",
            "attention on the figure (uniform) %"]  # fmt: skip
    body = [
        [f"{row['height']:g}", f"{row['spread']:g}", TITLES[row["model"]],
         mean_and_deviation(row["mean"], row["deviation"]), difference(row["difference"]), tables.share_cell(row)]
        for row in rows
    ]  # fmt: skip
    write_table(folder / "study", head, body)


def draw_study(path, rows):
    """Draws accuracy, and below it attention on the figure, against the height; a column for each spread."""
    spreads, models = (list(dict.fromkeys(row[key] for row in rows)) for key in ("spread", "model"))
    labels = {model: TITLES[model].split(" (")[0] for model in models}
    accuracy, shares = [], []
    for spread in spreads:
        lines, on_figure = {}, {}
        for model in models:
            chosen = sorted((r for r in rows if (r["spread"], r["model"]) == (spread, model)), key=_height)
            x, y = [row["height"] for row in chosen], [row["mean"] for row in chosen]
            label = labels[model]
            lines[label] = x, y, *zip(*(row["interval"] for row in chosen), strict=True)
            if "attention_on_figure" in chosen[0]:
                on_figure[label] = x, [100 * row["attention_on_figure"] for row in chosen]
                on_figure["uniform glimpse"] = x, [100 * row["uniform_on_figure"] for row in chosen]
        title = f"spread {spread:g}"
        accuracy.append({"lines": lines, "xlabel": "height of the figures, pixels", "ylabel": "accuracy, %",
                         "ylim": (0, 100), "title": title})  # fmt: skip
        shares.append({"lines": on_figure, "xlabel": "height of the figures, pixels",
                       "ylabel": "attention on the figure, %", "ylim": (0, 100), "title": title})  # fmt: skip
    drawing.curves(path, accuracy, labels.values())
    if any(plot["lines"] for plot in shares):
        drawing.curves(path.with_name("study_shares.png"), shares, labels.values())


def _height(row):
    return row["height"]
