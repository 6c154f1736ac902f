"""Recipe `released`: numbers recorded from the released program, and its optimizers, checkpoints and scripts."""

import json
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytensor
import pytest
from test_model import RELEASED, TINY, make_batch, make_model, values
from test_training import arrays, data_folder, error_of  # noqa: F401  (a fixture)

from visual_attention import backends, optimizers
from visual_attention.experiment import released
from visual_attention.experiment.evaluation import window_scores
from visual_attention.experiment.replay import replay
from visual_attention.options import DATA_SETS, Options, recipe

SCRIPTS = Path(__file__).parents[1] / "scripts"
GOLDEN = Path(__file__).parent / "data"


def script(name, *arguments):
    command = [sys.executable, str(SCRIPTS / name), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=600)


# ---------------------------------------------------------------- recorded numbers


def test_recorded_numbers_in_double_precision(tmp_path):
    """Every kind of file. The table, the summary and the JSON file agree."""
    done = script("compare_with_released.py", "--golden", GOLDEN, "--float64", "--json", tmp_path / "a" / "errors.json")
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    names = sorted(path.name for path in GOLDEN.glob("*.npz"))
    assert [line.split()[0] for line in lines[1:-1]] == names and len(names) == 10
    assert all(line.endswith("  ok") for line in lines[1:-1])
    assert lines[-1].startswith("10 files, 0 off; backend jax, float64; largest errors: outputs ")
    report = json.loads((tmp_path / "a" / "errors.json").read_text())
    assert report["off"] == 0 and [entry["file"] for entry in report["files"]] == names
    checks = {entry["file"]: {c["kind"]: c["error"] for c in entry["checks"]} for entry in report["files"]}
    assert 0 < checks["model_all_att2.npz"]["gradients"] < 1e-12
    assert checks["windows.npz"] == {"outputs": 0.0} and checks["video_scores.npz"] == {"outputs": 0.0}
    assert checks["optim_acc_adam.npz"].keys() == {"updates"} and report["largest"]["outputs"] < 1e-12


@pytest.mark.parametrize(
    "name, floatX, backend_name",
    [
        ("model_all_att2", "float32", "jax"),
        ("optim_acc_sgd", "float32", "jax"),
        ("noise_drop", "float32", "c"),
    ],
)
def test_recorded_numbers(name, floatX, backend_name):
    checks = replay(GOLDEN / f"{name}.npz", floatX, backend_name)
    assert {check.kind for check in checks} == ({"updates"} if "optim" in name else {"outputs", "gradients"})
    for check in checks:
        assert check.good, check


def tampered(tmp_path, name, **changes):
    """Writes a copy of a file of recorded numbers with changed entries; returns its folder."""
    saved = arrays(GOLDEN / f"{name}.npz")
    np.savez(tmp_path / f"{name}.npz", **{**saved, **{k.replace("__", "/"): v for k, v in changes.items()}})
    return tmp_path


def test_numbers_that_are_off_are_reported(tmp_path):
    saved = arrays(GOLDEN / "model_masktime.npz")
    h, U = saved["o/h"].copy(), saved["g/decoder_U"].copy()
    h[2, 1, 3] += 1e-4
    U[0, 0] += 1e-3 * np.abs(U).max()
    folder = tampered(tmp_path, "model_masktime", o__h=h, o64__h=h, g__decoder_U=U, g64__decoder_U=U)
    starts = arrays(GOLDEN / "windows.npz")["T8_fps15_stride1/starts"]
    tampered(tmp_path, "windows", T8_fps15_stride1__starts=starts + 1)
    done = script("compare_with_released.py", "--golden", folder)
    assert done.returncode == 1
    model, windows, summary = done.stdout.splitlines()[1:]
    assert model.endswith("OFF: outputs h, bar 1e-05; gradients decoder_U, bar 0.0001")
    assert windows.endswith("OFF: outputs T8_fps15_stride1/starts, bar 0") and summary.startswith("2 files, 2 off; ")


def test_nan_and_missing_numbers_are_off(tmp_path):
    saved = arrays(GOLDEN / "init_plain.npz")
    folder = tampered(tmp_path, "init_plain", p__decoder_W=np.full_like(saved["p/decoder_W"], np.nan))
    (check,) = replay(folder / "init_plain.npz")
    assert not check.good and check.where == "decoder_W"
    saved = arrays(GOLDEN / "model_masktime.npz")
    np.savez(tmp_path / "model.npz", **{k: v for k, v in saved.items() if k != "g/decoder_U"})
    with pytest.raises(ValueError, match="model.npz: key 'g/decoder_U' is missing"):
        replay(tmp_path / "model.npz")
    np.savez(tmp_path / "model.npz", **{**saved, "mask": saved["mask"][:3]})
    with pytest.raises(ValueError, match=r"model.npz: mask is \(3, 5\); expected \(6, 5\)"):
        replay(tmp_path / "model.npz")


def test_labels_may_change_within_a_window(tmp_path):
    saved = arrays(GOLDEN / "model_masktime.npz")
    y = np.random.default_rng(0).integers(0, 4, saved["y"].shape)
    p = np.take_along_axis(saved["o64/probs"], y[:, :, None], axis=2)[:, :, 0]
    cost = -(saved["mask"] * np.log(p + 1e-8)).sum()
    changes = {f"{kind}__{name}": cost for kind in ("o", "o64") for name in ("cost0", "cost")}
    outputs, gradients = replay(tampered(tmp_path, "model_masktime", y=y, **changes) / "model_masktime.npz", "float64")
    assert outputs.good and not gradients.good  # the recorded gradients belong to other labels


def test_files_without_recorded_numbers_are_reported(tmp_path):
    (tmp_path / "broken.npz").write_bytes(b"PK nothing")
    np.savez(tmp_path / "other.npz", a=1)
    saved = arrays(GOLDEN / "init_plain.npz")
    del saved["seed"]
    np.savez(tmp_path / "seedless.npz", **saved)
    done = script("compare_with_released.py", "--golden", tmp_path)
    broken, other, seedless, summary = done.stdout.splitlines()[1:]
    assert done.returncode == 1 and summary.startswith("3 files, 3 off; ")
    assert f"OFF: {tmp_path}/broken.npz: not an .npz of plain arrays (" in broken
    assert other.endswith(f"OFF: {tmp_path}/other.npz: its keys tell of no known kind of file; found a, ...")
    assert seedless.endswith(f"OFF: {tmp_path}/seedless.npz: key 'seed' is missing")
    (tmp_path / "empty").mkdir()
    gone = error_of(script("compare_with_released.py", "--golden", tmp_path / "gone"))
    assert gone == f"error: {tmp_path}/gone: no such folder; expected one of recorded numbers, as tests/data"
    empty = error_of(script("compare_with_released.py", "--golden", tmp_path / "empty"))
    assert empty == f"error: {tmp_path}/empty: holds no .npz of recorded numbers"
    assert error_of(script("compare_with_released.py")) == "error: expected either --golden DIR or --embedded"


@pytest.mark.parametrize("multilabel", [False, True])
def test_saturated_single_precision_follows_double(multilabel):
    """Cost and every gradient with right and wrong logits of +-50, so that probabilities are 0 and 1."""
    results = {}
    for floatX in ("float64", "float32"):
        changes = RELEASED | {"pooling": "mean", "multilabel": multilabel, "use_dropout": False, "floatX": floatX}
        options = TINY.replace(**changes)
        model, batch = make_model(options), make_batch(options)
        for name in model.tparams:  # the same values in both precisions, so large that logits reach the hundreds
            value = np.random.default_rng(len(name)).normal(0, 0.5, model.tparams[name].get_value().shape)
            model.tparams[name].set_value(value.astype("float32").astype(floatX))
        model.tparams["ff_logit_b"].set_value(np.array([50, -50, 0], floatX))
        batch.y[:] = [0, 1, 2] if not multilabel else [[1, 0, 0], [0, 1, 0], [1, 1, 1]]
        before, cost = values(model), model.update(batch, None)
        # what sgd at rate 1 subtracts; small gradients are lost to rounding in large parameters
        results[floatX] = {"cost": cost} | {k: before[k].astype("float64") - v for k, v in values(model).items()}
    for name, exact in results["float64"].items():
        assert np.isfinite(results["float32"][name]).all()
        scale = np.abs(exact).max() + (0 if name == "cost" else 0.5)
        np.testing.assert_allclose(results["float32"][name] / scale, exact / scale, atol=1e-5, err_msg=name)
    assert results["float64"]["cost"] > 18  # one window is completely wrong: -log 1e-8


# ---------------------------------------------------------------- optimizers


def steps(optimizer, n=6):
    """Yields a parameter with gradient 4 theta^3 after each update of an optimizer, in double precision."""
    backends.set_precision("float64", "c")
    theta = pytensor.shared(np.array([1.0, -2.0]), name="theta", shape=(2,))
    updates = optimizer(np.float64(123), {"theta": theta}, [pytensor.grad((theta**4).sum(), theta)])
    step = pytensor.function([], [], updates=updates, mode="FAST_COMPILE")
    for _ in range(n):
        step()
        yield theta.get_value()


def test_adam_released():
    """The first step is 2e-4 sqrt(1 - 0.001) / (1 - 0.1) * 0.1 / sqrt(0.001), about 3.5 times the rate."""
    theta, m, v = np.array([1.0, -2.0]), 0, 0
    for t, value in enumerate(steps(optimizers.adam_released), start=1):
        g = 4 * theta**3
        m, v = 0.1 * g + 0.9 * m, 0.001 * g**2 + 0.999 * v
        theta = theta - 2e-4 * np.sqrt(1 - 0.001**t) / (1 - 0.1**t) * m / (np.sqrt(v) + 1e-8)
        np.testing.assert_allclose(value, theta, rtol=1e-12)
        if t == 1:
            np.testing.assert_allclose(1 - theta[0], 3.5 * 2e-4, rtol=0.01)


def test_adadelta():
    theta, mean2, step2 = np.array([1.0, -2.0]), 0, 0
    for value in steps(optimizers.adadelta):
        g = 4 * theta**3
        mean2 = 0.95 * mean2 + 0.05 * g**2
        step = -np.sqrt(step2 + 1e-6) / np.sqrt(mean2 + 1e-6) * g
        step2, theta = 0.95 * step2 + 0.05 * step**2, theta + step
        np.testing.assert_allclose(value, theta, rtol=1e-12)


def test_rmsprop():
    theta, mean, mean2, step = np.array([1.0, -2.0]), 0, 0, 0
    for value in steps(optimizers.rmsprop):
        g = 4 * theta**3
        mean, mean2 = 0.95 * mean + 0.05 * g, 0.95 * mean2 + 0.05 * g**2
        step = 0.9 * step - 1e-4 * g / np.sqrt(mean2 - mean**2 + 1e-4)
        theta = theta + step
        np.testing.assert_allclose(value, theta, rtol=1e-12)


# ---------------------------------------------------------------- scores


def test_votes_of_the_last_steps():
    """Of three windows, the average gives class 0 and the votes give class 1; last_n leaves out the first step."""
    probs = np.array([[[0, 1], [0, 1], [0, 1]], [[0.95, 0.05], [0.4, 0.6], [0.4, 0.6]]])  # (T, n, C)
    average = window_scores(Options(last_n=1), probs)
    np.testing.assert_allclose(average, probs[1])
    votes = window_scores(Options(last_n=1, video_score="vote"), probs)
    np.testing.assert_array_equal(votes, [[1, 0], [0, 1], [0, 1]])
    assert average.mean(axis=0).argmax() == 0 and votes.mean(axis=0).argmax() == 1
    for last_n in (0, 2, 99):
        np.testing.assert_allclose(window_scores(Options(last_n=last_n), probs), probs.mean(axis=0))
    several = window_scores(Options(last_n=1, video_score="vote", multilabel=True), probs)
    np.testing.assert_allclose(several, probs[1])


# ---------------------------------------------------------------- checkpoints


def python2_pickle(options):
    """The bytes that Python 2's pickle.dump(options) writes: protocol 0, texts as byte strings."""
    text, letters = "(dp0\n", {int: "I", float: "F", str: "S"}
    for name, value in options.items():
        if value is None:
            word = "N"
        elif isinstance(value, bool):
            word = f"I0{int(value)}\n"
        else:
            word = f"{letters[type(value)]}{value!r}\n"
        text += f"S'{name}'\n{word}s"
    return (text + ".").encode()


def test_options_survive_a_round_trip():
    for data_set in DATA_SETS:
        ours = recipe("released", data_set)
        back = released.from_released(released.to_released(ours))
        assert back == ours.replace(video_score="vote")
    assert released.to_released(recipe("paper", "ucf11")) is None


def test_fps_act_as_in_the_released_program():
    """The program takes every int(30 / fps)-th frame."""
    for fps, acts_as in ((30, 30), (15, 15), (12, 15), (20, 30), (10, 10), (6, 6)):
        assert released.from_released({"fps": fps}).fps == acts_as


def test_options_of_the_released_scripts():
    """The options that the three scripts of the released program set."""
    ucf11, hmdb51, hollywood2 = (released.to_released(recipe("released", name)) for name in DATA_SETS[:3])
    common = {"ctx_dim": 1024, "maxlen": 30, "batch_size": 128, "max_epochs": 15, "decay_c": 1e-5, "alpha_c": 0,
              "use_dropout": True, "training_stride": 1, "testing_stride": 1, "n_layers_out": 1, "n_layers_init": 1,
              "ctx2out": False, "selector": False, "temperature_inverse": 1, "fps": 30}  # fmt: skip
    for options in (ucf11, hmdb51, hollywood2):
        assert common.items() <= options.items()
    assert {"dim": 512, "dim_out": 512, "n_actions": 11, "n_layers_att": 1, "optimizer": "adam", "lrate": 1e-4,
            "last_n": 30, "dataset": "ucf11"}.items() <= ucf11.items()  # fmt: skip
    assert {"dim": 1024, "dim_out": 1024, "n_actions": 51, "n_layers_att": 3, "optimizer": "sgd", "lrate": 1e-5,
            "last_n": 16}.items() <= hmdb51.items()  # fmt: skip
    assert {"dim": 512, "dim_out": 512, "n_actions": 12, "n_layers_att": 1, "optimizer": "sgd", "lrate": 1e-4,
            "last_n": 16, "dataset": "h2mAP"}.items() <= hollywood2.items()  # fmt: skip


class Malicious:
    def __reduce__(self):
        return print, ("run",)


@pytest.mark.parametrize(
    "content, message",
    [
        (b"cos\nsystem\n(S'touch /tmp/x'\ntR.", "it names os.system"),
        (pickle.dumps({"dim": Malicious()}, protocol=2), "it names __builtin__.print"),
        (pickle.dumps({"dim": np.float64(3)}, protocol=2), "it names numpy"),
        (python2_pickle({"dim": 5})[:-3], None),
        (b"", None),
        (pickle.dumps([1, 2], protocol=0), "refused; expected a pickled dict of option names and plain values"),
        (pickle.dumps({"dim": {"a": 1}}, protocol=0), "refused; expected a pickled dict of option names"),
    ],
)
def test_bad_pickles_are_refused(tmp_path, capsys, content, message):
    path = tmp_path / "model.npz.pkl"
    path.write_bytes(content)
    with pytest.raises(ValueError) as error:
        released.read_options(path)
    assert str(error.value).startswith(f"{path}: refused") and "plain values, nothing else" in str(error.value)
    assert message is None or message in str(error.value)
    assert capsys.readouterr().out == ""


def test_checkpoints_both_ways(data_folder, tmp_path):  # noqa: F811
    """evaluate_ucf11.py --recipe released leaves the same files as the released program. Written as Python 2 writes
    them, they are imported and give the same predictions."""
    run, tiny = tmp_path / "run", "--maxlen 4 --dim 6 --dim-out 5 --batch-size 4 --max-epochs 2".split()
    done = script(
        "evaluate_ucf11.py", "--data", data_folder, "--run", run, "--recipe", "released", *tiny, "--selector",
        "--n-layers-att", "2", "--last-n", "3", "--alpha-c", "0.5",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    saved = arrays(run / "model.npz")
    assert saved["history_errs"].shape[1] == 2 and (saved["history_errs"][:, 0] <= 1).all()
    assert list(saved) == [
        "history_errs", "ff_state_W", "ff_state_b", "ff_memory_W", "ff_memory_b", "decoder_W", "decoder_U", "decoder_b",
        "decoder_Wc_att", "decoder_Wd_att", "decoder_b_att", "decoder_W_att_1", "decoder_b_att_1", "decoder_U_att",
        "decoder_c_tt", "decoder_W_sel", "decoder_b_sel", "ff_logit_lstm_W", "ff_logit_lstm_b", "ff_logit_W",
        "ff_logit_b",
    ]  # fmt: skip
    options = released.read_options(run / "model.npz.pkl")
    assert options["selector"] is True and options["dim"] == 6 and options["optimizer"] == "adam"
    checkpoint = tmp_path / "model_ucf11.npz"
    extra = {"zipped_params": np.array({"an": "object"}, dtype=object), "test_err": 0.5}
    np.savez(checkpoint, **extra, **saved)
    Path(f"{checkpoint}.pkl").write_bytes(python2_pickle(options))
    done = script("import_released.py", checkpoint, "--data", data_folder, "--run", tmp_path / "imported")
    assert done.returncode == 0, done.stderr
    imported, original = ((folder / "predictions.csv").read_text() for folder in (tmp_path / "imported", run))
    assert imported == original
    result = json.loads((tmp_path / "imported" / "result.json").read_text())
    assert result["test"] == json.loads((run / "result.json").read_text())["test"]
    assert done.stdout.strip() == f"{tmp_path}/imported: accuracy {result['test']:.2f} % on test"
    done = script("draw_attention.py", tmp_path / "imported", "--video", "none")
    assert "names no video 'none'" in error_of(done)  # it is a run like any other


def test_checkpoint_that_does_not_fit(data_folder, tmp_path):  # noqa: F811
    checkpoint = tmp_path / "model.npz"
    arguments = [checkpoint, "--data", data_folder, "--run", tmp_path / "run"]
    missing = error_of(script("import_released.py", *arguments))
    assert missing == f"error: {checkpoint}.pkl: no such file; the released program writes it beside the .npz"
    shutil.copy(GOLDEN / "init_plain.npz", checkpoint)
    options = {"dim": 7, "dim_out": 6, "ctx_dim": 5, "n_actions": 4, "maxlen": 4, "batch_size": 4, "optimizer": "adam"}
    Path(f"{checkpoint}.pkl").write_bytes(python2_pickle(options))
    error = error_of(script("import_released.py", *arguments))
    assert error == f"error: {checkpoint}: parameter ff_state_W is none; expected (5, 7)"
    Path(f"{checkpoint}.pkl").write_bytes(python2_pickle({**options, "dataset": "h2mAP"}))
    error = error_of(script("import_released.py", *arguments))
    assert error == f"error: {data_folder}/test_labels.txt: option multilabel is True; expected False for these data"
    Path(f"{checkpoint}.pkl").write_bytes(python2_pickle({"dim": 7}))
    error = error_of(script("import_released.py", *arguments))
    assert error == f"error: {checkpoint}.pkl: has no option ctx_dim; expected the released program's options"
    assert not (tmp_path / "run").exists()


# ---------------------------------------------------------------- scripts


def test_recipes_side_by_side():
    done = script("show_recipes.py", "hmdb51")
    rows = {line[2:].split()[0]: line.split() for line in done.stdout.splitlines()}
    assert rows["n_layers_att"] == [">", "n_layers_att", "1", "3"] and rows["lrate"] == [">", "lrate", "0.001", "1e-05"]
    assert rows["dim"] == ["dim", "1024", "1024"] and rows["hmdb51"] == ["hmdb51", "paper", "released"]
    assert rows.keys() - {"hmdb51"} == set(Options.__dataclass_fields__)


@pytest.mark.parametrize("name, rate", [("ucf11", "0.0001"), ("hmdb51gln", "1e-05"), ("mAP", "0.0001")])
def test_old_script_names_have_every_option(name, rate):
    done = script(f"evaluate_{name}.py", "--recipe", "released", "--help")
    text = done.stdout.replace("│", " ")
    for option in Options.__dataclass_fields__:
        assert f"--{option.replace('_', '-')}" in text
    assert done.returncode == 0 and f"(default: {rate})" in text


def test_several_labels_with_the_released_recipe(data_folder, tmp_path):  # noqa: F811
    other = tmp_path / "data"
    shutil.copytree(data_folder, other)
    for part in ("train", "valid", "test"):
        labels = (other / f"{part}_labels.txt").read_text().split()
        (other / f"{part}_labels.txt").write_text("".join("1,0\n" if label == "0" else "1,1\n" for label in labels))
    done = script(
        "evaluate_mAP.py", "--data", other, "--run", tmp_path / "run", "--recipe", "released",
        *"--maxlen 4 --dim 6 --dim-out 5 --batch-size 4 --max-epochs 1".split(),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["metric"] == "mAP" and result["classes"][0]["percent"] == 100
    assert released.read_options(tmp_path / "run" / "model.npz.pkl")["dataset"] == "h2mAP"
