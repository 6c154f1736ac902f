"""The folder of a run: options.json, log.jsonl, predictions.csv and result.json, with checksums and checks.

It also has checkpoint.npz (see `checkpoints`) and model.npz, the best model by validation (see `parameters`).
"""

import dataclasses
import importlib.metadata
import os
import platform
from pathlib import Path

import numpy as np

from visual_attention.experiment.hosts import is_first_host
from visual_attention.options import Options
from visual_attention.util import checks, files, tables
from visual_attention.util.checks import NUMBER

SEALED = ("options.json", "log.jsonl", "predictions.csv", "model.npz.pkl", "result.json")  # the others have checksums
TRAIN_AGAIN = "copy it back, or delete the run and train it again"
TEST_AGAIN = "delete it and start the same command again, which tests the run anew"
PACKAGES = ("pytensor", "jax", "numpy", "scipy", "h5py")
OUTSIDE_RESULT = ("memory_gb", "shuffle", "checkpoint_seconds")  # options that do not change a result by themselves


def write_sealed(path, value):
    """Writes a JSON file of a run after SHA256SUMS of the run's files, itself included; see `files.read_file`."""
    folder, content = Path(path).parent, files.as_json(value)
    if is_first_host():
        names = [name for name in SEALED if Path(folder, name).is_file() and name != Path(path).name]
        files.write_sums(folder, names, {Path(path).name: content})
        files.write_file(path, content)


def open_run(folder, options, digest, data_folder, buffer_frames=0):
    """Makes a run's folder. If it exists: ValueError unless it holds a run of the same options and data.

    digest: of the data. buffer_frames: of the buffer from which training windows are drawn, 0 where there is none; only
    through it do memory_gb and shuffle change a result.
    """
    path = Path(folder, "options.json")
    if Path(folder).exists() and not Path(folder).is_dir():
        raise ValueError(f"{folder}: is a file; expected the folder of a run, or a new one")
    checks.check_links(folder)
    run = {"options": dataclasses.asdict(options), "data": digest, "buffer_frames": buffer_frames}
    if path.is_file():
        if changed := _differences(path, run):
            raise ValueError(f"{folder}: holds a run of {'; '.join(changed)}. Delete it or choose another folder")
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    write_sealed(path, run | {"data_folder": str(Path(data_folder).resolve()), "versions": provenance()})


def _differences(path, run):
    """In what the run of an options.json differs from `run`: a list of texts."""
    saved = checks.read_json(path, {"options": dict, "data": str}, TRAIN_AGAIN)
    # a run that is older than an option was made with its default
    options, buffer_frames = dataclasses.asdict(_options(path, saved["options"])), saved.get("buffer_frames", 0)
    changed = [
        f"{name} {options[name]} there, {value} now"
        for name, value in run["options"].items()
        if options[name] != value and name not in OUTSIDE_RESULT
    ]
    if buffer_frames != run["buffer_frames"]:
        changed.append(
            f"windows drawn from a buffer of {buffer_frames} frames there, {run['buffer_frames']} now (0: from all; "
            f"--memory-gb was {options['memory_gb']:g}, --shuffle {options['shuffle']})"
        )
    return changed + (["other data"] if saved["data"] != run["data"] else [])


def provenance():
    """Versions and machine, for options.json."""
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    return {"python": platform.python_version(), **versions, "machine": platform.machine(), "cores": os.cpu_count()}


def load_options(folder):
    """Options of a run's folder, and the folder of its data."""
    path = Path(folder, "options.json")
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; {folder} is not a run's folder")
    checks.check_links(folder)
    saved = checks.read_json(path, {"options": dict, "data_folder": str}, TRAIN_AGAIN)
    return _options(path, saved["options"]), Path(saved["data_folder"])


def _options(path, values):
    known = [field.name for field in dataclasses.fields(Options)]
    unknown = [name for name in values if name not in known]
    if unknown:
        raise ValueError(f"{path}: option {unknown[0]!r} is unknown; expected those of visual-attention recipes")
    try:
        return Options(**values)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def load_log(folder):
    """Lines of log.jsonl, dicts; a line at an epoch's end has epoch, train_cost and valid_score."""
    path, lines = Path(folder, "log.jsonl"), []
    for k, line in enumerate(files.read_file(path, TRAIN_AGAIN).splitlines()):
        lines.append(checks.parse_json(f"{path}, line {k + 1}", line, {"epoch": int}, TRAIN_AGAIN))
        if "valid_score" in lines[-1]:
            checks.check_kinds(f"{path}, line {k + 1}", lines[-1], {"train_cost": NUMBER, "valid_score": NUMBER})
    return lines


def load_result(folder):
    """What result.json holds; see `runs.run_cell`."""
    path = Path(folder, "result.json")
    kinds = {"metric": str, "test": NUMBER, "test_seconds": NUMBER, "classes": list}
    result = checks.read_json(path, kinds, TEST_AGAIN)
    for k, row in enumerate(result["classes"]):
        checks.check_kinds(f"{path}, class {k}", row, {"class": str, "percent": (*NUMBER, type(None))})
    n, matrix = len(result["classes"]), result.get("confusion_matrix")
    if matrix is not None and not (isinstance(matrix, list) and len(matrix) == n and all(map(_counts(n), matrix))):
        raise ValueError(f"{path}: confusion_matrix is no {n} x {n} numbers of videos; make or copy it again")
    return result


def _counts(n):
    return lambda row: isinstance(row, list) and len(row) == n and all(type(k) is int and k >= 0 for k in row)


def load_predictions(folder, n_videos):
    """Class probabilities of the test videos, (n_videos, C), from predictions.csv."""
    path = Path(folder, "predictions.csv")
    _, rows = tables.read_csv(path, "delete result.json beside it and start the run's command again")
    try:
        probs = np.array([[float(p) for p in row[4:]] for row in rows])
    except ValueError as error:
        raise ValueError(f"{path}: is no table of probabilities ({error}); make or copy it again") from error
    if probs.ndim != 2 or len(probs) != n_videos or not ((probs >= 0) & (probs <= 1)).all():
        raise ValueError(
            f"{path}: holds {probs.shape} numbers; expected probabilities from 0 to 1, a line for each of {n_videos} "
            "videos; make or copy it again"
        )
    return probs
