"""Pictures: glimpses laid over frames or alone, curves, a confusion matrix."""

import json
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

TILE = 128  # pixels a side of a frame in a strip
RIGHT, WRONG, INK = (20, 110, 60), (185, 30, 30), (40, 40, 40)


def video_frames(folder, name, root=None):
    """The frames behind a video's cubes, (n, 224, 224, 3) uint8: drawn again or read again, as dataset.json says.

    root: folder of the videos, if they are no longer where dataset.json says.
    """
    about = Path(folder, "dataset.json")
    if not about.is_file():
        raise FileNotFoundError(f"{about}: no such file; it says where the pictures of these features come from")
    about = json.loads(about.read_text(encoding="utf-8"))
    if about["source"] == "embedded":
        from visual_attention.util.embedded import render_video

        return render_video(about["seed"], name)[0]
    from visual_attention.util.video import entry_frames

    return entry_frames(folder, name, root=root)


def smooth(alpha, size):
    """Glimpses (..., L) as smooth maps (..., size, size), location i in row i // K, column i % K.

    A location's centre has its weight; between centres weights go over into each other without overshooting, so the
    maximum stays where it was, which a blur does not grant.
    """
    K = int(round(alpha.shape[-1] ** 0.5))
    place = np.clip((np.arange(size) + 0.5) * K / size - 0.5, 0, K - 1)  # of pixels, centres counted 0 to K - 1
    low = np.minimum(place.astype(int), max(K - 2, 0))
    share = place - low
    share = share**2 * (3 - 2 * share)  # flat at the centres
    mix = np.zeros((size, K))
    mix[np.arange(size), low] = 1 - share
    mix[np.arange(size), np.minimum(low + 1, K - 1)] += share
    return mix @ alpha.reshape(*alpha.shape[:-1], K, K) @ mix.T


def full_light(alpha):
    """The weight that is drawn in full light, of glimpses (..., L) that share a picture: what one in fifty pixels
    exceeds, or three times the uniform weight if that is more, so that a glimpse that looks everywhere is dim."""
    return max(np.quantile(smooth(alpha, 56), 0.98), 3 / alpha.shape[-1])


def _light(alpha, size, full):
    # the root lets weak glances be seen
    return np.clip(smooth(alpha, size) / (full or full_light(alpha)), 0, 1)[..., None] ** 0.5


def overlay(frames, alpha, full=None):
    """Frames (n, H, H, 3) uint8 lit by glimpses (n, L): bright where looked at, dark and grey elsewhere.

    full: the weight in full light, `full_light` of these glimpses if not given. A pixel's luminance grows with the
    weight, so that the picture says the same in grey.
    """
    light = _light(alpha, frames.shape[1], full)
    grey = frames.mean(axis=-1, keepdims=True)
    dark = 0.25 * (0.5 * grey + 0.5 * frames)
    return np.clip(dark + light * (1.1 * frames + 25 - dark), 0, 255).astype("uint8")


def heat(alpha, full=None, size=TILE):
    """Glimpses (n, L) alone, (n, size, size, 3) uint8: black, red, yellow, white; luminance grows with the weight."""
    light = _light(alpha, size, full)[..., 0]
    # one colour after the other comes in
    return (255 * np.stack([np.clip(3 * light - k, 0, 1) for k in range(3)], axis=-1)).astype("uint8")


def font(size):
    """DejaVu Sans, which has Greek letters and comes with matplotlib."""
    import matplotlib

    return ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf"), size)


def _write(draw, place, text, colour, size, width):
    """Text in the largest font of at most `size` in which it is no wider than `width`; its middle is left out where
    that would be too small to read."""
    while size > 9 and font(size).getlength(text) > width:
        size -= 1
    short, keep = text, len(text)
    while font(size).getlength(short) > width:
        keep -= 1
        short = f"{text[: keep // 2]} … {text[len(text) - keep + keep // 2 :]}"
    draw.text(place, short, colour, font(size))


def strip(frames, alpha, caption, right, n_tiles=8, show_frames=True, full=None, ticks=None):
    """A picture of one window: frames above, what was looked at below; caption a string.

    frames (T, H, H, 3) uint8, or None: the glimpses alone. alpha (T, L), or None: the frames alone.
    right: whether the prediction was, for the caption's colour (and a cross or a tick, for eyes that see no colour), or
    None where nothing is predicted. show_frames: as they are, too. full: see `overlay`. ticks: a text a step.
    """
    n = len(alpha if frames is None else frames)
    steps = np.unique(np.linspace(0, n - 1, n_tiles).round().astype(int))
    rows = [frames[steps]] if frames is not None and show_frames else []
    if alpha is not None:
        full = full or full_light(alpha)
        rows.append(heat(alpha[steps], full) if frames is None else overlay(frames[steps], alpha[steps], full))
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
            tile = Image.fromarray(row[k]).resize((TILE, TILE), Image.LANCZOS)
            picture.paste(tile, (x, head + r * (TILE + gap)))
        text = ticks[step] if ticks else f"t = {step + 1}"
        draw.text((x + TILE / 2, height - foot), text, INK, font(13), anchor="ma")
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
        _write(draw, (4, size + 4), caption, RIGHT if right else WRONG, 13, picture.width - 8)
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


def _plots(n, width=11, height=4.2):
    """A figure of n plots side by side, and their axes."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, n, figsize=(width, height), layout="constrained", squeeze=False)
    for plot in axes[0]:
        plot.grid(alpha=0.3)
        plot.spines[["top", "right"]].set_visible(False)
    return figure, axes[0]


def _look(k):
    """Colour and dashes of the k-th line: told apart without colour too."""
    return {"color": f"C{k}", "linestyle": ["-", "--", "-.", ":"][k % 4], "linewidth": 1.8}


def _save(figure, path, legend_of=None):
    import matplotlib.pyplot as plt

    if legend_of is not None:
        figure.legend(*legend_of.get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def learning_curves(path, runs, metric):
    """Cost and validation score by epoch, means over seeds. runs: label -> log.jsonl's lines, a list for each seed."""
    figure, (left, right) = _plots(2)
    for k, (label, logs) in enumerate(runs.items()):
        epochs = [[line for line in log if "valid_score" in line] for log in logs]
        x = [line["epoch"] for line in epochs[0]]
        left.plot(x, np.mean([[line["train_cost"] for line in run] for run in epochs], axis=0), label=label, **_look(k))
        right.plot(x, np.mean([[line["valid_score"] for line in run] for run in epochs], axis=0), **_look(k))
    left.set(xlabel="epoch", ylabel="training cost a window", yscale="log")
    left.yaxis.set_major_formatter("{x:g}")
    left.yaxis.get_minor_locator().set_params(subs=(2, 5))  # labels of all would touch
    left.yaxis.set_minor_formatter("{x:g}")
    right.set(xlabel="epoch", ylabel=f"validation {metric} (%)", ylim=(0, 100))
    for axes in (left, right):
        axes.xaxis.get_major_locator().set_params(integer=True)
    _save(figure, path, left)


def curves(path, plots):
    """Plots side by side, with one legend. plots: a list of dicts of

    lines: label -> (x, y); xlabel, ylabel; and where wanted `level`: (height, name) of a dotted line, and `ylim`.
    """
    figure, axes = _plots(len(plots), 3.9 * max(len(plots), 2), 3.6)
    for plot, found in zip(axes, plots, strict=True):
        for k, (label, (x, y)) in enumerate(found["lines"].items()):
            plot.plot(x, y, label=label, marker="o" if len(x) < 10 else None, **_look(k))
        if "level" in found:
            height, name = found["level"]
            plot.axhline(height, color="0.35", linestyle=(0, (1, 2)), linewidth=1.2)
            plot.annotate(name, (0.99, height), (0, 3), plot.get_yaxis_transform(), "offset points", ha="right",
                          va="bottom", fontsize=8, color="0.35")  # fmt: skip
        plot.set(xlabel=found["xlabel"], ylabel=found["ylabel"], ylim=found.get("ylim"))
    _save(figure, path, axes[0])


def confusion(path, matrix, names):
    """A confusion matrix (C, C), true classes in rows; the darker, the larger the share of the row."""
    C = len(names)
    side = min(2.4 + 0.36 * C, 12)
    matrix = np.asarray(matrix)
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    figure, (axes,) = _plots(1, side + 0.6, side)
    axes.grid(False)
    axes.imshow(share, cmap="Greys", vmin=0, vmax=1)
    small = 9 if C <= 20 else 7
    axes.set_xticks(range(C), names, rotation=90, fontsize=small)
    axes.set_yticks(range(C), names, fontsize=small)
    axes.set(xlabel="predicted", ylabel="true")
    for row, column in np.argwhere(matrix):
        colour = "white" if share[row, column] > 0.5 else "black"
        axes.text(column, row, matrix[row, column], ha="center", va="center", color=colour, fontsize=small)
    _save(figure, path)
