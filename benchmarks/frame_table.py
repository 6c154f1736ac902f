"""Batches from a frame table larger than memory: windows per second and peak memory for each order of windows.

python benchmarks/frame_table.py --gb 20

Writes a table of random bytes (float16, 49 x 1024) and one a tenth as large, and deletes them at the end. Each row is
measured in a process of its own on a cold page cache. There is no graph: batches are created, read ahead, and dropped.
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

from visual_attention.commands import exit_status
from visual_attention.util.data_handler import DataHandler, read_ahead
from visual_attention.util.data_lists import write_lists
from visual_attention.util.frame_table import FrameTable, FrameTableWriter

L, D = 49, 1024


@dataclass(frozen=True)
class Arguments:
    gb: float = 20.0
    """size of the table on disk"""
    folder: Path = Path("benchmark_frame_table")
    """where the tables are written; must not exist, unless an earlier --keep left it"""
    keep: bool = False
    """keep the tables for later, and reuse existing ones"""
    memory_gb: float = 4.0
    """same as the training option"""
    seconds: float = 150.0
    """each row reads one epoch, or as much of it as this time allows, including the initial filling of the buffer"""
    batch_size: int = 128
    """windows per batch, of 30 frames each"""


def make_table(folder, gb):
    """Writes videos of log-normal length, about 190 frames on average, as in UCF-11 (300,000 frames in 1600 videos)."""
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
    """Drops the file from the page cache. This needs no privileges once the file is on disk."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def disk_bytes():
    """Bytes that this process has read from disk so far."""
    return int(dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())["read_bytes"])


def measure(folder, order, stride, memory_gb, batch_size, seconds):
    """Reads batches for some seconds; returns windows per second (sequential: frames per second) and more as a dict.

    The order `global` reads each frame many times. The page cache is dropped every three seconds, because with a table
    many times larger than memory, the frame would have to be read from disk each time.
    """
    path = folder / "train_features.h5"
    drop_page_cache(path)
    if order == "sequential":
        table, step = FrameTable(path), 256
        counts = (len(table.read(k, min(k + step, table.n_frames))) for k in range(0, table.n_frames, step))
        total, frames_per_window = table.n_frames, 1
    else:
        data = DataHandler(folder, "train", stride=stride, memory_gb=memory_gb)
        windows = np.arange(data.n_windows) if order == "in order" else data.shuffled(np.random.default_rng(0), order)
        counts = (len(batch.windows) for batch in read_ahead(data.batches(windows, batch_size)))
        total, frames_per_window = data.n_windows, data.table.n_frames / data.n_windows
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
        "frames": done / took * frames_per_window,  # frames of the table that this amounts to; one epoch is all frames
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
        rows += [sequential, ("global", stride, small, a.gb)]  # in memory: only the assembly of batches
        rows += [(order, stride, a.folder, a.memory_gb) for order in ("in order", "buffer", "global")]
    rows += [sequential]  # three times, to see how much the machine varies
    # one process per row, so that peak memory is its own
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        results = [
            (name, stride, folder, pool.apply(measure, (folder, name, stride, memory_gb, a.batch_size, a.seconds)))
            for name, stride, folder, memory_gb in tqdm(rows, desc="measuring", unit="row", disable=None)
        ]
    limit = np.mean([result["rate"] for name, _, _, result in results if name == "sequential"])
    in_memory = {stride: result["rate"] for _, stride, folder, result in results if folder == small}
    heads = "stride | windows/s | relative to sequential | relative to in memory | disk GB/s | peak GB | of epoch | s"
    print(f"| {a.gb:g} GB | {heads} |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name, stride, folder, result in results:
        if name == "sequential":
            name, relative_to_memory = "sequential (frames/s)", ""
        else:
            name = f"in memory, {a.gb / 10:g} GB" if folder == small else name
            relative_to_memory = f"{result['rate'] / in_memory[stride]:.2f}"
        print(
            f"| {name} | {stride} | {result['rate']:.0f} | {result['frames'] / limit:.2f} | {relative_to_memory} | "
            f"{result['disk']:.2f} | {result['peak']:.2f} | {result['share']:.2f} | {result['seconds']:.0f} |"
        )


def main():
    arguments = tyro.cli(Arguments, description=__doc__)
    if not 1 <= arguments.gb or arguments.memory_gb >= arguments.gb:
        raise ValueError(f"--gb is {arguments.gb:g}; expected at least 1, and more than --memory-gb")
    last_file = arguments.folder / "small" / "train_labels.txt"  # written last
    if not last_file.is_file():
        if arguments.folder.exists():  # it would be deleted at the end
            raise ValueError(f"{arguments.folder}: exists but is not complete; delete it or choose another folder")
        arguments.folder.mkdir(parents=True)
    try:
        if not last_file.is_file():
            free = shutil.disk_usage(arguments.folder).free / 1e9
            needed = 1.1 * arguments.gb + 1
            if free < needed:
                raise ValueError(f"{arguments.folder}: {free:.0f} GB free; --gb {arguments.gb:g} needs {needed:.0f} GB")
            make_table(arguments.folder, arguments.gb)
            make_table(arguments.folder / "small", arguments.gb / 10)
        print_table(arguments)
    finally:
        if not (arguments.keep and last_file.is_file()):
            shutil.rmtree(arguments.folder)


if __name__ == "__main__":
    exit_status.run(main)
