"""Where arrays are: on JAX's device, or divided among several devices of one or more hosts."""

import jax
import numpy as np
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P


def on_devices(n, spec=()):
    """A sharding over JAX's first n devices: whole on each, or divided along the axis that spec names "batch"."""
    return NamedSharding(jax.sharding.Mesh(jax.devices()[:n], "batch"), P(*spec))


def place(array, where=None):
    """The array on JAX's device, or divided as the sharding `where` says. All hosts must be given the same array."""
    if where is None or where.is_fully_addressable:
        return jax.device_put(array, where)
    if isinstance(array, jax.Array) and array.sharding == where:
        return array
    array = np.asarray(array)
    return jax.make_array_from_callback(array.shape, where, lambda part: array[part])


def to_device(array, n):
    """The whole array on each of n devices. ValueError: JAX has fewer."""
    check_devices(n)
    return jax.device_put(array) if n == 1 else place(array, on_devices(n))


def check_devices(n):
    """ValueError: JAX has fewer than n devices."""
    available = jax.devices()
    if n > len(available):
        raise ValueError(
            f"option devices is {n}; expected at most {len(available)}, which JAX finds here "
            f"({available[0].platform}); XLA_FLAGS=--xla_force_host_platform_device_count=N makes N of a CPU"
        )
