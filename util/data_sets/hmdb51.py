"""HMDB-51: clips of 51 classes, `class/clip.avi`, and three official splits."""

import re
from pathlib import PurePosixPath

from visual_attention.util.data_lists import PARTS
from visual_attention.util.data_sets._data_set import DataSet, VideoFiles
from visual_attention.util.data_sets._rules import check_presence, read_official_file, single_label_lists, valid_groups

SPLITS = (1, 2, 3)
N_TRAIN, N_TEST = 70, 30  # clips per class and split
UNUSED, TRAIN, TEST = 0, 1, 2  # values in the official files


def source_of(name):
    """The source video of a clip, from its name; None if the name does not have the form
    <class>/<source>_<class>_<body>_<camera>_np<n>_<view>_<quality>_<number>.

    Case is ignored, because one source is written in two ways.
    """
    action, stem = name.split("/")[0], PurePosixPath(name).stem
    match = re.fullmatch(rf"(.+)_{re.escape(action)}_[a-z]+_[a-z]+_np\d+_[a-z]+_[a-z]+_\d+", stem)
    return match[1].casefold() if match else None


def read_official(folder):
    """{(split, class): {name: UNUSED, TRAIN or TEST}} from the files `<class>_test_split<n>.txt`."""
    files = {path.name for path in folder.glob("*_test_split?.txt")}
    classes = sorted({re.sub(r"_test_split.\.txt", "", name) for name in files})
    official = {}
    for split in SPLITS:
        for action in classes:
            path = folder / f"{action}_test_split{split}.txt"
            clips = read_official_file(path, ("0", "1", "2"), "a clip's name and 0, 1 or 2")
            train, test = (list(clips.values()).count(use) for use in (TRAIN, TEST))
            if (train, test) != (N_TRAIN, N_TEST):
                raise ValueError(
                    f"{path}: names {train} training and {test} test clips; "
                    f"expected {N_TRAIN} and {N_TEST}; get the file again"
                )
            official[split, action] = {f"{action}/{clip}": use for clip, use in clips.items()}
    return official


def used_names(official):
    """Names of the clips that at least one split uses."""
    return {name for uses in official.values() for name, use in uses.items() if use != UNUSED}


def unused_names(official):
    """Names of the clips that no split uses."""
    return {name for uses in official.values() for name in uses} - used_names(official)


def build_lists(names, official):
    """Train and test as in the official files. Valid: training clips of whole sources, chosen by `valid_groups`.

    Returns {"hmdb51/split1": {part: DataLists}, ...} and the names of the classes.
    """
    classes = {name.split("/")[0] for name in names} - {action for _, action in official}
    if classes:
        raise ValueError(f"there are no official split files of {', '.join(sorted(classes))}; get them again")
    check_presence(used_names(official), names)
    class_names = sorted({action for _, action in official})
    lists = {}
    for split in SPLITS:
        uses = {name: use for action in class_names for name, use in sorted(official[split, action].items())}
        training = [name for name, use in uses.items() if use == TRAIN]
        valid = valid_groups({name: name.split("/")[0] for name in training}, _group)
        parts = {
            "train": [name for name in training if _group(name) not in valid],
            "valid": [name for name in training if _group(name) in valid],
            "test": [name for name, use in uses.items() if use == TEST],
        }
        lists[f"hmdb51/split{split}"] = {
            part: single_label_lists({name: class_names.index(name.split("/")[0]) for name in parts[part]})
            for part in PARTS
        }
    return lists, class_names


def _group(name):
    return source_of(name) or name


DATA_SET = DataSet(
    name="hmdb51",
    title="HMDB-51",
    position=2,
    n_actions=51,
    splits=tuple(f"split{split}" for split in SPLITS),
    paper_options={"dim": 1024, "dim_out": 1024},
    # scripts/evaluate_hmdb51gln.py of the released program
    released_options={
        "dim": 1024,
        "dim_out": 1024,
        "n_layers_att": 3,
        "optimizer": "sgd",
        "lrate": 1e-5,
        "last_n": 16,
    },
    released_name="hmdb51gln",
    table1={
        "softmax_regression": 33.46,
        "average_pooled_lstm": 40.52,
        "max_pooled_lstm": 37.58,
        "attention_lambda0": 41.31,
        "attention_lambda1": 40.98,
        "attention_lambda10": 39.87,
    },
    table2={
        "spatial_stream": 40.5,
        "soft_attention": 41.3,
        "composite_lstm": 44.0,
        "two_stream": 59.4,
        "videodarwin": 63.7,
        "multi_skip": 65.1,
        "stacked_fisher_vectors": 66.8,
        "objects": 71.3,
    },
    files=VideoFiles(
        archive_folders=("hmdb51_org",),
        build_lists=build_lists,
        official_folder="testTrainMulti_7030_splits",
        official_pattern="*_test_split?.txt",
        read_official=read_official,
        unused_names=unused_names,
    ),
    group_of=source_of,
)
