"""The data of a run: windows of its parts, what the data say about options, and checks that both fit."""

import itertools
from contextlib import closing
from pathlib import Path

import numpy as np

from visual_attention.experiment import budget
from visual_attention.util import checks, metrics
from visual_attention.util.data_handler import DataHandler
from visual_attention.util.data_lists import count_classes, read_lists
from visual_attention.util.files import check_file
from visual_attention.util.folds import folds_of_groups
from visual_attention.util.frame_table import FINE, FrameTable, TwoLayerTable


def load_part(folder, part, options):
    """The windows of one part, as `options` describe them."""
    budget.check_size(options)
    return DataHandler(
        folder,
        part,
        maxlen=options.maxlen,
        fps=options.fps,
        stride=options.training_stride if part == "train" else options.testing_stride,
        n_actions=options.n_actions,
        ctx_dim=options.ctx_dim,
        memory_gb=options.memory_gb,
        both=options.resolutions != "one",
    )


def load_parts(folder, options, fold=None):
    """The windows of train, valid and test: a dict part -> DataHandler. ValueError: two parts have a video in common.

    fold (k, n): for cross-validation. The training videos are cut into n folds; the k-th is `test`, the others `train`.
    """
    if fold is None:
        parts = {part: load_part(folder, part, options) for part in ("train", "valid", "test")}
        for first, second in itertools.combinations(parts, 2):
            both = set(parts[first].lists.filenames) & set(parts[second].lists.filenames)
            if both:
                raise ValueError(
                    f"{folder}: {len(both)} video(s) are in {first} and in {second}, such as {min(both)!r}; expected "
                    "each in one part, or scores mean nothing; cut the lists anew"
                )
        return parts
    train, valid = load_part(folder, "train", options), load_part(folder, "valid", options)
    folds, test = folds_of_groups(train.lists, fold[1]), train
    if options.training_stride != options.testing_stride:
        test = load_part(folder, "train", options.replace(training_stride=options.testing_stride))
    inside, outside = np.flatnonzero(folds == fold[0]), np.flatnonzero(folds != fold[0])
    return {"train": train.only(outside), "valid": valid, "test": test.only(inside)}


def data_options(folder, ctx_dim=None):
    """Options that follow from a data set's folder: n_actions, multilabel, ctx_dim, n_locations, fps; and, if the frame
    table has two layers, fine_locations and fine_dim.

    ctx_dim: the feature depth, for files of the released program, which do not contain it.
    """
    n_actions = count_classes(folder)
    path, fine = Path(folder, "train_features.h5"), {}
    lists, table = read_lists(folder, "train", n_actions), FrameTable(path, ctx_dim)
    table.close()
    if table.has_fine:
        with closing(FrameTable(path, layer=FINE)) as second:
            fine = {"fine_locations": second.n_locations, "fine_dim": second.depth}
    return fine | {
        "n_actions": n_actions,
        "multilabel": lists.multilabel,
        "ctx_dim": table.depth,
        "n_locations": table.n_locations,
        "fps": table.fps,
    }


def load_coverage(data):
    """Share of each location that the figure's box covers, (n_frames, L); None for data without <part>_boxes.npy.

    If both layers are read, L counts the locations of both.
    """
    path, shape = data.folder / f"{data.part}_boxes.npy", (data.table.n_frames, 4)
    if not checks.is_file(path):
        return None
    check_file(path)
    try:
        boxes = np.load(path, mmap_mode="r")  # the header alone, however many numbers it announces
    except (OSError, ValueError, EOFError) as error:
        raise ValueError(f"{path}: is no array of plain numbers ({error}); make or remove it") from error
    if boxes.shape != shape or boxes.dtype.kind not in "iuf" or not np.isfinite(boxes).all():
        raise ValueError(
            f"{path}: is {boxes.dtype} {boxes.shape}; expected numbers {shape}, a box x0, y0, x1, y1 for each frame"
        )
    layers = [data.table] + ([data.table.fine] if isinstance(data.table, TwoLayerTable) else [])
    return np.concatenate([metrics.box_coverage(boxes, layer.n_locations) for layer in layers], axis=1)


def check_data(options, data):
    """ValueError where the data do not fit the options."""
    labels, table = f"{data.folder}/{data.part}_labels.txt", data.table
    expected = [(table.path, "n_locations", table.n_locations), (labels, "multilabel", data.lists.multilabel)]
    if isinstance(table, TwoLayerTable):
        expected += [(table.path, f"fine_{name}", value) for name, value in
                     (("locations", table.fine.n_locations), ("dim", table.fine.depth))]  # fmt: skip
    for path, name, value in expected:
        if getattr(options, name) != value:
            raise ValueError(f"{path}: option {name} is {getattr(options, name)}; expected {value} for these data")
    if options.multilabel and not data.labels.any():
        raise ValueError(f"{labels}: no video has a label; expected a 1 somewhere")
