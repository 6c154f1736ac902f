"""UCF-101, whose lists are made from its official files, on a tree with its layout, sizes and pitfalls."""

import re
import string
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from visual_attention.commands import exit_status, extract_features, make_data_lists
from visual_attention.util.data_lists import PARTS, read_video_lists
from visual_attention.util.data_sets import DATA_SETS, ucf101
from visual_attention.util.folds import folds_of_groups, group_of
from visual_attention.util.lists_on_disk import build_lists, read_official

# Pitfalls: files of a class that spell it differently; numbers that follow the alphabet without regard to case.
ODD = ["Hammering", "HammerThrow", "HandstandPushups", "JumpingJack", "JumpRope", "YoYo"]
CLASSES = ["Act" + a + b for a in string.ascii_lowercase[:5] for b in string.ascii_lowercase[:19]] + ODD
TEST_GROUPS = {1: range(1, 8), 2: range(8, 15), 3: range(15, 22)}  # of each class


def stem(action, group, clip):
    return f"v_{action.replace('HandstandP', 'HandStandP')}_g{group:02d}_c{clip:02d}"


@pytest.fixture(scope="module")
def names():
    """{(class, group): names of its videos}, as many as UCF-101 has in each split."""
    names = {}
    totals = [(groups, ucf101.SIZES[split][1]) for split, groups in TEST_GROUPS.items()]
    totals.append((range(22, 26), 13320 - sum(total for _, total in totals)))
    for groups, total in totals:
        cells = [(action, group) for action in CLASSES for group in groups]
        for k, (action, group) in enumerate(cells):
            n = total // len(cells) + (k < total % len(cells))
            names[action, group] = [f"{action}/{stem(action, group, clip + 1)}.avi" for clip in range(n)]
    return names


@pytest.fixture(scope="module")
def official(names):
    """{file name: text} of the official files; Windows line ends in one, no final newline in another."""
    files = {"classInd.txt": "".join(f"{k} {name}\n" for k, name in enumerate(CLASSES, 1))}
    for split, groups in TEST_GROUPS.items():
        lines = {"train": [], "test": []}
        for (action, group), videos in names.items():
            if group in groups:
                lines["test"] += videos
            else:
                lines["train"] += [f"{video} {CLASSES.index(action) + 1}" for video in videos]
        for part, of_part in lines.items():
            files[f"{part}list0{split}.txt"] = "\n".join(of_part) + "\n"
    files["trainlist02.txt"] = files["trainlist02.txt"].replace("\n", "\r\n")
    files["testlist03.txt"] = files["testlist03.txt"].rstrip()
    return files


def write(folder, files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_bytes(text.encode())
    return folder


@pytest.fixture(scope="module")
def tree(names, official, tmp_path_factory):
    """All videos, files of one byte, with the official files beside the root."""
    root = tmp_path_factory.mktemp("disk") / "UCF-101"
    for (action, _), videos in names.items():
        (root / action).mkdir(parents=True, exist_ok=True)
        for video in videos:
            (root / video).write_bytes(b"x")
    write(root.parent / "ucfTrainTestlist", official)
    return root


def lists(root, **options):
    """Exit status and error line of `visual-attention lists ucf101`."""
    try:
        exit_status.run(make_data_lists.main, make_data_lists.Options("ucf101", root, **options))
    except SystemExit as stop:
        return 1, stop.code
    return 0, None


def test_lists_of_a_whole_disk(tree, names, tmp_path, capsys):
    """Sizes of the three splits; validation videos are whole groups, and no group is in two parts."""
    assert lists(tree, out=tmp_path / "out") == (0, None)
    assert capsys.readouterr().out == (
        "13320 videos listed, 13320 of them on this disk\nmissing: 0\nextra: 0\nrenamed: 0\nunreadable: 0\n"
        f"made from the official files; data_lists has none to compare with\nwritten to {tmp_path / 'out'}\n"
    )
    sizes = {group_of(videos[0]): len(videos) for videos in names.values()}
    for split, (n_train, n_test) in {1: (9537, 3783), 2: (9586, 3734), 3: (9624, 3696)}.items():
        parts, class_names = read_video_lists(tmp_path / "out" / "ucf101" / f"split{split}")
        assert class_names == CLASSES and class_names != sorted(class_names)
        assert len(parts["train"].filenames) + len(parts["valid"].filenames) == n_train
        assert len(parts["test"].filenames) == n_test
        groups = {part: {group_of(name) for name in parts[part].filenames} for part in PARTS}
        assert len(set.union(*groups.values())) == sum(map(len, groups.values())) == 101 * 25
        for part, of_part in parts.items():
            folders = [name.split("/")[0] for name in of_part.filenames]
            assert [CLASSES[label] for label in of_part.labels] == folders and set(folders) == set(CLASSES)
            assert all(n == sizes[group] for group, n in Counter(map(group_of, of_part.filenames)).items()), part
        counts = {part: np.bincount(parts[part].labels) for part in ("train", "valid")}
        share = counts["valid"] / (counts["train"] + counts["valid"])
        assert share.max() < 0.165 and share.min() > 0.1


def test_a_copy_with_other_spelling_and_gaps(tree, tmp_path, capsys):
    """Folders spelled as the files are; a video less; official files named by an option."""
    root = tmp_path / "copy"
    root.mkdir()
    for folder in tree.iterdir():
        (root / folder.name.replace("HandstandP", "HandStandP")).symlink_to(folder)
    (root / "YoYo").unlink()
    official_folder = tree.parent / "ucfTrainTestlist"
    status, error = lists(root, official=official_folder, out=tmp_path / "out")
    n = len(list((tree / "YoYo").iterdir()))
    assert status == 1 and error == f"error: lists and disk do not agree: {n} missing; no lists made"
    renamed = len(list((tree / "HandstandPushups").iterdir()))
    assert f"renamed: {renamed}\n    HandstandPushups/v_HandStandPushups_g01_c01.avi is " in capsys.readouterr().out
    assert lists(root, official=official_folder, out=tmp_path / "out", present_only=True) == (0, None)
    parts, class_names = read_video_lists(tmp_path / "out" / "ucf101" / "split1")
    assert class_names == CLASSES
    label = dict(zip(parts["test"].filenames, parts["test"].labels, strict=True))
    assert label["HandStandPushups/v_HandStandPushups_g01_c01.avi"] == CLASSES.index("HandstandPushups")
    assert not any(name.startswith("YoYo/") for name in label)


def test_groups_stay_together_in_folds(tree, tmp_path):
    assert group_of("YoYo/v_YoYo_g01_c03.avi") == "yoyo_g01" == group_of("yoyo/v_yoyo_g01_c01.mp4")
    assert group_of("YoYo/other_g01_c03.avi") == "YoYo/other_g01_c03.avi"
    train = build_lists("ucf101", *_names_and_official(tree))[0]["ucf101/split1"]["train"]
    folds = folds_of_groups(train, 3)
    for group in ("yoyo_g20", "handstandpushups_g15"):
        assert len({fold for fold, name in zip(folds, train.filenames, strict=True) if group_of(name) == group}) == 1


def _names_and_official(root):
    official = read_official("ucf101", root)
    return DATA_SETS["ucf101"].files.official_names(official), official


def _edit(name, old, new):
    return lambda files: files | {name: files[name].replace(old, new, 1)}


FIRST = "Actaa/v_Actaa_g08_c01.avi"
EXPECTED = "expected the likes of Archery/v_Archery_g01_c01.avi, with a class of classInd.txt and its number there"


@pytest.mark.parametrize(
    "spoil, message",
    [
        (_edit("classInd.txt", "2 Actab", "3 Actab"), "{dir}/classInd.txt, line 2: '3 Actab'; expected 2 and the name"),
        (_edit("classInd.txt", "101 YoYo\n", ""), "{dir}/classInd.txt: names 100 classes; expected 101; get the file"),
        (lambda files: {k: v for k, v in files.items() if k != "classInd.txt"}, "{dir}/classInd.txt: no such file"),
        (lambda files: {k: v for k, v in files.items() if k != "testlist02.txt"}, "{dir}/testlist02.txt: no such file"),
        (_edit("trainlist01.txt", FIRST + " 1\n", ""), "{dir}/trainlist01.txt: names 9536 videos; expected 9537; get"),
        (_edit("trainlist01.txt", FIRST + " 1", FIRST + " 2"), "{dir}/trainlist01.txt: '" + FIRST + " 2'; " + EXPECTED),
        (_edit("trainlist01.txt", FIRST + " 1", FIRST), "{dir}/trainlist01.txt, line 1: '" + FIRST + "'; expected cl"),
        (_edit("trainlist01.txt", "Actaa/", "Actzz/"), "{dir}/trainlist01.txt: 'Actzz/v_Actaa_g08_c01.avi 1'; exp"),
        (_edit("trainlist01.txt", "g08_c01", "g8_c1"), "{dir}/trainlist01.txt: 'Actaa/v_Actaa_g8_c1.avi 1'; expected"),
        (_edit("trainlist01.txt", "Actaa/", "../Actaa/"), "{dir}/trainlist01.txt, line 1: '../Actaa/v_Actaa"),
        (_edit("testlist01.txt", "_g01_c01.avi", "_g01_c01.avi 1"), "{dir}/testlist01.txt, line 1: 'Actaa/v_Actaa_g01"),
        (_edit("testlist01.txt", "_g01_c01", "_g08_c99"), "{dir}/testlist01.txt: 'Actaa/v_Actaa_g08_c99.avi' is of"),
        (_edit("testlist01.txt", "_g01_c01", "_g01_c02"), "{dir}/testlist01.txt, line 2: 'Actaa/v_Actaa_g01_c02.avi'"),
    ],
)  # fmt: skip
def test_bad_official_files(tmp_path, official, spoil, message):
    write(tmp_path, spoil(official))
    with pytest.raises((ValueError, FileNotFoundError), match="^" + re.escape(message.format(dir=tmp_path))):
        read_official("ucf101", tmp_path, tmp_path)


def test_lists_need_the_official_files(tmp_path):
    root = tmp_path / "root"
    write(root / "YoYo", {"v_YoYo_g01_c01.avi": "x"})
    status, error = lists(root)
    assert status == 1 and error.startswith(f"error: {root}/ucfTrainTestlist: no official split files (trainlist")
    wanted = extract_features.Options("efficientnet-lite0", videos=root, out=tmp_path / "out", lists=Path("ucf101"))
    with pytest.raises(FileNotFoundError, match="^data_lists has no lists of ucf101; make them from its"):
        extract_features.main(wanted)
