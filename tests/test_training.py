"""Runs: what they leave, kill and resume, full disk, bad cost, other options. By the script, as a user starts it."""

import csv
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from visual_attention.evaluation import evaluate, watch
from visual_attention.model import trained_model
from visual_attention.run_folder import WriteError, load_options, write_file
from visual_attention.training import load_part
from visual_attention.util.data_lists import write_class_names, write_lists
from visual_attention.util.frame_table import FrameTable, FrameTableWriter
from visual_attention.util.workers import only_process

SCRIPT = Path(__file__).parents[1] / "scripts" / "train.py"
TINY = "--maxlen 4 --dim 6 --dim-out 5 --n-layers-lstm 1 --batch-size 4 --max-epochs 3 --lrate 0.01".split()


@pytest.fixture(scope="session")
def data_folder(tmp_path_factory):
    """Two classes told apart by the order of two cubes; the one location that shows them wanders."""
    folder, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    for part, n_videos in (("train", 24), ("valid", 8), ("test", 8)):
        labels, numbers = np.arange(n_videos) % 2, rng.integers(3, 9, n_videos)
        with FrameTableWriter(folder / f"{part}_features.h5", 9, 5, dtype="float32") as table:
            for label, n in zip(labels, numbers, strict=True):
                cubes = 0.3 * rng.random((n, 9, 5))
                cubes[np.arange(n), rng.integers(0, 9, n), (np.arange(n) + label * (np.arange(n) % 2)) % 4] += 2
                table.append(cubes)
        write_lists(folder, part, [f"{part}{k}" for k in range(n_videos)], numbers, labels)
    write_class_names(folder, ["forth", "back"])
    return folder


def command(data, run, *options):
    return [sys.executable, str(SCRIPT), "--data", str(data), "--run", str(run), *TINY, *map(str, options)]


def train(data, run, *options, **kwargs):
    return subprocess.run(command(data, run, *options), capture_output=True, text=True, timeout=300, **kwargs)


@pytest.fixture(scope="session")
def undisturbed(data_folder, tmp_path_factory):
    run = tmp_path_factory.mktemp("runs") / "undisturbed"
    done = train(data_folder, run)
    assert done.returncode == 0, done.stderr
    return run


def arrays(path):
    with np.load(path) as saved:
        return {name: saved[name] for name in saved}


def log(run):
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k != "seconds"} for line in lines]


def assert_same_run(run, other):
    """Same to the bit: best parameters, last parameters, optimizer's state, log, predictions."""
    for name in ("model.npz", "checkpoint.npz"):
        ours, theirs = arrays(run / name), arrays(other / name)
        assert ours.keys() == theirs.keys()
        for key in ours.keys() - {"position"}:
            np.testing.assert_array_equal(ours[key], theirs[key], err_msg=key)
    assert log(run) == log(other)
    assert (run / "predictions.csv").read_text() == (other / "predictions.csv").read_text()


def test_what_a_run_leaves(undisturbed, data_folder):
    assert {path.name for path in undisturbed.iterdir()} == {
        ".lock", "options.json", "log.jsonl", "checkpoint.npz", "model.npz", "predictions.csv", "result.json",
    }  # fmt: skip
    options = json.loads((undisturbed / "options.json").read_text())
    assert options["options"]["dim"] == 6 and options["options"]["ctx_dim"] == 5 and options["options"]["seed"] == 0
    assert {"pytensor", "jax", "numpy", "python"} <= options["versions"].keys() and options["data"].count("-") == 2
    epochs = [line for line in log(undisturbed) if "valid_score" in line]
    assert [line["epoch"] for line in epochs] == [1, 2, 3]
    saved = arrays(undisturbed / "model.npz")
    scores = [line["valid_score"] for line in epochs]
    result = json.loads((undisturbed / "result.json").read_text())
    best = int(np.argmax(scores)) + 1  # it was written after that epoch
    np.testing.assert_allclose(100 * saved["history_errs"][:, 0], scores[:best])
    assert np.isnan(saved["history_errs"][:, 1]).all()  # the released program's second column, of test scores
    assert result["valid"] == max(scores) and result["best_epoch"] == best
    rows = list(csv.DictReader((undisturbed / "predictions.csv").open()))
    right = [row["true"] == row["predicted"] for row in rows]
    assert len(rows) == 8 and 100 * np.mean(right) == result["test"]
    assert np.trace(result["confusion_matrix"]) == sum(right)
    for row in rows:
        np.testing.assert_allclose(float(row["forth"]) + float(row["back"]), 1, atol=2e-6)


def test_loaded_again_it_predicts_the_same(undisturbed, data_folder):
    options, folder = load_options(undisturbed)
    assert folder == data_folder
    model, data = trained_model(undisturbed, "float32"), load_part(data_folder, "test", options)
    probs, score, share = evaluate(model, data)
    rows = list(csv.DictReader((undisturbed / "predictions.csv").open()))
    np.testing.assert_allclose(probs[:, 1], [float(row["back"]) for row in rows], atol=1e-6)
    assert share is None
    for k in (0, int(np.argmax(data.lists.frame_numbers))):
        video_probs, frames, alpha = watch(model, data, k)
        np.testing.assert_allclose(video_probs, probs[k], atol=1e-6)
        assert frames.tolist() == list(range(data.lists.frame_numbers[k]))
        np.testing.assert_allclose(alpha.sum(axis=1), 1, atol=1e-5)


def wait_for(run, condition, process, seconds=200):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if process.poll() is not None:
            return False
        if (run / "log.jsonl").is_file() and condition(len((run / "log.jsonl").read_text().splitlines())):
            return True
        time.sleep(0.002)
    raise AssertionError("the run did not get there in time")


@pytest.mark.parametrize("number, status", [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_killed_and_resumed_it_ends_the_same(number, status, data_folder, tmp_path, undisturbed):
    """Each signal twice, at different places; checkpoints after every update, so that most are within an epoch."""
    run, options = tmp_path / "run", ("--checkpoint-seconds", "0")
    stopped = 0
    for lines in (1, 5):
        process = subprocess.Popen(
            command(data_folder, run, *options), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        if wait_for(run, lambda n, lines=lines: n >= lines, process):
            process.send_signal(number)
            _, errors = process.communicate(timeout=100)
            if process.returncode == status:
                stopped += 1
                if number != signal.SIGKILL:
                    assert errors.strip().endswith(f"{run} is saved: start the same command again to continue")
        else:
            process.communicate()
    assert stopped > 0
    done = train(data_folder, run, *options)
    assert done.returncode == 0, done.stderr
    assert_same_run(run, undisturbed)


def test_full_disk_and_resumed(data_folder, tmp_path, undisturbed):
    """The checkpoint goes to a device that is always full."""
    run = tmp_path / "run"
    run.mkdir()
    (run / "checkpoint.npz.part").symlink_to("/dev/full")
    assert error_of(train(data_folder, run)) == (
        f"error: {run}/checkpoint.npz: could not be written ([Errno 28] No space left on device); "
        "free space and start the same command again"
    )
    assert not list(run.glob("*.part"))
    done = train(data_folder, run)
    assert done.returncode == 0, done.stderr
    assert_same_run(run, undisturbed)


def test_write_file_keeps_the_old_one(tmp_path):
    path = tmp_path / "file"
    write_file(path, lambda file: file.write(b"old"))

    def fail(file):
        file.write(b"new")
        raise OSError(28, "No space left on device")

    with pytest.raises(WriteError) as error:
        write_file(path, fail)
    assert str(error.value) == (
        f"{path}: could not be written ([Errno 28] No space left on device); "
        "free space and start the same command again"
    )
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_finished_run_is_not_done_again(undisturbed, data_folder):
    before = (undisturbed / "result.json").stat().st_mtime_ns
    done = train(data_folder, undisturbed)
    assert done.returncode == 0 and "% on test" in done.stdout
    assert (undisturbed / "result.json").stat().st_mtime_ns == before


def test_several_labels_a_video(data_folder, tmp_path):
    other, run = tmp_path / "data", tmp_path / "run"
    shutil.copytree(data_folder, other)
    for part in ("train", "valid", "test"):
        labels = (other / f"{part}_labels.txt").read_text().split()
        rows = ["1,0" if label == "0" else "0,1" for label in labels]
        rows[0] = "1,1"
        (other / f"{part}_labels.txt").write_text("\n".join(rows))
    done = train(other, run)
    assert done.returncode == 0, done.stderr
    result = json.loads((run / "result.json").read_text())
    assert result["metric"] == "mAP" and 0 < result["test"] <= 100
    np.testing.assert_allclose(result["test"], np.mean([row["percent"] for row in result["classes"]]))
    assert [row["videos"] for row in result["classes"]] == [4, 5] and "confusion_matrix" not in result
    assert next(csv.DictReader((run / "predictions.csv").open()))["true"] == "forth+back"


def test_two_processes_do_not_train_one_run(data_folder, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    with only_process(run, "training this run"):
        found = error_of(train(data_folder, run))
    assert found == f"error: {run}: another process is training this run; wait for it or stop it"


@pytest.mark.parametrize("fps, stride", [(30, 1), (30, 3), (15, 1), (10, 2)])
def test_watch_sees_frames_once_and_in_step(data_folder, undisturbed, fps, stride):
    """Also where windows overlap or come in several phases: every frame of the first phase, none left out."""
    options = load_options(undisturbed)[0].replace(fps=fps, testing_stride=stride)
    data, model = load_part(data_folder, "test", options), trained_model(undisturbed, "float32")
    k = int(np.argmax(data.lists.frame_numbers))
    _, frames, alpha = watch(model, data, k)
    assert set(np.diff(frames)) == {30 // fps} and frames[0] == 0 and len(alpha) == len(frames)


def test_features_of_the_released_program(data_folder, tmp_path):
    """Channels-first rows without attributes: the depth is given, and the run is the same as with ours."""
    other = tmp_path / "data"
    shutil.copytree(data_folder, other)
    for part in ("train", "valid", "test"):
        table = FrameTable(data_folder / f"{part}_features.h5").load()
        with h5py.File(other / f"{part}_features.h5", "w") as file:
            file["features"] = table.transpose(0, 2, 1).reshape(len(table), -1)
    missing = error_of(train(other, tmp_path / "run"))
    assert missing == (
        f"error: {other}/train_features.h5: does not say its feature depth; give it with --ctx-dim (GoogLeNet: 1024)"
    )
    done = train(other, tmp_path / "run", "--ctx-dim", "5", "--max-epochs", "1")
    assert done.returncode == 0, done.stderr


def error_of(done):
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    return [line for line in done.stderr.splitlines() if line.startswith("error: ")][0]


def test_other_options_are_refused(undisturbed, data_folder):
    found = error_of(train(data_folder, undisturbed, "--alpha-c", "1", "--seed", "4"))
    assert found == (
        f"error: {undisturbed}: holds a run of alpha_c 0.0 there, 1.0 now; seed 0 there, 4 now. "
        "Delete it or choose another folder"
    )


def test_other_data_are_refused(undisturbed, data_folder, tmp_path):
    other = tmp_path / "data"
    shutil.copytree(data_folder, other)
    labels = other / "train_labels.txt"
    labels.write_text(labels.read_text()[::-1].strip() + "\n")
    found = error_of(train(other, undisturbed))
    assert found == f"error: {undisturbed}: holds a run of other data. Delete it or choose another folder"


def test_video_in_two_parts(data_folder, tmp_path):
    other = tmp_path / "data"
    shutil.copytree(data_folder, other)
    names = (other / "test_filename.txt").read_text().replace("test3", "train5")
    (other / "test_filename.txt").write_text(names)
    assert error_of(train(other, tmp_path / "run")) == (
        f"error: {other}: 1 videos are in train and in test, such as 'train5'; expected each in one part, or scores "
        "mean nothing; cut the lists anew"
    )
    assert not (tmp_path / "run").exists()


def test_cost_that_is_not_finite_stops(data_folder, tmp_path):
    """It says where; the checkpoint and the best parameters so far stay."""
    found = error_of(train(data_folder, tmp_path / "run", "--lrate", "1e30", "--optimizer", "sgd"))
    assert "the cost is nan at epoch 1, update " in found or "the cost is inf at epoch 1, update " in found
    assert found.endswith("a smaller --lrate (now 1e+30) usually helps")


@pytest.mark.parametrize(
    "options, message",
    [
        (["--fps", "12"], "{data}/train_features.h5: has 30 frames a second; expected a multiple of fps 12"),
        (["--ctx-dim", "7"], "{data}/train_features.h5: feature depth is 5, but ctx_dim is 7; set --ctx-dim 5"),
        (["--n-locations", "49"], "{data}: option n_locations is 49; expected 9 for these data"),
        (["--n-actions", "1"], "{data}/train_labels.txt, line 2: label 1 is out of range; expected 0 to 0"),
    ],
)
def test_wrong_options(data_folder, tmp_path, options, message):
    found = error_of(train(data_folder, tmp_path / "run", *options))
    assert found == "error: " + message.format(data=data_folder)


@pytest.mark.parametrize(
    "options, message",
    [
        (["--learning-rate", "1"], "Unrecognized options: --learning-rate"),
        (["--dim", "0"], "option dim is 0; expected"),
    ],
)
def test_options_that_cannot_be(data_folder, tmp_path, options, message):
    done = train(data_folder, tmp_path / "run", *options)
    assert done.returncode == 2 and message in done.stderr and not (tmp_path / "run").exists()


def test_spoiled_checkpoint(undisturbed, data_folder, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(undisturbed, run)
    (run / "result.json").unlink()
    checkpoint = run / "checkpoint.npz"
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    found = error_of(train(data_folder, run))
    assert found.startswith(f"error: {checkpoint}: not a checkpoint of this run (")
    assert found.endswith("delete it to begin again")


def test_it_learns(data_folder, tmp_path):
    """Order in time, which no single frame shows, at places that change: attention sees what the class is."""
    done = train(
        data_folder, tmp_path / "run", "--model", "attention_mlp_lambda0", "--max-epochs", "40", "--no-use-dropout",
        "--lrate", "0.02", "--dim", "16",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "run" / "result.json").read_text())["valid"] >= 75
