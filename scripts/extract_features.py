"""Turns a folder of videos into a data set: frame tables of a pretrained network's cubes, and the lists beside them.

    python scripts/extract_features.py --videos DIR --out DIR --extractor efficientnet-lite0

DIR holds a subfolder of videos for every class, or videos alone, each then a class of its own.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from visual_attention import command_line
from visual_attention.util.features import Entry, extract, load_extractor
from visual_attention.util.video import EXTENSIONS

PARTS = ("train", "valid", "test")


@dataclass(frozen=True)
class Options:
    videos: Path
    """folder of class subfolders with videos, or of videos"""
    out: Path
    """folder to write; must not be there yet"""
    extractor: Literal["googlenet", "efficientnet-lite0"]
    """network: 7 x 7 x 1024 or 7 x 7 x 1280"""
    fps: int = 30
    """frames a second to take"""
    split: Literal["auto", "time", "video"] = "auto"
    """time: every video cut in three; video: whole videos, in sorted order; auto: video where all classes have 3"""
    fractions: tuple[float, float, float] = (0.6, 0.2, 0.2)
    """shares of train, valid and test, of each video or of each class's videos"""
    hub_repo: Path | None = None
    """googlenet offline: local copy of torch hub's pytorch/vision:v0.15.2"""
    weights: Path | None = None
    """weights file (state dict) instead of the pretrained download"""
    batch_size: int = 8
    """frames the network sees at once; on a processor few are fastest, on a GPU many"""
    dtype: Literal["float16", "float32"] = "float16"
    """precision of the frame table"""
    layout: Literal["location", "released"] = "location"
    """order of a frame's numbers: by location, or as the released program reads them"""


def main(options):
    if min(options.fractions) <= 0 or abs(sum(options.fractions) - 1) > 1e-6:
        raise ValueError(f"fractions are {options.fractions}; expected three positive numbers that add up to 1")
    if options.batch_size < 1:
        raise ValueError(f"batch size is {options.batch_size}; expected at least 1")
    classes = find_videos(options.videos)
    fewest = min(classes, key=lambda name: len(classes[name]))
    split = options.split
    if split == "auto":
        split = "video" if len(classes[fewest]) >= 3 else "time"
    if split == "video" and len(classes[fewest]) < 3:
        raise ValueError(
            f"{options.videos}: class {fewest} has fewer than 3 videos, a train, a valid and a test one; "
            "add some, or cut each video with --split time"
        )
    print(f"{sum(map(len, classes.values()))} videos of {len(classes)} classes, split by {split}", flush=True)
    entries = make_entries(options.videos, classes, split, options.fractions)
    extractor = load_extractor(options.extractor, options.hub_repo, options.weights)
    records = extract(
        entries,
        options.out,
        options.videos,
        list(classes),
        extractor,
        options.fps,
        options.batch_size,
        options.dtype,
        options.layout,
    )
    for part in PARTS:
        frames = [record["n_frames"] for record in records if record["part"] == part]
        print(f"{part}: {len(frames)} entries, {sum(frames)} frames")
    print(f"written to {options.out}")


def find_videos(folder):
    """{class name: its videos}, both sorted; ValueError or FileNotFoundError where there is nothing to find."""
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder; expected class subfolders with videos, or videos")
    direct = [path for path in sorted(folder.iterdir()) if is_video(path)]
    inside = {
        sub.name: [path for path in sorted(sub.rglob("*")) if is_video(path)]
        for sub in sorted(folder.iterdir())
        if sub.is_dir()
    }
    inside = {name: videos for name, videos in inside.items() if videos}
    if direct and inside:
        raise ValueError(f"{folder}: has videos ({direct[0].name}) beside subfolders with videos; keep either")
    if not direct and not inside:
        raise ValueError(f"{folder}: has no videos; expected names that end in {', '.join(EXTENSIONS)}")
    classes = inside or {path.stem: [path] for path in direct}
    if len(classes) < len(inside or direct):
        raise ValueError(f"{folder}: has two videos of one name, different only in the ending; rename one")
    return classes


def is_video(path):
    return path.suffix.lower() in EXTENSIONS and path.is_file() and not path.name.startswith(".")


def make_entries(folder, classes, split, fractions):
    """Entries in order of class and video. Neighbours in sorted order, often of one scene, mostly share a part."""
    edges = (0, fractions[0], fractions[0] + fractions[1], 1)
    entries = []
    for label, videos in enumerate(classes.values()):
        n = len(videos)
        first_valid = min(max(round(edges[1] * n), 1), n - 2)
        first_test = min(max(round(edges[2] * n), first_valid + 1), n - 1)
        for k, path in enumerate(videos):
            name = path.relative_to(folder).as_posix()
            if split == "video":
                part = PARTS[(k >= first_valid) + (k >= first_test)]
                entries.append(Entry(name, part, path, label))
            else:
                for part, start, stop in zip(PARTS, edges, edges[1:], strict=False):
                    entries.append(Entry(f"{name}#{part}", part, path, label, start, stop))
    return entries


if __name__ == "__main__":
    command_line.run(main, tyro.cli(Options, description=__doc__))
