"""The embedded data set: real pixels made from a seed, so that everything runs on a machine with nothing else on it.

224x224 videos of an articulated figure doing one of eight actions, in a cluttered scene with moving distractors. Two
pairs of actions go through the very same poses in opposite order, so no single frame tells them apart. A fixed
extractor turns each frame by itself into a 7x7 cube. It shows the machinery; it is no evidence about real video.

    make_embedded("data/embedded", seed=0)
    frames, boxes = render_video(0, "walk/test_007")  # (n, 224, 224, 3) uint8, (n, 4) int16
    cubes = extract_cubes(frames)                     # (n, 49, 64) float32
"""

import colorsys
import json
import os
import re
import shutil
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter
from scipy.ndimage import uniform_filter
from tqdm import tqdm

from visual_attention.util.data_lists import PARTS, write_class_names, write_lists
from visual_attention.util.frame_table import FrameTableWriter
from visual_attention.util.workers import worker_pool

ACTIONS = ("walk", "wave", "jack", "punch", "wheel_left", "wheel_right", "squat_push", "squat_drop")
BACKWARDS = {"wheel_right": "wheel_left", "squat_drop": "squat_push"}  # the same poses, played backwards
SIDE_VIEW = ("walk", "punch", "squat_push", "squat_drop")  # the others face the camera

SIZE = 224  # pixels, the side of a frame
SUPER = 2  # everything is drawn this many times larger and averaged down: smooth edges
LENGTHS = (22, 64)  # frames a video
PERIODS = (13.0, 22.0)  # frames from a pose to its return
HEIGHTS = (85.0, 145.0)  # pixels from sole to crown
GRID = 7  # cells a side of a cube
DEPTH = 4 * (8 + 1 + 4) + 4 + 8  # 2x2 sub-cells: edges and amount of vivid colour, grey edges; colours; surroundings
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
    elif action == "wheel_left":  # both arms go around together, as a wheel that rolls to the left
        pose["arms"] = [(-w, still), (w, still)]
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
    """Body parts from far to near, [(paint, [(a (n, 2), b (n, 2), radius), ...]), ...], in heights; feet at (0, 0)."""
    thick, leg = body["thick"], body["leg"]
    chest, waist = (0.025, 0.02) if side_view else (body["shoulders"], 0.05)
    sides = np.array([1, 1] if side_view else [-1, 1])
    hips = [np.array([side * waist, 0.0]) for side in (-1, 1)]
    shins = [upper + lower for upper, lower in pose["legs"]]
    knees = [_along(hips[k], pose["legs"][k][0], 0.51 * leg, sides[k]) for k in (0, 1)]
    ankles = [_along(knees[k], shins[k], 0.49 * leg, sides[k]) for k in (0, 1)]
    # the lower foot stands on the ground, and the feet stay where they are while the body moves over them
    root = np.stack([-(ankles[0] + ankles[1])[:, 0] / 2, -0.03 - pose["hop"] - np.maximum(*ankles)[:, 1]], axis=-1)
    neck = _along(root, np.pi - pose["lean"], body["torso"])
    head = _along(neck, np.pi - 0.5 * pose["lean"], 0.105)
    back = np.array([-0.012 if side_view else 0.0, -0.012])  # from the middle of the head to that of the hair

    legs, arms, chests = [], [], [(neck + [0, 0.05], root - [0, 0.05], 0.055 * thick)]
    for k, side in enumerate((-1, 1)):
        hip, knee, ankle = hips[k] + root, knees[k] + root, ankles[k] + root
        lift = np.clip((-0.03 - ankle[:, 1]) / 0.08, 0, 1)  # a lifted foot hangs at a right angle to the shin
        toe = _along(ankle, np.pi / 2 + shins[k] * lift, 0.06) if side_view else ankle + [side * 0.022, 0.012]
        upper, lower = pose["arms"][k]
        shoulder = neck + [side * chest, 0.02]
        elbow = _along(shoulder, upper, 0.165, sides[k])
        hand = _along(elbow, upper + lower, 0.155, sides[k])
        far = " far" if side_view and k == 0 else ""
        legs += [
            (("skin" if body["shorts"] else "trousers") + far, [(knee, ankle, 0.031 * thick)]),
            ("shoes" + far, [(ankle, toe, 0.024)]),
            ("trousers" + far, [(hip, knee, 0.045 * thick)]),
        ]
        arms += [
            ("skin" + far, [(hand, hand, 0.03)]),
            (("skin" if body["short_sleeves"] else "shirt") + far, [(elbow, hand, 0.025 * thick)]),
            ("shirt" + far, [(shoulder, elbow, 0.033 * thick)]),
        ]
        chests.append((shoulder, hip - [0, 0.04], 0.045 * thick))
    trunk = [("trousers", [(hips[0] + root, hips[1] + root, 0.045 * thick)]), ("shirt", chests)]
    hair = [(head + back, head + back, 0.07)]
    if body["long_hair"]:
        hair.append((head + back, head + 2 * back + [0, 0.09], 0.05))
    face = [("hair", hair), ("skin", [(neck, head, 0.027)]), ("skin", [(head - back, head - back, 0.056)])]
    return arms[:3] + legs + trunk + face + arms[3:] if side_view else legs + trunk + face + arms


# ----------------------------------------------------------------------------------------------------------- drawing


def _colour(rng, hue=(0, 1), saturation=(0, 1), value=(0, 1)):
    hsv = [rng.uniform(*span) for span in (hue, saturation, value)]
    return tuple(int(255 * c) for c in colorsys.hsv_to_rgb(*hsv))


def _shade(colour, factor):
    return tuple(min(255, int(c * factor)) for c in colour)


def _disc(draw, x, y, radius, colour):
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)


def _stroke(draw, a, b, radius, colour):
    draw.line((*a, *b), fill=colour, width=max(1, round(2 * radius)))
    _disc(draw, *a, radius, colour)
    _disc(draw, *b, radius, colour)


def _dress(rng):
    """Body and paints of a new figure. Clothes are vivid where scenes are dull, so that a cell tells what it shows."""
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
        "skin": tuple(int(light * pale + dark * (1 - pale)) for light, dark in ((246, 140), (187, 88), (138, 58))),
        "hair": _colour(rng, (0.03, 0.12), (0.4, 0.8), (0.12, 0.6)),
        "shirt": _colour(rng, (hue, hue), (0.7, 0.92), (0.6, 0.95)),
        "trousers": _colour(rng, (hue + 0.25, hue + 0.75), (0.65, 0.9), (0.4, 0.8)),
        "shoes": _colour(rng, saturation=(0.4, 0.9), value=(0.25, 0.95)),
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
            _stroke(draw, a - 0.3 * radius, b - 0.3 * radius, 0.45 * radius, _shade(colour, 1.18))


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
    """Cloudy noise (height, width) in about 0..1: three octaves of random grids, the coarsest of `cell`."""
    total = np.zeros((height, width), np.float32)
    for size, weight in ((cell, 0.5), (cell / 2, 0.3), (cell / 4, 0.2)):
        grid = rng.random((int(height / size) + 2, int(width / size) + 2), dtype=np.float32)
        total += weight * np.asarray(Image.fromarray(grid).resize((width, height), Image.Resampling.BICUBIC))
    return total


def _picture(pixels):
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def _background(rng, width, height, horizon):
    """A scene without its moving things, a PIL image; `horizon`: the row where wall or sky meets the floor."""
    dull = partial(_colour, rng, saturation=(0.05, 0.3))
    rows = np.arange(height, dtype=np.float32)[:, None, None]
    air, soil = rng.choice([0.1, 0.55, 0.6]), rng.choice([0.08, 0.12, 0.25, 0.33, 0.6])  # hues
    tones = [(air, 0.5, 0.9), (air, 0.6, 0.95), (soil, 0.4, 0.75), (soil, 0.3, 0.65)]  # with brightness from .. to
    top, bottom, far, near = np.float32([dull((hue - 0.04, hue + 0.04), value=value) for hue, *value in tones])
    sky = top + (bottom - top) * np.clip(rows / horizon, 0, 1)
    floor = far + (near - far) * np.clip((rows - horizon) / (height - horizon), 0, 1)
    clouds = _noise(rng, width, height, rng.uniform(20, 70)) - 0.5
    streaks = np.asarray(Image.fromarray(_noise(rng, width // 5 + 1, height, 8) - 0.5).resize((width, height)))
    light = 1 + rng.uniform(0.2, 0.7) * clouds + np.where(rows[:, :, 0] < horizon, 0.1, 0.6) * streaks
    image = _picture(np.where(rows < horizon, sky, floor) * light[:, :, None])
    draw = ImageDraw.Draw(image)
    things = rng.permutation(["wall", "town", "trees", "fence", "poles"])[: rng.integers(3, 5)]
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
            columns, storeys = range(x + 5, x + wide - 7, 12), range(int(horizon - high) + 6, int(horizon) - 10, 15)
            for wx, wy in product(columns, storeys):
                draw.rectangle((wx, wy, wx + 6, wy + 8), fill=_shade(pane, rng.uniform(0.7, 1.1)))
            x += wide + rng.integers(0, 60)
    if "trees" in things:  # a canopy where cloudy noise is high, its leaves by finer noise
        leaf = np.array(_colour(rng, (0.15, 0.45), (0.1, 0.33), (0.3, 0.6)), np.float32)
        canopy = _noise(rng, width, height, 60) + 0.35 * (1 - rows[:, :, 0] / (0.75 * horizon))
        leaves = _noise(rng, width, height, 9)
        inside = (canopy > 0.5 + 0.25 * (leaves - 0.5)) & (rows[:, :, 0] < horizon)
        image.paste(_picture(leaf * (0.35 + 1.3 * leaves[:, :, None])), mask=Image.fromarray(inside))
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
    return image.filter(ImageFilter.GaussianBlur(0.6))  # a little out of focus, as behind a person


def _distractor(rng, horizon):
    """A moving thing that is no figure, as draw(canvas, t, drift); `drift` is the camera's place at frame t."""
    kind = rng.choice(["ball", "crate", "stick", "wheel"])
    x, y, speed = rng.uniform(0, SIZE), rng.uniform(20, SIZE - 20), rng.uniform(-2.5, 2.5)
    size, phase = rng.uniform(9, 18), rng.uniform(0, 2 * np.pi)
    turn = speed / size if kind == "wheel" else 2 * np.pi / rng.uniform(18, 50)  # radians a frame
    paint = _colour(rng, saturation=(0.05, 0.5), value=(0.35, 0.9))
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
    if action.startswith("wheel"):
        facing = 1  # mirrored, one would be the other
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

    ground = camera[0, 1] + feet[0, 1]  # the row of the background the feet stand on
    horizon = float(ground - rng.uniform(0.04, 0.3) * scale)
    width, height = (np.ceil(camera.max(axis=0)) + SIZE + 1).astype(int)
    scene = _background(rng, width, height, horizon).resize((width * SUPER, height * SUPER), Image.Resampling.BILINEAR)
    distractors = [_distractor(rng, horizon) for _ in range(rng.integers(2, 5))]
    shadow = Image.new("L", (int(0.5 * scale) * SUPER, int(0.14 * scale) * SUPER))
    ImageDraw.Draw(shadow).ellipse((8, 4, shadow.width - 8, shadow.height - 4), fill=110)
    shadow = shadow.filter(ImageFilter.GaussianBlur(3))  # no stroke of the figure: its box leaves it out

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
    """Means of maps (m, 112, 112) over a 14x14 grid, (m, 14, 14); the near half of a neighbour counts a quarter."""
    rows = maps[:, 0::4] + maps[:, 1::4] + maps[:, 2::4] + maps[:, 3::4]
    blocks = rows[:, :, 0::4] + rows[:, :, 1::4] + rows[:, :, 2::4] + rows[:, :, 3::4]
    blocks = blocks.transpose(1, 2, 0)  # (28, 28, m)
    for _ in range(2):  # rows, then, turned, columns
        pairs = blocks[0::2] + blocks[1::2]
        pairs[1:] += 0.25 * blocks[1:-1:2]
        pairs[:-1] += 0.25 * blocks[2::2]
        blocks = pairs.transpose(1, 0, 2)
    return blocks.transpose(2, 0, 1) / 100


def _edges(channel, bins):
    """Gradient energy of a channel (m, 112, 112) by orientation: (m, 14, 14, bins).

    Bins are soft: a gradient g at angle θ counts |g| max(0, cos 2(θ − kπ/bins))² in bin k.
    """
    gx, gy = np.zeros_like(channel), np.zeros_like(channel)
    down = channel[:, :-2] + 2 * channel[:, 1:-1] + channel[:, 2:]
    right = channel[:, :, :-2] + 2 * channel[:, :, 1:-1] + channel[:, :, 2:]
    gx[:, 1:-1, 1:-1] = down[:, :, 2:] - down[:, :, :-2]
    gy[:, 1:-1, 1:-1] = right[:, 2:] - right[:, :-2]
    xx, yy = gx * gx, gy * gy
    size = np.sqrt(xx + yy) + 1e-6
    root = size * np.sqrt(size)  # divided by it, the square below is |g| cos²
    cosine, sine = (xx - yy) / root, 2 * gx * gy / root
    energies = [None] * bins
    for k in range(bins // 2):
        angle = 2 * np.pi * k / bins
        toward = float(np.cos(angle)) * cosine + float(np.sin(angle)) * sine
        energies[k] = _pool(np.maximum(toward, 0) ** 2)
        energies[k + bins // 2] = _pool(np.minimum(toward, 0) ** 2)
    return np.stack(energies, axis=-1)


def extract_cubes(frames):
    """Cubes (n, 49, DEPTH) float32, not negative, of frames (n, 224, 224, 3) uint8; location i = 7·row + column.

    Each frame by itself, as a network for single pictures sees it. No matrix products, whose last digits depend on the
    number of threads: same frames, same bytes. Strongest are the shape and amount of vivid colour in each quarter of a
    cell (limbs); grey edges and colours, which differ by scene and clothes, are weaker; the last eight numbers say how
    vivid the neighbours of a vivid cell are (which way the body goes on).
    """
    return np.concatenate([_extract(frames[k : k + 4]) for k in range(0, len(frames), 4)])  # 4 frames fit the cache


def _extract(frames):
    m = len(frames)
    rows = frames[:, 0::2].astype(np.uint16) + frames[:, 1::2]
    red, green, blue = np.float32(1 / (4 * 255)) * (rows[:, :, 0::2] + rows[:, :, 1::2]).transpose(3, 0, 1, 2)
    high, low = np.maximum(np.maximum(red, green), blue), np.minimum(np.minimum(red, green), blue)
    vivid = np.clip(5 * ((high - low) / (high + 0.05) - 0.35), 0, 1)  # 0 below a saturation of 0.35, 1 above 0.55
    amount, grey = _pool(vivid), _edges((red + green + blue) / 3, 4)
    around = uniform_filter(grey.sum(axis=-1, keepdims=True), (1, 3, 3, 1))  # local contrast
    grey = 0.2 * grey / (around + 0.1)
    cells = np.concatenate([3 * _edges(vivid, 8), 3 * amount[..., None], grey], axis=-1)  # (m, 14, 14, 13)
    cells = cells.reshape(m, GRID, 2, GRID, 2, 13).transpose(0, 1, 3, 2, 4, 5).reshape(m, GRID, GRID, 52)

    opponents = (red - green, green - red, (red + green) / 2 - blue, blue - (red + green) / 2)
    colours = np.stack([_halve(_pool(np.maximum(colour, 0))) for colour in opponents], axis=-1)
    amount = _halve(amount)
    padded = np.pad(amount, ((0, 0), (1, 1), (1, 1)))
    near = [padded[:, i : i + GRID, j : j + GRID] for i, j in product(range(3), range(3)) if (i, j) != (1, 1)]
    surroundings = 3 * np.sqrt(np.stack(near, axis=-1) * amount[..., None])
    cube = np.concatenate([cells, colours, surroundings], axis=-1)
    return cube.reshape(m, GRID * GRID, DEPTH).astype(np.float32)


def _halve(maps):
    """Means of 2x2 squares: (m, 14, 14) to (m, 7, 7)."""
    return (maps[:, 0::2, 0::2] + maps[:, 0::2, 1::2] + maps[:, 1::2, 0::2] + maps[:, 1::2, 1::2]) / 4


# -------------------------------------------------------------------------------------------------------------- files


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
            worker_pool(workers) as pool,
            tqdm(total=sum(map(len, names.values())), desc="embedded data set", unit="video", disable=None) as bar,
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
