"""Extraction against the network alone: what decoding, waiting and writing cost, on the same frames.

    python benchmarks/extraction.py VIDEO ...                # EfficientNet-Lite0 and GoogLeNet, all cores
    taskset -c 0 python benchmarks/extraction.py VIDEO ...   # one core: what each of several worker processes has

GoogLeNet has random weights and needs torchvision==0.15.2 (`pip install --no-deps`); speed does not depend on weights.
The two are timed in turns, so that what else the machine does meets both; the ratio is the median over the turns.
"""

import platform
import statistics
import tempfile
import time
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import tyro

from visual_attention import command_line
from visual_attention.util.extractors import SIZE, find_extractor
from visual_attention.util.features import extract_video
from visual_attention.util.video import read_frames
from visual_attention.util.workers import n_cores


@dataclass(frozen=True)
class Options:
    videos: tyro.conf.Positional[tuple[Path, ...]]
    """videos to extract"""
    extractors: tuple[Literal["efficientnet-lite0", "googlenet"], ...] = ("efficientnet-lite0", "googlenet")
    """networks"""
    turns: int = 3
    """how often each video is extracted"""
    batch_size: int = 8
    """frames the network sees at once"""


def main(options):
    machine = f"{platform.machine()}, {n_cores()} cores, GPU: {torch.cuda.is_available()}"
    print(f"torch {torch.__version__}, Python {platform.python_version()}, {machine}, batches of {options.batch_size}")
    print("| network | video | frames | network alone, frames/s | extraction, frames/s | ratio |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as scratch:
        for name in options.extractors:
            random = random_googlenet(Path(scratch)) if name == "googlenet" else ()
            extractor = find_extractor(name, *random)
            ratios = []
            for path in options.videos:
                alone, whole, n = measure(path, extractor, options.turns, options.batch_size, Path(scratch))
                ratios += (a / w for a, w in zip(alone, whole, strict=True))
                speeds = n / statistics.median(alone), n / statistics.median(whole)
                print(f"| {name} | {path.name} | {n} | {speeds[0]:.1f} | {speeds[1]:.1f} | ", end="")
                print(f"{speeds[1] / speeds[0]:.2f} |", flush=True)
            print(
                f"| {name} | all, median of {len(ratios)} turns | | | | {statistics.median(ratios):.2f} |", flush=True
            )


def measure(path, extractor, turns, batch_size, scratch):
    """Seconds of the network alone and of extraction in each turn, and the number of frames."""
    frames = read_frames(path, 30, SIZE)
    batches = []
    while batch := list(islice(frames, batch_size)):
        batches.append(np.stack(batch))
    extractor(batches[0])  # the first call chooses algorithms
    alone, whole = [], []
    for _ in range(turns):
        began = time.monotonic()
        for batch in batches:
            extractor(batch)
        alone.append(time.monotonic() - began)
        began = time.monotonic()
        extract_video(path, 0, scratch, [(0, 1)], extractor, 30, batch_size, "float16", skip=False)
        whole.append(time.monotonic() - began)
    return alone, whole, sum(map(len, batches))


def random_googlenet(folder):
    """A local hub of the installed torchvision, and a file of random weights for it."""
    (folder / "hubconf.py").write_text("from torchvision.models import googlenet\n")
    model = torch.hub.load(str(folder), "googlenet", source="local", weights=None, aux_logits=False, init_weights=False)
    torch.save(model.state_dict(), folder / "random.pth")
    return folder, folder / "random.pth"


if __name__ == "__main__":
    command_line.run(main, tyro.cli(Options, description=__doc__))
