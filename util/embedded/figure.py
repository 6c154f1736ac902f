"""A figure: its body and clothes, its strokes in a frame, and the boxes around it."""

import numpy as np

from .paint import SIZE, draw_stroke, random_colour, shaded

OUTLINE = 0.009  # width of a darker rim, in heights of the figure; it keeps limbs readable in front of the body


def dress(rng):
    """Body and paints of a new figure. Clothes are vivid and scenes are dull, so that cells tell them apart."""
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
        "hair": random_colour(rng, (0.03, 0.12), (0.4, 0.8), (0.12, 0.6)),
        "shirt": random_colour(rng, (hue, hue), (0.7, 0.92), (0.6, 0.95)),
        "trousers": random_colour(rng, (hue + 0.25, hue + 0.75), (0.65, 0.9), (0.4, 0.8)),
        "shoes": random_colour(rng, saturation=(0.4, 0.9), value=(0.25, 0.95)),
    }
    return body, paints | {f"{name} far": shaded(colour, 0.72) for name, colour in paints.items()}


def placed_strokes(skeleton, paints, scale, feet):
    """What `draw_figure` draws: for each part of the skeleton and each of its strokes its ends in all frames.

    scale (2,): pixels of the canvas per height of the figure, along x and y; x is negative if the figure faces left.
    feet (n, 2): the points where it stands, in pixels of the canvas.
    Returns [[(colour, [(ends of n frames, radius), ...]), ...], ...]: a part's rim, its strokes, and the light on them.
    The ends are lists (a, b) of points, or of one point (a,), where a stroke is a disc.
    """
    height, parts = scale[1], []
    for paint, strokes in skeleton:
        colour, layers = paints[paint], ([], [], [])
        for a, b, radius in strokes:
            ends = np.stack([a * scale + feet, *([] if a is b else [b * scale + feet])], axis=1)  # (n, 1 or 2, 2)
            radius = radius * height
            layers[0].append((ends.tolist(), radius + OUTLINE * height))
            layers[1].append((ends.tolist(), radius))
            layers[2].append(((ends - 0.3 * radius).tolist(), 0.45 * radius))  # light from the upper left
        parts.append(list(zip((shaded(colour, 0.55), colour, shaded(colour, 1.18)), layers, strict=True)))
    return parts


def draw_figure(draw, parts, t):
    """Draws the figure of frame t. parts: from `placed_strokes`."""
    for part in parts:
        for colour, strokes in part:
            for ends, radius in strokes:
                draw_stroke(draw, ends[t], radius, colour)


def boxes_around(skeleton, scale, feet):
    """Tight boxes (n, 4) int16: x0, y0, x1, y1 in pixels, x1 and y1 exclusive, cut at the edge of the frame.

    scale: as for `draw_figure`, in pixels of the frame; feet (n, 2).
    """
    low, high = np.inf, -np.inf
    for _, strokes in skeleton:
        for a, b, radius in strokes:
            for point in (a, b):
                place = point * scale + feet
                low = np.minimum(low, place - (radius + OUTLINE) * scale[1])
                high = np.maximum(high, place + (radius + OUTLINE) * scale[1])
    return np.clip(np.concatenate([np.floor(low), np.ceil(high)], axis=1), 0, SIZE).astype(np.int16)
