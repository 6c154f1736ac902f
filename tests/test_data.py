"""Lists, frame tables, windows and batches: their arithmetic against the released code's, and their errors."""

import gc
import resource
import signal
import threading
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from visual_attention.util.data_handler import DataHandler, read_ahead, windows
from visual_attention.util.data_lists import read_class_names, read_lists, write_class_names, write_lists
from visual_attention.util.files import WriteError
from visual_attention.util.frame_table import FrameTable, FrameTableWriter, write_virtual_table

GOLDEN = np.load(Path(__file__).parent / "data" / "windows.npz", allow_pickle=False)
CASES = [key.removesuffix("/starts") for key in GOLDEN if key.endswith("/starts")]


def open_files(folder):
    """HDF5 files in a folder that are open in this process, deleted ones included."""
    gc.collect()
    files = h5py.h5f.get_obj_ids(h5py.h5f.OBJ_ALL, h5py.h5f.OBJ_FILE)
    return [name for name in (h5py.h5f.get_name(file).decode() for file in files) if name.startswith(str(folder))]


def make_part(folder, part="train", frame_numbers=(7, 3, 5), labels=(0, 1, 2), layout="location", dtype="float32"):
    """A small part whose cube entry [l, d] of frame n is n + l / 10 + d / 100 (L = 9, D = 4)."""
    n = sum(frame_numbers)
    cubes = np.arange(n)[:, None, None] + np.arange(9)[:, None] / 10 + np.arange(4) / 100
    with FrameTableWriter(folder / f"{part}_features.h5", 9, 4, layout, dtype) as table:
        table.append(cubes[:4])
        table.append(cubes[4:])
    write_lists(folder, part, [f"v{k}" for k in range(len(frame_numbers))], frame_numbers, labels)
    return cubes


# ---- windows


@pytest.mark.parametrize("case", CASES)
def test_windows_equal_those_of_the_released_code(case):
    maxlen, fps, stride = (int(word.lstrip("Tfpstride")) for word in case.split("_"))
    index, video = windows(GOLDEN["video_frames"], maxlen, 30 // fps, stride)
    np.testing.assert_array_equal(index, GOLDEN[f"{case}/frames"])
    np.testing.assert_array_equal(index[0], GOLDEN[f"{case}/starts"])
    np.testing.assert_array_equal(GOLDEN["video_labels"][video], GOLDEN[f"{case}/labels"])


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.integers(1, 70), min_size=1, max_size=6),
    st.integers(1, 40),
    st.sampled_from([1, 2, 3, 5, 6, 10, 15, 30]),
    st.integers(1, 9),
)
def test_windows_never_leave_their_video(frame_numbers, maxlen, fps, stride):
    """The worst defect of the released code: after a shuffle, short videos read on into the next video."""
    index, video = windows(frame_numbers, maxlen, 30 // fps, stride)
    ends = np.cumsum(frame_numbers)
    first = (ends - frame_numbers)[video]
    assert (index >= first).all() and (index < ends[video]).all()
    assert set(video) == set(range(len(frame_numbers)))
    assert (np.diff(index, axis=0) >= 0).all()
    assert (index[0] == first + stride * np.concatenate([np.arange(c) for c in np.bincount(video)])).all()


# ---- frame tables


@pytest.mark.parametrize("layout", ["location", "released"])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_frame_table_round_trip(tmp_path, layout, dtype):
    cubes = make_part(tmp_path, layout=layout, dtype=dtype).astype(dtype)
    table = FrameTable(tmp_path / "train_features.h5")
    assert (table.n_frames, table.n_locations, table.depth, table.dtype) == (15, 9, 4, dtype)
    np.testing.assert_array_equal(table.load(), cubes)
    np.testing.assert_array_equal(table.read(2, 9), cubes[2:9])
    assert table.load().flags.c_contiguous


def test_files_of_the_released_program_are_read_as_channels_first(tmp_path):
    """They have no attributes and the shape (n, L * D), with entry [l, d] at l + L * d."""
    cubes = np.random.default_rng(0).random((3, 9, 4), dtype=np.float32)
    flat = np.zeros((3, 36), np.float32)
    for location in range(9):
        for d in range(4):
            flat[:, location + 9 * d] = cubes[:, location, d]
    with h5py.File(tmp_path / "old.h5", "w") as file:
        file["features"] = flat
    np.testing.assert_array_equal(FrameTable(tmp_path / "old.h5", ctx_dim=4).load(), cubes)


@pytest.mark.parametrize("layout", ["location", "released"])
def test_full_disk_while_writing_leaves_nothing(tmp_path, layout):
    """Wherever it happens, the error names the file, HDF5 has closed it, and nothing is left behind."""

    def write():
        with FrameTableWriter(tmp_path / "t.h5", 9, 4, layout) as table:
            for _ in range(60):
                table.append(np.ones((20, 9, 4)))

    write()
    size, (_, hard_limit) = (tmp_path / "t.h5").stat().st_size, resource.getrlimit(resource.RLIMIT_FSIZE)
    (tmp_path / "t.h5").unlink()
    for limit in [*range(0, 3000, 200), *range(3000, size, 7000), size - 1]:
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard_limit))
            with pytest.raises(WriteError) as error:
                write()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (hard_limit, hard_limit))
        assert str(error.value) == (
            f"{tmp_path}/t.h5: could not be written ([Errno 27] File too large); free space and start the same command "
            "again"
        )
        assert list(tmp_path.iterdir()) == []
        assert open_files(tmp_path) == []
    write()
    assert FrameTable(tmp_path / "t.h5").load().sum() == 60 * 20 * 9 * 4


def test_interruption_waits_for_hdf5_writes(tmp_path):
    """Ctrl-C takes effect after a write, because HDF5 cannot handle it during one. The file is then closed."""
    with pytest.raises(KeyboardInterrupt):
        with FrameTableWriter(tmp_path / "t.h5", 9, 4) as table:
            for k in range(1000):
                if k == 3:
                    threading.Timer(0.05, signal.raise_signal, [signal.SIGINT]).start()
                table.append(np.ones((50, 9, 4)))
    assert list(tmp_path.iterdir()) == []
    assert open_files(tmp_path) == []


@pytest.mark.parametrize("layout", ["location", "released"])
def test_changed_frame_is_detected(tmp_path, layout):
    """A frame with one changed value, and one set to zero, also through a virtual table. Other frames can be read."""
    cubes = make_part(tmp_path, layout=layout)
    path, part = tmp_path / "train_features.h5", tmp_path / "part.h5"
    write_virtual_table(part, path, [(4, 3)])
    with h5py.File(path, "r+") as file:
        file["features"][6, 5] = np.nextafter(file["features"][6, 5], np.float32(9))
        file["features"][9] = 0
    for name, start, stop, bad in ((path, 4, 8, 6), (path, 9, 10, 9), (part, 0, 3, 2)):
        with pytest.raises(ValueError, match=f"{path}: is damaged, frame {bad} is not what was written; make it again"):
            FrameTable(name).read(start, stop)
    np.testing.assert_array_equal(FrameTable(part).read(0, 2), cubes[4:6].astype("float32"))


def test_writer_leaves_nothing_after_an_error(tmp_path):
    with pytest.raises(ValueError) as error:
        with FrameTableWriter(tmp_path / "t.h5", 9, 4) as table:
            table.append(np.zeros((2, 9, 4)))
            table.append(np.zeros((2, 9, 5)))
    assert str(error.value) == f"{tmp_path}/t.h5: cubes are (2, 9, 5); expected (frames, 9, 4)"
    assert list(tmp_path.iterdir()) == []


def spoil(name):
    """The function of this name. It damages the feature file at a path."""

    def truncate(path):
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    def other_dataset(path):
        with h5py.File(path, "w") as file:
            file["cubes"] = np.zeros(3)

    def integers(path):
        with h5py.File(path, "w") as file:
            file["features"] = np.zeros((15, 36), int)

    def nan(path):
        with h5py.File(path, "r+") as file:
            file["features"][11, 3] = np.nan

    def no_depth(path):
        with h5py.File(path, "r+") as file:
            del file["features"].attrs["ctx_dim"]

    def odd_layout(path):
        with h5py.File(path, "r+") as file:
            file["features"].attrs["layout"] = "columns"

    return {**locals()}[name]


@pytest.mark.parametrize(
    "how, message",
    [
        ("truncate", "{}: not a readable HDF5 file ("),
        ("other_dataset", "{}: has no dataset 'features', only ['cubes']; make it again"),
        (
            "integers",
            "{}: 'features' is int64 (15, 36); expected float32 or float16, (frames, locations*depth) or "
            "(frames, locations, depth); convert it",
        ),
        ("nan", "{}: frame 11 has NaN or infinite features; extract its video again"),
        ("no_depth", "{}: does not say its feature depth; give it with --ctx-dim (GoogLeNet: 1024)"),
        ("odd_layout", "{}: unknown layout 'columns'; expected one of released, location"),
        ("unlink", "{}: no such feature file; make it with visual-attention extract"),
    ],
)
def test_bad_feature_file(tmp_path, how, message):
    make_part(tmp_path)
    path = tmp_path / "train_features.h5"
    path.unlink() if how == "unlink" else spoil(how)(path)
    with pytest.raises((ValueError, FileNotFoundError)) as error:
        DataHandler(tmp_path, "train", maxlen=3)
    assert str(error.value).startswith(message.format(path))


def test_wrong_depth(tmp_path):
    make_part(tmp_path)
    with pytest.raises(ValueError) as error:
        DataHandler(tmp_path, "train", ctx_dim=1024)
    assert str(error.value) == (
        f"{tmp_path}/train_features.h5: feature depth is 4, but ctx_dim is 1024; set --ctx-dim 4"
    )


# ---- lists

FRAMES = "frames of a video, a whole number of at least 1"


def test_lists_round_trip(tmp_path):
    write_lists(tmp_path, "test", ["a b.avi", "c,d.avi"], [3, 5], [1, 0])
    lists = read_lists(tmp_path, "test", 2)
    assert lists.filenames == ["a b.avi", "c,d.avi"]
    assert lists.frame_numbers.tolist() == [3, 5] and lists.labels.tolist() == [1, 0] and not lists.multilabel
    write_lists(tmp_path, "multi", ["a", "b"], [3, 5], np.array([[1, 0, 1], [0, 0, 0]]))
    lists = read_lists(tmp_path, "multi", 3)
    assert lists.labels.tolist() == [[1, 0, 1], [0, 0, 0]] and lists.multilabel
    write_class_names(tmp_path, ["x", "y"])
    assert read_class_names(tmp_path, 2) == ["x", "y"]


def test_missing_final_newline_loses_nothing(tmp_path):
    """The released reader turned 10 into 1."""
    write_lists(tmp_path, "train", ["a", "b"], [3, 5], [1, 10])
    path = tmp_path / "train_labels.txt"
    path.write_text(path.read_text().rstrip("\n"))
    assert read_lists(tmp_path, "train", 11).labels.tolist() == [1, 10]


@pytest.mark.parametrize(
    "file, text, message",
    [
        ("labels", "0\n1\n", "{labels}: has 2 lines, but {filename} has 3; expected one line per video"),
        (
            "labels",
            "0\n3\n1\n",
            "{labels}, line 2: label 3 is out of range; expected 0 to 2; correct it, or name the class in "
            "class_names.txt",
        ),
        ("labels", "0\n-1\n1\n", "{labels}, line 2: '-1'; expected a label, a whole number of at least 0"),
        ("labels", "0,1,0\n0,1\n1,1,1\n", "{labels}, line 2: has 2 columns, but line 1 has 3; expected as many"),
        ("labels", "0,1,0\n0,2,0\n1,1,1\n", "{labels}, line 2: a column is 2; expected 0 or 1 (a column per class)"),
        ("labels", "0,1\n0,1\n1,1\n", "{labels}, line 1: has 2 columns; expected 3, one per class"),
        ("framenum", "7\nthree\n5\n", "{framenum}, line 2: 'three'; expected " + FRAMES),
        ("framenum", "7\n0\n8\n", "{framenum}, line 2: '0'; expected " + FRAMES),
        (
            "framenum",
            "7\n3\n6\n",
            "{features}: holds 15 frames, but {framenum} adds up to 16; "
            "features and lists are not of the same videos: make both again",
        ),
        ("filename", "", "{filename}: is empty; expected the name of a video on each line"),
        ("filename", "a\nb\na\n", "{filename}, line 3: 'a' stands on line 1 already; remove one"),
        ("filename", None, "{filename}: no such list; visual-attention extract writes it beside the features"),
    ],
)
def test_bad_lists(tmp_path, file, text, message):
    make_part(tmp_path)
    path = tmp_path / f"train_{file}.txt"
    path.unlink() if text is None else path.write_text(text)
    with pytest.raises((ValueError, FileNotFoundError)) as error:
        DataHandler(tmp_path, "train", n_actions=3)
    files = {name: f"{tmp_path}/train_{name}.txt" for name in ("labels", "framenum", "filename")}
    assert str(error.value) == message.format(features=f"{tmp_path}/train_features.h5", **files)


# ---- batches


def collect(data, order, **options):
    """Cubes (n, T, L, D), labels and windows of all batches, without padding."""
    cubes, labels, chosen = [], [], []
    for batch in data.batches(order, **options):
        n = len(batch.windows)
        assert batch.mask[:, :n].all() and not batch.mask[:, n:].any()
        cubes.append(batch.frames[batch.index][:, :n].swapaxes(0, 1))
        labels.append(batch.y[:n])
        chosen.append(batch.windows)
    return np.concatenate(cubes), np.concatenate(labels), np.concatenate(chosen)


@pytest.mark.parametrize("layout", ["location", "released"])
@pytest.mark.parametrize("memory_gb", [1.0, 0.0])
@pytest.mark.parametrize("fps", [30, 15])
def test_batches_hold_the_windows(tmp_path, layout, memory_gb, fps):
    """From memory, from disk, or as indices into the placed table: the same cubes in any order."""
    cubes = make_part(tmp_path, layout=layout).astype("float32")
    data = DataHandler(tmp_path, "train", maxlen=3, fps=fps, memory_gb=memory_gb)
    assert (data.memory is None) == (memory_gb == 0)
    order = np.random.default_rng(0).permutation(data.n_windows)
    expected = cubes[data.index[:, order]].swapaxes(0, 1)
    for frames in (None, cubes):
        windows_read, labels, chosen = collect(data, order, batch_size=4, frames=frames)
        np.testing.assert_array_equal(windows_read, expected)
        np.testing.assert_array_equal(chosen, order)
        np.testing.assert_array_equal(labels, data.video[order])  # here video k has label k


def test_batches_have_one_shape_and_can_start_anywhere(tmp_path):
    make_part(tmp_path)
    data = DataHandler(tmp_path, "train", maxlen=3)
    order = np.arange(data.n_windows)
    batches = list(data.batches(order, 4))
    shapes = {tuple(v.shape for v in (b.frames, b.index, b.mask, b.y)) for b in batches}
    assert shapes == {((12, 9, 4), (3, 4), (3, 4), (4,))}
    later = list(data.batches(order, 4, first=1))
    assert [b.windows.tolist() for b in later] == [b.windows.tolist() for b in batches[1:]]


def test_digest_distinguishes_data(tmp_path):
    make_part(tmp_path)
    digest = DataHandler(tmp_path, "train").digest()
    assert digest == DataHandler(tmp_path, "train", maxlen=3).digest()
    with h5py.File(tmp_path / "train_features.h5", "r+") as file:
        file["features"][0, 0] += 1
        del file["crc32"]
    assert DataHandler(tmp_path, "train").digest() != digest


def test_digest_sees_every_label(tmp_path):
    """Also in a list of thousands."""
    n = 3000
    digests = set()
    for changed in (0, 1):
        labels = np.zeros(n, int)
        labels[n // 2] = changed
        make_part(tmp_path, frame_numbers=[1] * n, labels=labels)
        digests.add(DataHandler(tmp_path, "train").digest())
    assert len(digests) == 2


def test_fps_must_divide_the_rate_of_the_frame_table(tmp_path):
    """At 15 frames per second, fps 15 takes every frame and fps 5 every third; fps 30 and 10 are errors."""
    make_part(tmp_path)
    with h5py.File(tmp_path / "train_features.h5", "r+") as file:
        file["features"].attrs["fps"] = 15
    for fps, expected in ((15, [0, 1]), (5, [0, 3])):
        assert DataHandler(tmp_path, "train", maxlen=2, fps=fps).index[:, 0].tolist() == expected
    for fps in (30, 10):
        with pytest.raises(ValueError) as error:
            DataHandler(tmp_path, "train", fps=fps)
        assert str(error.value) == (
            f"{tmp_path}/train_features.h5: has 15 frames a second; expected a multiple of fps {fps}; "
            "choose another --fps"
        )


def test_read_ahead_keeps_order_and_passes_on_errors():
    def numbers():
        yield from range(5)
        raise ValueError("disk on fire")

    seen = []
    with pytest.raises(ValueError, match="disk on fire"):
        for k in read_ahead(numbers()):
            seen.append(k)
    assert seen == list(range(5))


def test_read_ahead_stops_its_thread():
    produced = []

    def endless():
        while True:
            produced.append(len(produced))
            yield produced[-1]

    batches = read_ahead(endless(), depth=2)
    assert next(batches) == 0
    batches.close()
    n = len(produced)
    assert n <= 4
    assert len(produced) == n


def test_a_released_table_is_read_from_disk_again(tmp_path):
    cubes = make_part(tmp_path)
    data = DataHandler(tmp_path, "train", maxlen=3)
    order = np.random.default_rng(0).permutation(data.n_windows)
    expected = collect(data, order, batch_size=4)
    np.testing.assert_array_equal(data.release_memory(), cubes.astype("float32"))
    assert data.memory is None
    np.testing.assert_array_equal(data.release_memory(), cubes.astype("float32"))  # for another run on the same data
    for before, after in zip(expected, collect(data, order, batch_size=4), strict=True):
        np.testing.assert_array_equal(before, after)
