"""Compares this project with the released program: its recorded numbers, or both recipes on the embedded data set.

    visual-attention compare --golden DIR [--float64] [--backend c] [--json FILE]
    visual-attention compare --embedded

The first computes every file of recorded numbers in DIR again and prints a line for each: the largest errors of
outputs, gradients and updates, relative to the largest entry of the tensor. The exit status is 1 if one is too large.
The second trains the paper's model, the released program's, and the models between them, which differ by one more
option each.
"""

import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from visual_attention.commands import command_line
from visual_attention.experiment import run_folder
from visual_attention.experiment.cells import Cell, run_cells
from visual_attention.options import Options, recipe
from visual_attention.presentation.table1 import load_predictions
from visual_attention.util import drawing, files, tables
from visual_attention.util.data_lists import read_lists
from visual_attention.util.embedded import make_embedded
from visual_attention.util.intervals import resample

KINDS = ("outputs", "gradients", "updates")
# From the paper's recipe to the released program's: each step changes these options to what they are there.
STEPS = {
    "recipe paper": (),
    "+ one LSTM layer, f_init of one": ("n_layers_lstm", "n_layers_init"),
    "+ attention by MLP": ("attention",),
    "+ its dropout": ("dropout",),
    "+ its initial weights": ("init",),
    "+ summed cost": ("cost",),
    "+ its Adam": ("optimizer", "lrate"),
    "+ votes = recipe released": ("video_score", "last_n"),
}


@dataclass(frozen=True)
class Arguments:
    golden: Path | None = None
    """folder of recorded numbers (.npz)"""
    embedded: bool = False
    """train both recipes on the embedded data set"""
    float64: bool = False
    """compute in double precision, and compare with numbers recorded in double precision; with --golden"""
    backend: Literal["jax", "c", "numba"] = "jax"
    """the backend that compiles the graph; with --golden"""
    json: Path | None = None
    """write the errors here too; with --golden"""
    seeds: int = 3
    """runs of each model; with --embedded"""
    workers: int | None = None
    """processes that train side by side, by default one per core; with --embedded"""
    data: Path = Path("data")
    """folder in which the embedded data set is made, or found"""
    runs: Path = Path("runs")
    """folder of the runs, the table and the curves; with --embedded"""


def main():
    arguments = command_line.parse(Arguments, __doc__)
    if (arguments.golden is None) == (not arguments.embedded):
        raise ValueError("expected either --golden DIR or --embedded")
    if arguments.embedded:
        compare_recipes(arguments)
    elif not replay_all(arguments):
        sys.exit(1)


# ---------------------------------------------------------------- recorded numbers


def replay_all(arguments):
    """Replays all files; True if no error is too large."""
    from visual_attention.experiment.replay import BARS, replay

    floatX = "float64" if arguments.float64 else "float32"
    if not arguments.golden.is_dir():
        raise FileNotFoundError(f"{arguments.golden}: no such folder; expected one of recorded numbers, as tests/data")
    if arguments.json:  # before minutes are spent
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
    paths = sorted(arguments.golden.glob("*.npz"))
    if not paths:
        raise FileNotFoundError(f"{arguments.golden}: holds no .npz of recorded numbers")
    began, results = time.monotonic(), []
    print(f"{'file':28} {'outputs':>9} {'gradients':>9} {'updates':>9}")
    for path in paths:
        try:
            checks, error = replay(path, floatX, arguments.backend), None
        except ValueError as problem:
            checks, error = [], str(problem)
        good = not error and all(check.good for check in checks)
        errors = {check.kind: f"{check.error:.1e}" for check in checks}
        where = [f"{check.kind} {check.where}, bar {check.bar:g}" for check in checks if not check.good]
        cells = " ".join(f"{errors.get(kind, ''):>9}" for kind in KINDS)
        print(f"{path.name:28} {cells}  {'ok' if good else 'OFF: ' + (error or '; '.join(where))}", flush=True)
        results.append({"file": path.name, "good": good, "error": error, "checks": [asdict(c) for c in checks]})
    off = sum(not result["good"] for result in results)
    worst = {
        kind: max((c["error"] for r in results for c in r["checks"] if c["kind"] == kind), default=0) for kind in KINDS
    }
    bars = ", ".join(f"{kind} {worst[kind]:.1e} (bar {BARS[floatX][kind]:g})" for kind in KINDS)
    print(
        f"{len(paths)} files, {off} off; backend {arguments.backend}, {floatX}; largest errors: {bars}; "
        f"{time.monotonic() - began:.0f} s"
    )
    if arguments.json:
        summary = {"backend": arguments.backend, "floatX": floatX, "off": off, "largest": worst, "files": results}
        files.write_json(arguments.json, summary)
    return off == 0


# ---------------------------------------------------------------- recipes


def compare_recipes(arguments):
    """Trains the models of STEPS; a table and learning curves in runs/embedded_recipes."""
    folder, began = arguments.runs / "embedded_recipes", time.monotonic()
    command_line.check_at_least(arguments, seeds=1, workers=1)
    data = make_embedded(arguments.data / "embedded", workers=arguments.workers)
    # with the paper's three LSTM layers, instead of the one that suits the embedded data set
    paper = recipe("paper", "embedded", n_layers_lstm=Options.n_layers_lstm)
    released, changes, cells = recipe("released", "embedded"), {}, {}
    for k, (title, names) in enumerate(STEPS.items()):
        changes |= {name: getattr(released, name) for name in names}
        for seed in range(arguments.seeds):
            options = paper.replace(**changes, seed=seed)
            cells[title, seed] = Cell(options, folder / f"step{k}" / f"seed{seed}", data)
    assert paper.replace(**changes) == released, "STEPS leave out a difference of the recipes"
    results = run_cells(cells, arguments.workers)
    runs = {title: [results[title, seed] for seed in range(arguments.seeds)] for title in STEPS}
    lists, before, body = read_lists(data, "test"), None, []
    head = ["Model", "accuracy %", "minus the row above, 95 % interval", "best validation %", "best epoch",
            "attention on the figure (uniform) %", "s"]  # fmt: skip
    for number, (title, row) in enumerate(runs.items()):
        score = resample([[load_predictions(lists, cells[title, k].run)] for k in range(arguments.seeds)], number)
        change = before and (score - before).summary()
        before = score
        deviation = np.std([run["test"] for run in row], ddof=1) if len(row) > 1 else None
        mean = {name: np.mean([run[name] for run in row]) for name in row[0] if isinstance(row[0][name], (int, float))}
        body.append([
            title, tables.mean_and_deviation(mean["test"], deviation),
            tables.difference(change),
            f"{mean['valid']:.1f}", f"{mean['best_epoch']:.1f}",
            f"{100 * mean['attention_on_figure']:.1f} ({100 * mean['uniform_on_figure']:.1f})",
            f"{mean['training_seconds']:.0f}",
        ])  # fmt: skip
    tables.write_table(folder / "recipes", head, body)
    files.write_json(folder / "recipes.json", runs)
    logs = {title: [run_folder.load_log(cells[title, seed].run) for seed in range(arguments.seeds)] for title in STEPS}
    drawing.learning_curves(folder / "learning_curves.png", logs, "accuracy")
    print((folder / "recipes.md").read_text(), end="")
    print(f"{folder}/recipes.md, recipes.json and learning_curves.png: {time.monotonic() - began:.0f} s")
