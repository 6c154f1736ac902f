"""Trees with the layout, names and pitfalls of UCF-11, HMDB-51 and Hollywood2, which are too large for tests.

Every video named in data_lists/ exists as a file of one byte.
"""

from functools import cache
from pathlib import Path

from visual_attention.util.data_lists import read_video_lists
from visual_attention.util.data_sets import DATA_SETS, hmdb51, hollywood2
from visual_attention.util.lists_on_disk import DATA_LISTS


@cache
def committed_lists(data_set):
    """{folder: {part: DataLists}} of data_lists/."""
    return {folder: read_video_lists(DATA_LISTS / folder)[0] for folder in DATA_SETS[data_set].list_folders}


@cache
def listed_names(data_set):
    lists = committed_lists(data_set).values()
    return sorted({name for parts in lists for part in parts.values() for name in part.filenames})


def make_tree(data_set, root):
    """Creates a whole data set with its official split files in `root`, laid out as in the archives; returns `root`."""
    _touch(root, listed_names(data_set))
    TREES[data_set](root)
    return root


def _touch(root, names):
    for folder in {Path(root, name).parent for name in names}:
        folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        Path(root, name).write_bytes(b"x")


def _add_ucf11(root):
    """Adds annotation folders, one of which holds a video, and files that are not videos."""
    for action in sorted(root.iterdir()):
        (action / "Annotation").mkdir()
        (action / "Annotation" / f"{action.name}.xgtf").write_text("<viper/>")
    _touch(root, ["walking/Annotation/v_walk_dog_01_01.mpg", "walking/v_walk_dog_01/._v_walk_dog_01_01.mpg"])
    (root / "Thumbs.db").write_bytes(b"x")


def _add_hmdb51(root):
    """Adds split files: trailing blanks, Windows line endings, no final newline, and a clip that no split uses."""
    splits = root / "testTrainMulti_7030_splits"
    splits.mkdir()
    lists, names = committed_lists("hmdb51"), listed_names("hmdb51")
    for split in hmdb51.SPLITS:
        parts = lists[f"hmdb51/split{split}"]
        tags = {name: 2 if part == "test" else 1 for part in parts for name in parts[part].filenames}
        lines = {}
        for name in names:
            action, clip = name.split("/")
            lines.setdefault(action, [f"unused_{action}_u_cm_np1_fr_med_0.avi 0 "]).append(
                f"{clip} {tags.get(name, 0)} "
            )
        for k, (action, class_lines) in enumerate(lines.items()):
            ending = "\r\n" if k % 3 == 0 else "\n"
            text = ending.join(class_lines) + (ending if k % 2 else "")
            (splits / f"{action}_test_split{split}.txt").write_bytes(text.encode())
    _touch(root, [f"{action}/unused_{action}_u_cm_np1_fr_med_0.avi" for action in lines])


def _add_hollywood2(root):
    """Adds clips of subsets that are not used, half-size clips, and ClipSets with two blanks before 1 and -1."""
    unused = ["AVIClips/actionclipautoautotrain00001.avi", "AVIClips/sceneclipautoautotrain00001.avi"]
    _touch(root, [*unused, "AVIClips05/actioncliptrain00001.avi"])
    clip_sets = root / "ClipSets"
    clip_sets.mkdir()
    parts = committed_lists("hollywood2")["hollywood2"]
    for column, action in enumerate(hollywood2.ACTIONS):
        for part, members in (("train", ("train", "valid")), ("test", ("test",))):
            rows = {
                Path(n).stem: row for m in members for n, row in zip(parts[m].filenames, parts[m].labels, strict=True)
            }
            lines = [f"{clip}  {1 if row[column] else -1}" for clip, row in sorted(rows.items())]
            ending = "\r\n" if action == "Kiss" else "\n"
            text = ending.join(lines) + (ending if column % 2 else "")
            (clip_sets / f"{action}_{part}.txt").write_bytes(text.encode())
        (clip_sets / f"{action}_autotrain.txt").write_text("actionclipautoautotrain00001  1\n")


TREES = {"ucf11": _add_ucf11, "hmdb51": _add_hmdb51, "hollywood2": _add_hollywood2}
