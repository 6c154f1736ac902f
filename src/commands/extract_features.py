"""Turns videos into a data set: frame tables of a pretrained network's cubes, and the lists beside them.

    visual-attention extract --videos DIR --out DIR --extractor efficientnet-lite0

DIR of --videos holds a subfolder of videos for every class, or videos alone, each then a class of its own; or, with
--lists, whatever the names in the lists start from. A killed extraction goes on with the same command.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from visual_attention.commands import command_line
from visual_attention.experiment import budget
from visual_attention.util.data_sets import with_videos
from visual_attention.util.entries import entries_of_folders, entries_of_lists
from visual_attention.util.extractors import EXTRACTORS, FAMILIES, find_extractor, list_networks, top5
from visual_attention.util.features import check_features, check_numbers, default_workers, extract, network_rate
from visual_attention.util.lists_on_disk import DATA_LISTS
from visual_attention.util.metrics import grid_side


@dataclass(frozen=True)
class Options:
    extractor: str | None = None
    """pretrained network: googlenet, efficientnet-lite0, timm:NAME or hub:OWNER/REPO:NAME; docs/features.md says what
    their cubes are and how to choose"""
    videos: Path | None = None
    """folder of class subfolders with videos, or of videos, or that the lists' names start from"""
    out: Path | None = None
    """folder to write; a finished one is checked only"""
    lists: Path | None = None
    """ucf11, hmdb51 or hollywood2: the lists of data_lists/, which are installed too; or a folder of lists,
    {train,valid,test}_{filename,labels}.txt and class_names.txt, or of such folders split1, split2, …; without, videos
    are split as --split says"""
    fps: int = 30
    """frames a second to take"""
    split: Literal["auto", "time", "video"] = "auto"
    """time: every video cut in three; video: whole videos, in sorted order; auto: video where all classes have 3"""
    fractions: tuple[float, float, float] = (0.6, 0.2, 0.2)
    """shares of train, valid and test, of each video or of each class's videos"""
    on_error: Literal["stop", "skip"] = "stop"
    """a video that cannot be read: stop, or go on without it and tell so in the end and in skipped.txt"""
    workers: int | None = None
    """processes, each with its copy of the network on one core; if not given, as many as cores, or 1 with a GPU"""
    cluster: str | None = None
    """address of a Dask scheduler, tcp://host:8786, whose workers do it and see the same files"""
    layer: str | None = None
    """a stage or block of a network of timm or the hub, such as blocks.5 (a wrong name lists them); without, the last
    map"""
    hub_repo: Path | None = None
    """googlenet and hub:OWNER/REPO:NAME offline: local copy of torch hub's repository, pytorch/vision:v0.15.2 or
    OWNER/REPO"""
    weights: Path | None = None
    """weights file (state dict) instead of the pretrained download"""
    layers: Literal[1, 2] = 1
    """2: write a second, finer layer of the network, too; docs/two_resolutions.md"""
    batch_size: int = 8
    """frames the network sees at once; on a processor few are fastest, on a GPU many"""
    dtype: Literal["float16", "float32"] = "float16"
    """precision of the frame table"""
    layout: Literal["location", "released"] = "location"
    """order of a frame's numbers: by location, or as the released program reads them"""
    top5: Path | None = None
    """only print the five likeliest ImageNet classes of this picture, to check weights"""
    list: str | None = None
    """timm: only print its networks that can be extractors"""


def main(options=None):
    options = options or command_line.parse(Options, __doc__)
    if options.list:
        print(*list_networks(options.list), sep="\n")
        return
    if options.extractor is None:
        raise ValueError(f"expected --extractor NAME, one of {', '.join([*EXTRACTORS, *FAMILIES.values()])}")
    network = options.extractor, options.hub_repo, options.weights, options.layer, options.layers
    if options.top5:
        extractor = find_extractor(*network)
        for number, name, probability in top5(extractor, options.top5):
            print(f"{number:4d}  {100 * probability:5.1f} %  {name or ''}".rstrip())
        return
    if options.videos is None or options.out is None:
        raise ValueError("expected --videos DIR and --out DIR, or --top5 PICTURE")
    check_numbers(options.fps, options.batch_size, options.workers)  # before `default_workers`, which needs torch
    if options.lists:
        shipped = str(options.lists) in with_videos() and not options.lists.is_dir()
        lists = DATA_LISTS / options.lists if shipped else options.lists
        if shipped and not lists.is_dir():
            raise FileNotFoundError(
                f"data_lists has no lists of {options.lists}; make them from its official files: visual-attention "
                f"lists {options.lists} --root DIR --out LISTS; then give --lists LISTS/{options.lists}"
            )
        entries, class_names = entries_of_lists(lists, options.videos)
    else:
        entries, class_names = entries_of_folders(options.videos, options.split, options.fractions)
    extractor = find_extractor(*network)  # after the videos, for a family's network is loaded here
    n_videos = len({entry.path for entry in entries})
    print(f"{n_videos} videos of {len(class_names)} classes", flush=True)
    sides = [(grid_side(n_locations), depth) for n_locations, depth in extractor.shapes]
    cube = " and ".join(f"{K} × {K} × {depth}" for K, depth in sides)
    mb = budget.second_mb(extractor, options.fps, options.dtype)
    print(f"a second of video: {options.fps} cubes of {cube} in {options.dtype}, {mb:.1f} MB", flush=True)
    if options.cluster is None:
        workers = options.workers or default_workers(n_videos)
        needed, free = budget.extraction_gb(workers, options.batch_size, extractor), budget.available_gb(Path())[0]
        print(f"{workers} worker(s): about {needed:.1f} GB of memory ({free:.1f} free)", flush=True)
    n_frames, seconds, processes, warnings = extract(
        entries,
        options.out,
        options.videos,
        class_names,
        extractor,
        fps=options.fps,
        batch_size=options.batch_size,
        dtype=options.dtype,
        layout=options.layout,
        on_error=options.on_error,
        workers=options.workers,
        cluster=options.cluster,
    )
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)
    for part, (n, frames) in check_features(options.out).items():
        print(f"{part}: {n} entries, {frames} frames")
    if not n_frames:
        print(f"{options.out} was finished already")
        return
    print(f"{n_frames} frames at {n_frames / seconds:.1f} frames/s", end="")
    if processes == 1:
        rate, n = network_rate(entries, extractor, options.fps, options.batch_size)
        print(f"; the network alone {rate:.1f} frames/s on {n} of them", end="")
    print(f"\nwritten to {options.out}")
