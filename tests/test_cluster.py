"""Tasks give the same results wherever they run, are repeated if a worker is killed, and are told of interruptions."""

import os
import signal
import time
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager

import pytest

from visual_attention.util.cluster import run_tasks


@contextmanager
def workers_of(kind):
    """Arguments of run_tasks for one kind of worker."""
    if kind == "dask":
        distributed = pytest.importorskip("distributed", reason="Dask is not installed: pip install .[cluster]")
        with distributed.LocalCluster(2, threads_per_worker=1, dashboard_address=None) as cluster:
            yield {"cluster": cluster.scheduler_address}
    else:
        yield {"workers": 2}


def square(number, folder):
    """Squares a number; number 3 kills its process at the first attempt."""
    marker = folder / "killed"
    if number == 3 and not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number, number**2


def fail(number):
    raise ValueError(f"number {number}")


def die(number):
    os.kill(os.getpid(), signal.SIGKILL)


def save_at_sigterm(folder):
    """Waits for SIGTERM and then saves, like a training run. Works only in a process's main thread."""
    signals = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: signals.append(number))
    (folder / f"begun{os.getpid()}").touch()
    while not signals:
        time.sleep(0.05)
    (folder / f"saved{os.getpid()}").touch()
    signal.signal(signal.SIGTERM, before)


def wait_and_return(folder):
    while not list(folder.glob("begun*")):
        time.sleep(0.05)
    return "ready"


@pytest.mark.parametrize("kind", ["processes", "dask"])
def test_results_retries_errors_and_interruption(kind, tmp_path):
    with workers_of(kind) as workers:
        tasks = [(number, tmp_path) for number in range(6)]
        assert dict(run_tasks(square, tasks, **workers)) == {n: n * n for n in range(6)}
        assert (tmp_path / "killed").exists()

        with pytest.raises(ValueError, match="number [01]"):
            list(run_tasks(fail, [(0,), (1,)], **workers))

        jobs = [(save_at_sigterm, tmp_path), (wait_and_return, tmp_path)]
        with pytest.raises(KeyboardInterrupt):
            with closing(run_tasks(call, jobs, **workers)) as results:
                assert next(results) == "ready"
                raise KeyboardInterrupt
        assert len(list(tmp_path.glob("saved*"))) == 1

        with pytest.raises(BrokenProcessPool):
            list(run_tasks(die, [(0,)], **workers))


def call(function, folder):
    return function(folder)


def save_once(folder):
    if not list(folder.glob("saved*")):
        save_at_sigterm(folder)
    return "continued"


def die_once(folder):
    """Dies once, while another task runs."""
    wait_and_return(folder)
    return square(3, folder)


def test_other_task_saves_itself_when_a_worker_is_killed(tmp_path):
    jobs = [(save_once, tmp_path), (die_once, tmp_path)]
    assert set(run_tasks(call, jobs, workers=2)) == {"continued", (3, 9)}
    assert len(list(tmp_path.glob("saved*"))) == 1


def test_tasks_run_in_this_process_by_default():
    results = run_tasks(lambda number: (number, os.getpid()), [(1,), (2,)])
    assert list(results) == [(1, os.getpid()), (2, os.getpid())]


def test_unreachable_scheduler_is_an_error():
    pytest.importorskip("distributed", reason="Dask is not installed: pip install .[cluster]")
    with pytest.raises(
        OSError, match=r"^nowhere: no Dask scheduler answers \(.*\); start one, or leave out --cluster$"
    ):
        list(run_tasks(square, [(1,)], cluster="nowhere"))
