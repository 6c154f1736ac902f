"""The page of figures: all figures of the runs of a data set, in one HTML file that needs no other file.

make_figures("runs/embedded", Choices())   # runs/embedded/figures.html, figures/*.png, figures/numbers.json
"""

import base64
import functools
import importlib
import time
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

import jinja2

from visual_attention.presentation.figures import figure_modules
from visual_attention.presentation.figures.given_glimpse import parse_glimpse
from visual_attention.presentation.finished_runs import Choices, Runs
from visual_attention.util import checks, files, tables
from visual_attention.util.cluster import run_tasks


def make_figures(folder, choices, workers=1):
    """Draws all figures and writes the page; returns its path, and the seconds that each figure took.

    workers: processes that draw figures side by side. Each opens the test data. FileNotFoundError or ValueError: there
    are no runs, or the choices don't fit them.
    """
    open_runs.cache_clear()
    runs, pictures = open_runs(folder, choices), Path(folder, "figures")
    if choices.glimpse:
        parse_glimpse(choices.glimpse, runs.options.n_locations, runs.options.maxlen)  # an error before any figure
    pictures.mkdir(parents=True, exist_ok=True)
    modules = figure_modules()
    # those of several models in one task each, so that workers share what takes longest
    models = {module: runs.drawn_models() if hasattr(module, "draw_model") else [None] for module in modules}
    tasks = [(m.__name__, model, folder, choices) for m in reversed(modules) for model in models[m]]  # longest first
    with closing(run_tasks(draw_figure, tasks, workers=min(workers, len(tasks)))) as done:
        drawn = {(name, model): result for name, model, *result in done}
    sections, numbers, seconds = {}, {}, {}
    for module in modules:
        name = module.__name__.rpartition(".")[-1]
        sections[module.HEADING], seconds[name] = [], 0
        for model in models[module]:
            figures, missing, took = drawn[module.__name__, model]
            sections[module.HEADING] += figures
            runs.frames_missing, seconds[name] = missing or runs.frames_missing, seconds[name] + took
            for figure in figures:
                numbers |= figure.numbers
    files.write_json(pictures / "numbers.json", numbers)
    path = Path(folder, "figures.html")
    files.write_file(path, render("figures.html", page_values(runs, sections, seconds)).encode())
    return path, seconds


@functools.lru_cache(maxsize=1)
def open_runs(folder, choices):
    """The Runs that the figures of a page share, in this process."""
    return Runs(folder, choices)


def draw_figure(module, model, folder, choices):
    """Draws the figures of a module, or those of one model if it has a `draw_model`; a task.

    Returns module, model, Figures, why frames are missing or None, and seconds.
    """
    began, runs, pictures = time.monotonic(), open_runs(folder, choices), Path(folder, "figures")
    code = importlib.import_module(module)
    figures = code.draw(runs, pictures) if model is None else [code.draw_model(runs, pictures, model)]
    return module, model, figures, runs.frames_missing, round(time.monotonic() - began, 1)


def render(template, values):
    """The text of a file in templates/ with these values, name -> value. Values are escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["data_uri"] = data_uri
    return environment.get_template(template).render(values)


def data_uri(path):
    """A PNG as a URI that contains its bytes."""
    return "data:image/png;base64," + base64.b64encode(Path(path).read_bytes()).decode()


def page_values(runs, sections, seconds):
    """Values of templates/figures.html. sections: heading -> Figures. seconds: figure -> seconds that it took."""
    folder, dataset = runs.folder, Path(runs.data_folder, "dataset.json")
    curves, table1, classes = (folder / name for name in ("learning_curves.png", "table1.csv", "classes.csv"))
    title = folder.name if runs.choices == Choices() else f"{folder.name}, chosen figures"
    return {
        "title": f"Visual attention: {title}",
        "folder": folder,
        "embedded": dataset.is_file() and b'"source": "embedded"' in dataset.read_bytes(),
        "frames_missing": runs.frames_missing,
        "table1": tables.read_csv(table1) if table1.is_file() else None,
        "classes": tables.read_csv(classes) if classes.is_file() else None,
        "learning_curves": curves if curves.is_file() else None,
        "sections": sections,
        "seconds": ", ".join(f"{name} {value:.1f}" for name, value in seconds.items()),
        "choices": [[name, value] for name, value in asdict(runs.choices).items() if value not in (None, ())],
        **option_values(runs),
    }


def option_values(runs):
    """The page's values that say how the models were trained."""
    about = {
        name: checks.read_json(runs.run(name) / "options.json", {"options": dict, "versions": dict})
        for name in runs.runs
    }
    common, different = [], {}
    for option in asdict(runs.options):
        values = [str(record["options"].get(option, "")) for record in about.values()]
        if len(set(values)) == 1:
            common.append([option, values[0]])
        else:
            different[option] = values
    versions = about[runs.choices.model]["versions"]
    return {
        "common_options": common,
        "different_options": (["model", *different], list(zip(about, *different.values(), strict=True))),
        "versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
    }
