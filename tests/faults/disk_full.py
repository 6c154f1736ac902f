"""A disk becomes full while a command writes to it, and has free space again when the command is given once more.

The disk is a tmpfs. The command itself fills it when it opens its n-th file for writing there, and leaves only a few
bytes free. If no tmpfs can be mounted, which needs root, the size of files is limited to these bytes instead.
"""

import contextlib
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from faults import Case, samples

SIZE_MB = 64  # of the tmpfs; the commands write a fraction of it
FILLER = Path(__file__).with_name("filler")


def cases(count, seed, folder, groups=None, fill=True):
    """Yields `count` cases of each group. fill: whether to fill a real disk if one can be mounted."""
    with small_disk(fill) as (disk, kind):
        for number, group in enumerate(GROUPS):
            if groups is None or group in groups:
                rng = np.random.default_rng([seed, number])
                yield from cases_of(group, count, rng, folder / group.replace(" ", "_"), disk, kind)


@contextlib.contextmanager
def small_disk(fill=True):
    """Yields a folder and how space runs out in it: "disk" or "limit", see filler/sitecustomize.py."""
    with tempfile.TemporaryDirectory() as disk:
        mount, kind = ["mount", "-t", "tmpfs", "-o", f"size={SIZE_MB}m", "tmpfs", disk], "limit"
        with contextlib.suppress(OSError):
            if fill and subprocess.run(mount, capture_output=True).returncode == 0:
                kind = "disk"
        try:
            yield Path(disk), kind
        finally:
            if kind == "disk":
                subprocess.run(["umount", "-l", disk], check=True)


def cases_of(group, count, rng, folder, disk, kind):
    folder.mkdir(parents=True)
    job = GROUPS[group](folder, disk)
    expected = None
    for _ in range(2):  # the first time, functions are compiled
        empty(disk)
        job.begin()
        status, said = run(job, disk, {})
        difference = samples.difference(samples.results(job.out), expected) if expected else None
        if status or difference:
            yield Case("undisturbed", f"{status}, {said}, {difference}", False, group)
            return
        expected = samples.results(job.out)
    names, chosen = (folder / "opened").read_text().splitlines(), set()
    for number in points(names, rng):
        name = names[number]
        size = max((path.stat().st_size for path in disk.rglob(plain(Path(name).name)) if path.is_file()), default=0)
        room = int(rng.choice([0, 4096 * rng.integers(0, 1 + size // 4096)]))
        if len(chosen) < count and (number, room) not in chosen:
            chosen.add((number, room))
            yield case(group, job, number + 1, name, room, disk, kind, expected)


def points(names, rng):
    """Indices of openings: first one of each kind of file, then the others, then all of them repeatedly."""
    order = rng.permutation(len(names))
    seen, first = set(), []
    for number in order:
        kind_of_file = re.sub(r"\d+|[0-9a-f]{32}", "", plain(Path(names[number]).name))
        if kind_of_file not in seen and kind_of_file != ".lock":  # nothing is written to that
            first.append(number)
        seen.add(kind_of_file)
    others = [number for number in order if number not in first]
    return [*first, *others, *np.tile(order, 10)]


def plain(name):
    """A file's final name, without the endings of temporary files."""
    return re.sub(r"(\.[0-9a-f]{32}|\.\d+)?(\.part)?(\.[0-9a-f]{32}|\.\d+)?$", "", name)


def run(job, disk, environment):
    """Runs the job, as `samples.run`. environment: variables that control the filler."""
    log = job.folder / "opened"
    log.unlink(missing_ok=True)
    environment = {"FILLER_DISK": str(disk), "FILLER_LOG": str(log)} | environment | job.environment
    environment["PYTHONPATH"] = f"{samples.TESTS}:{FILLER}"
    return samples.run(job.words, environment)


def case(group, job, number, name, room, disk, kind, expected):
    empty(disk)
    job.begin()
    full = {"FILLER_AT": str(number), "FILLER_ROOM": str(room), "FILLER_KIND": kind}
    before = samples.names_in(disk)
    status, said = run(job, disk, full)
    what = f"full at opening {number}, {name}, but for {room} bytes"
    (disk / ".filler").unlink(missing_ok=True)
    problems = []
    # pieces that a worker leaves when it is ended because of another one are removed when the command is given again
    unfinished = [path.name for path in disk.rglob("*.part") if path.is_file() and path.parent.name != "videos"]
    if unfinished:
        problems.append(f"left {', '.join(unfinished)}")
    if lost := [name for name in before if not (disk / name).is_file()]:
        problems.append(f"lost {', '.join(lost)}")
    if spoiled := [name for name in samples.names_in(disk) if not samples.is_whole(disk / name)]:
        problems.append(f"not whole: {', '.join(spoiled)}")
    if status == 0:
        if difference := samples.difference(samples.results(job.out), expected):
            problems.append(f"no error, and {difference}")
        outcome = "same bits" if not job.warns else said
    else:
        outcome = said
        if status != 1 or job.warns or not said.startswith("error: ") or str(disk) not in said:
            problems.append(f"exit status {status}")
    status, said = run(job, disk, {})
    if status:
        problems.append(f"given again: {status}, {said}")
    elif difference := samples.difference(samples.results(job.out), expected):
        problems.append(f"given again: {difference}")
    return Case(what, "; ".join([outcome, *problems]), not problems, group)


def empty(disk):
    for path in disk.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


# ---------------------------------------------------------------- the commands


class Job:
    """A command that writes to the disk.

    words: its command line. out: folder of its results. begin: prepares the disk. warns: whether a full disk gives a
    warning instead of an error.
    """

    warns, environment = False, {}

    def __init__(self, folder, disk):
        self.folder, self.disk, self.out = folder, disk, disk / "out"
        self.prepare()

    def prepare(self):
        pass

    def begin(self):
        pass


class Extraction(Job):
    def prepare(self):
        samples.make_videos(self.folder)
        self.words = samples.command("extract_videos", self.folder, self.out, self.workers)

    workers = 1


class ExtractionByTwo(Extraction):
    workers = 2


class Embedded(Job):
    def prepare(self):
        self.words = samples.command("make_embedded", self.out)


class Training(Job):
    def prepare(self):
        samples.succeed(samples.command("make_embedded", self.folder / "data"))
        changes = samples.CHANGES | {"batch_size": 4, "checkpoint_seconds": 0.2} | RELEASED
        self.words = samples.train(self.folder / "data", self.out, changes)


# a model that the released program has too, for which its file of options is written
RELEASED = {"recipe": "released"}


class CompileCache(Training):
    """Only the compile cache is on the disk; the run is elsewhere."""

    warns = True

    def prepare(self):
        super().prepare()
        self.out, self.environment = self.folder / "out", {"XDG_CACHE_HOME": str(self.disk / "cache")}
        self.words = samples.train(self.folder / "data", self.out)

    def begin(self):
        shutil.rmtree(self.out, ignore_errors=True)


class Tables(Job):
    """Table 1 of runs of which one lacks its result."""

    models = ("average_pooled_lstm", "attention_lambda0")

    def prepare(self):
        samples.succeed(samples.command("make_embedded", self.folder / "data"))
        self.words = samples.table1(self.folder / "data", self.out, *self.models)
        samples.succeed(samples.table1(self.folder / "data", self.folder / "before", *self.models))
        for path in (self.folder / "before" / "ucf11").iterdir():
            if path.is_file():
                path.unlink()

    def begin(self):
        shutil.copytree(self.folder / "before", self.out)
        next(self.out.rglob("result.json")).unlink()


class Figures(Tables):
    models = ("attention_lambda0",)

    def prepare(self):
        super().prepare()
        self.words = [samples.SCRIPTS / "figures.py", "ucf11", "--runs", self.out, "--studies", 0]

    def begin(self):
        shutil.copytree(self.folder / "before", self.out)


GROUPS = {
    "extraction": Extraction,
    "extraction, 2 workers": ExtractionByTwo,
    "embedded data set": Embedded,
    "training": Training,
    "Table 1": Tables,
    "page of figures": Figures,
    "compile cache": CompileCache,
}
