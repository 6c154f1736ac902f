"""kill -9 at random moments.

The moments are drawn uniformly from the time that an undisturbed command takes; a few more are drawn from its first 0.3
seconds. The command is then given again at once. If the scheduler was killed, a new one and new workers are started
first. The results must equal those of an undisturbed command bit for bit, and no process of the killed command may be
left. A command that loses a worker may also finish by itself.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from faults import Case, samples
from visual_attention.util.data_lists import write_class_names, write_lists
from visual_attention.util.frame_table import FrameTableWriter

MARK = "VISUAL_ATTENTION_FAULT"  # an environment variable of a command, which all its descendants inherit
GRACE = 20  # seconds within which all processes of a killed command must have ended
POLL = 0.1  # seconds between two checks for such processes
LIMIT = 900  # seconds after which a command hangs, however busy the machine is
TESTS = Path(__file__).parents[1]
SCRIPTS = TESTS.parent / "scripts"
CHANGES = {"maxlen": 4, "dim": 6, "dim_out": 5, "n_layers_lstm": 1, "batch_size": 4, "lrate": 0.01}
CHANGES |= {"max_epochs": 40, "checkpoint_seconds": 0.1}
DATA = {"n_locations": 9, "ctx_dim": 5, "n_actions": 2}


@dataclass(frozen=True)
class Kind:
    """Which process of which command is killed."""

    group: str
    command: str
    """train, table1 or extract"""
    victim: str = "command"
    """command, worker or scheduler"""
    cluster: bool = False
    """on a Dask cluster instead of two worker processes"""
    cold: bool = False
    """with an empty compile cache"""


KINDS = (
    Kind("training", "train"),
    Kind("training, empty compile cache", "train", cold=True),
    Kind("Table 1, 2 workers: command", "table1"),
    Kind("Table 1, 2 workers: a worker", "table1", "worker"),
    Kind("extraction, 2 workers: command", "extract"),
    Kind("extraction, 2 workers: a worker", "extract", "worker"),
    Kind("extraction on Dask: command", "extract", cluster=True),
    Kind("extraction on Dask: a worker", "extract", "worker", cluster=True),
    Kind("extraction on Dask: scheduler", "extract", "scheduler", cluster=True),
    Kind("Table 1 on Dask: command", "table1", cluster=True),
    Kind("Table 1 on Dask: a worker", "table1", "worker", cluster=True),
    Kind("Table 1 on Dask: scheduler", "table1", "scheduler", cluster=True),
)
GROUPS = tuple(kind.group for kind in KINDS)


def cases(count, seed, folder, groups=GROUPS):
    """Yields `count` cases of each group, and count // 10 more with a kill in the first 0.3 seconds."""
    expected, durations = {}, {}
    with ExitStack() as stack:
        cluster = None
        for kind in (kind for kind in KINDS if kind.group in groups):
            rng, name = np.random.default_rng([seed, KINDS.index(kind)]), kind.command
            if kind.cluster and cluster is None:
                cluster = stack.enter_context(Cluster(folder / "cluster"))
            if name not in expected:
                make_inputs[name](folder)
                durations[name, False, False] = undisturbed(Command(Kind("", name), folder, f"expected_{name}"))
                expected[name] = samples.results(folder / f"expected_{name}")
            like = name, kind.cluster, kind.cold
            if like not in durations:
                command = Command(kind, folder, "undisturbed", cluster)
                durations[like] = undisturbed(command)
                if problem := samples.difference(samples.results(command.folder), expected[name]):
                    yield Case("nothing is killed", problem, False, kind.group)
                command.remove()
            for moment in [*rng.uniform(0, durations[like], count), *rng.uniform(0, 0.3, count // 10)]:
                yield kill_at(moment, kind, folder, cluster if kind.cluster else None, expected[name], rng)


def kill_at(moment, kind, folder, cluster, expected, rng):
    """The case of killing a command's victim after `moment` seconds."""
    name, words = uuid.uuid4().hex, []
    while True:
        command = Command(kind, folder, name, cluster)
        if victim := command.victim(moment, cluster, rng):
            break
        command.remove()  # it ended before that moment
        moment *= 0.8
    os.kill(victim, signal.SIGKILL)
    tasks, problems = cluster.tasks() if cluster else set(), []
    if kind.victim == "command":
        command.process.wait()
        status = -signal.SIGKILL
    else:  # the command may go on, or end with an error
        status = command.wait()
        words.append(f"the command ended with {status}, {command.said()!r}" if status else "the command went on")
        problems += ["it hung"] if isinstance(status, str) else []
        problems += ["with a traceback"] if "Traceback" in command.log.read_text() else []
    polls = grace()
    if kind.victim == "scheduler":
        problems += left(cluster.processes, polls)
        cluster.start()
    again = Command(kind, folder, name, cluster) if status else command
    problems += left(lambda: command.processes() if again is not command else set(), polls)
    problems += left(lambda: tasks & cluster.tasks() if cluster else set(), polls)
    if status := again.wait():
        problems.append(f"given again, the command ended with {status}, {again.said()!r}")
    elif problem := samples.difference(samples.results(again.folder), expected):
        problems.append(problem)
    polls = grace()
    problems += left(again.processes, polls) + left(cluster.tasks if cluster else set, polls)
    if not problems:
        command.remove()
    outcome = "; ".join([*words, *(problems or ["same bits, nothing left"])])
    return Case(f"{kind.victim} killed after {moment:.2f} s", outcome, not problems, kind.group)


# ---------------------------------------------------------------- commands and their processes


class Command:
    """A command that has been started. It writes to `folder`."""

    def __init__(self, kind, folder, name, cluster=None):
        self.kind, self.mark, self.folder = kind, uuid.uuid4().hex, folder / name
        self.log, self.cache = folder / f"{name}.log", folder / f"{name}.cache"
        words = words_of[kind.command](folder, self.folder / "out", cluster.address if kind.cluster else None)
        changes = {"XDG_CACHE_HOME": str(self.cache)} if kind.cold else {}
        self.process = start(words, self.mark, self.log, changes)

    def processes(self):
        return marked(self.mark)

    def wait(self):
        """Its exit status; if it does not end, a text that says so."""
        try:
            return self.process.wait(LIMIT)
        except subprocess.TimeoutExpired:
            self.end()
            return f"no end within {LIMIT} s"

    def end(self):
        for pid in self.processes():
            kill(pid)
        self.process.wait()

    def remove(self):
        self.end()
        self.log.unlink(missing_ok=True)
        for folder in (self.folder, self.cache):
            shutil.rmtree(folder, ignore_errors=True)

    def said(self):
        return (self.log.read_text().strip().splitlines() or [""])[-1]

    def victim(self, moment, cluster, rng):
        """Waits `moment` seconds, and for a worker if that is the victim. Its process id; None if the command ended."""
        end = time.monotonic() + moment
        while self.process.poll() is None:
            if (rest := end - time.monotonic()) > 0:
                time.sleep(min(rest, 0.05))
            elif self.kind.victim == "command":
                return self.process.pid
            elif self.kind.victim == "scheduler":
                return cluster.scheduler.pid
            elif workers := sorted(cluster.workers() if cluster else spawned(self.process.pid)):
                return int(rng.choice(workers))
            else:
                time.sleep(0.005)
        return None


class Cluster:
    """A Dask scheduler and two workers with one thread each, started as in docs/cluster.md."""

    def __init__(self, folder):
        self.folder, self.popens = folder, []
        folder.mkdir()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def start(self):
        import distributed

        self.stop()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.address, self.mark = f"tcp://127.0.0.1:{port}", uuid.uuid4().hex
        dask = [sys.executable, "-m", "dask"]
        common = ["--host", "127.0.0.1", "--no-dashboard"]
        log = self.folder / "log"
        self.scheduler = start([*dask, "scheduler", "--port", str(port), *common], self.mark, log)
        worker = [*dask, "worker", self.address, "--nworkers", "1", "--nthreads", "1", *common]
        worker += ["--local-directory", str(self.folder)]
        self.nannies = [start(worker, self.mark, log) for _ in range(2)]
        self.popens = [self.scheduler, *self.nannies]
        with distributed.Client(self.address, timeout=LIMIT, set_as_default=False) as client:
            client.wait_for_workers(2, LIMIT)  # a worker that never met its scheduler does not notice its death

    def stop(self):
        while self.popens and (pids := self.processes()):
            for pid in pids:
                kill(pid)
            time.sleep(0.05)
        for popen in self.popens:
            popen.wait()

    def processes(self):
        return marked(self.mark)

    def workers(self):
        return {pid for nanny in self.nannies for pid in spawned(nanny.pid)}

    def tasks(self):
        """The processes that run tasks: not the scheduler, the workers, their nannies or Python's resource tracker."""
        return {pid for pid in self.processes() - self.workers() if "spawn_main" in command_line_of(pid)}


def start(words, mark, log, changes=()):
    environment = os.environ | {MARK: mark, "PYTHONPATH": str(TESTS)} | dict(changes)
    with open(log, "ab") as file:
        return subprocess.Popen(words, env=environment, stdout=file, stderr=subprocess.STDOUT)


def marked(mark):
    """Ids of the running processes with this mark in their environment."""
    pids = set()
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (path / "environ").read_bytes():
                pids.add(int(path.name))
        except OSError:
            continue
    return pids


def spawned(parent):
    """Ids of a process's children that Python's multiprocessing started."""
    children = set()
    for path in Path(f"/proc/{parent}/task").glob("*/children"):
        try:
            children |= {int(pid) for pid in path.read_text().split()}
        except OSError:
            continue
    return {pid for pid in children if "spawn_main" in command_line_of(pid)}


def command_line_of(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def kill(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def grace():
    """An iterator over the checks that fit into GRACE.

    Checks are counted instead of seconds, because a virtual machine may stand still while its clock goes on.
    """
    return iter(range(round(GRACE / POLL)))


def left(processes, polls):
    """A list of one text that names the processes still running at the last check; empty if all have ended."""
    while pids := processes():
        if next(polls, None) is None:
            return ["left: " + ", ".join(f"{pid} ({command_line_of(pid)[:80]!r})" for pid in sorted(pids))]
        time.sleep(POLL)
    return []


# ---------------------------------------------------------------- inputs and command lines


def make_data(folder):
    """Makes a data set of two classes, unless it exists."""
    rng, data = np.random.default_rng(0), folder / "data"
    if data.is_dir():
        return
    data.mkdir(parents=True)
    for part, n_videos in (("train", 24), ("valid", 8), ("test", 8)):
        frames = rng.integers(3, 9, n_videos)
        with FrameTableWriter(data / f"{part}_features.h5", 9, 5, dtype="float32") as table:
            table.append(rng.random((frames.sum(), 9, 5)))
        write_lists(data, part, [f"{part}{k}" for k in range(n_videos)], frames, np.arange(n_videos) % 2)
    write_class_names(data, ["forth", "back"])


def train(folder, out, address):
    return [sys.executable, SCRIPTS / "train.py", "--data", folder / "data", "--run", out, *samples.flags(CHANGES)]


def table1(folder, out, address):
    where = ["--cluster", address] if address else ["--workers", "2"]
    return [sys.executable, SCRIPTS / "table1.py", "ucf11", "--data", folder / "data", "--runs", out, "--seeds", "2",
            "--models", "softmax_regression", "attention_lambda0", *where, *samples.flags(CHANGES | DATA)]  # fmt: skip


def extract(folder, out, address):
    where = ["cluster", address] if address else ["workers", "2"]
    return [sys.executable, TESTS / "faults" / "extract_stub.py", folder / "lists", folder / "videos", out, *where]


make_inputs = {"train": make_data, "table1": make_data, "extract": samples.make_videos}
words_of = {"train": train, "table1": table1, "extract": extract}


def undisturbed(command):
    """Waits for a command and returns the seconds it took. RuntimeError if it fails."""
    began = time.monotonic()
    if status := command.wait():
        raise RuntimeError(f"{command.process.args} ended with {status}: {command.log.read_text()}")
    return time.monotonic() - began
