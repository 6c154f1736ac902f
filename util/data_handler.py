"""Frame table and lists -> windows -> batches, which are read ahead in the background with bounded memory.

Windows are the released program's blocks (its util/data_handler.py), but a shuffle does not mix up the videos.
"""

import copy
import hashlib
import math
import queue
import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

from visual_attention.util.data_lists import read_lists
from visual_attention.util.frame_table import aligned_zeros, open_table


def windows(frame_numbers, maxlen, skip=1, stride=1):
    """All windows of all videos: rows of the frame table (T, n) int32, and the video of each window (n,) int32.

    frame_numbers: number of frames of each video. A window has every `skip`-th of `maxlen` * `skip` frames. The first
    window of a video starts at its first frame, the next `stride` frames later, as long as they fit. A video that is
    too short for a window has one window that repeats the last frame taken.
    ValueError: the indices of so many windows do not fit into the memory of this machine.
    """
    n = sum(max(n_frames - maxlen * skip, 0) // stride + 1 for n_frames in frame_numbers)
    if (gb := 4e-9 * n * maxlen) > psutil.virtual_memory().total / 1e9:
        raise ValueError(
            f"{n} windows of {maxlen} frames need {gb:.1f} GB for their frames' numbers alone; expected a smaller "
            "--maxlen, or a larger --training-stride or --testing-stride"
        )
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
    """B windows, as the graph takes them. The last batch is padded with windows whose mask is 0."""

    frames: np.ndarray  # (n, L, D), or of two layers (n, L_1 D_1 + L_2 D_2)
    index: np.ndarray  # (T, B) int32
    mask: np.ndarray  # (T, B)
    y: np.ndarray  # (B,) int32, or (B, C)
    windows: np.ndarray  # numbers of the windows in it, B at most


class DataHandler:
    """The windows of one part of a data set. The parameters after `part` are options of a run.

        data = DataHandler("data/embedded", "train", maxlen=30, stride=4, ctx_dim=64)
        for batch in read_ahead(data.batches(data.shuffled(rng), batch_size=32)): ...

    A frame table of up to `memory_gb` is held in memory. A larger one is read from disk. If the order of the windows
    allows it, whole videos are then read through a buffer of up to that size. Batches that are read ahead need memory
    in addition, T * B frames each. both: both layers of the frame table are read.
    ValueError or FileNotFoundError says what is wrong with the files of the folder.
    """

    def __init__(self, folder, part, maxlen=30, fps=30, stride=1, n_actions=None, ctx_dim=None, memory_gb=4.0,
                 both=False):  # fmt: skip
        self.folder, self.part = Path(folder), part
        self.lists = read_lists(folder, part, n_actions)
        self.table = open_table(self.folder / f"{part}_features.h5", ctx_dim, both)
        listed = int(self.lists.frame_numbers.sum())
        if listed != self.table.n_frames:
            raise ValueError(
                f"{self.table.path}: holds {self.table.n_frames} frames, but {self.folder / part}_framenum.txt adds "
                f"up to {listed}; features and lists are not of the same videos: make both again"
            )
        if self.table.fps % fps:
            raise ValueError(
                f"{self.table.path}: has {self.table.fps} frames a second; expected a multiple of fps {fps}; choose "
                "another --fps"
            )
        self.skip = self.table.fps // fps
        self.starts = np.cumsum(self.lists.frame_numbers) - self.lists.frame_numbers  # first frame of each video
        self.index, self.video = windows(self.lists.frame_numbers, maxlen, self.skip, stride)
        self.budget = int(memory_gb * 1e9 / self.table.frame_bytes)  # frames that fit into memory_gb
        self.in_memory = self.table.n_frames <= self.budget
        self.memory = self.table.load() if self.in_memory else None

    @property
    def n_windows(self):
        return len(self.video)

    @property
    def labels(self):
        """Labels of the videos: (videos,) or (videos, C)."""
        return self.lists.labels

    def only(self, videos):
        """The same data with the windows of these videos only (numbers in the lists, ascending); shares the table."""
        part, keep = copy.copy(self), np.isin(self.video, videos)
        part.index, part.video = self.index[:, keep], np.searchsorted(videos, self.video[keep]).astype("int32")
        part.lists, part.starts = self.lists.only(videos), self.starts[videos]
        return part

    def release_memory(self):
        """The table in memory, (n_frames, ...), which is then no longer held here; None if it is on disk.

        If it was released before, it is read again: the next run on the same data needs it, too.
        """
        memory, self.memory = self.memory, None
        return self.table.load() if memory is None and self.in_memory else memory

    def digest(self):
        """A hash that tells data apart, of lists, shape and some frames only, as hashing 30 GB takes minutes."""
        shape = (self.table.features.shape, str(self.table.dtype), self.table.layout, self.lists.filenames)
        sha = hashlib.sha256(repr(shape).encode())
        sha.update(self.lists.frame_numbers.tobytes() + self.lists.labels.tobytes())
        for row in np.linspace(0, self.table.n_frames - 1, 16).astype(int):
            sha.update(np.ascontiguousarray(self.table.read(row, row + 1)).tobytes())
        return sha.hexdigest()[:16]

    def buffer_frames(self, shuffle):
        """Frames in the buffer from which `shuffled` draws; 0: there is none. ValueError: it is too small to mix."""
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
        """All windows in random order, which depends on `rng`, the lists and `buffer_frames` only.

        shuffle `global`, or a table in memory: all orders are equally likely. shuffle `buffer` with a table on disk:
        the videos are laid end to end in random order, and each window gets a random place in a span of frames around
        the middle of its video. Windows are taken in the order of their places. A video is then needed only within its
        span: the videos that are needed at the same time fit into the budget, and each is read once, as a whole. At
        both ends of the epoch the span is folded back, so that only half as many videos are mixed there.
        """
        frames = self.buffer_frames(shuffle)
        if not frames:
            return rng.permutation(self.n_windows)
        numbers = self.lists.frame_numbers
        # Videos that reach beyond the ends of the span add at most the longest one; another is being read.
        span = frames - 2 * int(numbers.max())
        sequence = rng.permutation(len(numbers))
        middle = np.empty(len(numbers))
        middle[sequence] = np.cumsum(numbers[sequence]) - numbers[sequence] / 2
        position = np.abs(middle[self.video] + span * (rng.random(self.n_windows) - 0.5))
        end = numbers.sum()
        return np.argsort(end - np.abs(end - position), kind="stable")

    def batches(self, order, batch_size, first=0, capacity=None, frames=None):
        """Batches of the windows in `order`, from batch number `first` on, as if the batches before it had been made.

        Each batch holds the frames that it needs, each frame once, in an array whose shape is the same for all batches.
        capacity: number of frames in that array, from `frames_of_batches`, where windows share frames; by default as
        many as they need if they share none.
        frames: the whole table, such as the caller's copy on a device. Batches then index into it and copy no frames.
        """
        capacity = capacity or len(self.index) * batch_size
        gather = self._gatherer(order, batch_size) if frames is None else None
        for number, chosen in list(enumerate(_parts(order, batch_size)))[first:]:
            index = np.zeros((len(self.index), batch_size), "int32")
            index[:, : len(chosen)] = self.index[:, chosen]
            index[:, len(chosen) :] = self.index[0, chosen[0]]  # padding needs no further frame
            mask = np.zeros(index.shape, "float32")
            mask[:, : len(chosen)] = 1
            y = np.zeros((batch_size, *self.labels.shape[1:]), "int32")
            y[: len(chosen)] = self.labels[self.video[chosen]]
            if gather is None:
                yield Batch(frames, index, mask, y, chosen)
                continue
            rows, places = np.unique(index, return_inverse=True)
            cubes = aligned_zeros((capacity, *self.table.frame_shape), self.table.dtype)
            gather(rows, cubes, number)
            yield Batch(cubes, places.reshape(index.shape).astype("int32"), mask, y, chosen)

    def _gatherer(self, order, batch_size):
        """A function (rows, out, number) that copies the frames `rows`, in ascending order, to the beginning of `out`.

        number: of the batch in `order` that needs them.
        """
        if self.memory is not None:
            # np.take copies twice in its default mode.
            return lambda rows, out, number: np.take(self.memory, rows, axis=0, out=out[: len(rows)], mode="clip")
        video, batch = self.video[order], np.arange(len(order)) // batch_size
        first, last = np.zeros((2, len(self.labels)), int)  # batches that need a video; 0 and 0 if none does
        first[video[::-1]], last[video] = batch[::-1], batch
        numbers = self.lists.frame_numbers
        change = np.zeros(len(order) + 1, int)
        np.add.at(change, first, numbers)
        np.add.at(change, last, -numbers)
        kept = int(np.cumsum(change).max())  # frames of videos that a later batch needs, too
        if kept + numbers.max() > self.budget:
            return self._read_windows
        return buffered_gatherer(self.table, self.starts, numbers, first, last, kept)

    def _read_windows(self, rows, out, number):
        # Neighbouring frames are read together, up to a number that takes little memory.
        runs = np.split(rows, np.union1d(np.flatnonzero(np.diff(rows) > self.skip) + 1, np.arange(256, len(rows), 256)))
        for run in runs:
            self.table.expect(run[0], run[-1] + 1)
        done = 0
        for run in runs:
            out[done : done + len(run)] = self.table.read(run[0], run[-1] + 1)[run - run[0]]
            done += len(run)


def _parts(order, size):
    return [order[k : k + size] for k in range(0, len(order), size)]


def frames_of_batches(index, order, batch_size):
    """Number of frames in the largest batch, if each frame is stored once.

    index: rows of the windows in the frame table, (T, n).
    """
    return max((len(np.unique(index[:, part])) for part in _parts(order, batch_size)), default=1)


def rounded_up(n):
    """The smallest of 1, 2, 3, 4, 6, 8, 12, 16, ... that is at least n. For each size, a function is compiled."""
    power = 1 << (n - 1).bit_length()
    return power * 3 // 4 if 2 < n <= power * 3 // 4 else power


def buffered_gatherer(table, starts, numbers, first, last, kept):
    """Like `_gatherer`, for a table on disk: a video is read for the first batch that needs it, and kept for the last.

    starts, numbers, first, last: of each video, its first frame, its number of frames, and these two batches. kept: the
    largest number of frames that are kept at the same time. One more video is in memory while it is read.
    """
    buffer = np.empty((kept, *table.frame_shape), table.dtype)
    free, slots = np.arange(kept), np.full(table.n_frames, -1)  # slots: where a frame is in the buffer; -1: nowhere

    def gather(rows, out, number):
        nonlocal free
        for k in np.flatnonzero(first == number + 1):
            table.expect(starts[k], starts[k] + numbers[k])
        videos = np.unique(np.searchsorted(starts, rows, side="right") - 1)
        for k in videos[np.argsort(last[videos])]:  # videos that leave make room for those that stay
            start, stop = starts[k], starts[k] + numbers[k]
            wanted = slice(*np.searchsorted(rows, (start, stop)))
            video_slots, leaves = slots[start:stop], last[k] == number
            if video_slots[0] >= 0:
                np.take(buffer, slots[rows[wanted]], axis=0, out=out[wanted], mode="clip")
                if leaves:
                    free, video_slots[:] = np.append(free, video_slots), -1
            else:
                cubes = table.read(start, stop)
                np.take(cubes, rows[wanted] - start, axis=0, out=out[wanted], mode="clip")
                if not leaves:
                    n = len(video_slots)
                    video_slots[:], free = free[:n], free[n:]
                    buffer[video_slots] = cubes

    return gather


def read_ahead(batches, depth=2):
    """Yields the items of `batches`, which a thread makes up to `depth` ahead. Its exceptions are raised here."""
    ready, stop = queue.Queue(depth), threading.Event()

    def hand_over(item):
        while not stop.is_set():
            try:
                return ready.put(item, timeout=0.1)
            except queue.Full:
                continue

    def work():
        try:
            for batch in batches:
                hand_over((batch, None))
                if stop.is_set():
                    return
            hand_over((None, None))
        except BaseException as error:
            hand_over((None, error))

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
