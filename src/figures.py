"""The paper's figures and the numbers behind them from the runs of a data set, as PNGs and one page to read.

    make_figures("runs/embedded", Wanted())   # runs/embedded/figures.html, figures/*.png, figures/numbers.json

A function for each part returns pictures, [(path, caption)], or a text that says why there are none, and numbers.
"""

import csv
import functools
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from visual_attention import glimpse_numbers, pictures, run_folder
from visual_attention.evaluation import evaluate
from visual_attention.glimpse_study import parse_glimpse, study, told_model, told_probabilities
from visual_attention.model import trained_model
from visual_attention.options import MODELS, TITLES
from visual_attention.training import load_coverage, load_part
from visual_attention.util import drawing, page
from visual_attention.util.data_lists import read_class_names

LAMBDAS = ("attention_lambda0", "attention_lambda1", "attention_lambda10")
ATTENTION = (*LAMBDAS, "attention_mlp_lambda0")
DRAWN = ("attention_lambda0", "attention_mlp_lambda0")  # over time, in the glimpse study, and their confusion matrices
RATES = (6, 10, 15, 30)  # frames per second at which models are tested
MOST_WINDOWS = 4000  # of a test part, for the numbers: in a larger one windows start further apart
MOST_TRIED = 60  # videos, in search of some that random glimpses get wrong


@dataclass(frozen=True)
class Wanted:
    """What a person may choose."""

    video: tuple[str, ...] = ()
    """test videos to show, lines of test_filename.txt; drawn by lot if not given"""
    model: str = "attention_lambda0"
    """row of Table 1 that Figs. 5 and 7 are about; attention over time and Fig. 9 show others too"""
    seed: int = 0
    """whose run is drawn; numbers are means over all"""
    glimpse: str | None = None
    """the glimpse of Fig. 5: row,column,width in locations, as 3,5.5,2, or a .json of weights; if not given, one
    location that changes the class"""
    fps: int = 6
    """the other rate of Fig. 7"""
    studies: int = 8
    """videos of the glimpse study, Fig. 9, of a model; 0: none"""
    videos: Path | None = None
    """folder of the videos, if it is no longer where the features' dataset.json says"""
    data: Path | None = None
    """folder of the data set, of a single split, if it is no longer where the runs were trained"""


class Runs:
    """Finished runs, <folder>[/<split>]/<model>/seed<k>, with their test data and the videos' frames."""

    def __init__(self, folder, wanted):
        self.folder, self.wanted, self.runs = Path(folder), wanted, {}
        for where in (self.folder, *sorted(self.folder.glob("split*"))):  # of several splits the first is drawn
            found = {
                model: sorted(path.parent for path in where.glob(f"{model}/seed*/result.json")) for model in MODELS
            }
            self.runs = self.runs or {model: runs for model, runs in found.items() if runs}
        if wanted.model not in ATTENTION or wanted.model not in self.runs:
            there = ", ".join(model for model in ATTENTION if model in self.runs)
            raise FileNotFoundError(
                f"{folder}: holds no finished run of {wanted.model!r}, a model that attends; expected one of "
                f"{there or 'those that scripts/table1.sh makes'}"
            )
        self.options, found = run_folder.load_options(self.run(wanted.model))
        self.data_folder = wanted.data or found
        self.data = self.part()
        names = self.data.lists.filenames
        for name in wanted.video:
            if name not in names:
                raise ValueError(
                    f"{self.data_folder}/test_filename.txt: names no video {name!r}; "
                    f"expected one of its lines, such as {names[0]!r}"
                )
        self.asked = [names.index(name) for name in wanted.video]
        self.frames_missing, self._frames = None, {}

    def run(self, model):
        """The run that is drawn."""
        named = [run for run in self.runs[model] if run.name == f"seed{self.wanted.seed}"]
        return named[0] if named else self.runs[model][0]

    def model(self, name):
        return trained_model(self.run(name), self.data.table.dtype)

    def part(self, **changes):
        return load_part(self.data_folder, "test", self.options.replace(**changes))

    def frames(self, k):
        """All frames of video k, (n, H, H, 3) uint8; None where they cannot be had, `frames_missing` then says why."""
        if k not in self._frames:
            try:
                name = self.data.lists.filenames[k]
                self._frames[k] = drawing.video_frames(self.data_folder, name, self.wanted.videos)
            except (OSError, ValueError, ImportError) as error:
                self._frames[k], self.frames_missing = None, str(error)
        return self._frames[k]

    def look(self, name, k, data=None):
        return pictures.look(self.model(name), data or self.data, k, self.frames(k))

    def right(self, name):
        """Videos asked for, then those that a model gets right, drawn by lot."""
        probs = run_folder.load_predictions(self.run(name))
        chosen = pictures.right_and_wrong(probs, self.data, n=len(probs))
        chosen = [int(k) for k in chosen if pictures.is_right(self.data, k, probs[k])]
        return list(dict.fromkeys(self.asked + chosen))

    def one(self, name):
        """The first of those, or any where there is none."""
        return (self.right(name) or [0])[0]


def make_figures(folder, wanted):
    """Draws everything and writes the page; returns its path, and the seconds that each part took.

    FileNotFoundError or ValueError: no runs, or a choice that does not fit them.
    """
    runs, out = Runs(folder, wanted), Path(folder, "figures")
    out.mkdir(parents=True, exist_ok=True)
    first, *others = dict.fromkeys(name for name in (wanted.model, *DRAWN) if name in runs.runs)
    # in an order that compiles few graphs twice; the page has its own
    parts = {f"over time: {first}": functools.partial(over_time, name=first)}
    parts |= {"fps": by_fps, "lambda": by_lambda, "numbers": in_numbers}
    parts |= {f"over time: {name}": functools.partial(over_time, name=name) for name in others}
    parts |= {"glimpse": with_given_glimpse}
    if wanted.studies:
        parts |= {f"study: {name}": functools.partial(with_learned_glimpse, name=name) for name in (first, *others)}
    parts |= {"confusion": confusion}
    found, numbers, seconds = {}, {}, {}
    for name, draw in parts.items():
        began = time.monotonic()
        found[name], new = draw(runs, out)
        numbers |= new
        seconds[name] = round(time.monotonic() - began, 1)
    run_folder.write_json(out / "numbers.json", numbers)
    path, text = Path(folder, "figures.html"), as_page(runs, found, numbers, seconds)
    run_folder.write_file(path, lambda file: file.write(text.encode()))
    return path, seconds


# ---------------------------------------------------------------- pictures


def over_time(runs, out, name):
    """Figs. 1, 4, 6, 8, 10, 11: the videos asked for, or two that are classified rightly and two that are not."""
    probs = run_folder.load_predictions(runs.run(name))
    chosen = runs.asked or pictures.right_and_wrong(probs, runs.data)
    path = out / f"over_time_{name}.png"
    drawing.stack([runs.look(name, int(k)).strip() for k in chosen]).save(path)
    how = "asked for" if runs.asked else "drawn by lot from those classified rightly and those that are not"
    text = (
        f"{TITLES[name]}: attention over time, as in the paper's Figs. 1, 4, 6, 8, 10 and 11. Test videos {how}; above "
        f"frames of the first window, below the same lit where the model looked. Step t of {runs.options.maxlen}."
    )
    return [(path, text)], {}


def rows_of_glimpses(path, title, frames, rows):
    """The same frames (T, H, H, 3), or None, under several glimpses; rows: a list of (caption, alpha (T, L), right)."""
    full = drawing.full_light(np.concatenate([alpha for _, alpha, _ in rows]))  # one scale for all
    strips = [drawing.strip(frames, alpha, caption, right, show_frames=False, full=full)
              for caption, alpha, right in rows]  # fmt: skip
    if frames is None:
        drawing.stack(strips, title).save(path)
    else:
        drawing.stack([drawing.strip(frames, None, title, None), *strips]).save(path)


def by_lambda(runs, out):
    """Fig. 3: the same video under λ = 0, 1, 10."""
    names, path = [name for name in LAMBDAS if name in runs.runs], out / "lambda.png"
    if len(names) < 2:
        return "Fig. 3 needs runs of several λ, and there is one at most.", {}
    k = runs.one(names[0])
    seen = [runs.look(name, k) for name in names]
    T, frames = runs.options.maxlen, seen[0].frames
    rows = [(f"{TITLES[name]}:  {s.verdict}", s.alpha[:T], s.right) for name, s in zip(names, seen, strict=True)]
    rows_of_glimpses(path, seen[0].video, None if frames is None else frames[:T], rows)
    text = (
        "The same video under different weights λ of the penalty that asks the model to look everywhere in the end, as "
        "in the paper's Fig. 3. Each model is another training. One scale of light for all rows."
    )
    return [(path, text)], {}


def by_fps(runs, out):
    """Fig. 7: the same video at two frame rates."""
    name, rate, other = runs.wanted.model, runs.options.fps, runs.wanted.fps
    if runs.data.table.fps % other:
        return f"Fig. 7: {other} frames a second is no divisor of the features' {runs.data.table.fps}.", {}
    longest_first = sorted(runs.right(name), key=lambda k: -runs.data.lists.frame_numbers[k])
    k = (runs.asked or longest_first or [0])[0]
    strips = []
    for fps in dict.fromkeys((other, rate)):
        seen = runs.look(name, k, runs.data if fps == rate else runs.part(fps=fps))
        seen.verdict = f"{fps} frames a second, {seen.verdict}"
        strips.append(seen.strip(ticks=[f"{row / runs.data.table.fps:.2f} s" for row in seen.rows]))
    path = out / "fps.png"
    drawing.stack(strips).save(path)
    text = (
        f"The same video at {other} and at {rate} frames a second, as in the paper's Fig. 7, by the same model "
        f"({TITLES[name]}), which was trained at {rate}. A window has {runs.options.maxlen} steps at both rates; a "
        "video that is too short for it is continued by its last frame, which is drawn once."
    )
    return [(path, text)], {}


def with_given_glimpse(runs, out):
    """Fig. 5: the same video under another glimpse, which the model did not choose."""
    name, path, o = runs.wanted.model, out / "given_glimpse.png", runs.options
    k, run = runs.one(name), runs.run(name)
    seen, K = runs.look(name, k), round(o.n_locations**0.5)
    told, classes = told_model(run), read_class_names(runs.data_folder, o.n_actions)
    places = [f"{i // K},{i % K},1" for i in range(o.n_locations)]
    glimpses = [parse_glimpse(place, o.n_locations) for place in places]
    probs = told_probabilities(told, o, runs.data, k, glimpses)  # (L, C)
    numbers = {"video": seen.video, "class_by_location": [classes[c] for c in probs.argmax(axis=1)],
               "locations_right": sum(pictures.is_right(runs.data, k, p) for p in probs)}  # fmt: skip
    if runs.wanted.glimpse:
        place = runs.wanted.glimpse
        glimpse = parse_glimpse(place, o.n_locations, o.maxlen)
        (given,) = told_probabilities(told, o, runs.data, k, [glimpse])
    else:  # where a class that is not true leads by most
        true = np.isin(np.arange(probs.shape[1]), pictures.true_classes(runs.data, k))
        others = np.where(true, 0, probs).max(axis=1)
        best = int((others - np.where(true, probs, 0).max(axis=1)).argmax())
        place, glimpse, given = places[best], glimpses[best], probs[best]
    T = min(o.maxlen, len(seen.rows))
    verdict = pictures.verdict(runs.data, k, given)
    rows = [(f"its own glimpse:  {seen.verdict}", seen.alpha[:T], seen.right),
            (f"given glimpse {place}:  {verdict}", np.broadcast_to(glimpse, (o.maxlen, len(probs)))[:T],
             pictures.is_right(runs.data, k, given))]  # fmt: skip
    rows_of_glimpses(path, seen.video, None if seen.frames is None else seen.frames[:T], rows)
    text = (
        f"The same video under the glimpse of the model ({TITLES[name]}) and under one given by hand "
        "(row,column,width in locations, counted from 0 at the top left, or a file), as in the paper's Fig. 5: "
        f"parameters, h_0 and c_0 are the same, x_t alone is another. Of {len(probs)} glimpses one location wide, "
        f"{numbers['locations_right']} give a true class."
    )
    return [(path, text)], {"given_glimpse": numbers | {"glimpse": place, "verdict": verdict}}


def with_learned_glimpse(runs, out, name):
    """Fig. 9, the glimpse study; for its numbers on several videos."""
    path, data = out / f"glimpse_study_{name}.png", runs.data
    run, coverage, found = runs.run(name), load_coverage(runs.data), {}
    candidates = runs.right(name)
    for k in candidates[:MOST_TRIED]:
        if len(found) < runs.wanted.studies:
            stages = study(run, data, k, seed=k, random_wrong=k not in runs.asked)
            found |= {k: stages} if stages else {}
    if not found:  # no random glimpse does harm: then it is shown
        found = {k: study(run, data, k, seed=k) for k in candidates[:1]}
    if not found:
        return f"Fig. 9 needs a test video that {name} classifies rightly; there is none.", {}
    rows = []
    for k, stages in found.items():
        true, trained = pictures.true_classes(data, k), stages["trained"].alpha
        row = {"video": data.lists.filenames[k]}
        for stage, s in stages.items():
            row[stage] = {
                "right": s.right,
                "true_class_probability": float(s.probs[true].max()) if true else None,
                "entropy": float(glimpse_numbers.entropy(s.alpha).mean()),
                "overlap_with_trained": float(glimpse_numbers.overlap(s.alpha, trained).mean()),
            }
            if coverage is not None:
                of_video = coverage[data.starts[k] + s.rows]
                row[stage]["on_figure"] = float((s.alpha * of_video).sum(axis=-1).mean())
            if stage == "optimised":
                row[stage]["updates"] = s.updates
        rows.append(row)

    k, stages = next(iter(found.items()))
    T, frames = runs.options.maxlen, runs.frames(k)
    last = stages.get("optimised")
    captions = {"trained": "trained", "random": "location weights drawn at random"}
    captions["optimised"] = f"those optimised, {last.updates} updates" if last else ""
    drawn = [(f"{captions[stage]}:  {pictures.verdict(data, k, s.probs)}", s.alpha[:T], s.right)
             for stage, s in stages.items()]  # fmt: skip
    frames = None if frames is None else frames[stages["trained"].rows[:T]]
    rows_of_glimpses(path, data.lists.filenames[k], frames, drawn)
    text = (
        f"The glimpse study, as in the paper's Fig. 9 ({TITLES[name]}). From above: frames; the trained model's "
        "glimpse; that of the same model after its location weights were drawn anew, uniformly between their least and "
        "their largest; and after these alone were trained on this one video until it is classified rightly, "
        "everything else fixed."
    )
    if all(stages["trained"].right and not stages["random"].right for stages in found.values()):
        text += " Taken are videos that the trained weights get right and the random ones wrong."
    if last is None:
        text += " This video's class is right with random weights too, so there is nothing to optimise."
    return [(path, text)], {f"glimpse_study_{name}": rows}


def confusion(runs, out):
    """Confusion matrices of the drawn models, over all seeds."""
    names, figures = read_class_names(runs.data_folder, runs.options.n_actions), []
    if runs.options.multilabel:
        return "With several labels a video there is no confusion matrix.", {}
    for model in dict.fromkeys((runs.wanted.model, *DRAWN)):
        if model in runs.runs:
            results = [json.loads((run / "result.json").read_text()) for run in runs.runs[model]]
            path = out / f"confusion_{model}.png"
            drawing.confusion(path, np.sum([result["confusion_matrix"] for result in results], axis=0), names)
            text = f"{TITLES[model]}: test videos by true and predicted class, summed over {len(results)} run(s)."
            figures.append((path, text))
    return figures, {}


# ---------------------------------------------------------------- numbers


def in_numbers(runs, out):
    """Entropy, movement, share on the figure, score by steps and by frame rate: means over seeds; two rows of plots."""
    o, rates = runs.options, [rate for rate in RATES if runs.data.table.fps % rate == 0]
    names = [name for name in ATTENTION if name in runs.runs]
    stride = o.testing_stride * -(-runs.data.n_windows // MOST_WINDOWS)
    found = {name: [{"score_by_fps": {}} for _ in runs.runs[name]] for name in names}
    of_mlp = [name for name in names if name not in LAMBDAS]  # another graph
    for group in filter(None, ([name for name in names if name in LAMBDAS], of_mlp)):
        for rate in sorted({o.fps, *rates}):
            data = runs.part(fps=rate, testing_stride=stride)
            coverage = load_coverage(data)
            for run, measured in (
                (run, m) for name in group for run, m in zip(runs.runs[name], found[name], strict=True)
            ):
                model = trained_model(run, data.table.dtype)
                if rate == o.fps:
                    measured |= glimpse_numbers.of_model(model, data, coverage)
                measured["score_by_fps"][rate] = measured["score"] if rate == o.fps else evaluate(model, data)[1]
    means = {}
    for name, measured in found.items():
        keys = [key for key in measured[0] if key not in ("score", "score_by_fps")]
        means[name] = {key: np.mean([run[key] for run in measured], axis=0).tolist() for key in keys}
        by_fps = [run["score_by_fps"] for run in measured]
        means[name]["score_by_fps"] = {rate: float(np.mean([m[rate] for m in by_fps])) for rate in sorted(by_fps[0])}
        means[name]["runs"] = len(measured)
    return draw_numbers(means, o, out), {
        "models": means,
        "uniform_entropy": float(np.log(o.n_locations)),
        "testing_stride": stride,
    }


def draw_numbers(means, options, out):
    """The plots of `in_numbers`, [(path, caption)]."""
    metric, uniform = "mAP" if options.multilabel else "accuracy", float(np.log(options.n_locations))
    short = {name: TITLES[name].removeprefix("Soft attention").strip(", ").split(" (")[0] for name in means}

    def plot(key, ylabel, first, **more):
        lines = {short[n]: (np.arange(len(m[key])) + first, m[key]) for n, m in means.items()}
        return {"lines": lines, "xlabel": "step t", "ylabel": ylabel, **more}

    level = {"level": (uniform, "uniform"), "ylim": (0, 1.12 * uniform)}
    glimpses = [plot("entropy", "entropy of the glimpse (nats)", 1, **level)]
    glimpses += [plot("movement", "share of weight that moved", 2, ylim=(0, None))]
    if all("on_figure" in m for m in means.values()):
        chance = 100 * float(np.mean(next(iter(means.values()))["uniform_on_figure"]))
        shares = plot("on_figure", "attention on the figure (%)", 1, ylim=(0, None), level=(chance, "uniform"))
        shares["lines"] = {label: (x, 100 * np.array(y)) for label, (x, y) in shares["lines"].items()}
        glimpses.append(shares)
    drawing.curves(out / "glimpses_in_numbers.png", glimpses)
    by_steps = plot("score_by_steps", f"test {metric} (%)", 1, ylim=(0, 100)) | {"xlabel": "steps seen"}
    by_rate = {short[n]: (list(m["score_by_fps"]), list(m["score_by_fps"].values())) for n, m in means.items()}
    by_rate = {"lines": by_rate, "xlabel": "frames per second", "ylabel": f"test {metric} (%)", "ylim": (0, 100)}
    drawing.curves(out / "scores_in_numbers.png", [by_steps, by_rate])
    return [
        (
            out / "glimpses_in_numbers.png",
            "Entropy of the glimpse, and its movement: half the sum of the weights' absolute changes from the step "
            "before" + ("; and its share on the figure's box" if len(glimpses) == 3 else "") + ". Means over all test "
            "windows and runs; a uniform glimpse looks at all locations alike.",
        ),
        (
            out / "scores_in_numbers.png",
            "Score from the first steps of each window alone, and at other frame rates, at which the same models are "
            f"tested (they were trained at {options.fps}); means over runs.",
        ),
    ]


def numbers_table(numbers):
    """The table under the plots: head and body."""
    models = numbers["models"]
    some = next(iter(models.values()))
    T, rates, figure = len(some["score_by_steps"]), list(some["score_by_fps"]), "on_figure" in some
    steps = sorted({1, *(max(round(T * share), 1) for share in (1 / 6, 1 / 3, 2 / 3, 1))})
    head = ["Model", f"entropy ({numbers['uniform_entropy']:.2f} uniform)", "movement a step"]
    head += ["on the figure %"] if figure else []
    head += [f"{step} step{'s' if step > 1 else ''} %" for step in steps] + [f"{rate} fps %" for rate in rates]
    body = []
    for name, m in models.items():
        row = [TITLES[name], f"{np.mean(m['entropy']):.2f}", f"{np.mean(m['movement'] or [0]):.3f}"]
        row += [f"{100 * np.mean(m['on_figure']):.1f}"] if figure else []
        row += [f"{m['score_by_steps'][step - 1]:.1f}" for step in steps]
        body.append(row + [f"{score:.1f}" for score in m["score_by_fps"].values()])
    return head, body


def study_table(rows):
    """The glimpse study on all its videos: head and body."""
    figure = "on_figure" in rows[0]["trained"]
    head = ["Video", "updates", *(f"p(true), {stage}" for stage in ("trained", "random", "optimised"))]
    head += ["overlap with trained: random", "optimised"]
    head += [f"on the figure %: {stage}" for stage in ("trained", "random", "optimised")] if figure else []
    body = []
    for row in rows:
        stages = [row.get(stage, {}) for stage in ("trained", "random", "optimised")]

        def cells(key, scale, form, stages=stages):
            return ["" if stage.get(key) is None else form.format(scale * stage[key]) for stage in stages]

        last = row.get("optimised")
        updates = "0" if last is None else f"{last['updates']}" + ("" if last["right"] else " (still wrong)")
        body.append([row["video"], updates, *cells("true_class_probability", 1, "{:.2f}"),
                     *cells("overlap_with_trained", 1, "{:.2f}")[1:],
                     *(cells("on_figure", 100, "{:.1f}") if figure else [])])  # fmt: skip
    return head, body


# ---------------------------------------------------------------- the page


def as_page(runs, found, numbers, seconds):
    """The page's text. found: part -> pictures or a text that says why there are none."""

    def shown(name):
        part = found[name]
        if isinstance(part, str):
            return [page.paragraph(part, note=True)]
        return [page.picture(path, text) for path, text in part]

    folder, wanted = runs.folder, runs.wanted
    intro = [page.paragraph(
        "What the models of Action Recognition using Visual Attention (Sharma, Kiros, Salakhutdinov 2015, arXiv "
        f"1511.04119) do here, with the runs in {folder}: how good they are, where they look, and what a glimpse is "
        "worth. Pictures are of test videos; brightness is weight. A tick marks a class that is right, a cross one "
        "that is not."
    )]  # fmt: skip
    if (about := Path(runs.data_folder, "dataset.json")).is_file() and '"source": "embedded"' in about.read_text():
        intro.append(page.paragraph("The embedded data set is drawn by a program. It shows that the machinery works; "
                                    "it is no evidence about real video, nor about the paper's numbers."))  # fmt: skip
    if runs.frames_missing:
        intro.append(page.paragraph("The videos' frames could not be had, so glimpses are drawn alone: "
                                    f"{runs.frames_missing}", note=True))  # fmt: skip
    sections = {"About this page": intro, "Table 1": _tables(folder)}
    if (folder / "learning_curves.png").is_file():
        text = "Means over seeds; cost of the training windows, score of the validation videos."
        sections["Learning curves"] = [page.picture(folder / "learning_curves.png", text)]
    sections["Confusion"] = shown("confusion")
    over_time = [name for name in found if name.startswith("over time")]
    sections["Attention over time"] = [part for name in sorted(over_time) for part in shown(name)]
    sections["λ"] = shown("lambda")
    sections["A given glimpse"] = shown("glimpse")
    sections["Frame rate"] = shown("fps")
    studies = []
    for name in (name for name in found if name.startswith("study")):
        studies += shown(name)
        if rows := numbers.get(name.replace("study: ", "glimpse_study_")):
            studies.append(page.table(*study_table(rows)))
    note = "Overlap is the share of weight two glimpses have in common, a mean over the video's frames."
    absent = "Fig. 9, the glimpse study, was not asked for."
    sections["Glimpse study"] = [*studies, page.paragraph(note if studies else absent)]
    sections["Numbers"] = [*shown("numbers"), page.table(*numbers_table(numbers))]
    if (stride := numbers["testing_stride"]) != runs.options.testing_stride:
        text = f"To save time, test windows start every {stride} frames here, not every {runs.options.testing_stride}."
        sections["Numbers"].append(page.paragraph(text, note=True))
    took = ", ".join(f"{name} {value:.1f}" for name, value in seconds.items())
    took = f"Seconds that each part of this page took, what it had to compile included: {took}."
    sections["Options and versions"] = [*_options(runs), page.paragraph(took)]
    name = folder.name if wanted == Wanted() else f"{folder.name}, chosen figures"
    return page.page(f"Visual attention: {name}", sections)


def _tables(folder):
    parts = []
    for stem, title in (("table1", None), ("classes", "Score by class")):
        if (path := folder / f"{stem}.csv").is_file():
            with open(path, encoding="utf-8", newline="") as file:
                head, *body = csv.reader(file)
            table = page.table(head, body)
            parts.append(page.folded(title, [table]) if title else table)
    return parts or [page.paragraph(f"{folder}/table1.csv is not there; scripts/table1.sh makes it.", note=True)]


def _options(runs):
    about = {name: json.loads((runs.run(name) / "options.json").read_text()) for name in runs.runs}
    same, differ = [], {}
    for option in asdict(runs.options):
        values = [str(found["options"].get(option, "")) for found in about.values()]
        if len(set(values)) == 1:
            same.append([option, values[0]])
        else:
            differ[option] = values
    versions = about[runs.wanted.model]["versions"]
    chosen = [[name, str(value)] for name, value in asdict(runs.wanted).items() if value not in (None, ())]
    return [
        page.paragraph("Where the models differ:"),
        page.table(["model", *differ], list(zip(about, *differ.values(), strict=True))),
        page.folded("Options that all have in common", [page.table(["option", "value"], same)]),
        page.folded("This page's choices", [page.table(["choice", "value"], chosen)]),
        page.paragraph("Trained with " + ", ".join(f"{name} {version}" for name, version in versions.items()) + "."),
    ]
