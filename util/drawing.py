"""Pictures: glimpses over frames or alone, curves, a confusion matrix."""

import re
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from visual_attention.util import checks
from visual_attention.util.data_sets import DATA_SETS
from visual_attention.util.files import write_file
from visual_attention.util.metrics import grid_side

TILE = 128  # width and height of a frame in a strip, in pixels
RIGHT, WRONG, INK = (20, 110, 60), (185, 30, 30), (40, 40, 40)


def file_stem(name):
    """A file name without extension from a video's name: signs other than letters, digits and a few become _."""
    return re.sub(r"[^\w .,+=#@()-]", "_", name).encode()[:200].decode(errors="ignore")


def video_frames(folder, name, n_frames, root=None):
    """The n_frames frames from which a video's cubes were made, (n, 224, 224, 3) uint8: rendered or read again.

    The source is the one that `folder`/dataset.json names. root: folder of the videos, if they have moved since.
    FileNotFoundError, ValueError: no dataset.json or no video, or the video has another number of frames.
    """
    path = Path(folder, "dataset.json")
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; it says where the pictures of these features come from")
    data_set = DATA_SETS.get(checks.read_json(path, {"source": str})["source"])
    if data_set is not None and data_set.render is not None:
        about = checks.read_json(path, {"seed": int})
        try:
            frames = data_set.render(about, name)
        except (ValueError, TypeError) as error:
            raise ValueError(f"{path}: {error}") from error
    else:
        from visual_attention.util.video import entry_frames

        frames = entry_frames(folder, name, stop=n_frames, root=root)
    if len(frames) != n_frames:
        raise ValueError(f"{path}: video {name!r} has {len(frames)} frames by it; expected {n_frames}, as in its list")
    return frames


def smooth(alpha, size):
    """Glimpses (..., L) as smooth maps (..., size, size); location i is in row i // K and column i % K.

    The map equals the weight at a location's centre. Between centres it is interpolated monotonically, so the maximum
    stays where it is; a blur does not guarantee that. ValueError where L is not a square.
    """
    K = grid_side(alpha.shape[-1])
    position = np.clip((np.arange(size) + 0.5) * K / size - 0.5, 0, K - 1)  # of pixels; centres are at 0 to K - 1
    low = np.minimum(position.astype(int), max(K - 2, 0))
    share = position - low
    share = share**2 * (3 - 2 * share)  # derivative 0 at the centres
    interpolation = np.zeros((size, K))
    interpolation[np.arange(size), low] = 1 - share
    interpolation[np.arange(size), np.minimum(low + 1, K - 1)] += share
    return interpolation @ alpha.reshape(*alpha.shape[:-1], K, K) @ interpolation.T


def full_light(alpha):
    """The weight drawn at full brightness, for glimpses (..., L) that share a picture.

    It is the 98th percentile of the pixels, but at least three times the uniform weight: a uniform glimpse is dim.
    """
    return max(np.quantile(smooth(alpha, 56), 0.98), 3 / alpha.shape[-1])


def _light(alpha, size, full):
    # the square root makes small weights visible
    return np.clip(smooth(alpha, size) / (full or full_light(alpha)), 0, 1)[..., None] ** 0.5


def overlay(frames, alpha, full=None):
    """Frames (n, H, H, 3) uint8 under glimpses (n, L): bright where the weight is large, dark and grey elsewhere.

    full: the weight at full brightness, by default `full_light` of these glimpses. A pixel's luminance grows with the
    weight, so the picture can be read in greyscale.
    """
    light = _light(alpha, frames.shape[1], full)
    grey = frames.mean(axis=-1, keepdims=True)
    dark = 0.25 * (0.5 * grey + 0.5 * frames)
    return np.clip(dark + light * (1.1 * frames + 25 - dark), 0, 255).astype("uint8")


def heat(alpha, full=None, size=TILE):
    """Glimpses (n, L) alone, (n, size, size, 3) uint8: black, red, yellow, white; luminance grows with the weight."""
    light = _light(alpha, size, full)[..., 0]
    # red rises first, then green, then blue
    return (255 * np.stack([np.clip(3 * light - k, 0, 1) for k in range(3)], axis=-1)).astype("uint8")


def glimpses(frames, alpha, full=None):
    """Glimpses (n, L) over their frames (n, H, H, 3), or alone where frames is None; full: see `overlay`."""
    return heat(alpha, full) if frames is None else overlay(frames, alpha, full)


def maps(alpha, n_locations):
    """A glimpse of two layers as [(weights (n, L_k), the weight at full brightness)] of each; of one layer as one.

    alpha: (n, L_1 + L_2); n_locations: L_1. Both have the same brightness where they have the same weight per area, of
    which a location of the fine layer has less.
    """
    layers = [part for part in np.split(alpha, [n_locations], axis=-1) if part.shape[-1]]
    if len(layers) == 1:
        return [(alpha, full_light(alpha))]
    full = max(full_light(part) * part.shape[-1] for part in layers)
    return [(part, full / part.shape[-1]) for part in layers]


def font(size):
    """DejaVu Sans, which has Greek letters and comes with matplotlib."""
    import matplotlib

    return ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf"), size)


def _write(draw, position, text, colour, size, width):
    """Writes text in the largest font up to `size` in which it is at most `width` pixels wide.

    Where that font would be too small to read, the middle of the text is left out.
    """
    while size > 9 and font(size).getlength(text) > width:
        size -= 1
    short, kept = text, len(text)
    while font(size).getlength(short) > width:
        kept -= 1
        short = f"{text[: kept // 2]} … {text[len(text) - kept + kept // 2 :]}"
    draw.text(position, short, colour, font(size))


def strip(rows, caption, right, n_tiles=8, ticks=None):
    """A picture of one window: n_tiles of its steps, evenly spaced, with a caption above.

    rows: arrays (T, H, H, 3) uint8, each one row of the picture. right: whether the prediction is correct, for the
    colour of the caption and a tick or a cross (for readers who cannot see the colour); None: nothing is predicted.
    ticks: T texts below the tiles; by default t = 1, 2, ...
    """
    T = len(rows[0])
    steps = np.unique(np.linspace(0, T - 1, n_tiles).round().astype(int))
    gap, head, foot = 4, 30, 18
    width, height = n_tiles * (TILE + gap) + gap, head + len(rows) * (TILE + gap) + foot
    picture = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(picture)
    colour, left = INK if right is None else RIGHT if right else WRONG, gap + 4
    if right is not None:
        _mark(draw, left, 8, right, colour)
        left += 22
    _write(draw, (left, 4), caption, colour, 17, width - left - gap)
    for k, step in enumerate(steps):
        x = gap + k * (TILE + gap)
        for r, row in enumerate(rows):
            tile = Image.fromarray(row[step]).resize((TILE, TILE), Image.LANCZOS)
            picture.paste(tile, (x, head + r * (TILE + gap)))
        text = ticks[step] if ticks else f"t = {step + 1}"
        draw.text((x + TILE / 2, height - foot), text, INK, font(13), anchor="ma")
    return picture


def _mark(draw, x, y, right, colour):
    """A tick or a cross, whose top left corner is at (x, y)."""
    points = [(x, y + 8), (x + 5, y + 13), (x + 15, y + 1)] if right else [(x + 1, y + 1), (x + 14, y + 14)]
    draw.line(points, colour, 3)
    if not right:
        draw.line([(x + 14, y + 1), (x + 1, y + 14)], colour, 3)


def save(picture, path):
    """Writes a picture as PNG."""
    write_file(path, lambda file: picture.save(file, "PNG"))


def stack(pictures, title=None):
    """Pictures one below another, with a title above."""
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


def movie_frames(frames, alpha, caption, right, n_locations=None):
    """Frames of a movie, (n, height, width, 3) uint8: the video, on its right the glimpses, below the caption.

    n_locations: see `maps`; None: the glimpses are of one layer.
    """
    columns = [frames]
    if alpha is not None:
        columns += [overlay(frames, *layer) for layer in maps(alpha, n_locations or alpha.shape[-1])]
    size, foot, pictures = frames.shape[1], 24, []
    for row in zip(*columns, strict=True):
        picture = Image.new("RGB", (len(row) * (size + 4) - 4, size + foot), "white")
        for k, tile in enumerate(row):
            picture.paste(Image.fromarray(tile), (k * (size + 4), 0))
        draw = ImageDraw.Draw(picture)
        _write(draw, (4, size + 4), caption, RIGHT if right else WRONG, 13, picture.width - 8)
        pictures.append(np.asarray(picture))
    return np.stack(pictures)


def write_movie(path, pictures, fps):
    """Writes an animated picture, .gif or the smaller .webp, or an .mp4 (needs PyAV), by the ending of the name."""
    if Path(path).suffix == ".mp4":
        from visual_attention.util.video import write_video

        return write_video(path, pictures, fps)
    images = [Image.fromarray(picture) for picture in pictures]
    duration = round(100 / fps) * 10  # in milliseconds; GIF stores hundredths of a second
    movie = {"format": Path(path).suffix[1:], "save_all": True, "append_images": images[1:]}
    write_file(path, lambda file: images[0].save(file, **movie, duration=duration, loop=0, quality=70))


def _plots(n, width=11, height=4.2):
    """A matplotlib figure with n plots side by side, and their axes."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    plt.rcParams["text.parse_math"] = False  # names of classes may contain $
    figure, axes = plt.subplots(1, n, figsize=(width, height), layout="constrained", squeeze=False)
    for plot in axes[0]:
        plot.grid(alpha=0.3)
        plot.spines[["top", "right"]].set_visible(False)
    return figure, axes[0]


def _line_style(k):
    """Style of the k-th line; dashes distinguish lines where colours do not."""
    return {"color": f"C{k}", "linestyle": ["-", "--", "-.", ":"][k % 4], "linewidth": 1.8}


def _save(figure, path, axes=None):
    """Writes a matplotlib figure as PNG, with a legend of the lines in `axes` below it."""
    import matplotlib.pyplot as plt

    if axes is not None:
        ncols = 4 if figure.get_figwidth() > 9 else 2
        figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=ncols, frameon=False)
    write_file(path, lambda file: figure.savefig(file, format="png", dpi=110))
    plt.close(figure)


def learning_curves(path, runs, metric):
    """Cost and validation score by epoch, means over runs. runs: label -> for each run the lines of its log.jsonl."""
    figure, (left, right) = _plots(2)
    for k, (label, logs) in enumerate(runs.items()):
        epochs = [[line for line in log if "valid_score" in line] for log in logs]
        x = [line["epoch"] for line in epochs[0]]
        cost, score = (
            np.mean([[line[key] for line in run] for run in epochs], axis=0) for key in ("train_cost", "valid_score")
        )
        left.plot(x, cost, label=label, **_line_style(k))
        right.plot(x, score, **_line_style(k))
    left.set(xlabel="epoch", ylabel="training cost per window", yscale="log")
    left.yaxis.set_major_formatter("{x:g}")
    left.yaxis.get_minor_locator().set_params(subs=(2, 5))  # more labels would overlap
    left.yaxis.set_minor_formatter("{x:g}")
    right.set(xlabel="epoch", ylabel=f"validation {metric} (%)", ylim=(0, 100))
    for axes in (left, right):
        axes.xaxis.get_major_locator().set_params(integer=True)
    _save(figure, path, left)


def curves(path, plots, labels=()):
    """Plots side by side with one legend. plots: a list of dicts with the keys

    lines: label -> (x, y), or (x, y, low, high) with the ends of intervals; xlabel; ylabel; optionally level: (height,
    name) of a dotted line; optionally ylim and title. labels: those whose colours other pictures share, in one order.
    """
    figure, all_axes = _plots(len(plots), 3.9 * max(len(plots), 2), 3.6)
    for axes, plot in zip(all_axes, plots, strict=True):
        order = list(dict.fromkeys([*labels, *plot["lines"]]))
        for label, (x, y, *ends) in plot["lines"].items():
            k = order.index(label)
            axes.plot(x, y, label=label, marker="o" if len(x) < 10 else None, **_line_style(k))
            if ends:
                axes.vlines(x, *ends, color=f"C{k}", linewidth=1, alpha=0.7)
        if "level" in plot:
            height, name = plot["level"]
            axes.axhline(height, color="0.35", linestyle=(0, (1, 2)), linewidth=1.2)
            axes.annotate(name, (0.99, height), (0, 3), axes.get_yaxis_transform(), "offset points", ha="right",
                          va="bottom", fontsize=8, color="0.35")  # fmt: skip
        axes.set(xlabel=plot["xlabel"], ylabel=plot["ylabel"], ylim=plot.get("ylim"))
        axes.set_title(plot.get("title", ""), fontsize=10)
    _save(figure, path, all_axes[0])


def confusion(path, matrix, names):
    """A confusion matrix (C, C), true classes in rows; the darker a cell, the larger its share of the row."""
    C = len(names)
    side = min(2.4 + 0.36 * C, 12)
    matrix = np.asarray(matrix)
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    figure, (axes,) = _plots(1, side + 0.6, side)
    axes.grid(False)
    axes.imshow(share, cmap="Greys", vmin=0, vmax=1)
    fontsize = 9 if C <= 20 else 7
    axes.set_xticks(range(C), names, rotation=90, fontsize=fontsize)
    axes.set_yticks(range(C), names, fontsize=fontsize)
    axes.set(xlabel="predicted", ylabel="true")
    for row, column in np.argwhere(matrix):
        colour = "white" if share[row, column] > 0.5 else "black"
        axes.text(column, row, matrix[row, column], ha="center", va="center", color=colour, fontsize=fontsize)
    _save(figure, path)
