"""Worker processes that end cleanly: with their parent, however that ends, and not by Ctrl-C but when they are told."""

import contextlib
import ctypes
import fcntl
import gc
import multiprocessing
import os
import signal
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tqdm import tqdm

line = 0  # of this process's progress bar, from the top


def release_memory():
    """Gives freed memory back to the system; after compiling a graph that is a third of what the process holds."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # not the GNU C library
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def n_cores():
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def _start(lock, lines, shares):
    global line
    with lines.get_lock():
        line, lines.value = lines.value, lines.value + 1
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends Ctrl-C to all; the parent decides
    parent = multiprocessing.parent_process()
    threading.Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()
    tqdm.set_lock(lock)
    if shares:
        # two processes of one thread each do nearly twice the small matrix products of one process of two threads
        os.sched_setaffinity(0, shares[line % len(shares)])


def start_pool(n=None):
    """A pool of n worker processes (default: one a core), each on its share of the cores; Ctrl-C passes them by."""
    n, shares = n or n_cores(), None
    if hasattr(os, "sched_getaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        shares = [set(cores[k::n]) for k in range(n)] if n <= len(cores) else None
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(n, context, _start, (context.RLock(), context.Value("i", 0), shares))


def interrupt_pool(pool):
    """Ends a pool at once: its workers get SIGTERM and are waited for, as what they do may save itself."""
    workers = list((pool._processes or {}).values())  # Python has no public way before 3.14
    pool.shutdown(wait=False, cancel_futures=True)
    while workers := [worker for worker in workers if worker.is_alive()]:
        for worker in workers:  # again and again: one that has saved its job may have taken up the next
            worker.terminate()
        time.sleep(0.2)


@contextlib.contextmanager
def sigterm_as_exit():
    """In the block SIGTERM raises SystemExit, so that what the block has begun is ended in order."""

    def leave(number, frame):
        raise SystemExit(128 + number)

    main_thread = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, leave) if main_thread else None
    try:
        yield
    finally:
        if main_thread:
            signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def worker_pool(n=None):
    """A pool of n worker processes (default: one a core), each on its share of the cores.

    When the block is left by an exception, Ctrl-C among them, workers get SIGTERM and are waited for: what they do
    may save itself. SIGTERM to this process does the same.
    """
    pool = start_pool(n)
    with sigterm_as_exit():
        try:
            yield pool
        except BaseException:
            interrupt_pool(pool)
            raise
        finally:
            pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def only_process(folder, doing):
    """Holds the folder's lock; ValueError if another process does. The system frees it however a process ends."""
    with open(Path(folder, ".lock"), "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ValueError(f"{folder}: another process is {doing}; wait for it or stop it") from error
        yield
