"""Where arrays are: on JAX's device, or divided among several devices of one or more hosts."""

import functools

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


def place(array, where=None):
    """The array on JAX's device, or divided as the sharding `where` says. All hosts must be given the same array.

    The device is named. For an array that is on it by default, JAX would compile a function once more.
    """
    where = where or on_first_device()
    if isinstance(array, jax.Array) and array.sharding == where and array.committed:
        return array
    if where.is_fully_addressable:
        return jax.device_put(array, where)
    array = np.asarray(array)
    return jax.make_array_from_callback(array.shape, where, lambda part: array[part])


def to_device(array, n):
    """The whole array on each of n devices. ValueError: JAX has fewer."""
    check_devices(n)
    return place(array, None if n == 1 else on_devices(n))


def check_devices(n):
    """ValueError: JAX has fewer than n devices."""
    available = jax.devices()
    if n > len(available):
        raise ValueError(
            f"option devices is {n}; expected at most {len(available)}, which JAX finds here "
            f"({available[0].platform}); XLA_FLAGS=--xla_force_host_platform_device_count=N makes N of a CPU"
        )
