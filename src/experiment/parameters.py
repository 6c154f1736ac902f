"""A model's parameters as .npz, with the released program's keys; and any .npz, read with checks."""

import math
import os
import zipfile
from pathlib import Path

import numpy as np

from visual_attention.experiment.hosts import write_file
from visual_attention.experiment.released import pickled_options
from visual_attention.experiment.run_folder import load_options
from visual_attention.model import model_for


def trained_model(run, frames_dtype):
    """A new Model of a run's folder, with its best parameters; as `model_for`, compiled anew only if it must be."""
    model = model_for(load_options(run)[0], frames_dtype, started=False)
    load_params(model, Path(run, "model.npz"))
    return model


def params_of(model):
    """Name -> NumPy array."""
    return {name: np.asarray(variable.get_value()) for name, variable in model.tparams.items()}


def load_params(model, path):
    """Sets the model's parameters from an .npz, if all of them fit and are finite; else ValueError, and none is set."""
    # the released program's files contain objects too, which are not read
    arrays = read_arrays(path, {name: variable.get_value().shape for name, variable in model.tparams.items()})
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise ValueError(f"{path}: parameter {name} is not finite; expected a model that was trained well")
    for name, variable in model.tparams.items():
        variable.set_value(arrays[name].astype(model.options.floatX))


def write_params(path, model, history):
    """Writes parameters with the released program's keys and, where it has such a model, its options beside them.

    history: validation scores in percent, one per epoch. The file has them as shares, each beside the test set's, which
    is NaN here.
    """
    errors = np.array([[score / 100, np.nan] for score in history]).reshape(-1, 2)
    if pickled := pickled_options(model.options):
        write_file(f"{path}.pkl", pickled)
    write_file(path, lambda file: np.savez(file, history_errs=errors, **params_of(model)))


def read_arrays(path, shapes=None):
    """Arrays of an .npz: all, or those named in `shapes`: name -> shape, or None for any. Pickled objects are not read.

    FileNotFoundError, ValueError: it cannot be read, has other arrays, or unpacks to far more bytes than it has.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file; expected an .npz of arrays")
    try:
        if not zipfile.is_zipfile(path):
            raise ValueError("it is no zip archive")
        with np.load(path, allow_pickle=False) as saved:
            declared = {name: _declared_shape(saved, name) for name in saved.files if shapes is None or name in shapes}
            unpacked = sum(saved.zip.getinfo(f"{name}.npy").file_size for name in declared)
            if shapes is None and unpacked > max(1e9, 100 * os.path.getsize(path)):
                raise ValueError(f"it unpacks to {unpacked / 1e9:.1f} GB")
            fits = all(declared.get(name) == shape for name, shape in (shapes or {}).items() if shape is not None)
            arrays = {name: saved[name] for name in declared} if fits else None
    except Exception as error:  # a spoiled file can raise nearly anything
        raise ValueError(f"{path}: not an .npz of plain arrays ({error}); make or copy it again") from error
    for name, shape in (shapes or {}).items():
        if name not in declared or shape is not None and declared[name] != shape:
            actual = declared.get(name, "none")
            raise ValueError(f"{path}: parameter {name} is {actual}; expected {shape or 'an array'}")
        if arrays is not None and arrays[name].dtype.kind not in "fiu":
            raise ValueError(f"{path}: parameter {name} is {arrays[name].dtype}; expected numbers")
    return arrays


def _declared_shape(saved, name):
    """The shape in the header of an array of an open .npz. ValueError: it is not as many bytes as the file has."""
    member = saved.zip.getinfo(f"{name}.npy")
    with saved.zip.open(member) as file:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(file)
        if not dtype.hasobject and math.prod(shape) * dtype.itemsize != member.file_size - file.tell():
            raise ValueError(f"{name} says that it is {dtype} {shape}, which is not what it holds")
    return shape
