"""Folds of cross-validation, which keep videos of one scene or source film together."""

import numpy as np

from .data_sets import DATA_SETS


def group_of(name):
    """What a video has in common with the videos that must stay in the same part or fold.

    If names are class/group/video, as in UCF-11, it is the folder. Otherwise a data set that recognises the name
    decides: in HMDB-51 it is the source video, whatever the class. Any other video is a group by itself.
    """
    folders = name.split("/")[:-1]
    if len(folders) >= 2:
        return "/".join(folders)
    groups = (data_set.group_of(name) for data_set in DATA_SETS.values())
    return next((group for group in groups if group is not None), name)


def folds_of_groups(lists, n):
    """The fold of each video, 0 to n - 1, (videos,). Each class deals out its groups in turn, the largest first.

    ValueError: there are fewer groups than folds.
    """
    groups, folds = {}, {}
    for name, label in zip(lists.filenames, map(str, lists.labels.tolist()), strict=True):
        groups.setdefault(group_of(name), []).append(label)
    # A combination of labels counts as a class. Each class continues at the fold where the previous one ended.
    order = sorted(groups, key=lambda group: (groups[group][0], -len(groups[group]), group))
    for k, group in enumerate(order):
        folds[group] = k % n
    if len(order) < n:
        raise ValueError(f"the training videos are of {len(order)} groups; expected at least as many as folds, {n}")
    return np.array([folds[group_of(name)] for name in lists.filenames])
