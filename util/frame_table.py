"""The frame table: all cubes of a part of a data set in one HDF5 file, video after video.

Its dataset `features` is (n_frames, L*D), float32 or float16. The L*D numbers of a frame have one of two layouts:

- released: entry [l, d] is at l + L*d, as in a flattened channels-first cube (D, K, K). The released program reads this
  layout. Files without a `layout` attribute are assumed to have it.
- location: entry [l, d] is at l*D + d. The attribute `layout = "location"` marks it. It needs no transposition.

Tables of other shapes are read, too, if the depth shows which axis is D: (n_frames, L, D) and (n_frames, K, K, D) have
the layout `location`; (n_frames, D, K, K), PyTorch's maps, and (n_frames, D, L) have the layout `released`.

A table may hold a second, finer layer of the network for the same frames. Its datasets are `features_fine` and
`crc32_fine`, and its attributes are those of the first. Who reads one layer (`FrameTable`) does not notice it.

Damage of tables that this module wrote is detected. The dataset `crc32`, (n_frames,) uint32, has the CRC-32 of the
bytes of each frame, which is compared whenever the frame is read. (HDF5's own Fletcher-32 takes longer and does not
notice a frame that became all zeros.) HDF5's metadata has checksums of its own. Strings have a fixed length, because
strings of variable length are in a heap without checksums, where one wrong byte can make HDF5 hang.
"""

import contextlib
import io
import math
import os
import sys
import zlib
from pathlib import Path

import h5py
import numpy as np

from . import checks, foreign_table
from .files import WriteError, check_file, finish_file
from .foreign_table import LAYOUTS
from .workers import signals_later

# The first of HDF5's file formats with checksums. Files for the released program have one that HDF5 1.8, the library of
# its time, can read. Its index of frames has no checksum, so HDF5 may not find a frame; it then returns NaN.
FORMATS = {"released": ("v108", "v108"), "location": ("v110", "v110")}
FINE = "_fine"  # ends the names of the second layer's datasets


def aligned_zeros(shape, dtype):
    """An array of zeros that begins at a multiple of 64 bytes, which JAX uses on a CPU without a copy."""
    dtype = np.dtype(dtype)
    n_bytes = math.prod(shape) * dtype.itemsize
    memory = np.zeros(n_bytes + 63, np.uint8)
    start = -memory.ctypes.data % 64
    return memory[start : start + n_bytes].view(dtype).reshape(shape)


class FrameTable:
    """Reads a frame table; a frame is a cube (L, D) in either layout.

    `ctx_dim` is D. It is needed if the file does not contain it (the released program's); otherwise both must agree.
    is_source: a virtual table shows frames of this one, which must therefore hold them itself. layer: "", or FINE for
    the second layer. FileNotFoundError or ValueError names the file and what to do.
    """

    def __init__(self, path, ctx_dim=None, is_source=False, layer=""):
        self.path, self.layer = Path(path), layer
        if not checks.is_file(self.path):
            raise FileNotFoundError(f"{path}: no such feature file; make it with visual-attention extract")
        check_file(self.path)  # of virtual tables; other tables have checksums inside
        try:
            self.file = h5py.File(self.path, "r")
        except OSError as error:
            raise ValueError(f"{path}: not a readable HDF5 file ({error}); is it whole? Make it again") from error
        try:
            self._open()
            self._check(ctx_dim, is_source)
        except BaseException:
            self.file.close()
            raise

    def _open(self):
        with _damage_named(self.path):
            self.features = foreign_table.dataset(self.file, self.path, f"features{self.layer}")
            sources = foreign_table.sources(self.features) if self.features.is_virtual else {}
        # path of another file -> number of its rows that this table needs
        self.sources = {Path(os.path.normpath(self.path.parent / name)): rows for name, rows in sources.items()}

    def _check(self, ctx_dim, is_source):
        path = self.path
        self.dtype, (self.n_frames, *frame) = self.features.dtype, self.features.shape
        depth = foreign_table.whole_attribute(self.features, "ctx_dim", ctx_dim)  # lacking in the released program's
        if not depth:
            raise ValueError(f"{path}: does not say its feature depth; give it with --ctx-dim (GoogLeNet: 1024)")
        if ctx_dim and depth != ctx_dim:
            raise ValueError(f"{path}: feature depth is {depth}, but ctx_dim is {ctx_dim}; set --ctx-dim {depth}")
        width = math.prod(frame)
        if width % depth:
            raise ValueError(
                f"{path}: {width} numbers per frame are not a multiple of the feature depth {depth}; correct "
                "--ctx-dim, or the attribute ctx_dim of 'features'"
            )
        self.layout = foreign_table.layout(self.features, depth)
        self.n_locations, self.depth = width // depth, depth
        self.frame_shape = self.n_locations, self.depth  # of what `read` returns
        for source, rows in self.sources.items():  # without this check, HDF5 would read fill values
            if is_source:
                raise ValueError(f"{path}: shows frames of another file; expected them in this one; make it again")
            with contextlib.closing(FrameTable(source, depth, True, self.layer)) as real:
                if rows > real.n_frames:
                    raise ValueError(f"{path}: shows {rows} frames of {source}, which has {real.n_frames}")
        with _damage_named(path):
            self.crcs = foreign_table.checksums(self.file, path, self.n_frames, f"crc32{self.layer}")
            self.has_fine = f"features{FINE}" in self.file
        self.frame_bytes = width * self.dtype.itemsize
        self.fps = foreign_table.whole_attribute(self.features, "fps", 30)

    def read(self, start, stop):
        """Frames start:stop as (m, L, D), in the precision of the file. ValueError: NaN, Inf or damage in them."""
        where = " or ".join(map(str, [self.path, *self.sources]))
        try:
            flat = self.features[start:stop].reshape(stop - start, -1)
        except OSError as error:
            raise ValueError(
                f"{where}: is damaged, frames {start} to {stop} cannot be read ({error}); make it again"
            ) from error
        if self.dtype == np.float16:  # for which isfinite is slower than the disk; so compare the bits as integers
            finite = (flat.view("int16").max(axis=1) < 0x7C00) & (flat.view("uint16").max(axis=1) < 0xFC00)
        else:
            finite = np.isfinite(flat).all(axis=1)
        if not finite.all():
            bad = start + int(np.argmin(finite))
            raise ValueError(f"{self.path}: frame {bad} has NaN or infinite features; extract its video again")
        if self.crcs is not None:
            for row, (cube, crc) in enumerate(zip(flat, self.crcs[start:stop].tolist(), strict=True), start):
                if zlib.crc32(cube) != crc:
                    raise ValueError(f"{where}: is damaged, frame {row} is not what was written; make it again")
        if self.layout == "location":
            return flat.reshape(len(flat), self.n_locations, self.depth)
        return flat.reshape(len(flat), self.depth, self.n_locations).transpose(0, 2, 1)

    def expect(self, start, stop):
        """Tells the system to fetch frames start:stop from the disk in the background, which only affects speed."""
        if self.features.chunks and hasattr(os, "posix_fadvise"):
            places = ((row, *[0] * (self.features.ndim - 1)) for row in (start, stop - 1))
            first, last = map(self.features.id.get_chunk_info_by_coord, places)
            if None in (first.byte_offset, last.byte_offset):  # never written
                return
            length = last.byte_offset + last.size - first.byte_offset  # chunks lie in the order of writing
            os.posix_fadvise(self.file.id.get_vfd_handle(), first.byte_offset, max(length, 1), os.POSIX_FADV_WILLNEED)

    def load(self):
        """The whole table, (n_frames, L, D), contiguous."""
        return _load(self)

    def close(self):
        self.file.close()


class TwoLayerTable:
    """Reads both layers of a frame table together. A frame is a row of the coarse cube's numbers, then the fine one's.

    It has what `FrameTable` has; n_locations and depth are the coarse layer's. ValueError: there is no second layer.
    """

    def __init__(self, path, ctx_dim=None):
        self.coarse = FrameTable(path, ctx_dim)
        try:
            if not self.coarse.has_fine:
                raise ValueError(f"{path}: has one layer of features; expected two; extract them by --layers 2")
            self.fine = FrameTable(path, layer=FINE)
        except BaseException:
            self.coarse.close()
            raise
        for name in ("path", "features", "dtype", "n_frames", "n_locations", "depth", "layout", "fps"):
            setattr(self, name, getattr(self.coarse, name))
        for name in ("dtype", "n_frames"):
            if getattr(self.fine, name) != getattr(self, name):
                self.close()
                raise ValueError(
                    f"{path}: {name} of its layers is {getattr(self, name)} and {getattr(self.fine, name)}; expected "
                    "the same; make it again"
                )
        self.frame_shape = (self.coarse.n_locations * self.coarse.depth + self.fine.n_locations * self.fine.depth,)
        self.frame_bytes = self.coarse.frame_bytes + self.fine.frame_bytes

    def read(self, start, stop):
        """Frames start:stop as (m, L_1 D_1 + L_2 D_2), in the precision of the file; errors as of FrameTable."""
        layers = (layer.read(start, stop).reshape(stop - start, -1) for layer in (self.coarse, self.fine))
        return np.concatenate(list(layers), axis=1)

    def expect(self, start, stop):
        self.coarse.expect(start, stop)
        self.fine.expect(start, stop)

    def load(self):
        """The whole table, (n_frames, L_1 D_1 + L_2 D_2), contiguous."""
        return _load(self)

    def close(self):
        self.coarse.close()
        self.fine.close()


def open_table(path, ctx_dim=None, both=False):
    """A FrameTable, or with `both` a TwoLayerTable."""
    return TwoLayerTable(path, ctx_dim) if both else FrameTable(path, ctx_dim)


def _load(table):
    whole = aligned_zeros((table.n_frames, *table.frame_shape), table.dtype)
    for start in range(0, table.n_frames, 1024):  # blocks, so that transposing needs no second table
        whole[start : start + 1024] = table.read(start, min(start + 1024, table.n_frames))
    return whole


@contextlib.contextmanager
def _damage_named(path):
    """Turns into ValueError whatever h5py raises if HDF5 finds damage, which may be nearly anything."""
    try:
        yield
    except ValueError as error:
        if not str(error).startswith(f"{path}: "):
            raise ValueError(f"{path}: is damaged ({error}); make it again") from error
        raise
    except Exception as error:
        raise ValueError(f"{path}: is damaged ({error}); make it again") from error


def _attributes(features):
    """Attributes of a dataset, with strings of any kind as str."""
    return {name: value.decode() if isinstance(value, bytes) else value for name, value in features.attrs.items()}


class FrameTableWriter:
    """Writes a frame table: `with FrameTableWriter(path, 49, 1024) as table: table.append(cubes)`, cubes (m, L, D).

    fine: (L_2, D_2) of a second layer, or None; `append` is then given its cubes, too.
    The file gets its name only when it is complete. After an error, nothing is left. WriteError: the disk is full.
    """

    def __init__(self, path, n_locations, depth, layout="location", dtype="float16", attributes=None, fine=None):
        if layout not in LAYOUTS:
            raise ValueError(f"layout is {layout!r}; expected one of {', '.join(LAYOUTS)}")
        self.path, self.layout, self.dtype, self.attributes = Path(path), layout, np.dtype(dtype), attributes or {}
        self.shapes = {"": (n_locations, depth)} | ({FINE: tuple(fine)} if fine else {})  # of each layer
        # Layer -> its two datasets. They stay open until the end: closing one writes, and must be within signals_later.
        self.disk, self.file, self.datasets = None, None, {}

    def __enter__(self):
        try:
            with signals_later():
                self.disk = _LastingFile(self.path)
                self.file = h5py.File(self.disk, "w", libver=FORMATS[self.layout])
                for layer, (n_locations, depth) in self.shapes.items():
                    width = n_locations * depth
                    shapes = {"shape": (0, width), "maxshape": (None, width), "chunks": (1, width)}
                    features = self.file.create_dataset(
                        f"features{layer}", dtype=self.dtype, fillvalue=np.nan, **shapes
                    )
                    crcs = self.file.create_dataset(f"crc32{layer}", (0,), "uint32", maxshape=(None,), chunks=(1024,))
                    self.datasets[layer] = features, crcs
                    _write_attributes(features, {"layout": self.layout, "ctx_dim": depth} | self.attributes)
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise
        return self

    def append(self, *layers):
        """Appends frames: the cubes (m, L, D) of each layer."""
        for (layer, shape), cubes in zip(self.shapes.items(), layers, strict=True):
            cubes = np.asarray(cubes)
            if cubes.shape[1:] != shape:
                raise ValueError(f"{self.path}: cubes are {cubes.shape}; expected (frames, {str(shape)[1:]}")
            if self.layout == "released":
                cubes = cubes.transpose(0, 2, 1)
            flat = np.ascontiguousarray(cubes.reshape(len(cubes), -1), self.dtype)
            with signals_later():
                features, crcs = self.datasets[layer]
                n = len(features)
                for dataset, rows in ((features, flat), (crcs, [zlib.crc32(cube) for cube in flat])):
                    dataset.resize(n + len(flat), axis=0)
                    dataset[n:] = rows
        self.disk.check()

    def __exit__(self, *error):
        with signals_later():
            if self.file is not None:
                self.file.close()  # which writes what is still in memory
            if self.disk is not None:
                self.disk.__exit__(*error)


def _write_attributes(features, attributes):
    for name, value in attributes.items():
        features.attrs[name] = np.bytes_(value.encode()) if isinstance(value, str) else value


class _LastingFile(io.FileIO):
    """A file that HDF5 writes to and that never fails. Its first error is kept, and raised by `check` and at the end.

        disk = _LastingFile("t.h5")
        with disk: ...  # the file has its name after the block; after an error it does not exist

    HDF5 cannot close a file that it cannot write, and then crashes when the process ends. After an error, this file
    therefore keeps what HDF5 writes in memory, in case HDF5 reads it before it closes the file. An exception that a
    signal raises in these functions is just as harmful, so HDF5 must be called within `signals_later`.
    """

    def __init__(self, path):
        self.path, self.part_path = Path(path), Path(f"{path}.part")
        self.error, self.unwritten = None, []  # (position in the file, bytes)
        try:
            super().__init__(self.part_path, "w+")
        except OSError as error:
            raise WriteError(path, error) from error

    def write(self, data):
        position, data = self.tell(), memoryview(data)
        try:
            done = 0
            while self.error is None and done < len(data):
                done += super().write(data[done:])
        except OSError as error:
            self.error = error
        if self.error is not None:
            self.unwritten.append((position, bytes(data)))
        return len(data)

    def readinto(self, buffer):
        position, size = self.tell(), super().readinto(buffer)
        for start, data in self.unwritten:
            first, last = max(start, position), min(start + len(data), position + len(buffer))
            if first < last:
                buffer[first - position : last - position] = data[first - start : last - start]
        return max(size, len(buffer)) if self.unwritten else size

    def truncate(self, size=None):
        if self.error is None:
            try:
                return super().truncate(size)
            except OSError as error:
                self.error = error
        return size

    def check(self):
        if self.error is not None:
            raise WriteError(self.path, self.error) from self.error

    def __exit__(self, kind, error, trace):
        try:
            self.close()
            if kind is None and self.error is None:
                finish_file(self.part_path, self.path)
        except OSError as error:
            self.error = error
        finally:
            self.part_path.unlink(missing_ok=True)
        if kind is None:  # otherwise the exception of the block is raised
            self.check()


def write_virtual_table(path, source, spans):
    """Writes a frame table that shows rows of another one, `source`: spans (first row, number of rows) in this order.

    It holds no features itself. It names the other file by a relative path, so both can be moved together.
    """
    n = sum(rows for _, rows in spans)
    # what a missing row is read as
    lost = {f"{name}{layer}": value for name, value in (("features", np.nan), ("crc32", 0)) for layer in ("", FINE)}
    disk = _LastingFile(path)
    with signals_later(), disk, h5py.File(source, "r") as file:
        with h5py.File(disk, "w", libver=FORMATS["location"]) as virtual:
            for name in (name for name in lost if name in file):  # tables of earlier versions have no crc32
                layout = h5py.VirtualLayout((n, *file[name].shape[1:]), file[name].dtype)
                rows_of = h5py.VirtualSource(os.path.relpath(source, Path(path).parent), name, file[name].shape)
                end = 0
                for first, rows in spans:
                    layout[end : end + rows] = rows_of[first : first + rows]
                    end += rows
                virtual.create_virtual_dataset(name, layout, fillvalue=lost[name])
            for name in (name for name in virtual if name.startswith("features")):
                _write_attributes(virtual[name], _attributes(file[name]))
