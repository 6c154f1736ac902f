"""Table 1 from the results of its cells: the table, a table by class, and learning curves.

`results` is model -> for each seed a list with the result of each split, as `runs.run_cell` returns it. `predictions`
is the same with `intervals.Predictions`.
"""

import numpy as np

from visual_attention.experiment import run_folder
from visual_attention.options import TITLES
from visual_attention.util import drawing, files, tables
from visual_attention.util.data_sets import DATA_SETS
from visual_attention.util.intervals import Predictions, resample

POOLED = "average_pooled_lstm"  # what the other models are compared with


def rows_of(results, predictions):
    """Scores, intervals and shares of attention of each model: a list of dicts, as in the cells of table1.json."""
    rows = []
    resampled = {model: resample(runs, number) for number, (model, runs) in enumerate(predictions.items())}
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
                "deviation": _deviation(values),
                "interval": resampled[model].interval(),
                "difference": None,
                "seconds": sum(run["training_seconds"] + run["test_seconds"] for run in runs),
            }
        )
        if model != POOLED and POOLED in resampled:
            rows[-1]["difference"] = {"to": POOLED} | (resampled[model] - resampled[POOLED]).summary()
        if "attention_on_figure" in runs[0]:
            shares = [float(np.mean([run["attention_on_figure"] for run in seed])) for seed in seeds]
            rows[-1]["attention_on_figure"] = float(np.mean(shares))
            rows[-1]["attention_on_figure_deviation"] = _deviation(shares)
            rows[-1]["uniform_on_figure"] = runs[0]["uniform_on_figure"]
    return rows


def _deviation(values):
    return float(np.std(values, ddof=1)) if len(values) > 1 else None


def write_table(folder, data_set, results, predictions):
    """Writes table1.json, .md, .csv and .tex, under the .md what the intervals show."""
    rows, in_paper = rows_of(results, predictions), [d for d in DATA_SETS.values() if d.table1]
    for row in rows:
        row["paper"] = {d.name: d.table1[row["model"]] for d in in_paper if row["model"] in d.table1} or None
    first = next(iter(predictions.values()))
    sizes = {"seeds": len(first), "test_videos": sum(len(split.names) for split in first[0])}
    files.write_json(folder / "table1.json", {"data_set": data_set, **sizes, "cells": rows})

    splits = DATA_SETS[data_set].splits
    has_figure = "attention_on_figure" in rows[0] or DATA_SETS[data_set].render is not None
    compared = any(row["difference"] for row in rows)
    head = ["Model", f"{data_set} {rows[0]['metric']} %"]
    head += [f"minus {TITLES[POOLED]}, 95 % interval"] if compared else []
    head += [*splits, *(["attention on the figure (uniform) %"] if has_figure else [])]
    head += ["s", *(f"paper: {d.title} {d.short_metric} %" for d in in_paper)]
    body = []
    for row in rows:
        literature = [f"{v:.2f}" for v in row["paper"].values()] if row["paper"] else [""] * len(in_paper)
        by_split = [f"{value:.1f}" for value in row["values_by_split"]] if splits else []
        score = tables.mean_and_deviation(row["mean"], row["deviation"])
        difference = [tables.difference(row["difference"])] if compared else []
        body.append([TITLES[row["model"]], score, *difference, *by_split, *([share_cell(row)] if has_figure else []),
                     f"{row['seconds']:.0f}", *literature])  # fmt: skip
    tables.write_table(folder / "table1", head, body, notes(rows, sizes))


def share_cell(row):
    """A cell such as 37.4 ± 1.2 (13.2): the share of attention on the figure, and that of a uniform glimpse."""
    if "attention_on_figure" not in row:
        return ""
    value, deviation = 100 * row["attention_on_figure"], row["attention_on_figure_deviation"]
    share = tables.mean_and_deviation(value, None if deviation is None else 100 * deviation)
    return f"{share} ({100 * row['uniform_on_figure']:.1f})"


def notes(rows, sizes):
    """What stands under the table: how it was measured, and what the intervals show; a list of paragraphs."""
    n, videos = sizes["seeds"], sizes["test_videos"]
    texts = [
        f"{videos} test videos, " + (f"{n} seeds; mean ± standard deviation over seeds." if n > 1 else "one seed.")
    ]
    if not (compared := [row for row in rows if row["difference"]]):
        return texts
    texts[0] += (
        f" A difference is that to {TITLES[POOLED]}. Its interval is a bootstrap, paired by video, which draws videos"
        + (" and seeds" if n > 1 else "; one seed says nothing about others")
        + ": see util/intervals.py."
    )
    groups = {"above": [], "below": [], "not shown to differ from": []}
    for row in compared:
        low, high = row["difference"]["interval"]
        groups["above" if low > 0 else "below" if high < 0 else "not shown to differ from"].append(TITLES[row["model"]])
    shown = [f"{place} {TITLES[POOLED]}: {'; '.join(models)}." for place, models in groups.items() if models]
    return [*texts, " ".join(text[0].upper() + text[1:] for text in shown)]


def load_predictions(lists, run):
    """The Predictions of a run. lists: of its test part."""
    return Predictions(lists.filenames, run_folder.load_predictions(run, len(lists.filenames)), lists.labels)


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
