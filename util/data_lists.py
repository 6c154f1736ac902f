"""The lists of a data set's parts: text files with one line per video.

`<part>_filename.txt` has names. `<part>_labels.txt` has class numbers or, if a video has several labels, 0 and 1
separated by commas, one column per class. `class_names.txt` names the classes in order. Lists that belong to a frame
table are in the order of its frames and come with `<part>_framenum.txt`, the number of frames of each video. A folder
of data_lists/ does not have it, because its videos have not been read yet; names are then paths relative to the root of
the data set, which `read_video_lists` checks.

This is the format that the released program reads (its util/data_handler.py), but no last character is lost. A byte
order mark, Windows line ends and blank lines at the end of a file are accepted.
"""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

import numpy as np

from . import checks
from .files import read_file, write_file

PARTS = ("train", "valid", "test")


@dataclass(frozen=True)
class DataLists:
    filenames: list[str]
    frame_numbers: np.ndarray | None  # (videos,) int64; None: the videos are not extracted yet
    labels: np.ndarray  # (videos,) int64, or (videos, C) of 0 and 1

    @property
    def multilabel(self):
        return self.labels.ndim == 2

    def only(self, videos):
        """The lines of these videos, in the order of `videos`."""
        return DataLists([self.filenames[k] for k in videos], self.frame_numbers[videos], self.labels[videos])


def write_lists(folder, part, filenames, frame_numbers, labels):
    """Writes the lists of a part: three, or two if frame_numbers is None.

    labels: for each video a number, or a row of 0 and 1.
    """
    lines = [",".join(map(str, np.atleast_1d(label))) for label in labels]
    columns = {"filename": filenames, "framenum": frame_numbers, "labels": lines}
    for name, values in columns.items():
        if values is not None:
            _write_lines(Path(folder, f"{part}_{name}.txt"), values)


def write_class_names(folder, names):
    _write_lines(Path(folder, "class_names.txt"), names)


def read_class_names(folder, n_actions):
    """Names of the classes; their numbers if the folder has no class_names.txt.

    ValueError: the file is not valid, or names fewer than n_actions classes.
    """
    path = Path(folder, "class_names.txt")
    if not path.is_file():
        return [str(k) for k in range(n_actions)]
    names = _read_class_names(path)
    if len(names) < n_actions:
        raise ValueError(f"{path}: names {len(names)} classes; expected {n_actions}, one per line")
    return names


def _read_class_names(path):
    names = _read_names(path, "the name of a class")
    if not names:
        raise ValueError(f"{path}: is empty; expected the names of the classes, one per line")
    return names


def count_classes(folder):
    """Number of classes of a data set: that of the names in class_names.txt or, without it, of the labels of all parts.

    A part may have no video of a class. But without class_names.txt, a label that no part has counts as an error.
    ValueError or FileNotFoundError names the file and line.
    """
    named = Path(folder, "class_names.txt")
    if checks.is_file(named):
        return len(_read_class_names(named))
    first = {}  # class -> the first line that has it
    for part in PARTS:
        path = Path(folder, f"{part}_labels.txt")
        if checks.is_file(path):
            labels = read_part(folder, part).labels
            if labels.ndim == 2:
                return labels.shape[1]
            for k, label in enumerate(labels.tolist()):
                first.setdefault(label, f"{path}, line {k + 1}")
    gap = next((k for k in range(len(first)) if k not in first), None)
    if gap is not None:
        raise ValueError(
            f"{first[max(first)]}: label {max(first)}, but no video of any part has label {gap}; expected classes "
            f"counted from 0 without a gap; correct the labels, or name every class in {named}, one per line"
        )
    return len(first)


def read_lists(folder, part, n_actions=None):
    """Reads and checks the three lists of a part. ValueError or FileNotFoundError names the file and line."""
    lists = read_part(folder, part, n_actions)
    path = Path(folder, f"{part}_framenum.txt")
    lines = _read_lines(path)
    _check_length(path, lines, lists.filenames, folder, part)
    numbers = np.array([_whole_number(path, k, line, "frames of a video", 1) for k, line in enumerate(lines)])
    if numbers.sum() > checks.MOST:
        raise ValueError(f"{path}: adds up to {numbers.sum()} frames; expected {checks.MOST} at most")
    return DataLists(lists.filenames, numbers, lists.labels)


def read_part(folder, part, n_actions=None):
    """Reads and checks the names and labels of a part. ValueError or FileNotFoundError names the file and line.

    n_actions: number of classes, which labels must not exceed; None: any.
    """
    filename, label = Path(folder, f"{part}_filename.txt"), Path(folder, f"{part}_labels.txt")
    names, labels = _read_names(filename, "the name of a video"), _read_lines(label)
    if not names:
        raise ValueError(f"{filename}: is empty; expected the name of a video on each line")
    _check_length(label, labels, names, folder, part)
    labels = [[_whole_number(label, k, word, "a label") for word in line.split(",")] for k, line in enumerate(labels)]
    multilabel = len(labels[0]) > 1
    for k, row in enumerate(labels):
        if len(row) != len(labels[0]):
            raise ValueError(
                f"{label}, line {k + 1}: has {len(row)} columns, but line 1 has {len(labels[0])}; expected as many"
            )
        if multilabel and max(row) > 1:
            raise ValueError(f"{label}, line {k + 1}: a column is {max(row)}; expected 0 or 1 (a column per class)")
        if not multilabel and n_actions is not None and row[0] >= n_actions:
            raise ValueError(
                f"{label}, line {k + 1}: label {row[0]} is out of range; expected 0 to {n_actions - 1}; correct it, or "
                "name the class in class_names.txt"
            )
    if multilabel and n_actions is not None and len(labels[0]) != n_actions:
        raise ValueError(f"{label}, line 1: has {len(labels[0])} columns; expected {n_actions}, one per class")
    labels = np.array(labels)
    return DataLists(names, None, labels if multilabel else labels[:, 0])


def read_video_lists(folder):
    """Reads a folder of data_lists/: {part: DataLists without frame numbers}, and the names of the classes.

    Besides the checks of `read_part`, no name may lead out of the root of the data set, and no video may be in two
    parts. ValueError or FileNotFoundError names the file and line.
    """
    class_names_file = Path(folder, "class_names.txt")
    if not class_names_file.is_file():
        raise FileNotFoundError(
            f"{class_names_file}: no such file; expected a folder of lists such as data_lists/ucf11, "
            "with class_names.txt and <part>_filename.txt, <part>_labels.txt for train, valid and test"
        )
    class_names = _read_class_names(class_names_file)
    parts = {part: read_part(folder, part, len(class_names)) for part in PARTS}
    seen = {}
    for part, lists in parts.items():
        path = Path(folder, f"{part}_filename.txt")
        for k, name in enumerate(lists.filenames):
            place = f"{path}, line {k + 1}"
            check_inside_root(place, name)
            if name in seen:
                raise ValueError(f"{place}: {name!r} is in {seen[name]} too; a video belongs to one part only")
            seen[name] = place
    return parts, class_names


def check_inside_root(place, name):
    """ValueError, which begins with `place`, unless `name` is a plain path with / below the root of a data set."""
    path, windows = PurePosixPath(name), PureWindowsPath(name)
    if path.is_absolute() or windows.drive or windows.root or ".." in windows.parts:
        raise ValueError(f"{place}: {name!r} leads out of the data set's root; expected a path relative to it")
    if path.as_posix() != name or name == "." or "\\" in name:
        raise ValueError(f"{place}: {name!r} is no plain path; expected the likes of folder/video.avi")


def _check_length(path, lines, names, folder, part):
    if len(lines) != len(names):
        filename = Path(folder, f"{part}_filename.txt")
        raise ValueError(
            f"{path}: has {len(lines)} lines, but {filename} has {len(names)}; expected one line per video"
        )


def _write_lines(path, values):
    write_file(path, "".join(f"{value}\n" for value in values).encode())


def _read_names(path, what):
    names, seen = _read_lines(path), {}
    for k, name in enumerate(names):
        checks.check_name(f"{path}, line {k + 1}", name, what)
        if seen.setdefault(name, k) != k:
            raise ValueError(f"{path}, line {k + 1}: {name!r} stands on line {seen[name] + 1} already; remove one")
    return names


def _read_lines(path):
    if not checks.is_file(path):
        raise FileNotFoundError(f"{path}: no such list; visual-attention extract writes it beside the features")
    return text_lines(path)


def text_lines(path):
    """Lines of a text file with any line ends, without blank lines at its end. ValueError: it is not text."""
    try:
        lines = read_file(path).decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: is no text in UTF-8 (byte {error.start}); get or write the file again") from error
    while lines and not lines[-1].strip():
        lines.pop()
    return lines


def _whole_number(path, k, word, what, least=0):
    value = checks.whole_number(word, least)
    if value is None:
        bounds = f"from {least} to {checks.MOST}" if len(word) > 9 else f"of at least {least}"
        raise ValueError(f"{path}, line {k + 1}: {word!r}; expected {what}, a whole number {bounds}")
    return value
