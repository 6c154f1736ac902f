"""The whole job on any folder of videos: features, attention and mean-pooled models, predictions, pictures.

    python scripts/classify_videos.py --videos DIR --out DIR

DIR of --videos holds a subfolder of videos for each class, or videos alone, each then a class of its own, cut by time:
trained on the first part of each, tested on the last.
"""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from visual_attention import command_line, pictures, run_folder
from visual_attention.model import trained_model
from visual_attention.options import MODELS, Options
from visual_attention.training import data_options, load_parts, run_cell

OPTIONS_OF_MODEL_OR_DATA = (
    "pooling", "attention", "alpha_c", "n_actions", "multilabel", "ctx_dim", "n_locations", "fps",
)  # fmt: skip


@dataclass(frozen=True)
class Arguments:
    videos: Path
    """folder of class subfolders with videos, or of videos"""
    out: Path
    """folder of features/, a run of each model, and pictures"""
    extractor: Literal["googlenet", "efficientnet-lite0"] = "efficientnet-lite0"
    """network of the features; see scripts/extract_features.py, which makes them if features/ is not there"""
    models: tuple[Literal[tuple(MODELS)], ...] = ("attention_lambda0", "average_pooled_lstm")
    """rows of Table 1 to train"""
    # A few videos give few windows: a small model, small batches, and epochs enough to see some hundred updates.
    options: tyro.conf.OmitArgPrefixes[Options] = Options(dim=128, dim_out=128, batch_size=16, training_stride=2)
    """what the data or the models say (n_actions, pooling, ...) is not asked here"""


def main():
    arguments = tyro.cli(Arguments, description=__doc__)
    features = arguments.out / "features"
    for name in OPTIONS_OF_MODEL_OR_DATA:
        if getattr(arguments.options, name) != getattr(Options(), name):
            raise ValueError(f"option {name} follows from the videos or from --models here; leave it out")
    if features.is_dir():
        about = json.loads((features / "dataset.json").read_text(encoding="utf-8"))
        if (about["root"], about["extractor"]) != (str(arguments.videos.resolve()), arguments.extractor):
            raise ValueError(
                f"{features}: holds features of {about['root']} by {about['extractor']}; "
                "delete it or choose another --out"
            )
    else:
        script = Path(__file__).with_name("extract_features.py")
        extract = ["--videos", arguments.videos, "--out", features, "--extractor", arguments.extractor]
        status = subprocess.run([sys.executable, script, *map(str, extract)]).returncode
        if status:
            sys.exit(status)
    for name in arguments.models:
        options = arguments.options.replace(**MODELS[name], **data_options(features))
        data = load_parts(features, options)
        run = arguments.out / name
        result = run_cell(options, run, data)
        print(f"{name}: {result['metric']} {result['test']:.1f} % of {len(data['test'].labels)} test videos")
        model, test = trained_model(run, data["test"].table.dtype), data["test"]
        pictures.sheet(model, test, run_folder.load_predictions(run), name, n=4).save(run / "videos.png")
        print(f"{run}/predictions.csv, {run}/videos.png")


if __name__ == "__main__":
    command_line.run(main)
