"""Cells, runs that are trained and tested side by side: by worker processes of this machine, or on a Dask cluster."""

import sys
from collections import defaultdict
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from visual_attention.options import Options, graph_options
from visual_attention.util.cluster import run_tasks
from visual_attention.util.workers import n_cores


@dataclass(frozen=True)
class Cell:
    """A run to be made: its options, its folder, and the folder of its data; fold: see `training.load_parts`.

    sheet: file and title of a picture of test videos it gets right and wrong, or None.
    """

    options: Options
    run: Path
    data: Path
    fold: tuple[int, int] | None = None
    sheet: tuple[Path, str] | None = None


def run_cells(cells, workers=None, cluster=None):
    """Trains and tests cells, or only tells the results of finished ones; name -> what its result.json holds.

    cells: name -> Cell. workers: processes on this machine, as many as cores if not given; each takes all cells of one
    compiled graph. cluster: address of a Dask scheduler, whose workers see the same folders; a task is one cell there.
    """
    groups = defaultdict(dict)
    for name, cell in cells.items():
        groups[graph_options(cell.options) if cluster is None else name][name] = cell
    results, tasks = {}, [(group,) for group in groups.values()]
    with closing(run_tasks(run_group, tasks, cluster, min(workers or n_cores(), len(tasks)))) as done:
        for result in done:
            results |= result
    return {name: results[name] for name in cells}


def run_group(cells):
    """Runs cells one after another; as `run_cells`. A task."""
    from visual_attention.training import load_parts, run_cell  # a worker's imports: the parent needs neither

    results, loaded, parts = {}, None, None
    for name, cell in cells.items():
        o = cell.options
        windows = cell.data, cell.fold, o.fps, o.training_stride, o.testing_stride, o.memory_gb
        if windows != loaded:  # most cells of a graph have their windows in common
            loaded, parts = windows, None  # what was loaded before is freed first
            parts = load_parts(cell.data, o, cell.fold)
        result = results[name] = run_cell(o, cell.run, parts)
        tqdm.write(f"{cell.run}: {result['metric']} {result['test']:.1f} %")
        sys.stdout.flush()
        if cell.sheet:  # now, while the model is compiled
            draw_sheet(cell, parts["test"])
    return results


def draw_sheet(cell, test):
    """Draws a cell's sheet; only says so where the videos cannot be had, which the numbers do not need."""
    from visual_attention import pictures, run_folder
    from visual_attention.model import trained_model

    path, title = cell.sheet
    try:
        model = trained_model(cell.run, test.table.dtype)
        pictures.sheet(model, test, run_folder.load_predictions(cell.run), title).save(path)
    except (OSError, ValueError, ImportError) as error:
        tqdm.write(f"{path}: not drawn ({error})")
