"""The files of the data set: frame tables, lists, boxes."""

import json
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ..data_lists import PARTS, write_class_names, write_lists
from ..files import new_folder, read_file, write_file, write_sums
from ..frame_table import FrameTableWriter
from ..workers import worker_pool
from .cubes import DEPTH, FINE_GRID, GRID, extract_cubes
from .movement import ACTIONS
from .videos import DEFAULT, FPS, render_video, video_name

MEND = "delete the folder and start the same command again"
VERSION = 2  # of the look and the features; part of dataset.json, so that files of an older version are not mistaken

# For training, validation and test. Test videos cost only their rendering and a little evaluation. With 320 in all and
# five seeds, the 95 % interval of a difference between two models is some 10 points wide.
VIDEOS_PER_CLASS = (40, 12, 40)


def _make_video(seed, difficulty, grids, name):
    frames, boxes = render_video(seed, name, difficulty)
    return [extract_cubes(frames, grid) for grid in grids], boxes


def make_embedded(folder, seed=0, videos_per_class=VIDEOS_PER_CLASS, workers=None, fine=False, difficulty=DEFAULT):
    """Writes the data set into `folder`, unless the folder holds exactly this one already. Returns the folder.

    It holds, for each part, `<part>_features.h5`, `_framenum.txt`, `_filename.txt`, `_labels.txt` and `_boxes.npy`
    (n_frames, 4); and `class_names.txt` and `dataset.json`. The same seed and numbers give the same bytes, whatever the
    number of workers (default: one per core). ValueError: the folder holds something else.

    fine: frame tables get a second layer, cubes of the same features on a grid of 14 x 14. What is not the default in
    `difficulty` is in dataset.json, too.
    """
    folder = Path(folder)
    about = {"name": "embedded", "source": "embedded", "version": VERSION, "seed": seed}
    about |= {"videos_per_class": list(videos_per_class)} | ({"fine": True} if fine else {})
    about |= {name: value for name, value in asdict(difficulty).items() if value != getattr(DEFAULT, name)}
    about = json.dumps(about) + "\n"
    grids = (GRID, FINE_GRID) if fine else (GRID,)
    if _exists(folder, about):
        return folder
    names = {
        part: [video_name(part, number, action) for action in ACTIONS for number in range(count)]
        for part, count in zip(PARTS, videos_per_class, strict=True)
    }
    with new_folder(folder, f"{folder}.part") as building:
        with (
            worker_pool(workers) as pool,
            tqdm(total=sum(map(len, names.values())), desc="embedded data set", unit="video", disable=None) as bar,
        ):
            videos = pool.map(partial(_make_video, seed, difficulty, grids), sum(names.values(), []))
            for part in PARTS:
                boxes = []
                path, second = building / f"{part}_features.h5", (FINE_GRID**2, DEPTH) if fine else None
                with FrameTableWriter(path, GRID**2, DEPTH, "released", "float32", {"fps": FPS}, second) as table:
                    for _ in names[part]:
                        cubes, video_boxes = next(videos)
                        table.append(*cubes)
                        boxes.append(video_boxes)
                        bar.update()
                write_file(building / f"{part}_boxes.npy", partial(np.save, arr=np.concatenate(boxes)))
                labels = [ACTIONS.index(name.split("/")[0]) for name in names[part]]
                write_lists(building, part, names[part], [len(b) for b in boxes], labels)
        write_class_names(building, ACTIONS)
        write_file(building / "dataset.json", about.encode())
        write_sums(building, [path.name for path in building.iterdir() if path.suffix != ".h5"])
    return folder


def _exists(folder, about):
    """Whether the folder holds this data set completely. ValueError: it holds anything else."""
    if not folder.exists() or folder.is_dir() and not any(folder.iterdir()):
        return False
    endings = ("features.h5", "framenum.txt", "filename.txt", "labels.txt", "boxes.npy")
    files = ["class_names.txt", "dataset.json"] + [f"{part}_{ending}" for part in PARTS for ending in endings]
    missing = [name for name in files if not (folder / name).is_file()]
    content = f"it lacks {', '.join(missing)}"
    if not missing:
        content = read_file(folder / "dataset.json", MEND).decode(errors="replace")
    if content != about:
        raise ValueError(
            f"{folder}: exists, but is not the data set asked for, {about.strip()}; found: {content.strip()[:200]}. "
            "Delete it or choose another folder"
        )
    return True
