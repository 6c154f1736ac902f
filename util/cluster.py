"""Tasks in this process, in worker processes of this machine, or on a Dask cluster: the same function everywhere.

with closing(run_tasks(function, tasks, workers=4)) as results:
    for result in results: ...
"""

import asyncio
import multiprocessing
import sys
import threading
import uuid
from concurrent.futures import CancelledError, as_completed
from concurrent.futures.process import BrokenProcessPool

from .workers import interrupt_pool, sigterm_as_exit, start_pool, worker_pool

ATTEMPTS = 3  # times in a row that workers may be killed without a result in between


def run_tasks(function, tasks, cluster=None, workers=1):
    """Yields function(*task) for every task, each as it is done; an exception of one ends them all.

    workers 1: in this process, one after another. More: in so many processes of this machine. cluster: address of a
    Dask scheduler, whose workers each run a task a thread, in processes of their own, so that a task may have what only
    the main thread of a process has: signals. Tasks of a worker that is killed are given to another one.

    When the generator is closed or interrupted, running tasks in other processes get SIGTERM and are waited for. Use it
    in `contextlib.closing`, or an exception in the loop's body leaves that to the garbage collector. `function` and the
    tasks must be importable and picklable.

    BrokenProcessPool: workers were killed three times in a row. OSError: no scheduler answers. ModuleNotFoundError:
    Dask is not installed.
    """
    if cluster is not None:
        yield from _on_cluster(function, tasks, cluster)
    elif workers == 1:
        for task in tasks:
            yield function(*task)
    else:
        yield from _in_processes(function, tasks, workers)


# ---------------------------------------------------------------- on this machine


def _in_processes(function, tasks, workers):
    waiting, deaths = dict(enumerate(tasks)), 0
    while waiting:
        killed = None
        with worker_pool(min(workers, len(waiting))) as pool:
            jobs = {pool.submit(function, *task): number for number, task in waiting.items()}
            for job in as_completed(jobs):
                try:
                    result = job.result()
                except BrokenProcessPool as error:  # all jobs not yet done have it
                    killed = error
                    continue
                del waiting[jobs[job]]
                deaths = 0
                yield result
        if killed:
            deaths += 1
            if deaths == ATTEMPTS:
                raise killed


# ---------------------------------------------------------------- on Dask


def _on_cluster(function, tasks, address):
    try:
        import distributed
    except ImportError as error:
        raise ModuleNotFoundError("--cluster needs Dask, which is not installed: pip install .[cluster]") from error
    try:
        client = distributed.Client(address, timeout=20)
    except (OSError, ValueError) as error:
        raise OSError(f"{address}: no Dask scheduler answers ({error}); start one, or leave out --cluster") from error
    run = uuid.uuid4().hex
    with client, sigterm_as_exit():
        if not client.scheduler_info()["workers"]:
            print(f"{address} has no workers yet; waiting for some", file=sys.stderr, flush=True)
        jobs = [client.submit(_in_own_process, run, function, task, pure=False) for task in tasks]
        try:
            for job in distributed.as_completed(jobs):
                yield job.result()
        except distributed.KilledWorker as error:
            raise BrokenProcessPool(str(error)) from error
        finally:
            client.cancel(jobs)
            client.run(_end, run)


# What follows runs on the Dask workers. Their tasks are threads, so each thread has a process that does the work, one
# for all its tasks: networks and graphs are loaded once.
_pools = {}  # pool of a run, by its id; None: ended
_lock = threading.Lock()


def _in_own_process(run, function, task):
    for attempt in range(ATTEMPTS):
        pool = _pool(run)
        try:
            return pool.submit(function, *task).result()
        except BrokenProcessPool:
            with _lock:
                if _pools.get(run) is pool:
                    del _pools[run]
            if attempt == ATTEMPTS - 1:
                raise


def _pool(run):
    from distributed import get_worker

    with _lock:
        if run not in _pools:
            # Dask's nanny makes its worker a daemon, which may have no children lest they outlive it; these do not
            multiprocessing.current_process().daemon = False
            _pools[run] = start_pool(get_worker().state.nthreads)
        if _pools[run] is None:
            raise CancelledError("the run has ended")
        return _pools[run]


async def _end(run):
    with _lock:
        pool, _pools[run] = _pools.get(run), None
    if pool is not None:
        await asyncio.to_thread(interrupt_pool, pool)
