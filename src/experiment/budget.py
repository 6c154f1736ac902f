"""Time, memory and disk that training and extraction will need, estimated from options and lists before they begin.

tests/faults/memory.py compares the memory with what is used; docs/reliability.md states the result.
"""

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

from visual_attention.attention import ATTENTION
from visual_attention.experiment.evaluation import batch_size
from visual_attention.layers import Zeros
from visual_attention.resolutions import resolution_params
from visual_attention.util.data_handler import windows
from visual_attention.util.data_lists import PARTS, read_lists
from visual_attention.util.frame_table import open_table

# Time of an update relative to its matrix products alone; measured at full size: 1.2 to 1.5, more for small models.
OVERHEAD = 1.5
BASE_GB = 1.0  # Python, JAX and compiling (measured: 0.4 to 0.8)
FRAMES_AT_ONCE = 1024  # frames that FrameTable.load reads at once


def n_params(options):
    """Number of parameters of the model of `options`."""
    o, L, D, d = options, options.all_locations, options.depth, options.dim
    if o.pooling == "cube":
        return (L * D + 1) * o.n_actions
    n = (o.n_layers_init - 1) * (D + 1) * D + o.n_layers_lstm * 2 * (D + 1) * d
    n += (D + d + 1) * 4 * d + (o.n_layers_lstm - 1) * (2 * d + 1) * 4 * d
    if o.pooling == "attention":
        params = ATTENTION[o.attention].init_params(o, Zeros())
        n += sum(value.size for value in params.values())
    if o.resolutions != "one":
        n += sum(value.size for value in resolution_params(o, Zeros()).values())
    n += (d + 1) * (o.selector + (o.focus == "hard" and o.baseline == "state")) + (D + 1) * o.dim_out * o.ctx2out
    return n + (d + 1) * o.dim_out + (o.n_layers_out - 1) * (o.dim_out + 1) * o.dim_out + (o.dim_out + 1) * o.n_actions


def check_size(options):
    """ValueError where the model with its gradient, or one batch, does not fit this machine's memory."""
    memory, o = psutil.virtual_memory().total / 1e9, options
    model_gb, batch_gb = 16e-9 * n_params(o), 4e-9 * o.maxlen * o.batch_size * (o.dim + o.ctx_dim + o.n_actions)
    if model_gb > memory:
        raise ValueError(
            f"a model of ctx_dim {o.ctx_dim}, n_locations {o.n_locations}, dim {o.dim}, dim_out {o.dim_out} and "
            f"n_actions {o.n_actions} has {n_params(o):,} parameters; training it takes {model_gb:.3g} GB, and this "
            f"machine has {memory:.1f}; choose smaller ones"
        )
    if batch_gb > memory:
        raise ValueError(
            f"batch_size {o.batch_size} windows of maxlen {o.maxlen} frames need more than {batch_gb:.3g} GB; this "
            f"machine has {memory:.1f}; choose smaller ones"
        )


def flops(options):
    """Floating-point operations of predicting one window. An update needs three times as many per window."""
    o, D, d, frame = options, options.depth, options.dim, numbers_of_frame(options)
    if o.pooling == "cube":
        return 2 * o.maxlen * frame * o.n_actions
    step = (D + d) * 4 * d + (o.n_layers_lstm - 1) * 8 * d * d + d * o.dim_out + o.dim_out * o.n_actions
    if o.pooling == "attention":
        step += ATTENTION[o.attention].flops(o) / 2
    if o.resolutions != "one":
        # Eq. 4 projects the two weighted sums; what sees the cubes or their maximum needs all locations projected.
        projects_all = o.pooling == "max" or (o.pooling == "attention" and o.attention == "mlp")
        step += D * (frame if projects_all else o.ctx_dim + o.fine_dim)
    return 2 * o.maxlen * (step + frame)


def numbers_of_frame(options):
    """Numbers of a frame, of both layers if both are read."""
    o = options
    return o.n_locations * o.ctx_dim + (o.fine_locations * o.fine_dim if o.resolutions != "one" else 0)


def matmul_rate(seconds=0.5):
    """Speed of a matrix product on JAX's device in floating-point operations per second, and whether that is a GPU."""
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
class Sizes:
    """Sizes of a data set. Lists have one number each for train, valid and test."""

    windows: list
    table_gb: list  # the whole frame table
    batch_gb: list  # frames of one batch, where batches carry frames of their own
    frame_gb: float  # one frame
    itemsize: int  # bytes per number


@dataclass
class Need:
    """What a cell needs: seconds on the whole machine, GB of memory while it runs, GB of disk after it."""

    seconds: float
    memory_gb: float
    disk_gb: float


def need(options, sizes, rate):
    """The Need of a cell. rate: `matmul_rate`."""
    train, valid, test = sizes.windows
    o, tests = options, 1
    if o.focus == "hard":  # the test part is tested in three ways
        tests = o.n_samples if o.glimpse_test == "samples" else 1
        test *= (2 + o.n_samples) / tests
    windows = o.max_epochs * (3 * train + tests * valid) + tests * test
    return Need(
        OVERHEAD * windows * flops(options) / rate,
        memory_gb(options, sizes),
        16 * n_params(options) / 1e9,  # model.npz, and a checkpoint with two of the optimizer's arrays per parameter
    )


def memory_gb(options, sizes):
    """GB of memory of a cell's process on a CPU. With a GPU, much of it is the GPU's memory."""
    o, widened = options, 1 if options.backend == "jax" else np.dtype(options.floatX).itemsize / sizes.itemsize
    in_memory = [gb if gb <= o.memory_gb else 0 for gb in sizes.table_gb]
    tables = sum(in_memory) + in_memory[0] * (widened - 1)
    if max(sizes.table_gb) > o.memory_gb:
        tables += o.memory_gb  # parts are read one after another, so there is one buffer at a time
    # two copies of the training table exist while it is placed on the backend's device
    placing = max(in_memory[0], 3 * FRAMES_AT_ONCE * sizes.frame_gb if any(in_memory) else 0)
    # two batches wait, one is being made, one is in use, and one is its copy on the backend's device
    batches = (4 + widened) * max(sizes.batch_gb)
    params = 6 * n_params(o)  # their gradients, the optimizer's state, and what a checkpoint is read into
    arrays = 12 * o.maxlen * sum(sizes.windows) + 8 * o.n_actions * max(sizes.windows)  # indices and probabilities
    numbers = np.dtype(o.floatX).itemsize * (params + working_numbers(o))
    return BASE_GB + tables + max(placing, batches) + (numbers + arrays) / 1e9


def working_numbers(options):
    """Numbers that an update keeps from its forward to its backward loop, copies of cubes in floatX included."""
    o, L, D, d = options, options.all_locations, options.depth, options.dim
    steps = o.maxlen * o.batch_size
    if o.pooling == "cube":
        return steps * L * D
    # per layer: pre-activations of the gates and the gradients with respect to them, the input, h and c
    layers = sum(2 * 4 * d + (D if k == 0 else d) + d + 2 * d for k in range(o.n_layers_lstm))
    step = layers + (2 + 2 * o.ctx2out) * D + 3 * L + 4 * o.n_layers_out * o.dim_out + 3 * o.n_actions
    if o.pooling == "max":
        step += L * D
    elif o.pooling == "attention":
        step += ATTENTION[o.attention].kept(o)
        if o.resolutions != "one" and ATTENTION[o.attention].kept(o):
            step += L * D  # the projected cubes
    return int(1.2 * steps * step)


def extraction_gb(workers, batch_size, extractor):
    """GB of memory of an extraction by `workers` processes on a CPU, for videos of up to 3840 x 2160 pixels."""
    # 0.6: torch, and a network of this project
    each = 0.6 + extractor.weights_gb + extractor.frame_gb * batch_size
    return workers * each + (0.3 + extractor.weights_gb if workers > 1 else 0)


def second_mb(extractor, fps, dtype):
    """MB of disk that the cubes of a second of video take."""
    return fps * extractor.frame_bytes(dtype) / 1e6


def available_gb(folder):
    """Free memory, and free space on the disk of `folder`, which need not exist yet, in GB."""
    folder = folder.resolve()
    while not folder.exists():
        folder = folder.parent
    return psutil.virtual_memory().available / 1e9, psutil.disk_usage(str(folder)).free / 1e9


def sizes(folder, options):
    """The Sizes of a data set, from its lists and the shapes of its frame tables."""
    n_windows, table_gb, batch_gb = [], [], []
    for part in PARTS:
        path = Path(folder, f"{part}_features.h5")
        lists, table = read_lists(folder, part), open_table(path, options.ctx_dim, options.resolutions != "one")
        table.close()
        stride = options.training_stride if part == "train" else options.testing_stride
        index, video = windows(lists.frame_numbers, options.maxlen, table.fps // options.fps, stride)
        n_windows.append(len(video))
        frame_gb = table.frame_bytes / 1e9
        table_gb.append(table.n_frames * frame_gb)
        if part != "train":
            _, frames = batch_size(options, index)
        else:  # batches of a training table in memory are indices into it
            frames = index.shape[0] * options.batch_size if table_gb[0] > options.memory_gb else 0
        batch_gb.append(frames * frame_gb)
    return Sizes(n_windows, table_gb, batch_gb, frame_gb, table.dtype.itemsize)
