"""Damaged videos: a short form of the campaign, what counts as damage, and intact videos that look damaged."""

import struct
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from stub_extractor import make_clip, numbers

av = pytest.importorskip("av", reason="PyAV is not installed: pip install .[extract]")

from faults import videos  # noqa: E402

from visual_attention.util.video import read_frames  # noqa: E402

N = videos.N
ADVICE = "copy it again, convert it to keep what it has, or take it out"


@pytest.mark.parametrize("container", videos.GROUPS)
def test_campaign(tmp_path, container):
    cases = list(videos.cases(4, 0, tmp_path, [container]))
    assert len(cases) == 2 * (1 + 2 + 4) + 1
    assert [case for case in cases if not case.ok] == []
    assert sum(case.group.endswith("cut off") for case in cases) == 4


def clip(folder, name):
    return videos.make(folder / name, *videos.CLIPS[name])


def edit(path, *changes):
    """Overwrites bytes of a file. changes: pairs (offset, new bytes)."""
    data = bytearray(path.read_bytes())
    for offset, new in changes:
        data[offset : offset + len(new)] = new
    path.write_bytes(data)
    return path


def packets(path):
    with av.open(str(path)) as container:
        return [(bytes(packet), packet.pos) for packet in container.demux(video=0) if packet.size]


def mux(path, codec, chunks, rate=25):
    """Writes a file of coded pictures. chunks: pairs (slot, bytes)."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        container.start_encoding()
        for slot, data in chunks:
            packet = av.Packet(data)
            packet.stream, packet.time_base, packet.is_keyframe = stream, Fraction(1, 1000), slot == 0
            packet.pts = packet.dts = round(slot * 1000 / rate)
            packet.duration = round(1000 / rate)
            container.mux_one(packet)
    return path


def messages(path):
    """The warning or error about a video, in a list of at most one line. An error begins with `error: `."""
    frames, line = videos.read(path)
    return [line] if line else []


# messages


def set_length(path, n):
    return edit(path, (path.read_bytes().index(b"vids") + 32, struct.pack("<I", n)))


def test_few_missing_frames_are_a_warning_and_many_an_error(tmp_path):
    path = clip(tmp_path, "mpeg4.avi")
    assert messages(set_length(path, N - 1)) == []  # more than promised
    assert messages(set_length(path, N + 1)) == [f"{path}: has {N} of {N + 1} frames"]
    assert messages(set_length(path, N + 3)) == [f"{path}: has {N} of {N + 3} frames"]  # 5 %
    assert messages(set_length(path, N + 4)) == [f"error: {path}: has {N} of {N + 4} frames; {ADVICE}"]
    short = make_clip(tmp_path / "short.avi", 3, 30)
    assert messages(set_length(short, 5)) == [f"{short}: has 3 of 5 frames"]  # two frames are few in any video
    assert messages(set_length(short, 6)) == [f"error: {short}: has 3 of 6 frames; {ADVICE}"]


def test_warning_is_a_python_warning(tmp_path, capfd):
    path = set_length(clip(tmp_path, "h264.avi"), N + 1)
    with pytest.warns(UserWarning, match=rf"has {N} of {N + 1} frames"):
        assert len(list(read_frames(path, 25, 16))) == N
    data = bytearray(path.read_bytes())
    data[len(data) // 2 :] = b"\xff" * (len(data) - len(data) // 2)
    path.write_bytes(data)
    assert messages(path)[0].startswith("error: ")
    assert capfd.readouterr() == ("", "")  # FFmpeg itself prints nothing


def test_frames_after_an_error_are_read(tmp_path):
    path = clip(tmp_path, "h264.mp4")
    data, offset = packets(path)[30]
    edit(path, (offset, bytes(len(data))))
    frames, line = videos.read(path)
    assert len(frames) == N * 30 // 25 and line.startswith(f"{path}: has {N - 1} of {N} frames")


@pytest.mark.parametrize("lost", [1, 2])
def test_b_frames_lost_at_the_end_of_matroska(tmp_path, lost):
    with av.open(str(tmp_path / "b.mkv"), "w") as container:
        stream = container.add_stream("mpeg4", rate=25, options={"bf": "2", "b_strategy": "0"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for k in range(22):  # I, P B B, P B B, ...
            picture = np.random.default_rng(k).integers(0, 256, (48, 64, 3), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    path = tmp_path / "b.mkv"
    assert messages(path) == []
    path.write_bytes(path.read_bytes()[: packets(path)[-lost][1]])
    assert messages(path) == [f"{path}: has {22 - lost} of 22 frames"]  # although the last P frame is present


def test_gap_in_matroska(tmp_path):
    path = clip(tmp_path, "mpeg4.mkv")
    data = path.read_bytes()
    frame = data.index(packets(path)[29][0])
    block = next(
        offset for offset in (frame - 7, frame - 8) if data[offset] == 0xA3
    )  # depends on the size field's length
    assert messages(edit(path, (block, b"\xec"))) == [f"{path}: has {N - 1} of {N} frames"]  # now a Void element
    path = clip(tmp_path, "h264.mkv")
    cluster = path.read_bytes().index(b"\x1f\x43\xb6\x75")
    (line,) = messages(edit(path, (cluster, b"\0")))  # the first cluster is not found
    assert line.startswith("error: ") and line.endswith(f" of {N} frames; {ADVICE}")


def test_impossible_times(tmp_path):
    path = clip(tmp_path, "h264.mkv")
    last = [pos for _, pos in packets(path)][-1]
    cluster = path.read_bytes().rindex(b"\x1f\x43\xb6\x75", 0, last)
    time = path.read_bytes().index(b"\xe7", cluster + 4)
    size = path.read_bytes()[time + 1] & 0x7F
    frames, line = videos.read(edit(path, (time + 2, b"\x7f" * size)))  # the last cluster begins much later
    assert "of them damaged (a frame stands behind the end)" in line
    assert len(frames) <= (N + 30) * 30 // 25


# intact videos that only look damaged


def not_coded(slot):
    """An MPEG-4 picture that repeats the previous one."""
    bits = 0b0101 << 12 | slot % 25 << 7 | 0b1001111
    return b"\0\0\1\xb6" + bits.to_bytes(2, "big")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """MPEG-4 pictures at 25 per second, without B frames, and with a B frame between every two others."""
    folder = tmp_path_factory.mktemp("pictures")
    plain = videos.make(folder / "plain.avi", "mpeg4", 25, {"g": "12"}, {}, False)
    b_frames = videos.make(folder / "b.avi", "mpeg4", 25, {"bf": "1", "b_strategy": "0"}, {}, False)
    return [data for data, _ in packets(plain)], [data for data, _ in packets(b_frames)]


@pytest.mark.parametrize("ending", ["avi", "mkv", "mp4"])
def test_repeated_pictures(tmp_path, pictures, ending):
    """For a picture that does not change, XviD writes an empty packet or none."""
    chunks = [(k, not_coded(k) if k % 10 == 9 else data) for k, data in enumerate(pictures[0])]
    path = mux(tmp_path / f"stay.{ending}", "mpeg4", chunks)
    frames, line = videos.read(path)
    assert line is None and len(frames) == N * 30 // 25
    if ending == "avi":
        path = mux(tmp_path / "slots.avi", "mpeg4", [chunk for k, chunk in enumerate(chunks) if k % 10 != 8])
        frames, line = videos.read(path)
        assert line is None and len(frames) == N * 30 // 25


def test_divx_packs_two_pictures_into_one_packet(tmp_path, pictures):
    chunks = []
    for slot, data in enumerate(pictures[1]):
        kind = data[data.index(b"\0\0\1\xb6") + 4] >> 6
        if kind == 2:  # a B frame goes into the previous packet, and its own packet is empty
            chunks[-1] = slot - 1, chunks[-1][1] + data
            data = not_coded(slot)
        chunks.append((slot, data))
    chunks[0] = 0, b"\0\0\1\xb2DivX503b1393p" + chunks[0][1]
    path = mux(tmp_path / "packed.avi", "mpeg4", chunks)
    assert messages(path) == []
    double = next(pos for data, pos in packets(path)[20:] if data.count(b"\0\0\1\xb6") == 2)
    assert messages(edit(path, (double + 12, b"\0" * 100)))  # damage must not be mistaken for repeated pictures


def test_hidden_pictures_of_vp8(tmp_path):
    source = videos.make(tmp_path / "source.webm", "libvpx", 25, {}, {}, False)
    chunks = []
    for slot, (data, _) in enumerate(packets(source)):
        if slot % 12 == 11:
            chunks.append((slot - 0.1, bytes([data[0] & ~0x10]) + data[1:]))
        chunks.append((slot, data))
    path = mux(tmp_path / "hidden.webm", "libvpx", chunks)
    assert len(packets(path)) == N + 5 and messages(path) == []


def test_edit_list_is_not_damage(tmp_path):
    path = clip(tmp_path, "h264.mp4")
    data = path.read_bytes()
    offset = data.index(b"elst") + 12
    _, start = struct.unpack(">Ii", data[offset : offset + 8])
    edit(path, (offset, struct.pack(">Ii", 1600, start + 6 * 512)))  # 40 frames, starting with the seventh
    frames, line = videos.read(path)
    assert line is None and len(frames) == 40 * 30 // 25
    edit(path, (offset, struct.pack(">Ii", 160, start)))
    assert messages(path) == [f"{path}: has 4 of 4 frames (an edit list shows only 4 of {N})"]


@pytest.mark.parametrize("ending", ["mp4", "mkv", "mov"])
def test_variable_rate_is_not_damage(tmp_path, ending):
    path = tmp_path / f"variable.{ending}"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"bf": "0"})
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        for k in (0, 1, 2, 6, 7, 8, 9, 15, 16, 17, 18, 19, 20):
            frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), 10 * k + 2, np.uint8), format="rgb24")
            frame.pts = k
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    assert messages(path) == []


def test_joined_program_streams(tmp_path):
    """The times restart in the middle, and no frame may be dropped because of that."""
    path = clip(tmp_path, "mpeg1.mpg")
    path.write_bytes(path.read_bytes() * 2)
    frames, line = videos.read(path)
    assert line is None and len(frames) == 2 * N * 30 // 25


def test_elementary_streams_and_live_recordings(tmp_path):
    path = tmp_path / "elementary.mpg"
    path.write_bytes(b"".join(data for data, _ in packets(clip(tmp_path, "mpeg2.mpg"))))
    assert messages(path) == []
    live = videos.make(tmp_path / "live.mkv", "libx264", 25, {}, {"live": "1"}, True)
    assert messages(live) == []
    fragmented = videos.make(
        tmp_path / "fragmented.mp4", "libx264", 25, {"g": "12"}, {"movflags": "frag_keyframe+empty_moov"}, False
    )
    assert messages(fragmented) == []


def test_clips_of_the_shared_folder():
    folder = Path(__file__).parents[2] / "shared" / "clips"
    if not folder.is_dir():
        pytest.skip("no folder of real clips beside the checkout")
    for path in sorted(folder.iterdir()):
        assert messages(path) == []


# headers


def test_headers(tmp_path):
    path = clip(tmp_path, "mpeg4.avi")
    rate = path.read_bytes().index(b"vids") + 24
    (line,) = messages(edit(path, (rate, struct.pack("<I", 2_000_000_000))))
    assert line.startswith(f"error: {path}: claims ") and "frames a second; expected 0.1 to 1000; " in line
    path = clip(tmp_path, "h264.mp4")
    (line,) = messages(edit(path, (path.read_bytes().index(b"avc1", path.read_bytes().index(b"stsd")), b"x")))
    advice = "copy or convert it again, or take it out"
    assert line == f"error: {path}: has a codec that FFmpeg does not know; {advice}"


def test_titles_that_are_not_utf8(tmp_path):
    with av.open(str(tmp_path / "title.avi"), "w") as container:
        container.metadata["title"] = "Cafe"
        stream = container.add_stream("mpeg4", rate=30)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        for k in range(3):
            picture = np.full((32, 32, 3), 4 * k + 2, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    path = tmp_path / "title.avi"
    edit(path, (path.read_bytes().index(b"Cafe"), b"Caf\xe9"))
    assert numbers(read_frames(path, 30, 16)) == [0, 1, 2]
