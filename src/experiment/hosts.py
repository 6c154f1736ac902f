"""Several hosts that train one run together: all read its folder, the first one alone writes to it."""

import jax
from jax.experimental import multihost_utils

from visual_attention.util import files


def is_first_host():
    """Whether this process writes; True where no other host takes part."""
    return not jax.distributed.is_initialized() or jax.process_index() == 0


def wait_for_hosts(where):
    """Returns when all hosts that train the run have called it with the same text."""
    if jax.distributed.is_initialized():
        multihost_utils.sync_global_devices(where)


def write_file(path, content):
    """As `files.write_file`, by the first host alone."""
    if is_first_host():
        files.write_file(path, content)
