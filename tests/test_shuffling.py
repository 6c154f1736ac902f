"""Frame tables larger than memory: order of windows, what is read from disk and how often, memory, resuming."""

import os
import signal
import tracemalloc

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from visual_attention.experiment.data import load_part
from visual_attention.experiment.runs import run_cell
from visual_attention.experiment.stopping import Interrupted
from visual_attention.model import Model
from visual_attention.options import Options
from visual_attention.util.data_handler import DataHandler, read_ahead
from visual_attention.util.data_lists import write_lists
from visual_attention.util.frame_table import FrameTable, FrameTableWriter

L, D = 4, 3
FRAME = L * D * 2  # bytes
NUMBERS = np.random.default_rng(0).integers(5, 25, 60)  # frames of each video
BUDGET = 200  # frames


def gb(frames):
    return (frames + 0.5) * FRAME / 1e9


def write_part(folder, numbers, part="train"):
    """Writes a part of random cubes, so that no two frames are alike."""
    cubes = np.random.default_rng(1).random((sum(numbers), L, D)).astype("float16")
    with FrameTableWriter(folder / f"{part}_features.h5", L, D) as table:
        table.append(cubes)
    write_lists(folder, part, [f"v{k}" for k in range(len(numbers))], numbers, np.arange(len(numbers)) % 2)
    return cubes


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_part(folder, NUMBERS)
    return folder


@pytest.fixture
def reads(monkeypatch):
    """A list of (first frame, last frame + 1) of every read from now on."""
    seen, read = [], FrameTable.read

    def note(table, start, stop):
        seen.append((int(start), int(stop)))
        return read(table, start, stop)

    monkeypatch.setattr(FrameTable, "read", note)
    return seen


def on_disk(folder, budget=BUDGET, **options):
    return DataHandler(folder, "train", **({"maxlen": 4} | options), memory_gb=gb(budget))


def rng(seed=0, epoch=0):
    return np.random.default_rng([seed, 1, epoch])


def cubes_of(batch):
    """The cubes of a batch's windows, (T, n, L, D)."""
    return batch.frames[batch.index][:, : len(batch.windows)]


# ---- order


def test_epoch_has_every_window_once(folder):
    data = on_disk(folder)
    np.testing.assert_array_equal(np.sort(data.shuffled(rng())), np.arange(data.n_windows))


def test_order_is_a_function_of_seed_and_epoch(folder):
    data = on_disk(folder)
    orders = {(seed, epoch): tuple(data.shuffled(rng(seed, epoch))) for seed in range(2) for epoch in range(2)}
    assert len(set(orders.values())) == 4
    assert tuple(on_disk(folder).shuffled(rng(1, 1))) == orders[1, 1]


def test_global_order_is_uniform_and_so_is_that_of_a_table_in_memory(folder):
    data, in_memory = on_disk(folder), on_disk(folder, budget=NUMBERS.sum())
    assert in_memory.in_memory and not data.in_memory
    expected = rng().permutation(data.n_windows)
    np.testing.assert_array_equal(data.shuffled(rng(), "global"), expected)
    np.testing.assert_array_equal(in_memory.shuffled(rng(), "buffer"), expected)
    assert (data.shuffled(rng()) != expected).any()


def test_batches_mix_videos(folder):
    """A batch mixes about as many videos as the buffer holds; at both ends of the epoch, half as many.

    The buffer has 200 frames minus two of the longest videos; a video has 14 frames on average.
    """
    data = on_disk(folder)
    order = data.shuffled(rng())
    counts = [len(set(data.video[order[k : k + 16]])) for k in range(0, len(order), 16)]
    assert np.mean(counts) > 6 and min(counts[:-1]) >= 3


def test_any_two_videos_can_share_a_batch(folder):
    """Over many epochs, though not within one."""
    data, met = on_disk(folder), np.eye(len(NUMBERS), dtype=bool)
    for epoch in range(120):
        order = data.shuffled(rng(0, epoch))
        for k in range(0, len(order), 16):
            videos = data.video[order[k : k + 16]]
            met[np.ix_(videos, videos)] = True
        if epoch == 0:
            assert met.mean() < 0.5
    assert met.all()


# ---- what is read


def test_frames_are_those_of_a_table_in_memory(folder):
    data, in_memory = on_disk(folder), on_disk(folder, budget=NUMBERS.sum())
    order = data.shuffled(rng())
    pairs = zip(data.batches(order, 16), in_memory.batches(order, 16), strict=True)
    for disk_batch, memory_batch in pairs:
        for name in ("frames", "index", "mask", "y", "windows"):
            np.testing.assert_array_equal(getattr(disk_batch, name), getattr(memory_batch, name), err_msg=name)


@pytest.mark.parametrize("batch_size", [1, 16, 1000])
@pytest.mark.parametrize("in_order", [False, True])
def test_every_video_is_read_once_and_whole(folder, reads, batch_size, in_order):
    """Also with batches larger than any buffer, and in order, as in validation and test."""
    data = on_disk(folder)
    order = np.arange(data.n_windows) if in_order else data.shuffled(rng())
    assert sum(len(batch.windows) for batch in data.batches(order, batch_size)) == data.n_windows
    ends = np.cumsum(NUMBERS)
    assert sorted(reads) == list(zip(ends - NUMBERS, ends, strict=True))


def test_resuming_reads_only_what_is_still_needed(folder, reads):
    data = on_disk(folder)
    order = data.shuffled(rng())
    whole = list(data.batches(order, 16))
    ends = np.cumsum(NUMBERS)
    for first in range(len(whole) + 1):
        reads.clear()
        for resumed, expected in zip(data.batches(order, 16, first), whole[first:], strict=True):
            np.testing.assert_array_equal(resumed.windows, expected.windows)
            np.testing.assert_array_equal(resumed.frames, expected.frames)
        needed = np.unique(data.video[order[first * 16 :]])
        assert sorted(reads) == [(ends[k] - NUMBERS[k], ends[k]) for k in needed]


def test_memory_stays_within_the_budget(tmp_path):
    """The memory allocated while an epoch is read is that of the buffer and the current batch, not of the table."""
    numbers, depth = [20] * 200, 500
    with FrameTableWriter(tmp_path / "train_features.h5", L, depth) as table:
        table.append(np.zeros((sum(numbers), L, depth), "float16"))
    write_lists(tmp_path, "train", range(len(numbers)), numbers, [0] * len(numbers))
    frame, budget = L * depth * 2, 600
    data = DataHandler(tmp_path, "train", maxlen=4, memory_gb=budget * frame / 1e9)
    order = data.shuffled(rng())
    tracemalloc.start()
    for _ in data.batches(order, 10):
        pass
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    two_batches, rest = 2 * 40 * frame, 20 * frame + 40 * sum(numbers)  # a video being checked; frame numbers
    assert 0.7 * budget * frame < peak < budget * frame + two_batches + rest < sum(numbers) * frame / 4


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.integers(1, 40), min_size=4, max_size=12),
    st.integers(1, 12),
    st.sampled_from([1, 2, 3]),
    st.integers(1, 50),
    st.integers(1, 60),
    st.floats(0, 1),
    st.booleans(),
)
def test_any_table_and_any_budget(tmp_path_factory, numbers, maxlen, skip, stride, batch_size, share, in_order):
    """Also windows longer than videos, strides longer than windows, and batches longer than buffers."""
    folder = tmp_path_factory.mktemp("any")
    cubes = write_part(folder, numbers)
    budget = int(share * (sum(numbers) - 1))
    data = on_disk(folder, budget, maxlen=maxlen, fps=30 // skip, stride=stride)
    shuffle = "buffer" if budget >= 3 * max(numbers) else "global"
    order = np.arange(data.n_windows) if in_order else data.shuffled(rng(), shuffle)
    seen = []
    for batch in data.batches(order, batch_size):
        seen.extend(batch.windows)
        assert batch.frames.shape == (maxlen * batch_size, L, D) and batch.mask.sum() == maxlen * len(batch.windows)
        np.testing.assert_array_equal(cubes_of(batch), cubes[data.index[:, batch.windows]])
    np.testing.assert_array_equal(seen, order)
    data.table.close()


@pytest.mark.parametrize("numbers", [[30], [1, 2, 30, 4]])
def test_too_small_buffer_is_refused(tmp_path, numbers):
    """A buffer for fewer than three of the longest videos cannot mix. The size that the message asks for is enough."""
    write_part(tmp_path, numbers)
    data = on_disk(tmp_path, sum(numbers) - 1)
    with pytest.raises(ValueError) as error:
        data.shuffled(rng())
    assert str(error.value).startswith(f"{tmp_path}/train_features.h5: a buffer of ")
    assert "is too small to shuffle videos of up to 30 frames; set --memory-gb 0.001 or more, or --shuffle global" in (
        str(error.value)
    )
    DataHandler(tmp_path, "train", maxlen=4, memory_gb=0.001).shuffled(rng())
    assert sum(len(b.windows) for b in data.batches(data.shuffled(rng(), "global"), 8)) == data.n_windows


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_nan_and_infinite_features_are_detected_while_reading(tmp_path, bad, dtype):
    write_part(tmp_path, NUMBERS)
    with h5py.File(tmp_path / "train_features.h5", "r+") as file:
        flat, attributes = file["features"][:].astype(dtype), dict(file["features"].attrs)
        flat[77, 5] = bad
        del file["features"], file["crc32"]
        file["features"] = flat
        file["features"].attrs.update(attributes)
    data = on_disk(tmp_path)
    with pytest.raises(ValueError) as error:
        for _ in read_ahead(data.batches(data.shuffled(rng()), 16)):
            pass
    assert str(error.value) == (
        f"{tmp_path}/train_features.h5: frame 77 has NaN or infinite features; extract its video again"
    )


# ---- training


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """Folder and options of a data set whose training and test parts both exceed the budget."""
    folder = tmp_path_factory.mktemp("tiny")
    for part, numbers in (("train", NUMBERS[:20]), ("valid", NUMBERS[20:30]), ("test", NUMBERS[30:40])):
        write_part(folder, numbers, part)
    options = Options(
        pooling="mean", n_layers_lstm=1, dim=4, dim_out=4, ctx_dim=D, n_locations=L, n_actions=2, maxlen=4,
        batch_size=16, max_epochs=2, memory_gb=gb(80), checkpoint_seconds=1000,
    )  # fmt: skip
    return folder, options


def run(tiny, run_folder, **changes):
    folder, options = tiny[0], tiny[1].replace(**changes)
    run_cell(options, run_folder, {part: load_part(folder, part, options) for part in ("train", "valid", "test")})
    with np.load(run_folder / "checkpoint.npz") as saved:
        return {name: saved[name] for name in saved if name != "position"}


def test_interrupted_and_resumed_training_ends_the_same(tiny, tmp_path, monkeypatch):
    undisturbed = run(tiny, tmp_path / "undisturbed")
    update, updates = Model.update, []

    def interrupting(model, batch, rng):
        updates.append(batch)
        if len(updates) in (3, 7, 22):
            os.kill(os.getpid(), signal.SIGTERM)
        return update(model, batch, rng)

    monkeypatch.setattr(Model, "update", interrupting)
    for _ in range(3):
        with pytest.raises(Interrupted):
            run(tiny, tmp_path / "run")
    resumed = run(tiny, tmp_path / "run")
    assert resumed.keys() == undisturbed.keys()
    for name, value in undisturbed.items():
        np.testing.assert_array_equal(resumed[name], value, err_msg=name)
    assert (tmp_path / "run" / "predictions.csv").read_text() == (tmp_path / "undisturbed/predictions.csv").read_text()


def test_run_refuses_another_buffer_size(tiny, tmp_path):
    """Another budget changes the order of windows, unless they are drawn from the whole table."""
    run(tiny, tmp_path / "run")
    with pytest.raises(ValueError) as error:
        run(tiny, tmp_path / "run", memory_gb=gb(90))
    assert str(error.value) == (
        f"{tmp_path}/run: holds a run of windows drawn from a buffer of 80 frames there, 90 now (0: from all; "
        "--memory-gb was 1.932e-06, --shuffle buffer). Delete it or choose another folder"
    )
    drawn_globally = run(tiny, tmp_path / "global", shuffle="global")
    run(tiny, tmp_path / "global", memory_gb=1.0)  # already finished
    np.testing.assert_equal(drawn_globally, run(tiny, tmp_path / "in_memory", memory_gb=1.0))


def test_too_small_buffer_is_refused_before_anything_is_written(tiny, tmp_path):
    with pytest.raises(ValueError, match="too small to shuffle"):
        run(tiny, tmp_path / "run", memory_gb=gb(30))
    assert not (tmp_path / "run").exists()
