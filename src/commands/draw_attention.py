"""Draws where a trained model looks: a PNG strip and a movie of one video, as in the paper's Figs. 1 and 4.

visual-attention draw runs/embedded/attention_mlp_lambda0/seed0 --video walk/test_003
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from visual_attention.commands import command_line
from visual_attention.experiment import run_folder
from visual_attention.experiment.data import check_data, load_part
from visual_attention.experiment.parameters import trained_model
from visual_attention.presentation import pictures
from visual_attention.util import drawing

MOST_TILES = 100  # in a strip; each is 128 pixels wide


@dataclass(frozen=True)
class Arguments:
    run: Annotated[Path, tyro.conf.Positional]
    """folder of a run"""
    video: str
    """a name in <part>_filename.txt"""
    data: Path | None = None
    """folder of its data set, if it has moved since the training"""
    part: Literal["train", "valid", "test"] = "test"
    """the list that contains the video"""
    out: Path | None = None
    """folder for the pictures; by default the run's"""
    tiles: int = 8
    """frames in the strip"""
    movie: Literal["gif", "webp", "mp4", "none"] = "gif"
    """format of the movie; webp is small; mp4 needs PyAV: pip install .[extract]"""


def main():
    arguments = command_line.parse(Arguments, __doc__)
    if not 1 <= arguments.tiles <= MOST_TILES:
        raise ValueError(f"option --tiles is {arguments.tiles}; expected 1 to {MOST_TILES}")
    options, folder = run_folder.load_options(arguments.run)
    data = load_part(arguments.data or folder, arguments.part, options)
    check_data(options, data)
    if arguments.video not in data.lists.filenames:
        raise ValueError(
            f"{data.folder}/{arguments.part}_filename.txt: names no video {arguments.video!r}; "
            f"expected one of its lines, such as {data.lists.filenames[0]!r}"
        )
    out = arguments.out or arguments.run
    if out.exists() and not out.is_dir():
        raise ValueError(f"option --out is {out}, a file; expected a folder, or a new one")
    model = trained_model(arguments.run, data.table.dtype)
    k = data.lists.filenames.index(arguments.video)
    watched = pictures.watch_video(model, data, k, pictures.read_frames(data, k))
    stem = out / drawing.file_stem(arguments.video)
    out.mkdir(parents=True, exist_ok=True)
    drawing.save(watched.strip(arguments.tiles), f"{stem}.png")
    print(f"{watched.caption}\n{stem}.png")
    if arguments.movie != "none":
        drawing.write_movie(f"{stem}.{arguments.movie}", watched.movie(), options.fps)
        print(f"{stem}.{arguments.movie}")
