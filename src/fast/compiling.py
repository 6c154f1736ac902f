"""Compiling a graph with JAX, through a cache on disk.

The cache folder holds the rewritten graph as JAX exports it, and the machine code that XLA makes of it. The next start
waits for neither. Each file begins with a digest of the rest. A damaged file is deleted and made again.
"""

import contextlib
import functools
import gc
import hashlib
import importlib.metadata
import os
import warnings
from pathlib import Path
from unittest import mock

import jax
import pytensor
import pytensor.tensor as pt
from jax import export
from jax._src import compilation_cache
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.fg import FunctionGraph
from pytensor.graph.traversal import graph_inputs
from pytensor.link.jax.dispatch import jax_funcify

from visual_attention.fast.devices import on_devices, on_first_device, place, spread_threads
from visual_attention.fast.frames import split_tables
from visual_attention.fast.loops import constant_of
from visual_attention.fast.rewrites import rewrite
from visual_attention.util.files import WriteError, write_file

CPU_OPTIONS = {
    # By default XLA uses half of the vector registers of processors with AVX-512.
    "xla_cpu_prefer_vector_width": 512,
    # By default sums, too, are left to the library of products (YNN), which is slow at them.
    "xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT",
}


class JaxFunction:
    """What pytensor.function returns, with the graph rewritten and compiled by JAX, or read from the cache.

    Updated variables are overwritten in place. What depends only on frame tables, the first `n_tables` inputs, is
    computed once for them: the results are used again as long as calls pass the same arrays.
    """

    def __init__(self, inputs, outputs, updates, key=None, devices=1, complete=None, n_tables=1):
        use_cache_folder()
        spread_threads()
        self.single, outputs = not isinstance(outputs, list), outputs if isinstance(outputs, list) else [outputs]
        self.inputs, self.outputs, self.key, self.compiled = list(inputs), [*outputs, *updates.values()], key, {}
        self.shared = [v for v in graph_inputs(self.outputs) if isinstance(v, SharedVariable)]
        self.updated, self.n_outputs = list(updates), len(outputs)
        self.shared += [v for v in self.updated if v not in self.shared]
        self.storages = [v.container.storage for v in self.shared]
        self.complete = complete or (lambda expressions: expressions)
        self.n_tables, self.frames, self.tables, self.devices = n_tables, None, None, devices
        others = len(self.inputs) - n_tables  # JAX itself moves them in the call, in far less time
        self.places = [on_first_device()] * n_tables + [None] * others + [on_first_device()] * len(self.shared)
        if devices > 1:
            # From the places of inputs and outputs, XLA divides the work and adds up the parts' gradients.
            axes = [*dict(inputs).values(), *(None for _ in self.shared)]
            specs = [() if axis is None else (*[None] * axis, "batch") for axis in axes]
            self.places = [on_devices(devices, spec) for spec in specs]

    def __call__(self, *args):
        # Variables are on the device from the first call on. Otherwise JAX would compile again for the second.
        args = place([*args, *(storage[0] for storage in self.storages)], self.places)
        for storage, value in zip(self.storages, args[len(self.inputs) :], strict=True):
            storage[0] = value
        frames = args[: self.n_tables]
        if self.frames is None or any(now is not before for now, before in zip(frames, self.frames, strict=True)):
            self.frames, self.tables = frames, self._run("tables", frames)
        results = self._run("main", [*args, *self.tables])
        for variable, value in zip(self.updated, results[self.n_outputs :], strict=True):
            variable.container.storage[0] = value  # without a copy to the host
        return results[0] if self.single else list(results[: self.n_outputs])

    def _run(self, part, args):
        key = (part, *((a.shape, a.dtype) for a in args[: len(self.inputs)]))  # shared variables keep their shapes
        if key not in self.compiled:
            self.compiled[key] = self._compile(part, (part, *((a.shape, str(a.dtype)) for a in args)))
        results = self.compiled[key](*args)  # a tuple; one result alone; or None if there is none
        return [] if results is None else results if isinstance(results, (tuple, list)) else [results]

    def _compile(self, part, shapes):
        n = len(self.inputs)
        donated = tuple(n + k for k, variable in enumerate(self.shared) if variable in self.updated)
        donated = donated if part == "main" else ()
        if self.devices > 1:
            everywhere = on_devices(self.devices)
            return _jit(self.translated[part], donated, out_shardings=everywhere)
        if self.key is None:
            return _jit(self.translated[part], donated)
        path = cache_folder() / f"{_digest(self.key, shapes)}.graph"
        if data := _read(path):
            exported = export.deserialize(bytearray(data))
        else:
            types = [jax.ShapeDtypeStruct(shape, dtype) for shape, dtype in shapes[1:]]
            exported = export.export(jax.jit(self.translated[part]))(*types)
            _write(path, exported.serialize())
        return _jit(exported.call, donated)

    @functools.cached_property
    def translated(self):
        """The two parts of the rewritten graph (`split_tables`) as functions that JAX can trace, by name."""
        with pytensor.config.change_flags(traceback__limit=0), no_garbage_collection():
            with shapes_of_types():
                outputs = self.complete(self.outputs)
            graph = FunctionGraph([*self.inputs, *self.shared], outputs, clone=True)
            frames = graph.inputs[: self.n_tables]
            rewrite(graph, frames, predicts=not self.updated)
            return {name: jax_funcify(part) for name, part in split_tables(graph, frames).items()}


@contextlib.contextmanager
def shapes_of_types():
    """In the block, PyTensor takes the static shape of a new array from constants and types alone.

    By default it also infers it from the graph, through every Scan. That takes half of the time of a Scan's gradient.
    """

    def infer_static_shape(shape):
        shape = [pt.as_tensor_variable(size, ndim=0) for size in shape]
        return shape, tuple(constant_of(size, None) for size in shape)

    with mock.patch.object(pytensor.tensor.basic, "infer_static_shape", infer_static_shape):
        yield


@contextlib.contextmanager
def no_garbage_collection():
    """In the block, Python does not look for unreachable cycles. A graph is full of cycles that are in use."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _jit(function, donated, **placement):
    options = CPU_OPTIONS if jax.default_backend() == "cpu" else None
    return jax.jit(function, donate_argnums=donated, compiler_options=options, **placement)


# ---------------------------------------------------------------- the cache folder


def cache_folder():
    """$XDG_CACHE_HOME/visual_attention; by default ~/.cache/visual_attention."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "visual_attention")


def use_cache_folder():
    """Makes JAX cache what XLA compiles in our folder, unless another folder is configured."""
    if jax.config.jax_compilation_cache_dir is None:
        # JAX's cache keeps a damaged or half-written file forever. With zstandard installed, it passes damaged machine
        # code to XLA. There is no public way to replace it.
        compilation_cache.get_file_cache = lambda folder: (_XlaCache(folder), folder)
        jax.config.update("jax_compilation_cache_dir", str(cache_folder() / "xla"))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)


class _XlaCache:
    """A folder of what XLA compiled, with the interface of jax._src.compilation_cache_interface.CacheInterface."""

    def __init__(self, folder):
        self._path = Path(folder)

    def get(self, key):
        return _read(self._path / f"{key}.xla")

    def put(self, key, value):
        _write(self._path / f"{key}.xla", value)


def _write(path, data):
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, hashlib.sha256(data).digest() + data, attempt=os.getpid())
    except OSError as error:
        reason = error if isinstance(error, WriteError) else f"{path}: could not be written ({error})"
        warnings.warn(f"{reason}; the next start will take longer", stacklevel=2)


def _read(path):
    """The data that `_write` wrote, or None if there is none or the file is damaged. A damaged file is deleted."""
    with contextlib.suppress(OSError):
        content = path.read_bytes()
        digest, data = content[:32], content[32:]
        if hashlib.sha256(data).digest() == digest:
            return data
        path.unlink()
    return None


def _digest(*parts):
    return hashlib.sha256(repr((*parts, *_environment(), jax.config.jax_enable_x64)).encode()).hexdigest()[:32]


@functools.cache
def _environment():
    """What else the compiled graph depends on: this package's source code, versions, the device."""
    package = Path(__file__).parents[1]
    code = [path.read_bytes() for path in sorted([*package.glob("*.py"), *package.glob("fast/*.py")])]
    versions = [importlib.metadata.version(name) for name in ("jax", "jaxlib", "pytensor")]
    return hashlib.sha256(b"".join(code)).hexdigest(), versions, str(jax.devices())
