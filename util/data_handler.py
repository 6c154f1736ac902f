"""Frame table and lists -> windows -> batches, read ahead in the background; memory stays bounded.

Windows are the released program's blocks (util/data_handler.py) without its mixing of videos after a shuffle.
"""

import copy
import hashlib
import math
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
        for batch in read_ahead(data.batches(data.shuffled(rng), batch_size=32)): ...

    A frame table of up to `memory_gb` is held in memory. A larger one is read from disk, by whole videos through a
    buffer of up to that size where the order of windows allows it; batches read ahead come on top, T * B frames each.
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
        self.starts = np.cumsum(self.lists.frame_numbers) - self.lists.frame_numbers  # each video's first frame
        self.index, self.video = windows(self.lists.frame_numbers, maxlen, self.skip, stride)
        self.budget = int(memory_gb * 1e9 / self.table.frame_bytes)  # frames
        self.in_memory = self.table.n_frames <= self.budget
        self.memory = self.table.load() if self.in_memory else None
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
        part.lists, part.starts = self.lists.only(videos), self.starts[videos]
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

    def buffer_frames(self, shuffle):
        """Frames of the buffer that `shuffled` draws from, 0 without one; ValueError where it is too small to mix."""
        if self.in_memory or shuffle == "global":
            return 0
        longest, size = int(self.lists.frame_numbers.max()), self.table.frame_bytes / 1e9
        if self.budget < 3 * longest:
            raise ValueError(
                f"{self.table.path}: a buffer of {self.budget * size:.3g} GB is too small to shuffle videos of up to "
                f"{longest} frames; set --memory-gb {math.ceil(3000 * longest * size) / 1000:g} or more, "
                "or --shuffle global"
            )
        return self.budget

    def shuffled(self, rng, shuffle="buffer"):
        """All windows in random order, which `rng`, the lists and `buffer_frames` alone decide.

        global, or a table in memory: every order is as likely as any other. buffer, for a table on disk: videos are
        laid end to end in random order, and each window is drawn from a span of frames around the middle of its video.
        So a video is needed only while that span lasts, the videos needed at a time fit the budget, and each is read
        once, whole. At both ends of the epoch the span is folded back: there down to half as many videos are mixed.
        """
        frames = self.buffer_frames(shuffle)
        if not frames:
            return rng.permutation(self.n_windows)
        numbers = self.lists.frame_numbers
        # videos that hang over the ends of the span add at most one of the longest; another is just being read
        span = frames - 2 * int(numbers.max())
        line = rng.permutation(len(numbers))
        middle = np.empty(len(numbers))
        middle[line] = np.cumsum(numbers[line]) - numbers[line] / 2
        place = np.abs(middle[self.video] + span * (rng.random(self.n_windows) - 0.5))
        end = numbers.sum()
        return np.argsort(end - np.abs(end - place), kind="stable")

    def batches(self, order, batch_size, first=0, overlapping=False):
        """Batches of the windows in `order`, from batch number `first` on, as if all before had been taken.

        After `place`, they index into the whole table; without it each carries the frames it needs, in an array of
        always the same shape. overlapping: for windows in order, which share frames. Batches then carry them even after
        `place`, each once, in as small an array as will do for all batches.
        """
        gather, capacity = None, len(self.index) * batch_size
        if overlapping:
            numbers = [len(np.unique(self.index[:, part])) for part in _parts(order, batch_size)]
            capacity = min(capacity, _round_size(max(numbers, default=1)))
        if self.placed is None:
            gather = self._gatherer(order, batch_size)
        for number, chosen in list(enumerate(_parts(order, batch_size)))[first:]:
            index = np.zeros((len(self.index), batch_size), "int32")
            index[:, : len(chosen)] = self.index[:, chosen]
            index[:, len(chosen) :] = self.index[0, chosen[0]]  # what fills up asks for no further frame
            mask = np.zeros(index.shape, "float32")
            mask[:, : len(chosen)] = 1
            y = np.zeros((batch_size, *self.labels.shape[1:]), "int32")
            y[: len(chosen)] = self.labels[self.video[chosen]]
            if gather is None and not overlapping:
                yield Batch(self.placed, index, mask, y, chosen)
                continue
            rows, places = np.unique(index, return_inverse=True)
            if gather is None:
                frames = self.placed[np.pad(rows, (0, capacity - len(rows)), mode="edge")]
            else:
                frames = np.zeros((capacity, self.table.n_locations, self.table.depth), self.table.dtype)
                gather(rows, frames, number)
            yield Batch(frames, places.reshape(index.shape).astype("int32"), mask, y, chosen)

    def _gatherer(self, order, batch_size):
        """How to copy frames `rows`, in ascending order, to the first places of `out` for batch `number` of `order`."""
        if self.in_memory:
            # the default mode copies twice
            return lambda rows, out, number: np.take(self.memory, rows, axis=0, out=out[: len(rows)], mode="clip")
        video, batch = self.video[order], np.arange(len(order)) // batch_size
        first, last = np.zeros((2, len(self.labels)), int)  # batches that need a video; 0 and 0 also if none does
        first[video[::-1]], last[video] = batch[::-1], batch
        numbers = self.lists.frame_numbers
        change = np.zeros(len(order) + 1, int)
        np.add.at(change, first, numbers)
        np.add.at(change, last, -numbers)
        kept = int(np.cumsum(change).max())  # frames of videos that the next batch needs again
        if kept + numbers.max() > self.budget:
            return self._read_windows
        return buffered_gatherer(self.table, self.starts, numbers, first, last, kept)

    def _read_windows(self, rows, out, number):
        # neighbours are read at once, up to a number that takes little memory
        runs = np.split(rows, np.union1d(np.flatnonzero(np.diff(rows) > self.skip) + 1, np.arange(256, len(rows), 256)))
        for run in runs:
            self.table.expect(run[0], run[-1] + 1)
        done = 0
        for run in runs:
            out[done : done + len(run)] = self.table.read(run[0], run[-1] + 1)[run - run[0]]
            done += len(run)


def _parts(order, size):
    return [order[k : k + size] for k in range(0, len(order), size)]


def _round_size(n):
    """The smallest of 1, 2, 3, 4, 6, 8, 12, 16, ... that is at least n: few sizes, so that little is compiled."""
    power = 1 << (n - 1).bit_length()
    return power * 3 // 4 if 2 < n <= power * 3 // 4 else power


def buffered_gatherer(table, starts, numbers, first, last, kept):
    """As `_gatherer`: reads a video whole when a batch first needs it, and keeps it until the batch that last does.

    starts, numbers, first, last: of each video its first frame, its frames, and those two batches; kept: frames to be
    kept at a time at most. One video more is in memory while it is read.
    """
    buffer = np.empty((kept, table.n_locations, table.depth), table.dtype)
    free, place = np.arange(kept), np.full(table.n_frames, -1)  # where in the buffer a frame is; -1: not there

    def gather(rows, out, number):
        nonlocal free
        for k in np.flatnonzero(first == number + 1):
            table.expect(starts[k], starts[k] + numbers[k])
        videos = np.unique(np.searchsorted(starts, rows, side="right") - 1)
        for k in videos[np.argsort(last[videos])]:  # those that leave make room for those that stay
            start, stop = starts[k], starts[k] + numbers[k]
            own = slice(*np.searchsorted(rows, (start, stop)))
            where, leaves = place[start:stop], last[k] == number
            if where[0] >= 0:
                np.take(buffer, place[rows[own]], axis=0, out=out[own], mode="clip")
                if leaves:
                    free, where[:] = np.append(free, where), -1
            else:
                cubes = table.read(start, stop)
                np.take(cubes, rows[own] - start, axis=0, out=out[own], mode="clip")
                if not leaves:
                    where[:], free = free[: len(where)], free[len(where) :]
                    buffer[where] = cubes

    return gather


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
