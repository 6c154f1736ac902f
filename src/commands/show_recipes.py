"""Prints the default of every option in both recipes side by side, for one data set; > marks differences.

visual-attention recipes ucf11
"""

import dataclasses
from dataclasses import dataclass
from typing import Annotated, Literal

import tyro

from visual_attention.commands import command_line
from visual_attention.options import DATA_SETS, RECIPES, recipe


@dataclass(frozen=True)
class Arguments:
    data_set: Annotated[Literal[DATA_SETS], tyro.conf.Positional] = "ucf11"
    """for which data set"""


def main():
    data_set = command_line.parse(Arguments, __doc__).data_set
    columns = [dataclasses.asdict(recipe(name, data_set)) for name in RECIPES]
    print(f"  {data_set:20} {'paper':>12} {'released':>14}")
    for option, (paper, released) in {name: [column[name] for column in columns] for name in columns[0]}.items():
        print(f"{' ' if paper == released else '>'} {option:20} {paper!s:>12} {released!s:>14}")
