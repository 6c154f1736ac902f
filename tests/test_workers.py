"""Worker processes end with their parent, however it ends, and the death of a worker is noticed."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures.process import BrokenProcessPool

import pytest

from visual_attention.util.workers import interrupt_pool, start_pool

PARENT = """
import os, sys, time
from visual_attention.util.workers import worker_pool

def work(folder):
    open(os.path.join(folder, str(os.getpid())), "w").close()
    time.sleep(100)

if __name__ == "__main__":
    with worker_pool(2) as pool:
        for future in [pool.submit(work, sys.argv[1]) for _ in range(2)]:
            future.result()
"""


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{pid}/stat") as file:
        return file.read().split(")")[-1].split()[0] != "Z"


def wait_until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "too late"
        time.sleep(0.05)


@pytest.mark.skipif(not os.path.isdir("/proc"), reason="needs /proc")
@pytest.mark.parametrize("number, status", [(signal.SIGKILL, -9), (signal.SIGTERM, 143), (signal.SIGINT, -2)])
def test_workers_end_with_their_parent(number, status, tmp_path):
    (tmp_path / "parent.py").write_text(PARENT)
    pids = tmp_path / "pids"
    pids.mkdir()
    parent = subprocess.Popen([sys.executable, tmp_path / "parent.py", pids], stderr=subprocess.DEVNULL)
    wait_until(lambda: len(list(pids.iterdir())) == 2)
    parent.send_signal(number)
    assert parent.wait(60) == status
    wait_until(lambda: not any(is_alive(int(path.name)) for path in pids.iterdir()))


def test_the_death_of_any_worker_is_noticed():
    """Including the last worker, which Python's pool starts after the thread that waits for the workers' death."""
    for number in range(3):
        pool = start_pool(3)
        try:
            job = pool.submit(time.sleep, 100)
            workers = list(pool._processes.values())
            assert len(workers) == 3
            workers[number].kill()
            with pytest.raises(BrokenProcessPool):
                job.result(60)
        finally:
            interrupt_pool(pool)
