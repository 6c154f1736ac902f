"""Compares the videos of a named data set on this disk with data_lists/, and makes the lists again.

visual-attention lists ucf11 --root DIR/UCF11_updated_mpg

It says what is missing, extra, renamed or unreadable, then rebuilds the lists by the rules of data_lists/README.md and
compares them with data_lists/, or writes them with --out. The exit status is 1 where the disk agrees neither with
data_lists/ nor with lists that were written. data_lists/ has no lists of UCF-101: they are made from its official
files, with which the disk is compared.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from visual_attention.commands import command_line
from visual_attention.util.data_lists import read_video_lists
from visual_attention.util.data_sets import DATA_SETS, with_videos
from visual_attention.util.lists_on_disk import (
    DATA_LISTS,
    build_lists,
    compare_with_disk,
    differences,
    find_videos,
    read_official,
    select_videos,
    write_data_set_lists,
)


@dataclass(frozen=True)
class Options:
    data_set: Annotated[Literal[tuple(with_videos())], tyro.conf.Positional]
    """which data set"""
    root: Path
    """its folder: UCF11_updated_mpg; that of HMDB-51's 51 class folders; that of Hollywood2's AVIClips and ClipSets;
    UCF-101"""
    official: Path | None = None
    """folder of the official split files; where not given, testTrainMulti_7030_splits or ucfTrainTestlist in the root
    or beside it, or ClipSets in the root"""
    out: Path | None = None
    """write the lists below this folder, as below data_lists/, with the names that the videos have on this disk"""
    present_only: bool = False
    """with --out: write data_lists/ without the videos that are missing or unreadable here"""
    open: bool = False
    """decode the first frame of every video, too"""


def main(options=None):
    options = options or command_line.parse(Options, __doc__)
    if options.present_only and options.out is None:
        raise ValueError("--present-only makes lists other than data_lists/; say with --out where to write them")
    if options.out is not None and Path(options.out, options.data_set).exists():
        raise FileExistsError(f"{options.out / options.data_set}: is there already; choose another folder with --out")
    committed, class_names = {}, []
    data_set = DATA_SETS[options.data_set]
    in_data_lists = (DATA_LISTS / options.data_set).is_dir()
    on_disk = find_videos(options.data_set, options.root)
    official, no_official = None, None
    try:
        official = read_official(options.data_set, options.root, options.official)
    except (ValueError, OSError) as error:  # raised after the report, if that does not need the files
        if not in_data_lists:
            raise
        no_official = error
    if in_data_lists:
        for folder in data_set.list_folders:
            committed[folder], class_names = read_video_lists(DATA_LISTS / folder)
    else:
        names = data_set.files.official_names(official)
        committed, class_names = build_lists(options.data_set, names, official)
    listed = {name for parts in committed.values() for lists in parts.values() for name in lists.filenames}
    unused = data_set.files.unused_names(official) if official else ()
    comparison = compare_with_disk(listed, on_disk, options.root, unused, options.open)
    print(comparison.report(), flush=True)

    if options.present_only:
        present = {name: here for name, here in comparison.present.items() if name not in comparison.unreadable}
        lists = select_videos(committed, present)
        write_data_set_lists(options.out, options.data_set, lists, class_names)
        print(f"written to {options.out}: the {len(present)} videos here; results on them are not Table 1's")
        return
    if no_official:
        raise no_official
    if comparison.disagreements:
        raise ValueError(f"lists and disk do not agree: {comparison.disagreements}; no lists made")
    lists, changed = committed, []
    if in_data_lists:
        lists, class_names = build_lists(options.data_set, comparison.present, official)
        changed = differences(lists, committed)
        print(f"made again: {', '.join(changed) + ' differ from' if changed else 'same as'} data_lists")
    else:
        print("made from the official files; data_lists has none to compare with")
    if options.out is not None:
        lists = select_videos(lists, comparison.present)
        write_data_set_lists(options.out, options.data_set, lists, class_names)
        print(f"written to {options.out}")
    elif changed:
        raise ValueError(f"{', '.join(changed)}: not as in {DATA_LISTS}; see what is written with --out DIR")
    elif comparison.renamed:
        raise ValueError(
            f"lists and disk do not agree: {len(comparison.renamed)} renamed; "
            "--out DIR writes lists with the names that the videos have here"
        )
