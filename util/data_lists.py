"""The lists of a data set's parts, text files of one line a video.

`<part>_filename.txt` names, `<part>_labels.txt` a class number, or, where a video has several labels, comma-separated
0 and 1, a column a class. `class_names.txt` names the classes in order. Beside a frame table, in the order of its
frames, there is `<part>_framenum.txt` too, frames a video. In a folder of data_lists/ there is not, as the videos are
still to be found and read: names are paths relative to the data set's root, which `read_video_lists` checks.
Format of the released program's readers (util/data_handler.py), without its loss of the last character.
"""

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

import numpy as np

PARTS = ("train", "valid", "test")


@dataclass(frozen=True)
class DataLists:
    filenames: list[str]
    frame_numbers: np.ndarray | None  # (videos,) int64; None: the videos' frames are not extracted yet
    labels: np.ndarray  # (videos,) int64, or (videos, C) of 0 and 1

    @property
    def multilabel(self):
        return self.labels.ndim == 2

    def only(self, videos):
        """Lines of these videos alone, in their order."""
        return DataLists([self.filenames[k] for k in videos], self.frame_numbers[videos], self.labels[videos])


def write_lists(folder, part, filenames, frame_numbers, labels):
    """Writes the lists of a part: three, or two where frame_numbers is None.

    labels: a number a video, or a row of 0 and 1 a video.
    """
    lines = [",".join(map(str, np.atleast_1d(label))) for label in labels]
    columns = {"filename": filenames, "framenum": frame_numbers, "labels": lines}
    for name, values in columns.items():
        if values is not None:
            _write_lines(Path(folder, f"{part}_{name}.txt"), values)


def write_class_names(folder, names):
    _write_lines(Path(folder, "class_names.txt"), names)


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
    """Reads and checks the three lists of a part; ValueError or FileNotFoundError names the file and line."""
    lists = read_part(folder, part, n_actions)
    path = Path(folder, f"{part}_framenum.txt")
    lines = _read_lines(path)
    _check_length(path, lines, lists.filenames, folder, part)
    numbers = np.array([_whole_number(path, k, line, "frames of a video", 1) for k, line in enumerate(lines)])
    return DataLists(lists.filenames, numbers, lists.labels)


def read_part(folder, part, n_actions=None):
    """Reads and checks the names and labels of a part; ValueError or FileNotFoundError names the file and line."""
    filename, label = Path(folder, f"{part}_filename.txt"), Path(folder, f"{part}_labels.txt")
    names, labels = _read_lines(filename), _read_lines(label)
    if not names:
        raise ValueError(f"{filename}: is empty; expected a line a video")
    _check_length(label, labels, names, folder, part)
    seen = {}
    for k, name in enumerate(names):
        if seen.setdefault(name, k) != k:
            raise ValueError(f"{filename}, line {k + 1}: {name!r} stands on line {seen[name] + 1} already; remove one")
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
    labels = np.array(labels)
    return DataLists(names, None, labels if multilabel else labels[:, 0])


def read_video_lists(folder):
    """Reads a folder of data_lists/: {part: DataLists without frame numbers}, and the classes' names.

    Beside what `read_part` checks, no name may lead out of the data set's root, and no video may be in two parts.
    ValueError or FileNotFoundError names the file and line.
    """
    class_names_file = Path(folder, "class_names.txt")
    if not class_names_file.is_file():
        raise FileNotFoundError(
            f"{class_names_file}: no such file; expected a folder of lists such as data_lists/ucf11, "
            "with class_names.txt and <part>_filename.txt, <part>_labels.txt for train, valid and test"
        )
    class_names = _read_lines(class_names_file)
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
    """ValueError, which begins with `place`, unless `name` is a plain path with / below a data set's root."""
    path, windows = PurePosixPath(name), PureWindowsPath(name)
    if path.is_absolute() or windows.drive or windows.root or ".." in windows.parts:
        raise ValueError(f"{place}: {name!r} leads out of the data set's root; expected a path relative to it")
    if path.as_posix() != name or name == "." or "\\" in name:
        raise ValueError(f"{place}: {name!r} is no plain path; expected the likes of folder/video.avi")


def _check_length(path, lines, names, folder, part):
    if len(lines) != len(names):
        filename = Path(folder, f"{part}_filename.txt")
        raise ValueError(f"{path}: has {len(lines)} lines, but {filename} has {len(names)}; expected one a video")


def _write_lines(path, values):
    path.write_text("".join(f"{value}\n" for value in values), encoding="utf-8")


def _hmdb51_source(name):
    """The source video of a clip of HMDB-51, by its name; None where a name is not of that form:
    <class>/<source>_<class>_<body>_<camera>_np<n>_<view>_<quality>_<number>.

    Without regard to case, as one source is written in two ways.
    """
    action, stem = name.split("/")[0], PurePosixPath(name).stem
    match = re.fullmatch(rf"(.+)_{re.escape(action)}_[a-z]+_[a-z]+_np\d+_[a-z]+_[a-z]+_\d+", stem)
    return match[1].casefold() if match else None


def group_of(name):
    """What videos that must not be torn apart have in common: UCF-11's folder of a group, class/group/video; HMDB-51's
    source video, whatever the class; elsewhere each video is a group of its own."""
    folders = name.split("/")[:-1]
    return "/".join(folders) if len(folders) >= 2 else _hmdb51_source(name) or name


def folds_of_groups(lists, n):
    """Fold of each video, 0 to n - 1, (videos,): groups of each class are dealt out in turn, largest first."""
    groups, folds = {}, {}
    for name, label in zip(lists.filenames, map(str, lists.labels.tolist()), strict=True):
        groups.setdefault(group_of(name), []).append(label)
    # with several labels, by the combination of them; each class goes on where the one before it ended
    order = sorted(groups, key=lambda group: (groups[group][0], -len(groups[group]), group))
    for k, group in enumerate(order):
        folds[group] = k % n
    if len(order) < n:
        raise ValueError(f"the training videos are of {len(order)} groups; expected at least as many as folds, {n}")
    return np.array([folds[group_of(name)] for name in lists.filenames])


def _read_lines(path):
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such list; it is written beside the features")
    return text_lines(path)


def text_lines(path):
    """Lines of a text file, whatever their ends; ValueError names a file that is no text."""
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: is no text in UTF-8 (byte {error.start}); get or write the file again") from error


def _whole_number(path, k, word, what, least=0):
    try:
        value = int(word)
    except ValueError:
        value = least - 1
    if value < least:
        raise ValueError(f"{path}, line {k + 1}: {word!r}; expected {what}, a whole number of at least {least}")
    return value
