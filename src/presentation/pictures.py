"""Pictures of how a trained model processes test videos: strips, movies, sheets."""

from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from visual_attention.experiment import run_folder
from visual_attention.experiment.evaluation import watch
from visual_attention.experiment.parameters import trained_model
from visual_attention.util import drawing
from visual_attention.util.data_lists import read_class_names


@dataclass
class WatchedVideo:
    """A video with a model's glimpses and prediction.

    frames: (m, H, H, 3) uint8, or None where they are not available. alpha: the glimpses (m, L), or None where the
    model has no attention. rows: (m,), which of the video's frames these are. verdict: text; see `verdict`.
    n_locations: of the first layer; a glimpse of more weighs those of a second, finer layer, too.
    """

    frames: np.ndarray | None
    alpha: np.ndarray | None
    rows: np.ndarray
    video: str
    verdict: str
    right: bool
    maxlen: int
    n_locations: int

    @property
    def caption(self):
        return f"{self.video}:  {self.verdict}"

    def strip(self, n_tiles=8, ticks=None):
        """A picture of the first window: frames, then glimpses, a row for each layer; see `drawing.strip`."""
        T = self.maxlen
        rows = [] if self.frames is None else [self.frames[:T]]
        if self.alpha is not None:
            frames = None if self.frames is None else self.frames[:T]
            rows += [drawing.glimpses(frames, *layer) for layer in drawing.maps(self.alpha[:T], self.n_locations)]
        return drawing.strip(rows, self.caption, self.right, n_tiles, ticks)

    def movie(self):
        """The whole video, (m, height, width, 3) uint8."""
        return drawing.movie_frames(self.frames, self.alpha, self.caption, self.right, self.n_locations)


def true_classes(data, k):
    """Numbers of the true classes of video k."""
    return [int(c) for c in (np.flatnonzero(data.labels[k]) if data.lists.multilabel else [data.labels[k]])]


def is_right(data, k, probs):
    """Whether the most likely class is a true class of video k, which may have several or none; probs (C,)."""
    return int(probs.argmax()) in true_classes(data, k)


def verdict(data, k, probs):
    """Text with the predicted class of video k, its probability, and the true classes; probs (C,)."""
    names, predicted = read_class_names(data.folder, len(probs)), int(probs.argmax())
    true = " + ".join(names[c] for c in true_classes(data, k)) or "none"
    return f"predicted {names[predicted]} ({100 * probs[predicted]:.0f} %), true {true}"


def read_frames(data, k, root=None):
    """All frames of video k, (n, H, H, 3) uint8; root, errors: see `drawing.video_frames`."""
    return drawing.video_frames(data.folder, data.lists.filenames[k], int(data.lists.frame_numbers[k]), root)


def watch_video(model, data, k, frames):
    """Applies a model to video k of a part. frames: all frames of the video, (n, H, H, 3) uint8, or None."""
    probs, rows, alpha, *_ = watch(model, data, k)
    return WatchedVideo(
        frames=None if frames is None else frames[rows],
        alpha=alpha,
        rows=rows,
        video=data.lists.filenames[k],
        verdict=verdict(data, k, probs),
        right=is_right(data, k, probs),
        maxlen=model.options.maxlen,
        n_locations=model.options.n_locations,
    )


def right_and_wrong(video_probs, data, n=2, seed=0):
    """Numbers of n videos classified correctly, then of n classified wrongly (fewer if there are fewer), at random."""
    right = np.array([is_right(data, k, probs) for k, probs in enumerate(video_probs)], bool)
    order = np.random.default_rng(seed).permutation(len(right))
    return [*order[right[order]][:n], *order[~right[order]][:n]]


def sheet(model, data, video_probs, title, n=2):
    """A picture with the strips of n correctly and n wrongly classified videos."""
    chosen = right_and_wrong(video_probs, data, n)
    return drawing.stack([watch_video(model, data, k, read_frames(data, k)).strip() for k in chosen], title)


def save_sheet(run, test, path, title):
    """Writes the sheet of a run; only prints a message if the frames are not available, as results don't need them."""
    model, probs = trained_model(run, test.table.dtype), run_folder.load_predictions(run, len(test.labels))
    try:
        picture = sheet(model, test, probs, title)
    except (OSError, ValueError, ImportError) as error:
        tqdm.write(f"{path}: not drawn ({error})")
    else:
        drawing.save(picture, path)


def compare_glimpses(path, title, frames, rows, n_locations):
    """Writes a picture of one window under several glimpses, all with the same brightness scale.

    frames: (T, H, H, 3), or None. rows: a list of (caption, alpha (T, L), whether the class is right). n_locations: see
    `WatchedVideo`.
    """
    fulls = [full for _, full in drawing.maps(np.concatenate([alpha for _, alpha, _ in rows]), n_locations)]
    strips = []
    for caption, alpha, right in rows:
        parts = [part for part, _ in drawing.maps(alpha, n_locations)]
        pictures = [drawing.glimpses(frames, *layer) for layer in zip(parts, fulls, strict=True)]
        strips.append(drawing.strip(pictures, caption, right))
    if frames is None:
        drawing.save(drawing.stack(strips, title), path)
    else:
        drawing.save(drawing.stack([drawing.strip([frames], title, None), *strips]), path)
