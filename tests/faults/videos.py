"""Damaged videos: whatever is missing must be reported, with both numbers.

Two clips per container, and any that lie in the folder `originals` of --folder. `count` times one byte of the clip is
changed, and half as often the clip is cut off, at random places. Then all damaged clips of a container are extracted
together with --on-error skip. The table has a row for each effect of a changed byte: no picture differs, some differ
and that was reported, or some differ and nothing shows it.
"""

import contextlib
import random
import re
import shutil

import av
import numpy as np
from stub_extractor import STUB

from visual_attention.util.entries import Entry
from visual_attention.util.features import extract
from visual_attention.util.video import read_frames

from . import Case

N = 60  # frames of a clip
CLIPS = {  # codec, frames a second, its options, the container's options, whether it has sound
    "h264.avi": ("libx264", 25, {"g": "30"}, {}, True),
    "mpeg4.avi": ("mpeg4", 30, {"bf": "2"}, {}, False),
    "h264.mkv": ("libx264", 25, {"g": "30"}, {}, True),
    "mpeg4.mkv": ("mpeg4", 30, {}, {}, False),
    "h264.mp4": ("libx264", 25, {"g": "30"}, {"movflags": "faststart"}, False),
    "mpeg4.mp4": ("mpeg4", 30, {"bf": "2"}, {"movflags": "faststart"}, False),
    "mpeg1.mpg": ("mpeg1video", 25, {"bf": "2"}, {}, True),
    "mpeg2.mpg": ("mpeg2video", 30, {}, {}, False),
}
GROUPS = ("avi", "mkv", "mp4", "mpg")
UNREADABLE = "no such file|is not a video|has no video stream|has no frames|has a codec|its frame rate|claims"


def make(path, codec, rate, options, container_options, sound):
    """A clip of a moving texture, of which no two frames are alike."""
    texture = np.random.default_rng(0).integers(0, 120, (96, 128, 3))
    y, x = np.mgrid[:96, :128]
    with av.open(str(path), "w", options=container_options) as container:
        video = container.add_stream(codec, rate=rate, options=options)
        video.width, video.height, video.pix_fmt, video.bit_rate = 128, 96, "yuv420p", 400_000
        audio = container.add_stream("mp2", rate=44100, layout="mono") if sound else None
        for k in range(N):
            picture = np.roll(texture, 2 * k, axis=1) + (60 * (1 + np.sin((x + 3 * k) / 9)))[..., None]
            picture[(x - 2 * k) ** 2 + (y - k) ** 2 < 150] = 250, 20, 200
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture.astype(np.uint8), format="rgb24")))
            if sound:
                tone = av.AudioFrame.from_ndarray(np.zeros((1, 44100 // rate), np.int16), format="s16", layout="mono")
                tone.sample_rate = 44100
                container.mux(audio.encode(tone))
        container.mux(video.encode())
        if sound:
            container.mux(audio.encode())
    return path


def read(path):
    """The frames that `read_frames` yields, and its warning or error or None."""
    frames, says = [], []
    try:
        for frame in read_frames(path, 30, 32, says.append):
            frames.append(frame)
    except ValueError as error:
        says.append(f"error: {error}")
    return frames, says[0] if says else None


def decodable(path):
    """(number of frames that PyAV can decode, frames a second according to the header)."""
    n = 0
    with av.open(str(path)) as container:
        for packet in container.demux(video=0):
            with contextlib.suppress(av.error.FFmpegError):
                n += len(packet.decode())
        return n, container.streams.video[0].average_rate


def damaged(data, kind, rng):
    if kind == "cut":
        return data[: rng.randrange(len(data))]
    at = rng.randrange(len(data))
    return data[:at] + bytes([data[at] ^ rng.randrange(1, 256)]) + data[at + 1 :]


def case(path, intact, what, kind):
    """The case of a damaged clip, and the warning or error. intact: frames, number of frames, rate of the intact clip.

    A wrong rate in a header cannot be detected: all frames are decoded, but at wrong times.
    """
    container = path.suffix[1:]
    frames, says = read(path)
    intact_frames, intact_n, rate = intact
    differs = len(frames) != len(intact_frames)
    differs = differs or any((a != b).any() for a, b in zip(frames, intact_frames, strict=True))
    if says is None:
        n, claimed = decodable(path)
        ok = n >= intact_n and (len(frames) >= len(intact_frames) or claimed != rate)
        outcome = f"{n} frames, {'not the same as' if differs else 'the same as'} before"
    else:
        outcome, numbers = says, re.search(r": has (\d+) of (\d+) frames", says)
        ok = str(path) in says and bool(numbers or re.search(UNREADABLE, says))
        if numbers and kind == "cut" and container != "mpg":  # which does not promise a length
            ok &= int(numbers[1]) == decodable(path)[0] and abs(int(numbers[2]) - intact_n) <= intact_n // 20
    effect = "cut off"
    if kind == "byte":
        effect = "a byte changed, " + ("reported" if says else "not detected" if differs else "no picture differs")
    return Case(what, outcome, ok, f"{container}: {effect}"), says


def cases(count, seed, folder, groups=GROUPS):
    for container in groups:
        clips = [make(folder / name, *CLIPS[name]) for name in CLIPS if name.endswith(container)]
        clips += sorted((folder / "originals").glob(f"*.{container}"))
        reports = {}
        for clip in clips:
            frames, says = read(clip)
            intact = frames, *decodable(clip)
            ok = says is None and (clip.parent != folder or intact[1:] == (N, CLIPS[clip.name][1]))
            yield Case(clip.name, says or f"{intact[1]} frames", ok, f"{container}: intact")
            for kind, n in (("cut", count // 2), ("byte", count)):
                for k in range(n):
                    path = folder / container / f"{clip.stem}_{kind}{k}.{container}"
                    path.parent.mkdir(exist_ok=True)
                    path.write_bytes(damaged(clip.read_bytes(), kind, random.Random(f"{seed} {clip.name} {kind} {k}")))
                    result, reports[path] = case(path, intact, path.name, kind)
                    yield result
        yield extracted(folder, container, reports)


def extracted(folder, container, reports):
    """The case of extracting all damaged clips of a container. reports: path -> warning or error or None."""
    entries = [Entry(path.name, "train", path, 0) for path in reports]
    out = folder / f"{container}_features"
    shutil.rmtree(out, ignore_errors=True)
    extract(entries, out, folder, ["clip"], STUB, on_error="skip", workers=1, progress=False)
    listed = {
        name: set((out / name).read_text().split("\n")[:-1]) if (out / name).is_file() else set()
        for name in ("skipped.txt", "damaged.txt")
    }
    expected = {name: set() for name in listed}
    for path, says in reports.items():
        if says:
            name = "skipped.txt" if says.startswith("error: ") else "damaged.txt"
            expected[name].add(f"{path}\t{says.removeprefix('error: ')}")
    outcome = ", ".join(f"{len(lines)} in {name}" for name, lines in listed.items())
    return Case(f"extraction of all {len(reports)}", outcome, listed == expected, f"{container}: extracted")
