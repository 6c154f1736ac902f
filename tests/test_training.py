"""Training runs through the script: their files, kill and resume, full disk, infinite cost, changed options."""

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

from visual_attention.experiment.data import load_part
from visual_attention.experiment.evaluation import evaluate, watch
from visual_attention.experiment.parameters import trained_model
from visual_attention.experiment.run_folder import load_options
from visual_attention.util.data_lists import write_class_names, write_lists
from visual_attention.util.files import WriteError, write_file
from visual_attention.util.frame_table import FrameTable, FrameTableWriter
from visual_attention.util.workers import only_process

SCRIPT = Path(__file__).parents[1] / "scripts" / "train.py"
TINY = "--maxlen 4 --dim 6 --dim-out 5 --n-layers-lstm 1 --batch-size 4 --max-epochs 3 --lrate 0.01".split()


@pytest.fixture(scope="session")
def data_folder(tmp_path_factory):
    """Two classes that differ in the order of feature peaks. The location of the peaks changes in every frame."""
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
    """Bit-identical best parameters, last parameters, optimizer state, log and predictions."""
    for name in ("model.npz", "checkpoint.npz"):
        actual, expected = arrays(run / name), arrays(other / name)
        assert actual.keys() == expected.keys()
        for key in actual.keys() - {"position"}:
            np.testing.assert_array_equal(actual[key], expected[key], err_msg=key)
    assert log(run) == log(other)
    assert (run / "predictions.csv").read_text() == (other / "predictions.csv").read_text()


def test_files_of_a_run(undisturbed, data_folder):
    assert {path.name for path in undisturbed.iterdir()} == {
        ".lock", "options.json", "log.jsonl", "checkpoint.npz", "model.npz", "predictions.csv", "result.json",
        "SHA256SUMS",
    }  # fmt: skip
    options = json.loads((undisturbed / "options.json").read_text())
    assert options["options"]["dim"] == 6 and options["options"]["ctx_dim"] == 5 and options["options"]["seed"] == 0
    assert {"pytensor", "jax", "numpy", "python"} <= options["versions"].keys() and options["data"].count("-") == 2
    epochs = [line for line in log(undisturbed) if "valid_score" in line]
    assert [line["epoch"] for line in epochs] == [1, 2, 3]
    saved = arrays(undisturbed / "model.npz")
    scores = [line["valid_score"] for line in epochs]
    result = json.loads((undisturbed / "result.json").read_text())
    best = int(np.argmax(scores)) + 1  # model.npz was written after this epoch
    np.testing.assert_allclose(100 * saved["history_errs"][:, 0], scores[:best])
    assert np.isnan(saved["history_errs"][:, 1]).all()  # the released program's second column: test scores
    assert result["valid"] == max(scores) and result["best_epoch"] == best
    rows = list(csv.DictReader((undisturbed / "predictions.csv").open()))
    correct = [row["true"] == row["predicted"] for row in rows]
    assert len(rows) == 8 and 100 * np.mean(correct) == result["test"]
    assert np.trace(result["confusion_matrix"]) == sum(correct)
    for row in rows:
        np.testing.assert_allclose(float(row["forth"]) + float(row["back"]), 1, atol=2e-6)


def test_loaded_run_predicts_the_same(undisturbed, data_folder):
    options, folder = load_options(undisturbed)
    assert folder == data_folder
    model, data = trained_model(undisturbed, "float32"), load_part(data_folder, "test", options)
    probs, score, share = evaluate(model, data)
    rows = list(csv.DictReader((undisturbed / "predictions.csv").open()))
    np.testing.assert_allclose(probs[:, 1], [float(row["back"]) for row in rows], atol=1e-6)
    assert share is None
    for k in (0, int(np.argmax(data.lists.frame_numbers))):
        video_probs, frames, alpha, *_ = watch(model, data, k)
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
    raise AssertionError("the run did not reach the condition in time")


@pytest.mark.parametrize("number, status", [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_killed_and_resumed_run_ends_the_same(number, status, data_folder, tmp_path, undisturbed):
    """Each signal twice, at different moments. A checkpoint follows every update, so most are within an epoch."""
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


WITH_FULL_DISK = """
import builtins, runpy, sys
original, sys.argv = open, sys.argv[1:]
redirect = lambda path: "/dev/full" if "checkpoint.npz.part" in str(path) else path
builtins.open = lambda path, *args, **kwargs: original(redirect(path), *args, **kwargs)
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_run_resumes_after_a_full_disk(data_folder, tmp_path, undisturbed):
    """The checkpoint goes to a device that is always full."""
    run = tmp_path / "run"
    words = [sys.executable, "-c", WITH_FULL_DISK, *command(data_folder, run)[1:]]
    assert error_of(subprocess.run(words, capture_output=True, text=True, timeout=300)) == (
        f"error: {run}/checkpoint.npz: could not be written ([Errno 28] No space left on device); "
        "free space and start the same command again"
    )
    assert not list(run.glob("*.part"))
    done = train(data_folder, run)
    assert done.returncode == 0, done.stderr
    assert_same_run(run, undisturbed)


def test_failed_write_keeps_the_old_file(tmp_path):
    path = tmp_path / "file"
    write_file(path, b"old")

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


def test_finished_run_is_not_repeated(undisturbed, data_folder):
    before = (undisturbed / "result.json").stat().st_mtime_ns
    done = train(data_folder, undisturbed)
    assert done.returncode == 0 and "% on test" in done.stdout
    assert (undisturbed / "result.json").stat().st_mtime_ns == before


def test_several_labels_per_video(data_folder, tmp_path):
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
        error = error_of(train(data_folder, run))
    assert error == f"error: {run}: another process is training this run; wait for it or stop it"


@pytest.mark.parametrize("fps, stride", [(30, 1), (30, 3), (15, 1), (10, 2)])
def test_watch_sees_each_frame_once(data_folder, undisturbed, fps, stride):
    """Also if windows overlap or come in several phases: every frame of the first phase is seen."""
    options = load_options(undisturbed)[0].replace(fps=fps, testing_stride=stride)
    data, model = load_part(data_folder, "test", options), trained_model(undisturbed, "float32")
    k = int(np.argmax(data.lists.frame_numbers))
    _, frames, alpha, *_ = watch(model, data, k)
    assert set(np.diff(frames)) == {30 // fps} and frames[0] == 0 and len(alpha) == len(frames)


def test_features_of_the_released_program(data_folder, tmp_path):
    """They have channels-first rows without attributes, so the depth must be given."""
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
    error = error_of(train(data_folder, undisturbed, "--alpha-c", "1", "--seed", "4"))
    assert error == (
        f"error: {undisturbed}: holds a run of alpha_c 0.0 there, 1.0 now; seed 0 there, 4 now. "
        "Delete it or choose another folder"
    )


def test_other_data_are_refused(undisturbed, data_folder, tmp_path):
    other = tmp_path / "data"
    shutil.copytree(data_folder, other)
    labels = other / "train_labels.txt"
    labels.write_text(labels.read_text()[::-1].strip() + "\n")
    error = error_of(train(other, undisturbed))
    assert error == f"error: {undisturbed}: holds a run of other data. Delete it or choose another folder"


def test_video_in_two_parts_is_refused(data_folder, tmp_path):
    other = tmp_path / "data"
    shutil.copytree(data_folder, other)
    names = (other / "test_filename.txt").read_text().replace("test3", "train5")
    (other / "test_filename.txt").write_text(names)
    assert error_of(train(other, tmp_path / "run")) == (
        f"error: {other}: 1 video(s) are in train and in test, such as 'train5'; expected each in one part, or scores "
        "mean nothing; cut the lists anew"
    )
    assert not (tmp_path / "run").exists()


def test_cost_that_is_not_finite_stops_training(data_folder, tmp_path):
    """The error names the epoch and update."""
    error = error_of(train(data_folder, tmp_path / "run", "--lrate", "1e30", "--optimizer", "sgd"))
    assert "the cost is nan at epoch 1, update " in error or "the cost is inf at epoch 1, update " in error
    assert error.endswith("a smaller --lrate (now 1e+30) usually helps")


@pytest.mark.parametrize(
    "options, message",
    [
        (
            ["--fps", "12"],
            "{data}/train_features.h5: has 30 frames a second; expected a multiple of fps 12; choose another --fps",
        ),
        (["--ctx-dim", "7"], "{data}/train_features.h5: feature depth is 5, but ctx_dim is 7; set --ctx-dim 5"),
        (["--n-locations", "49"], "{data}/train_features.h5: option n_locations is 49; expected 9 for these data"),
        (
            ["--n-actions", "1"],
            "{data}/train_labels.txt, line 2: label 1 is out of range; expected 0 to 0; correct it, or name the class "
            "in class_names.txt",
        ),
    ],
)
def test_wrong_options(data_folder, tmp_path, options, message):
    error = error_of(train(data_folder, tmp_path / "run", *options))
    assert error == "error: " + message.format(data=data_folder)


@pytest.mark.parametrize(
    "options, status, message",
    [
        (
            ["--learning-rate", "1"],
            1,
            "error: option --learning-rate is unknown; expected --lrate, perhaps; --help lists",
        ),
        (["--dim", "0"], 2, "option dim is 0; expected"),
    ],
)
def test_impossible_options_are_refused(data_folder, tmp_path, options, status, message):
    done = train(data_folder, tmp_path / "run", *options)
    assert done.returncode == status and message in done.stderr and not (tmp_path / "run").exists()


def test_damaged_checkpoint_is_an_error(undisturbed, data_folder, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(undisturbed, run)
    (run / "result.json").unlink()
    checkpoint = run / "checkpoint.npz"
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    error = error_of(train(data_folder, run))
    assert error.startswith(f"error: {checkpoint}: not a checkpoint of this run (")
    assert error.endswith("delete it to begin again")


def test_attention_learns_an_order_in_time(data_folder, tmp_path):
    """No single frame shows the class, and the informative location changes, but mlp attention learns it."""
    done = train(
        data_folder, tmp_path / "run", "--model", "attention_mlp_lambda0", "--max-epochs", "40", "--no-use-dropout",
        "--lrate", "0.02", "--dim", "16",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "run" / "result.json").read_text())["valid"] >= 75
