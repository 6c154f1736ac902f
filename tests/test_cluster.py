"""Tasks give their results wherever they run, are done again when a worker is killed, and hear of an interruption."""

import os
import signal
import time
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager

import pytest

from visual_attention.util.cluster import run_tasks


@contextmanager
def place(kind):
    """Arguments of run_tasks."""
    if kind == "dask":
        distributed = pytest.importorskip("distributed", reason="Dask is not installed: pip install .[cluster]")
        with distributed.LocalCluster(2, threads_per_worker=1, dashboard_address=None) as cluster:
            yield {"cluster": cluster.scheduler_address}
    else:
        yield {"workers": 2}


def square(number, folder):
    """Number 3 kills its process at the first attempt."""
    marked = folder / "killed"
    if number == 3 and not marked.exists():
        marked.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number, number**2


def fail(number):
    raise ValueError(f"number {number}")


def die(number):
    os.kill(os.getpid(), signal.SIGKILL)


def save_at_sigterm(folder):
    """As a training run does, which only a process's main thread can."""
    told = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: told.append(number))
    (folder / f"begun{os.getpid()}").touch()
    while not told:
        time.sleep(0.05)
    (folder / f"saved{os.getpid()}").touch()
    signal.signal(signal.SIGTERM, before)


def wait_and_return(folder):
    while not list(folder.glob("begun*")):
        time.sleep(0.05)
    return "ready"


@pytest.mark.parametrize("kind", ["processes", "dask"])
def test_results_retries_errors_and_interruption(kind, tmp_path):
    with place(kind) as where:
        tasks = [(number, tmp_path) for number in range(6)]
        assert dict(run_tasks(square, tasks, **where)) == {n: n * n for n in range(6)}
        assert (tmp_path / "killed").exists()

        with pytest.raises(ValueError, match="number [01]"):
            list(run_tasks(fail, [(0,), (1,)], **where))

        jobs = [(save_at_sigterm, tmp_path), (wait_and_return, tmp_path)]
        with pytest.raises(KeyboardInterrupt):
            with closing(run_tasks(call, jobs, **where)) as results:
                assert next(results) == "ready"
                raise KeyboardInterrupt
        assert len(list(tmp_path.glob("saved*"))) == 1

        with pytest.raises(BrokenProcessPool):
            list(run_tasks(die, [(0,)], **where))


def call(function, folder):
    return function(folder)


def test_in_this_process():
    results = run_tasks(lambda number: (number, os.getpid()), [(1,), (2,)])
    assert list(results) == [(1, os.getpid()), (2, os.getpid())]


def test_no_scheduler():
    pytest.importorskip("distributed", reason="Dask is not installed: pip install .[cluster]")
    with pytest.raises(
        OSError, match=r"^nowhere: no Dask scheduler answers \(.*\); start one, or leave out --cluster$"
    ):
        list(run_tasks(square, [(1,)], cluster="nowhere"))
