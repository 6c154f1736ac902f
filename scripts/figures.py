"""Every figure of the paper from the trained runs of a data set, as PNGs and one self-contained page.

    python scripts/figures.py embedded
    python scripts/figures.py ucf11 --video VIDEO --videos UCF11_updated_mpg --glimpse 3,5,2

It reads runs/DATASET, as scripts/table1.py leaves it, and writes figures.html and figures/ there. Frames come from the
videos, or are drawn again for the embedded set; without them glimpses are drawn alone.
"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from visual_attention import command_line
from visual_attention.figures import Wanted, make_figures


@dataclass(frozen=True)
class Arguments:
    data_set: Annotated[str, tyro.conf.Positional] = "embedded"
    """name of the folder in --runs: embedded, ucf11, hmdb51, hollywood2, embedded_quick, ..."""
    runs: Path = Path("runs")
    """folder of the runs"""
    wanted: tyro.conf.OmitArgPrefixes[Wanted] = Wanted()
    """what to show"""


def main():
    arguments = tyro.cli(Arguments, description=__doc__)
    began = time.monotonic()
    path, seconds = make_figures(arguments.runs / arguments.data_set, arguments.wanted)
    print("; ".join(f"{name} {value:.1f} s" for name, value in seconds.items()))
    print(f"{path}: {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    command_line.run(main)
