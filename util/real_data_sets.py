"""UCF-11, HMDB-51 and Hollywood2 as they lie on a disk: finding their videos, comparing them with lists, making lists.

data_lists/README.md describes the parts and the rules by which they are cut; the functions here are these rules.
Videos are named by their path relative to the data set's root, with /, as in `<part>_filename.txt`.
"""

import os
import re
import shutil
from collections import Counter, defaultdict
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from tqdm import tqdm

from .data_lists import PARTS, DataLists, check_inside_root, group_of, text_lines, write_class_names, write_lists
from .video import EXTENSIONS, read_frames

DATA_SETS = ("ucf11", "hmdb51", "hollywood2")
HMDB51_SPLITS = (1, 2, 3)
LIST_FOLDERS = {  # below data_lists/
    "ucf11": ("ucf11",),
    "hmdb51": tuple(f"hmdb51/split{split}" for split in HMDB51_SPLITS),
    "hollywood2": ("hollywood2",),
}
HOLLYWOOD2_ACTIONS = (
    *("AnswerPhone", "DriveCar", "Eat", "FightPerson", "GetOutCar", "HandShake"),
    *("HugPerson", "Kiss", "Run", "SitDown", "SitUp", "StandUp"),
)

VALID_SHARE = 0.16  # of the training videos; of UCF-11's 975 that is a whole number
UCF11_TRAIN, UCF11_TEST = 975, 625  # the paper's; train holds valid
HMDB51_TRAIN, HMDB51_TEST = 70, 30  # of each class and split
HOLLYWOOD2_CLIPS = {"train": 823, "test": 884}

ARCHIVE_FOLDERS = {  # what the archives unpack to: given the folder above, say so
    "ucf11": ("UCF11_updated_mpg", "action_youtube_naudio"),
    "hmdb51": ("hmdb51_org",),
    "hollywood2": ("Hollywood2",),
}
HMDB51_SPLIT_FOLDER = "testTrainMulti_7030_splits"
HOLLYWOOD2_VIDEO_FOLDER, HOLLYWOOD2_SPLIT_FOLDER = "AVIClips", "ClipSets"
HOLLYWOOD2_OTHER_CLIPS = ("actionclipautoautotrain", "sceneclip")  # parts of the data set that nobody here uses
MAX_DEPTH = 4  # folders below a root; the sets have 3 at most, and links may run in circles


# ---- what is on the disk


def find_videos(data_set, root):
    """Sorted names of all videos below `root`; ValueError or FileNotFoundError where it is no root of this data set."""
    root = Path(root)
    if not root.is_dir():
        raise FileNotFoundError(f"{root}: no such folder; expected the root of {data_set}")
    for folder in ARCHIVE_FOLDERS[data_set]:
        if (root / folder).is_dir():
            raise ValueError(f"{root}: holds {folder}; give that as the root: --root {root / folder}")
    top = root
    if data_set == "hollywood2":  # AVIClips05, beside it, has the same clips at half the size
        top = root / HOLLYWOOD2_VIDEO_FOLDER
        if not top.is_dir():
            raise FileNotFoundError(
                f"{top}: no such folder; expected the root that holds {HOLLYWOOD2_VIDEO_FOLDER} "
                f"and {HOLLYWOOD2_SPLIT_FOLDER}"
            )
    names = [path.relative_to(root).as_posix() for path in _walk(top, MAX_DEPTH)]
    if data_set == "hollywood2":
        names = [name for name in names if not PurePosixPath(name).name.startswith(HOLLYWOOD2_OTHER_CLIPS)]
    if not names:
        raise ValueError(f"{top}: has no videos; expected names that end in {', '.join(EXTENSIONS)}")
    return sorted(names)


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
    """Lists against a disk."""

    found: dict[str, str]  # listed name -> name on the disk, another one where the video is renamed
    missing: list[str]  # listed, not on the disk
    extra: list[str]  # on the disk, not listed
    unreadable: dict[str, str]  # listed name -> what is wrong

    @property
    def renamed(self):
        return {listed: name for listed, name in self.found.items() if name != listed}

    @property
    def disagreements(self):
        """In words, such as '2 missing, 1 unreadable'; empty where lists and disk agree but for names."""
        kinds = {"missing": self.missing, "extra": self.extra, "unreadable": self.unreadable}
        return ", ".join(f"{len(names)} {kind}" for kind, names in kinds.items() if names)

    def report(self, examples=3):
        """Text: how many videos are missing, extra, renamed, unreadable, and the first few of each."""
        lines = [f"{len(self.found) + len(self.missing)} videos listed, {len(self.found)} of them on this disk"]
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
    """Compares names that lists name with those that `find_videos` found below `root`.

    A video is renamed where only its folder, its ending or the case of letters is another. unused: names which the
    official files leave out, so that they are not extra. open_videos: decode the first frame of each, too.
    """
    listed, on_disk = sorted(listed), sorted(on_disk)
    present, known = set(on_disk), set(listed)
    others = {}
    for name in on_disk:
        if name not in known:
            others.setdefault(_stem(name), name)
    found = {}
    for name in listed:
        other = name if name in present else others.pop(_stem(name), None)
        if other is not None:
            found[name] = other
    taken, unused = set(found.values()), {_stem(name) for name in unused}
    extra = [name for name in on_disk if name not in taken and _stem(name) not in unused]
    progress = tqdm(found.items(), "opening", unit=" videos", disable=not open_videos)
    unreadable = {name: why for name, other in progress if (why := _what_is_wrong(Path(root, other), open_videos))}
    return Comparison(found, [name for name in listed if name not in found], extra, unreadable)


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


# ---- official files


def read_official(data_set, root, folder=None):
    """What the official files say, for `build_lists`; None for UCF-11, which has none.

    HMDB-51: {(split, class): {name: 0 unused, 1 train, 2 test}}. Hollywood2: {"train", "test": {name: row of 0 and 1}}.
    folder: where they are; where None, the usual places are looked at.
    ValueError or FileNotFoundError names the file and line.
    """
    root = Path(root)
    if data_set == "ucf11":
        if folder is not None:
            raise ValueError("UCF-11 has no official split; leave --official away")
        return None
    pattern, places = {
        "hmdb51": ("*_test_split?.txt", (root / HMDB51_SPLIT_FOLDER, root, root.parent / HMDB51_SPLIT_FOLDER)),
        "hollywood2": ("*_train.txt", (root / HOLLYWOOD2_SPLIT_FOLDER,)),
    }[data_set]
    places = places if folder is None else (Path(folder),)
    folder = next((place for place in places if any(place.glob(pattern))), None)
    if folder is None:
        raise FileNotFoundError(
            f"{places[0]}: no official split files ({pattern}) here; give the folder that has them with --official"
        )
    return _read_hmdb51_splits(folder) if data_set == "hmdb51" else _read_hollywood2_clip_sets(folder)


def unused_names(data_set, official):
    """Names which the official files have but no list can: HMDB-51's clips that are unused in all three splits."""
    if data_set != "hmdb51":
        return set()
    used = {name for tags in official.values() for name, tag in tags.items() if tag}
    return {name for tags in official.values() for name in tags} - used


def _read_hmdb51_splits(folder):
    files = {path.name: path for path in folder.glob("*_test_split?.txt")}
    classes = sorted({re.sub(r"_test_split.\.txt", "", name) for name in files})
    official = {}
    for split in HMDB51_SPLITS:
        for action in classes:
            path = folder / f"{action}_test_split{split}.txt"
            tags = {
                f"{action}/{clip}": tag
                for clip, tag in _read_official_file(path, ("0", "1", "2"), "a clip's name and 0, 1 or 2").items()
            }
            train, test = (list(tags.values()).count(tag) for tag in (1, 2))
            if (train, test) != (HMDB51_TRAIN, HMDB51_TEST):
                raise ValueError(
                    f"{path}: names {train} training and {test} test clips; "
                    f"expected {HMDB51_TRAIN} and {HMDB51_TEST}; get the file again"
                )
            official[split, action] = tags
    return official


def _read_hollywood2_clip_sets(folder):
    rows = {}
    for part, n_clips in HOLLYWOOD2_CLIPS.items():
        rows[part] = defaultdict(list)
        for action in HOLLYWOOD2_ACTIONS:
            path = folder / f"{action}_{part}.txt"
            holds = _read_official_file(path, ("1", "-1"), "a clip's name and 1 or -1")
            if len(holds) != n_clips:
                raise ValueError(f"{path}: names {len(holds)} clips; expected {n_clips}; get the file again")
            for clip, value in holds.items():
                name = f"{HOLLYWOOD2_VIDEO_FOLDER}/{clip}.avi"
                if part == "test" and name in rows["train"]:
                    raise ValueError(f"{path}: {clip} is a training clip too; get the files again")
                rows[part][name].append(int(value == 1))
        for name, row in rows[part].items():
            if len(row) != len(HOLLYWOOD2_ACTIONS):
                raise ValueError(
                    f"{folder}: {PurePosixPath(name).stem} is in {len(row)} of the {len(HOLLYWOOD2_ACTIONS)} files "
                    f"<Action>_{part}.txt; expected it in each; get the files again"
                )
    return rows


def _read_official_file(path, values, expected):
    """{clip: value} of a file with lines of a clip's name, white space and a value."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file, though the official files beside it are there; get it again")
    clips = {}
    for k, line in enumerate(text_lines(path)):
        words = line.rsplit(maxsplit=1)
        if not words:
            continue
        place = f"{path}, line {k + 1}"
        if len(words) != 2 or words[1] not in values:
            raise ValueError(f"{place}: {line!r}; expected {expected}")
        clip = words[0].strip()
        check_inside_root(place, clip)
        if clip in clips:
            raise ValueError(f"{place}: {clip!r} stands there twice; get the file again")
        clips[clip] = int(words[1])
    return clips


# ---- the rules


def build_lists(data_set, names, official=None):
    """{folder below data_lists/: {part: DataLists}}, and the classes' names in order.

    names: the videos there are. official: as of `read_official`.
    """
    if data_set == "ucf11":
        return _build_ucf11(names)
    wanted = official.values() if data_set == "hollywood2" else [_used(tags) for tags in official.values()]
    lacking = sorted({name for part in wanted for name in part} - set(names))
    if data_set == "hmdb51":
        classes = {name.split("/")[0] for name in names} - {action for _, action in official}
        if classes:
            raise ValueError(f"there are no official split files of {', '.join(sorted(classes))}; get them again")
    if lacking:
        raise ValueError(f"the official files name {len(lacking)} videos that are not there, the first {lacking[0]}")
    return _build_hmdb51(official) if data_set == "hmdb51" else _build_hollywood2(official)


def _build_ucf11(names):
    """Test: the first groups of each class. Valid: the first of the others. How many: `_first_groups`."""
    groups = defaultdict(lambda: defaultdict(list))
    for name in sorted(names):
        if name.count("/") != 2:
            raise ValueError(f"{name}: expected a video of UCF-11 as class/group/video")
        action, group, _ = name.split("/")
        groups[action][group].append(name)
    if len(names) != UCF11_TRAIN + UCF11_TEST:
        raise ValueError(f"there are {len(names)} videos; expected UCF-11's {UCF11_TRAIN + UCF11_TEST}")
    class_names = sorted(groups)
    remaining = [[groups[action][group] for group in sorted(groups[action])] for action in class_names]
    parts = {}
    for part, n_videos in (("test", UCF11_TEST), ("valid", round(VALID_SHARE * UCF11_TRAIN))):
        firsts = _first_groups([[len(group) for group in of_class] for of_class in remaining], n_videos)
        parts[part] = [of_class[:n] for of_class, n in zip(remaining, firsts, strict=True)]
        remaining = [of_class[n:] for of_class, n in zip(remaining, firsts, strict=True)]
    parts["train"] = remaining
    return {
        "ucf11": {
            part: _single_label({name: k for k, of_class in enumerate(parts[part]) for g in of_class for name in g})
            for part in PARTS
        }
    }, class_names


def _first_groups(sizes, total):
    """How many of its first groups each class gives, at least one and not all, so that they have `total` videos.

    sizes: for each class its groups' numbers of videos, in order. Of all ways to reach the total exactly, the one in
    which the classes' shares of videos are nearest to the common one (sum of squared differences); of equals, the one
    that takes fewer groups of the first class in which they differ. Found by dynamic programming over the classes.
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


def _build_hmdb51(official):
    """Train and test as the official files say. Valid: training clips of whole source videos, by `_valid_sources`."""
    class_names = sorted({action for _, action in official})
    numbers = {action: k for k, action in enumerate(class_names)}
    lists = {}
    for split in HMDB51_SPLITS:
        tags = {name: tag for action in class_names for name, tag in sorted(official[split, action].items())}
        training = [name for name, tag in tags.items() if tag == 1]
        valid = _valid_sources(training, round(VALID_SHARE * HMDB51_TRAIN))
        parts = {
            "train": [name for name in training if group_of(name) not in valid],
            "valid": [name for name in training if group_of(name) in valid],
            "test": [name for name, tag in tags.items() if tag == 2],
        }
        lists[f"hmdb51/split{split}"] = {
            part: _single_label({name: numbers[name.split("/")[0]] for name in parts[part]}) for part in PARTS
        }
    return lists, class_names


def _valid_sources(training, most):
    """Source videos whose clips become valid: taken in turn where no class then has more than `most` clips.

    First those that show most classes, which are hard to fit in later; of equals, in order of their names.
    """
    clips = defaultdict(Counter)  # source -> class -> clips
    for name in training:
        clips[group_of(name)][name.split("/")[0]] += 1
    taken, valid = Counter(), set()
    for source in sorted(clips, key=lambda source: (-len(clips[source]), source)):
        if all(taken[action] + n <= most for action, n in clips[source].items()):
            taken.update(clips[source])
            valid.add(source)
    return valid


def _build_hollywood2(official):
    """Train and test as the official files say. Valid: consecutive training clips, as neighbours are often of one film.

    Of all places for such a block, the first in which the share of each action's clips is nearest to the block's own
    (sum of squared differences).
    """
    parts = {part: dict(sorted(rows.items())) for part, rows in official.items()}
    names, rows = list(parts["train"]), np.array(list(parts["train"].values()))
    n = round(VALID_SHARE * len(names))
    counts = np.lib.stride_tricks.sliding_window_view(rows, n, axis=0).sum(axis=-1)  # (places, C)
    start = int(((counts / rows.sum(axis=0) - VALID_SHARE) ** 2).sum(axis=1).argmin())
    parts["valid"] = {name: parts["train"].pop(name) for name in names[start : start + n]}
    lists = {part: DataLists(list(parts[part]), None, np.array(list(parts[part].values()))) for part in PARTS}
    return {"hollywood2": lists}, list(HOLLYWOOD2_ACTIONS)


def _used(tags):
    return [name for name, tag in tags.items() if tag]


def _single_label(labels):
    return DataLists(list(labels), None, np.array(list(labels.values())))


# ---- lists as a whole


def select_videos(lists, names_on_disk):
    """The same lists of the videos that are keys of `names_on_disk` only, each under the name it has there."""
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
    """Writes the folders of a data set's lists below `out`, whole or not at all.

    FileExistsError: there is one already; nothing is written over.
    """
    target, partial = Path(out, data_set), Path(out, f"{data_set}.partial")
    if target.exists():
        raise FileExistsError(f"{target}: is there already; remove it or choose another folder with --out")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        for folder, parts in lists.items():
            inside = partial / Path(folder).relative_to(data_set)
            inside.mkdir(parents=True)
            write_class_names(inside, class_names)
            for part, of_part in parts.items():
                write_lists(inside, part, of_part.filenames, None, of_part.labels)
        os.rename(partial, target)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
