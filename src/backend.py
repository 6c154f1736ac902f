"""Compiling one graph for JAX, C or NUMBA.

What is compiled for JAX is kept in a cache folder: the graph as it goes to XLA and, by JAX, what XLA makes of it. So
the next start waits for neither.
"""

import functools
import hashlib
import importlib.metadata
import os
import warnings
from pathlib import Path

import jax
import numpy as np
import pytensor
from jax import export
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P
from pytensor.compile.mode import JAX
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.fg import FunctionGraph
from pytensor.graph.traversal import graph_inputs
from pytensor.link.jax.dispatch import jax_funcify

BACKENDS = {"jax": None, "c": "CVM", "numba": "NUMBA"}


def cache_folder():
    """$XDG_CACHE_HOME/visual_attention, by default in ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "visual_attention")


def set_precision(floatX, backend, matmul="float32"):
    """Precision of graphs built and run from now on, "float32" or "float64"; and of matrix products, on a GPU."""
    pytensor.config.floatX = floatX
    if backend == "jax":
        if jax.config.jax_compilation_cache_dir is None:
            jax.config.update("jax_compilation_cache_dir", str(cache_folder() / "xla"))
            jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
        jax.config.update("jax_enable_x64", floatX == "float64")
        jax.config.update("jax_default_matmul_precision", matmul.replace("tf32", "tensorfloat32"))
        # PyTensor asks for sums of float32 to be accumulated in float64; JAX then says that it will not, each time
        warnings.filterwarnings("ignore", message="Explicitly requested dtype float64", category=UserWarning)


def compile_function(inputs, outputs, updates=None, backend="jax", key=None, devices=1, batch_axes=()):
    """A compiled function of `inputs`, whose arrays must have exactly their dtypes. ValueError: unknown backend.

    key: a text that, with the source code, tells this graph from all others; with it JAX's part is kept on disk.
    devices: how many of JAX's devices share a batch; batch_axes: the batch's axis of each input, None where none is.
    """
    if backend not in BACKENDS:
        raise ValueError(f"backend is {backend!r}; expected one of {', '.join(BACKENDS)}")
    if backend == "jax":
        return JaxFunction(inputs, outputs, updates or {}, key, devices, batch_axes)
    if backend == "c" and not pytensor.config.cxx:
        raise ValueError("backend 'c' needs a C++ compiler, and none was found; install g++ or use --backend jax")
    # every model has the same inputs: softmax regression predicts without looking at the mask
    return pytensor.function(inputs, outputs, updates=updates, mode=BACKENDS[backend], on_unused_input="ignore")


class JaxFunction:
    """As pytensor.function's for JAX, but what it replaces it overwrites, and a graph met before is read from disk."""

    def __init__(self, inputs, outputs, updates, key, devices, batch_axes):
        self.single, outputs = not isinstance(outputs, list), outputs if isinstance(outputs, list) else [outputs]
        self.inputs, self.outputs, self.key, self.compiled = inputs, [*outputs, *updates.values()], key, {}
        self.shared = [v for v in graph_inputs(self.outputs) if isinstance(v, SharedVariable)]
        self.updated, self.n_outputs = list(updates), len(outputs)
        self.shared += [v for v in self.updated if v not in self.shared]
        self.places = [None] * (len(inputs) + len(self.shared))
        if devices > 1:
            # XLA divides the work, and adds the parts' gradients up, as the places of inputs and outputs ask
            axes = [*batch_axes, *(None for _ in self.shared)]
            specs = [() if axis is None else (*[None] * axis, "batch") for axis in axes]
            self.places = [on_devices(devices, spec) for spec in specs]

    def __call__(self, *args):
        # all on the device: what is donated must be, or JAX compiles once more when it is
        args = [*args, *(variable.container.storage[0] for variable in self.shared)]
        args = [put(a, place) for a, place in zip(args, self.places, strict=True)]
        shapes = tuple((np.shape(a), str(a.dtype)) for a in args)
        if shapes not in self.compiled:
            self.compiled[shapes] = self._compile(args, shapes)
        results = self.compiled[shapes](*args)
        for variable, value in zip(self.updated, results[self.n_outputs :], strict=True):
            variable.container.storage[0] = value  # without a copy to the host
        return results[0] if self.single else results[: self.n_outputs]

    def _compile(self, args, shapes):
        n = len(self.inputs)
        donated = tuple(n + k for k, variable in enumerate(self.shared) if variable in self.updated)
        if self.places[0]:
            everywhere = on_devices(self.places[0].mesh.size)
            return jax.jit(self.translated, donate_argnums=donated, out_shardings=everywhere)
        if self.key is None:
            return jax.jit(self.translated, donate_argnums=donated)
        path = cache_folder() / f"{_digest(self.key, shapes)}.graph"
        try:
            exported = export.deserialize(bytearray(path.read_bytes()))
        except Exception:  # not there, or not whole, or of another JAX: made anew
            types = [jax.ShapeDtypeStruct(shape, dtype) for shape, dtype in shapes]
            exported = export.export(jax.jit(self.translated))(*types)
            _keep(path, exported.serialize())
        return jax.jit(exported.call, donate_argnums=donated)

    @functools.cached_property
    def translated(self):
        """The graph, rewritten by PyTensor, as a function that JAX can trace."""
        with pytensor.config.change_flags(traceback__limit=0):
            graph = FunctionGraph([*self.inputs, *self.shared], self.outputs, clone=True)
            JAX.excluding("fusion").optimizer.rewrite(graph)  # XLA fuses by itself
            return jax_funcify(graph)


def put(array, place=None):
    """The array on the device, or divided among devices; those of other hosts too, which must be given the same."""
    if place is None or place.is_fully_addressable:
        return jax.device_put(array, place)
    if isinstance(array, jax.Array) and array.sharding == place:
        return array
    array = np.asarray(array)
    return jax.make_array_from_callback(array.shape, place, lambda part: array[part])


def _keep(path, data):
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(f".{os.getpid()}")
        temporary.write_bytes(data)
        os.replace(temporary, path)
    except OSError as error:
        warnings.warn(f"{path}: could not be written ({error}); the next start will take longer", stacklevel=2)


def _digest(*parts):
    return hashlib.sha256(repr((*parts, *_environment(), jax.config.jax_enable_x64)).encode()).hexdigest()[:32]


@functools.cache
def _environment():
    """What else the compiled graph depends on: this source code, versions, the device."""
    code = [path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py"))]
    versions = [importlib.metadata.version(name) for name in ("jax", "jaxlib", "pytensor")]
    return hashlib.sha256(b"".join(code)).hexdigest(), versions, str(jax.devices())


def to_device(array, options):
    """Puts an array that many calls share where options' backend computes: on the device, or on each of several."""
    if options.backend != "jax":
        return array
    check_devices(options)
    if options.devices == 1:
        return jax.device_put(array)
    return put(array, on_devices(options.devices))


def on_devices(n, spec=()):
    """Where an array lies on JAX's first n devices: whole on each, or divided along the axis named "batch" in spec."""
    return NamedSharding(jax.sharding.Mesh(jax.devices()[:n], "batch"), P(*spec))


def check_devices(options):
    """ValueError where JAX has fewer devices than option `devices` asks for."""
    found = jax.devices()
    if options.devices > len(found):
        raise ValueError(
            f"option devices is {options.devices}; expected at most {len(found)}, which JAX finds "
            f"here ({found[0].platform}); "
            "XLA_FLAGS=--xla_force_host_platform_device_count=N makes N of a CPU"
        )
