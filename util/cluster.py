"""Tasks in this process, in worker processes of this machine, or on a Dask cluster: the same function everywhere.

with closing(run_tasks(function, tasks, workers=4)) as results:
    for result in results: ...

Processes of this machine are not a Dask LocalCluster, which would be one mechanism for both: it needs Dask, and its
workers run tasks in threads, so the processes of `workers` would be needed all the same. Two workers of it take 2.1 s
of processor time and 172 MB, two of `workers` alone 0.4 s and 55 MB (docs/cluster.md).
"""

import asyncio
import logging
import math
import multiprocessing
import sys
import threading
import time
import uuid
from concurrent.futures import CancelledError, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress

from .extras import import_extra
from .workers import interrupt_pool, sigterm_as_exit, start_pool, worker_pool

ATTEMPTS = 3  # times in a row that workers may be killed without a result in between


def run_tasks(function, tasks, cluster=None, workers=1):
    """Yields function(*task) for every task, in the order in which they end; an exception of one task ends all.

    workers: 1 runs the tasks in this process, one after another; more, in so many processes of this machine. cluster:
    address of a Dask scheduler. Its workers run one task per thread, each in a separate process, as only the main
    thread of a process can handle signals. Tasks of a worker that is killed go to another one.

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
        yield from in_processes(function, tasks, workers)


# ---------------------------------------------------------------- on this machine


def in_processes(function, tasks, workers):
    """As `run_tasks` on this machine; a single worker is another process, too."""
    waiting, deaths = dict(enumerate(tasks)), 0
    while waiting:
        with worker_pool(min(workers, len(waiting))) as pool:
            jobs = {}
            with suppress(BrokenProcessPool):
                for number, task in waiting.items():
                    jobs[pool.submit(function, *task)] = number
            for job in as_completed(jobs):
                try:
                    result = job.result()
                except BrokenProcessPool:  # every job that was not done raises it
                    continue
                del waiting[jobs[job]]
                deaths = 0
                yield result
            if waiting:
                interrupt_pool(pool)  # a worker that saved its task survives the pool's one SIGTERM
        if waiting:
            deaths += 1
            if deaths == ATTEMPTS:
                raise BrokenProcessPool(f"workers were killed {ATTEMPTS} times in a row")


# ---------------------------------------------------------------- on Dask


def _on_cluster(function, tasks, address):
    distributed = import_extra("distributed", "--cluster needs Dask", "cluster")
    logging.getLogger("distributed.client").setLevel(logging.CRITICAL)  # what it logs, it also raises
    try:
        client = distributed.Client(address, timeout=20)
    except (OSError, ValueError) as error:
        raise OSError(f"{address}: no Dask scheduler answers ({error}); start one, or leave out --cluster") from error
    run = uuid.uuid4().hex
    with client, sigterm_as_exit():
        if not client.scheduler_info()["workers"]:
            print(f"{address} has no workers yet; waiting for some", file=sys.stderr, flush=True)
        jobs = [
            client.submit(_in_own_process, run, function, task, key=f"{run}-{number}")
            for number, task in enumerate(tasks)
        ]
        try:
            for job in distributed.as_completed(jobs):
                yield job.result()
        except distributed.KilledWorker as error:
            raise BrokenProcessPool(str(error)) from error
        except CancelledError as error:
            raise OSError(
                f"{address}: the Dask scheduler has died; start one, and workers, and the same command again"
            ) from error
        finally:
            if client.status == "running":
                with suppress(OSError):  # the scheduler has died since
                    client.cancel(jobs)
                    client.run(_end, run, on_error="ignore")  # a worker may have just died


# What follows runs on the Dask workers. They run tasks in threads, so each thread has a process that does the work. It
# serves all tasks of a run, so that networks and graphs are loaded once.
PATIENCE = 5  # seconds for a task to save its work after its client or Dask worker has died
_pools = {}  # id of a run -> its pool, None after its end
_lock = threading.Lock()


def _in_own_process(run, function, task):
    from distributed import get_worker

    worker = get_worker()
    for attempt in range(ATTEMPTS):
        pool = _pool(run, worker)
        try:
            return pool.submit(function, *task).result()
        except BrokenProcessPool:
            with _lock:
                if _pools.get(run) is pool:
                    del _pools[run]
            interrupt_pool(pool)
            if attempt == ATTEMPTS - 1:
                raise


def _pool(run, worker):
    from distributed import Reschedule

    with _lock:
        if run not in _pools:
            # Dask's nanny makes its worker a daemon, which may have no children as they could outlive it; ours do not
            multiprocessing.current_process().daemon = False
            _pools[run] = start_pool(worker.state.nthreads)
            threading.Thread(target=_watch, args=(run, worker), daemon=True).start()
        if _pools[run] is None:
            raise Reschedule("the run or this worker has ended")
        return _pools[run]


def _watch(run, worker):
    """Stops the processes of a run after its client, or this worker's scheduler, has died without a message.

    The scheduler tells workers to forget the tasks and results of a client that has gone. Where there is a pool, there
    is at least one of them. Tasks that have begun are only marked as cancelled.
    """
    while worker.status.name not in ("closing", "closed", "failed") and any(
        task.state != "cancelled" for key, task in list(worker.state.tasks.items()) if str(key).startswith(run)
    ):
        time.sleep(1)
    time.sleep(1)  # a client that lives cancels tasks, too, and then calls _end, which waits longer
    _stop(run, PATIENCE)


async def _end(run):
    await asyncio.to_thread(_stop, run)


def _stop(run, patience=math.inf):
    with _lock:
        pool, _pools[run] = _pools.get(run), None
    if pool is not None:
        interrupt_pool(pool, patience)
