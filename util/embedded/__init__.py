"""The embedded data set: videos drawn from a seed, so that everything runs on a machine without any other data.

They are 224 x 224 videos of an articulated figure that does one of eight actions, in a cluttered scene with moving
distractors. Two pairs of actions go through the same poses in opposite order, so no single frame tells them apart. A
fixed extractor turns each frame by itself into a 7 x 7 cube. The data set shows that the program works; it is no
evidence about real video.

    make_embedded("data/embedded", seed=0)
    frames, boxes = render_video(0, "walk/test_007")  # (n, 224, 224, 3) uint8, (n, 4) int16
    cubes = extract_cubes(frames)                     # (n, 49, 64) float32
"""

from .cubes import DEPTH, extract_cubes
from .files import VIDEOS_PER_CLASS, make_embedded
from .movement import ACTIONS
from .videos import Difficulty, render_video, video_name

__all__ = [
    "ACTIONS",
    "DEPTH",
    "VIDEOS_PER_CLASS",
    "Difficulty",
    "extract_cubes",
    "make_embedded",
    "render_video",
    "video_name",
]
