"""Draws every figure of the paper from the trained runs of a data set, as PNGs and one self-contained page.

    visual-attention figures embedded
    visual-attention figures ucf11 --video VIDEO --videos UCF11_updated_mpg --glimpse 3,5,2

It reads runs/DATASET, which visual-attention table1 makes, and writes figures.html and figures/ there. Frames are read
from the videos, or rendered again for the embedded set. Without them, glimpses are drawn alone.
"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from visual_attention.commands import command_line
from visual_attention.presentation.finished_runs import Choices
from visual_attention.presentation.page import make_figures


@dataclass(frozen=True)
class Arguments:
    data_set: Annotated[str, tyro.conf.Positional] = "embedded"
    """name of the folder in --runs: embedded, ucf11, hmdb51, hollywood2, embedded_quick, ..."""
    runs: Path = Path("runs")
    """folder of the runs"""
    workers: int = 1
    """processes that draw figures side by side; each holds the test data"""
    choices: tyro.conf.OmitArgPrefixes[Choices] = Choices()
    """what to show"""


def main():
    arguments = command_line.parse(Arguments, __doc__)
    command_line.check_at_least(arguments.choices, fps=1, studies=0, seed=0)
    command_line.check_at_least(arguments, workers=1)
    began = time.monotonic()
    path, seconds = make_figures(arguments.runs / arguments.data_set, arguments.choices, arguments.workers)
    print("; ".join(f"{name} {value:.1f} s" for name, value in seconds.items()))
    print(f"{path}: {time.monotonic() - began:.0f} s")
