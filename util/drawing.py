"""Pictures: glimpses laid over frames, learning curves."""

import json
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import gaussian_filter

TILE = 128  # pixels a side of a frame in a strip
RIGHT, WRONG, INK = (20, 110, 60), (185, 30, 30), (40, 40, 40)


def video_frames(folder, name):
    """The frames behind a video's cubes, (n, 224, 224, 3) uint8: drawn again or read again, as dataset.json says."""
    about = Path(folder, "dataset.json")
    if not about.is_file():
        raise FileNotFoundError(f"{about}: no such file; it says where the pictures of these features come from")
    about = json.loads(about.read_text(encoding="utf-8"))
    if about["source"] == "embedded":
        from visual_attention.util.embedded import render_video

        return render_video(about["seed"], name)[0]
    from visual_attention.util.video import entry_frames

    return entry_frames(folder, name)


def smooth(alpha, size):
    """Glimpses (..., L) as smooth maps (..., size, size): each location a square, blurred by half its side."""
    K = int(round(alpha.shape[-1] ** 0.5))
    side = -(-size // K)
    maps = alpha.reshape(*alpha.shape[:-1], K, K).repeat(side, axis=-2).repeat(side, axis=-1)
    sigma = [0] * (alpha.ndim - 1) + [side / 2, side / 2]
    crop = (K * side - size) // 2
    return gaussian_filter(maps, sigma, mode="nearest")[..., crop : crop + size, crop : crop + size]


def overlay(frames, alpha):
    """Frames (n, H, H, 3) uint8 lit by glimpses (n, L): bright where looked at, dark and grey elsewhere.

    One scale for all frames: full light is what one in fifty pixels of them exceeds, or three times the uniform weight
    if that is more, so that a glimpse that looks everywhere is evenly dim. The root lets weak glances be seen.
    """
    light = smooth(alpha, frames.shape[1])
    light = np.clip(light / max(np.quantile(light, 0.98), 3 / alpha.shape[-1]), 0, 1)[..., None] ** 0.5
    grey = frames.mean(axis=-1, keepdims=True)
    dark = 0.25 * (0.5 * grey + 0.5 * frames)
    return np.clip(dark + light * (1.1 * frames + 25 - dark), 0, 255).astype("uint8")


def font(size):
    """DejaVu Sans, which has Greek letters and comes with matplotlib."""
    import matplotlib

    return ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf"), size)


def strip(frames, alpha, caption, right, n_tiles=8):
    """A picture of one window: frames above, what was looked at below; alpha (T, L) or None, caption a string.

    right: whether the prediction was, for the caption's colour (and a cross or a tick, for eyes that see no colour).
    """
    steps = np.linspace(0, len(frames) - 1, n_tiles).round().astype(int)
    rows = [frames[steps]] + ([] if alpha is None else [overlay(frames[steps], alpha[steps])])
    gap, head, foot = 4, 30, 18
    width, height = n_tiles * (TILE + gap) + gap, head + len(rows) * (TILE + gap) + foot
    picture = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(picture)
    colour = RIGHT if right else WRONG
    _mark(draw, gap + 4, 8, right, colour)
    draw.text((gap + 26, 5), caption, colour, font(15))
    for k, step in enumerate(steps):
        x = gap + k * (TILE + gap)
        for r, row in enumerate(rows):
            tile = Image.fromarray(row[k]).resize((TILE, TILE), Image.LANCZOS)
            picture.paste(tile, (x, head + r * (TILE + gap)))
        draw.text((x + TILE / 2, height - foot), f"t = {step + 1}", INK, font(11), anchor="ma")
    return picture


def _mark(draw, x, y, right, colour):
    points = [(x, y + 8), (x + 5, y + 13), (x + 15, y + 1)] if right else [(x + 1, y + 1), (x + 14, y + 14)]
    draw.line(points, colour, 3)
    if not right:
        draw.line([(x + 14, y + 1), (x + 1, y + 14)], colour, 3)


def stack(pictures, title=None):
    """Pictures under each other, with a title above."""
    head = 36 if title else 0
    width = max(picture.width for picture in pictures)
    sheet = Image.new("RGB", (width, head + sum(picture.height + 6 for picture in pictures)), "white")
    if title:
        ImageDraw.Draw(sheet).text((8, 8), title, INK, font(18))
    y = head
    for picture in pictures:
        sheet.paste(picture, (0, y))
        y += picture.height + 6
    return sheet


def movie_frames(frames, alpha, caption, right):
    """Frames of a movie: the video, beside it what was looked at, the caption below; (n, H, W, 3) uint8."""
    sides = [frames] + ([] if alpha is None else [overlay(frames, alpha)])
    size, foot, pictures = frames.shape[1], 24, []
    for row in zip(*sides, strict=True):
        picture = Image.new("RGB", (len(row) * (size + 4) - 4, size + foot), "white")
        for k, tile in enumerate(row):
            picture.paste(Image.fromarray(tile), (k * (size + 4), 0))
        draw = ImageDraw.Draw(picture)
        draw.text((4, size + 4), caption, RIGHT if right else WRONG, font(13))
        pictures.append(np.asarray(picture))
    return np.stack(pictures)


def write_movie(path, pictures, fps):
    """Writes an animated GIF, or an MP4 where the name ends so (that needs PyAV)."""
    if Path(path).suffix == ".mp4":
        from visual_attention.util.video import write_video

        return write_video(path, pictures, fps)
    images = [Image.fromarray(picture) for picture in pictures]
    # GIFs count in hundredths of a second
    images[0].save(path, save_all=True, append_images=images[1:], duration=round(100 / fps) * 10, loop=0)


def learning_curves(path, runs, metric):
    """Cost and validation score by epoch, means over seeds. runs: label -> log.jsonl's lines, a list for each seed."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    styles = ["-", "--", "-.", ":"]
    for k, (label, logs) in enumerate(runs.items()):
        epochs = [[line for line in log if "valid_score" in line] for log in logs]
        x = [line["epoch"] for line in epochs[0]]
        look = {"color": f"C{k}", "linestyle": styles[k % 4], "label": label, "linewidth": 1.8}
        left.plot(x, np.mean([[line["train_cost"] for line in run] for run in epochs], axis=0), **look)
        right.plot(x, np.mean([[line["valid_score"] for line in run] for run in epochs], axis=0), **look)
    left.set(xlabel="epoch", ylabel="training cost a window", yscale="log")
    left.yaxis.set_major_formatter("{x:g}")
    left.yaxis.set_minor_formatter("{x:g}")
    right.set(xlabel="epoch", ylabel=f"validation {metric} (%)", ylim=(0, 100))
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        axes.xaxis.get_major_locator().set_params(integer=True)
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    figure.savefig(path, dpi=110)
    plt.close(figure)
