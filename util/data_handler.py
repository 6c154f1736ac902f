"""Frame table and lists -> windows -> batches, read ahead in the background.

Windows are the released program's blocks (util/data_handler.py) without its mixing of videos after a shuffle.
"""

import copy
import hashlib
import queue
import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from visual_attention.util.data_lists import read_lists
from visual_attention.util.frame_table import FrameTable


def windows(frame_numbers, maxlen, skip=1, stride=1):
    """All windows of all videos: rows of the frame table (T, n) int32, and the video of each window (n,) int32.

    frame_numbers: frames of each video. A window takes every `skip`-th frame; windows start at the first frame, every
    `stride` frames, while they fit. A video too short for one gives one, continued by repeating its last frame taken.
    """
    steps, index, video = skip * np.arange(maxlen), [], []
    first = 0
    for k, n_frames in enumerate(frame_numbers):
        starts = np.arange(0, max(n_frames - maxlen * skip, 0) + 1, stride)
        last = (n_frames - 1) // skip * skip if n_frames < maxlen * skip else n_frames
        index.append(first + starts + np.minimum(steps, last)[:, None])
        video.append(np.full(len(starts), k))
        first += n_frames
    return np.concatenate(index, axis=1).astype("int32"), np.concatenate(video).astype("int32")


@dataclass
class Batch:
    """B windows as the graph takes them; the last batch is filled up with windows whose mask is 0."""

    frames: np.ndarray  # (n, L, D)
    index: np.ndarray  # (T, B) int32
    mask: np.ndarray  # (T, B)
    y: np.ndarray  # (B,) int32, or (B, C)
    windows: np.ndarray  # the (at most B) windows in it


class DataHandler:
    """Windows of one part of a data set.

        data = DataHandler("data/embedded", "train", maxlen=30, stride=4, ctx_dim=64)
        for batch in read_ahead(data.batches(rng.permutation(data.n_windows), batch_size=32)): ...

    A frame table of up to `memory_gb` is held in memory, a larger one is read from disk as batches need it.
    ValueError or FileNotFoundError says what is wrong with the folder's files.
    """

    def __init__(self, folder, part, maxlen=30, fps=30, stride=1, n_actions=None, ctx_dim=None, memory_gb=4.0):
        self.folder, self.part = Path(folder), part
        self.lists = read_lists(folder, part, n_actions)
        self.table = FrameTable(self.folder / f"{part}_features.h5", ctx_dim)
        listed = int(self.lists.frame_numbers.sum())
        if listed != self.table.n_frames:
            raise ValueError(
                f"{self.table.path}: holds {self.table.n_frames} frames, but {self.folder / part}_framenum.txt adds "
                f"up to {listed}; features and lists are not of the same videos: make both again"
            )
        if self.table.fps % fps:
            raise ValueError(
                f"{self.table.path}: has {self.table.fps} frames a second; expected a multiple of fps {fps}"
            )
        self.skip = self.table.fps // fps
        self.index, self.video = windows(self.lists.frame_numbers, maxlen, self.skip, stride)
        size = self.table.n_frames * self.table.n_locations * self.table.depth * self.table.dtype.itemsize
        self.memory = self.table.load() if size <= memory_gb * 1e9 else None
        self.placed = None

    @property
    def n_windows(self):
        return len(self.video)

    @property
    def labels(self):
        """Labels of the videos: (videos,) or (videos, C)."""
        return self.lists.labels

    def only(self, videos):
        """The same data without the windows of other videos (numbers in the lists, ascending); shares the table."""
        part, keep = copy.copy(self), np.isin(self.video, videos)
        part.index, part.video = self.index[:, keep], np.searchsorted(videos, self.video[keep]).astype("int32")
        part.lists = self.lists.only(videos)
        return part

    def place(self, put):
        """Moves the table in memory to where the backend computes, by `put`."""
        if self.memory is not None:
            self.placed, self.memory = put(self.memory), None

    def digest(self):
        """Tells data apart: a hash of lists and shape, and of some frames, since hashing 30 GB takes minutes."""
        shape = (self.table.features.shape, str(self.table.dtype), self.table.layout, self.lists.filenames)
        sha = hashlib.sha256(repr(shape).encode())
        sha.update(self.lists.frame_numbers.tobytes() + self.lists.labels.tobytes())
        for row in np.linspace(0, self.table.n_frames - 1, 16).astype(int):
            sha.update(np.ascontiguousarray(self.table.read(row, row + 1)).tobytes())
        return sha.hexdigest()[:16]

    def batches(self, order, batch_size, first=0):
        """Batches of the windows in `order`, from batch number `first` on.

        After `place`, they index into the whole table; without it each carries the frames it needs, in an array of
        always the same shape.
        """
        for start in range(first * batch_size, len(order), batch_size):
            chosen = order[start : start + batch_size]
            index = np.zeros((len(self.index), batch_size), "int32")
            index[:, : len(chosen)] = self.index[:, chosen]
            mask = np.zeros(index.shape, "float32")
            mask[:, : len(chosen)] = 1
            y = np.zeros((batch_size, *self.labels.shape[1:]), "int32")
            y[: len(chosen)] = self.labels[self.video[chosen]]
            if self.placed is None:
                rows, places = np.unique(index, return_inverse=True)
                frames = np.zeros((index.size, self.table.n_locations, self.table.depth), self.table.dtype)
                self._gather(rows, frames)
                yield Batch(frames, places.reshape(index.shape).astype("int32"), mask, y, chosen)
            else:
                yield Batch(self.placed, index, mask, y, chosen)

    def _gather(self, rows, out):
        """Copies frames `rows`, in ascending order, to the first places of `out`."""
        if self.memory is not None:
            np.take(self.memory, rows, axis=0, out=out[: len(rows)], mode="clip")  # the default mode copies twice
            return
        runs = np.split(rows, np.flatnonzero(np.diff(rows) != 1) + 1)  # neighbours are read at once
        done = 0
        for run in runs:
            out[done : done + len(run)] = self.table.read(run[0], run[-1] + 1)
            done += len(run)


def read_ahead(batches, depth=2):
    """Yields what `batches` yields, made by a thread up to `depth` ahead; its exceptions are raised here."""
    ready, stop = queue.Queue(depth), threading.Event()

    def put(item):
        while not stop.is_set():
            try:
                return ready.put(item, timeout=0.1)
            except queue.Full:
                continue

    def work():
        try:
            for batch in batches:
                put((batch, None))
                if stop.is_set():
                    return
            put((None, None))
        except BaseException as error:
            put((None, error))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        while True:
            batch, error = ready.get()
            if error is not None:
                raise error
            if batch is None:
                return
            yield batch
    finally:
        stop.set()
        thread.join()
