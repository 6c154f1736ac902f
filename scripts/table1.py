"""Table 1: every model of the paper trained and tested on a data set, with its seeds; finished runs are kept.

python scripts/table1.py embedded [--quick]
"""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import tyro

from visual_attention import command_line, run_folder
from visual_attention.cells import run_cells
from visual_attention.options import MODELS, recipe
from visual_attention.util import drawing
from visual_attention.util.embedded import make_embedded

TITLES = {
    "softmax_regression": "Softmax regression (full cube)",
    "average_pooled_lstm": "Average pooled LSTM",
    "max_pooled_lstm": "Max pooled LSTM",
    "attention_lambda0": "Soft attention, λ = 0",
    "attention_lambda1": "Soft attention, λ = 1",
    "attention_lambda10": "Soft attention, λ = 10",
    "attention_mlp_lambda0": "Soft attention by MLP, λ = 0 (not in the paper)",
}
# accuracy on UCF-11 and HMDB-51, mAP on Hollywood2, in percent, as printed in the paper's Table 1
PAPER_TABLE1 = {
    "softmax_regression": (82.37, 33.46, 34.62),
    "average_pooled_lstm": (82.56, 40.52, 43.19),
    "max_pooled_lstm": (81.60, 37.58, 43.22),
    "attention_lambda0": (84.96, 41.31, 43.91),
    "attention_lambda1": (83.52, 40.98, 43.18),
    "attention_lambda10": (81.44, 39.87, 42.92),
}
DRAWN = ("attention_lambda0", "attention_mlp_lambda0")  # the models of which pictures are made


@dataclass(frozen=True)
class Arguments:
    data_set: Annotated[Literal["embedded"], tyro.conf.Positional] = "embedded"
    """which data set"""
    quick: bool = False
    """one seed and three epochs, in folders of their own: a look, not a result"""
    seeds: int = 3
    """runs of each model"""
    workers: int | None = None
    """processes that train side by side, each with its share of the cores; as many as cores if not given"""
    data: Path = Path("data")
    """folder in which the data set's features are made, or found"""
    runs: Path = Path("runs")
    """folder of the runs and of the table"""


def main():
    arguments = tyro.cli(Arguments, description=__doc__)
    name = arguments.data_set
    folder = arguments.runs / (f"{name}_quick" if arguments.quick else name)
    seeds = range(1 if arguments.quick else arguments.seeds)
    changes = {"max_epochs": 3} if arguments.quick else {}
    for option in ("seeds", "workers"):
        if (value := getattr(arguments, option)) is not None and value < 1:
            raise ValueError(f"option --{option} is {value}; expected at least 1")
    began = time.monotonic()
    data_folder = make_embedded(arguments.data / name, workers=arguments.workers)
    # in reverse the one that takes longest comes first
    cells = {
        (model, seed): (recipe("paper", name, model, seed=seed, **changes), folder / model / f"seed{seed}")
        for model in reversed(MODELS)
        for seed in seeds
    }
    results = run_cells(cells, data_folder, arguments.workers, draw_sheet)
    by_model = {model: [results[model, seed] for seed in seeds] for model in MODELS}
    write_table(folder, name, by_model)
    draw_curves(folder, by_model, seeds)
    print((folder / "table1.md").read_text())
    print(f"{folder}/table1.md, learning_curves.png and {', '.join(f'{model}.png' for model in DRAWN)}: ", end="")
    print(f"{time.monotonic() - began:.0f} s")


def write_table(folder, data_set, results):
    """table1.json, .md, .csv and .tex."""
    rows = []
    for model, runs in results.items():
        values = [run["test"] for run in runs]
        rows.append(
            {
                "model": model,
                "metric": runs[0]["metric"],
                "values_by_seed": values,
                "mean": float(np.mean(values)),
                "deviation": float(np.std(values, ddof=1)) if len(values) > 1 else None,
                "seconds": sum(run["training_seconds"] + run["test_seconds"] for run in runs),
                "paper": dict(zip(("ucf11", "hmdb51", "hollywood2"), PAPER_TABLE1[model], strict=True))
                if model in PAPER_TABLE1
                else None,
            }
        )
        if "attention_on_figure" in runs[0]:
            rows[-1]["attention_on_figure"] = float(np.mean([run["attention_on_figure"] for run in runs]))
            rows[-1]["uniform_on_figure"] = runs[0]["uniform_on_figure"]
    run_folder.write_json(folder / "table1.json", {"data_set": data_set, "cells": rows})

    head = [
        "Model", f"{data_set} {rows[0]['metric']} %", "attention on the figure (uniform) %", "s",
        "paper: UCF-11 acc %", "paper: HMDB-51 acc %", "paper: Hollywood2 mAP %",
    ]  # fmt: skip
    body = []
    for row in rows:
        deviation = "" if row["deviation"] is None else f" ± {row['deviation']:.1f}"
        share = ""
        if "attention_on_figure" in row:
            share = f"{100 * row['attention_on_figure']:.1f} ({100 * row['uniform_on_figure']:.1f})"
        literature = [f"{v:.2f}" for v in row["paper"].values()] if row["paper"] else ["", "", ""]
        body.append(
            [TITLES[row["model"]], f"{row['mean']:.1f}{deviation}", share, f"{row['seconds']:.0f}", *literature]
        )
    lines = [head, ["---"] * len(head), *body]
    write = {
        "md": "".join(f"| {' | '.join(line)} |\n" for line in lines),
        "csv": "".join(",".join(f'"{cell}"' for cell in line) + "\n" for line in [head, *body]),
        "tex": latex(head, body),
    }
    for ending, text in write.items():
        run_folder.write_file(folder / f"table1.{ending}", lambda file, text=text: file.write(text.encode()))


def latex(head, body):
    """The table as a LaTeX tabular."""
    rules = {"±": r"$\pm$", "λ": r"$\lambda$", "%": r"\%", "_": r"\_"}
    lines = []
    for cells in (head, *body):
        line = " & ".join(cells)
        for sign, command in rules.items():
            line = line.replace(sign, command)
        lines.append(line + r" \\")
    return "\n".join([rf"\begin{{tabular}}{{l{'r' * (len(head) - 1)}}}", r"\hline", lines[0], r"\hline", *lines[1:],
                      r"\hline", r"\end{tabular}", ""])  # fmt: skip


def draw_curves(folder, results, seeds):
    """Learning curves of all models, means over seeds."""
    logs = {
        TITLES[model]: [
            [json.loads(line) for line in open(folder / model / f"seed{seed}" / "log.jsonl", encoding="utf-8")]
            for seed in seeds
        ]
        for model in results
    }
    drawing.learning_curves(folder / "learning_curves.png", logs, results["attention_lambda0"][0]["metric"])


def draw_sheet(name, seed, run, test):
    """Where a model looked: two test videos it gets right and two it gets wrong. Part of a worker's job."""
    if name not in DRAWN or seed != 0:
        return
    from visual_attention import pictures
    from visual_attention.model import trained_model

    model = trained_model(run, test.table.dtype)
    sheet = pictures.sheet(model, test, run_folder.load_predictions(run), f"{TITLES[name]}: where it looked")
    sheet.save(run.parents[1] / f"{name}.png")


if __name__ == "__main__":
    command_line.run(main)
