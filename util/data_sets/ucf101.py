"""UCF-101: 13,320 videos of 101 classes, `class/v_<Class>_g<group>_c<clip>.avi`, and three official splits.

It is not in the paper.
"""

import re
from pathlib import PurePosixPath

from visual_attention.util.data_lists import text_lines
from visual_attention.util.data_sets._data_set import DataSet, VideoFiles
from visual_attention.util.data_sets._rules import (
    check_presence,
    read_official_file,
    single_label_lists,
    valid_groups,
)

SPLITS = (1, 2, 3)
SIZES = {1: (9537, 3783), 2: (9586, 3734), 3: (9624, 3696)}  # training and test videos of a split
N_CLASSES = 101


def group_of(name):
    """Class and group of a video, from its name; None if the name does not have the form v_<Class>_g<group>_c<clip>.

    The videos of a group share scene and person. Case is ignored, because a class is written in two ways.
    """
    match = re.fullmatch(r"v_([A-Za-z]+_g\d\d)_c\d\d", PurePosixPath(name).stem)
    return match[1].casefold() if match else None


def read_official(folder):
    """Names of the classes in order, and {split: {"train", "test": {name: class number}}}.

    The files are classInd.txt and, for each split, trainlist0<n>.txt and testlist0<n>.txt. Numbers in them count from
    1, and testlists have none: the class is the folder of a video.
    """
    class_names = _read_class_names(folder / "classInd.txt")
    numbers = {name.casefold(): k for k, name in enumerate(class_names)}
    official = {}
    for split in SPLITS:
        parts, groups = {}, {}
        for part, size in zip(("train", "test"), SIZES[split], strict=True):
            path = folder / f"{part}list0{split}.txt"
            values = tuple(str(k + 1) for k in range(N_CLASSES)) if part == "train" else ()
            expected = "class/video.avi" + (" and the number of the class" if values else "")
            given = read_official_file(path, values, expected)
            if len(given) != size:
                raise ValueError(f"{path}: names {len(given)} videos; expected {size}; get the file again")
            parts[part] = {name: numbers.get(name.split("/")[0].casefold()) for name in given}
            for name, number in parts[part].items():
                if number is None or group_of(name) is None or given[name] not in (None, number + 1):
                    line = name if given[name] is None else f"{name} {given[name]}"
                    raise ValueError(
                        f"{path}: {line!r}; expected the likes of Archery/v_Archery_g01_c01.avi, with a class of "
                        "classInd.txt and its number there; get the files again"
                    )
                groups.setdefault(group_of(name), part)
                if groups[group_of(name)] != part:
                    raise ValueError(
                        f"{path}: {name!r} is of a group that has training videos; expected whole groups; "
                        "get the files again"
                    )
        official[split] = parts
    return class_names, official


def _read_class_names(path):
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; expected it beside the lists of the splits; get it again")
    lines = [line.split() for line in text_lines(path)]
    for k, words in enumerate(lines):
        if len(words) != 2 or words[0] != str(k + 1):
            raise ValueError(f"{path}, line {k + 1}: {' '.join(words)!r}; expected {k + 1} and the name of a class")
    if len(lines) != N_CLASSES:
        raise ValueError(f"{path}: names {len(lines)} classes; expected {N_CLASSES}; get the file again")
    return [name for _, name in lines]


def official_names(official):
    """Names of all videos: each split has all of them."""
    return {name for part in official[1][1].values() for name in part}


def build_lists(names, official):
    """Train and test as in the official files. Valid: whole groups of training videos, chosen by `valid_groups`.

    Returns {"ucf101/split1": {part: DataLists}, ...} and the names of the classes.
    """
    class_names, splits = official
    check_presence(official_names(official), names)
    lists = {}
    for split, parts in splits.items():
        training = dict(sorted(parts["train"].items()))
        valid = valid_groups(training, group_of)
        of_part = {
            "train": {name: label for name, label in training.items() if group_of(name) not in valid},
            "valid": {name: label for name, label in training.items() if group_of(name) in valid},
            "test": dict(sorted(parts["test"].items())),
        }
        lists[f"ucf101/split{split}"] = {part: single_label_lists(labels) for part, labels in of_part.items()}
    return lists, class_names


# The paper has no UCF-101. The sizes are those that it uses for HMDB-51, which also has many classes.
SIZES_OF_HMDB51 = {"dim": 1024, "dim_out": 1024}

DATA_SET = DataSet(
    name="ucf101",
    title="UCF-101",
    position=4,
    n_actions=N_CLASSES,
    splits=tuple(f"split{split}" for split in SPLITS),
    paper_options=SIZES_OF_HMDB51,
    files=VideoFiles(
        archive_folders=("UCF-101",),
        build_lists=build_lists,
        official_folder="ucfTrainTestlist",
        official_pattern="trainlist0?.txt",
        read_official=read_official,
        official_names=official_names,
    ),
    group_of=group_of,
)
