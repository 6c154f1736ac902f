"""From videos to the folder of a data set: frame tables of a network's cubes, the lists, and where the frames are from.

Every video is decoded once. It becomes a piece, a frame table of its own in `<out>.partial/videos`. At the end, the
tables are made of the pieces, and the folder is renamed to `<out>`. Every file in `<out>.partial` is complete at any
moment, so that a killed extraction can be continued.
"""

import hashlib
import json
import os
import shutil
import time
import uuid
import zlib
from collections import defaultdict
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from tqdm import tqdm

from . import checks
from .cluster import run_tasks
from .data_handler import read_ahead
from .data_lists import PARTS, read_lists, write_class_names, write_lists
from .entries import by_video
from .extractors import Extractor, has_gpu
from .files import SUMS, as_json, write_file, write_sums
from .frame_table import FrameTable, FrameTableWriter, TwoLayerTable, write_virtual_table
from .video import read_frames
from .workers import n_cores, only_process

BLOCK = 256  # frames that are copied at once from a piece to a table
OPTIONS = {  # a setting in settings.json -> its name in messages
    "videos": "--videos",
    "extractor": "--extractor",
    "layer": "--layer",
    "weights": "weights (SHA-256)",
    "fps": "--fps",
    "layers": "--layers",
    "size": "frame size",
    "dtype": "--dtype",
    "layout": "--layout",
    "batch_size": "--batch-size",
    "entries": "the lists (names, labels, parts) as a digest",
}


@dataclass(frozen=True)
class Settings:
    """How frames are made and stored."""

    extractor: Extractor
    fps: float = 30
    """frames per second to take"""
    batch_size: int = 8
    """frames that the network sees at once"""
    dtype: str = "float16"
    """precision of the frame tables"""
    layout: str = "location"
    """layout of the frame tables"""
    on_error: str = "stop"
    """what happens with a video that cannot be read, or of which much is missing: stop (ValueError, OSError), or skip
    (it is in no list). A slightly damaged video is kept; video_check.py says what that means."""

    def record(self, entries, root, class_names):
        """The content of settings.json, which decides whether an extraction can be continued."""
        extractor = self.extractor
        record = {"videos": str(root)} | extractor.origin() | {"weights": extractor.weights_digest()}
        record |= {"fps": self.fps, "size": extractor.size, "dtype": self.dtype, "layout": self.layout}
        record |= {"layers": 2} if extractor.fine else {}
        return record | {"batch_size": self.batch_size, "entries": _digest(entries, root, class_names)}


def extract(entries, out, root, class_names, extractor, *, workers=None, cluster=None, progress=True, **settings):
    """Writes the folder `out` of a data set, continues an interrupted extraction to it, or only checks a finished one.

    `out` holds, for every part, `<part>_features.h5` and `<part>_{filename,framenum,labels}.txt`; class_names.txt;
    dataset.json, which says how the frames were made and which of them an entry has; settings.json; and, if there are
    such videos, skipped.txt and damaged.txt, one line per video with its path and what is wrong. If the entries are of
    several folders (splits, whose videos overlap), these files are in subfolders. The tables are then HDF5 virtual
    datasets that show rows of one `videos_features.h5` beside the subfolders.

    root: folder of the videos. settings: the fields of `Settings`. workers, cluster: as for `run_tasks`; the result is
    the same to the bit on CPUs of one kind. If neither is given: `default_workers`.

    Returns the number of frames that this call made, the seconds it took, the number of processes (None: a cluster),
    and warnings, one line each.
    FileExistsError: `out` or `<out>.partial` was made with other settings, or is something else. ValueError, OSError:
    a video cannot be read; a part has no videos left; the disk is full.
    """
    settings = Settings(extractor, **settings)
    check_numbers(settings.fps, settings.batch_size, workers)
    out, root_as_given, root = Path(out).resolve(), os.path.abspath(root), Path(root).resolve()
    record = settings.record(entries, root, class_names)
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        _check_settings(out, record, "remove it or choose another folder")
        shutil.rmtree(out / "videos", ignore_errors=True)  # left by a process that was killed in its last moment
        check_features(out)
        return 0, 0.0, None, []

    partial, videos = out.with_name(f"{out.name}.partial"), by_video(entries)
    if settings.on_error == "stop" and not partial.exists():
        _check_presence(videos)
    partial.mkdir(parents=True, exist_ok=True)
    with only_process(partial, "extracting features to it"):
        _begin_or_continue(partial, record)
        began = time.monotonic()
        if cluster is not None:
            workers = None
        elif workers is None:
            workers = default_workers(len(videos))
        try:
            records, new_frames = _make_pieces(videos, partial / "videos", settings, workers, cluster, progress)
        except BaseException:
            if not any(partial.glob("videos/*.json")):  # no video is done, so there is nothing to continue
                shutil.rmtree(partial, ignore_errors=True)
            raise
        seconds = time.monotonic() - began
        warnings = _report(partial, entries, records, class_names)
        records = {path: record for path, record in records.items() if "error" not in record}
        entries = [entry for entry in entries if entry.path in records]
        _make_tables(entries, records, partial, settings, progress)
        paths = {e.path: Path(os.path.relpath(os.path.abspath(e.path), root_as_given)).as_posix() for e in entries}
        _write_lists(entries, records, partial, class_names)
        origin = {"source": "videos", "root": str(root), "fps": settings.fps}
        origin |= {"size": extractor.size} | extractor.origin()
        _write_descriptions(entries, paths, records, partial, out.name, origin)
        _write_sums(partial)
        check_features(partial)
        (partial / ".lock").unlink()
        os.rename(partial, out)
    shutil.rmtree(out / "videos")
    return new_frames, seconds, workers, warnings


def check_numbers(fps, batch_size, workers):
    """Raises ValueError where `extract` cannot take these values. workers may be None."""
    if not 0 < fps < float("inf"):
        raise ValueError(f"fps is {fps}; expected a positive number of frames a second")
    for name, value in {"batch size": batch_size, "number of workers": workers}.items():
        if value is not None and value < 1:
            raise ValueError(f"{name} is {value}; expected at least 1")


def default_workers(n_videos):
    """One process per core, or only this one if there is a GPU."""
    return 1 if has_gpu() else min(n_cores(), n_videos)


def _digest(entries, root, class_names):
    lines = [
        [e.folder, e.part, e.name, os.path.relpath(e.path.resolve(), root), e.label, e.start, e.stop] for e in entries
    ]
    return hashlib.sha256(json.dumps([lines, class_names]).encode()).hexdigest()[:16]


def _check_presence(videos):
    missing = [path for path in videos if not path.is_file()]
    if missing:
        raise FileNotFoundError(
            f"{missing[0]}: no such file ({len(missing)} of {len(videos)} videos are missing); expected what the lists "
            "name; correct --videos or --lists, or leave them out by --on-error skip"
        )


def _begin_or_continue(partial, record):
    """Writes settings.json into an empty folder, or checks that what is in the folder was made with these settings."""
    if set(os.listdir(partial)) - {".lock", SUMS, f"{SUMS}.part", "settings.json.part"}:
        _check_settings(partial, record, "give the former options, or remove it to begin anew")
    else:
        content = as_json(record, indent=1)
        write_sums(partial, [], {"settings.json": content})
        write_file(partial / "settings.json", content)


def _check_settings(folder, record, advice):
    path = folder / "settings.json"
    if not path.is_file():
        raise FileExistsError(f"{folder}: is there already, and visual-attention extract has not made it; {advice}")
    former, record = ({"layers": 1} | content for content in (checks.read_json(path, {}, advice), record))
    for key, name in OPTIONS.items():
        before, now = former.get(key), record.get(key)
        if before != now:
            raise FileExistsError(f"{folder}: was made with {name} {before}, not {now}; {advice}")


# ---------------------------------------------------------------- a video: decoded, through the network, a piece


def extract_video(path, number, folder, cuts, settings):
    """Makes the piece of a video, `<number>.h5` in `folder`, and its record, `<number>.json`, which it returns.

    A record has the number of frames and, if the video is slightly damaged, a line that says how. If the video cannot
    be read and such videos are skipped, it has the error instead. It is written last.
    cuts: (start, stop) of each entry as shares of the video; ValueError if one of them has no frame.
    """
    extractor, dtype = settings.extractor, settings.dtype
    record = {"number": number} | _fingerprint(path)
    attempt, n = uuid.uuid4().hex, 0  # an earlier attempt may still be running
    piece = folder / f"{number:06}.{attempt}.h5"
    damage = []
    frames_read = read_frames(path, settings.fps, extractor.size, damage.append, extractor.interpolation)
    batches = read_ahead(_batches(frames_read, settings.batch_size), depth=4)
    shape = extractor.n_locations, extractor.depth
    with closing(batches), FrameTableWriter(piece, *shape, dtype=dtype, fine=extractor.fine) as table:
        while True:
            try:
                frames = next(batches, None)
                if frames is None and any(round(start * n) == round(stop * n) for start, stop in cuts):
                    raise ValueError(f"{path}: has {n} frames, too few for {len(cuts)} parts; take it out")
            except (ValueError, OSError) as error:  # of the video only, not of the network or the disk
                if settings.on_error != "skip":
                    raise
                record["error"] = str(error)
                break
            if frames is None:
                break
            with np.errstate(over="ignore"):  # reported below
                cubes = extractor(frames)
                layers = [layer.astype(dtype) for layer in (cubes if extractor.fine else (cubes,))]
            if not all(np.isfinite(layer).all() for layer in layers):
                raise ValueError(f"{path}: features of frames {n} to {n + len(frames)} are not finite in {dtype}")
            table.append(*layers)
            n += len(frames)
    if "error" in record:
        piece.unlink()
    else:
        record["n_frames"] = n
        if damage:
            record["damage"] = damage[0]
        os.replace(piece, _piece(folder, record))
    write_file(folder / f"{number:06}.json", as_json(record | {"crc32": _crc(record)}, indent=None), attempt)
    return record


def _crc(record):
    return zlib.crc32(json.dumps(record).encode())


def _batches(frames, batch_size):
    while batch := list(islice(frames, batch_size)):
        yield np.stack(batch)


def _fingerprint(path):
    if not path.is_file():
        return {"size": 0, "mtime_ns": 0}
    status = path.stat()
    return {"size": status.st_size, "mtime_ns": status.st_mtime_ns}


def _make_pieces(videos, folder, settings, workers, cluster, progress):
    """Makes the pieces that do not exist yet; returns {path: record} of all videos and the number of new frames."""
    folder.mkdir(exist_ok=True)
    assembling = any(folder.parent.glob("**/*_features.h5"))
    records, tasks = {}, []
    for number, (path, entries) in enumerate(videos.items()):
        record = _finished(folder / f"{number:06}.json", path, settings.on_error, assembling)
        if record:
            records[path] = record
        else:
            cuts = [(entry.start, entry.stop) for entry in entries]
            tasks.append((path, number, folder, cuts, settings))
    for file in folder.iterdir():
        if not (file.stem.isdigit() and file.suffix in (".h5", ".json")):  # of a killed attempt, which may still run
            file.unlink(missing_ok=True)

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
    """The record of a finished video; None if the video has to be extracted.

    assembling: tables are already being made, so it is too late to try skipped videos again.
    """
    if not record_path.is_file():
        return None
    try:
        record = checks.read_json(record_path, {})
        intact = record.pop("crc32", None) == _crc(record)
    except ValueError:
        intact = False
    if not intact:
        return None
    now = _fingerprint(path)
    changed = {key: record[key] for key in now} != now
    if "error" in record and (changed or on_error == "stop") and not assembling:
        return None
    if changed and path.is_file():
        raise FileExistsError(
            f"{path}: has changed since its features were made; remove {record_path.parent.parent} to begin anew"
        )
    return record


# ---------------------------------------------------------------- pieces to tables


def _report(partial, entries, records, class_names):
    """Writes skipped.txt and damaged.txt; returns warnings about them. ValueError: a part has no video left."""
    listed, warnings = partial / "skipped.txt", []
    damaged = _list_videos(partial / "damaged.txt", records, "damage")
    skipped = _list_videos(listed, records, "error")
    if damaged:
        warnings.append(f"{len(damaged)} of {len(records)} videos slightly damaged but kept, see damaged.txt")
    if not skipped:
        return warnings
    warnings.append(f"{len(skipped)} of {len(records)} videos skipped, see skipped.txt")
    for table, table_entries in _by_table(entries).items():
        kept = [entry for entry in table_entries if entry.path not in skipped]
        if not kept:
            raise ValueError(
                f"{table}: none of its {len(table_entries)} videos can be read (see {listed}); correct them or "
                "change the lists"
            )
        lost = sorted(_classes(table_entries) - _classes(kept))
        if lost:
            names = (class_names[k] if k < len(class_names) else str(k) for k in lost)
            warnings.append(f"{table}: no video is left of class {', '.join(names)}")
    return warnings


def _list_videos(listed, records, key):
    """{path: text} of the videos whose record has `key`. If there are any, it is also written to the file `listed`."""
    videos = {path: record[key] for path, record in records.items() if key in record}
    write_file(listed, "".join(f"{path}\t{' '.join(text.split())}\n" for path, text in videos.items()).encode())
    if not videos:
        listed.unlink()
    return videos


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


def _make_tables(entries, records, partial, settings, progress):
    """The frame tables of all parts. A piece is deleted once the tables that need it are on the disk."""
    rows = {  # table -> (path, first frame, frames) of each entry
        table: [(entry.path, *_frames(entry, records)) for entry in table_entries]
        for table, table_entries in _by_table(entries).items()
    }
    several = len({entry.folder for entry in entries}) > 1
    if several:
        all_videos = [(path, 0, record["n_frames"]) for path, record in sorted(records.items())]
        _join_pieces({"videos": all_videos}, records, partial, settings, progress)
        _make_virtual_tables(rows, all_videos, partial)
    else:
        _join_pieces(rows, records, partial, settings, progress)


def _join_pieces(rows, records, partial, settings, progress):
    """Copies pieces into tables. rows: table -> (path of the video, first frame, number of frames) in order."""
    extractor = settings.extractor
    shape, fine = (extractor.n_locations, extractor.depth), extractor.fine
    attributes = extractor.origin() | {"fps": settings.fps}
    last_use = {path: table for table, spans in rows.items() for path, _, _ in spans}
    for table, spans in rows.items():
        path = partial / f"{table}_features.h5"
        if not path.is_file():
            _check_space(path, sum(n for _, _, n in spans) * extractor.frame_bytes(settings.dtype))
            with FrameTableWriter(path, *shape, settings.layout, settings.dtype, attributes, fine) as writer:
                for video, first, n in tqdm(spans, f"{table} table", unit="video", disable=None if progress else True):
                    _copy(_piece(partial / "videos", records[video]), first, n, writer)
        for video, _, _ in spans:
            if last_use[video] == table:
                _piece(partial / "videos", records[video]).unlink(missing_ok=True)


def _make_virtual_tables(rows, all_videos, partial):
    """Tables that show rows of videos_features.h5. rows: as for `_join_pieces`; all_videos: those of that table."""
    starts, end = {}, 0  # of each video in videos_features.h5
    for video, _, n in all_videos:
        starts[video], end = end, end + n
    for table, spans in rows.items():
        path = partial / f"{table}_features.h5"
        path.parent.mkdir(exist_ok=True)
        write_virtual_table(path, partial / "videos_features.h5", [(starts[v] + first, n) for v, first, n in spans])


def _piece(folder, record):
    return folder / f"{record['number']:06}.h5"


def _frames(entry, records):
    """The entry's first frame in its video, and how many it has."""
    n = records[entry.path]["n_frames"]
    first = round(entry.start * n)
    return first, round(entry.stop * n) - first


def _copy(piece, first, n, writer):
    try:
        tables = [FrameTable(piece, layer=layer) for layer in writer.shapes]
        for start in range(first, first + n, BLOCK):
            writer.append(*(table.read(start, min(start + BLOCK, first + n)) for table in tables))
        for table in tables:
            table.close()
    except ValueError as error:
        remedy = f"delete {piece.with_suffix('.json')} and start the same command again"
        raise ValueError(f"{error}: {remedy}") from error


def _check_space(path, needed):
    free = shutil.disk_usage(path.parent).free
    if free < needed:
        raise OSError(
            f"{path}: needs {needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free; free space and start the same "
            "command again, finished videos are kept"
        )


# ---------------------------------------------------------------- lists and descriptions


def _write_lists(entries, records, partial, class_names):
    """The lists of every part, and class_names.txt, in every folder."""
    for table_entries in _by_table(entries).values():
        columns = zip(*((e.name, _frames(e, records)[1], e.label) for e in table_entries), strict=True)
        write_lists(partial / table_entries[0].folder, table_entries[0].part, *map(list, columns))
    for folder in {entry.folder for entry in entries}:
        write_class_names(partial / folder, class_names)


def _write_descriptions(entries, paths, records, partial, name, origin):
    """dataset.json in every folder. paths: of the videos below the root; name, origin: of the data set."""
    for folder in dict.fromkeys(entry.folder for entry in entries):
        about = {"name": "/".join(filter(None, (name, folder))), **origin, "videos": []}
        for entry in entries:
            if entry.folder == folder:
                first, n = _frames(entry, records)
                record = {"name": entry.name, "part": entry.part, "path": paths[entry.path]}
                about["videos"].append(record | {"first_frame": first, "n_frames": n})
        write_file(partial / folder / "dataset.json", as_json(about, indent=1, ensure_ascii=False))


def _write_sums(partial):
    """SHA256SUMS of every folder, without the frame tables that hold frames: these have checksums inside."""
    for folder in {partial, *(path.parent for path in partial.glob("**/dataset.json"))}:
        names = sorted(path.name for path in folder.iterdir() if path.is_file() and path.name not in (".lock", SUMS))
        write_sums(folder, [name for name in names if folder != partial or not name.endswith(".h5")])


def check_features(folder):
    """{table: (videos, frames)} of an extracted folder. Tables have names such as `train` or `split1/train`.

    ValueError, FileNotFoundError: a list or table is missing or damaged, or they do not agree.
    """
    tables = {}
    for path in sorted(Path(folder).glob("**/dataset.json")):
        about = checks.read_json(path, {"videos": list}, "extract again")
        for k, video in enumerate(about["videos"]):
            checks.check_kinds(f"{path}, video {k}", video, {"name": str, "part": str, "n_frames": int})
            if video["part"] not in PARTS:
                raise ValueError(f"{path}, video {k}: part is {video['part']!r}; expected one of {', '.join(PARTS)}")
        parts = dict.fromkeys(video["part"] for video in about["videos"])
        for part in sorted(parts, key=PARTS.index):
            lists, table = read_lists(path.parent, part), FrameTable(path.parent / f"{part}_features.h5")
            table.close()
            if table.has_fine:
                TwoLayerTable(table.path).close()
            described = [(video["name"], video["n_frames"]) for video in about["videos"] if video["part"] == part]
            if described != list(zip(lists.filenames, lists.frame_numbers.tolist(), strict=True)):
                raise ValueError(
                    f"{path.parent}/{part}_filename.txt, {part}_framenum.txt: differ from {path}; extract again"
                )
            if table.n_frames != lists.frame_numbers.sum():
                raise ValueError(
                    f"{table.path}: has {table.n_frames} frames, but {part}_framenum.txt adds up to "
                    f"{lists.frame_numbers.sum()}; extract again"
                )
            tables[path.parent.relative_to(folder).joinpath(part).as_posix()] = len(described), table.n_frames
    if not tables:
        raise FileNotFoundError(f"{folder}: has no dataset.json; expected a folder that visual-attention extract made")
    return tables


def network_rate(entries, extractor, fps, batch_size, n=64):
    """(frames per second, frames) of the network alone on the first n frames of the first readable video."""
    for path in by_video(entries):
        try:
            frames = read_frames(path, fps, extractor.size, len, extractor.interpolation)
            batches = list(_batches(islice(frames, n), batch_size))
        except (ValueError, OSError):
            continue
        began = time.monotonic()
        for frames in batches:
            extractor(frames)
        n = sum(map(len, batches))
        return n / (time.monotonic() - began), n
