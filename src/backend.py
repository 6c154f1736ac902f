"""Compiling one graph for JAX, C or NUMBA."""

import warnings

import pytensor

MODES = {"jax": "JAX", "c": "CVM", "numba": "NUMBA"}


def set_precision(floatX, backend):
    """Precision of graphs built and run from now on, "float32" or "float64"."""
    pytensor.config.floatX = floatX
    if backend == "jax":
        import jax

        jax.config.update("jax_enable_x64", floatX == "float64")
        # PyTensor asks for sums of float32 to be accumulated in float64; JAX then says that it will not, each time
        warnings.filterwarnings("ignore", message="Explicitly requested dtype float64", category=UserWarning)


def compile_function(inputs, outputs, updates=None, backend="jax"):
    """A compiled function of `inputs`, whose arrays must have exactly their dtypes. ValueError: unknown backend."""
    if backend not in MODES:
        raise ValueError(f"backend is {backend!r}; expected one of {', '.join(MODES)}")
    if backend == "c" and not pytensor.config.cxx:
        raise ValueError("backend 'c' needs a C++ compiler, and none was found; install g++ or use --backend jax")
    # every model has the same inputs: softmax regression predicts without looking at the mask
    function = pytensor.function(inputs, outputs, updates=updates, mode=MODES[backend], on_unused_input="ignore")
    # Without the check of types, arrays that lie on the device already are passed as they are, not copied to the host.
    function.trust_input = True
    return function


def to_device(array, backend):
    """Puts an array that many calls share where the backend computes."""
    if backend != "jax":
        return array
    import jax

    return jax.device_put(array)
