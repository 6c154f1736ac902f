"""Cells, runs that are trained and tested side by side: each worker process takes all of one compiled graph."""

import sys
from collections import defaultdict
from concurrent.futures import as_completed
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from visual_attention.options import Options, graph_options
from visual_attention.util.workers import n_cores, worker_pool


@dataclass(frozen=True)
class Cell:
    """A run to be made: its options, its folder, and the folder of its data; fold: see `training.load_parts`."""

    options: Options
    run: Path
    data: Path
    fold: tuple[int, int] | None = None


def run_cells(cells, workers=None, after=None):
    """Trains and tests cells, or only tells the results of finished ones; name -> what its result.json holds.

    cells: name -> Cell. workers: processes, as many as cores if not given. after: called in the worker after each run,
    while its model is compiled, with the cell and its test windows.
    """
    groups = defaultdict(dict)
    for name, cell in cells.items():
        groups[graph_options(cell.options)][name] = cell
    results = {}
    with worker_pool(min(workers or n_cores(), len(groups))) as pool:
        jobs = [pool.submit(_run_group, group, after) for group in groups.values()]
        for done in as_completed(jobs):
            results |= done.result()
    return {name: results[name] for name in cells}


def _run_group(cells, after):
    from visual_attention.training import load_parts, run_cell  # a worker's imports: the parent needs neither

    results, loaded, parts = {}, None, None
    for name, cell in cells.items():
        o = cell.options
        windows = cell.data, cell.fold, o.fps, o.training_stride, o.testing_stride, o.memory_gb
        if windows != loaded:  # most cells of a graph have their windows in common
            loaded, parts = windows, None  # what was loaded before is freed first
            parts = load_parts(cell.data, o, cell.fold)
        result = results[name] = run_cell(cell.options, cell.run, parts)
        tqdm.write(f"{cell.run}: {result['metric']} {result['test']:.1f} %")
        sys.stdout.flush()
        if after:
            after(cell, parts["test"])
    return results
