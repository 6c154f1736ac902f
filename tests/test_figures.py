"""The figures and their page, the glimpse study, and measurements of glimpses, checked on small cases."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbclient
import nbformat
import numpy as np
import pytest
from PIL import Image

from visual_attention.actrec import init_params
from visual_attention.experiment import parameters, run_folder
from visual_attention.experiment.data import load_coverage, load_part
from visual_attention.experiment.evaluation import evaluate, watch
from visual_attention.experiment.parameters import trained_model
from visual_attention.experiment.runs import evaluate_run
from visual_attention.model import model_for
from visual_attention.options import recipe
from visual_attention.presentation import figures, glimpse_numbers
from visual_attention.presentation.figures import Figure, drawn_samples, given_glimpse, study
from visual_attention.presentation.figures.given_glimpse import parse_glimpse
from visual_attention.presentation.figures.study import location_weights, params_for_updates, redrawn, set_params
from visual_attention.presentation.finished_runs import Choices, Runs
from visual_attention.presentation.page import make_figures, render
from visual_attention.util.embedded import make_embedded

TINY = {"maxlen": 5, "testing_stride": 7, "dim": 8, "dim_out": 8, "n_layers_lstm": 2, "batch_size": 8}
NAMES = ("attention_lambda0", "attention_lambda1", "attention_mlp_lambda0")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_embedded(tmp_path_factory.mktemp("embedded") / "data", seed=1, videos_per_class=(1, 1, 1), workers=1)


def make_run(folder, data, options, tested=True, scale=1):
    """A run that was not trained: initial parameters, with location weights times 4 for sharper glimpses.

    scale: factor of all other parameters.
    """
    part = load_part(data, "test", options)
    run_folder.open_run(folder, options, part.digest(), data)
    model = model_for(options, part.table.dtype)
    location = location_weights(options) if options.pooling == "attention" else ()
    for name, variable in model.tparams.items():
        variable.set_value((4 if name in location else scale) * np.asarray(variable.get_value()))
    parameters.write_params(folder / "model.npz", model, [])
    if tested:
        evaluate_run(model, folder, part, {})
    return folder, part


@pytest.fixture(scope="module")
def runs(data, tmp_path_factory):
    """Runs of three models; the first has two seeds."""
    folder = tmp_path_factory.mktemp("runs") / "embedded"
    for name in NAMES:
        for seed in (0, 1) if name == NAMES[0] else (0,):
            make_run(folder / name / f"seed{seed}", data, recipe("paper", "embedded", name, seed=seed, **TINY))
    return folder


# ---------------------------------------------------------------- numbers


def test_entropy_movement_overlap():
    first, uniform = np.eye(4)[:1], np.full((1, 4), 0.25)
    np.testing.assert_allclose(glimpse_numbers.entropy(np.concatenate([first, uniform])), [0, np.log(4)], atol=1e-12)
    steps = np.stack([first, first, np.eye(4)[1:2], uniform])  # (T, 1, L)
    np.testing.assert_allclose(glimpse_numbers.movement(steps)[:, 0], [0, 1, 0.75])
    np.testing.assert_allclose(glimpse_numbers.overlap(first, uniform), [0.25])
    np.testing.assert_allclose(glimpse_numbers.overlap(uniform, uniform), [1])


def test_numbers_of_a_known_model(data):
    """The model predicts class 0 at step 1, class 1 at all later steps, and looks at location t at step t."""
    options = recipe("paper", "embedded", **TINY)

    class Known:
        def predict(self, batch):
            T, B = batch.index.shape
            probs = np.zeros((T, B, 8))
            probs[0, :, 0], probs[1:, :, 1] = 1, 0.8
            return probs, np.repeat(np.eye(49)[:T, None], B, axis=1)

    model, part = Known(), load_part(data, "test", options)  # after two steps: 0.5 for class 0, 0.4 for class 1
    model.options = options.replace(last_n=1)
    numbers = glimpse_numbers.of_model(model, part, load_coverage(part))
    by_class = 100 * np.bincount(part.labels, minlength=8) / len(part.labels)
    assert numbers["score_by_steps"] == [by_class[0]] * 2 + [by_class[1]] * 3 and numbers["score"] == by_class[1]
    np.testing.assert_allclose(numbers["entropy"], 0, atol=1e-12)
    np.testing.assert_allclose(numbers["movement"], 1)
    coverage = load_coverage(part)
    np.testing.assert_allclose(numbers["on_figure"], [coverage[part.index[t], t].mean() for t in range(5)])
    assert numbers["score"] == evaluate(model, part)[1]


# ---------------------------------------------------------------- a given glimpse


def test_glimpse_from_text(tmp_path):
    glimpse = parse_glimpse("2,5,1", 49)
    assert glimpse.argmax() == 2 * 7 + 5 and glimpse.sum() == pytest.approx(1)
    # one location from the centre is half a width, which is one standard deviation
    assert parse_glimpse("3,3,2", 49)[3 * 7 + 4] / parse_glimpse("3,3,2", 49)[24] == pytest.approx(np.exp(-0.5))
    assert parse_glimpse("0,6,0.001", 49).max() == 1 and np.ptp(parse_glimpse("3,3,1e6", 49)) < 1e-9
    path = tmp_path / "glimpse.json"
    weights = np.random.default_rng(0).random((5, 7, 7))
    for value in (weights[0], weights[0].ravel(), weights, weights.reshape(5, 49)):
        path.write_text(json.dumps(value.tolist()))
        glimpse, flat = parse_glimpse(str(path), 49, 5), value.reshape(-1, 49)
        np.testing.assert_allclose(glimpse.reshape(-1, 49), flat / flat.sum(axis=1, keepdims=True))


@pytest.mark.parametrize(
    "text, message",
    [
        ("3,4", "option --glimpse is '3,4'; expected row,column,width or the name of a .json"),
        ("7,0,1", "option --glimpse is '7,0,1'; expected row and column from 0 to 6, width above 0"),
        ("3,3,0", "option --glimpse is '3,3,0'; expected row and column from 0 to 6, width above 0"),
        ("nan,3,1", "option --glimpse is 'nan,3,1'; expected row and column from 0 to 6, width above 0"),
        ([1] * 48, "holds (48,) numbers; expected 49 or 5 x 49"),
        ([0] * 49, "expected weights that are not negative, and some above 0 at each step"),
        ([-1] + [1] * 48, "expected weights that are not negative, and some above 0 at each step"),
        ("no JSON", "not a JSON of numbers"),
    ],
)
def test_glimpses_that_are_refused(text, message, tmp_path):
    if text == "no JSON" or isinstance(text, list):
        path = tmp_path / "glimpse.json"
        path.write_text(text if isinstance(text, str) else json.dumps(text))
        text = str(path)
    with pytest.raises(ValueError) as error:
        parse_glimpse(text, 49, 5)
    assert message in str(error.value)


SWITCHES = {
    "paper": {"model": "attention_lambda0"},
    "released": {"recipe_name": "released", "n_layers_init": 2, "n_layers_out": 2, "selector": True, "ctx2out": True},
}


@pytest.mark.parametrize("switches", SWITCHES)
def test_a_model_given_its_own_glimpse_predicts_the_same(switches, data, tmp_path):
    """So h_0, c_0 and everything after the attended vectors are the model's own. Another glimpse changes the result."""
    changes = dict(SWITCHES[switches])
    options = recipe(changes.pop("recipe_name", "paper"), "embedded", **({**TINY, "n_layers_lstm": 1} | changes))
    run, part = make_run(tmp_path / "run", data, options, tested=False)
    model, batch = trained_model(run, part.table.dtype), next(part.batches(np.arange(10), 8))
    probs, alpha = model.predict(batch)
    given = given_glimpse.model_given_glimpses(run)
    np.testing.assert_allclose(given.predict(batch, given=alpha)[0], probs, rtol=2e-5, atol=1e-6)
    assert np.abs(given.predict(batch, given=np.eye(49)[10])[0] - probs).max() > 1e-4
    # for a whole video, where windows overlap: one glimpse, and the same glimpse repeated at each step
    glimpses = [np.eye(49)[10], np.tile(np.eye(49)[10], (5, 1))]
    single, repeated = given_glimpse.video_probabilities(given, options, part, 1, glimpses)
    np.testing.assert_allclose(single, repeated)
    assert single.sum() == pytest.approx(1)


# ---------------------------------------------------------------- the study


ATTENTION_WEIGHTS = {
    "attention_lambda0": ["W_loc"],
    "attention_mlp_lambda0": ["U_att", "W_att_1", "Wc_att", "Wd_att", "b_att", "b_att_1", "c_tt"],
}


@pytest.mark.parametrize("model", ATTENTION_WEIGHTS)
def test_location_weights(model):
    options = recipe("paper", "embedded", model, **TINY, n_layers_att=2 if "mlp" in model else 1)
    params, names = init_params(options), location_weights(options)
    assert sorted(name.removeprefix("decoder_") for name in names) == ATTENTION_WEIGHTS[model]
    drawn = redrawn(options, params, np.random.default_rng(0))
    for name, value in params.items():
        assert (drawn[name] is value) == (name not in names)
        assert value.min() <= drawn[name].min() and drawn[name].max() <= value.max()
        assert drawn[name].dtype == value.dtype and (
            name not in names or not np.ptp(value) or (drawn[name] != value).all()
        )


@pytest.mark.parametrize("recipe_name", ["paper", "released"])
def test_an_update_without_dropped_units_computes_what_testing_computes(data, recipe_name):
    """By the cost, which is the cross-entropy alone. Without halved weights it is another."""
    options = recipe(recipe_name, "embedded", **TINY, n_layers_init=2, n_layers_out=2,
                     ctx2out=True, init="glorot", cost="paper", alpha_c=0.0, decay_c=0.0)  # fmt: skip
    part = load_part(data, "test", options)
    model, batch = model_for(options, part.table.dtype), next(part.batches(np.arange(8), options.batch_size))
    params, n = parameters.params_of(model), len(batch.windows)
    probs = model.predict(batch)[0][:, :n]
    expected = -np.log(probs[:, np.arange(n), batch.y[:n]]) * batch.mask[:, :n]
    rng = np.random.default_rng(0)
    set_params(model, params_for_updates(options, params))
    assert model.update(batch, rng, drop=False) == pytest.approx(expected.sum() / n, rel=1e-5)
    set_params(model, params)
    assert model.update(batch, rng, drop=False) != pytest.approx(expected.sum() / n, rel=1e-3)


def test_study_changes_location_weights_alone_until_the_class_is_right(tmp_path, data, monkeypatch):
    run, part = make_run(tmp_path / "run", data, recipe("paper", "embedded", seed=3, **TINY))
    models = []
    probs = run_folder.load_predictions(run, len(part.labels))
    wrong = np.flatnonzero(probs.argmax(axis=1) != part.labels)
    monkeypatch.setattr(study, "model_for", lambda *a: models.append(model_for(*a)) or models[-1])
    # The nearest misses come first. Location weights alone need not be able to correct every video.
    for k in sorted(map(int, wrong), key=lambda k: probs[k].max() - probs[k, part.labels[k]])[:8]:
        assert study.study(run, part, k, random_wrong=True) is None  # the trained weights are wrong
        stages = study.study(run, part, k, seed=3, lrate=0.1, most=99)
        if stages["optimised"].right:
            break
    expected, rows, alpha, *_ = watch(trained_model(run, part.table.dtype), part, k)
    after, before = parameters.params_of(models[-1]), parameters.read_arrays(run / "model.npz")
    for name, value in after.items():
        assert np.array_equal(value, before[name]) == (name != "decoder_W_loc")
    trained, random, last = stages["trained"], stages["random"], stages["optimised"]
    np.testing.assert_allclose(trained.probs, expected, rtol=1e-4)
    np.testing.assert_allclose(trained.alpha, alpha, rtol=1e-3, atol=1e-6)
    assert (trained.rows == rows).all() and not trained.right and not random.right
    assert last.right and 1 <= last.updates < 100 and int(last.probs.argmax()) == part.labels[k]
    assert not np.allclose(last.alpha, random.alpha) and not np.allclose(random.alpha, trained.alpha)


# ---------------------------------------------------------------- the page


def test_drawn_samples(data, tmp_path):
    """Of a hard model; the samples of a video differ."""
    options = recipe("paper", "embedded", "hard_location", **TINY)
    folder, part = make_run(tmp_path / "embedded" / "hard_location" / "seed0", data, options)
    (figure,) = drawn_samples.draw(Runs(tmp_path / "embedded", Choices(model="hard_location")), tmp_path)
    assert figure.picture == tmp_path / "drawn_samples_hard_location.png" and Image.open(figure.picture).size[0] >= 800
    model = trained_model(folder, part.table.dtype)
    samples = [watch(model.tested_by(glimpse_test="samples", n_samples=1, seed=s), part, 0)[2] for s in (0, 1)]
    assert all(set(np.unique(sample)) == {0, 1} for sample in samples) and (samples[0] != samples[1]).any()


def test_page(runs):
    path, seconds = make_figures(runs, Choices(studies=1))
    text, out = path.read_text(), runs / "figures"
    assert path == runs / "figures.html" and set(seconds) >= {"frame_rates", "penalty", "given_glimpse", "numbers"}
    # self-contained: the pictures are inside the page, and nothing is fetched
    sources = re.findall(r'(?:src|href)="([^"]*)"', text)
    assert all(source.startswith(("data:image/png;base64,", "#", "player.html")) for source in sources)
    assert "<script" not in text
    studies = ["glimpse_study_attention_lambda0", "glimpse_study_attention_mlp_lambda0"]
    pictures = {file.name: Image.open(file).size for file in out.glob("*.png")}
    assert text.count("<img ") == len(pictures) >= 11
    for name in ("over_time_attention_lambda0", "over_time_attention_mlp_lambda0", "lambda", "fps", "given_glimpse",
                 *studies, "glimpses_in_numbers", "scores_in_numbers"):  # fmt: skip
        assert pictures[f"{name}.png"][0] >= 800
    for figure in ("Figs. 1, 4, 6, 8, 10 and 11", "Fig. 3", "Fig. 5", "Fig. 7", "Fig. 9", "no evidence", "pytensor"):
        assert figure in text
    assert "not available" not in text

    numbers = json.loads((out / "numbers.json").read_text())
    assert set(numbers) >= {"models", "uniform_entropy", "testing_stride", "given_glimpse", *studies}
    for model in NAMES:
        means = numbers["models"][model]
        assert len(means["entropy"]) == len(means["on_figure"]) == len(means["score_by_steps"]) == 5
        assert len(means["movement"]) == 4 and set(means["score_by_fps"]) == {"3", "5", "15"}
        assert 0 < max(means["entropy"]) <= numbers["uniform_entropy"] + 1e-6
        tests = [json.loads((run / "result.json").read_text()) for run in sorted((runs / model).iterdir())]
        assert means["runs"] == len(tests)
        assert means["score_by_fps"]["15"] == pytest.approx(np.mean([test["test"] for test in tests]))
        share = np.mean([test["attention_on_figure"] for test in tests])
        assert np.mean(means["on_figure"]) == pytest.approx(share, rel=1e-4)
        assert np.mean(means["uniform_on_figure"]) == pytest.approx(tests[0]["uniform_on_figure"], rel=1e-4)
    given = numbers["given_glimpse"]
    true = given["video"].split("/")[0]
    assert given["class_by_location"].count(true) == given["locations_right"]
    # the picture shows a location that changes the class, if there is such a location
    assert (f"predicted {true} " in given["verdict"]) == (given["locations_right"] == 49)


def test_page_of_chosen_videos_without_frames(runs, data, tmp_path):
    """The user's choices are followed. Without frames, glimpses are drawn alone and the page says so."""
    moved = tmp_path / "data"
    moved.mkdir()
    for file in data.iterdir():
        if file.name != "dataset.json":
            shutil.copy(file, moved)
    for name in ("attention_lambda0", "attention_lambda1"):
        shutil.copytree(runs / name / "seed0", tmp_path / "runs" / name / "seed0")
    choices = Choices(video=("jack/test_000",), glimpse="1,2,1.5", fps=3, data=moved, studies=0)
    path, _ = make_figures(tmp_path / "runs", choices)
    text = path.read_text()
    assert "frames are not available, so glimpses are drawn alone" in text and "dataset.json: no such file" in text
    numbers = json.loads((tmp_path / "runs" / "figures" / "numbers.json").read_text())
    assert numbers["given_glimpse"]["video"] == "jack/test_000" and numbers["given_glimpse"]["glimpse"] == "1,2,1.5"
    assert not any(name.startswith("glimpse_study") for name in numbers) and "was left out" in text
    assert "table1.csv is not there" in text and "at 3 and at 15 frames per second" in text


def test_impossible_choices_are_refused(runs, tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no finished run of 'attention_lambda10'.*expected one of atten"):
        make_figures(runs, Choices(model="attention_lambda10"))
    with pytest.raises(ValueError, match="names no video 'nobody'; expected one of its lines, such as 'walk/test_000'"):
        make_figures(runs, Choices(video=("nobody",)))
    script = Path(__file__).parents[1] / "scripts" / "figures.py"
    done = subprocess.run([sys.executable, script, "embedded", "--runs", tmp_path], capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.startswith(f"error: {tmp_path}/embedded: holds no finished run of")


def page_of(text, picture):
    """A page on which every value is `text`, and every picture `picture`."""
    table = [text], [[text]]
    values = dict.fromkeys(("title", "folder", "frames_missing", "versions", "seconds"), text)
    values |= {"table1": table, "classes": table, "different_options": table, "embedded": True}
    values |= {"common_options": [[text, text]], "choices": [[text, text]], "learning_curves": picture}
    values["sections"] = {text: [Figure(text, picture, table=table, note=text), Figure(text)]}
    return render("figures.html", values)


def test_page_escapes_every_value(tmp_path):
    Image.new("RGB", (3, 2)).save(tmp_path / "a.png")
    page = page_of("<i> & \" onload='x'", tmp_path / "a.png")
    assert "<i>" not in page and 'onload="' not in page and "onload='" not in page
    assert page.count("&lt;i&gt;") == page_of("TEXT", tmp_path / "a.png").count("TEXT") > 20


def test_a_module_in_the_folder_is_a_figure(tmp_path, monkeypatch):
    (tmp_path / "added.py").write_text("HEADING, POSITION = 'Added', 35\n")
    monkeypatch.setattr(figures, "__path__", [*figures.__path__, str(tmp_path)])
    headings = [module.HEADING for module in figures.figure_modules()]
    assert [heading for heading in headings if heading in ("λ", "Added", "A given glimpse")] == [
        "λ", "Added", "A given glimpse"
    ]  # fmt: skip
    assert len({module.POSITION for module in figures.figure_modules()}) == len(set(headings)) == len(headings)


# ---------------------------------------------------------------- the notebook

NOTEBOOK = Path(__file__).parents[1] / "scripts" / "draw_visualizations.ipynb"


def test_notebook_runs_from_top_to_bottom(runs, monkeypatch):
    monkeypatch.setenv("RUN", str(runs / "attention_mlp_lambda0" / "seed0"))
    monkeypatch.setenv("VIDEO", "jack/test_000")
    notebook = nbformat.read(NOTEBOOK, 4)
    nbclient.NotebookClient(notebook, timeout=120, resources={"metadata": {"path": NOTEBOOK.parent}}).execute()
    texts = [out.text for cell in notebook.cells for out in cell.get("outputs", []) if out.get("name") == "stdout"]
    assert any(text.startswith("jack/test_000:  predicted ") for text in texts)
    assert sum("image/png" in out.get("data", {}) for cell in notebook.cells for out in cell.get("outputs", [])) == 3


def test_notebook_is_committed_with_its_outputs():
    text = NOTEBOOK.read_text()
    outputs = [out for cell in nbformat.reads(text, 4).cells for out in cell.get("outputs", [])]
    assert sum("image/png" in out.get("data", {}) for out in outputs) == 3 and len(text) < 1.5e6
    assert not any(out.output_type == "error" or out.get("name") == "stderr" for out in outputs)
