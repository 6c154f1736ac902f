"""The text files beside a frame table: one line a video, in the order of the frames.

`<part>_filename.txt` names, `<part>_framenum.txt` frames a video, `<part>_labels.txt` a class number, or, where a video
has several labels, comma-separated 0 and 1, a column a class. `class_names.txt` names the classes in order.
Format of the released program's readers (util/data_handler.py), without its loss of the last character.
"""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

import numpy as np

PARTS = ("train", "valid", "test")


@dataclass(frozen=True)
class DataLists:
    filenames: list[str]
    frame_numbers: np.ndarray  # (videos,) int64
    labels: np.ndarray  # (videos,) int64, or (videos, C) of 0 and 1

    @property
    def multilabel(self):
        return self.labels.ndim == 2


def write_lists(folder, part, filenames, frame_numbers, labels):
    """Writes the three lists of a part. `labels`: a number a video, or a row of 0 and 1 a video."""
    lines = [",".join(map(str, np.atleast_1d(label))) for label in labels]
    columns = {"filename": filenames, "framenum": frame_numbers, "labels": lines}
    for name, values in columns.items():
        Path(folder, f"{part}_{name}.txt").write_text("".join(f"{value}\n" for value in values), encoding="utf-8")


def write_class_names(folder, names):
    Path(folder, "class_names.txt").write_text("".join(f"{name}\n" for name in names), encoding="utf-8")


def read_class_names(folder, n_actions):
    """Names of the classes; their numbers where the folder has no class_names.txt."""
    path = Path(folder, "class_names.txt")
    if not path.is_file():
        return [str(k) for k in range(n_actions)]
    names = _read_lines(path)
    if len(names) < n_actions:
        raise ValueError(f"{path}: names {len(names)} classes; expected {n_actions}, one a line")
    return names


def read_lists(folder, part, n_actions=None):
    """Reads and checks the lists of a part; ValueError or FileNotFoundError names the file and line."""
    filename, framenum, label = (Path(folder, f"{part}_{name}.txt") for name in ("filename", "framenum", "labels"))
    names, numbers = _read_names(filename), _read_lines(framenum)
    _check_length(framenum, numbers, filename, names)
    numbers = np.array([_whole_number(framenum, k, line, "frames of a video", 1) for k, line in enumerate(numbers)])
    labels = _read_labels(label, filename, names, n_actions)
    return DataLists(names, numbers, labels if labels.shape[1] > 1 else labels[:, 0])


def read_part(folder, part):
    """Names and labels of a part whose frames have not been counted: class numbers, or tuples of 0 and 1 a video.

    Names are paths within the videos' folder; ValueError or FileNotFoundError names the file and line.
    """
    filename, label = (Path(folder, f"{part}_{name}.txt") for name in ("filename", "labels"))
    names = _read_names(filename)
    for k, name in enumerate(names):
        if not name or PurePosixPath(name).is_absolute() or PureWindowsPath(name).drive or ".." in Path(name).parts:
            raise ValueError(f"{filename}, line {k + 1}: {name!r}; expected a path within the videos' folder")
    labels = _read_labels(label, filename, names, None).tolist()
    return names, [tuple(row) if len(row) > 1 else row[0] for row in labels]


def _read_names(path):
    names, seen = _read_lines(path), {}
    if not names:
        raise ValueError(f"{path}: is empty; expected a line a video")
    for k, name in enumerate(names):
        if seen.setdefault(name, k) != k:
            raise ValueError(f"{path}, line {k + 1}: {name!r} stands on line {seen[name] + 1} already; remove one")
    return names


def _read_labels(label, filename, names, n_actions):
    """(videos, C) of 0 and 1, or (videos, 1) class numbers."""
    labels = _read_lines(label)
    _check_length(label, labels, filename, names)
    labels = [[_whole_number(label, k, word, "a label") for word in line.split(",")] for k, line in enumerate(labels)]
    multilabel = len(labels[0]) > 1
    for k, row in enumerate(labels):
        if len(row) != len(labels[0]):
            raise ValueError(f"{label}, line {k + 1}: has {len(row)} columns, but line 1 has {len(labels[0])}")
        if multilabel and max(row) > 1:
            raise ValueError(f"{label}, line {k + 1}: a column is {max(row)}; expected 0 or 1 (a column a class)")
        if not multilabel and n_actions is not None and row[0] >= n_actions:
            raise ValueError(f"{label}, line {k + 1}: label {row[0]} is out of range; expected 0 to {n_actions - 1}")
    if multilabel and n_actions is not None and len(labels[0]) != n_actions:
        raise ValueError(f"{label}, line 1: has {len(labels[0])} columns; expected {n_actions}, one a class")
    return np.array(labels)


def _check_length(path, lines, filename, names):
    if len(lines) != len(names):
        raise ValueError(f"{path}: has {len(lines)} lines, but {filename} has {len(names)}; expected one a video")


def _read_lines(path):
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such list; it is written beside the features")
    return path.read_text(encoding="utf-8").splitlines()


def _whole_number(path, k, word, what, least=0):
    try:
        value = int(word)
    except ValueError:
        value = least - 1
    if value < least:
        raise ValueError(f"{path}, line {k + 1}: {word!r}; expected {what}, a whole number of at least {least}")
    return value
