"""Hollywood2, human actions: 1707 film clips, `AVIClips/clip.avi`, each with any of 12 actions."""

from collections import defaultdict
from pathlib import PurePosixPath

import numpy as np

from visual_attention.util.data_lists import PARTS, DataLists
from visual_attention.util.data_sets._data_set import DataSet, VideoFiles
from visual_attention.util.data_sets._rules import VALID_SHARE, check_presence, read_official_file

ACTIONS = (
    *("AnswerPhone", "DriveCar", "Eat", "FightPerson", "GetOutCar", "HandShake"),
    *("HugPerson", "Kiss", "Run", "SitDown", "SitUp", "StandUp"),
)
N_CLIPS = {"train": 823, "test": 884}
VIDEO_FOLDER = "AVIClips"  # AVIClips05, beside it, has the same clips at half the size


def read_official(folder):
    """{"train", "test": {name: row of 0 and 1, one per action}} from the files `<Action>_{train,test}.txt`."""
    rows = {}
    for part, n_clips in N_CLIPS.items():
        rows[part] = defaultdict(list)
        for action in ACTIONS:
            path = folder / f"{action}_{part}.txt"
            clips = read_official_file(path, ("1", "-1"), "a clip's name and 1 or -1")
            if len(clips) != n_clips:
                raise ValueError(f"{path}: names {len(clips)} clips; expected {n_clips}; get the file again")
            for clip, value in clips.items():
                name = f"{VIDEO_FOLDER}/{clip}.avi"
                if part == "test" and name in rows["train"]:
                    raise ValueError(f"{path}: {clip} is a training clip too; get the files again")
                rows[part][name].append(int(value == 1))
        for name, row in rows[part].items():
            if len(row) != len(ACTIONS):
                raise ValueError(
                    f"{folder}: {PurePosixPath(name).stem} is in {len(row)} of the {len(ACTIONS)} files "
                    f"<Action>_{part}.txt; expected it in each; get the files again"
                )
    return rows


def build_lists(names, official):
    """Train and test as in the official files. Valid: consecutive training clips, as neighbours are often of one film.

    Of all blocks of that length, the result is the first in which the shares of the actions' clips are nearest to the
    block's share of all clips (sum of squared differences). Returns {"hollywood2": {part: DataLists}} and the actions.
    """
    check_presence([name for rows in official.values() for name in rows], names)
    parts = {part: dict(sorted(rows.items())) for part, rows in official.items()}
    training, rows = list(parts["train"]), np.array(list(parts["train"].values()))
    n = round(VALID_SHARE * len(training))
    counts = np.lib.stride_tricks.sliding_window_view(rows, n, axis=0).sum(axis=-1)  # (blocks, C)
    start = int(((counts / rows.sum(axis=0) - VALID_SHARE) ** 2).sum(axis=1).argmin())
    parts["valid"] = {name: parts["train"].pop(name) for name in training[start : start + n]}
    lists = {part: DataLists(list(parts[part]), None, np.array(list(parts[part].values()))) for part in PARTS}
    return {"hollywood2": lists}, list(ACTIONS)


DATA_SET = DataSet(
    name="hollywood2",
    title="Hollywood2",
    position=3,
    n_actions=len(ACTIONS),
    multilabel=True,
    # scripts/evaluate_mAP.py of the released program
    released_options={"optimizer": "sgd", "lrate": 1e-4, "last_n": 16},
    released_name="h2mAP",
    table1={
        "softmax_regression": 34.62,
        "average_pooled_lstm": 43.19,
        "max_pooled_lstm": 43.22,
        "attention_lambda0": 43.91,
        "attention_lambda1": 43.18,
        "attention_lambda10": 42.92,
    },
    table2={
        "soft_attention": 43.9,
        "dl_sfa": 48.1,
        "videodarwin": 73.7,
        "multi_skip": 68.0,
        "objects": 66.4,
    },
    files=VideoFiles(
        archive_folders=("Hollywood2",),
        build_lists=build_lists,
        video_folder=VIDEO_FOLDER,
        unused_prefixes=("actionclipautoautotrain", "sceneclip"),
        official_folder="ClipSets",
        official_pattern="*_train.txt",
        read_official=read_official,
    ),
)
