"""Trains one model on the data set in a folder and tests it. Started again, it continues, or tells the result.

python scripts/train.py --data data/embedded --run runs/mine --model attention_mlp_lambda0 --seed 3
"""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from visual_attention import command_line
from visual_attention.options import MODELS, Options
from visual_attention.training import data_options, load_part, run_cell


@dataclass(frozen=True)
class Arguments:
    data: Path
    """folder of the data set: frame tables and lists of the parts train, valid and test"""
    run: Path
    """folder of the run"""
    model: Literal[tuple(MODELS)] = "attention_lambda0"
    """which row of Table 1; sets pooling, attention and alpha_c"""
    options: tyro.conf.OmitArgPrefixes[Options] = Options()
    """what the data or the model say (n_actions, ctx_dim, ...) need not be given"""


def main():
    arguments = tyro.cli(Arguments, description=__doc__)
    known = MODELS[arguments.model] | data_options(arguments.data)
    default = dataclasses.replace(arguments, options=Options(**known))
    options = tyro.cli(Arguments, description=__doc__, default=default).options
    data = {part: load_part(arguments.data, part, options) for part in ("train", "valid", "test")}
    result = run_cell(options, arguments.run, data)
    print(f"{arguments.run}: {result['metric']} {result['test']:.2f} % on test, {result['valid']:.2f} % on validation")


if __name__ == "__main__":
    command_line.run(main)
