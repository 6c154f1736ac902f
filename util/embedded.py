"""The embedded data set: real pixels made from a seed, so that everything runs on a machine with nothing else on it.

224x224 videos of an articulated figure doing one of eight actions, in a cluttered scene with moving distractors. Two pairs
of actions go through the very same poses and differ only in the order in time, so no single frame tells them apart.
A fixed extractor turns each frame by itself into a 7x7 cube. It shows the machinery; it is no evidence about real video.

    make_embedded("data/embedded", seed=0)
    frames, boxes = render_video(0, "walk/test_007")  # redrawn from its name: (n, 224, 224, 3) uint8, (n, 4) int16
    cubes = extract_cubes(frames)                      # (n, 49, 84) float32
"""

import colorsys
import json
import multiprocessing
import os
import re
import shutil
import signal
import threading
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter
from tqdm import tqdm

from visual_attention.util.data_lists import write_class_names, write_lists
from visual_attention.util.frame_table import FrameTableWriter

ACTIONS = ("walk", "wave", "jack", "punch", "wheel_out", "wheel_in", "squat_push", "squat_drop")
PARTS = ("train", "valid", "test")
BACKWARDS = {"wheel_in": "wheel_out", "squat_drop": "squat_push"}  # the same poses, played backwards
SIDE_VIEW = ("walk", "punch", "squat_push", "squat_drop")  # the others face the camera

SIZE = 224  # pixels, the side of a frame
SUPER = 2  # everything is drawn this many times larger and averaged down: smooth edges
LENGTHS = (22, 64)  # frames a video
PERIODS = (13.0, 22.0)  # frames from a pose to its return
HEIGHTS = (85.0, 145.0)  # pixels from sole to crown
GRID, BINS = 7, 8  # cells a side of a cube; orientation bins
DEPTH = 4 * (2 * BINS + 5)  # 2x2 sub-cells, each: edges in grey, edges in colour, four opponent colours and saturation
VERSION = 1  # of the look and the features; part of dataset.json, so that older files are not taken for these


def video_name(part, number, action):
    return f"{action}/{part}_{number:03d}"


def _parse(name):
    match = re.fullmatch(r"(\w+)/([a-z]+)_(\d+)", name)
    if not match or match[1] not in ACTIONS or match[2] not in PARTS:
        raise ValueError(f"{name!r} is no video of the embedded data set; expected a name such as 'walk/test_007'")
    return match[1], match[2], int(match[3])


# ---------------------------------------------------------------------------------------------------------- movement


def _pose(action, turns):
    """Angles (n,) in radians at `turns` (n,) of the action's cycle: 0 hangs down, positive is forward or, seen from the
    front, outward; elbows and knees count from the upper segment. `arms`, `legs`: (upper, lower) of each side."""
    if action in BACKWARDS:
        return _pose(BACKWARDS[action], -turns)
    w, still = 2 * np.pi * turns, np.zeros_like(turns)
    pose = {"lean": still, "hop": still, "arms": [(still + 0.15, still + 0.15)] * 2, "legs": [(still + 0.1, still)] * 2}
    if action == "walk":
        sides = (w, w + np.pi)
        pose["legs"] = [(0.06 + 0.46 * np.sin(a), -0.14 - 0.85 * np.maximum(0, np.cos(a + 0.35)) ** 2) for a in sides]
        pose["arms"] = [(-0.55 * np.sin(a), 0.45 - 0.2 * np.sin(a)) for a in sides]
        pose["lean"] = still + 0.06
    elif action == "wave":
        pose["arms"] = [(still + 0.15, still + 0.2), (2.0 + 0.1 * np.sin(w), 1.1 + 0.7 * np.sin(w))]
    elif action == "jack":
        opening = (1 - np.cos(w)) / 2
        pose["arms"] = [(0.15 + 2.55 * opening, 0.1 + 0.2 * opening)] * 2
        pose["legs"] = [(0.06 + 0.42 * opening, still)] * 2
        pose["hop"] = 0.06 * np.sin(w) ** 2
    elif action == "punch":
        reach = [np.maximum(0, np.sin(w)) ** 1.5, np.maximum(0, -np.sin(w)) ** 1.5]
        pose["arms"] = [(0.35 + 1.2 * r, 2.1 * (1 - r)) for r in reach]
        pose["legs"] = [(still + 0.5, still - 0.55), (still - 0.2, still - 0.3)]
        pose["lean"] = 0.1 + 0.08 * np.abs(np.sin(w))
    elif action == "wheel_out":
        pose["arms"] = [(w, still + 0.12)] * 2
        pose["legs"] = [(still + 0.16, still)] * 2
    else:  # squat_push: down over most of the cycle, up in the rest
        cycle, down = turns % 1, 0.74
        depth = (1 - np.cos(np.pi * np.where(cycle < down, cycle / down, (1 - cycle) / (1 - down)))) / 2
        pose["legs"] = [(1.55 * depth + 0.05, -2.25 * depth - 0.05), (1.5 * depth - 0.05, -2.15 * depth - 0.05)]
        pose["arms"] = [(0.1 + 1.35 * depth, still + 0.15)] * 2
        pose["lean"] = 0.65 * depth
    return pose


def _along(start, angle, length, side=1.0):
    """The point `length` from `start` (n, 2) at `angle` (n,) from straight down."""
    return start + length * np.stack([side * np.sin(angle), np.cos(angle)], axis=-1)


def _skeleton(pose, side_view, body):
    """Body parts from far to near: a list of (paint, [(a (n, 2), b (n, 2), radius), ...]), in heights, feet at (0, 0)."""
    thick, leg = body["thick"], body["leg"]
    chest, waist = (0.025, 0.02) if side_view else (body["shoulders"], 0.05)
    sides = (1.0, 1.0) if side_view else (-1.0, 1.0)
    n = len(pose["lean"])
    hips, ankles, legs, arms = [], [], [], []
    for k, (upper, lower) in enumerate(pose["legs"]):
        hip = np.tile([(2 * k - 1) * waist, 0.0], (n, 1))
        knee = _along(hip, upper, leg * 0.51, sides[k])
        hips.append(hip), ankles.append(_along(knee, upper + lower, leg * 0.49, sides[k]))
        legs.append([hip, knee, ankles[k], upper + lower])
    # the lower foot stands on the ground, and the feet stay where they are while the body moves over them
    root = np.stack([-(ankles[0] + ankles[1])[:, 0] / 2, -0.03 - pose["hop"] - np.maximum(*ankles)[:, 1]], axis=-1)
    neck = _along(root, np.pi - pose["lean"], body["torso"])
    head = _along(neck, np.pi - 0.5 * pose["lean"], 0.105)
    for k, (upper, lower) in enumerate(pose["arms"]):
        shoulder = neck + [(2 * k - 1) * chest, 0.02]
        elbow = _along(shoulder, upper, 0.165, sides[k])
        arms.append([shoulder, elbow, _along(elbow, upper + lower, 0.155, sides[k])])

    parts = {}
    for k in (0, 1):
        hip, knee, ankle, angle = legs[k]
        hip, knee, ankle = hip + root, knee + root, ankle + root
        lift = np.clip((-0.03 - ankle[:, 1]) / 0.08, 0, 1)  # a lifted foot hangs at a right angle to the shin
        toe = _along(ankle, np.pi / 2 + angle * lift, 0.06) if side_view else ankle + [sides[k] * 0.022, 0.012]
        parts[f"leg{k}"] = [
            ("skin" if body["shorts"] else "trousers", [(knee, ankle, 0.031 * thick)]),
            ("shoes", [(ankle, toe, 0.024)]),
            ("trousers", [(hip, knee, 0.045 * thick)]),
        ]
        shoulder, elbow, hand = arms[k]
        parts[f"arm{k}"] = [
            ("skin", [(hand, hand, 0.03)]),
            ("skin" if body["short_sleeves"] else "shirt", [(elbow, hand, 0.025 * thick)]),
            ("shirt", [(shoulder, elbow, 0.033 * thick)]),
        ]
    back = np.array([-0.012 if side_view else 0.0, -0.012])
    parts["torso"] = [
        ("trousers", [(hips[0] + root, hips[1] + root, 0.045 * thick)]),
        ("shirt", [(arms[k][0], root + [(2 * k - 1) * waist, -0.04], 0.045 * thick) for k in (0, 1)]
            + [(neck + [0, 0.05], root - [0, 0.05], 0.055 * thick)]),
    ]  # fmt: skip
    hair = [(head + back, head + back, 0.07)]
    if body["long_hair"]:
        hair.append((head + back, head + 2 * back + [0, 0.09], 0.05))
    parts["head"] = [
        ("hair", hair),
        ("skin", [(neck, head, 0.027)]),
        ("skin", [(head - back, head - back, 0.056)]),
    ]
    order = ("arm0", "leg0", "leg1", "torso", "head", "arm1") if side_view else (
        "leg0", "leg1", "torso", "head", "arm0", "arm1")  # fmt: skip
    return [
        (f"{paint} far" if side_view and name.endswith("0") else paint, strokes)
        for name in order
        for paint, strokes in parts[name]
    ]


# ----------------------------------------------------------------------------------------------------------- drawing


def _colour(rng, hue=(0, 1), saturation=(0, 1), value=(0, 1)):
    return tuple(int(255 * c) for c in colorsys.hsv_to_rgb(rng.uniform(*hue), rng.uniform(*saturation), rng.uniform(*value)))


def _shade(colour, factor):
    return tuple(min(255, int(c * factor)) for c in colour)


def _disc(draw, x, y, radius, colour):
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)


def _stroke(draw, a, b, radius, colour):
    _disc(draw, *a, radius, colour)
    if a is not b:
        draw.line((*a, *b), fill=colour, width=max(1, round(2 * radius)))
        _disc(draw, *b, radius, colour)


def _dress(rng):
    """Body and paints of a new figure. Clothes are vivid, scenes and distractors dull: what a cell shows can be told."""
    body = {
        "thick": rng.uniform(0.9, 1.25),
        "leg": rng.uniform(0.46, 0.5),
        "torso": rng.uniform(0.27, 0.3),
        "shoulders": rng.uniform(0.075, 0.1),
        "shorts": rng.random() < 0.35,
        "short_sleeves": rng.random() < 0.5,
        "long_hair": rng.random() < 0.4,
    }
    hue, pale = rng.random(), rng.random()
    paints = {
        "skin": tuple(int(light * pale + dark * (1 - pale)) for light, dark in ((252, 140), (208, 88), (172, 58))),
        "hair": _colour(rng, (0.03, 0.12), (0.4, 0.8), (0.12, 0.6)),
        "shirt": _colour(rng, (hue, hue), (0.7, 0.92), (0.6, 0.95)),
        "trousers": _colour(rng, (hue + 0.25, hue + 0.75), (0.6, 0.9), (0.35, 0.75)),
        "shoes": _colour(rng, saturation=(0, 0.9), value=(0.15, 0.95)),
    }
    return body, paints | {f"{name} far": _shade(colour, 0.72) for name, colour in paints.items()}


OUTLINE = 0.009  # of the figure's height: a darker rim that keeps limbs readable in front of the body


def _draw_figure(draw, skeleton, paints, t, scale, facing, feet):
    """Draws frame t; `scale` is the figure's height and `feet` the point it stands on, in pixels of the canvas."""
    flip = np.array([facing * scale, scale])
    for paint, strokes in skeleton:
        colour = paints[paint]
        placed = [(a[t] * flip + feet, b[t] * flip + feet, radius * scale) for a, b, radius in strokes]
        for a, b, radius in placed:
            _stroke(draw, a, b, radius + OUTLINE * scale, _shade(colour, 0.55))
        for a, b, radius in placed:
            _stroke(draw, a, b, radius, colour)
        for a, b, radius in placed:  # light from the upper left
            light = np.array([-0.3, -0.3]) * radius
            _stroke(draw, a + light, b + light, 0.45 * radius, _shade(colour, 1.18))


def _boxes(skeleton, scale, facing, feet):
    """Tight boxes (n, 4) int16, x0 y0 x1 y1 in pixels, ends exclusive, cut at the frame's edge."""
    low, high = np.inf, -np.inf
    for _, strokes in skeleton:
        for a, b, radius in strokes:
            for point in (a, b):
                place = point * [facing * scale, scale] + feet
                low = np.minimum(low, place - (radius + OUTLINE) * scale)
                high = np.maximum(high, place + (radius + OUTLINE) * scale)
    return np.clip(np.concatenate([np.floor(low), np.ceil(high)], axis=1), 0, SIZE).astype(np.int16)


def _noise(rng, width, height, cell):
    """Cloudy noise (height, width) in about 0..1: three octaves of random grids, the coarsest with squares of `cell`."""
    total = np.zeros((height, width), np.float32)
    for size, weight in ((cell, 0.5), (cell / 2, 0.3), (cell / 4, 0.2)):
        grid = rng.random((int(height / size) + 2, int(width / size) + 2), dtype=np.float32)
        total += weight * np.asarray(Image.fromarray(grid).resize((width, height), Image.Resampling.BICUBIC))
    return total


SKY_AND_FLOOR = ((0.5, 0.9), (0.6, 0.95), (0.4, 0.75), (0.3, 0.65))  # brightness from the top of a scene to its bottom


def _background(rng, width, height, horizon):
    """A scene without its moving things, a PIL image; `horizon`: the row where wall or sky meets the floor."""
    dull = partial(_colour, rng, saturation=(0.05, 0.3))
    rows = np.arange(height, dtype=np.float32)[:, None, None]
    air, ground = rng.choice([0.1, 0.55, 0.6]), rng.choice([0.08, 0.12, 0.25, 0.33, 0.6])  # hues: evening or day; soil, ...
    tone = [dull((h - 0.04, h + 0.04), value=v) for h, v in zip((air, air, ground, ground), SKY_AND_FLOOR, strict=True)]
    top, bottom, far, near = np.array(tone, np.float32)
    sky = top + (bottom - top) * np.clip(rows / horizon, 0, 1)
    floor = far + (near - far) * np.clip((rows - horizon) / (height - horizon), 0, 1)
    pixels = np.where(rows < horizon, sky, floor) + np.zeros((1, width, 1), np.float32)
    pixels += (_noise(rng, width, height, rng.uniform(20, 70)) - 0.5)[:, :, None] * rng.uniform(20, 70)
    streaks = np.asarray(Image.fromarray(_noise(rng, width // 5 + 1, height, 8)).resize((width, height)))
    pixels += (streaks - 0.5)[:, :, None] * np.where(rows < horizon, 15, 70)  # lying things on the floor
    things = rng.permutation(["wall", "town", "trees", "fence", "poles", "crates"])[: rng.integers(3, 5)]

    if "trees" in things:  # a canopy where cloudy noise is high, leaves by finer noise
        leaf = np.array(_colour(rng, (0.15, 0.45), (0.15, 0.4), (0.3, 0.6)), np.float32)
        canopy = _noise(rng, width, height, 60) + 0.35 * (1 - rows[:, :, 0] / (0.75 * horizon))
        leaves = _noise(rng, width, height, 9)
        inside = (canopy > 0.5 + 0.25 * (leaves - 0.5)) & (rows[:, :, 0] < horizon)
        pixels = np.where(inside[:, :, None], leaf * (0.35 + 1.3 * leaves[:, :, None]), pixels)
    image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    if "wall" in things:
        mortar, step = dull(value=(0.3, 0.7)), rng.integers(12, 26)
        for row, y in enumerate(range(int(0.35 * horizon), int(horizon), step // 2)):
            draw.line((0, y, width, y), fill=mortar)
            for x in range(row % 2 * step // 2, width, step):
                draw.line((x, y, x, min(y + step // 2, horizon)), fill=mortar)
    if "town" in things:
        x = rng.integers(-30, 20)
        while x < width:
            wide, high = rng.integers(30, 70), rng.integers(50, 140)
            wall, pane = dull(value=(0.35, 0.85)), dull(value=(0.15, 0.95))
            draw.rectangle((x, horizon - high, x + wide, horizon), fill=wall, outline=_shade(wall, 0.6))
            for wx, wy in product(range(x + 5, x + wide - 7, 12), range(int(horizon - high) + 6, int(horizon) - 10, 15)):
                draw.rectangle((wx, wy, wx + 6, wy + 8), fill=_shade(pane, rng.uniform(0.7, 1.1)))
            x += wide + rng.integers(0, 60)
    if "fence" in things:
        slat, step, high = dull(value=(0.4, 0.9)), rng.integers(10, 20), rng.integers(25, 55)
        for y in (0.25, 0.75):
            draw.line((0, horizon - y * high, width, horizon - y * high), fill=_shade(slat, 0.8), width=4)
        for x in range(0, width, step):
            draw.rectangle((x, horizon - high, x + step // 2, horizon + 2), fill=slat, outline=_shade(slat, 0.6))
    if "poles" in things:
        x = rng.integers(0, 50)
        while x < width:
            paint, wide = dull(value=(0.25, 0.8)), rng.integers(4, 11)
            draw.rectangle((x, 0, x + wide, horizon + rng.integers(0, 12)), fill=paint, outline=_shade(paint, 0.6))
            draw.line((x + wide // 3, 0, x + wide // 3, horizon), fill=_shade(paint, 1.25))
            x += rng.integers(40, 130)
    if "crates" in things:
        for x in range(rng.integers(0, 60), width, rng.integers(70, 120)):
            paint, side = dull((0.05, 0.15), value=(0.4, 0.75)), rng.integers(18, 40)
            y = horizon - side + rng.integers(2, 10)
            draw.rectangle((x, y, x + side, y + side), fill=paint, outline=_shade(paint, 0.5), width=2)
            draw.line((x, y, x + side, y + side), fill=_shade(paint, 0.6), width=2)
            draw.line((x + side, y, x, y + side), fill=_shade(paint, 0.6), width=2)
    return image.filter(ImageFilter.GaussianBlur(0.6))  # a little out of focus, as behind a person


def _distractor(rng, horizon):
    """A moving thing that is no figure, as draw(canvas, t, drift): `drift` is how far the camera has gone by frame t."""
    kind = rng.choice(["ball", "crate", "stick", "wheel"])
    x, y, speed = rng.uniform(0, SIZE), rng.uniform(20, SIZE - 20), rng.uniform(-2.5, 2.5)
    size, phase = rng.uniform(9, 18), rng.uniform(0, 2 * np.pi)
    turn = 2 * np.pi / rng.uniform(18, 50)  # radians a frame
    paint = _colour(rng, saturation=(0.05, 0.35), value=(0.35, 0.9))
    dark, margin = _shade(paint, 0.55), 60  # pixels beyond the frame where a thing that left comes in again

    def draw(canvas, t, drift):
        angle = phase + turn * t
        px = (x + (0 if kind == "stick" else speed * t) - drift[0] + margin) % (SIZE + 2 * margin) - margin
        at, r = np.array([px, y]), size * SUPER
        if kind in ("ball", "wheel"):
            at[1] = horizon + 25 - size - drift[1] - (70 * abs(np.sin(angle)) if kind == "ball" else 0)
        at *= SUPER
        spin = np.array([np.cos(angle), np.sin(angle)])
        across = np.array([-spin[1], spin[0]])
        if kind == "ball":
            _disc(canvas, *at, r, dark)
            _disc(canvas, *at, 0.88 * r, paint)
            _disc(canvas, *(at - 0.3 * r), 0.35 * r, _shade(paint, 1.25))
        elif kind == "wheel":
            _disc(canvas, *at, 1.2 * r, dark)
            _disc(canvas, *at, r, paint)
            for spoke in (spin, across, spin + across, spin - across):
                spoke = spoke * r / np.hypot(*spoke)
                canvas.line((*(at - spoke), *(at + spoke)), fill=dark, width=2 * SUPER)
        elif kind == "crate":
            corners = [at + r * (a * spin + b * across) for a, b in ((1, 1), (1, -1), (-1, -1), (-1, 1))]
            canvas.polygon([c for corner in corners for c in corner], fill=paint)
            for a, b in ((0, 1), (1, 2), (2, 3), (3, 0), (0, 2)):
                canvas.line((*corners[a], *corners[b]), fill=dark, width=2 * SUPER)
        else:  # a stick that hangs from above and swings
            at[1] = -10 * SUPER
            end = at + (50 + 0.5 * y) * SUPER * np.array([np.sin(0.7 * spin[0]), np.cos(0.7 * spin[0])])
            canvas.line((*at, *end), fill=dark, width=4 * SUPER)
            _disc(canvas, *end, 0.8 * r, paint)

    return draw


def _ease(start, end, n):
    """A smooth way (n, 2) from one point to another: still at both ends."""
    u = np.linspace(0, 1, n)[:, None]
    return start + (end - start) * u * u * (3 - 2 * u)


def render_video(seed, name):
    """Draws a video from the set's seed and its own name: frames (n, 224, 224, 3) uint8, boxes (n, 4) int16.

    A box is tight around the figure: x0, y0, x1, y1 in pixels, x1 and y1 exclusive. Every part, action and number has a
    random stream of its own, so no two videos, and no two parts, share scene, figure or distractors.
    """
    action, part, number = _parse(name)
    rng = np.random.default_rng([seed, PARTS.index(part), ACTIONS.index(action), number])
    n, side_view = int(rng.integers(LENGTHS[0], LENGTHS[1] + 1)), action in SIDE_VIEW
    scale, period, facing = rng.uniform(*HEIGHTS), rng.uniform(*PERIODS), rng.choice([-1, 1])
    time = np.arange(n)
    body, paints = _dress(rng)
    skeleton = _skeleton(_pose(action, rng.random() + time / period), side_view, body)

    # the cameraman keeps the figure near the middle: its feet go from one point to another through the frame, and
    # the camera follows from where they are in the world, which is one place unless it walks
    ends = rng.normal([SIZE / 2, SIZE / 2], [30, 10], (2, 2)).clip([52, 95], [SIZE - 52, SIZE - 95])
    sway = np.stack([3 * np.sin(time / rng.uniform(9, 14)), 1.5 * np.sin(time / rng.uniform(7, 12))], axis=1)
    feet = _ease(*ends, n) + sway + [0, 0.48 * scale]
    pace = facing * scale * 0.8 / period if action == "walk" else 0.0  # pixels a frame; two steps a period
    world = np.stack([pace * time, np.zeros(n)], axis=1)
    camera = world - feet
    camera -= camera.min(axis=0)

    ground = world[0, 1] + (feet + camera - world)[0, 1]  # the row of the background the feet stand on
    horizon = float(ground - rng.uniform(0.04, 0.3) * scale)
    width, height = (np.ceil(camera.max(axis=0)) + SIZE + 1).astype(int)
    scene = _background(rng, width, height, horizon).resize((width * SUPER, height * SUPER), Image.Resampling.BILINEAR)
    distractors = [_distractor(rng, horizon) for _ in range(rng.integers(2, 5))]
    shadow = Image.new("L", (int(0.5 * scale) * SUPER, int(0.14 * scale) * SUPER))
    ImageDraw.Draw(shadow).ellipse((8, 4, shadow.width - 8, shadow.height - 4), fill=110)
    shadow = shadow.filter(ImageFilter.GaussianBlur(3))

    frames = np.empty((n, SIZE, SIZE, 3), np.uint8)
    for t in range(n):
        x, y = np.round(camera[t] * SUPER).astype(int)
        canvas = scene.crop((x, y, x + SIZE * SUPER, y + SIZE * SUPER))
        draw = ImageDraw.Draw(canvas)
        for distractor in distractors:
            distractor(draw, t, camera[t])
        canvas.paste((15, 15, 25), tuple((feet[t] * SUPER - np.array(shadow.size) / 2).astype(int)), shadow)
        _draw_figure(draw, skeleton, paints, t, scale * SUPER, facing, feet[t] * SUPER)
        frames[t] = np.asarray(canvas.reduce(SUPER))
    return frames, _boxes(skeleton, scale, facing, feet)


# ---------------------------------------------------------------------------------------------------------- features


def _pool(maps):
    """Sums of maps (m, 112, 112) over a 14x14 grid, (m, 14, 14): a quarter of the rim of each neighbour counts too."""
    rows = maps[:, 0::4] + maps[:, 1::4] + maps[:, 2::4] + maps[:, 3::4]
    blocks = (rows[:, :, 0::4] + rows[:, :, 1::4] + rows[:, :, 2::4] + rows[:, :, 3::4]).transpose(1, 2, 0)  # (28, 28, m)
    for _ in range(2):  # rows, then, turned, columns
        pairs = blocks[0::2] + blocks[1::2]
        pairs[1:] += 0.25 * blocks[1:-1:2]
        pairs[:-1] += 0.25 * blocks[2::2]
        blocks = pairs.transpose(1, 0, 2)
    return blocks.transpose(2, 0, 1)


def _edges(channels, floor):
    """Orientation energy of channels, each (m, 112, 112): (m, 14, 14, BINS), relative to the energy around.

    Bins are soft: an edge at angle θ counts max(0, cos 2(θ − θ_k))² in bin k. `floor` is the mean gradient a pixel below
    which a place counts as flat.
    """
    cosine = sine = 0.0
    for channel in channels:
        gx, gy = np.zeros_like(channel), np.zeros_like(channel)
        gx[:, :, 1:-1] = channel[:, :, 2:] - channel[:, :, :-2]
        gy[:, 1:-1] = channel[:, 2:] - channel[:, :-2]
        cosine, sine = cosine + gx * gx - gy * gy, sine + 2 * gx * gy
    square = np.sqrt(cosine * cosine + sine * sine) + 1e-12
    weight = 1 / (np.sqrt(square) * np.sqrt(np.sqrt(square)))  # so that a bin squared is magnitude · cos²
    cosine, sine = cosine * weight, sine * weight
    half = np.float32(np.sqrt(0.5))
    bins = [None] * BINS
    for k, toward in enumerate((cosine, half * (cosine + sine), sine, half * (sine - cosine))):
        for sign, at in ((1, k), (-1, k + 4)):
            energy = np.maximum(sign * toward, 0)
            bins[at] = _pool(energy * energy)
    bins = np.stack(bins, axis=-1)
    total = np.pad(bins.sum(axis=-1), ((0, 0), (1, 1), (1, 1)), mode="edge")
    around = sum(total[:, i : i + 14, j : j + 14] for i in range(3) for j in range(3)) / 9
    return 2 * bins / (around + 100 * floor)[..., None]


def extract_cubes(frames):
    """Cubes (n, 49, DEPTH) float32, not negative, of frames (n, 224, 224, 3) uint8; location i = 7·row + column.

    Each frame by itself, as a network for single pictures would see it. Elementwise NumPy only, no matrix products: the
    same bytes whatever the number of threads.
    """
    return np.concatenate([_extract(frames[k : k + 4]) for k in range(0, len(frames), 4)])  # 4 frames fit the cache


def _extract(frames):
    m = len(frames)
    rows = frames[:, 0::2].astype(np.uint16) + frames[:, 1::2]
    red, green, blue = np.float32(1 / (4 * 255)) * (rows[:, :, 0::2] + rows[:, :, 1::2]).transpose(3, 0, 1, 2)
    grey, red_green, yellow_blue = (red + green + blue) / 3, red - green, (red + green) / 2 - blue
    saturation = np.maximum(np.maximum(red, green), blue) - np.minimum(np.minimum(red, green), blue)
    vivid = np.maximum(saturation - 0.25, 0)
    colours = (red_green, -red_green, yellow_blue, -yellow_blue)
    colours = [_pool(np.maximum(c - 0.1, 0)) for c in colours] + [_pool(vivid)]
    maps = [
        _edges([grey], floor=0.05),
        _edges([red_green, yellow_blue], floor=0.1),
        np.stack(colours, axis=-1) / 40,
    ]
    cells = np.concatenate(maps, axis=-1)  # (m, 14, 14, 21)
    cells = cells.reshape(m, GRID, 2, GRID, 2, -1).transpose(0, 1, 3, 2, 4, 5)  # the 2x2 sub-cells of a cell together
    return cells.reshape(m, GRID * GRID, DEPTH).astype(np.float32)


# -------------------------------------------------------------------------------------------------------------- files


def _start_worker():
    """Leaves Ctrl-C to the main process, and leaves when that is gone, however it ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    threading.Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()


def _make_video(seed, name):
    frames, boxes = render_video(seed, name)
    return extract_cubes(frames), boxes


def make_embedded(folder, seed=0, videos_per_class=(20, 6, 12), workers=None):
    """Writes the data set into `folder`, or leaves it as it is if this very set is there already. Returns the folder.

    For each part `<part>_features.h5`, `_framenum.txt`, `_filename.txt`, `_labels.txt` and `_boxes.npy` (n_frames, 4);
    `class_names.txt` and `dataset.json`. Same seed and numbers, same bytes, whatever the number of workers (default: a
    process a core). ValueError if the folder holds something else.
    """
    folder, building = Path(folder), Path(f"{folder}.part")
    about = {"name": "embedded", "source": "embedded", "version": VERSION, "seed": seed}
    about = json.dumps(about | {"videos_per_class": list(videos_per_class)}) + "\n"
    if _is_there(folder, about):
        return folder
    names = {
        part: [video_name(part, number, action) for action in ACTIONS for number in range(count)]
        for part, count in zip(PARTS, videos_per_class, strict=True)
    }
    shutil.rmtree(building, ignore_errors=True)  # left by a run that was killed
    building.mkdir(parents=True)
    try:
        with (
            ProcessPoolExecutor(workers or os.cpu_count(), multiprocessing.get_context("spawn"), _start_worker) as pool,
            tqdm(total=sum(map(len, names.values())), desc="embedded data set", unit="video") as bar,
        ):
            videos = pool.map(partial(_make_video, seed), sum(names.values(), []))
            for part in PARTS:
                boxes = []
                with FrameTableWriter(building / f"{part}_features.h5", GRID**2, DEPTH, "released", "float32") as table:
                    for _ in names[part]:
                        cubes, video_boxes = next(videos)
                        table.append(cubes)
                        boxes.append(video_boxes)
                        bar.update()
                np.save(building / f"{part}_boxes.npy", np.concatenate(boxes))
                labels = [ACTIONS.index(name.split("/")[0]) for name in names[part]]
                write_lists(building, part, names[part], [len(b) for b in boxes], labels)
        write_class_names(building, ACTIONS)
        (building / "dataset.json").write_text(about)
        os.replace(building, folder)
    except BaseException:
        shutil.rmtree(building)
        raise
    return folder


def _is_there(folder, about):
    """Whether the folder holds this set, whole. ValueError if it holds anything else."""
    if not folder.exists() or folder.is_dir() and not any(folder.iterdir()):
        return False
    endings = ("features.h5", "framenum.txt", "filename.txt", "labels.txt", "boxes.npy")
    files = ["class_names.txt", "dataset.json"] + [f"{part}_{ending}" for part in PARTS for ending in endings]
    missing = [name for name in files if not (folder / name).is_file()]
    found = f"it lacks {', '.join(missing)}" if missing else (folder / "dataset.json").read_text()
    if found != about:
        raise ValueError(
            f"{folder}: exists, but is not the data set asked for, {about.strip()}; found: {found.strip()}. "
            "Delete it or choose another folder"
        )
    return True
