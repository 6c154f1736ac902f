"""What to extract: entries, each a line of a list with the video behind it, from class folders or from lists."""

import os
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from .data_lists import PARTS, read_video_lists
from .video import EXTENSIONS


@dataclass(frozen=True)
class Entry:
    """One line of a part's lists: the frames of a video from `start` to `stop`, shares of its length.

    `label` is a class number or, if a video has several labels, a row of 0 and 1. `folder` is the subfolder of the
    features, if there are several splits, as of HMDB-51.
    """

    name: str
    part: str
    path: Path
    label: int | tuple[int, ...]
    start: float = 0.0
    stop: float = 1.0
    folder: str = ""

    @property
    def table(self):
        """The path of the files of its part, up to the underscore: train, or split1/train."""
        return os.path.join(self.folder, self.part)


# ---------------------------------------------------------------- from lists


def entries_of_lists(lists, root):
    """Entries and class names from the lists of a folder, or of its subfolders split1, split2, ... if it has these.

    A folder has `<part>_filename.txt` (paths of the videos below `root`), `<part>_labels.txt` and `class_names.txt`.
    ValueError, FileNotFoundError: lists or root do not exist, or the lists are not valid.
    """
    lists, root = Path(lists), Path(root)
    if not root.is_dir():
        raise FileNotFoundError(f"{root}: no such folder; expected the one that the names in {lists} start from")
    folders = {path.name: path for path in sorted(lists.glob("split*")) if path.is_dir()} or {"": lists}
    entries, class_names = [], None
    for folder, path in folders.items():
        parts, names = read_video_lists(path)
        for part, of_part in parts.items():
            labels = map(tuple if of_part.multilabel else int, of_part.labels.tolist())
            for name, label in zip(of_part.filenames, labels, strict=True):
                entries.append(Entry(name, part, root / name, label, folder=folder))
        if class_names not in (None, names):
            raise ValueError(f"{path}/class_names.txt: differs from that of the other splits; expected the same")
        class_names = names
    return entries, class_names


# ---------------------------------------------------------------- from class folders


def entries_of_folders(root, split, fractions):
    """Entries and class names from the subfolders of `root`, or from its videos, each of which is then a class.

    split: video (whole videos in sorted order), time (every video is cut in three), or auto: video if every class has
    at least three. fractions: shares of train, valid and test. ValueError, FileNotFoundError: this cannot be done.
    """
    root = Path(root)
    if min(fractions) <= 0 or abs(sum(fractions) - 1) > 1e-6:
        raise ValueError(f"fractions are {fractions}; expected three positive numbers that add up to 1")
    classes = find_videos(root)
    fewest = min(classes, key=lambda name: len(classes[name]))
    if split == "auto":
        split = "video" if len(classes[fewest]) >= 3 else "time"
    if split == "video" and len(classes[fewest]) < 3:
        raise ValueError(
            f"{root}: class {fewest} has fewer than 3 videos, a train, a valid and a test one; "
            "add some, or cut each video with --split time"
        )
    return make_entries(root, classes, split, fractions), list(classes)


def find_videos(folder):
    """{class name: paths of its videos}, both sorted. ValueError or FileNotFoundError: the folder has none."""
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder; expected class subfolders with videos, or videos")
    videos = [path for path in sorted(folder.iterdir()) if is_video(path)]
    classes = {
        sub.name: [path for path in sorted(sub.rglob("*")) if is_video(path)]
        for sub in sorted(folder.iterdir())
        if sub.is_dir()
    }
    classes = {name: paths for name, paths in classes.items() if paths}
    if videos and classes:
        raise ValueError(f"{folder}: has videos ({videos[0].name}) beside subfolders with videos; keep either")
    if not videos and not classes:
        raise ValueError(f"{folder}: has no videos; expected names that end in {', '.join(EXTENSIONS)}")
    if classes:
        return classes
    classes = {path.stem: [path] for path in videos}
    if len(classes) < len(videos):
        raise ValueError(f"{folder}: has two videos of one name, different only in the ending; rename one")
    return classes


def is_video(path):
    return path.suffix.lower() in EXTENSIONS and path.is_file() and not path.name.startswith(".")


def make_entries(folder, classes, split, fractions):
    """Entries in the order of classes and videos; see `entries_of_folders`.

    Neighbours in sorted order, which are often of one scene, mostly get the same part.
    """
    edges = (0, fractions[0], fractions[0] + fractions[1], 1)
    entries = []
    for label, videos in enumerate(classes.values()):
        n = len(videos)
        first_valid = min(max(round(edges[1] * n), 1), n - 2)
        first_test = min(max(round(edges[2] * n), first_valid + 1), n - 1)
        for k, path in enumerate(videos):
            name = path.relative_to(folder).as_posix()
            if split == "video":
                part = PARTS[(k >= first_valid) + (k >= first_test)]
                entries.append(Entry(name, part, path, label))
            else:
                for part, start, stop in zip(PARTS, edges, edges[1:], strict=False):
                    entries.append(Entry(f"{name}#{part}", part, path, label, start, stop))
    return entries


def by_video(entries):
    """{path: entries of that video}. ValueError: a video is listed twice in one part."""
    videos = defaultdict(list)
    for entry in entries:
        videos[entry.path].append(entry)
    for path, entries_of_video in videos.items():
        if len({entry.table for entry in entries_of_video}) < len(entries_of_video):
            raise ValueError(f"{path}: is listed twice in one part; list it once")
    return videos
