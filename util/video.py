"""Video in and out: frames at a chosen rate, squeezed to a square; short movies; the frames behind a data set's entry.

    for picture in read_frames("clip.avi", fps=30): ...  # (224, 224, 3) uint8, RGB

PyAV does the decoding; it is imported where it is needed, for training needs no video.
"""

import json
import os
from contextlib import contextmanager
from fractions import Fraction
from itertools import chain, islice
from pathlib import Path

import numpy as np

EXTENSIONS = (".avi", ".mpg", ".mpeg", ".mp4", ".mov", ".mkv", ".webm")
NEAR = 2e-3  # share by which a rate may miss a whole number: NTSC's 29.97 for 30 and 23.976 for 24 miss by 1e-3
LATE = 1e-3  # seconds by which a frame may miss its tick: Matroska rounds its timestamps to milliseconds


def read_frames(path, fps=30, size=224):
    """Yields the frames of a video at `fps` frames a second, each (size, size, 3) uint8, RGB.

    A rate within 0.2 % of a whole number counts as that number. Where it is n times fps, every n-th frame is taken:
    29.97 at fps 30 frame by frame, 60 at fps 30 every second one. Otherwise tick k stands k/fps seconds after the first
    frame and shows the last frame that has begun by then; the last frame lasts as long as the file says.

    The whole frame is squeezed to the square, whatever its sides, as the paper's 224 x 224 is, by swscale's bicubic
    filter, which widens with the reduction and so does not alias. A rotation noted in the file (phones) is applied.
    A frame shown at several ticks is yielded as the same array.

    FileNotFoundError: no such file. ValueError: no video, no frames, broken, or a rate that makes no sense.
    """
    with _opened(path) as stream:
        stream.thread_type = "AUTO"
        last = picture = None
        for frame in _on_ticks(_decoded(stream), stream, fps):
            if frame is not last:
                last = frame
                squeezed = frame.reformat(size, size, "rgb24", interpolation="BICUBIC").to_ndarray()
                picture = np.ascontiguousarray(np.rot90(squeezed, frame.rotation // 90))
            yield picture


def _on_ticks(frames, stream, fps):
    """`frames` in order of display, each once for every tick that shows it."""
    name, rate = stream.container.name, stream.average_rate or stream.guessed_rate
    if not 0 < fps < float("inf"):
        raise ValueError(f"fps is {fps}; expected a positive number of frames a second")
    if not rate:
        raise ValueError(f"{name}: does not say its frame rate; convert it, for instance to mp4")
    frames = iter(frames)
    held = next(frames, None)
    if held is None:
        raise ValueError(f"{name}: has no frames; expected a video; copy or convert it again, or take it out")

    step = round(rate) / fps
    if abs(rate - round(rate)) <= NEAR * rate and step >= 1 and step == int(step):
        yield from islice(chain([held], frames), 0, None, int(step))
        return

    # AVI keeps no times of display, only slots at a constant rate. Where DivX packed two frames into one slot the "pts"
    # made up for them jump back and forth although the frames come in order, so there the slots (dts) are the clock.
    clock = "dts" if stream.container.format.name == "avi" else "pts"
    begin = end = first = _seconds(getattr(held, clock), stream, 0.0)
    tick = 0
    for frame in chain([held], frames, [None]):
        begin = end if frame is None else _seconds(getattr(frame, clock), stream, end)
        while first + tick / fps + LATE < begin:
            yield held
            tick += 1
        if frame is not None:
            held, end = frame, begin + _seconds(frame.duration or None, stream, float(1 / rate))


def _seconds(stamp, stream, otherwise):
    return otherwise if stamp is None else float(stamp * stream.time_base)


def _decoded(stream):
    av = _import_av()
    frames, count = stream.container.decode(stream), 0
    while True:
        try:
            frame = next(frames, None)
        except av.error.FFmpegError as error:
            raise ValueError(
                f"{stream.container.name}: cannot be decoded after {count} frames ({error.strerror}); "
                "copy or convert it again, or take it out"
            ) from error
        if frame is None:
            return
        yield frame
        count += 1


@contextmanager
def _opened(path):
    av = _import_av()
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file; expected a video ({', '.join(EXTENSIONS)})")
    try:
        container = av.open(os.fspath(path))
    except av.error.FFmpegError as error:
        raise ValueError(f"{path}: is not a video ({error.strerror}); copy it again, or take it out") from error
    with container:
        if not container.streams.video:
            raise ValueError(f"{path}: has no video stream; expected a file with pictures; take it out")
        yield container.streams.video[0]


def _import_av():
    try:
        import av
    except ImportError as error:
        raise ModuleNotFoundError("video needs PyAV, which is not installed: pip install .[extract]") from error
    return av


def write_video(path, frames, fps):
    """Writes frames, each (height, width, 3) uint8 RGB, as H.264 in the container that the name's ending says (.mp4).

    Odd sides grow by a repeated row or column, as H.264's colours need even ones. The file appears only when complete.
    ValueError: no frames, or frames of different sizes.
    """
    av = _import_av()
    path = Path(path)
    partial = path.with_name(f".{path.name}")  # the ending stays last, it chooses the container
    frames = iter(frames)
    first = next(frames, None)
    if first is None:
        raise ValueError(f"{path}: no frames to write; expected at least one, (height, width, 3) uint8")
    height, width = first.shape[:2]
    try:
        with av.open(os.fspath(partial), "w") as container:
            stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001), options={"crf": "18"})
            stream.width, stream.height, stream.pix_fmt = width + width % 2, height + height % 2, "yuv420p"
            for frame in chain([first], frames):
                if frame.shape != first.shape:
                    raise ValueError(f"{path}: a frame is {frame.shape}, the first is {first.shape}; make them alike")
                even = np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
                container.mux(stream.encode(av.VideoFrame.from_ndarray(even, format="rgb24")))
            container.mux(stream.encode())
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def entry_frames(dataset_folder, name, start=0, stop=None, root=None):
    """The frames start:stop of one entry of an extracted data set, (n, 224, 224, 3) uint8 RGB, for drawing.

    Frame k is the picture behind the entry's k-th cube: `dataset.json` says which video and which of its frames;
    root: the folder of videos, where it is not the one noted there.
    FileNotFoundError or ValueError: no such entry, or the video is gone or has changed.
    """
    about = Path(dataset_folder, "dataset.json")
    if not about.is_file():
        raise FileNotFoundError(f"{about}: no such file; scripts/extract_features.py writes it beside the features")
    dataset = json.loads(about.read_text(encoding="utf-8"))
    entry = next((video for video in dataset.get("videos", []) if video["name"] == name), None)
    if entry is None:
        raise ValueError(f"{about}: names no video {name!r}; expected a line of one of its *_filename.txt")
    path = Path(root or dataset["root"], entry["path"])
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; if the videos have moved, change 'root' in {about}")
    first, n = entry["first_frame"], entry["n_frames"]
    start, stop, _ = slice(start, stop).indices(n)
    frames = list(islice(read_frames(path, dataset["fps"], dataset["size"]), first + start, first + stop))
    if len(frames) != stop - start:
        raise ValueError(f"{path}: ends before frame {first + stop}, unlike when {about} was made; extract again")
    return np.stack(frames)
