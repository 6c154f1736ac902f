"""Reading and writing of videos: frames at a chosen rate, squeezed to a square; movies; the frames of an entry.

    for picture in read_frames("clip.avi", fps=30): ...  # (224, 224, 3) uint8, RGB

PyAV decodes. It is imported only where it is needed, because training needs no video.
"""

import os
import warnings
from contextlib import contextmanager
from fractions import Fraction
from itertools import chain, islice
from pathlib import Path

import numpy as np

from . import checks
from .data_lists import check_inside_root
from .extras import import_extra
from .files import new_file
from .video_check import open_account, seconds

EXTENSIONS = (".avi", ".mpg", ".mpeg", ".mp4", ".mov", ".mkv", ".webm")
MOST_PIXELS = 4096  # per side
INTERPOLATIONS = ("bicubic", "bilinear", "lanczos")  # swscale's filters for smaller frames
NEAR = 2e-3  # relative distance at which a rate counts as a whole number; NTSC's 29.97 and 23.976 are 1e-3 off
# Only containers that hold their pictures themselves. Playlists (concat, HLS, SDP) name other files and hosts.
SAFE = {
    "format_whitelist": "asf,avi,dv,flv,h264,m4v,matroska,webm,mov,mp4,mpeg,mpegts,mpegvideo,nut,ogg",
    "protocol_whitelist": "file",
}
LATE = 1e-3  # seconds by which a frame may be late for its tick: Matroska rounds its timestamps to milliseconds
SLOWEST, FASTEST = 0.1, 1000  # frames per second; a file that states anything else has a damaged header


def read_frames(path, fps=30, size=224, warn=warnings.warn, interpolation="bicubic"):
    """Yields the frames of a video at `fps` frames per second, each (size, size, 3) uint8, RGB.

    A frame rate within 0.2 % of a whole number counts as that number. If it is n times fps, every n-th frame is taken:
    every frame of 29.97 at fps 30, every second frame of 60. Otherwise tick k is k/fps seconds after the first frame.
    It shows the last frame that has begun by then. The last frame lasts as long as the file states.

    The whole frame is squeezed to a square, like the paper's 224 x 224, whatever its sides are. swscale's filter
    of the name `interpolation` is used; it becomes wider as the frame shrinks and so does not alias. A rotation in the
    metadata (phones) is applied. A frame that several ticks show is yielded as the same array.

    A damaged video is read to its end. If a little is missing or damaged, `warn` is then called with a line that says
    how much. video_check.py defines what a little is.

    FileNotFoundError: no such file. ValueError: no video, no frames, a rate that makes no sense, or, after the last
    frame, more than a little is missing or damaged.
    """
    with _opened(path) as stream:
        # After an error, FFmpeg loses the frames that its threads hold, whose number depends on the number of cores.
        # Threads would gain little, because squeezing takes longer than decoding.
        stream.thread_type = "NONE"
        last = picture = None
        for frame in _on_ticks(stream, fps, warn):
            if frame is not last:
                last = frame
                squeezed = frame.reformat(size, size, "rgb24", interpolation=interpolation.upper()).to_ndarray()
                picture = np.ascontiguousarray(np.rot90(squeezed, frame.rotation // 90))
            yield picture


def _on_ticks(stream, fps, warn):
    """The frames of a stream in the order of display, each once for every tick that shows it."""
    if not 0 < fps < float("inf"):
        raise ValueError(f"fps is {fps}; expected a positive number of frames a second")
    rate = _rate(stream)
    account = open_account(stream, rate)
    frames = _decoded(stream, account, warn)
    step = round(rate) / fps
    if abs(rate - round(rate)) <= NEAR * rate and step >= 1 and step == int(step):
        yield from islice(frames, 0, None, int(step))
        return

    held, tick = next(frames), 0
    begin = first = account.begin(held, 0.0)
    for frame in chain(frames, [None]):
        end = begin + (seconds(held.duration or None, stream.time_base) or float(1 / rate))
        begin = account.begin(frame, end)
        while first + tick / fps + LATE < begin:
            yield held
            tick += 1
        held = frame


def _rate(stream):
    """Frames per second, as a Fraction, since the type of PyAV 19 cannot be rounded."""
    name, rate = stream.container.name, Fraction(stream.average_rate or stream.guessed_rate or 0)
    if not rate:
        raise ValueError(f"{name}: does not say its frame rate; convert it, for instance to mp4")
    if not SLOWEST <= rate <= FASTEST:
        raise ValueError(
            f"{name}: claims {float(rate):g} frames a second; expected {SLOWEST} to {FASTEST}; "
            "copy or convert it again, or take it out"
        )
    return rate


def _decoded(stream, account, warn):
    """All frames in the order of display, including those after an error."""
    av = _import_av()
    for packet in _packets(stream, account):
        try:
            frames = stream.decode(packet)
        except av.error.FFmpegError as error:
            account.error(error)
            continue
        for frame in frames:
            account.frame(frame)
            yield frame
    account.close(warn)


def _packets(stream, account):
    """The packets of a stream, then None, which makes the decoder return the frames that it still holds."""
    av = _import_av()
    try:
        for packet in stream.container.demux():
            if packet.size:
                account.packet(packet)
                if packet.stream_index == stream.index:
                    yield packet
    except av.error.FFmpegError as error:
        account.error(error)
    yield None


@contextmanager
def _opened(path):
    av = _import_av()
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file; expected a video ({', '.join(EXTENSIONS)})")
    # Old AVI files have titles that are not UTF-8. PyAV refuses them by default; PyAV 19 does not and has no option.
    lenient = {"metadata_errors": "replace"} if int(av.__version__.partition(".")[0]) < 19 else {}
    try:
        # A relative path may look like a protocol, such as file:x.
        container = av.open(os.path.abspath(path), options=SAFE, **lenient)
    except av.error.FFmpegError as error:
        raise ValueError(f"{path}: is not a video ({error.strerror}); copy it again, or take it out") from error
    with container:
        if not container.streams.video:
            raise ValueError(f"{path}: has no video stream; expected a file with pictures; take it out")
        stream = container.streams.video[0]
        if stream.codec_context is None:
            raise ValueError(f"{path}: has a codec that FFmpeg does not know; copy or convert it again, or take it out")
        yield stream


def _import_av():
    return import_extra("av", "video needs PyAV", "extract")


def write_video(path, frames, fps):
    """Writes frames, each (height, width, 3) uint8 RGB, as H.264, in the container that the extension selects (.mp4).

    H.264's colours need even sides, so an odd side gets a repeated row or column. The file exists only when it is
    complete. ValueError: no frames, or frames of different sizes.
    """
    av = _import_av()
    path = Path(path)
    partial = path.with_name(f".{path.name}")  # the ending stays last, it chooses the container
    frames = iter(frames)
    first = next(frames, None)
    if first is None:
        raise ValueError(f"{path}: no frames to write; expected at least one, (height, width, 3) uint8")
    height, width = first.shape[:2]
    with new_file(path, partial):
        with av.open(os.fspath(partial), "w") as container:
            stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001), options={"crf": "18"})
            stream.width, stream.height, stream.pix_fmt = width + width % 2, height + height % 2, "yuv420p"
            for frame in chain([first], frames):
                if frame.shape != first.shape:
                    raise ValueError(f"{path}: a frame is {frame.shape}, the first is {first.shape}; make them alike")
                even = np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
                container.mux(stream.encode(av.VideoFrame.from_ndarray(even, format="rgb24")))
            container.mux(stream.encode())


def entry_frames(dataset_folder, name, start=0, stop=None, root=None):
    """The frames start:stop of an entry of an extracted data set, (n, 224, 224, 3) uint8 RGB, for drawing.

    Frame k is the picture of the entry's k-th cube. `dataset.json` contains the video and its range of frames.
    root: the folder of the videos, if it is not the one in `dataset.json`.
    FileNotFoundError or ValueError: no such entry, or the video is missing or has changed.
    """
    about = Path(dataset_folder, "dataset.json")
    if not about.is_file():
        raise FileNotFoundError(f"{about}: no such file; visual-attention extract writes it beside the features")
    dataset = checks.read_json(about, {"root": str, "fps": (int, float), "size": int, "videos": list})
    entry = next((v for v in dataset["videos"] if isinstance(v, dict) and v.get("name") == name), None)
    if entry is None:
        raise ValueError(f"{about}: names no video {name!r}; expected a line of one of its *_filename.txt")
    checks.check_kinds(f"{about}, video {name!r}", entry, {"path": str, "first_frame": int, "n_frames": int})
    check_inside_root(f"{about}, video {name!r}", entry["path"])
    if not 0 < dataset["fps"] < float("inf"):
        raise ValueError(f"{about}: fps is {dataset['fps']}; expected a positive number of frames a second")
    if not 1 <= dataset["size"] <= MOST_PIXELS:
        raise ValueError(f"{about}: size is {dataset['size']}; expected 1 to {MOST_PIXELS} pixels a side")
    interpolation = dataset.get("interpolation", "bicubic")
    if interpolation not in INTERPOLATIONS:
        raise ValueError(f"{about}: interpolation is {interpolation!r}; expected one of {', '.join(INTERPOLATIONS)}")
    path = Path(root or dataset["root"], entry["path"])
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; if the videos have moved, change 'root' in {about}")
    first, n = entry["first_frame"], entry["n_frames"]
    start, stop, _ = slice(start, stop).indices(n)
    pictures = read_frames(path, dataset["fps"], dataset["size"], interpolation=interpolation)
    frames = list(islice(pictures, first + start, first + stop))
    if len(frames) != stop - start:
        raise ValueError(f"{path}: ends before frame {first + stop}, unlike when {about} was made; extract again")
    return np.stack(frames)
