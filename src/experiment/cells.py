"""Cells, runs that are trained and tested side by side: by worker processes of this machine, or on a Dask cluster."""

import sys
from collections import defaultdict
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from visual_attention.experiment import budget
from visual_attention.options import Options, graph_options
from visual_attention.util.cluster import in_processes, run_tasks
from visual_attention.util.workers import n_cores

COMPILE_SECONDS = 30  # of a graph that is not in the cache


@dataclass(frozen=True)
class Cell:
    """A run to be made: its options, its folder, and the folder of its data; fold: see `data.load_parts`.

    finish: None, or called with the run's folder and its test part after the test, in the process that trained. It is
    sent to that process, so it is a function of a module, or a functools.partial of one.
    """

    options: Options
    run: Path
    data: Path
    fold: tuple[int, int] | None = None
    finish: Callable | None = None


def check_needs(folder, cells, workers=None, cluster=None):
    """Prints time, memory and disk that unfinished cells need; returns how many workers fit, None with a cluster.

    folder: of all runs. cells, workers, cluster: as of `run_cells`. ValueError: there is too little disk or memory.
    """
    unfinished = [cell for cell in cells.values() if not (cell.run / "result.json").is_file()]
    if not unfinished:
        return 1
    sizes = {cell.data: budget.sizes(cell.data, cell.options) for cell in unfinished}
    # in a process of its own: JAX would keep a GPU's memory
    [(rate, gpu)] = in_processes(budget.matmul_rate, [()], workers=1)
    needs = [budget.need(cell.options, sizes[cell.data], rate) for cell in unfinished]
    memory, disk = budget.available_gb(folder)
    memory_each, disk_gb = max(need.memory_gb for need in needs), sum(need.disk_gb for need in needs)
    n_graphs = len({graph_options(cell.options) for cell in unfinished})
    hours = (sum(need.seconds for need in needs) + n_graphs * COMPILE_SECONDS) / 3600
    print(
        f"{folder.name}: {len(unfinished)} runs to do, {sum(sum(s.windows) for s in sizes.values()):,} windows; about "
        f"{hours:.1f} hours at {rate / 1e9:,.0f} GFLOP/s; {memory_each:.1f} GB of memory per worker ({memory:.1f} "
        f"free); {disk_gb:.1f} GB of disk ({disk:.1f} free)",
        flush=True,
    )
    if disk_gb > disk:
        raise ValueError(
            f"{folder}: needs {disk_gb:.1f} GB of disk, {disk:.1f} are free; give another folder by --runs"
        )
    if cluster is not None:  # its machines are others
        return None
    if (workers or 1) > memory / memory_each:
        raise ValueError(
            f"{workers or 1} worker(s) need {(workers or 1) * memory_each:.1f} GB of memory, {memory:.1f} are free; "
            "expected fewer --workers, or less of it by --memory-gb 1 --batch-size 32"
        )
    return workers or (1 if gpu else min(n_cores(), int(memory / memory_each)))


def run_cells(cells, workers=None, cluster=None):
    """Trains and tests cells, or reads the results of finished ones; name -> what its result.json holds.

    cells: name -> Cell. workers: processes on this machine, by default one per core; each gets all cells of one
    compiled graph. cluster: address of a Dask scheduler, whose workers see the same folders and get one cell each.
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
    # imported by workers only: their parent computes nothing
    from visual_attention.experiment.data import load_parts
    from visual_attention.experiment.runs import run_cell

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
        if cell.finish:  # now, while the model is compiled
            cell.finish(cell.run, parts["test"])
    return results
