"""A named data set on a disk: finding its videos, comparing them with lists, making lists.

data_lists/README.md describes the parts and the rules of each data set; util/data_sets/ has these rules. Videos are
named by their path relative to the data set's root, with /, as in `<part>_filename.txt`.
"""

import importlib.resources
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from tqdm import tqdm

from .data_lists import PARTS, DataLists, write_class_names, write_lists
from .data_sets import DATA_SETS
from .files import new_folder
from .video import EXTENSIONS, read_frames

DATA_LISTS = Path(str(importlib.resources.files("visual_attention.data_lists")))
MAX_DEPTH = 4  # folders below a root; the data sets have 3 at most, and links may form a circle


# ---- videos on the disk


def find_videos(data_set, root):
    """Sorted names of all videos of a data set, by its name, below `root`.

    ValueError or FileNotFoundError: `root` is not a root of this data set.
    """
    root, files = Path(root), DATA_SETS[data_set].files
    if not root.is_dir():
        raise FileNotFoundError(f"{root}: no such folder; expected the root of {data_set}")
    for folder in files.archive_folders:
        if (root / folder).is_dir():
            raise ValueError(f"{root}: holds {folder}; give that as the root: --root {root / folder}")
    top = root / files.video_folder
    if not top.is_dir():
        raise FileNotFoundError(
            f"{top}: no such folder; expected the root that holds {files.video_folder} and {files.official_folder}"
        )
    paths = [path for path in _walk(top, MAX_DEPTH) if not path.name.startswith(files.unused_prefixes)]
    if not paths:
        raise ValueError(f"{top}: has no videos; expected names that end in {', '.join(EXTENSIONS)}")
    return sorted(path.relative_to(root).as_posix() for path in paths)


def _walk(folder, depth):
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir():
            if depth > 1 and path.name.lower() != "annotation":
                yield from _walk(path, depth - 1)
        elif path.suffix.lower() in EXTENSIONS:
            yield path


@dataclass(frozen=True)
class Comparison:
    """Result of comparing lists with a disk."""

    present: dict[str, str]  # name in the lists -> name on the disk, which differs if the video is renamed
    missing: list[str]  # in the lists, not on the disk
    extra: list[str]  # on the disk, not in the lists
    unreadable: dict[str, str]  # name in the lists -> what is wrong

    @property
    def renamed(self):
        return {listed: name for listed, name in self.present.items() if name != listed}

    @property
    def disagreements(self):
        """A phrase such as '2 missing, 1 unreadable'; empty if lists and disk agree except for names."""
        kinds = {"missing": self.missing, "extra": self.extra, "unreadable": self.unreadable}
        return ", ".join(f"{len(names)} {kind}" for kind, names in kinds.items() if names)

    def report(self, examples=3):
        """Text with the numbers of videos that are missing, extra, renamed, unreadable, and the first few of each."""
        lines = [f"{len(self.present) + len(self.missing)} videos listed, {len(self.present)} of them on this disk"]
        kinds = {
            "missing": self.missing,
            "extra": self.extra,
            "renamed": [f"{listed} is {name}" for listed, name in self.renamed.items()],
            "unreadable": [f"{name}: {why}" for name, why in self.unreadable.items()],
        }
        for kind, items in kinds.items():
            lines.append(f"{kind}: {len(items)}")
            lines += [f"    {item}" for item in items[:examples]]
            if len(items) > examples:
                lines.append(f"    and {len(items) - examples} more")
        return "\n".join(lines)


def compare_with_disk(listed, on_disk, root, unused=(), open_videos=False):
    """Compares the names in lists with the names that `find_videos` returned for `root`.

    A video is renamed if only its folder, its extension or the case of its letters differs. unused: names in the
    official files that are in no list; they do not count as extra. open_videos: also decode the first frame of each.
    """
    listed, on_disk = sorted(listed), sorted(on_disk)
    names_on_disk, names_listed = set(on_disk), set(listed)
    unlisted = {}  # stem -> the first name on the disk that has it
    for name in on_disk:
        if name not in names_listed:
            unlisted.setdefault(_stem(name), name)
    present = {}
    for name in listed:
        match = name if name in names_on_disk else unlisted.pop(_stem(name), None)
        if match is not None:
            present[name] = match
    matched, unused = set(present.values()), {_stem(name) for name in unused}
    extra = [name for name in on_disk if name not in matched and _stem(name) not in unused]
    progress = tqdm(present.items(), "opening", unit=" videos", disable=not open_videos)
    unreadable = {name: why for name, match in progress if (why := _what_is_wrong(Path(root, match), open_videos))}
    return Comparison(present, [name for name in listed if name not in present], extra, unreadable)


def _stem(name):
    return PurePosixPath(name).stem.casefold()


def _what_is_wrong(path, open_video):
    try:
        if path.stat().st_size == 0:
            return "is empty (0 bytes)"
        with path.open("rb"):
            pass
        if open_video:
            with closing(read_frames(path)) as frames:
                next(frames)
    except (ValueError, OSError) as error:
        return getattr(error, "strerror", None) or str(error).removeprefix(f"{path}: ")
    return None


# ---- official files and the rules


def read_official(data_set, root, folder=None):
    """What the official files of a data set say, for `build_lists`; None if it has no official split.

    folder: where the files are; if None, the usual places are searched. ValueError or FileNotFoundError names the file
    and line.
    """
    root, title, files = Path(root), DATA_SETS[data_set].title, DATA_SETS[data_set].files
    if files.read_official is None:
        if folder is not None:
            raise ValueError(f"{title} has no official split; leave --official away")
        return None
    places = (root / files.official_folder, root, root.parent / files.official_folder)
    places = places if folder is None else (Path(folder),)
    folder = next((place for place in places if any(place.glob(files.official_pattern))), None)
    if folder is None:
        raise FileNotFoundError(
            f"{places[0]}: no official split files ({files.official_pattern}) here; give the folder that has them with "
            "--official"
        )
    return files.read_official(folder)


def build_lists(data_set, names, official=None):
    """Lists of a data set by its rule: {folder below data_lists/: {part: DataLists}}, and the class names in order.

    names: the videos on the disk, under their names in the lists. official: the result of `read_official`.
    """
    return DATA_SETS[data_set].files.build_lists(names, official)


# ---- lists as a whole


def select_videos(lists, names_on_disk):
    """The lists without the videos that `names_on_disk` lacks, and with the names that the others have there."""
    selected = {}
    for folder, parts in lists.items():
        selected[folder] = {}
        for part, of_part in parts.items():
            kept = [k for k, name in enumerate(of_part.filenames) if name in names_on_disk]
            if not kept:
                raise ValueError(f"{folder}: part {part} has no video on this disk; expected at least one")
            names = [names_on_disk[of_part.filenames[k]] for k in kept]
            selected[folder][part] = DataLists(names, None, of_part.labels[kept])
    return selected


def differences(lists, others):
    """Names of the lists, such as 'ucf11/valid', in which the two differ."""
    return [
        f"{folder}/{part}"
        for folder in lists
        for part in PARTS
        if lists[folder][part].filenames != others[folder][part].filenames
        or not np.array_equal(lists[folder][part].labels, others[folder][part].labels)
    ]


def write_data_set_lists(out, data_set, lists, class_names):
    """Writes the folders of a data set's lists below `out`, completely or not at all.

    FileExistsError: the folder exists already; it is not overwritten.
    """
    target = Path(out, data_set)
    if target.exists():
        raise FileExistsError(f"{target}: is there already; remove it or choose another folder with --out")
    with new_folder(target, f"{target}.partial") as partial:
        for folder, parts in lists.items():
            split_folder = partial / Path(folder).relative_to(data_set)
            split_folder.mkdir(parents=True, exist_ok=True)
            write_class_names(split_folder, class_names)
            for part, of_part in parts.items():
                write_lists(split_folder, part, of_part.filenames, None, of_part.labels)
