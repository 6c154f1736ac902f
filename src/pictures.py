"""Pictures of what a trained model does with videos: strips, movies, sheets of right and wrong ones."""

from dataclasses import dataclass

import numpy as np

from visual_attention.evaluation import watch
from visual_attention.util import drawing
from visual_attention.util.data_lists import read_class_names


@dataclass
class Seen:
    """A video as the model saw it: frames (m, H, H, 3) uint8, glimpses (m, L) or None, and what it made of them."""

    frames: np.ndarray
    alpha: np.ndarray | None
    caption: str
    right: bool
    maxlen: int

    def strip(self, n_tiles=8):
        """The first window, as a picture."""
        alpha = None if self.alpha is None else self.alpha[: self.maxlen]
        return drawing.strip(self.frames[: self.maxlen], alpha, self.caption, self.right, n_tiles)

    def movie(self):
        """The whole video, (m, height, width, 3) uint8."""
        return drawing.movie_frames(self.frames, self.alpha, self.caption, self.right)


def see(model, data, k):
    """Video k of a part, with its frames drawn or read again; see `drawing.video_frames` for errors."""
    probs, rows, alpha = watch(model, data, k)
    names, video = read_class_names(data.folder, model.options.n_actions), data.lists.filenames[k]
    # where several labels hold, or none, the likeliest is told, and it is right if it is one of them
    predicted = int(probs.argmax())
    true = [names[c] for c in (np.flatnonzero(data.labels[k]) if data.lists.multilabel else [data.labels[k]])]
    caption = (
        f"{video}:  predicted {names[predicted]} ({100 * probs[predicted]:.0f} %), true {' + '.join(true) or 'none'}"
    )
    frames = drawing.video_frames(data.folder, video)[rows]
    return Seen(frames, alpha, caption, names[predicted] in true, model.options.maxlen)


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
