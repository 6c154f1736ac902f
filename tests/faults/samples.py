"""Small data sets and commands for the campaigns, and the results of commands in a form that can be compared."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
from PIL import Image
from stub_extractor import Stub, make_clip

from visual_attention.util import embedded, features
from visual_attention.util.data_lists import write_class_names
from visual_attention.util.entries import entries_of_lists
from visual_attention.util.features import extract
from visual_attention.util.files import SUMS

TESTS = Path(__file__).parents[1]
SCRIPTS = TESTS.parent / "scripts"
CHANGES = {"maxlen": 4, "dim": 6, "dim_out": 5, "n_layers_lstm": 1, "batch_size": 32, "lrate": 0.01}
CHANGES |= {"training_stride": 8, "testing_stride": 8, "max_epochs": 2}
DATA = {"n_locations": 49, "ctx_dim": embedded.DEPTH, "n_actions": 2, "fps": 15}  # what `make_embedded` makes
CLIPS = {f"{'run' if k % 2 else 'sit'}/{k}.mp4": 6 + 3 * k % 8 for k in range(8)}  # frames


# ---------------------------------------------------------------- data sets


def make_embedded(folder, workers=1):
    """Makes the embedded data set with two actions and a few videos."""
    embedded.files.ACTIONS = embedded.ACTIONS[:2]
    return embedded.make_embedded(folder, videos_per_class=(3, 1, 2), workers=int(workers))


def make_videos(folder):
    """Makes `videos`, clips of two classes, and `lists` of two splits, which have videos in common."""
    for name, n in CLIPS.items():
        make_clip(folder / "videos" / name, n, 30)
    for split, first in (("split1", 0), ("split2", 3)):
        names, lists = np.roll(list(CLIPS), first).tolist(), folder / "lists" / split
        lists.mkdir(parents=True)
        write_class_names(lists, ["run", "sit"])
        for part, of_part in (("train", names[:4]), ("valid", names[4:6]), ("test", names[6:])):
            (lists / f"{part}_filename.txt").write_text("".join(f"{name}\n" for name in of_part))
            (lists / f"{part}_labels.txt").write_text("".join(f"{int(name[0] == 's')}\n" for name in of_part))


def extract_videos(folder, out, workers=1):
    """As scripts/extract_features.py, without a network."""
    entries, class_names = entries_of_lists(Path(folder, "lists"), Path(folder, "videos"))
    how = {"batch_size": 4, "workers": int(workers), "progress": False}
    extract(entries, Path(out), Path(folder, "videos"), class_names, Stub("stub", 5), **how)


def extract_pieces(folder, out):
    """As `extract_videos`, but stops when all pieces are done, before the tables are made."""

    def stop(*_):
        raise SystemExit(0)

    features._make_tables = stop
    extract_videos(folder, out)


# ---------------------------------------------------------------- commands


def command(name, *words):
    """Command line of a function above. The functions change other modules, so they need a process for themselves."""
    return [Path(__file__), name, *words]


def flags(options):
    return [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]


def train(data, run, changes=CHANGES):
    return [SCRIPTS / "train.py", "--data", data, "--run", run, *flags(changes)]


def train_one_epoch(*words):
    """As scripts/train.py with these options, but stops after the first epoch."""
    from visual_attention.commands import exit_status
    from visual_attention.commands import train as command
    from visual_attention.experiment import training

    save = training.save_checkpoint

    def save_and_stop(path, model, position):
        save(path, model, position)
        if position.epoch:
            raise SystemExit(0)

    training.save_checkpoint = save_and_stop
    sys.argv = ["train", *words]
    exit_status.run(command.main)


def table1(data, runs, *models):
    return [SCRIPTS / "table1.py", "ucf11", "--data", data, "--runs", runs, "--seeds", "1", "--workers", "1",
            "--models", *models, *flags(CHANGES | DATA)]  # fmt: skip


def run(words, environment=(), limit=900):
    """Runs a command: (exit status, its error message or last line).

    If the command does not end, the status is a text that says so. A message after a traceback begins with the words
    "with a traceback".
    """
    environment = os.environ | {"PYTHONPATH": str(TESTS), "MPLBACKEND": "Agg"} | dict(environment)
    try:
        done = subprocess.run([sys.executable, *map(str, words)], env=environment, capture_output=True, text=True,
                              timeout=limit)  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"no end within {limit} s", ""
    lines = done.stderr.strip().splitlines() or done.stdout.strip().splitlines() or [""]
    traceback = "with a traceback: " if "Traceback" in done.stderr else ""
    messages = [line for line in lines if line.startswith("error: ")]
    messages = messages or [line for line in lines if "Warning: " in line]
    return done.returncode, traceback + (messages or lines[-1:])[0]


def succeed(words):
    """Runs a command. RuntimeError if it fails."""
    status, said = run(words)
    if status:
        raise RuntimeError(f"{words} ended with {status}: {said}")


# ---------------------------------------------------------------- their results


def results(folder, without=()):
    """{name: content} of all files of a folder, without the seconds that are in some of them.

    without: paths of files to leave out.
    """
    paths = [path for path in sorted(Path(folder).rglob("*")) if path.is_file() and path not in without]
    paths = [path for path in paths if path.name not in (SUMS, ".lock")]
    return {path.relative_to(folder).as_posix(): _content(path) for path in paths}


def _content(path):
    if path.suffix == ".h5":  # the bytes of the file depend on the time when a virtual dataset was made
        with h5py.File(path) as file:
            return file["features"][:].tobytes(), dict(file["features"].attrs)
    if path.suffix == ".npz":
        with np.load(path) as saved:
            return {name: saved[name].tobytes() for name in saved.files if name != "position"}
    if path.suffix == ".jsonl":
        return [_without_seconds(json.loads(line)) for line in path.read_text().splitlines()]
    if path.name in ("result.json", "table1.json"):
        return _without_seconds(json.loads(path.read_text()))
    if path.stem == "table1":  # with a column of seconds; .csv stands for .md and .tex
        rows = list(csv.reader(path.open())) if path.suffix == ".csv" else [["s"]]
        return [row[: rows[0].index("s")] + row[rows[0].index("s") + 1 :] for row in rows]
    if path.suffix == ".html":
        return len(path.read_text().split("<figure>"))
    return path.read_bytes()


def _without_seconds(value):
    if isinstance(value, list):
        return [_without_seconds(item) for item in value]
    if isinstance(value, dict):
        return {key: _without_seconds(item) for key, item in value.items() if not key.endswith("seconds")}
    return value


def names_in(folder):
    names = (path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*")) if path.is_file())
    return [name for name in names if not name.endswith(".lock")]


def is_whole(path):
    """Whether a file can be read to its end. Plain text always can."""
    try:
        if path.suffix == ".png":
            Image.open(path).load()
        elif path.suffix == ".json":
            json.loads(path.read_text())
        else:
            _content(path)
    except Exception:
        return False
    return True


def difference(results, expected):
    """A text that names the files in which two `results` differ, missing and additional files included, or None."""
    names = [name for name in sorted(results.keys() | expected) if results.get(name) != expected.get(name)]
    return f"differs in {', '.join(names)}" if names else None


if __name__ == "__main__":  # see `command`
    from visual_attention.commands import exit_status

    exit_status.run(globals()[sys.argv[1]], *sys.argv[2:])
