"""Networks of timm as extractors, on two cores: cubes, size of a second of video, frames a second, as a Markdown table.

    python benchmarks/networks.py                        # those of docs/features.md
    python benchmarks/networks.py resnet50 vit_tiny_patch16_224

Weights are random: speed does not depend on them. As in an extraction without a GPU, each of two processes runs the
network on one core. Time is the processor's, so that it matters less what else the machine does; rates are added.
Frames are random too, and none is decoded.
"""

import platform
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import tyro

from visual_attention.commands import exit_status
from visual_attention.experiment.budget import second_mb
from visual_attention.util.extractors import find_extractor
from visual_attention.util.metrics import grid_side

NETWORKS = (
    "mobilenetv3_large_100", "tf_efficientnet_lite0", "efficientnet_b0", "densenet121", "resnet50", "convnext_tiny",
    "swin_tiny_patch4_window7_224", "coatnet_0_rw_224", "vit_small_patch16_224", "vit_base_patch16_224",
    "vit_small_patch16_dinov3",
)  # fmt: skip
CORES = 2


@dataclass(frozen=True)
class Options:
    networks: tyro.conf.Positional[tuple[str, ...]] = NETWORKS
    """names of timm"""
    seconds: float = 3
    """how long each is timed, at least"""
    batch_size: int = 8
    """frames per call of the network"""


def main(options):
    print(f"torch {torch.__version__}, {platform.processor() or platform.machine()}, {CORES} processes")
    print("| network | frames | K | D | MB a second | frames/s |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder, ProcessPoolExecutor(CORES) as pool:
        for name in options.networks:
            path = Path(folder, "weights.pth")
            pool.submit(save_random, name, path).result()
            work = [pool.submit(measure, name, path, options.seconds, options.batch_size) for _ in range(CORES)]
            extractor, rates = work[0].result()[0], [each.result()[1] for each in work]
            K, mb = grid_side(extractor.n_locations), second_mb(extractor, 30, "float16")
            print(
                f"| `{name}` | {extractor.size} | {K} | {extractor.depth} | {mb:.1f} | {sum(rates):.1f} |", flush=True
            )


def save_random(name, path):
    """Writes random weights of a network of timm."""
    from visual_attention.util.extractors import _timm

    torch.save(_timm._import(torch).create_model(name).state_dict(), path)


def measure(name, weights, seconds, batch_size):
    """The extractor, and its frames a second on one core."""
    extractor = find_extractor(f"timm:{name}", weights=weights)
    frames = np.random.default_rng(0).integers(0, 256, (batch_size, extractor.size, extractor.size, 3), np.uint8)
    extractor(frames)  # not timed: the first call selects algorithms
    began, n = time.process_time(), 0
    while (passed := time.process_time() - began) < seconds:
        extractor(frames)
        n += batch_size
    return extractor, n / passed


if __name__ == "__main__":
    exit_status.run(main, tyro.cli(Options, description=__doc__))
