"""Draws where a trained model looked: a PNG strip and a movie of one video, as in the paper's Figs. 1 and 4.

python scripts/draw_attention.py runs/embedded/attention_mlp_lambda0/seed0 --video walk/test_003
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from visual_attention import command_line, pictures, run_folder
from visual_attention.model import trained_model
from visual_attention.training import check_data, load_part
from visual_attention.util import drawing


@dataclass(frozen=True)
class Arguments:
    run: Annotated[Path, tyro.conf.Positional]
    """folder of a run"""
    video: str
    """a name in <part>_filename.txt"""
    data: Path | None = None
    """folder of its data set, if it is no longer where the run was trained"""
    part: Literal["train", "valid", "test"] = "test"
    """which list the video is in"""
    out: Path | None = None
    """folder of the pictures; the run's if not given"""
    tiles: int = 8
    """frames in the strip"""
    movie: Literal["gif", "mp4", "none"] = "gif"
    """kind of movie; mp4 needs PyAV: pip install .[extract]"""


def main():
    arguments = tyro.cli(Arguments, description=__doc__)
    options, folder = run_folder.load_options(arguments.run)
    data = load_part(arguments.data or folder, arguments.part, options)
    check_data(options, data)
    if arguments.video not in data.lists.filenames:
        raise ValueError(
            f"{data.folder}/{arguments.part}_filename.txt: names no video {arguments.video!r}; "
            f"expected one of its lines, such as {data.lists.filenames[0]!r}"
        )
    model = trained_model(arguments.run, data.table.dtype)
    seen = pictures.see(model, data, data.lists.filenames.index(arguments.video))
    out = arguments.out or arguments.run
    out.mkdir(parents=True, exist_ok=True)
    stem = out / arguments.video.replace("/", "_")
    seen.strip(arguments.tiles).save(f"{stem}.png")
    print(f"{seen.caption}\n{stem}.png")
    if arguments.movie != "none":
        drawing.write_movie(f"{stem}.{arguments.movie}", seen.movie(), options.fps)
        print(f"{stem}.{arguments.movie}")


if __name__ == "__main__":
    command_line.run(main)
