"""Hyper-parameters by cross-validation over groups of training videos, as the paper chose its own.

    python scripts/cross_validate.py ucf11 --data DIR [--layers 1 2 3 4 5] [--alpha-c 0 1 10] [--folds 5]

Each fold's model is trained on the other folds' videos, its best epoch is chosen by the validation part, and its score
is that of the fold. Videos of a group (a scene, a source film) are always in one fold. The test part is never read. A
table in runs/DATA_SET_cv, best first; finished runs are kept.
"""

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import tyro

from visual_attention import command_line, run_folder
from visual_attention.cells import Cell, run_cells
from visual_attention.command_line import changes_of
from visual_attention.options import DATA_SETS, MODELS, RECIPES, recipe


@dataclass(frozen=True)
class Arguments:
    data_set: Annotated[Literal[DATA_SETS], tyro.conf.Positional]
    """whose hyper-parameters are where one starts from"""
    data: Path | None = None
    """folder of the data set, data/DATA_SET if not given; for hmdb51 that of a split"""
    recipe: Literal[tuple(RECIPES)] = "paper"
    """whose hyper-parameters"""
    model: Literal[tuple(MODELS)] = "attention_lambda0"
    """row of Table 1 that is tuned"""
    layers: tuple[int, ...] = (1, 2, 3, 4, 5)
    """n_layers_lstm to try"""
    alpha_c: tuple[float, ...] = (0.0, 1.0, 10.0)
    """lambda to try"""
    folds: int = 5
    """parts into which the training videos are cut"""
    change: tuple[str, ...] = ()
    """other options that differ from the recipe: --change lrate=3e-4 max_epochs=5"""
    workers: int | None = None
    """processes that train side by side, as many as cores if not given"""
    cluster: str | None = None
    """address of a Dask scheduler whose workers run the folds, instead of processes of this machine; docs/cluster.md"""
    runs: Path = Path("runs")
    """folder of the runs and of the table"""


def main():
    arguments = tyro.cli(Arguments, description=__doc__)
    command_line.check_at_least(arguments, folds=2, workers=1)
    folder = arguments.runs / f"{arguments.data_set}_cv"
    data, cells = arguments.data or Path("data") / arguments.data_set, {}
    settings = list(itertools.product(arguments.layers, arguments.alpha_c))
    for layers, alpha_c in settings:
        options = recipe(arguments.recipe, arguments.data_set, arguments.model,
                         **{**changes_of(arguments.change), "n_layers_lstm": layers, "alpha_c": alpha_c})  # fmt: skip
        for k in range(arguments.folds):
            run = folder / f"layers{layers}_lambda{alpha_c:g}" / f"fold{k + 1}of{arguments.folds}"
            cells[layers, alpha_c, k] = Cell(options, run, data, (k, arguments.folds))
    results = run_cells(cells, arguments.workers, arguments.cluster)
    scores = {setting: [results[*setting, k]["test"] for k in range(arguments.folds)] for setting in settings}
    metric = next(iter(results.values()))["metric"]
    head = ["LSTM layers", "λ", f"{metric} %", *(f"fold {k + 1}" for k in range(arguments.folds))]
    body = [
        [str(layers), f"{alpha_c:g}", f"{np.mean(values):.1f} ± {np.std(values, ddof=1):.1f}",
         *(f"{value:.1f}" for value in values)]
        for (layers, alpha_c), values in sorted(scores.items(), key=lambda item: -np.mean(item[1]))
    ]  # fmt: skip
    run_folder.write_table(folder / "cross_validation", head, body)
    print((folder / "cross_validation.md").read_text(), end="")
    print(f"{folder}/cross_validation.md: best with --change n_layers_lstm={body[0][0]} alpha_c={body[0][1]}")


if __name__ == "__main__":
    command_line.run(main)
