"""What two worker processes cost until each has done a task: this package's pool, and Dask's LocalCluster.

    python benchmarks/worker_pools.py

`LocalCluster, tasks in processes` runs tasks as --cluster does, in a process per thread of a Dask worker. Each row is
the median of three starts, each in a new process. Memory is the proportional set size of all child processes and the
growth of the parent's; processor time is that of all of them.
"""

import contextlib
import json
import subprocess
import sys
import time

import numpy as np
import psutil

from visual_attention.util.cluster import run_tasks
from visual_attention.util.tables import markdown

TASKS = [(0.3,), (0.3,)]  # seconds of sleep, so that each worker gets one
KINDS = ("pool of worker processes", "LocalCluster", "LocalCluster, tasks in processes")


def measure(kind):
    """Seconds until both tasks are done, processor seconds, number of child processes, MB."""
    parent = psutil.Process()
    before, cpu_before, began = memory([parent]), cpu_seconds([parent]), time.monotonic()
    with contextlib.ExitStack() as stack:
        if kind == KINDS[0]:
            results = stack.enter_context(contextlib.closing(run_tasks(time.sleep, TASKS, workers=2)))
        else:
            from distributed import Client, LocalCluster

            cluster = LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None)
            address = stack.enter_context(cluster).scheduler_address
            if kind == KINDS[1]:
                client = stack.enter_context(Client(address))
                jobs = [client.submit(time.sleep, *task, pure=False) for task in TASKS]
                results = (job.result() for job in jobs)
            else:
                results = stack.enter_context(contextlib.closing(run_tasks(time.sleep, TASKS, address)))
        for _ in TASKS:
            next(results)
        seconds, processes = time.monotonic() - began - TASKS[0][0], parent.children(recursive=True)
        cpu = cpu_seconds([parent, *processes]) - cpu_before
        return seconds, cpu, len(processes), memory([parent, *processes]) - before


def memory(processes):
    return sum(process.memory_full_info().pss for process in processes) / 1e6


def cpu_seconds(processes):
    return sum(sum(process.cpu_times()[:2]) for process in processes)


def main():
    if len(sys.argv) > 1:
        print(json.dumps(measure(sys.argv[1])))
        return
    body = []
    for kind in KINDS:
        runs = [subprocess.run([sys.executable, __file__, kind], capture_output=True, check=True) for _ in range(3)]
        seconds, cpu, n, size = np.median([json.loads(run.stdout.splitlines()[-1]) for run in runs], axis=0)
        body.append([kind, f"{seconds:.1f}", f"{cpu:.2f}", f"{n:.0f}", f"{size:.0f}"])
    print(markdown(["", "seconds", "processor seconds", "child processes", "MB"], body), end="")


if __name__ == "__main__":
    main()
