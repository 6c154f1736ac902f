"""data_lists/, the rules that build it, and the script that compares it with a disk, on stand-ins of the data sets."""

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from stand_ins import TREES, committed_lists, listed_names, make_tree

from visual_attention.commands import exit_status, make_data_lists
from visual_attention.util import lists_on_disk
from visual_attention.util.data_lists import PARTS, read_part, read_video_lists
from visual_attention.util.data_sets import DATA_SETS, ucf11
from visual_attention.util.folds import group_of
from visual_attention.util.lists_on_disk import DATA_LISTS, build_lists, read_official

SCRIPT = Path(__file__).parents[1] / "scripts" / "make_data_lists.py"
FOLDERS = [folder for name in TREES for folder in DATA_SETS[name].list_folders]
SPLITS = DATA_SETS["hmdb51"].list_folders


def counts(folder, part):
    """Number of videos per class; for Hollywood2, of clips with each action."""
    labels = committed_lists(folder.split("/")[0])[folder][part].labels
    return labels.sum(axis=0) if labels.ndim == 2 else np.bincount(labels)


def names(folder, part):
    return committed_lists(folder.split("/")[0])[folder][part].filenames


# ---- the committed lists


@pytest.mark.parametrize(
    "folder, train, valid, test, n_classes",
    [
        ("ucf11", 819, 156, 625, 11),
        ("hmdb51/split1", 3018, 552, 1530, 51),
        ("hmdb51/split2", 3010, 560, 1530, 51),
        ("hmdb51/split3", 3011, 559, 1530, 51),
        ("hollywood2", 691, 132, 884, 12),
    ],
)
def test_sizes_of_the_committed_lists(folder, train, valid, test, n_classes):
    """Sizes as in the paper: 975 / 625, 3570 / 1530, 823 / 884. read_video_lists refuses overlapping parts."""
    parts, class_names = read_video_lists(DATA_LISTS / folder)
    assert [len(parts[part].filenames) for part in PARTS] == [train, valid, test]
    assert train + valid == {"ucf11": 975, "hollywood2": 823}.get(folder, 3570)
    assert len(class_names) == n_classes and class_names == sorted(class_names)
    for part in PARTS:
        assert len(counts(folder, part)) == n_classes and counts(folder, part).min() >= 1
        assert parts[part].frame_numbers is None and parts[part].multilabel == (folder == "hollywood2")


@pytest.mark.parametrize("folder", ["ucf11", *SPLITS])
def test_labels_are_the_classes_of_the_folders(folder):
    parts, class_names = read_video_lists(DATA_LISTS / folder)
    for part in parts.values():
        assert [class_names[label] for label in part.labels] == [name.split("/")[0] for name in part.filenames]


def test_ucf11_groups_are_in_one_part():
    groups = {part: {tuple(name.split("/")[:2]) for name in names("ucf11", part)} for part in PARTS}
    assert sum(map(len, groups.values())) == len(set.union(*groups.values())) == 11 * 25
    shares = counts("ucf11", "test") / sum(counts("ucf11", part) for part in PARTS)
    assert abs(shares - 625 / 1600).max() < 0.03


@pytest.mark.parametrize("folder", SPLITS)
def test_hmdb51_has_70_and_30_per_class_and_sources_in_one_part(folder):
    assert set(counts(folder, "train") + counts(folder, "valid")) == {70}
    assert set(counts(folder, "test")) == {30}
    assert counts(folder, "valid").min() >= 6 and counts(folder, "valid").max() == 11
    train, valid = ({group_of(name) for name in names(folder, part)} for part in ("train", "valid"))
    assert not train & valid


def test_hmdb51_source_of_a_clip():
    source = group_of("catch/Goalkeeper_Training_Day_#_2_catch_f_cm_np1_ba_bad_3.avi")
    assert source == group_of("catch/Goalkeeper_Training_Day_#_2_catch_f_nm_np2_le_med_11.avi")
    assert source == "goalkeeper_training_day_#_2"
    assert group_of("walk/other.avi") == "walk/other.avi"


def test_hollywood2_valid_is_one_block_with_every_action():
    numbers = [int(re.fullmatch(r"AVIClips/actioncliptrain(\d{5})\.avi", n)[1]) for n in names("hollywood2", "valid")]
    assert numbers == list(range(numbers[0], numbers[0] + 132))
    shares = counts("hollywood2", "valid") / (counts("hollywood2", "train") + counts("hollywood2", "valid"))
    assert shares.min() > 0.09 and shares.max() < 0.25
    assert names("hollywood2", "test") == [f"AVIClips/actioncliptest{n:05d}.avi" for n in range(1, 885)]


def test_names_with_odd_characters_are_kept():
    clips = " ".join(name for folder in SPLITS for part in PARTS for name in names(folder, part))
    assert all(character in clips for character in "[];#&!()+-")


def test_readme_has_the_counts():
    """Every class row in the tables of data_lists/README.md, and the totals."""
    rows = {}
    for line in (DATA_LISTS / "README.md").read_text(encoding="utf-8").splitlines():
        if line.startswith("| "):
            first, *rest = [cell.strip() for cell in line.strip("|").split("|")]
            rows[first] = rest
    for folder in ("ucf11", "hollywood2"):
        for k, name in enumerate(read_video_lists(DATA_LISTS / folder)[1]):
            assert rows[name][:3] == [str(counts(folder, part)[k]) for part in PARTS], name
    for folder in FOLDERS:
        assert rows[f"`{folder}`"][:3] == [str(len(names(folder, part))) for part in PARTS], folder
    for number, folder in enumerate(SPLITS, 1):
        classes = read_video_lists(DATA_LISTS / folder)[1]
        few = [f"{name} {n}" for name, n in zip(classes, counts(folder, "valid"), strict=True) if n != 11]
        sources = [str(len({group_of(name) for name in names(folder, part)})) for part in ("valid", "train")]
        assert rows[str(number)] == [", ".join(few), *sources]


# ---- the rules


def test_first_groups_reach_the_total_with_the_nearest_shares():
    """Compared with all possible choices."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        sizes = [list(map(int, rng.integers(1, 6, size=4))) for _ in range(3)]
        share = 0.4
        total = round(share * sum(map(sum, sizes)))
        share = total / sum(map(sum, sizes))
        costs = {}
        for ns in np.ndindex(3, 3, 3):
            videos = [sum(groups[: n + 1]) for groups, n in zip(sizes, ns, strict=True)]
            if sum(videos) == total:
                cost = sum((v / sum(groups) - share) ** 2 for v, groups in zip(videos, sizes, strict=True))
                costs[tuple(n + 1 for n in ns)] = cost
        if not costs:
            with pytest.raises(ValueError, match=f"no choice of first groups has {total} videos"):
                ucf11._first_groups(sizes, total)
        else:
            chosen = ucf11._first_groups(sizes, total)
            assert costs[chosen] == pytest.approx(min(costs.values()))


def test_ucf11_rule_needs_all_videos():
    all_but_one = listed_names("ucf11")[1:]
    with pytest.raises(ValueError, match="^there are 1599 videos; expected UCF-11's 1600$"):
        build_lists("ucf11", all_but_one)
    with pytest.raises(ValueError, match="^v.mpg: expected a video of UCF-11 as class/group/video$"):
        build_lists("ucf11", ["v.mpg"])


# ---- the script


@pytest.fixture
def run(capsys):
    """Runs the script in this process; returns (exit status, output, error line)."""

    def call(data_set, root, **options):
        try:
            exit_status.run(make_data_lists.main, make_data_lists.Options(data_set, root, **options))
            status, error = 0, None
        except SystemExit as stop:
            status, error = (1, stop.code) if isinstance(stop.code, str) else (stop.code, None)
        return status, capsys.readouterr().out, error

    return call


def text_files(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.txt")}


AGREEMENT = "missing: 0\nextra: 0\nrenamed: 0\nunreadable: 0\nmade again: same as data_lists\n"


@pytest.mark.parametrize("data_set", TREES)
def test_whole_data_set_gives_the_committed_lists(tmp_path, run, data_set):
    n = len(listed_names(data_set))
    root, out = make_tree(data_set, tmp_path / "root"), tmp_path / "out"
    assert run(data_set, root, out=out) == (
        0,
        f"{n} videos listed, {n} of them on this disk\n{AGREEMENT}written to {out}\n",
        None,
    )
    assert text_files(out / data_set) == text_files(DATA_LISTS / data_set)
    assert sorted(path.name for path in out.iterdir()) == [data_set]


def test_command_line(tmp_path):
    """Run as a command: exit status 0, or 1 with a one-line error. By default nothing is written."""
    root = make_tree("hollywood2", tmp_path / "root")
    before = sorted(tmp_path.rglob("*"))
    command = [sys.executable, SCRIPT, "hollywood2", "--root", root]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "") and done.stdout.endswith(AGREEMENT)
    assert sorted(tmp_path.rglob("*")) == before
    (root / "AVIClips" / "actioncliptest00007.avi").unlink()
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert "missing: 1\n    AVIClips/actioncliptest00007.avi\n" in done.stdout
    assert done.stderr == "error: lists and disk do not agree: 1 missing; no lists made\n"


def test_missing_extra_and_unreadable(tmp_path, run):
    root = make_tree("ucf11", tmp_path / "root")
    for name in ("01_01", "01_02", "01_03", "01_04", "02_01"):
        (root / "walking" / f"v_walk_dog_{name[:2]}" / f"v_walk_dog_{name}.mpg").unlink()
    (root / "biking" / "mine.mp4").write_bytes(b"x")
    (root / "biking" / "v_biking_01" / "v_biking_01_02.mpg").write_bytes(b"")
    (root / "biking" / "v_biking_01" / "v_biking_01_03.mpg").unlink()
    (root / "biking" / "v_biking_01" / "v_biking_01_03.mpg").symlink_to(tmp_path / "gone.mpg")
    status, out, error = run("ucf11", root, out=tmp_path / "out")
    assert (status, error) == (
        1,
        "error: lists and disk do not agree: 5 missing, 1 extra, 2 unreadable; no lists made",
    )
    assert out == (
        "1600 videos listed, 1595 of them on this disk\n"
        "missing: 5\n"
        "    walking/v_walk_dog_01/v_walk_dog_01_01.mpg\n"
        "    walking/v_walk_dog_01/v_walk_dog_01_02.mpg\n"
        "    walking/v_walk_dog_01/v_walk_dog_01_03.mpg\n"
        "    and 2 more\n"
        "extra: 1\n    biking/mine.mp4\n"
        "renamed: 0\n"
        "unreadable: 2\n"
        "    biking/v_biking_01/v_biking_01_02.mpg: is empty (0 bytes)\n"
        "    biking/v_biking_01/v_biking_01_03.mpg: No such file or directory\n"
    )
    assert not (tmp_path / "out").exists()


def test_video_without_permission_to_read(tmp_path, run, monkeypatch):
    root = make_tree("ucf11", tmp_path / "root")
    locked = root / "biking" / "v_biking_01" / "v_biking_01_02.mpg"
    locked.chmod(0)
    original = Path.open

    def refuse(path, *args, **kwargs):  # root may read everything, so the mode alone does not test this
        if path == locked:
            raise PermissionError(13, "Permission denied", str(path))
        return original(path, *args, **kwargs)

    monkeypatch.setattr(Path, "open", refuse)
    status, out, error = run("ucf11", root)
    assert status == 1 and "1 unreadable" in error
    assert "unreadable: 1\n    biking/v_biking_01/v_biking_01_02.mpg: Permission denied\n" in out


def test_older_archive_of_ucf11(tmp_path, run):
    """action_youtube_naudio has the same names, but with .avi."""
    root = make_tree("ucf11", tmp_path / "action_youtube_naudio")
    for path in root.glob("*/v_*/v_*.mpg"):
        path.rename(path.with_suffix(".avi"))
    status, out, error = run("ucf11", root)
    assert status == 1 and "missing: 0\nextra: 0\nrenamed: 1600\n" in out
    first = "basketball/v_shooting_01/v_shooting_01_01"
    assert f"    {first}.mpg is {first}.avi\n" in out and "    and 1597 more\n" in out
    disagreement = "lists and disk do not agree: 1600 renamed"
    assert error == f"error: {disagreement}; --out DIR writes lists with the names that the videos have here"
    status, out, error = run("ucf11", root, out=tmp_path / "out")
    assert (status, error) == (0, None)
    committed = text_files(DATA_LISTS / "ucf11")
    assert text_files(tmp_path / "out" / "ucf11") == {
        name: text.replace(b".mpg", b".avi") if name.endswith("filename.txt") else text
        for name, text in committed.items()
    }


def test_changed_case_and_folder_count_as_renamed(tmp_path, run):
    root = make_tree("hmdb51", tmp_path / "root")
    clip = "Brushing_Her_Hair__[_NEW_AUDIO_]_UPDATED!!!!_brush_hair_h_cm_np1_fr_goo_0.avi"
    (root / "brush_hair" / clip).rename(root / "brush_hair" / clip.upper())
    (root / "wave").rename(root / "Wave")
    status, out, error = run("hmdb51", root, out=tmp_path / "out")
    n = 1 + sum(name.startswith("wave/") for name in listed_names("hmdb51"))
    assert (status, error) == (0, None) and f"missing: 0\nextra: 0\nrenamed: {n}\n" in out
    parts, class_names = read_video_lists(tmp_path / "out" / "hmdb51" / "split1")
    assert class_names[-1] == "wave"
    by_name = {name: label for part in parts.values() for name, label in zip(part.filenames, part.labels, strict=True)}
    assert by_name[f"brush_hair/{clip.upper()}"] == 0
    assert sum(label == 50 for label in by_name.values()) == 100
    assert all(name.startswith("Wave/") for name, label in by_name.items() if label == 50)


def test_present_only(tmp_path, run):
    """An incomplete copy without official files gets the committed parts, without the missing videos."""
    root = tmp_path / "root"
    chosen = [part.filenames[k] for part in committed_lists("hollywood2")["hollywood2"].values() for k in (3, 5)]
    for name in chosen:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    (root / "AVIClips" / "actioncliptest00001.avi").write_bytes(b"")
    status, out, error = run("hollywood2", root, out=tmp_path / "out", present_only=True)
    assert (status, error) == (0, None) and "missing: 1700\n" in out and "unreadable: 1\n" in out
    parts, class_names = read_video_lists(tmp_path / "out" / "hollywood2")
    assert [parts[part].filenames for part in PARTS] == [chosen[:2], chosen[2:4], chosen[4:]]
    committed = committed_lists("hollywood2")["hollywood2"]
    for part in PARTS:
        np.testing.assert_array_equal(parts[part].labels, committed[part].labels[[3, 5]])
    assert len(class_names) == 12
    (root / chosen[2]).unlink()
    (root / chosen[3]).unlink()
    status, _, error = run("hollywood2", root, out=tmp_path / "other", present_only=True)
    assert (status, error) == (1, "error: hollywood2: part valid has no video on this disk; expected at least one")
    assert not (tmp_path / "other").exists()
    assert run("hollywood2", root, present_only=True)[2].startswith("error: --present-only makes lists other than")


def test_nothing_is_overwritten(tmp_path, run):
    root = make_tree("hollywood2", tmp_path / "root")
    (tmp_path / "out" / "hollywood2").mkdir(parents=True)
    (tmp_path / "out" / "hollywood2" / "mine.txt").write_text("mine")
    status, out, error = run("hollywood2", root, out=tmp_path / "out")
    assert (status, out) == (1, "")
    assert error == f"error: {tmp_path}/out/hollywood2: is there already; choose another folder with --out"
    assert text_files(tmp_path / "out") == {"hollywood2/mine.txt": b"mine"}


def test_full_disk_leaves_nothing(tmp_path, run, monkeypatch):
    root, write = make_tree("hollywood2", tmp_path / "root"), lists_on_disk.write_lists

    def fill(folder, part, *columns):
        if part == "test":
            raise OSError(28, "No space left on device")
        write(folder, part, *columns)

    monkeypatch.setattr(lists_on_disk, "write_lists", fill)
    status, _, error = run("hollywood2", root, out=tmp_path / "out")
    assert (status, error) == (1, "error: [Errno 28] No space left on device")
    assert list((tmp_path / "out").iterdir()) == []


def test_rebuilt_lists_that_differ(tmp_path, run):
    """The official files differ from those behind data_lists/."""
    root = make_tree("hollywood2", tmp_path / "root")
    path = root / "ClipSets" / "Eat_test.txt"
    path.write_text(path.read_text().replace("actioncliptest00001  -1", "actioncliptest00001  1"))
    status, out, error = run("hollywood2", root)
    assert status == 1 and "made again: hollywood2/test differ from data_lists\n" in out
    assert error == f"error: hollywood2/test: not as in {DATA_LISTS}; see what is written with --out DIR"


GIVE = "give that as the root: --root {root}"


@pytest.mark.parametrize(
    "data_set, make, message",
    [
        ("ucf11", [], "{root}: no such folder; expected the root of ucf11"),
        ("ucf11", ["UCF11_updated_mpg/a.mpg"], "{root}: holds UCF11_updated_mpg; " + GIVE + "/UCF11_updated_mpg"),
        ("ucf11", ["basketball/Annotation/a.mpg"], "{root}: has no videos; expected names that end in .avi, .mpg,"),
        ("hmdb51", ["hmdb51_org/wave/a.avi"], "{root}: holds hmdb51_org; " + GIVE + "/hmdb51_org"),
        ("hollywood2", ["actioncliptest00001.avi"], "{root}/AVIClips: no such folder; expected the root that holds"),
        ("hollywood2", ["AVIClips/actionclipautoautotrain00001.avi"], "{root}/AVIClips: has no videos; expected names"),
    ],
)
def test_wrong_root(tmp_path, run, data_set, make, message):
    root = tmp_path / "root"
    for name in make:
        (root / name).parent.mkdir(parents=True)
        (root / name).write_bytes(b"x")
    status, _, error = run(data_set, root)
    assert status == 1 and error.startswith("error: " + message.format(root=root))


def test_cyclic_links_terminate(tmp_path):
    root = make_tree("ucf11", tmp_path / "root")
    (root / "all").symlink_to(root)
    videos = lists_on_disk.find_videos("ucf11", root)
    assert set(listed_names("ucf11")) < set(videos)


def test_open_detects_files_that_are_not_videos(tmp_path, run):
    pytest.importorskip("av", reason="PyAV is not installed: pip install .[extract]")
    from visual_attention.util.video import write_video

    root = tmp_path / "root"
    good, bad = "AVIClips/actioncliptrain00001.avi", "AVIClips/actioncliptest00001.avi"
    (root / "AVIClips").mkdir(parents=True)
    write_video(root / good, np.zeros((3, 32, 32, 3), np.uint8), 25)
    (root / bad).write_bytes((root / good).read_bytes()[:100])
    assert "unreadable: 0\n" in run("hollywood2", root)[1]
    assert f"unreadable: 1\n    {bad}: is not a video (" in run("hollywood2", root, open=True)[1]


# ---- official files


@pytest.fixture(scope="module")
def official(tmp_path_factory):
    """{data set: {file name: text}} of the official files of whole stand-ins."""
    texts = {}
    for data_set, folder in (("hmdb51", "testTrainMulti_7030_splits"), ("hollywood2", "ClipSets")):
        root = make_tree(data_set, tmp_path_factory.mktemp(data_set))
        texts[data_set] = {path.name: path.read_bytes() for path in (root / folder).iterdir()}
    return texts


def edit(name, old, new):
    old, new = (text.encode() if isinstance(text, str) else text for text in (old, new))

    def spoil(files):
        assert old in files[name]
        files[name] = files[name].replace(old, new, 1)

    return spoil


def drop(*names):
    def spoil(files):
        for name in names:
            del files[name]

    return spoil


WAVE, EAT = "wave_test_split2.txt", "Eat_train.txt"
CLIP, SECOND, OTHER = b"actioncliptrain00001  ", b"actioncliptrain00002  ", b"actioncliptrain00999  "
UNUSED = "unused_wave_u_cm_np1_fr_med_0.avi"
OUTSIDE = "leads out of the data set's root; expected a path relative to it"
NONE_HERE = "here; give the folder that has them with --official"


@pytest.mark.parametrize(
    "data_set, spoil, message",
    [
        (
            "hmdb51",
            drop(WAVE),
            "{dir}/wave_test_split2.txt: no such file, though the official files beside it are there",
        ),
        (
            "hmdb51",
            drop(*(f"wave_test_split{n}.txt" for n in (1, 2, 3))),
            "there are no official split files of wave; ",
        ),
        ("hmdb51", edit(WAVE, ".avi 2", ".avi 1"), "{wave}: names 71 training and 29 test clips; expected 70 and 30"),
        (
            "hmdb51",
            edit(WAVE, ".avi 0", ".avi 3"),
            "{wave}, line 1: '" + UNUSED + " 3 '; expected a clip's name and 0,",
        ),
        (
            "hmdb51",
            edit(WAVE, ".avi 0", ".avi"),
            "{wave}, line 1: '" + UNUSED + " '; expected a clip's name and 0, 1 or",
        ),
        ("hmdb51", edit(WAVE, UNUSED, "../" + UNUSED), "{wave}, line 1: '../" + UNUSED + "' " + OUTSIDE),
        ("hmdb51", edit(WAVE, UNUSED, "/" + UNUSED), "{wave}, line 1: '/" + UNUSED + "' " + OUTSIDE),
        ("hmdb51", dict.clear, "{dir}: no official split files (*_test_split?.txt) " + NONE_HERE),
        ("hollywood2", drop(EAT), "{eat}: no such file, though the official files beside it are there; get it again"),
        (
            "hollywood2",
            edit(EAT, CLIP, SECOND),
            "{eat}, line 2: 'actioncliptrain00002' stands there twice; get the file",
        ),
        ("hollywood2", edit(EAT, CLIP + b"-1\n", b""), "{eat}: names 822 clips; expected 823; get the file again"),
        (
            "hollywood2",
            edit(EAT, CLIP + b"-1", CLIP + b"0"),
            "{eat}, line 1: 'actioncliptrain00001  0'; expected a clip's",
        ),
        (
            "hollywood2",
            edit(EAT, CLIP, OTHER),
            "{dir}: actioncliptrain00001 is in 11 of the 12 files <Action>_train.txt;",
        ),
        (
            "hollywood2",
            edit("Eat_test.txt", "actioncliptest00001  ", CLIP),
            "{dir}/Eat_test.txt: actioncliptrain00001 is a",
        ),
        ("hollywood2", edit(EAT, CLIP, b"\xff"), "{eat}: is no text in UTF-8 (byte 0); get or write the file again"),
        ("hollywood2", dict.clear, "{dir}: no official split files (*_train.txt) " + NONE_HERE),
    ],
)
def test_bad_official_files(tmp_path, official, data_set, spoil, message):
    files = dict(official[data_set])
    spoil(files)
    for name, text in files.items():
        (tmp_path / name).write_bytes(text)
    with pytest.raises((ValueError, FileNotFoundError)) as error:
        build_lists(data_set, listed_names(data_set), read_official(data_set, tmp_path, tmp_path))
    assert str(error.value).startswith(message.format(dir=tmp_path, wave=tmp_path / WAVE, eat=tmp_path / EAT))


def test_locations_of_official_files(tmp_path, official):
    """In the root, in the archive's folder there or beside it, or where --official points."""
    splits, root = "testTrainMulti_7030_splits", tmp_path / "hmdb51_org"
    for folder, official_option in (
        (root, None),
        (root / splits, None),
        (tmp_path / splits, None),
        (tmp_path / "x", tmp_path / "x"),
    ):
        folder.mkdir(parents=True)
        for name, text in official["hmdb51"].items():
            (folder / name).write_bytes(text)
        tags = Counter(read_official("hmdb51", root, official_option)[2, "wave"].values())
        assert tags.items() >= {1: 70, 2: 30}.items()
        for name in official["hmdb51"]:
            (folder / name).unlink()


def test_report_comes_before_the_error_of_official_files(tmp_path, run):
    root = make_tree("hmdb51", tmp_path / "root")
    (root / "testTrainMulti_7030_splits" / WAVE).unlink()
    (root / "wave" / "winKen_wave_u_cm_np1_ri_bad_1.avi").unlink()
    status, out, error = run("hmdb51", root)
    assert status == 1 and "missing: 1\n    wave/winKen_wave_u_cm_np1_ri_bad_1.avi\n" in out
    assert error.startswith(f"error: {root}/testTrainMulti_7030_splits/{WAVE}: no such file")


def test_ucf11_has_no_official_split(tmp_path):
    with pytest.raises(ValueError, match="^UCF-11 has no official split; leave --official away$"):
        read_official("ucf11", tmp_path, tmp_path)


def test_official_clip_that_is_missing(official, tmp_path):
    for name, text in official["hollywood2"].items():
        (tmp_path / name).write_bytes(text)
    clip_sets = read_official("hollywood2", tmp_path, tmp_path)
    with pytest.raises(ValueError, match="^the official files name 1 videos that are not there, the first AVIClips/ac"):
        build_lists("hollywood2", listed_names("hollywood2")[1:], clip_sets)


# ---- reading lists


@pytest.fixture
def lists(tmp_path):
    """A small folder of correct lists."""
    texts = {
        "class_names": "a\nb\n",
        **{f"{part}_filename": f"a/{part} 1.avi\nb/{part};[2]#&!.avi\n" for part in PARTS},
        **{f"{part}_labels": "0\n1\n" for part in PARTS},
    }
    for name, text in texts.items():
        (tmp_path / f"{name}.txt").write_text(text)
    return tmp_path


@pytest.mark.parametrize("ending, final", [("\n", ""), ("\r\n", "\r\n"), ("\r\n", "")])
def test_line_endings_and_a_missing_final_newline(lists, ending, final):
    for path in lists.glob("*.txt"):
        path.write_bytes((ending.join(path.read_text().splitlines()) + final).encode())
    parts, class_names = read_video_lists(lists)
    assert class_names == ["a", "b"] and parts["valid"].labels.tolist() == [0, 1]
    assert parts["test"].filenames == ["a/test 1.avi", "b/test;[2]#&!.avi"]
    assert read_part(lists, "train").filenames == ["a/train 1.avi", "b/train;[2]#&!.avi"]


PLAIN = "is no plain path; expected the likes of folder/video.avi"


@pytest.mark.parametrize(
    "file, text, message",
    [
        ("valid_filename", "/etc/v.avi\nb/2.avi\n", "{path}, line 1: '/etc/v.avi' " + OUTSIDE),
        ("valid_filename", "a/1.avi\na/../../v.avi\n", "{path}, line 2: 'a/../../v.avi' " + OUTSIDE),
        ("valid_filename", "a/1.avi\n..\\v.avi\n", "{path}, line 2: '..\\\\v.avi' " + OUTSIDE),
        ("valid_filename", "a/1.avi\nC:\\v.avi\n", "{path}, line 2: 'C:\\\\v.avi' " + OUTSIDE),
        ("valid_filename", "a/1.avi\na\\v.avi\n", "{path}, line 2: 'a\\\\v.avi' " + PLAIN),
        ("valid_filename", "\na/1.avi\n", "{path}, line 1: is blank; expected the name of a video"),
        ("valid_filename", "a/1.avi\na//2.avi\n", "{path}, line 2: 'a//2.avi' " + PLAIN),
        ("valid_filename", "a/1.avi\na/1.avi\n", "{path}, line 2: 'a/1.avi' stands on line 1 already; remove one"),
        (
            "test_filename",
            "a/train 1.avi\nb/2.avi\n",
            "{path}, line 1: 'a/train 1.avi' is in {dir}/train_filename.txt, line 1 too; "
            "a video belongs to one part only",
        ),
        (
            "test_filename",
            "a/1.avi\n",
            "{dir}/test_labels.txt: has 2 lines, but {path} has 1; expected one line per video",
        ),
        (
            "test_labels",
            "0\n2\n",
            "{path}, line 2: label 2 is out of range; expected 0 to 1; correct it, or name the class in "
            "class_names.txt",
        ),
        ("train_filename", None, "{path}: no such list"),
        ("class_names", None, "{path}: no such file; expected a folder of lists such as data_lists/ucf11, with class_"),
    ],
)
def test_bad_lists(lists, file, text, message):
    path = lists / f"{file}.txt"
    path.unlink() if text is None else path.write_text(text)
    with pytest.raises((ValueError, FileNotFoundError)) as error:
        read_video_lists(lists)
    assert str(error.value).startswith(message.format(path=path, dir=lists))
