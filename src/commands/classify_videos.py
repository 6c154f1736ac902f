"""The whole job on any folder of videos: features, attention and mean-pooled models, predictions, pictures, a player.

    visual-attention classify --videos DIR --out DIR

DIR of --videos holds a subfolder of videos for each class, or videos alone, each then a class of its own, cut by time:
trained on the first part of each, tested on the last.
"""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from visual_attention.commands import command_line
from visual_attention.experiment import run_folder
from visual_attention.experiment.data import data_options, load_parts
from visual_attention.experiment.parameters import trained_model
from visual_attention.experiment.runs import run_cell
from visual_attention.options import MODELS, Options
from visual_attention.presentation import pictures, player
from visual_attention.util import checks, drawing
from visual_attention.util.metrics import grid_side

OPTIONS_OF_MODEL_OR_DATA = (
    "pooling", "attention", "alpha_c", "n_actions", "multilabel", "ctx_dim", "n_locations", "fps",
    "fine_locations", "fine_dim",
)  # fmt: skip


@dataclass(frozen=True)
class Arguments:
    videos: Path
    """folder of class subfolders with videos, or of videos"""
    out: Path
    """folder of features/, a run of each model, pictures, and player.html"""
    extractor: str = "efficientnet-lite0"
    """network of the features; see visual-attention extract, which makes them if features/ is not there"""
    models: tuple[Literal[tuple(MODELS)], ...] = ("attention_lambda0", "average_pooled_lstm")
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
    models, all_probs = {}, {}
    for name in arguments.models:
        options = arguments.options.replace(**MODELS[name], **found)
        data = load_parts(features, options)
        run = arguments.out / name
        result = run_cell(options, run, data)
        print(f"{name}: {result['metric']} {result['test']:.1f} % of {len(data['test'].labels)} test videos")
        model, test = trained_model(run, data["test"].table.dtype), data["test"]
        probs = run_folder.load_predictions(run, len(test.labels))
        drawing.save(pictures.sheet(model, test, probs, name, n=4), run / "videos.png")
        print(f"{run}/predictions.csv, {run}/videos.png")
        models[name], all_probs[name] = model, probs
    models = {name: models[name] for name in player.in_order(models)}
    videos = player.choose_videos(all_probs[next(iter(models))], test)
    path = arguments.out / "player.html"
    player.make_player(path, arguments.videos.name, models, test, videos, lambda k: pictures.read_frames(test, k))
    print(path)
