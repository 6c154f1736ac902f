"""Trains one model on the data set in a folder and tests it. Started again, it continues, or prints the result.

visual-attention train --data data/embedded --run runs/mine --data-set embedded --seed 3
"""

import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from visual_attention.commands import command_line
from visual_attention.options import DATA_SETS, MODELS, RECIPES, Options, recipe


@dataclass(frozen=True)
class TrainArguments:
    data: Path
    """folder of the data set: frame tables and lists of the parts train, valid and test"""
    run: Path
    """folder of the run"""
    recipe: Literal[tuple(RECIPES)] = "paper"
    """whose hyper-parameters are the defaults: the paper's, or the released program's; visual-attention recipes
    prints both"""
    data_set: Literal[DATA_SETS] = "ucf11"
    """for which data set these are"""
    model: Literal[tuple(MODELS)] = "attention_lambda0"
    """which row of Table 1; sets pooling and alpha_c, and attention, focus and top_k in rows that are not in the
    paper"""
    coordinator: str | None = None
    """HOST:PORT of host 0, where several hosts train the run together. All get the same command but for --host, and
    the same folders"""
    hosts: int = 1
    """number of hosts; option devices is then the number of devices of all hosts together"""
    host: int = 0
    """number of this host, from 0"""
    options: tyro.conf.OmitArgPrefixes[Options] = Options()
    """those that follow from the data or the model (n_actions, ctx_dim, ...) need not be given"""


@dataclass(frozen=True)
class _Choice:
    """Arguments that determine the defaults of the others."""

    data: Path | None
    recipe: str
    data_set: str
    model: str
    ctx_dim: int | None = None
    seed: int = 0


def main(description=__doc__, data_set=None, data=None):
    """Trains and tests the run that the command line describes; continues it; or prints its result.

    data_set, data: defaults of a script for one data set, where --run has a default, too.
    """
    choice = _Choice(data, "paper", data_set or "ucf11", "attention_lambda0")
    words = [word for word in sys.argv[1:] if word not in ("-h", "--help")]
    help_asked = len(words) < len(sys.argv) - 1
    choice, _ = command_line.parse(
        _Choice, None, TrainArguments, args=words, default=choice, return_unknown_args=True, add_help=False
    )
    options, missing = Options(), tyro.MISSING
    # a wrong choice gets its message from the parser below
    if choice.recipe in RECIPES and choice.data_set in DATA_SETS and choice.model in MODELS:
        changes = {}
        if choice.data is not None and not help_asked:
            from visual_attention.experiment.data import data_options

            changes = data_options(choice.data, choice.ctx_dim)
        options = recipe(choice.recipe, choice.data_set, choice.model, **changes)
    folder = choice.data_set if choice.recipe == "paper" else f"{choice.data_set}_{choice.recipe}"
    arguments = command_line.parse(
        TrainArguments,
        description,
        default=TrainArguments(
            data=data or missing,
            run=Path("runs", folder, choice.model, f"seed{choice.seed}") if data_set else missing,
            data_set=choice.data_set,
            options=options,
        ),
    )
    command_line.check_at_least(arguments, hosts=1, host=0)
    if arguments.coordinator:
        if not re.fullmatch(r".+:[0-9]{1,5}", arguments.coordinator):
            raise ValueError(f"option --coordinator is {arguments.coordinator!r}; expected HOST:PORT, as node1:1234")
        if arguments.host >= arguments.hosts:
            raise ValueError(
                f"option --host is {arguments.host}; expected 0 to {arguments.hosts - 1} of {arguments.hosts}"
            )
        import jax

        jax.distributed.initialize(arguments.coordinator, arguments.hosts, arguments.host)
    elif arguments.hosts > 1:
        raise ValueError(f"option --hosts is {arguments.hosts}; expected --coordinator HOST:PORT with it")
    from visual_attention.experiment.data import load_parts
    from visual_attention.experiment.runs import run_cell

    result = run_cell(arguments.options, arguments.run, load_parts(arguments.data, arguments.options))
    print(f"{arguments.run}: {result['metric']} {result['test']:.2f} % on test, {result['valid']:.2f} % on validation")
