"""Random colours and noise, and simple shapes drawn with Pillow."""

import colorsys

import numpy as np
from PIL import Image

SIZE = 224  # pixels, the side of a frame
SUPER = 2  # everything is drawn larger by this factor and then averaged down, for smooth edges


def random_colour(rng, hue=(0, 1), saturation=(0, 1), value=(0, 1)):
    hsv = [rng.uniform(*span) for span in (hue, saturation, value)]
    return tuple(int(255 * c) for c in colorsys.hsv_to_rgb(*hsv))


def shaded(colour, factor):
    return tuple(min(255, int(c * factor)) for c in colour)


def draw_disc(draw, x, y, radius, colour):
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)


def draw_stroke(draw, ends, radius, colour):
    """Draws a line with round ends, from one point to another; or a disc, if there is one point."""
    if len(ends) == 2:
        draw.line(ends[0] + ends[1], colour, max(1, round(2 * radius)))
    for x, y in ends:
        draw_disc(draw, x, y, radius, colour)


def cloudy_noise(rng, width, height, cell):
    """Noise (height, width) between about 0 and 1: three octaves of random grids, the coarsest with cells of `cell`."""
    total = np.zeros((height, width), np.float32)
    for size, weight in ((cell, 0.5), (cell / 2, 0.3), (cell / 4, 0.2)):
        grid = rng.random((int(height / size) + 2, int(width / size) + 2), dtype=np.float32)
        total += weight * np.asarray(Image.fromarray(grid).resize((width, height), Image.Resampling.BICUBIC))
    return total


def to_image(pixels):
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
