"""Compiling a graph with JAX, C or NUMBA. JAX has the speed layer (src/fast), unless option plain leaves it out."""

import warnings

import numpy as np
import pytensor

MODES = {"jax": "JAX", "c": "CVM", "numba": "NUMBA"}


def set_precision(floatX, backend="jax", matmul="float32"):
    """Sets the precision of graphs that are built and run from now on.

    floatX: float32 or float64. matmul: precision of matrix products on a GPU: float32, tf32 or bfloat16.
    """
    pytensor.config.floatX = floatX
    if backend == "c":
        # Softmax has no code in C: PyTensor computes it by a function of its own, in the default mode, which is NUMBA.
        pytensor.config.mode = MODES["c"]
    if backend == "jax":
        import jax

        jax.config.update("jax_enable_x64", floatX == "float64")
        jax.config.update("jax_default_matmul_precision", matmul.replace("tf32", "tensorfloat32"))
        # PyTensor asks for sums of float32 in float64, and for int64. JAX warns each time that it does not do so.
        warnings.filterwarnings("ignore", message="Explicitly requested dtype (float|int)64", category=UserWarning)


def compile_function(
    inputs, outputs, updates=None, backend="jax", plain=False, key=None, devices=1, complete=None, n_tables=1
):  # 9 parameters: those of pytensor.function, and what our backends need
    """A compiled function of `inputs`. Its arguments must have exactly the dtypes of `inputs`.

    inputs: variable -> its batch axis, or None; the first `n_tables` are frame tables. complete: a function from a list
    of expressions to the same expressions with their placeholders filled in. It is called only if the graph must be
    compiled. ValueError: the backend is unknown, or has no compiler.

    Only the speed layer uses key and devices. key: a text that, with the source code, identifies the graph in the
    cache. devices: number of JAX devices that share a batch.
    """
    if backend not in MODES:
        raise ValueError(f"backend is {backend!r}; expected one of {', '.join(MODES)}")
    if backend == "jax" and not plain:
        from visual_attention.fast.compiling import JaxFunction

        return JaxFunction(inputs, outputs, updates or {}, key, devices, complete, n_tables)
    if backend == "c" and not pytensor.config.cxx:
        raise ValueError("backend 'c' needs a C++ compiler, and none was found; install g++ or use --backend jax")
    if complete:
        outputs, *values = complete([outputs, *updates.values()])
        updates = dict(zip(updates, values, strict=True))
    # All models have the same inputs. Softmax regression does not use the mask in prediction.
    return pytensor.function(list(inputs), outputs, updates=updates, mode=MODES[backend], on_unused_input="ignore")


def to_device(array, options):
    """An array that many calls share, placed where the backend computes: on its device, or on each of several."""
    if options.backend != "jax" or options.plain:
        return np.asarray(array)
    from visual_attention.fast import devices

    return devices.to_device(array, options.devices)


def check_devices(options):
    """ValueError: the backend has fewer devices than option `devices` asks for."""
    if options.devices > 1:
        from visual_attention.fast import devices

        devices.check_devices(options.devices)
