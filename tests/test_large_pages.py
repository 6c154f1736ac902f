"""Commands get large pages, however they are started."""

import os
import platform
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="GLIBC_TUNABLES is the GNU C library's")

SCRIPT = """
import os, sys
from visual_attention.commands import use_large_pages
from visual_attention.util.workers import worker_pool

def tunables():
    text = open("/proc/self/environ").read()  # the environment at process start
    return [line for line in text.split(chr(0)) if line.startswith("GLIBC_TUNABLES")]

def main():
    with worker_pool(1) as pool:
        print([os.getpid(), sys.argv[1:], sys.flags.utf8_mode, tunables(), pool.submit(tunables).result()])

if __name__ == "__main__":
    use_large_pages()
    main()
"""
LARGE = ["GLIBC_TUNABLES=glibc.malloc.hugetlb=1"]


def start(*command, **changes):
    env = {name: value for name, value in os.environ.items() if name != "GLIBC_TUNABLES"} | changes
    process = subprocess.Popen([sys.executable, *command], env=env, stdout=subprocess.PIPE, text=True)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    return process.pid, eval(output)


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "a script.py"
    path.write_text(SCRIPT)
    return str(path)


def test_command_and_its_workers_get_large_pages(script):
    """The process id, the arguments and Python's own options stay the same."""
    pid, output = start("-X", "utf8", script, "--name", "two words", "")
    assert output == [pid, ["--name", "two words", ""], 1, LARGE, LARGE]


def test_existing_tunables_are_kept(script):
    tunables = "glibc.malloc.arena_max=2"
    pid, output = start(script, GLIBC_TUNABLES=tunables)
    assert output == [pid, [], 0, [f"GLIBC_TUNABLES={tunables}"], [f"GLIBC_TUNABLES={tunables}"]]


def test_command_that_cannot_restart_continues_without_large_pages():
    code = "from visual_attention.commands import use_large_pages; use_large_pages(); print(['ran'])"
    assert start("-c", code)[1] == ["ran"]
