"""The frame table: all cubes of a part of a data set in one HDF5 file, all videos one after another.

Dataset `features`, (n_frames, L*D), float32 or float16. Two orders of the L*D numbers of a frame:

- released: entry [l, d] at l + L*d, a channels-first cube (D, K, K) written flat; what the released program reads.
  Files without a `layout` attribute are taken to be so.
- location: entry [l, d] at l*D + d, marked by the attribute `layout = "location"`; needs no transposition on reading.
"""

import os
from pathlib import Path
from shutil import disk_usage

import h5py
import numpy as np

LAYOUTS = ("released", "location")
SPARE_BYTES = 32_000_000  # for what HDF5 still writes when a file is closed, and for the files beside it


class FrameTable:
    """Reads a frame table; a frame is a cube (L, D) in either layout.

    `ctx_dim` is D, needed where the file does not say (the released program's); where the file says, it must agree.
    Raises FileNotFoundError or ValueError with a message that names the file and what to do.
    """

    def __init__(self, path, ctx_dim=None):
        self.path = Path(path)
        if not self.path.is_file():
            raise FileNotFoundError(f"{path}: no such feature file; make it with scripts/extract_features.py")
        try:
            self.file = h5py.File(self.path, "r")
        except OSError as error:
            raise ValueError(f"{path}: not a readable HDF5 file ({error}); is it whole? Make it again") from error
        try:
            self._check(ctx_dim)
        except BaseException:
            self.file.close()
            raise

    def _check(self, ctx_dim):
        path = self.path
        if "features" not in self.file:
            raise ValueError(f"{path}: has no dataset 'features', only {sorted(self.file)}; make it again")
        self.features = self.file["features"]
        if self.features.ndim != 2 or self.features.dtype not in (np.float32, np.float16):
            raise ValueError(
                f"{path}: 'features' is {self.features.dtype} {self.features.shape}; "
                "expected float32 or float16, (frames, locations*depth)"
            )
        self.layout = self.features.attrs.get("layout", "released")
        if self.layout not in LAYOUTS:
            raise ValueError(f"{path}: unknown layout {self.layout!r}; expected one of {', '.join(LAYOUTS)}")
        depth = int(self.features.attrs.get("ctx_dim", ctx_dim or 0))  # the released program's files do not say
        if not depth:
            raise ValueError(f"{path}: does not say its feature depth; give it with --ctx-dim (GoogLeNet: 1024)")
        if ctx_dim and depth != ctx_dim:
            raise ValueError(f"{path}: feature depth is {depth}, but ctx_dim is {ctx_dim}; set --ctx-dim {depth}")
        self.n_frames, width = self.features.shape
        if width % depth:
            raise ValueError(f"{path}: {width} numbers a frame are no multiple of the feature depth {depth}")
        self.n_locations, self.depth = width // depth, depth
        for source in {mapped.file_name for mapped in self._sources()}:  # HDF5 would read fill values instead
            FrameTable(path.parent / source).close()
        self.dtype = self.features.dtype
        self.frame_bytes = width * self.dtype.itemsize
        self.fps = int(self.features.attrs.get("fps", 30))

    def _sources(self):
        return self.features.virtual_sources() if self.features.is_virtual else []

    def read(self, start, stop):
        """Frames start:stop as (m, L, D), in the file's precision. ValueError on NaN, Inf or unreadable bytes."""
        try:
            flat = self.features[start:stop]
        except OSError as error:
            raise ValueError(f"{self.path}: cannot read frames {start} to {stop} ({error}); make it again") from error
        if self.dtype == np.float16:  # isfinite takes longer for it than the disk; positive and negative, as integers:
            finite = (flat.view("int16").max(axis=1) < 0x7C00) & (flat.view("uint16").max(axis=1) < 0xFC00)
        else:
            finite = np.isfinite(flat).all(axis=1)
        if not finite.all():
            bad = start + int(np.argmin(finite))
            raise ValueError(f"{self.path}: frame {bad} has NaN or infinite features; extract its video again")
        if self.layout == "location":
            return flat.reshape(len(flat), self.n_locations, self.depth)
        return flat.reshape(len(flat), self.depth, self.n_locations).transpose(0, 2, 1)

    def expect(self, start, stop):
        """Has the system fetch frames start:stop from the disk in the background; nothing but speed depends on it."""
        if self.features.chunks and hasattr(os, "posix_fadvise"):
            first, last = (self.features.id.get_chunk_info_by_coord((row, 0)) for row in (start, stop - 1))
            if None in (first.byte_offset, last.byte_offset):  # never written
                return
            length = last.byte_offset + last.size - first.byte_offset  # chunks lie as they were written, one by one
            os.posix_fadvise(self.file.id.get_vfd_handle(), first.byte_offset, max(length, 1), os.POSIX_FADV_WILLNEED)

    def load(self):
        """The whole table, (n_frames, L, D), contiguous."""
        table = np.empty((self.n_frames, self.n_locations, self.depth), self.dtype)
        for start in range(0, self.n_frames, 1024):  # transposing in blocks keeps the peak at one table
            table[start : start + 1024] = self.read(start, min(start + 1024, self.n_frames))
        return table

    def close(self):
        self.file.close()


class FrameTableWriter:
    """Writes a frame table: `with FrameTableWriter(path, 49, 1024) as table: table.append(cubes)`, cubes (m, L, D).

    The file appears under its name only when complete; after an error nothing is left behind.
    """

    def __init__(self, path, n_locations, depth, layout="location", dtype="float16", attributes=None):
        if layout not in LAYOUTS:
            raise ValueError(f"layout is {layout!r}; expected one of {', '.join(LAYOUTS)}")
        self.path, self.part_path = Path(path), Path(f"{path}.part")
        self.shape, self.layout = (n_locations, depth), layout
        self.file = h5py.File(self.part_path, "w")
        self.features = self.file.create_dataset(
            "features",
            shape=(0, n_locations * depth),
            maxshape=(None, n_locations * depth),
            chunks=(1, n_locations * depth),
            dtype=dtype,
        )
        self.features.attrs.update({"layout": layout, "ctx_dim": depth} | (attributes or {}))

    def append(self, cubes):
        cubes = np.asarray(cubes)
        if cubes.shape[1:] != self.shape:
            raise ValueError(f"{self.path}: cubes are {cubes.shape}; expected (frames, {str(self.shape)[1:]}")
        if self.layout == "released":
            cubes = cubes.transpose(0, 2, 1)
        # HDF5 cannot even close a file that the disk has no room for, so room is looked for before it is needed
        size, free = cubes.size * self.features.dtype.itemsize, disk_usage(self.path.parent).free
        if free < size + SPARE_BYTES:
            raise OSError(
                f"{self.path}: could not be written (no space left: {free / 1e6:.0f} MB are free, "
                f"{(size + SPARE_BYTES) / 1e6:.0f} needed); free space and try again"
            )
        n = len(self.features)
        try:
            self.features.resize(n + len(cubes), axis=0)
            self.features[n:] = cubes.reshape(len(cubes), -1)
        except OSError as error:
            raise OSError(f"{self.path}: could not be written ({error}); free space and try again") from error

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        try:
            self.file.close()  # writes what is still in memory
            if kind is None:
                flush_to_disk(self.part_path)
                os.replace(self.part_path, self.path)
        except (RuntimeError, OSError) as failed:
            if error is None:  # else what went wrong first is told
                raise OSError(f"{self.path}: could not be written ({failed}); free space and try again") from failed
        finally:
            self.part_path.unlink(missing_ok=True)


def flush_to_disk(path):
    with open(path, "rb") as file:
        os.fsync(file.fileno())


def write_virtual_table(path, source, spans):
    """A frame table that shows rows of another one, `source`, as spans (first row, rows) in the order given.

    It holds no features itself and names the other file relative to its own place: both can be moved together.
    """
    path, part_path = Path(path), Path(f"{path}.part")
    with h5py.File(source, "r") as file:
        features, n = file["features"], sum(rows for _, rows in spans)
        layout = h5py.VirtualLayout((n, features.shape[1]), features.dtype)
        rows_of = h5py.VirtualSource(os.path.relpath(source, path.parent), "features", features.shape)
        end = 0
        for first, rows in spans:
            layout[end : end + rows] = rows_of[first : first + rows]
            end += rows
        with h5py.File(part_path, "w") as virtual:
            shown = virtual.create_virtual_dataset("features", layout, fillvalue=np.nan)  # a lost row is no zero
            shown.attrs.update(features.attrs)
    flush_to_disk(part_path)
    os.replace(part_path, path)
