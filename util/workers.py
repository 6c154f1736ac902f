"""Worker processes that end with their parent, however it ends, and ignore Ctrl-C; signals; locks of folders."""

import contextlib
import ctypes
import fcntl
import gc
import math
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
    """Returns freed memory to the system: after a graph is compiled, a third of what the process has."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # not the GNU C library
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def n_cores():
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def _start(lock, lines, shares):
    global line
    with lines.get_lock():
        line, lines.value = lines.value, lines.value + 1
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends Ctrl-C to all processes; the parent decides
    parent = multiprocessing.parent_process()
    threading.Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()
    tqdm.set_lock(lock)
    if shares:
        # two processes of one thread compute nearly twice as many small matrix products as one process of two threads
        os.sched_setaffinity(0, shares[line % len(shares)])


def start_pool(n=None):
    """A pool of n worker processes (default: one per core), each on its share of the cores; they ignore Ctrl-C."""
    n, shares = n or n_cores(), None
    if hasattr(os, "sched_getaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        shares = [set(cores[k::n]) for k in range(n)] if n <= len(cores) else None
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(n, context, _start, (context.RLock(), context.Value("i", 0), shares))
    # All workers start with the first task, before the thread that waits for their death. Otherwise Python starts them
    # one by one, and that thread misses those started later, or fails if a worker dies while another is started.
    pool._safe_to_dynamically_spawn_children = False
    return pool


def interrupt_pool(pool, patience=math.inf):
    """Ends a pool at once: sends SIGTERM to its workers and waits for them, as a task may save its work.

    patience: seconds after which they are killed.
    """
    workers = list((pool._processes or {}).values())  # Python has no public way before 3.14
    # From Python 3.12 on, a pool of which a worker has died holds its lock until all others have ended.
    shutdown = threading.Thread(target=pool.shutdown, kwargs={"wait": False, "cancel_futures": True}, daemon=True)
    shutdown.start()
    end = time.monotonic() + patience
    while workers := [worker for worker in workers if worker.is_alive()]:
        for worker in workers:  # again and again: a worker that has saved one task may have begun the next
            if time.monotonic() < end:
                worker.terminate()
            else:
                worker.kill()
        time.sleep(0.2)
    shutdown.join()


@contextlib.contextmanager
def sigterm_as_exit():
    """In the block SIGTERM raises SystemExit, so that the block ends in order."""

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
def signals_later():
    """In the block Ctrl-C and SIGTERM are held back; they take effect after it."""
    received = []
    with contextlib.ExitStack() as stack:
        stack.callback(lambda: [signal.raise_signal(number) for number in received])
        if threading.current_thread() is threading.main_thread():  # only it can set handlers
            for number in (signal.SIGINT, signal.SIGTERM):
                if (before := signal.getsignal(number)) is not None:  # else the handler is not Python's
                    stack.callback(signal.signal, number, before)
                    signal.signal(number, lambda number, frame: received.append(number))
        yield


@contextlib.contextmanager
def worker_pool(n=None):
    """A pool of n worker processes (default: one per core), each on its share of the cores.

    If the block ends by an exception, as after Ctrl-C, or this process gets SIGTERM, workers get SIGTERM and are waited
    for, as a task may save its work.
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
def only_process(folder, doing, patience=0):
    """Holds the lock of a folder. The system releases it however the process ends.

    ValueError: another process still holds it after `patience` seconds.
    """
    end = time.monotonic() + patience
    with open(Path(folder, ".lock"), "w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as error:
                if time.monotonic() > end:
                    raise ValueError(f"{folder}: another process is {doing}; wait for it or stop it") from error
            time.sleep(0.1)
        yield
