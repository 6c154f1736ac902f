"""From videos to a data set's folder: frame tables of a network's cubes, the lists beside them, and their origin.

Every video is decoded once and becomes a piece, a frame table of its own in `<out>.partial/videos`; the tables are made
of the pieces in the end, and the folder is renamed to `<out>` last. What is in `<out>.partial` is whole at any moment,
so that a killed extraction goes on where it was.
"""

import hashlib
import json
import os
import shutil
import time
import uuid
from collections import defaultdict
from contextlib import closing
from itertools import islice
from pathlib import Path

import numpy as np
from tqdm import tqdm

from .cluster import run_tasks
from .data_handler import read_ahead
from .data_lists import PARTS, read_lists, write_class_names, write_lists
from .entries import by_video
from .extractors import SIZE, gpu_is_there
from .frame_table import FrameTable, FrameTableWriter, flush_to_disk, write_virtual_table
from .video import read_frames
from .workers import n_cores, only_process

BLOCK = 256  # frames copied at once from a piece to a table
OPTIONS = {  # settings, and how a message calls them
    "videos": "--videos",
    "extractor": "--extractor",
    "weights": "weights (SHA-256)",
    "fps": "--fps",
    "size": "frame size",
    "dtype": "--dtype",
    "layout": "--layout",
    "batch_size": "--batch-size",
    "entries": "the lists (names, labels, parts) as a digest",
}


def extract(
    entries,
    out,
    root,
    class_names,
    extractor,
    fps=30,
    batch_size=8,
    dtype="float16",
    layout="location",
    on_error="stop",
    workers=None,
    cluster=None,
    progress=True,
):
    """Writes the folder `out` of a data set, or goes on with it, or only checks a finished one.

    It holds, for every part, `<part>_features.h5` and `<part>_{filename,framenum,labels}.txt`; class_names.txt;
    dataset.json, which says how the frames were made and which of them an entry has; settings.json; and skipped.txt if
    videos were. Entries of several folders (splits, whose videos overlap) get these in subfolders, where the tables are
    HDF5 virtual datasets onto one `videos_features.h5` beside them.

    on_error: what becomes of a video that cannot be read: stop (ValueError, OSError) or skip (no list has it).
    workers, cluster: as of `run_tasks`; the result is the same to the bit on processors of one kind. Without either,
    a process a core, or this one alone where there is a GPU.

    Returns the number of frames made by this call, the seconds that took, the processes that did it (None: a cluster),
    and warnings, a line each.
    FileExistsError: `out` or `<out>.partial` was made with other settings, or is something else. ValueError, OSError:
    a video cannot be read; a part has no videos left; no space.
    """
    if not 0 < fps < float("inf"):
        raise ValueError(f"fps is {fps}; expected a positive number of frames a second")
    for name, value in {"batch size": batch_size, "number of workers": workers}.items():
        if value is not None and value < 1:
            raise ValueError(f"{name} is {value}; expected at least 1")
    out, root = Path(out).resolve(), Path(root).resolve()
    settings = {"videos": str(root), "extractor": extractor.name, "weights": extractor.weights_digest(), "fps": fps}
    settings |= {"size": SIZE, "dtype": dtype, "layout": layout, "batch_size": batch_size}
    settings["entries"] = _digest(entries, root, class_names)
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        _check_settings(out, settings, "remove it or choose another folder")
        shutil.rmtree(out / "videos", ignore_errors=True)  # a process killed in its last moment leaves it
        check_features(out)
        return 0, 0.0, None, []

    partial = out.with_name(f"{out.name}.partial")
    partial.mkdir(parents=True, exist_ok=True)
    with only_process(partial, "extracting features to it"):
        if set(os.listdir(partial)) - {".lock", "settings.json.part"}:
            _check_settings(partial, settings, "give the former options, or remove it to begin anew")
        else:
            _write(partial / "settings.json", json.dumps(settings, indent=1) + "\n")
        videos = by_video(entries)
        began = time.monotonic()
        if cluster is not None:
            workers = None
        elif workers is None:
            workers = 1 if gpu_is_there() else min(n_cores(), len(videos))
        records, new_frames = _make_pieces(
            videos, partial / "videos", extractor, fps, batch_size, dtype, on_error, workers, cluster, progress
        )
        seconds = time.monotonic() - began
        warnings = _report_skipped(partial, entries, records, class_names)
        records = {path: record for path, record in records.items() if "error" not in record}
        entries = [entry for entry in entries if entry.path in records]
        _make_tables(entries, records, partial, extractor, fps, dtype, layout, progress)
        _write_descriptions(entries, records, partial, out, root, class_names, fps, extractor)
        check_features(partial)
        (partial / ".lock").unlink()
        os.rename(partial, out)
    shutil.rmtree(out / "videos")
    return new_frames, seconds, workers, warnings


def _digest(entries, root, class_names):
    lines = [
        [e.folder, e.part, e.name, os.path.relpath(e.path.resolve(), root), e.label, e.start, e.stop] for e in entries
    ]
    return hashlib.sha256(json.dumps([lines, class_names]).encode()).hexdigest()[:16]


def _check_settings(folder, settings, advice):
    path = folder / "settings.json"
    if not path.is_file():
        raise FileExistsError(f"{folder}: is there already, and scripts/extract_features.py has not made it; {advice}")
    former = json.loads(path.read_text(encoding="utf-8"))
    for key, name in OPTIONS.items():
        if former.get(key) != settings[key]:
            raise FileExistsError(f"{folder}: was made with {name} {former.get(key)}, not {settings[key]}; {advice}")


def _write(path, text, attempt="part"):
    """A file under its name only when whole and on the disk. attempt: ending meanwhile, which no other process uses."""
    part = path.with_name(f"{path.name}.{attempt}")
    part.write_text(text, encoding="utf-8")
    flush_to_disk(part)
    os.replace(part, path)


# ---------------------------------------------------------------- a video: decoded, through the network, a piece


def extract_video(path, number, folder, cuts, extractor, fps, batch_size, dtype, skip):
    """Makes the piece of a video, `<number>.h5` in `folder`, and its record, `<number>.json`, which it returns.

    A record has the frames' number or, where the video cannot be read and `skip` is set, the error; it is written last.
    cuts: (start, stop) of each entry, shares of the video, none of which may come out empty.
    """
    record = {"number": number} | _fingerprint(path)
    attempt, n = uuid.uuid4().hex, 0  # a former attempt may not be quite dead
    piece = folder / f"{number:06}.{attempt}.h5"
    batches = read_ahead(_batches(read_frames(path, fps, SIZE), batch_size), depth=4)
    with closing(batches), FrameTableWriter(piece, extractor.n_locations, extractor.depth, dtype=dtype) as table:
        while True:
            try:
                frames = next(batches, None)
                if frames is None and any(round(start * n) == round(stop * n) for start, stop in cuts):
                    raise ValueError(f"{path}: has {n} frames, too few for {len(cuts)} parts; take it out")
            except (ValueError, OSError) as error:  # of the video; those of the network and the disk are not caught
                if not skip:
                    raise
                record["error"] = str(error)
                break
            if frames is None:
                break
            with np.errstate(over="ignore"):  # said below
                cubes = extractor(frames).astype(dtype)
            if not np.isfinite(cubes).all():
                raise ValueError(f"{path}: features of frames {n} to {n + len(cubes)} are not finite in {dtype}")
            table.append(cubes)
            n += len(cubes)
    if "error" in record:
        piece.unlink()
    else:
        record["n_frames"] = n
        os.replace(piece, _piece(folder, record))
    _write(folder / f"{number:06}.json", json.dumps(record), attempt)
    return record


def _batches(frames, batch_size):
    while batch := list(islice(frames, batch_size)):
        yield np.stack(batch)


def _fingerprint(path):
    if not path.is_file():
        return {"size": 0, "mtime_ns": 0}
    status = path.stat()
    return {"size": status.st_size, "mtime_ns": status.st_mtime_ns}


def _make_pieces(videos, folder, extractor, fps, batch_size, dtype, on_error, workers, cluster, progress):
    """Makes the pieces that are not there yet; returns {path: record} of all videos and the number of new frames."""
    folder.mkdir(exist_ok=True)
    assembling = any(folder.parent.glob("**/*_features.h5"))
    records, tasks = {}, []
    for number, (path, entries) in enumerate(videos.items()):
        record = _finished(folder / f"{number:06}.json", path, on_error, assembling)
        if record:
            records[path] = record
        else:
            cuts = [(entry.start, entry.stop) for entry in entries]
            tasks.append((path, number, folder, cuts, extractor, fps, batch_size, dtype, on_error == "skip"))
    for left in folder.iterdir():  # of killed attempts
        if not (left.stem.isdigit() and left.suffix in (".h5", ".json")):
            left.unlink()

    paths, new_frames, began = list(videos), 0, time.monotonic()
    bar = tqdm(total=len(videos), initial=len(records), unit="video", disable=None if progress else True)
    with bar, closing(run_tasks(extract_video, tasks, cluster, workers)) as results:
        for record in results:
            records[paths[record["number"]]] = record
            new_frames += record.get("n_frames", 0)
            bar.set_postfix_str(f"{new_frames / (time.monotonic() - began):.1f} frames/s", refresh=False)
            bar.update()
    return records, new_frames


def _finished(record_path, path, on_error, assembling):
    """The record of a video that is done; None if it is to be done."""
    if not record_path.is_file():
        return None
    record, now = json.loads(record_path.read_text(encoding="utf-8")), _fingerprint(path)
    changed = {key: record[key] for key in now} != now
    if "error" in record and (changed or on_error == "stop") and not assembling:
        return None
    if changed and path.is_file():
        raise FileExistsError(
            f"{path}: has changed since its features were made; remove {record_path.parent.parent} to begin anew"
        )
    return record


# ---------------------------------------------------------------- pieces to tables


def _report_skipped(partial, entries, records, class_names):
    """Writes skipped.txt; warnings about it. ValueError where a part has no video left."""
    skipped = {path: record["error"] for path, record in records.items() if "error" in record}
    listed = partial / "skipped.txt"
    _write(listed, "".join(f"{path}\t{' '.join(error.split())}\n" for path, error in skipped.items()))
    if not skipped:
        listed.unlink()
        return []
    warnings = [f"{len(skipped)} of {len(records)} videos skipped, see skipped.txt"]
    for table, own in _by_table(entries).items():
        before, after = _classes(own), _classes(entry for entry in own if entry.path not in skipped)
        if all(entry.path in skipped for entry in own):
            raise ValueError(
                f"{table}: none of its {len(own)} videos can be read (see {listed}); mend them or change the lists"
            )
        lost = [class_names[k] if k < len(class_names) else str(k) for k in sorted(before - after)]
        if lost:
            warnings.append(f"{table}: no video is left of class {', '.join(lost)}")
    return warnings


def _classes(entries):
    classes = set()
    for entry in entries:
        classes |= set(np.flatnonzero(entry.label).tolist()) if isinstance(entry.label, tuple) else {entry.label}
    return classes


def _by_table(entries):
    tables = defaultdict(list)
    for entry in entries:
        tables[entry.table].append(entry)
    return tables


def _make_tables(entries, records, partial, extractor, fps, dtype, layout, progress):
    """The frame tables of all parts. Pieces go as soon as the tables made of them are on the disk."""
    attributes = {"extractor": extractor.name, "fps": fps}
    rows = {  # table -> (path, first frame, frames) of each entry
        table: [(entry.path, *_frames(entry, records)) for entry in own] for table, own in _by_table(entries).items()
    }
    several = len({entry.folder for entry in entries}) > 1
    virtual = rows if several else {}
    if several:
        rows = {"videos": [(path, 0, record["n_frames"]) for path, record in sorted(records.items())]}
    last_use = {path: table for table, own in rows.items() for path, _, _ in own}
    for table, own in rows.items():
        path = partial / f"{table}_features.h5"
        if not path.is_file():
            _check_space(path, sum(n for _, _, n in own) * extractor.n_locations * extractor.depth, dtype)
            with FrameTableWriter(path, extractor.n_locations, extractor.depth, layout, dtype, attributes) as writer:
                for video, first, n in tqdm(own, f"{table} table", unit="video", disable=None if progress else True):
                    _copy(_piece(partial / "videos", records[video]), first, n, writer)
        for video, _, _ in own:
            if last_use[video] == table:
                _piece(partial / "videos", records[video]).unlink(missing_ok=True)

    starts, end = {}, 0  # of each video in the real table
    for video, _, n in rows["videos"] if several else []:
        starts[video], end = end, end + n
    for table, own in virtual.items():
        path = partial / f"{table}_features.h5"
        path.parent.mkdir(exist_ok=True)
        spans = [(starts[video] + first, n) for video, first, n in own]
        write_virtual_table(path, partial / "videos_features.h5", spans)


def _piece(folder, record):
    return folder / f"{record['number']:06}.h5"


def _frames(entry, records):
    """The entry's first frame in its video, and how many it has."""
    n = records[entry.path]["n_frames"]
    first = round(entry.start * n)
    return first, round(entry.stop * n) - first


def _copy(piece, first, n, writer):
    table = FrameTable(piece)
    for start in range(first, first + n, BLOCK):
        writer.append(table.read(start, min(start + BLOCK, first + n)))
    table.close()


def _check_space(path, numbers, dtype):
    needed = numbers * np.dtype(dtype).itemsize
    free = shutil.disk_usage(path.parent).free
    if free < needed:
        raise OSError(
            f"{path}: needs {needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free; free space and start the same "
            "command again, finished videos are kept"
        )


# ---------------------------------------------------------------- lists and descriptions


def _write_descriptions(entries, records, partial, out, root, class_names, fps, extractor):
    """Lists, class_names.txt and dataset.json, in every folder."""
    for own in _by_table(entries).values():
        columns = zip(*((e.name, _frames(e, records)[1], e.label) for e in own), strict=True)
        write_lists(partial / own[0].folder, own[0].part, *map(list, columns))
    for folder in dict.fromkeys(entry.folder for entry in entries):
        about = {"name": "/".join(filter(None, (out.name, folder))), "source": "videos", "root": str(root), "fps": fps}
        about |= {"size": SIZE, "extractor": extractor.name, "videos": []}
        for entry in entries:
            if entry.folder == folder:
                path, (first, n) = entry.path.resolve(), _frames(entry, records)
                path = path.relative_to(root) if path.is_relative_to(root) else path
                record = {"name": entry.name, "part": entry.part, "path": path.as_posix()}
                about["videos"].append(record | {"first_frame": first, "n_frames": n})
        write_class_names(partial / folder, class_names)
        _write(partial / folder / "dataset.json", json.dumps(about, indent=1, ensure_ascii=False) + "\n")


def check_features(folder):
    """{table: (videos, frames)} of an extracted folder, tables named as `train` or `split1/train`.

    ValueError, FileNotFoundError: a list or table is missing or broken, or they do not agree.
    """
    found = {}
    for path in sorted(Path(folder).glob("**/dataset.json")):
        about = json.loads(path.read_text(encoding="utf-8"))
        parts = dict.fromkeys(video["part"] for video in about["videos"])
        for part in sorted(parts, key=PARTS.index):
            lists, table = read_lists(path.parent, part), FrameTable(path.parent / f"{part}_features.h5")
            table.close()
            own = [(video["name"], video["n_frames"]) for video in about["videos"] if video["part"] == part]
            if own != list(zip(lists.filenames, lists.frame_numbers.tolist(), strict=True)):
                raise ValueError(
                    f"{path.parent}/{part}_filename.txt, {part}_framenum.txt: differ from {path}; extract again"
                )
            if table.n_frames != lists.frame_numbers.sum():
                raise ValueError(
                    f"{table.path}: has {table.n_frames} frames, but {part}_framenum.txt adds up to "
                    f"{lists.frame_numbers.sum()}; extract again"
                )
            found[path.parent.relative_to(folder).joinpath(part).as_posix()] = len(own), table.n_frames
    if not found:
        raise FileNotFoundError(f"{folder}: has no dataset.json; expected a folder of scripts/extract_features.py")
    return found


def network_rate(entries, extractor, fps, batch_size, n=64):
    """(frames a second, frames) of the network alone on the first n frames of the first video that can be read."""
    for path in by_video(entries):
        try:
            batches = list(_batches(islice(read_frames(path, fps, SIZE), n), batch_size))
        except (ValueError, OSError):
            continue
        began = time.monotonic()
        for frames in batches:
            extractor(frames)
        n = sum(map(len, batches))
        return n / (time.monotonic() - began), n
