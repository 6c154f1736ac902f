"""Extraction as a job: lists, splits, broken videos, being killed anywhere, several processes, a cluster."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from stub_extractor import Stub, make_clip

from visual_attention.util import features, video
from visual_attention.util.data_lists import read_lists, write_class_names
from visual_attention.util.entries import Entry, entries_of_lists
from visual_attention.util.features import check_features, extract
from visual_attention.util.files import SUMS
from visual_attention.util.frame_table import FrameTable
from visual_attention.util.workers import only_process

pytest.importorskip("av", reason="PyAV is not installed: pip install .[extract]")

STUB = Stub("stub", 5)
CLIPS = {"run/a.mp4": 5, "run/b.mp4": 9, "sit/[c] ;#.mp4": 4, "sit/d.mp4": 7}  # frames
PARTS = {"train": ["sit/d.mp4", "run/b.mp4"], "valid": ["run/a.mp4"], "test": ["sit/[c] ;#.mp4"]}
SPLITS = {"split1": PARTS, "split2": {"train": ["run/a.mp4", "sit/[c] ;#.mp4"], "valid": ["sit/d.mp4"]}}
SPLITS["split2"]["test"] = ["run/b.mp4"]


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    for name, n in CLIPS.items():
        make_clip(folder / name, n, 30)
    return folder


@pytest.fixture
def videos(clips, tmp_path):
    return Path(shutil.copytree(clips, tmp_path / "videos"))


def write_part_lists(folder, parts, label=lambda name: int(name.startswith("sit"))):
    folder.mkdir(parents=True)
    for part, names in parts.items():
        (folder / f"{part}_filename.txt").write_text("".join(f"{name}\n" for name in names))
        (folder / f"{part}_labels.txt").write_text("".join(f"{label(name)}\n" for name in names))
    write_class_names(folder, ["run", "sit"])
    return folder


@pytest.fixture
def lists(tmp_path):
    return write_part_lists(tmp_path / "lists", PARTS)


@pytest.fixture
def splits(tmp_path):
    for name, parts in SPLITS.items():
        write_part_lists(tmp_path / "splits" / name, parts)
    return tmp_path / "splits"


def extract_lists(lists, videos, out, extractor=STUB, **settings):
    entries, class_names = entries_of_lists(lists, videos)
    settings = {"batch_size": 4, "workers": 1, "progress": False} | settings
    return extract(entries, out, videos, class_names, extractor, **settings)


def frames_of(table):
    """The frames' numbers that a table's cubes tell."""
    table = FrameTable(table)
    cubes = table.load()
    table.close()
    np.testing.assert_array_equal(cubes - cubes[:, :1, :1], np.broadcast_to(np.arange(49)[:, None] / 64, cubes.shape))
    return cubes[:, 0, 0].tolist()


def expected_frames(names):
    return [k for name in names for k in range(CLIPS[name])]


def everything(folder):
    """All datasets and texts of a folder, to compare; only the folder's own name may differ."""
    found = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and path.name != SUMS):
        name = path.relative_to(folder).as_posix()
        if path.suffix == ".h5":
            with h5py.File(path) as file:
                found[name] = file["features"][:].tobytes(), dict(file["features"].attrs)
        else:
            found[name] = path.read_text().replace(f'"name": "{folder.name}', '"name": "out')
    return found


def message(kind, function, *args, **kwargs):
    with pytest.raises(kind) as caught:
        function(*args, **kwargs)
    return str(caught.value)


# lists


def test_by_lists(videos, lists, tmp_path):
    out = tmp_path / "out"
    assert extract_lists(lists, videos, out)[0] == sum(CLIPS.values())
    for part, names in PARTS.items():
        own = read_lists(out, part)
        assert own.filenames == names and own.frame_numbers.tolist() == [CLIPS[name] for name in names]
        assert own.labels.tolist() == [int(name.startswith("sit")) for name in names]
        assert frames_of(out / f"{part}_features.h5") == expected_frames(names)
    numbers = {"train": (2, 16), "valid": (1, 5), "test": (1, 4)}
    assert check_features(out) == numbers and list(check_features(out)) == list(numbers)
    assert video.entry_frames(out, "sit/d.mp4").shape == (7, 224, 224, 3)


def test_several_labels(videos, tmp_path):
    lists = write_part_lists(tmp_path / "several", PARTS, lambda name: "1,1" if name == "run/b.mp4" else "0,1")
    extract_lists(lists, videos, tmp_path / "out")
    assert read_lists(tmp_path / "out", "train", 2).labels.tolist() == [[0, 1], [1, 1]]


def test_overlapping_splits_share_one_table(videos, splits, tmp_path, monkeypatch):
    reads = []
    monkeypatch.setattr(
        features, "read_frames", lambda path, *args: reads.append(path) or video.read_frames(path, *args)
    )
    extract_lists(splits, videos, tmp_path / "out", layout="released", dtype="float32")
    assert sorted(reads) == sorted(videos / name for name in CLIPS)  # each decoded once
    moved = tmp_path / "elsewhere" / "features"
    moved.parent.mkdir()
    (tmp_path / "out").rename(moved)
    monkeypatch.chdir("/")
    for split, parts in SPLITS.items():
        for part, names in parts.items():
            assert frames_of(moved / split / f"{part}_features.h5") == expected_frames(names)
            assert read_lists(moved / split, part).filenames == names
    table = FrameTable(moved / "split1" / "train_features.h5")
    assert (table.layout, table.depth, table.fps, table.dtype) == ("released", 5, 30, np.float32)
    table.close()
    assert (moved / "split1" / "train_features.h5").stat().st_size < 20_000  # it holds no features of its own
    assert video.entry_frames(moved / "split2", "run/b.mp4").shape[0] == 9
    (moved / "videos_features.h5").unlink()
    text = message(FileNotFoundError, FrameTable, moved / "split1" / "train_features.h5")
    assert text.startswith(f"{moved}/videos_features.h5: no such feature file")


def test_errors_of_lists(lists, splits, videos, tmp_path):
    names, labels = lists / "train_filename.txt", lists / "train_labels.txt"
    for bad in ("/etc/passwd", "../a.mp4", "run/../../a.mp4"):
        names.write_text(f"sit/d.mp4\n{bad}\n")
        assert message(ValueError, entries_of_lists, lists, videos) == (
            f"{names}, line 2: {bad!r} leads out of the data set's root; expected a path relative to it"
        )
    names.write_text("sit/d.mp4\n")
    assert message(ValueError, entries_of_lists, lists, videos) == (
        f"{labels}: has 2 lines, but {names} has 1; expected one line per video"
    )
    names.write_text("sit/d.mp4\nrun/a.mp4\n")
    assert message(ValueError, entries_of_lists, lists, videos) == (
        f"{lists}/valid_filename.txt, line 1: 'run/a.mp4' is in {names}, line 2 too; a video belongs to one part only"
    )
    (splits / "split2" / "class_names.txt").write_text("sit\nrun\n")
    assert message(ValueError, entries_of_lists, splits, videos) == (
        f"{splits}/split2/class_names.txt: differs from that of the other splits; expected the same"
    )
    gone = tmp_path / "gone"
    assert message(FileNotFoundError, entries_of_lists, lists, gone).startswith(f"{gone}: no such folder")
    assert message(FileNotFoundError, entries_of_lists, gone, videos).startswith(
        f"{gone}/class_names.txt: no such file"
    )


# broken videos


def test_broken_videos_stop_or_are_skipped(videos, lists, tmp_path):
    out, bad, gone = tmp_path / "out", videos / "run" / "b.mp4", videos / "sit" / "d.mp4"
    whole = bad.read_bytes()
    bad.write_bytes(b"")
    assert message(ValueError, extract_lists, lists, videos, tmp_path / "stop").startswith(f"{bad}: is not a video (")
    gone.rename(tmp_path / "d.mp4")
    with pytest.raises(FileNotFoundError, match="d.mp4: no such file"):
        extract_lists(lists, videos, tmp_path / "stopped")
    write_part_lists(tmp_path / "more", PARTS | {"train": [*PARTS["train"], "sit/e.mp4"]})
    make_clip(videos / "sit" / "e.mp4", 3, 30)
    _, _, _, warnings = extract_lists(tmp_path / "more", videos, tmp_path / "skip", on_error="skip")
    assert warnings == ["2 of 5 videos skipped, see skipped.txt", "train: no video is left of class run"]
    skipped = (tmp_path / "skip" / "skipped.txt").read_text().splitlines()
    assert skipped[0] == f"{gone}\t{gone}: no such file; expected a video ({', '.join(video.EXTENSIONS)})"
    assert skipped[1].startswith(f"{bad}\t{bad}: is not a video (") and len(skipped) == 2
    own = read_lists(tmp_path / "skip", "train")
    assert (own.filenames, own.frame_numbers.tolist(), own.labels.tolist()) == (["sit/e.mp4"], [3], [1])
    assert check_features(tmp_path / "skip")["train"] == (1, 3)

    assert message(ValueError, extract_lists, lists, videos, out, on_error="skip") == (
        f"train: none of its 2 videos can be read (see {out}.partial/skipped.txt); correct them or change the lists"
    )
    bad.write_bytes(whole)  # mended files are tried again, the others are not
    (tmp_path / "d.mp4").rename(gone)
    log = tmp_path / "log"
    assert extract_lists(lists, videos, out, Stub("stub", 5, log=log), on_error="skip")[0] == 16
    assert len(log.read_text().splitlines()) == 2 + 3  # batches of d and b
    assert frames_of(out / "train_features.h5") == expected_frames(PARTS["train"])
    assert not (out / "skipped.txt").exists()


@pytest.mark.parametrize("on_error", ["stop", "skip"])
def test_slightly_damaged_videos_are_kept_and_listed(videos, lists, tmp_path, on_error):
    damaged = make_clip(videos / "run" / "b.avi", CLIPS["run/b.mp4"], 30)
    data = bytearray(damaged.read_bytes())
    data[data.index(b"vids") + 32] += 1  # the header promises a frame more
    (videos / "run" / "b.mp4").write_bytes(data)
    _, _, _, warnings = extract_lists(lists, videos, tmp_path / "out", on_error=on_error)
    assert warnings == ["1 of 4 videos slightly damaged but kept, see damaged.txt"]
    path = videos / "run" / "b.mp4"
    assert (tmp_path / "out" / "damaged.txt").read_text() == f"{path}\t{path}: has 9 of 10 frames\n"
    assert not (tmp_path / "out" / "skipped.txt").exists()
    assert frames_of(tmp_path / "out" / "train_features.h5") == expected_frames(PARTS["train"])


def test_video_too_short_for_its_cuts_and_listed_twice(videos, tmp_path):
    short = make_clip(videos / "short.mp4", 2, 30)
    thirds = [Entry("s", part, short, 0, k / 3, (k + 1) / 3) for k, part in enumerate(("train", "valid", "test"))]
    settings = {"workers": 1, "progress": False}
    text = message(ValueError, extract, thirds, tmp_path / "out", videos, ["a"], STUB, **settings)
    assert text == f"{short}: has 2 frames, too few for 3 parts; take it out"
    twice = [Entry("g", "train", short, 0), Entry("h", "train", short, 0)]
    text = message(ValueError, extract, twice, tmp_path / "other", videos, ["a"], STUB, **settings)
    assert text == f"{short}: is listed twice in one part; list it once"


def test_features_that_float16_cannot_hold(videos, lists, tmp_path):
    class Huge(Stub):
        def __call__(self, frames):
            return np.full((len(frames), 49, 5), 1e5, np.float32)

    with pytest.raises(ValueError, match=r"d.mp4: features of frames 0 to 4 are not finite in float16"):
        extract_lists(lists, videos, tmp_path / "out", Huge("stub", 5), on_error="skip")
    assert extract_lists(lists, videos, tmp_path / "out32", Huge("stub", 5), dtype="float32")[0] == 25


def test_no_space(videos, lists, tmp_path, monkeypatch):
    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(9, 9, 0))
        text = message(OSError, extract_lists, lists, videos, out)
    expected = f"{out}.partial/train_features.h5: needs 0.0 GB, and 0.0 GB are free; free space and start"
    assert text == f"{expected} the same command again, finished videos are kept"
    assert extract_lists(lists, videos, out)[0] == 0 and check_features(out)["train"] == (2, 16)


# settings


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"fps": 15}, "--fps 30, not 15"),
        ({"dtype": "float32"}, "--dtype float16, not float32"),
        ({"layout": "released"}, "--layout location, not released"),
        ({"batch_size": 5}, "--batch-size 4, not 5"),
        ({"extractor": Stub("other", 5)}, "--extractor stub, not other"),
        ({"lists": "reversed"}, "the lists (names, labels, parts) as a digest "),
    ],
)
def test_other_settings_are_refused(videos, lists, tmp_path, change, says):
    out, bad = tmp_path / "out", videos / "run" / "a.mp4"
    whole = bad.read_bytes()
    bad.write_bytes(b"")
    with pytest.raises(ValueError):
        extract_lists(lists, videos, out)
    other = lists
    if "lists" in change:
        other, change = write_part_lists(tmp_path / "other", PARTS | {"train": PARTS["train"][::-1]}), {}
    text = message(FileExistsError, extract_lists, other, videos, out, **change)
    assert text.startswith(f"{out}.partial: was made with {says}")
    assert text.endswith("; give the former options, or remove it to begin anew")
    bad.write_bytes(whole)
    extract_lists(lists, videos, out)
    text = message(FileExistsError, extract_lists, other, videos, out, **change)
    assert text.startswith(f"{out}: was made with {says}") and text.endswith("; remove it or choose another folder")


def test_finished_and_foreign_folders(videos, lists, tmp_path, monkeypatch):
    out = tmp_path / "out"
    out.mkdir()  # an empty folder is as good as none
    extract_lists(lists, videos, out)
    shutil.rmtree(videos / "run")  # the videos of finished features may go
    with monkeypatch.context() as patch:
        patch.setattr(features, "read_frames", None)
        assert extract_lists(lists, videos, out) == (0, 0.0, None, [])
    with h5py.File(out / "test_features.h5", "r+") as file:
        file["features"].resize(3, axis=0)
        file["crc32"].resize(3, axis=0)
    text = message(ValueError, extract_lists, lists, videos, out)
    assert text == f"{out}/test_features.h5: has 3 frames, but test_framenum.txt adds up to 4; extract again"
    (out / "settings.json").unlink()
    text = message(FileExistsError, extract_lists, lists, videos, out)
    assert text == (
        f"{out}: is there already, and visual-attention extract has not made it; remove it or choose another folder"
    )


def test_changed_video_and_second_process(videos, lists, tmp_path):
    out, bad = tmp_path / "out", videos / "run" / "a.mp4"
    bad.write_bytes(b"")
    with pytest.raises(ValueError):
        extract_lists(lists, videos, out)
    make_clip(videos / "sit" / "d.mp4", 8, 30)
    text = message(FileExistsError, extract_lists, lists, videos, out)
    changed = videos / "sit" / "d.mp4"
    assert text == f"{changed}: has changed since its features were made; remove {out}.partial to begin anew"
    with only_process(f"{out}.partial", "testing"):
        text = message(ValueError, extract_lists, lists, videos, out)
    assert text == f"{out}.partial: another process is extracting features to it; wait for it or stop it"


# killed

STEPS = """
import os, sys
from pathlib import Path
from test_extraction_jobs import extract_lists

def die_at(step):
    calls = 0
    def counted(call):
        def wrapper(*args, **kwargs):
            nonlocal calls
            calls += 1
            if calls == step:
                os._exit(9)
            return call(*args, **kwargs)
        return wrapper
    for name in ("replace", "rename", "unlink", "rmdir"):
        setattr(os, name, counted(getattr(os, name)))

lists, videos, outs, first = *map(Path, sys.argv[1:4]), int(sys.argv[4])
for step in range(first, 1000, 3):
    child = os.fork()
    if child == 0:
        die_at(step)
        extract_lists(lists, videos, outs / str(step))
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    if status == 0:
        break
    assert os.waitstatus_to_exitcode(status) == 9
    extract_lists(lists, videos, outs / str(step))
print(step)
"""


@pytest.mark.parametrize(("kind", "first"), [("lists", 1), ("splits", 2)])  # every third step, for the time it takes
def test_killed_at_any_step_it_continues_to_the_same_bytes(videos, tmp_path, kind, first, request):
    lists = request.getfixturevalue(kind)
    command = [sys.executable, "-c", STEPS, lists, videos, tmp_path / "outs", str(first)]
    done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 4 * 3 + 3 * 4  # three renamings a video, four a table
    extract_lists(lists, videos, tmp_path / "out")
    expected = everything(tmp_path / "out")
    outs = sorted((tmp_path / "outs").iterdir())
    assert [path.name for path in outs] == sorted(map(str, range(first, int(done.stdout) + 1, 3)))  # and no .partial
    for path in outs:
        assert everything(path) == expected


SLOW = """
import sys
from pathlib import Path
from stub_extractor import Stub
from test_extraction_jobs import extract_lists

if __name__ == "__main__":
    lists, videos, out, log, workers = sys.argv[1:]
    extract_lists(lists, videos, Path(out), Stub("stub", 5, seconds=0.5, log=Path(log)), workers=int(workers))
"""


@pytest.mark.parametrize(("number", "workers"), [(signal.SIGKILL, 1), (signal.SIGKILL, 2), (signal.SIGINT, 2)])
def test_killed_while_it_works(videos, lists, tmp_path, number, workers):
    (tmp_path / "slow.py").write_text(SLOW)
    out, log = tmp_path / "out", tmp_path / "log"
    command = [sys.executable, tmp_path / "slow.py", lists, videos, out, log, str(workers)]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    pieces, end = tmp_path / "out.partial" / "videos", time.monotonic() + 60
    while len(done := list(pieces.glob("*.json"))) < 2:
        assert time.monotonic() < end and process.poll() is None
        time.sleep(0.02)
    process.send_signal(number)
    process.wait(30)
    kept = {path: path.stat().st_mtime_ns for path in done}
    n_before = sum(json.loads(path.read_text())["n_frames"] for path in pieces.glob("*.json"))
    assert {path: path.stat().st_mtime_ns for path in done} == kept
    assert extract_lists(lists, videos, out)[0] == sum(CLIPS.values()) - n_before  # finished videos are not redone
    extract_lists(lists, videos, tmp_path / "straight")
    assert everything(out) == everything(tmp_path / "straight")


# several processes


def test_worker_processes_give_the_same(videos, lists, tmp_path):
    log = tmp_path / "log"
    extract_lists(lists, videos, tmp_path / "two", Stub("stub", 5, seconds=0.2, log=log), workers=2)
    assert len(set(log.read_text().split())) == 2  # both worked
    extract_lists(lists, videos, tmp_path / "one")
    assert everything(tmp_path / "two") == everything(tmp_path / "one")


def test_cluster_of_which_a_worker_is_killed_gives_the_same(videos, lists, tmp_path):
    distributed = pytest.importorskip("distributed", reason="Dask is not installed: pip install .[cluster]")
    log = tmp_path / "log"
    with distributed.LocalCluster(2, threads_per_worker=1, dashboard_address=None) as cluster:
        pids = [worker.pid for worker in cluster.workers.values()]
        killer = [sys.executable, "-c", KILLER, log, str(pids[0])]
        killing = subprocess.Popen(killer)
        slow = Stub("stub", 5, seconds=0.4, log=log)
        extract_lists(lists, videos, tmp_path / "dask", slow, cluster=cluster.scheduler_address)
        assert killing.wait(30) == 0
    extract_lists(lists, videos, tmp_path / "one")
    assert everything(tmp_path / "dask") == everything(tmp_path / "one")


KILLER = """
import os, sys, time
while not os.path.exists(sys.argv[1]) or len(open(sys.argv[1]).readlines()) < 2:
    time.sleep(0.02)
os.kill(int(sys.argv[2]), 9)
"""
