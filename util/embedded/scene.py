"""The scene around a figure: a background, and things that move in front of it."""

from itertools import product

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from .paint import SIZE, SUPER, cloudy_noise, draw_disc, random_colour, shaded, to_image

MARGIN = 60  # pixels beyond the frame where a thing that left it comes in again


def background(rng, width, height, horizon):
    """A scene without its moving things, a PIL image. horizon: the row where wall or sky meets the floor."""
    rows = np.arange(height, dtype=np.float32)[:, None, None]
    air, soil = rng.choice([0.1, 0.55, 0.6]), rng.choice([0.08, 0.12, 0.25, 0.33, 0.6])  # hues
    tones = [(air, 0.5, 0.9), (air, 0.6, 0.95), (soil, 0.4, 0.75), (soil, 0.3, 0.65)]  # hue, least and most brightness
    top, bottom, far, near = np.float32([_dull(rng, value, (hue - 0.04, hue + 0.04)) for hue, *value in tones])
    sky = top + (bottom - top) * np.clip(rows / horizon, 0, 1)
    floor = far + (near - far) * np.clip((rows - horizon) / (height - horizon), 0, 1)
    clouds = cloudy_noise(rng, width, height, rng.uniform(20, 70)) - 0.5
    streaks = np.asarray(Image.fromarray(cloudy_noise(rng, width // 5 + 1, height, 8) - 0.5).resize((width, height)))
    light = 1 + rng.uniform(0.2, 0.7) * clouds + np.where(rows[:, :, 0] < horizon, 0.1, 0.6) * streaks
    image = to_image(np.where(rows < horizon, sky, floor) * light[:, :, None])
    chosen = rng.permutation(list(THINGS))[: rng.integers(3, 5)]
    for name, draw_thing in THINGS.items():
        if name in chosen:
            draw_thing(image, rng, horizon)
    return image.filter(ImageFilter.GaussianBlur(0.6))  # a little out of focus, as behind a person


def _dull(rng, value, hue=(0, 1)):
    return random_colour(rng, hue, (0.05, 0.3), value)


def _draw_wall(image, rng, horizon):
    draw = ImageDraw.Draw(image)
    mortar, step = _dull(rng, (0.3, 0.7)), rng.integers(12, 26)
    for row, y in enumerate(range(int(0.35 * horizon), int(horizon), step // 2)):
        draw.line((0, y, image.width, y), fill=mortar)
        for x in range(row % 2 * step // 2, image.width, step):
            draw.line((x, y, x, min(y + step // 2, horizon)), fill=mortar)


def _draw_town(image, rng, horizon):
    draw = ImageDraw.Draw(image)
    x = rng.integers(-30, 20)
    while x < image.width:
        width, height = rng.integers(30, 70), rng.integers(50, 140)
        wall, pane = _dull(rng, (0.35, 0.85)), _dull(rng, (0.15, 0.95))
        draw.rectangle((x, horizon - height, x + width, horizon), fill=wall, outline=shaded(wall, 0.6))
        columns, storeys = range(x + 5, x + width - 7, 12), range(int(horizon - height) + 6, int(horizon) - 10, 15)
        for wx, wy in product(columns, storeys):
            draw.rectangle((wx, wy, wx + 6, wy + 8), fill=shaded(pane, rng.uniform(0.7, 1.1)))
        x += width + rng.integers(0, 60)


def _draw_trees(image, rng, horizon):
    """A canopy where coarse noise is high. Finer noise makes its leaves."""
    rows = np.arange(image.height, dtype=np.float32)[:, None]
    leaf = np.array(random_colour(rng, (0.15, 0.45), (0.1, 0.33), (0.3, 0.6)), np.float32)
    canopy = cloudy_noise(rng, *image.size, 60) + 0.35 * (1 - rows / (0.75 * horizon))
    leaves = cloudy_noise(rng, *image.size, 9)
    inside = (canopy > 0.5 + 0.25 * (leaves - 0.5)) & (rows < horizon)
    image.paste(to_image(leaf * (0.35 + 1.3 * leaves[:, :, None])), mask=Image.fromarray(inside))


def _draw_fence(image, rng, horizon):
    draw = ImageDraw.Draw(image)
    slat, step, height = _dull(rng, (0.4, 0.9)), rng.integers(10, 20), rng.integers(25, 55)
    for share in (0.25, 0.75):
        y = horizon - share * height
        draw.line((0, y, image.width, y), fill=shaded(slat, 0.8), width=4)
    for x in range(0, image.width, step):
        draw.rectangle((x, horizon - height, x + step // 2, horizon + 2), fill=slat, outline=shaded(slat, 0.6))


def _draw_poles(image, rng, horizon):
    draw = ImageDraw.Draw(image)
    x = rng.integers(0, 50)
    while x < image.width:
        paint, width = _dull(rng, (0.25, 0.8)), rng.integers(4, 11)
        draw.rectangle((x, 0, x + width, horizon + rng.integers(0, 12)), fill=paint, outline=shaded(paint, 0.6))
        draw.line((x + width // 3, 0, x + width // 3, horizon), fill=shaded(paint, 1.25))
        x += rng.integers(40, 130)


THINGS = {  # in the order in which they are drawn
    "wall": _draw_wall,
    "town": _draw_town,
    "trees": _draw_trees,
    "fence": _draw_fence,
    "poles": _draw_poles,
}


def distractor(rng, horizon):
    """A moving thing that is not a figure: a function draw(canvas, t, camera), where camera (2,) is its place then."""
    kind = rng.choice(list(DISTRACTORS))
    x, y, speed = rng.uniform(0, SIZE), rng.uniform(20, SIZE - 20), rng.uniform(-5, 5)
    size, phase = rng.uniform(9, 18), rng.uniform(0, 2 * np.pi)
    turn = speed / size if kind == "wheel" else 2 * np.pi / rng.uniform(9, 25)  # radians per frame
    paint = random_colour(rng, saturation=(0.05, 0.5), value=(0.35, 0.9))

    def draw(canvas, t, camera):
        angle = phase + turn * t
        travelled = 0 if kind == "stick" else speed * t
        centre = np.array([(x + travelled - camera[0] + MARGIN) % (SIZE + 2 * MARGIN) - MARGIN, y])
        if kind in ("ball", "wheel"):  # which are on the floor, unless a ball is bouncing
            centre[1] = horizon + 25 - size - camera[1] - (70 * abs(np.sin(angle)) if kind == "ball" else 0)
        DISTRACTORS[kind](canvas, centre * SUPER, size * SUPER, angle, paint)

    return draw


def _draw_ball(canvas, centre, radius, angle, paint):
    draw_disc(canvas, *centre, radius, shaded(paint, 0.55))
    draw_disc(canvas, *centre, 0.88 * radius, paint)
    draw_disc(canvas, *(centre - 0.3 * radius), 0.35 * radius, shaded(paint, 1.25))


def _draw_wheel(canvas, centre, radius, angle, paint):
    along, across = _axes(angle)
    draw_disc(canvas, *centre, 1.2 * radius, shaded(paint, 0.55))
    draw_disc(canvas, *centre, radius, paint)
    for spoke in (along, across, along + across, along - across):
        spoke = spoke * radius / np.hypot(*spoke)
        canvas.line((*(centre - spoke), *(centre + spoke)), fill=shaded(paint, 0.55), width=2 * SUPER)


def _draw_crate(canvas, centre, radius, angle, paint):
    along, across = _axes(angle)
    corners = [centre + radius * (a * along + b * across) for a, b in ((1, 1), (1, -1), (-1, -1), (-1, 1))]
    canvas.polygon([c for corner in corners for c in corner], fill=paint)
    for a, b in ((0, 1), (1, 2), (2, 3), (3, 0), (0, 2)):
        canvas.line((*corners[a], *corners[b]), fill=shaded(paint, 0.55), width=2 * SUPER)


def _draw_stick(canvas, centre, radius, angle, paint):
    """A stick that hangs from above and swings; its length depends on the height that was drawn for it."""
    top = np.array([centre[0], -10 * SUPER])
    swing = 0.7 * np.cos(angle)
    end = top + (50 * SUPER + 0.5 * centre[1]) * np.array([np.sin(swing), np.cos(swing)])
    canvas.line((*top, *end), fill=shaded(paint, 0.55), width=4 * SUPER)
    draw_disc(canvas, *end, 0.8 * radius, paint)


def _axes(angle):
    along = np.array([np.cos(angle), np.sin(angle)])
    return along, np.array([-along[1], along[0]])


DISTRACTORS = {"ball": _draw_ball, "crate": _draw_crate, "stick": _draw_stick, "wheel": _draw_wheel}
