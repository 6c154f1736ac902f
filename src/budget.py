"""What training will need before it is begun: time, memory and disk, estimated from options and number of windows."""

import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from visual_attention.util.data_handler import windows
from visual_attention.util.data_lists import PARTS, read_lists
from visual_attention.util.frame_table import FrameTable

# An update takes about so many times what its matrix products alone would (measured at full size: 1.2 to 1.5); small
# models more.
OVERHEAD = 1.5
BASE_GB = 1.0  # Python, JAX and compiling


def n_params(options):
    """Number of parameters of a model."""
    o, L, D, d = options, options.n_locations, options.ctx_dim, options.dim
    if o.pooling == "cube":
        return (L * D + 1) * o.n_actions
    n = (o.n_layers_init - 1) * (D + 1) * D + o.n_layers_lstm * 2 * (D + 1) * d
    n += (D + d + 1) * 4 * d + (o.n_layers_lstm - 1) * (2 * d + 1) * 4 * d
    if o.pooling == "attention":
        n += d * L if o.attention == "location" else D * D + d * D + D + (o.n_layers_att - 1) * (D + 1) * D + D + 1
    n += (d + 1) * o.selector + (D + 1) * o.dim_out * o.ctx2out
    return n + (d + 1) * o.dim_out + (o.n_layers_out - 1) * (o.dim_out + 1) * o.dim_out + (o.dim_out + 1) * o.n_actions


def flops(options):
    """Floating-point operations of predicting one window; an update takes three times as many for each."""
    o, L, D, d = options, options.n_locations, options.ctx_dim, options.dim
    if o.pooling == "cube":
        return 2 * o.maxlen * L * D * o.n_actions
    step = L * D + (D + d) * 4 * d + (o.n_layers_lstm - 1) * 8 * d * d + d * o.dim_out + o.dim_out * o.n_actions
    if o.pooling == "attention":
        step += d * L if o.attention == "location" else o.n_layers_att * L * D * D + d * D + L * D
    return 2 * o.maxlen * step


def matmul_rate(seconds=0.5):
    """Floating-point operations a second of a matrix product where JAX computes, and whether that is a GPU."""
    import jax
    import jax.numpy as jnp

    a, product = jnp.ones((1024, 1024), "float32"), jax.jit(lambda a: a @ a)
    product(a).block_until_ready()
    began, n = time.monotonic(), 0
    while time.monotonic() - began < seconds:
        product(a).block_until_ready()
        n += 1
    return 2 * 1024**3 * n / (time.monotonic() - began), jax.default_backend() == "gpu"


@dataclass
class Need:
    """What a cell needs: seconds on the whole machine, GB of memory while it runs, GB of disk after it."""

    seconds: float
    memory_gb: float
    disk_gb: float


def need(options, n_windows, table_gb, itemsize, rate):
    """The Need of a cell. n_windows: of train, valid and test; table_gb: of their frame tables; rate: `matmul_rate`."""
    train, valid, test = n_windows
    windows = options.max_epochs * (3 * train + valid) + test
    cubes = options.maxlen * options.batch_size * options.n_locations * options.ctx_dim  # numbers in a batch of windows
    in_memory = sum(min(gb, options.memory_gb) for gb in table_gb)
    batches = 4 * cubes * itemsize if max(table_gb) > options.memory_gb else 0  # being read, waiting, in use
    mlp = options.pooling == "attention" and options.attention == "mlp"
    working = cubes * 4 * (4 if mlp else 1)  # in floatX; mlp: projection, its tanh and their gradients too
    params = 4 * n_params(options)
    return Need(
        OVERHEAD * windows * flops(options) / rate,
        BASE_GB + in_memory + (batches + working + 6 * params) / 1e9,
        4 * params / 1e9,  # model.npz, and a checkpoint with two of the optimizer's arrays a parameter
    )


def available_gb(folder):
    """Memory and disk that are free, in GB; `folder`: on which disk, its nearest parent that is there counts."""
    folder = folder.resolve()
    while not folder.exists():
        folder = folder.parent
    return psutil.virtual_memory().available / 1e9, psutil.disk_usage(str(folder)).free / 1e9


def sizes(folder, options):
    """Of the parts of a data set, without reading frames: windows, GB of frame table, and bytes a number."""
    n_windows, table_gb = [], []
    for part in PARTS:
        lists, table = read_lists(folder, part), FrameTable(Path(folder, f"{part}_features.h5"), options.ctx_dim)
        table.close()
        stride = options.training_stride if part == "train" else options.testing_stride
        _, video = windows(lists.frame_numbers, options.maxlen, table.fps // options.fps, stride)
        n_windows.append(len(video))
        table_gb.append(table.n_frames * table.frame_bytes / 1e9)
    return n_windows, table_gb, table.dtype.itemsize
