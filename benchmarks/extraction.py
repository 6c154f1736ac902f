"""Extraction compared with the network alone on the same frames: the cost of decoding, waiting and writing.

    python benchmarks/extraction.py VIDEO ...                # EfficientNet-Lite0 and GoogLeNet, all cores
    taskset -c 0 python benchmarks/extraction.py VIDEO ...   # one core, as for each of several worker processes

GoogLeNet has random weights; speed does not depend on them.
The two are timed alternately, so that other load on the machine affects both. The ratio is the median over the turns.
"""

import platform
import statistics
import tempfile
import time
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
import tyro

from visual_attention.commands import exit_status
from visual_attention.util.extractors import EXTRACTORS, find_extractor
from visual_attention.util.extractors._network import without_operators
from visual_attention.util.features import Settings, extract_video
from visual_attention.util.video import read_frames
from visual_attention.util.workers import n_cores


@dataclass(frozen=True)
class Options:
    videos: tyro.conf.Positional[tuple[Path, ...]]
    """videos to extract"""
    extractors: tuple[str, ...] = tuple(EXTRACTORS)
    """networks to measure"""
    turns: int = 3
    """number of times that each video is extracted"""
    batch_size: int = 8
    """frames per call of the network"""


def main(options):
    machine = f"{platform.machine()}, {n_cores()} cores, GPU: {torch.cuda.is_available()}"
    print(f"torch {torch.__version__}, Python {platform.python_version()}, {machine}, batches of {options.batch_size}")
    print("| network | video | frames | network alone, frames/s | extraction, frames/s | ratio |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as scratch:
        for name in options.extractors:
            hub = random_googlenet(Path(scratch)) if name == "googlenet" else ()
            extractor = find_extractor(name, *hub)
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
    """Seconds per turn of the network alone and of extraction, and the number of frames."""
    frames = read_frames(path, 30, extractor.size, interpolation=extractor.interpolation)
    batches = []
    while batch := list(islice(frames, batch_size)):
        batches.append(np.stack(batch))
    extractor(batches[0])  # not timed: the first call selects algorithms
    alone, whole = [], []
    for _ in range(turns):
        began = time.monotonic()
        for batch in batches:
            extractor(batch)
        alone.append(time.monotonic() - began)
        began = time.monotonic()
        extract_video(path, 0, scratch, [(0, 1)], Settings(extractor, batch_size=batch_size))
        whole.append(time.monotonic() - began)
    return alone, whole, sum(map(len, batches))


def random_googlenet(folder):
    """A local hub folder that uses the installed torchvision, and a file with random weights for it."""
    (folder / "hubconf.py").write_text("from torchvision.models import googlenet\n")
    how = {"source": "local", "weights": None, "aux_logits": False, "init_weights": False}
    model = without_operators(torch, lambda: torch.hub.load(str(folder), "googlenet", **how))
    torch.save(model.state_dict(), folder / "random.pth")
    return folder, folder / "random.pth"


if __name__ == "__main__":
    exit_status.run(main, tyro.cli(Options, description=__doc__))
