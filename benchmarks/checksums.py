"""The cost of frame-table checksums when reading whole tables and single windows, from memory and from disk.

python benchmarks/checksums.py --gb 2

Writes two tables of random bytes (float16, 49 x 1024), one of them without checksums, and deletes them at the end.
Reads both in turn: in blocks of 256 frames from first to last, and in random windows of 30 frames.
"""

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import h5py
import numpy as np
import tyro

from visual_attention.commands import exit_status
from visual_attention.util.frame_table import FrameTable, FrameTableWriter
from visual_attention.util.tables import markdown

L, D, BLOCK, WINDOW = 49, 1024, 256, 30
CLOCKS = {"wall": time.perf_counter, "processor": time.process_time}


@dataclass(frozen=True)
class Arguments:
    gb: float = 2.0
    """size of each table"""
    turns: int = 7
    """number of repetitions of each measurement"""
    clock: Literal["wall", "processor"] = "wall"
    """processor: CPU time of this process, for a machine that runs other programs too"""
    folder: Path = Path("benchmark_checksums")
    """where the tables are written; must not exist"""


def make_tables(folder, gb):
    rng, n_frames = np.random.default_rng(0), round(gb * 1e9 / (2 * L * D))
    paths = {"with": folder / "with.h5", "without": folder / "without.h5"}
    for path in paths.values():
        with FrameTableWriter(path, L, D) as table:
            for _ in range(0, n_frames, BLOCK):
                bits = np.frombuffer(rng.bytes(BLOCK * L * D * 2), "uint16") & 0x3BFF  # positive and less than 1
                table.append(bits.view("float16").reshape(BLOCK, L, D))
    with h5py.File(paths["without"], "r+") as file:
        del file["crc32"]
    return paths


def measure(path, order, cold, clock):
    """Reading rate in GB per second of `clock`, a function of `time`."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        if cold:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    table, rng = FrameTable(path), np.random.default_rng(1)
    if order == "whole table":
        spans = [(k, min(k + BLOCK, table.n_frames)) for k in range(0, table.n_frames, BLOCK)]
    else:
        starts = rng.integers(0, table.n_frames - WINDOW, table.n_frames // WINDOW)
        spans = [(k, k + WINDOW) for k in starts.tolist()]
    began = clock()
    for start, stop in spans:
        table.expect(start, stop)
        table.read(start, stop)
    took = clock() - began
    table.close()
    return sum(stop - start for start, stop in spans) * table.frame_bytes / took / 1e9


def main():
    arguments = tyro.cli(Arguments, description=__doc__)
    arguments.folder.mkdir(parents=True)
    try:
        paths, rates = make_tables(arguments.folder, arguments.gb), {}
        for _ in range(arguments.turns):
            for cold in (False, True):
                for order in ("whole table", "windows"):
                    for name, path in paths.items():
                        rate = measure(path, order, cold, CLOCKS[arguments.clock])
                        rates.setdefault((order, cold, name), []).append(rate)
    finally:
        for path in arguments.folder.iterdir():
            path.unlink()
        arguments.folder.rmdir()
    body = []
    for order, cold in dict.fromkeys(key[:2] for key in rates):
        without, checked = (rates[order, cold, name] for name in ("without", "with"))
        cells = [f"{max(rate):.2f} ({np.median(rate):.2f})" for rate in (without, checked)]
        body.append([order, "disk" if cold else "memory", *cells, f"{max(checked) / max(without):.2f}"])
    load = f"load {os.getloadavg()[0]:.1f} of {os.cpu_count()} cores"
    print(f"GB/s ({arguments.clock} time), best (median) of {arguments.turns} turns; {load}")
    print(markdown(["", "from", "without", "with", "best ratio"], body))


if __name__ == "__main__":
    exit_status.run(main)
