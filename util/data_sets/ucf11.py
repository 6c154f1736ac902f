"""UCF-11 (UCF YouTube Action): 1600 videos of 11 classes, `class/group/video.mpg`. It has no official split."""

from collections import defaultdict

import numpy as np

from visual_attention.util.data_lists import PARTS
from visual_attention.util.data_sets._data_set import DataSet, VideoFiles
from visual_attention.util.data_sets._rules import VALID_SHARE, single_label_lists

N_TRAIN, N_TEST = 975, 625  # videos in the paper; its training videos include ours for validation


def build_lists(names, official=None):
    """Test: the first groups of each class. Valid: the first of the remaining groups. `_first_groups` says how many.

    Returns {"ucf11": {part: DataLists}} and the names of the classes. ValueError: a name is not class/group/video, or
    there are not 1600 videos.
    """
    groups = defaultdict(lambda: defaultdict(list))
    for name in sorted(names):
        if name.count("/") != 2:
            raise ValueError(f"{name}: expected a video of UCF-11 as class/group/video")
        action, group, _ = name.split("/")
        groups[action][group].append(name)
    if len(names) != N_TRAIN + N_TEST:
        raise ValueError(f"there are {len(names)} videos; expected UCF-11's {N_TRAIN + N_TEST}")
    class_names = sorted(groups)
    remaining = [[groups[action][group] for group in sorted(groups[action])] for action in class_names]
    parts = {}
    for part, n_videos in (("test", N_TEST), ("valid", round(VALID_SHARE * N_TRAIN))):
        firsts = _first_groups([[len(group) for group in of_class] for of_class in remaining], n_videos)
        parts[part] = [of_class[:n] for of_class, n in zip(remaining, firsts, strict=True)]
        remaining = [of_class[n:] for of_class, n in zip(remaining, firsts, strict=True)]
    parts["train"] = remaining
    lists = {
        part: {name: label for label, of_class in enumerate(parts[part]) for group in of_class for name in group}
        for part in PARTS
    }
    return {"ucf11": {part: single_label_lists(labels) for part, labels in lists.items()}}, class_names


def _first_groups(sizes, total):
    """Number of first groups to take from each class, at least one and not all, so that they have `total` videos.

    sizes: for each class, the numbers of videos of its groups, in order. There are many ways to reach the total. The
    result minimises the sum of squared differences between each class's share of videos and the common share. Among
    equal ways, it takes fewer groups of the first class in which they differ. Dynamic programming over the classes.
    """
    share = total / sum(map(sum, sizes))
    best = {0: (0.0, ())}  # videos so far -> (sum of squares, groups of each class so far)
    for of_class in sizes:
        reached = {}
        for so_far, (cost, firsts) in best.items():
            for n in range(1, len(of_class)):
                videos = sum(of_class[:n])
                way = (cost + (videos / sum(of_class) - share) ** 2, (*firsts, n))
                if so_far + videos <= total and way < reached.get(so_far + videos, (np.inf,)):
                    reached[so_far + videos] = way
        best = reached
    if total not in best:
        raise ValueError(f"no choice of first groups has {total} videos; expected the groups of UCF-11")
    return best[total][1]


DATA_SET = DataSet(
    name="ucf11",
    title="UCF-11",
    position=1,
    n_actions=11,
    released_name="ucf11",
    table1={
        "softmax_regression": 82.37,
        "average_pooled_lstm": 82.56,
        "max_pooled_lstm": 81.60,
        "attention_lambda0": 84.96,
        "attention_lambda1": 83.52,
        "attention_lambda10": 81.44,
    },
    files=VideoFiles(archive_folders=("UCF11_updated_mpg", "action_youtube_naudio"), build_lists=build_lists),
)
