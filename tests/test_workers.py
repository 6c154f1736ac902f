"""Worker processes end with their parent, however it ends, and are told when it is interrupted."""

import os
import signal
import subprocess
import sys
import time

import pytest

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


def wait(condition, seconds=60):
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
    wait(lambda: len(list(pids.iterdir())) == 2)
    parent.send_signal(number)
    assert parent.wait(60) == status
    wait(lambda: not any(is_alive(int(path.name)) for path in pids.iterdir()))
