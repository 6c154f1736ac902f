"""The figures of the page, one module each. A module in this folder is a figure of the page; there is no other list.

A module defines

    HEADING    its heading on the page
    POSITION   a number; the page has the figures in this order
    draw(runs, folder) -> [Figure]    writes its pictures into `folder`; runs: a `presentation.finished_runs.Runs`

or, in place of draw, draw_model(runs, folder, model) -> Figure, which is called for each of runs.drawn_models().
"""

import importlib
import pkgutil
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Figure:
    """What the page shows of a figure: picture, caption, table, note, link, in this order."""

    caption: str
    picture: Path | None = None
    """a PNG file; None: there is no picture, and the caption says why"""
    numbers: dict = field(default_factory=dict)
    """what figures/numbers.json gets; keys are unique among all figures"""
    table: tuple[list[str], list[list[str]]] | None = None
    """head and body"""
    note: str = ""
    """a paragraph below the table"""
    link: str = ""
    """a page in the folder of the page of figures"""


def figure_modules():
    """The modules of this folder in the order of the page."""
    names = [module.name for module in pkgutil.iter_modules(__path__)]
    modules = [importlib.import_module(f"{__name__}.{name}") for name in names]
    return sorted(modules, key=lambda module: module.POSITION)
