"""Pictures of what a trained model does with videos: strips, movies, sheets of right and wrong ones."""

from dataclasses import dataclass

import numpy as np

from visual_attention.evaluation import watch
from visual_attention.util import drawing
from visual_attention.util.data_lists import read_class_names


@dataclass
class Seen:
    """A video as the model saw it: frames (m, H, H, 3) uint8, or None where they cannot be had, glimpses (m, L) or
    None, which of the video's frames they are, (m,), and what the model made of them."""

    frames: np.ndarray | None
    alpha: np.ndarray | None
    rows: np.ndarray
    video: str
    verdict: str
    right: bool
    maxlen: int

    @property
    def caption(self):
        return f"{self.video}:  {self.verdict}"

    def strip(self, n_tiles=8, **how):
        """The first window, as a picture; how: see `drawing.strip`."""
        alpha = None if self.alpha is None else self.alpha[: self.maxlen]
        frames = None if self.frames is None else self.frames[: self.maxlen]
        return drawing.strip(frames, alpha, self.caption, self.right, n_tiles, **how)

    def movie(self):
        """The whole video, (m, height, width, 3) uint8."""
        return drawing.movie_frames(self.frames, self.alpha, self.caption, self.right)


def true_classes(data, k):
    """Numbers of the true classes of video k."""
    return [int(c) for c in (np.flatnonzero(data.labels[k]) if data.lists.multilabel else [data.labels[k]])]


def is_right(data, k, probs):
    """Whether the likeliest class is a true one of video k, be they one, several or none; probs (C,)."""
    return int(probs.argmax()) in true_classes(data, k)


def verdict(data, k, probs):
    """What is predicted for video k and what is true, a text; probs (C,)."""
    names, predicted = read_class_names(data.folder, len(probs)), int(probs.argmax())
    true = " + ".join(names[c] for c in true_classes(data, k)) or "none"
    return f"predicted {names[predicted]} ({100 * probs[predicted]:.0f} %), true {true}"


def look(model, data, k, frames):
    """Video k of a part under a model. frames: of the whole video, (n, H, H, 3) uint8, or None."""
    probs, rows, alpha = watch(model, data, k)
    frames, video = None if frames is None else frames[rows], data.lists.filenames[k]
    return Seen(frames, alpha, rows, video, verdict(data, k, probs), is_right(data, k, probs), model.options.maxlen)


def see(model, data, k):
    """As `look`, with the frames drawn or read again; see `drawing.video_frames` for errors."""
    return look(model, data, k, drawing.video_frames(data.folder, data.lists.filenames[k]))


def right_and_wrong(video_probs, data, n=2, seed=0):
    """Numbers of n videos the model gets right and n it gets wrong (fewer if there are), drawn by lot from all."""
    if data.lists.multilabel:
        right = np.take_along_axis(data.labels, video_probs.argmax(axis=1)[:, None], axis=1)[:, 0] == 1
    else:
        right = video_probs.argmax(axis=1) == data.labels
    order = np.random.default_rng(seed).permutation(len(right))
    return [*order[right[order]][:n], *order[~right[order]][:n]]


def sheet(model, data, video_probs, title, n=2):
    """A picture of n rightly and n wrongly classified videos under each other."""
    return drawing.stack([see(model, data, k).strip() for k in right_and_wrong(video_probs, data, n)], title)
