"""Cells, runs that are trained and tested side by side: each worker process takes all of one compiled graph."""

import sys
from collections import defaultdict
from concurrent.futures import as_completed

from tqdm import tqdm

from visual_attention.options import graph_options
from visual_attention.util.workers import n_cores, worker_pool


def run_cells(cells, data_folder, workers=None, after=None):
    """Trains and tests cells, or only tells the results of finished ones; (name, seed) -> what its result.json holds.

    cells: (name, seed) -> (options, the run's folder). workers: processes, as many as cores if not given. after: called
    in the worker after each run, while its model is compiled, with name, seed, the run's folder and the test windows.
    """
    groups = defaultdict(dict)
    for cell, (options, run) in cells.items():
        groups[graph_options(options)][cell] = options, run
    results = {}
    with worker_pool(min(workers or n_cores(), len(groups))) as pool:
        jobs = [pool.submit(_run_group, group, data_folder, after) for group in groups.values()]
        for done in as_completed(jobs):
            results |= done.result()
    return {cell: results[cell] for cell in cells}


def _run_group(cells, data_folder, after):
    from visual_attention.training import load_part, run_cell  # a worker's imports: the parent needs neither

    # cells of one graph have their windows in common unless one has other strides or another rate
    results, parts = {}, {}
    for (name, seed), (options, run) in cells.items():
        key = options.fps, options.training_stride, options.testing_stride
        if key not in parts:
            parts = {key: {part: load_part(data_folder, part, options) for part in ("train", "valid", "test")}}
        result = results[name, seed] = run_cell(options, run, parts[key])
        tqdm.write(f"{name}, seed {seed}: {result['metric']} {result['test']:.1f} %")
        sys.stdout.flush()
        if after:
            after(name, seed, run, parts[key]["test"])
    return results
