"""Trains one model on the data set in a folder and tests it. Started again, it continues, or tells the result.

python scripts/train.py --data data/embedded --run runs/mine --data-set embedded --seed 3
"""

import dataclasses
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from visual_attention import command_line
from visual_attention.options import MODELS, PAPER, Options, paper
from visual_attention.training import data_options, load_part, run_cell


@dataclass(frozen=True)
class Arguments:
    data: Path
    """folder of the data set: frame tables and lists of the parts train, valid and test"""
    run: Path
    """folder of the run"""
    data_set: Literal[tuple(PAPER)] = "ucf11"
    """whose hyper-parameters are the defaults"""
    model: Literal[tuple(MODELS)] = "attention_lambda0"
    """which row of Table 1; sets pooling, attention and alpha_c"""
    options: tyro.conf.OmitArgPrefixes[Options] = Options()
    """what the data or the model say (n_actions, ctx_dim, ...) need not be given"""


def main():
    arguments = tyro.cli(Arguments, description=__doc__)
    said = data_options(arguments.data, arguments.options.ctx_dim if "--ctx-dim" in " ".join(sys.argv) else None)
    default = dataclasses.replace(arguments, options=paper(arguments.data_set, arguments.model, **said))
    options = tyro.cli(Arguments, description=__doc__, default=default).options
    data = {part: load_part(arguments.data, part, options) for part in ("train", "valid", "test")}
    result = run_cell(options, arguments.run, data)
    print(f"{arguments.run}: {result['metric']} {result['test']:.2f} % on test, {result['valid']:.2f} % on validation")


if __name__ == "__main__":
    command_line.run(main)
