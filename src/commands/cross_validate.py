"""Cross-validation of hyper-parameters over groups of training videos, by which the paper chose its own.

    visual-attention cross-validate ucf11 --data DIR [--layers 1 2 3 4 5] [--alpha-c 0 1 10] [--folds 5]

The model of a fold is trained on the videos of the other folds; its best epoch is chosen by the validation part; its
score is that on the fold. All videos of a group (a scene, a source film) are in one fold. The test part is never read.
The table, best first, is written to runs/DATA_SET_cv. Finished runs are kept.
"""

import itertools
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import tyro

from visual_attention.commands import command_line
from visual_attention.experiment.cells import Cell, run_cells
from visual_attention.options import DATA_SETS, MODELS, RECIPES, recipe
from visual_attention.util import tables


@dataclass(frozen=True)
class Arguments:
    data_set: Annotated[Literal[DATA_SETS], tyro.conf.Positional]
    """whose hyper-parameters are the start"""
    data: Path | None = None
    """folder of the data set, data/DATA_SET if not given; for hmdb51 that of a split"""
    recipe: Literal[tuple(RECIPES)] = "paper"
    """whose hyper-parameters"""
    model: Literal[tuple(MODELS)] = "attention_lambda0"
    """which row of Table 1 is tuned"""
    layers: tuple[int, ...] = (1, 2, 3, 4, 5)
    """n_layers_lstm to try"""
    alpha_c: tuple[float, ...] = (0.0, 1.0, 10.0)
    """lambda to try"""
    folds: int = 5
    """number of folds"""
    workers: int | None = None
    """processes that train side by side, by default one per core"""
    cluster: str | None = None
    """address of a Dask scheduler whose workers run the folds, instead of processes of this machine; docs/cluster.md"""
    runs: Path = Path("runs")
    """folder of the runs and of the table"""
    changes: command_line.recipe_changes("n_layers_lstm", "alpha_c") = field(default_factory=dict)
    """what is given here differs from the recipe, in all runs"""


def main():
    arguments = command_line.parse(Arguments, __doc__)
    command_line.check_at_least(arguments, folds=2, workers=1)
    if not (arguments.layers and arguments.alpha_c):
        raise ValueError("option --layers or --alpha-c has no value; expected some to try")
    folder = arguments.runs / f"{arguments.data_set}_cv"
    data, cells = arguments.data or Path("data") / arguments.data_set, {}
    settings = list(itertools.product(arguments.layers, arguments.alpha_c))
    for layers, alpha_c in settings:
        options = recipe(arguments.recipe, arguments.data_set, arguments.model,
                         **{**arguments.changes, "n_layers_lstm": layers, "alpha_c": alpha_c})  # fmt: skip
        for k in range(arguments.folds):
            run = folder / f"layers{layers}_lambda{alpha_c:g}" / f"fold{k + 1}of{arguments.folds}"
            cells[layers, alpha_c, k] = Cell(options, run, data, (k, arguments.folds))
    results = run_cells(cells, arguments.workers, arguments.cluster)
    scores = {setting: [results[*setting, k]["test"] for k in range(arguments.folds)] for setting in settings}
    metric = next(iter(results.values()))["metric"]
    head = ["LSTM layers", "λ", f"{metric} %", *(f"fold {k + 1}" for k in range(arguments.folds))]
    body = [
        [str(layers), f"{alpha_c:g}", tables.mean_and_deviation(np.mean(values), np.std(values, ddof=1)),
         *(f"{value:.1f}" for value in values)]
        for (layers, alpha_c), values in sorted(scores.items(), key=lambda item: -np.mean(item[1]))
    ]  # fmt: skip
    tables.write_table(folder / "cross_validation", head, body)
    print((folder / "cross_validation.md").read_text(), end="")
    print(f"{folder}/cross_validation.md: best with --n-layers-lstm {body[0][0]} --alpha-c {body[0][1]}")
