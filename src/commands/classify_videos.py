"""The whole job on any folder of videos: features, two kinds of attention and a pooled model, pictures, a player.

    visual-attention classify --videos DIR --out DIR

DIR of --videos holds a subfolder of videos for each class, or videos alone, each then a class of its own, cut by time:
trained on the first part of each, tested on the last. OUT/results.md says how little a few videos prove.
"""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import tyro
from scipy.stats import binomtest

from visual_attention.commands import command_line
from visual_attention.experiment import run_folder
from visual_attention.experiment.data import data_options, load_parts
from visual_attention.experiment.parameters import trained_model
from visual_attention.experiment.runs import run_cell
from visual_attention.options import MODELS, TITLES, Options
from visual_attention.presentation import pictures, player
from visual_attention.util import checks, drawing
from visual_attention.util.data_lists import read_class_names
from visual_attention.util.metrics import grid_side
from visual_attention.util.tables import write_table

OPTIONS_OF_MODEL_OR_DATA = (
    "pooling", "attention", "alpha_c", "n_actions", "multilabel", "ctx_dim", "n_locations", "fps",
    "fine_locations", "fine_dim",
)  # fmt: skip
FEW = 10  # videos of a class
ABOUT = {
    "attention_mlp_lambda0": "Attention by MLP sees each frame before it chooses where to look.",
    "attention_lambda0": "Attention by Eq. 4 chooses before it sees the frame, so it hardly follows it.",
    "average_pooled_lstm": "Average pooling weighs all places alike.",
}


@dataclass(frozen=True)
class Arguments:
    videos: Path
    """folder of class subfolders with videos, or of videos"""
    out: Path
    """folder of features/, a run of each model, pictures, and player.html"""
    extractor: str = "efficientnet-lite0"
    """network of the features; see visual-attention extract, which makes them if features/ is not there"""
    models: tuple[Literal[tuple(MODELS)], ...] = ("attention_mlp_lambda0", "attention_lambda0", "average_pooled_lstm")
    """rows of Table 1 to train"""
    # A few videos give few windows: a small model, small batches, and epochs enough to see some hundred updates.
    options: tyro.conf.OmitArgPrefixes[Options] = Options(dim=128, dim_out=128, batch_size=16, training_stride=2)
    """what the data or the models say (n_actions, pooling, ...) is not asked here"""


def main():
    arguments = command_line.parse(Arguments, __doc__)
    features = arguments.out / "features"
    for name in OPTIONS_OF_MODEL_OR_DATA:
        if getattr(arguments.options, name) != getattr(Options(), name):
            raise ValueError(f"option {name} follows from the videos or from --models here; leave it out")
    if features.is_dir():
        about = checks.read_json(features / "dataset.json", {"root": str, "extractor": str})
        if (about["root"], about["extractor"]) != (str(arguments.videos.resolve()), arguments.extractor):
            raise ValueError(
                f"{features}: holds features of {about['root']} by {about['extractor']}; "
                "delete it or choose another --out"
            )
    else:
        extract = ["extract", "--videos", arguments.videos, "--out", features, "--extractor", arguments.extractor]
        # in a process of its own, which does not keep torch and the network
        status = subprocess.run([sys.executable, "-m", "visual_attention.commands", *map(str, extract)]).returncode
        if status:
            sys.exit(status)
    found = data_options(features)
    grid_side(found["n_locations"])  # pictures come last: what they lack should be said before training
    models, all_probs, results, data = {}, {}, {}, None
    for name in arguments.models:
        options = arguments.options.replace(**MODELS[name], **found)
        data = load_parts(features, options)
        run = arguments.out / name
        result = results[name] = run_cell(options, run, data)
        print(f"{name}: {result['metric']} {result['test']:.1f} % of {len(data['test'].labels)} test videos")
        model, test = trained_model(run, data["test"].table.dtype), data["test"]
        probs = run_folder.load_predictions(run, len(test.labels))
        drawing.save(pictures.sheet(model, test, probs, name, n=4), run / "videos.png")
        print(f"{run}/predictions.csv, {run}/videos.png")
        models[name], all_probs[name] = model, probs
    if results:
        class_names = read_class_names(features, found["n_actions"])
        warnings = warnings_of({part: handler.lists for part, handler in data.items()}, class_names, options.maxlen)
        write_results(arguments.out / "results", results, len(data["test"].labels), warnings)
        print((arguments.out / "results.md").read_text())
        models = {name: models[name] for name in player.in_order(models)}
        videos = player.choose_videos(all_probs[next(iter(models))], test)
        path = arguments.out / "player.html"
        player.make_player(path, arguments.videos.name, models, test, videos, lambda k: pictures.read_frames(test, k))
        print(path)


def write_results(stem, results, n, warnings):
    """Writes <stem>.md, .csv and .tex: each model's score on n test videos, and below it what it means.

    results: model -> what result.json holds.
    """
    body = []
    for name, result in results.items():
        interval = ""
        if result["metric"] == "accuracy":
            ends = binomtest(round(result["test"] * n / 100), n).proportion_ci(method="wilson")
            interval = f"{100 * ends.low:.0f} to {100 * ends.high:.0f}"
        body.append([TITLES[name], f"{result['test']:.1f}", interval, f"{result['training_seconds']:.0f}"])
    metric = next(iter(results.values()))["metric"]
    head = ["model", f"{metric} of {n} test videos, %", "95 % interval", "seconds of training"]
    about = [text for name, text in ABOUT.items() if name in results]
    notes = [" ".join(about)] if len(about) > 1 else []
    write_table(stem, head, body, [*notes, *(f"Warning: {warning}" for warning in warnings)])


def warnings_of(lists, class_names, maxlen):
    """What makes the scores mean little, a list of sentences. lists: part -> DataLists. maxlen: frames of a window."""
    train, test, warnings = lists["train"], lists["test"], []
    if any(name.endswith("#test") for name in test.filenames):
        warnings.append(
            "the test videos are later parts of the training videos, so the scores say nothing about other videos."
        )
    for part, of_part in (("test", test), ("training", train)):
        labels = of_part.labels if of_part.multilabel else np.eye(len(class_names), dtype=int)[of_part.labels]
        few = {name: n for name, n in zip(class_names, labels.sum(axis=0).tolist(), strict=False) if n < FEW}
        if few:
            warnings.append(
                f"{len(few)} of {len(class_names)} classes have fewer than {FEW} {part} videos ({_listed(few)}); "
                + ("their accuracies mean nothing." if part == "test" else "what is learned of them may be the scene.")
            )
    short = {name: n for name, n in zip(test.filenames, test.frame_numbers.tolist(), strict=True) if n < maxlen}
    if short:
        warnings.append(
            f"{len(short)} of {len(test.filenames)} test videos have fewer frames than a window of {maxlen} "
            f"({_listed(short)}); their last frame is repeated."
        )
    return warnings


def _listed(counts, most=8):
    """Text such as run 3, walk 4, ..."""
    texts = [f"{name} {n}" for name, n in counts.items()]
    return ", ".join(texts[:most] + (["..."] if len(texts) > most else []))
