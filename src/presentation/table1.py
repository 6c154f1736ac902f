"""Table 1 from the results of its cells: the table, a table by class, and learning curves.

`results` is model -> for each seed a list with the result of each split, as `runs.run_cell` returns it.
"""

import numpy as np

from visual_attention.experiment import run_folder
from visual_attention.options import TITLES
from visual_attention.util import drawing, files, tables
from visual_attention.util.data_sets import DATA_SETS


def write_table(folder, data_set, results):
    """Writes table1.json, .md, .csv and .tex."""
    rows, in_paper = [], [d for d in DATA_SETS.values() if d.table1]
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
                "paper": {d.name: d.table1[model] for d in in_paper if model in d.table1} or None,
            }
        )
        if "attention_on_figure" in runs[0]:
            rows[-1]["attention_on_figure"] = float(np.mean([run["attention_on_figure"] for run in runs]))
            rows[-1]["uniform_on_figure"] = runs[0]["uniform_on_figure"]
    files.write_json(folder / "table1.json", {"data_set": data_set, "cells": rows})

    splits = DATA_SETS[data_set].splits
    has_figure = "attention_on_figure" in rows[0] or DATA_SETS[data_set].render is not None
    head = ["Model", f"{data_set} {rows[0]['metric']} %", *splits]
    head += ["attention on the figure (uniform) %"] if has_figure else []
    head += ["s", *(f"paper: {d.title} {d.short_metric} %" for d in in_paper)]
    body = []
    for row in rows:
        share = ""
        if "attention_on_figure" in row:
            share = f"{100 * row['attention_on_figure']:.1f} ({100 * row['uniform_on_figure']:.1f})"
        literature = [f"{v:.2f}" for v in row["paper"].values()] if row["paper"] else [""] * len(in_paper)
        by_split = [f"{value:.1f}" for value in row["values_by_split"]] if splits else []
        score = tables.mean_and_deviation(row["mean"], row["deviation"])
        body.append([TITLES[row["model"]], score, *by_split, *([share] if has_figure else []),
                     f"{row['seconds']:.0f}", *literature])  # fmt: skip
    tables.write_table(folder / "table1", head, body)


def write_class_table(folder, results):
    """Writes classes.md, .csv and .tex: accuracy or average precision of each class, means over seeds and splits."""
    columns = {model: [run["classes"] for seed in seeds for run in seed] for model, seeds in results.items()}
    names = [row["class"] for row in next(iter(columns.values()))[0]]
    body = []
    for k, name in enumerate(names):
        cells = [[run[k]["percent"] for run in runs if run[k]["percent"] is not None] for runs in columns.values()]
        body.append([name, *(f"{np.mean(cell):.1f}" if cell else "" for cell in cells)])
    tables.write_table(folder / "classes", ["Class", *(TITLES[model] for model in columns)], body)


def draw_curves(folder, runs, results):
    """Draws the learning curves of all models, means over seeds and splits. runs: model -> folders of its runs."""
    logs = {TITLES[model]: [run_folder.load_log(run) for run in folders] for model, folders in runs.items()}
    metric = next(iter(results.values()))[0][0]["metric"]
    drawing.learning_curves(folder / "learning_curves.png", logs, metric)
