"""Checks that a dataset of an HDF5 file from any source is a frame table.

Its numbers must be in this file or in files beside it, all of them must have been written, and a few bytes must not
unpack to gigabytes.
"""

import math
import os
from pathlib import Path

import h5py
import numpy as np

from . import checks

LAYOUTS = ("released", "location")
CHUNK_BYTES = 2**30  # the most bytes of a chunk, which HDF5 always unpacks completely


def dataset(file, path, name="features"):
    """The dataset `name` of an open file. ValueError: it is missing, not a frame table, or in another file."""
    link = file.get(name, getlink=True)
    if link is None:
        raise ValueError(f"{path}: has no dataset {name!r}, only {sorted(file)[:5]}; make it again")
    features = file[name] if isinstance(link, h5py.HardLink) else link
    if not isinstance(features, h5py.Dataset):
        raise ValueError(f"{path}: {name!r} is a {type(features).__name__}; expected a dataset in this very file")
    if features.is_virtual:
        _check_names(features, name)  # before HDF5 opens these files to find the shape
    shape, dtype = features.shape or (), features.dtype
    if len(shape) not in (2, 3, 4) or dtype not in (np.float32, np.float16):
        raise ValueError(
            f"{path}: {name!r} is {dtype} {shape}; expected float32 or float16, (frames, locations*depth) or "
            "(frames, locations, depth); convert it"
        )
    if 0 in shape:
        raise ValueError(f"{path}: {name!r} is {shape}, so it holds no number; make it again")
    if shape[0] > checks.MOST:
        raise ValueError(f"{path}: has {shape[0]} frames; expected {checks.MOST} at most; cut it")
    if features.external:
        raise ValueError(f"{path}: its numbers are in another file, {features.external[0][0]}; copy them into this one")
    if features.chunks and math.prod(features.chunks) * dtype.itemsize > CHUNK_BYTES:
        raise ValueError(
            f"{path}: has chunks of {features.chunks}; expected {CHUNK_BYTES} bytes at most; write it anew"
        )
    if not features.is_virtual and not _is_written(features, path):
        raise ValueError(f"{path}: not all of its {shape[0]} frames were ever written; make it again")
    return features


def _is_written(features, path):
    """Whether all numbers were written; others would be read as 0."""
    if features.chunks:
        chunks = (-(-n // size) for n, size in zip(features.shape, features.chunks, strict=True))
        return features.id.get_num_chunks() == math.prod(chunks)
    size = features.size * features.dtype.itemsize
    return features.id.get_storage_size() >= size and (features.id.get_offset() or 0) + size <= os.path.getsize(path)


def sources(features):
    """Names of the files that a virtual dataset shows -> number of rows that they must have.

    ValueError: it does not show files for all of its numbers.
    """
    path, rows, shown, width = features.file.filename, {}, 0, math.prod(features.shape[1:])
    for mapped in features.virtual_sources():
        name = mapped.file_name
        try:
            n, whole = mapped.vspace.get_select_npoints(), mapped.src_space.get_select_type() == h5py.h5s.SEL_ALL
            last = n // width if whole else mapped.src_space.get_select_bounds()[1][0] + 1
        except (RuntimeError, ValueError) as error:  # of a selection that grows with its source file
            raise ValueError(f"{path}: shows rows of {name} without end; expected a number of them") from error
        rows[name], shown = max(rows.get(name, 0), last), shown + n
    if shown != features.size:
        raise ValueError(f"{path}: shows {shown} numbers of other files; expected {features.size}; make it again")
    return rows


def checksums(file, path, n_frames, name="crc32"):
    """CRC-32 of each frame, (n_frames,), from the dataset `name`; None if the file has none, as of other programs."""
    link = file.get(name, getlink=True)
    if link is None:
        return None
    crcs = file[name] if isinstance(link, h5py.HardLink) else None
    if isinstance(crcs, h5py.Dataset):
        if crcs.is_virtual:
            _check_names(crcs, name)
        if crcs.shape == (n_frames,) and crcs.dtype == np.uint32 and not crcs.external:
            return crcs[:]
    raise ValueError(f"{path}: {name!r} is not one checksum for each of {n_frames} frames; make it again")


def _check_names(features, dataset):
    """ValueError unless a virtual dataset shows files beside its own or, for a split, videos_features.h5 above it."""
    for mapped in features.virtual_sources():
        name = mapped.file_name
        beside = Path(name).name == name and name not in (".", "..") and "%" not in name  # HDF5 replaces %b by numbers
        if not (beside or name == "../videos_features.h5") or mapped.dset_name != dataset:
            raise ValueError(
                f"{features.file.filename}: shows {mapped.dset_name!r} of {name}; expected {dataset!r} of a file "
                "beside it; copy them here"
            )


def attribute(features, name):
    """The value of an attribute, bytes as str; None if it does not exist."""
    try:
        value = features.attrs.get(name)
    except (OSError, TypeError, ValueError) as error:
        raise ValueError(f"{features.file.filename}: attribute {name} cannot be read ({error}); set it anew") from error
    if isinstance(value, (np.ndarray, np.generic)) and value.size == 1:
        value = value.item()
    return value.decode("latin-1") if isinstance(value, bytes) else value


def whole_attribute(features, name, default):
    """An attribute that is a whole number of at least 1; the default if it does not exist."""
    value = attribute(features, name)
    if value is None:
        return default
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not (number and 1 <= value <= checks.MOST and value == int(value)):
        raise ValueError(
            f"{features.file.filename}: attribute {name} of 'features' is {value!r}; expected a whole number of at "
            "least 1; set it anew"
        )
    return int(value)


def layout(features, depth):
    """The layout of a frame's numbers; if they have several axes, it follows from the position of the axis D.

    ValueError: attribute, shape and depth do not agree.
    """
    path, shape, saved = features.file.filename, features.shape, attribute(features, "layout")
    if saved is not None and (not isinstance(saved, str) or saved not in LAYOUTS):
        raise ValueError(f"{path}: unknown layout {saved!r}; expected one of {', '.join(LAYOUTS)}")
    if len(shape) == 2:
        return saved or "released"
    fits = [name for name, axis in (("location", -1), ("released", 1)) if shape[axis] == depth]
    if not fits or saved and saved not in fits:
        raise ValueError(
            f"{path}: 'features' is {shape}, and the feature depth {depth} is not its "
            f"{ {'location': 'last', 'released': 'second'}.get(saved, 'second or last') } axis; correct --ctx-dim, or "
            "the attributes ctx_dim and layout"
        )
    if len(fits) == 2 and not saved:
        raise ValueError(
            f"{path}: 'features' is {shape}, so its second and its last axis may be the feature depth {depth}; set the "
            "attribute layout: location where it is the last, released where it is the second"
        )
    return saved or fits[0]
