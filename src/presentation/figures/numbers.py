"""The numbers behind the pictures: what glimpses are like at each step; scores by steps and by frame rate."""

import numpy as np

from visual_attention.experiment.data import load_coverage
from visual_attention.experiment.evaluation import evaluate
from visual_attention.options import TITLES
from visual_attention.presentation import glimpse_numbers
from visual_attention.presentation.figures import Figure
from visual_attention.presentation.finished_runs import ATTENTION
from visual_attention.util import drawing

HEADING, POSITION = "Numbers", 70
DIVISORS = (1, 2, 3, 5)  # of the features' frames per second: models are tested at 6, 10, 15 and 30 of 30
MOST_WINDOWS = 4000  # test windows; if there are more, a larger stride is used


def draw(runs, folder):
    """Two Figures: of the glimpses, and of the scores with a table of everything."""
    o = runs.options
    stride = o.testing_stride * -(-runs.data.n_windows // MOST_WINDOWS)
    models = measure(runs, stride)
    uniform = float(np.log(o.all_locations))
    note = ""
    if stride != o.testing_stride:
        note = f"To save time, test windows start every {stride} frames here instead of every {o.testing_stride}."
    numbers = {"models": models, "uniform_entropy": uniform, "testing_stride": stride}
    return [
        draw_glimpses(folder / "glimpses_in_numbers.png", models, uniform),
        Figure(
            "Scores from only the first steps of each window, and at other frame rates. The models are the same; they "
            f"were trained at {o.fps} frames per second. Means over runs.",
            draw_scores(folder / "scores_in_numbers.png", models, "mAP" if o.multilabel else "accuracy"),
            numbers,
            numbers_table(models, uniform),
            note,
        ),
    ]


def measure(runs, stride):
    """Model -> its numbers, means over its runs: those of `glimpse_numbers.of_model`, `score_by_fps` and `runs`.

    stride: between the starts of test windows.
    """
    o, names = runs.options, [name for name in ATTENTION if name in runs.runs]
    by_run = {run: {"score_by_fps": {}} for name in names for run in runs.runs[name]}
    table_fps = runs.data.table.fps
    for fps in sorted({o.fps, *(table_fps // k for k in DIVISORS if table_fps % k == 0)}):
        data = runs.load_data(fps=fps, testing_stride=stride)
        coverage = load_coverage(data)
        for run, numbers in by_run.items():
            model = runs.load_model(run)
            if fps == o.fps:
                numbers |= glimpse_numbers.of_model(model, data, coverage)
                numbers["score_by_fps"][fps] = numbers.pop("score")
            else:
                numbers["score_by_fps"][fps] = evaluate(model, data)[1]
    return {name: mean_numbers([by_run[run] for run in runs.runs[name]]) for name in names}


def mean_numbers(by_run):
    """Means over runs of the numbers in dicts of lists and of `score_by_fps`."""
    keys = [key for key in by_run[0] if key != "score_by_fps"]
    means = {key: np.mean([numbers[key] for numbers in by_run], axis=0).tolist() for key in keys}
    scores = [numbers["score_by_fps"] for numbers in by_run]
    means["score_by_fps"] = {fps: float(np.mean([score[fps] for score in scores])) for fps in scores[0]}
    means["runs"] = len(by_run)
    return means


def labels(models):
    """Short names of the models for legends."""
    return {name: TITLES[name].removeprefix("Soft attention").strip(", ").split(" (")[0] for name in models}


def by_step(models, key, ylabel, first_step=1, scale=1, **plot):
    """A plot for `drawing.curves` of the numbers `key`, whose first value belongs to step `first_step`."""
    lines = {}
    for name, label in labels(models).items():
        values = scale * np.array(models[name][key])
        lines[label] = np.arange(len(values)) + first_step, values
    return {"lines": lines, "xlabel": "step t", "ylabel": ylabel, **plot}


def draw_glimpses(path, models, uniform):
    """Entropy, movement, and the share on the figure if there are boxes; uniform: entropy of a uniform glimpse."""
    level = {"level": (uniform, "uniform"), "ylim": (0, 1.12 * uniform)}
    plots = [by_step(models, "entropy", "entropy of the glimpse (nats)", **level)]
    plots += [by_step(models, "movement", "share of weight that moved", first_step=2, ylim=(0, None))]
    share = ""
    if all("on_figure" in numbers for numbers in models.values()):
        chance = 100 * float(np.mean(next(iter(models.values()))["uniform_on_figure"]))
        level = {"level": (chance, "uniform"), "ylim": (0, None)}
        plots += [by_step(models, "on_figure", "attention on the figure (%)", scale=100, **level)]
        share = "; the share of attention on the figure's box"
    drawing.curves(path, plots)
    return Figure(
        "Entropy of the glimpse; movement of the glimpse, which is half the sum of the absolute changes of its weights "
        f"since the previous step{share}. Means over all test windows and runs. A uniform glimpse gives all locations "
        "the same weight.",
        path,
    )


def draw_scores(path, models, metric):
    """Scores by steps seen and by frame rate; returns `path`."""
    by_steps = by_step(models, "score_by_steps", f"test {metric} (%)", ylim=(0, 100)) | {"xlabel": "steps seen"}
    lines = {}
    for name, label in labels(models).items():
        scores = models[name]["score_by_fps"]
        lines[label] = list(scores), list(scores.values())
    by_fps = {"lines": lines, "xlabel": "frames per second", "ylabel": f"test {metric} (%)", "ylim": (0, 100)}
    drawing.curves(path, [by_steps, by_fps])
    return path


def numbers_table(models, uniform):
    """Head and body of a table of `measure`, one row per model; uniform: entropy of a uniform glimpse."""
    first = next(iter(models.values()))
    T, rates, has_figure = len(first["score_by_steps"]), list(first["score_by_fps"]), "on_figure" in first
    steps = sorted({1, *(max(round(T * share), 1) for share in (1 / 6, 1 / 3, 2 / 3, 1))})
    head = ["Model", f"entropy ({uniform:.2f} uniform)", "movement per step"]
    head += ["on the figure %"] if has_figure else []
    head += [f"{step} step{'s' if step > 1 else ''} %" for step in steps] + [f"{fps} fps %" for fps in rates]
    body = []
    for name, numbers in models.items():
        row = [TITLES[name], f"{np.mean(numbers['entropy']):.2f}", f"{np.mean(numbers['movement'] or [0]):.3f}"]
        row += [f"{100 * np.mean(numbers['on_figure']):.1f}"] if has_figure else []
        row += [f"{numbers['score_by_steps'][step - 1]:.1f}" for step in steps]
        body.append(row + [f"{score:.1f}" for score in numbers["score_by_fps"].values()])
    return head, body
