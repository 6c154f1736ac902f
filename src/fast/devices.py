"""Where arrays are: on JAX's device, or divided among several devices of one or more hosts."""

import contextlib
import functools
import os
from pathlib import Path

import jax
import numpy as np
from jax.sharding import NamedSharding, SingleDeviceSharding
from jax.sharding import PartitionSpec as P


def on_devices(n, spec=()):
    """A sharding over JAX's first n devices: whole on each, or divided along the axis that spec names "batch"."""
    return NamedSharding(jax.sharding.Mesh(jax.devices()[:n], "batch"), P(*spec))


@functools.cache
def on_first_device():
    """The sharding that names JAX's first device, where everything is unless several devices share a batch."""
    return SingleDeviceSharding(jax.devices()[0])


@functools.cache
def spread_threads():
    """Gives each of XLA's threads a core of its own, on a CPU with one for each (Linux).

    The parts of a product then never share a core while another core is idle, as happens after a pause.
    """
    if jax.default_backend() != "cpu" or not hasattr(os, "sched_setaffinity"):
        return
    cores = sorted(os.sched_getaffinity(0))
    threads = [int(path.parent.name) for path in sorted(Path("/proc/self/task").glob("*/comm")) if _is_xlas(path)]
    if len(threads) == len(cores):
        for thread, core in zip(threads, cores, strict=True):
            with contextlib.suppress(OSError):  # the system does not allow it
                os.sched_setaffinity(thread, {core})


def _is_xlas(path):
    try:
        return path.read_text().startswith("tf_XLAEigen")
    except OSError:  # the thread has ended
        return False


def place(arrays, where):
    """The arrays on JAX's device, or divided as their shardings `where` say; None leaves an array where it is.

    All hosts must be given the same arrays. The device is named. For an array that is on it by default, JAX would
    compile a function once more.
    """
    arrays = list(arrays)
    pairs = enumerate(zip(arrays, where, strict=True))
    elsewhere = [k for k, (array, place) in pairs if place is not None and not _is_at(array, place)]
    if elsewhere:  # all in one call, which takes far less time than one for each
        to = [where[k] for k in elsewhere]
        move = jax.device_put if to[0].is_fully_addressable else _parts_of_this_host
        moved = move([arrays[k] for k in elsewhere], to)
        for k, array in zip(elsewhere, moved, strict=True):
            arrays[k] = array
    return arrays


def _is_at(array, place):
    return isinstance(array, jax.Array) and array.sharding == place and array.committed


def _parts_of_this_host(arrays, where):
    arrays = [np.asarray(array) for array in arrays]
    return [jax.make_array_from_callback(a.shape, w, a.__getitem__) for a, w in zip(arrays, where, strict=True)]


def to_device(array, n):
    """The whole array on each of n devices. ValueError: JAX has fewer."""
    check_devices(n)
    return place([array], [on_first_device() if n == 1 else on_devices(n)])[0]


def check_devices(n):
    """ValueError: JAX has fewer than n devices."""
    available = jax.devices()
    if n > len(available):
        raise ValueError(
            f"option devices is {n}; expected at most {len(available)}, which JAX finds here "
            f"({available[0].platform}); XLA_FLAGS=--xla_force_host_platform_device_count=N makes N of a CPU"
        )
