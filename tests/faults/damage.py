"""Damaged files: every file of a data set, a run and the compile cache is cut short, or one byte of it is changed.

A command that reads such a file must end within seconds with an error that names it, or give the same results as with
the whole file, bit for bit. A damaged compile cache must be made anew. `count` bytes of each file are changed, one at a
time, and it is cut at count // 2 places. Small frame tables get ten times as many cases, because most of their bytes
are HDF5's own.
"""

import contextlib
import hashlib
import io
import multiprocessing
import os
import runpy
import shutil
import signal
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from faults import Case, samples
from visual_attention.util.files import write_sums
from visual_attention.util.frame_table import FrameTable, FrameTableWriter, write_virtual_table

LIMIT = 600  # seconds after which a command hangs, however busy the machine is


def cases(count, seed, folder, groups=None):
    """Yields count // 2 + count cases of each file of each group."""
    with Runner() as runner:
        for number, (group, prepare) in enumerate(GROUPS.items()):
            if groups is None or group in groups:
                subfolder = folder / group.replace(" ", "_")
                subfolder.mkdir(parents=True)
                subject = prepare(subfolder)
                yield from cases_of(group, subject, count, np.random.default_rng([seed, number]), subfolder, runner)


@dataclass
class Subject:
    """Files to damage, and the commands that read them."""

    whole: Path
    """a folder with whole files; copies of it are damaged"""
    files: list
    """names of files in it, damaged one at a time; the files of a list within this list are damaged together"""
    commands: object
    """function (path of the copy, Runner) that yields (exit status, message) of one command after another"""
    out: str = ""
    """subfolder of the copy that holds the results"""
    times: int = 1
    """factor by which there are more cases than of other subjects"""
    cache: bool = False
    """whether it is a cache, which is made anew instead of giving an error"""


def cases_of(group, subject, count, rng, folder, runner):
    copy = folder / "copy"

    def attempt(damage=lambda: None):
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(subject.whole, copy)
        damage()
        for outcome in subject.commands(copy, runner):
            if outcome[0]:
                break
        return outcome

    attempt()  # compiles
    status, said = attempt()
    expected = samples.results(copy / subject.out)
    if status or attempt()[0] or samples.difference(samples.results(copy / subject.out), expected):
        yield Case("undamaged", f"{status}: {said}", False, group)
        return
    for names in subject.files:
        names = names if isinstance(names, list) else [names]
        for k in range(subject.times * (count // 2 + count)):
            how, what, digests = cut if k < subject.times * (count // 2) else changed, {}, {}

            def damage(names=names, how=how, what=what, digests=digests):
                for name in names:
                    what[name] = how(copy / name, rng)
                    digests[name] = digest(copy / name)

            status, said = attempt(damage)
            done = f"{names[0]} {what[names[0]]}" if len(names) == 1 else f"{len(names)} files {how.__name__}"
            if status:
                named = any(str(copy / name) in said for name in names)
                good = status == 1 and said.startswith("error: ") and named and not subject.cache
                yield Case(done, said if good else f"{status}: {said}", good, group)
                continue
            unread = {copy / name for name in names if digests[name] == digest(copy / name)}
            results = samples.results(copy / subject.out, without=unread)
            rest = {name: value for name, value in expected.items() if copy / subject.out / name not in unread}
            difference, outcome = samples.difference(results, rest), "not read" if unread else "same bits"
            if difference:
                outcome = f"no error, and {difference}"
            elif unread and subject.cache:
                outcome = f"not made anew: {', '.join(path.name for path in unread)}"
            yield Case(done, outcome, not difference and not (unread and subject.cache), group)


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None


def cut(path, rng):
    """Cuts a file short."""
    size = int(rng.integers(path.stat().st_size))
    os.truncate(path, size)
    return f"cut to {size} bytes"


def changed(path, rng):
    """Changes a byte of a file."""
    content = bytearray(path.read_bytes())
    place, flip = int(rng.integers(len(content))), int(rng.integers(1, 256))
    content[place] ^= flip
    path.write_bytes(content)
    return f"changed at byte {place} by {flip:#x}"


# ---------------------------------------------------------------- a process that keeps its compiled functions


class Runner:
    """Calls functions in another process, and starts a new one after a crash or a hang."""

    def __init__(self):
        self.process = None

    def __call__(self, function, *arguments):
        """What the function returns; if the process crashes or hangs, (a text that says so, "")."""
        if self.process is None:
            context = multiprocessing.get_context("spawn")
            self.pipe, theirs = context.Pipe()
            self.process = context.Process(target=_serve, args=(theirs,))
            self.process.start()
            theirs.close()
        self.pipe.send((function, arguments))
        try:
            if self.pipe.poll(LIMIT):
                return self.pipe.recv()
            outcome = f"no end within {LIMIT} s"
        except EOFError:
            self.process.join()
            outcome = f"crashed with {signal.strsignal(-self.process.exitcode)}"
        self.end()
        return outcome, ""

    def end(self):
        if self.process is not None:
            self.pipe.close()  # ends the process unless it hangs
            self.process.join(5)
            self.process.kill()
            self.process.join()
            self.process = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()


def _serve(pipe):
    while True:
        try:
            function, arguments = pipe.recv()
        except EOFError:
            return
        pipe.send(function(*arguments))


def run_script(words):
    """As `samples.run`, in this process."""
    sys.argv, said = [str(word) for word in words], io.StringIO()
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as left:
        return (1, left.code) if isinstance(left.code, str) else (left.code or 0, said.getvalue().strip())
    except BaseException:
        return 1, "with a traceback: " + traceback.format_exc().strip().splitlines()[-1]
    return 0, said.getvalue().strip()


def read_table(path):
    """Writes the content of a frame table to read/ beside it; (exit status, message) as of a command."""
    try:
        table = FrameTable(path)
        try:
            out = path.parent / "read" / path.name
            out.parent.mkdir(exist_ok=True)
            out.with_suffix(".bytes").write_bytes(repr((table.fps, table.depth)).encode() + table.load().tobytes())
        finally:
            table.close()
    except (ValueError, OSError) as error:
        return 1, f"error: {error}"
    except BaseException:
        return 1, "with a traceback: " + traceback.format_exc().strip().splitlines()[-1]
    return 0, ""


# ---------------------------------------------------------------- what is damaged


def draw(run, data, video):
    return [samples.SCRIPTS / "draw_attention.py", run, "--data", data, "--video", video, "--movie", "none"]


def data_set(folder):
    samples.succeed(samples.command("make_embedded", folder / "whole" / "data"))

    def commands(copy, runner):
        yield runner(run_script, samples.train(copy / "data", copy / "run"))
        yield runner(run_script, draw(copy / "run", copy / "data", "walk/test_000"))

    whole = folder / "whole"
    return Subject(whole, samples.names_in(whole), commands, "run")


def extracted(folder):
    samples.make_videos(folder)
    samples.succeed(samples.command("extract_videos", folder, folder / "whole" / "out"))

    def commands(copy, runner):
        yield runner(run_script, samples.command("extract_videos", folder, copy / "out"))
        yield runner(run_script, samples.train(copy / "out" / "split1", copy / "run"))

    whole = folder / "whole"
    files = [name for name in samples.names_in(whole) if "split2" not in name]
    return Subject(whole, files, commands, "run")


def pieces(folder):
    """Pieces of an extraction that was stopped when all videos were done."""
    samples.make_videos(folder)
    whole = folder / "whole"
    samples.succeed(samples.command("extract_pieces", folder, whole / "out"))

    def commands(copy, runner):
        yield runner(run_script, samples.command("extract_videos", folder, copy / "out"))

    return Subject(whole, samples.names_in(whole), commands, "out")


def finished_run(folder):
    samples.succeed(samples.command("make_embedded", folder / "data"))
    whole, model = folder / "whole", "attention_lambda0"
    samples.succeed(samples.table1(folder / "data", whole, model))

    def commands(copy, runner):
        yield runner(run_script, samples.table1(folder / "data", copy, model))
        yield runner(run_script, draw(copy / "ucf11" / model / "seed0", folder / "data", "wave/test_000"))

    files = [name for name in samples.names_in(whole) if "seed0" in name]
    return Subject(whole, files, commands)


def run_to_go_on(folder):
    """A run that was stopped after its first epoch."""
    samples.succeed(samples.command("make_embedded", folder / "data"))
    whole = folder / "whole"
    words = samples.train(folder / "data", whole / "run")[1:]
    samples.succeed(samples.command("train_one_epoch", *words))

    def commands(copy, runner):
        yield runner(run_script, samples.train(folder / "data", copy / "run"))

    return Subject(whole, samples.names_in(whole), commands, "run")


def imported(folder):
    samples.succeed(samples.command("make_embedded", folder / "data"))
    whole, changes = folder / "whole", samples.CHANGES | {"recipe": "released"}
    samples.succeed(samples.train(folder / "data", whole / "run", changes))
    for name in ("SHA256SUMS", *(path.name for path in (whole / "run").iterdir() if "model" not in path.name)):
        (whole / "run" / name).unlink(missing_ok=True)
    script = samples.SCRIPTS / "import_released.py"

    def commands(copy, runner):
        words = [script, copy / "run" / "model.npz", "--data", folder / "data", "--run", copy / "new"]
        yield runner(run_script, words)

    return Subject(whole, samples.names_in(whole), commands, "new")


def frame_tables(folder):
    """Small frame tables of both layouts, and a virtual one that shows rows of another."""
    whole, cubes = folder / "whole", np.random.default_rng(0).random((40, 4, 4), dtype="float32")
    whole.mkdir()
    for layout in ("location", "released"):
        with FrameTableWriter(whole / f"{layout}.h5", 4, 4, layout, "float32", {"fps": 15}) as table:
            table.append(cubes)
    write_virtual_table(whole / "virtual.h5", whole / "location.h5", [(10, 20), (0, 5)])
    write_sums(whole, ["virtual.h5"])
    files = samples.names_in(whole)

    def commands(copy, runner):
        for name in files:
            if name.endswith(".h5"):
                yield runner(read_table, copy / name)

    return Subject(whole, files, commands, "read", times=10)


def compile_cache(folder):
    """All files of the compile cache together."""
    samples.succeed(samples.command("make_embedded", folder / "data"))
    whole = folder / "whole"
    whole.mkdir()

    def commands(copy, runner):
        environment = {"XDG_CACHE_HOME": str(copy / "cache")}
        yield samples.run(samples.train(folder / "data", copy / "run"), environment, LIMIT)

    copy = folder / "copy"  # JAX's keys depend on the folder's name
    list(commands(copy, None))
    shutil.move(copy / "cache", whole / "cache")
    return Subject(whole, [samples.names_in(whole)], commands, "run", cache=True)


GROUPS = {
    "data set": data_set,
    "data set with splits": extracted,
    "unfinished extraction": pieces,
    "small frame tables": frame_tables,
    "run": finished_run,
    "unfinished run": run_to_go_on,
    "released program's checkpoint": imported,
    "compile cache": compile_cache,
}
