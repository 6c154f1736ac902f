"""Trees with the layout, names and traps of UCF-11, HMDB-51 and Hollywood2, which themselves are too large for tests.

Every video that data_lists/ names is there, as a file of one byte.
"""

from functools import cache
from pathlib import Path

from visual_attention.util.data_lists import read_video_lists
from visual_attention.util.real_data_sets import HMDB51_SPLITS, HOLLYWOOD2_ACTIONS, LIST_FOLDERS

DATA_LISTS = Path(__file__).parents[1] / "data_lists"


@cache
def committed_lists(data_set):
    """{folder: {part: DataLists}} of data_lists/."""
    return {folder: read_video_lists(DATA_LISTS / folder)[0] for folder in LIST_FOLDERS[data_set]}


@cache
def listed_names(data_set):
    lists = committed_lists(data_set).values()
    return sorted({name for parts in lists for of_part in parts.values() for name in of_part.filenames})


def make_tree(data_set, root):
    """The whole data set below `root`, and its official split files where the archives put them. Returns `root`."""
    _touch(root, listed_names(data_set))
    {"ucf11": _add_ucf11, "hmdb51": _add_hmdb51, "hollywood2": _add_hollywood2}[data_set](root)
    return root


def _touch(root, names):
    for folder in {Path(root, name).parent for name in names}:
        folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        Path(root, name).write_bytes(b"x")


def _add_ucf11(root):
    """Annotation folders, here with a video in one, and files that are no videos."""
    for action in sorted(root.iterdir()):
        (action / "Annotation").mkdir()
        (action / "Annotation" / f"{action.name}.xgtf").write_text("<viper/>")
    _touch(root, ["walking/Annotation/v_walk_dog_01_01.mpg", "walking/v_walk_dog_01/._v_walk_dog_01_01.mpg"])
    (root / "Thumbs.db").write_bytes(b"x")


def _add_hmdb51(root):
    """Split files: a blank before the line's end, Windows line ends, no final newline, a clip no split uses."""
    splits = root / "testTrainMulti_7030_splits"
    splits.mkdir()
    lists, names = committed_lists("hmdb51"), listed_names("hmdb51")
    for split in HMDB51_SPLITS:
        parts = lists[f"hmdb51/split{split}"]
        tags = {name: 2 if part == "test" else 1 for part in parts for name in parts[part].filenames}
        lines = {}
        for name in names:
            action, clip = name.split("/")
            lines.setdefault(action, [f"unused_{action}_u_cm_np1_fr_med_0.avi 0 "]).append(
                f"{clip} {tags.get(name, 0)} "
            )
        for k, (action, of_class) in enumerate(lines.items()):
            ending = "\r\n" if k % 3 == 0 else "\n"
            text = ending.join(of_class) + (ending if k % 2 else "")
            (splits / f"{action}_test_split{split}.txt").write_bytes(text.encode())
    _touch(root, [f"{action}/unused_{action}_u_cm_np1_fr_med_0.avi" for action in lines])


def _add_hollywood2(root):
    """Clips of the sets that nobody uses here, clips at half the size, and ClipSets, two blanks before 1 and -1."""
    others = ["AVIClips/actionclipautoautotrain00001.avi", "AVIClips/sceneclipautoautotrain00001.avi"]
    _touch(root, [*others, "AVIClips05/actioncliptrain00001.avi"])
    clip_sets = root / "ClipSets"
    clip_sets.mkdir()
    parts = committed_lists("hollywood2")["hollywood2"]
    for column, action in enumerate(HOLLYWOOD2_ACTIONS):
        for part, members in (("train", ("train", "valid")), ("test", ("test",))):
            rows = {
                Path(n).stem: row for m in members for n, row in zip(parts[m].filenames, parts[m].labels, strict=True)
            }
            lines = [f"{clip}  {1 if row[column] else -1}" for clip, row in sorted(rows.items())]
            ending = "\r\n" if action == "Kiss" else "\n"
            text = ending.join(lines) + (ending if column % 2 else "")
            (clip_sets / f"{action}_{part}.txt").write_bytes(text.encode())
        (clip_sets / f"{action}_autotrain.txt").write_text("actionclipautoautotrain00001  1\n")
