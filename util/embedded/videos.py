"""Videos of the data set, drawn from the seed and their names."""

import re
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from ..data_lists import PARTS
from .figure import boxes_around, draw_figure, dress, placed_strokes
from .movement import ACTIONS, SIDE_VIEW, pose, skeleton
from .paint import SIZE, SUPER
from .scene import background, distractor

FPS = 15
LENGTHS = (11, 24)  # frames per video
PERIODS = (6.5, 11.0)  # frames from a pose to its return
REACH = np.array([0.45, 0.5])  # heights from a figure's middle to its hand and to its crown
SWAY = np.array([3.0, 1.5])  # pixels
MOST_DISTRACTORS = 100


@dataclass(frozen=True)
class Difficulty:
    """How hard it is to find a figure: its size, the clutter around it, and how predictable its place is."""

    heights: tuple[float, float] = (85.0, 145.0)
    """least and largest height of a figure, in pixels from sole to crown"""
    distractors: tuple[int, int] = (2, 4)
    """least and largest number of things that move around it"""
    spread: float = 0.5
    """how far from the frame's centre a figure may be, as a share of the distance at which its feet, its crown or a
    stretched arm reach the frame's edge; 0: always at the centre"""

    def __post_init__(self):
        low, high = self.heights
        _expect(0 < low <= high <= SIZE, "heights", self.heights, f"two numbers of pixels, from above 0 to {SIZE}")
        low, high = self.distractors
        numbers = f"two whole numbers from 0 to {MOST_DISTRACTORS}"
        _expect(0 <= low <= high <= MOST_DISTRACTORS, "distractors", self.distractors, numbers)
        _expect(0 <= self.spread <= 1, "spread", self.spread, "a number from 0 to 1")


def _expect(good, name, value, expected):
    if not good:
        raise ValueError(f"{name} of the embedded data set is {value!r}; expected {expected}")


DEFAULT = Difficulty()


def video_name(part, number, action):
    return f"{action}/{part}_{number:03d}"


def parse_name(name):
    """(action, part, number) of a video's name; ValueError: there is no such video."""
    match = re.fullmatch(r"(\w+)/([a-z]+)_(\d+)", name)
    if not match or match[1] not in ACTIONS or match[2] not in PARTS:
        raise ValueError(f"{name!r} is no video of the embedded data set; expected a name such as 'walk/test_007'")
    return match[1], match[2], int(match[3])


def render_video(seed, name, difficulty=DEFAULT):
    """Draws a video from the seed of the data set and its name: frames (n, 224, 224, 3) uint8, boxes (n, 4) int16.

    A box is tight around the figure: x0, y0, x1, y1 in pixels, x1 and y1 exclusive. Every part, action and number has a
    random stream of its own, so no two videos, and no two parts, share scene, figure or distractors.
    """
    action, part, number = parse_name(name)
    rng = np.random.default_rng([seed, PARTS.index(part), ACTIONS.index(action), number])
    n = int(rng.integers(LENGTHS[0], LENGTHS[1] + 1))
    height, period, facing = rng.uniform(*difficulty.heights), rng.uniform(*PERIODS), rng.choice([-1, 1])
    if action.startswith("wheel"):
        facing = 1  # mirrored, one action would be the other
    scale = np.array([facing * height, height])
    body, paints = dress(rng)
    strokes = skeleton(pose(action, rng.random() + np.arange(n) / period), action in SIDE_VIEW, body)

    pace = facing * height * 0.8 / period if action == "walk" else 0.0  # pixels per frame; two steps per period
    feet, camera = _paths(rng, n, height, pace, difficulty.spread)
    ground = camera[0, 1] + feet[0, 1]  # the row of the background where the feet stand
    horizon = float(ground - rng.uniform(0.04, 0.3) * height)
    sides = (np.ceil(camera.max(axis=0)) + SIZE + 1).astype(int)
    scene = background(rng, *sides, horizon).resize(tuple(sides * SUPER), Image.Resampling.BILINEAR)
    least, most = difficulty.distractors
    distractors = [distractor(rng, horizon) for _ in range(rng.integers(least, most + 1))]
    parts, shadow = placed_strokes(strokes, paints, scale * SUPER, feet * SUPER), _shadow(height)

    frames = np.empty((n, SIZE, SIZE, 3), np.uint8)
    for t in range(n):
        x, y = np.round(camera[t] * SUPER).astype(int)
        canvas = scene.crop((x, y, x + SIZE * SUPER, y + SIZE * SUPER))
        draw = ImageDraw.Draw(canvas)
        for draw_distractor in distractors:
            draw_distractor(draw, t, camera[t])
        canvas.paste((15, 15, 25), tuple((feet[t] * SUPER - np.array(shadow.size) / 2).astype(int)), shadow)
        draw_figure(draw, parts, t)
        frames[t] = np.asarray(canvas.reduce(SUPER))
    return frames, boxes_around(strokes, scale, feet)


def _paths(rng, n, height, pace, spread):
    """Where the feet are in the frame, and where the camera is in the world, at each time: (n, 2) twice, in pixels.

    The cameraman keeps the figure in the frame: its middle goes from one random point to another, and sways. In the
    world it stays in one place unless it walks; the camera follows from that.
    """
    time = np.arange(n)
    room = SIZE / 2 - height * REACH - SWAY  # pixels from the centre to where the figure touches the frame's edge
    ends = SIZE / 2 + spread * np.maximum(room, 0) * rng.uniform(-1, 1, (2, 2))
    sway = SWAY * np.stack([np.sin(time / rng.uniform(4.5, 7)), np.sin(time / rng.uniform(3.5, 6))], axis=1)
    feet = _ease(*ends, n) + sway + [0, height / 2]
    world = np.stack([pace * time, np.zeros(n)], axis=1)
    camera = world - feet
    return feet, camera - camera.min(axis=0)


def _ease(start, end, n):
    """A smooth path (n, 2) from one point to another, at rest at both ends."""
    u = np.linspace(0, 1, n)[:, None]
    return start + (end - start) * u * u * (3 - 2 * u)


def _shadow(height):
    """The mask of the figure's shadow on the floor. It is not a stroke of the figure, so the box leaves it out."""
    shadow = Image.new("L", (int(0.5 * height) * SUPER, int(0.14 * height) * SUPER))
    ImageDraw.Draw(shadow).ellipse((8, 4, shadow.width - 8, shadow.height - 4), fill=110)
    return shadow.filter(ImageFilter.GaussianBlur(3))
