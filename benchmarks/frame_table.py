"""Batches from a frame table larger than memory: windows a second and peak memory, by order of windows.

python benchmarks/frame_table.py --gb 20

Writes a table of random bytes (float16, 49 x 1024) and one a tenth as large, and deletes them in the end. Each row is
measured in a process of its own on a cold page cache. No graph: batches are made, read ahead, and dropped.
"""

import importlib.metadata
import multiprocessing
import os
import platform
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
from tqdm import tqdm

from visual_attention import command_line
from visual_attention.util.data_handler import DataHandler, read_ahead
from visual_attention.util.data_lists import write_lists
from visual_attention.util.frame_table import FrameTable, FrameTableWriter

L, D = 49, 1024


@dataclass(frozen=True)
class Arguments:
    gb: float = 20.0
    """size of the table on disk"""
    folder: Path = Path("benchmark_frame_table")
    """where the tables are written; must not exist unless --keep left it there"""
    keep: bool = False
    """leave the tables for another time, and use those that are there"""
    memory_gb: float = 4.0
    """as training's option"""
    seconds: float = 150.0
    """a row is an epoch, or what is done of it in this time; it includes the filling of the buffer in the beginning"""
    batch_size: int = 128
    """windows of a batch, of 30 frames each"""


def make_table(folder, gb):
    """Videos of log-normal length, about 190 frames on average, as UCF-11's (some 300,000 frames, 1600 videos)."""
    n_frames, rng = round(gb * 1e9 / (2 * L * D)), np.random.default_rng(0)
    lengths = np.clip(rng.lognormal(np.log(160), 0.6, n_frames // 100), 30, 900).astype(int)
    lengths = lengths[: np.searchsorted(lengths.cumsum(), n_frames)]
    folder.mkdir(exist_ok=True)
    bar = tqdm(total=int(lengths.sum()), desc=f"writing {folder}", unit="frame", disable=None)
    with FrameTableWriter(folder / "train_features.h5", L, D) as table, bar:
        for length in lengths:
            bits = np.frombuffer(rng.bytes(length * L * D * 2), "uint16") & 0x3BFF  # positive and less than 1
            table.append(bits.view("float16").reshape(length, L, D))
            bar.update(length)
    write_lists(folder, "train", range(len(lengths)), lengths, np.arange(len(lengths)) % 11)


def drop_page_cache(path):
    """What the system holds of the file; needs no privileges once the file is on the disk."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def disk_bytes():
    """Bytes that the disk has delivered to this process so far."""
    return int(dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())["read_bytes"])


def measure(folder, order, stride, memory_gb, batch_size, seconds):
    """Takes batches for some seconds; windows (sequential: frames) a second and more, as a dict.

    global reads a frame again and again; the page cache is dropped every three seconds, for with a table many times
    larger than memory it would come from the disk again.
    """
    path = folder / "train_features.h5"
    drop_page_cache(path)
    if order == "sequential":
        table, step = FrameTable(path), 256
        counts = (len(table.read(k, min(k + step, table.n_frames))) for k in range(0, table.n_frames, step))
        total, frames_a_window = table.n_frames, 1
    else:
        data = DataHandler(folder, "train", stride=stride, memory_gb=memory_gb)
        windows = np.arange(data.n_windows) if order == "in order" else data.shuffled(np.random.default_rng(0), order)
        counts = (len(batch.windows) for batch in read_ahead(data.batches(windows, batch_size)))
        total, frames_a_window = data.n_windows, data.table.n_frames / data.n_windows
    done, read, began = 0, disk_bytes(), time.monotonic()
    dropped = began
    for count in counts:
        done, now = done + count, time.monotonic()
        if order == "global" and now - dropped > 3:
            drop_page_cache(path)
            dropped = now
        if now - began > seconds:
            break
    took = time.monotonic() - began
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return {
        "rate": done / took,
        "frames": done / took * frames_a_window,  # of the table that this amounts to; an epoch is all of them
        "disk": (disk_bytes() - read) / took / 1e9,
        "share": done / total,
        "seconds": took,
        "peak": int(status["VmHWM"].split()[0]) * 1024 / 1e9,
    }


def print_table(arguments):
    small, a = arguments.folder / "small", arguments
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("numpy", "h5py"))
    print(f"{platform.platform()}, {os.cpu_count()} cores; Python {platform.python_version()}, {versions}")
    print(f"python {' '.join(sys.argv)}\n")
    sequential, rows = ("sequential", 1, a.folder, a.memory_gb), []
    for stride in (1, 30):
        rows += [sequential, ("global", stride, small, a.gb)]  # in memory, so nothing but the making of batches
        rows += [(order, stride, a.folder, a.memory_gb) for order in ("in order", "buffer", "global")]
    rows += [sequential]  # three times, to see how steady the machine is
    # a process for each, so that its peak of memory is its own
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        found = [
            (name, stride, folder, pool.apply(measure, (folder, name, stride, memory_gb, a.batch_size, a.seconds)))
            for name, stride, folder, memory_gb in tqdm(rows, desc="measuring", unit="row", disable=None)
        ]
    limit = np.mean([f["rate"] for name, _, _, f in found if name == "sequential"])
    in_memory = {stride: f["rate"] for _, stride, folder, f in found if folder == small}
    print(f"| {a.gb:g} GB | stride | windows/s | of sequential | of in memory | disk GB/s | peak GB | of epoch | s |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name, stride, folder, f in found:
        if name == "sequential":
            name, of_memory = "sequential (frames/s)", ""
        else:
            name = f"in memory, {a.gb / 10:g} GB" if folder == small else name
            of_memory = f"{f['rate'] / in_memory[stride]:.2f}"
        print(
            f"| {name} | {stride} | {f['rate']:.0f} | {f['frames'] / limit:.2f} | {of_memory} | {f['disk']:.2f} | "
            f"{f['peak']:.2f} | {f['share']:.2f} | {f['seconds']:.0f} |"
        )


def main():
    arguments = tyro.cli(Arguments, description=__doc__)
    if not 1 <= arguments.gb or arguments.memory_gb >= arguments.gb:
        raise ValueError(f"--gb is {arguments.gb:g}; expected at least 1, and more than --memory-gb")
    done = arguments.folder / "small" / "train_labels.txt"  # what is written last
    if not done.is_file():
        if arguments.folder.exists():  # it would be deleted in the end
            raise ValueError(f"{arguments.folder}: is there, but not a whole benchmark's; delete it or choose another")
        arguments.folder.mkdir(parents=True)
    try:
        if not done.is_file():
            free = shutil.disk_usage(arguments.folder).free / 1e9
            if free < 1.1 * arguments.gb + 1:
                raise ValueError(f"{arguments.folder}: {free:.0f} GB free; --gb {arguments.gb:g} needs a tenth more")
            make_table(arguments.folder, arguments.gb)
            make_table(arguments.folder / "small", arguments.gb / 10)
        print_table(arguments)
    finally:
        if not (arguments.keep and done.is_file()):
            shutil.rmtree(arguments.folder)


if __name__ == "__main__":
    command_line.run(main)
