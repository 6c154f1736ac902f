"""The folder of a run: what is in it, written whole or not at all, and read back with checks."""

import contextlib
import csv
import dataclasses
import importlib.metadata
import json
import os
import platform
import zipfile
from pathlib import Path

import jax
import numpy as np

from visual_attention.options import Options
from visual_attention.released import pickled_options
from visual_attention.util import tables

PACKAGES = ("pytensor", "jax", "numpy", "scipy", "h5py")


class Interrupted(Exception):
    """A signal asked to stop, and everything is saved. `status` is the exit status: 128 + the signal's number."""

    def __init__(self, number, folder):
        super().__init__(number, folder)  # so it can be pickled on its way from a worker process
        self.status = 128 + number

    def __str__(self):
        return f"interrupted; {self.args[1]} is saved: start the same command again to continue"


class CostError(Exception):
    """The cost is not finite; the message says where."""


class WriteError(Exception):
    """A file of the run could not be written; what was there before is untouched."""


def first_host():
    """Whether this process is the one that writes; where several hosts train a run, all read its folder."""
    return not jax.distributed.is_initialized() or jax.process_index() == 0


def write_file(path, write):
    """Writes a file whole or not at all: `write(file)` under a temporary name, flushed to disk, then renamed."""
    if not first_host():
        return
    part = Path(f"{path}.part")
    try:
        with open(part, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise WriteError(
            f"{path}: could not be written ({error}); free space and start the same command again"
        ) from error


def write_json(path, value):
    write_file(path, lambda file: file.write((json.dumps(value, indent=2) + "\n").encode()))


def write_table(stem, head, body):
    """Writes a table, rows of texts under a head, as <stem>.md, .csv and .tex."""
    Path(stem).parent.mkdir(parents=True, exist_ok=True)
    for ending, form in tables.FORMATS.items():
        text = form(head, body)
        write_file(f"{stem}.{ending}", lambda file, text=text: file.write(text.encode()))


def provenance():
    """Versions and machine, for options.json."""
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    return {"python": platform.python_version(), **versions, "machine": platform.machine(), "cores": os.cpu_count()}


def open_run(folder, options, digest, data_folder, buffer_frames=0):
    """Makes a run's folder, or checks that what it holds is a run of the same options and data.

    buffer_frames: of the buffer from which training windows are drawn; that is all that memory_gb and shuffle change.
    """
    path = Path(folder, "options.json")
    ours = {"options": dataclasses.asdict(options), "data": digest, "buffer_frames": buffer_frames}
    if path.is_file():
        try:
            theirs = {"buffer_frames": 0} | json.loads(path.read_text())  # older runs had no buffer
            # options younger than the run had their defaults; some of them change no result
            there, data = dataclasses.asdict(Options()) | theirs["options"], theirs["data"]
        except (ValueError, KeyError) as error:
            raise ValueError(f"{path}: not a run's options ({error!r}); delete the folder or choose another") from error
        changed = [
            f"{name} {there[name]} there, {value} now"
            for name, value in ours["options"].items()
            if there[name] != value and name not in ("memory_gb", "shuffle", "checkpoint_seconds")
        ]
        if theirs["buffer_frames"] != buffer_frames:
            changed.append(
                f"windows drawn from a buffer of {theirs['buffer_frames']} frames there, {buffer_frames} now (0: from "
                f"all; --memory-gb was {there['memory_gb']:g}, --shuffle {there['shuffle']})"
            )
        changed += ["other data"] if data != digest else []
        if changed:
            raise ValueError(f"{folder}: holds a run of {'; '.join(changed)}. Delete it or choose another folder")
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, ours | {"data_folder": str(Path(data_folder).resolve()), "versions": provenance()})


def load_options(folder):
    """Options of a run's folder, and the folder of its data."""
    path = Path(folder, "options.json")
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; {folder} is not a run's folder")
    try:
        found = json.loads(path.read_text())
        return Options(**found["options"]), Path(found["data_folder"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: not a run's options ({error!r})") from error


def read_arrays(path, names=None):
    """Arrays of an .npz, of these names only if given and there; what is pickled in it is not read.

    FileNotFoundError, ValueError: it cannot be read.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        saved = np.load(path, allow_pickle=False)
        if not isinstance(saved, np.lib.npyio.NpzFile):
            raise ValueError("it is a single array")
        with saved:
            return {name: saved[name] for name in (saved.files if names is None else names) if name in saved}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: not an .npz of plain arrays ({error}); make or copy it again") from error


def load_params(model, path):
    """Sets the model's parameters from an .npz of theirs; from none unless all fit and are finite."""
    # the released program's hold objects too, which are not looked at
    arrays, shapes = read_arrays(path, model.tparams), {k: v.get_value().shape for k, v in model.tparams.items()}
    for name, shape in shapes.items():
        if name not in arrays or arrays[name].shape != shape:
            found = arrays[name].shape if name in arrays else "none"
            raise ValueError(f"{path}: parameter {name} is {found}; expected {shape}")
        if not np.isfinite(arrays[name]).all():
            raise ValueError(f"{path}: parameter {name} is not finite; expected a model that was trained well")
    for name, variable in model.tparams.items():
        variable.set_value(arrays[name].astype(model.options.floatX))


def write_params(path, model, history):
    """Writes parameters with the released program's keys, and, where that has the model, its file of options beside it.

    history: validation scores in percent, an epoch each; there they are shares, each beside the test set's, NaN here.
    """
    errors = np.array([[score / 100, np.nan] for score in history]).reshape(-1, 2)
    if pickled := pickled_options(model.options):
        write_file(f"{path}.pkl", lambda file: file.write(pickled))
    write_file(path, lambda file: np.savez(file, history_errs=errors, **params_of(model)))


def params_of(model):
    return {name: np.asarray(variable.get_value()) for name, variable in model.tparams.items()}


def load_log(folder):
    """Lines of log.jsonl, dicts."""
    with open(Path(folder, "log.jsonl"), encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def load_predictions(folder):
    """Class probabilities of the test videos, (videos, C), from predictions.csv."""
    with open(Path(folder, "predictions.csv"), encoding="utf-8", newline="") as file:
        return np.array([[float(p) for p in row[4:]] for row in list(csv.reader(file))[1:]])
