"""Speed of updates, evaluation, start and reading, compared with PyTorch and with what the machine allows.

    python scripts/benchmark.py --settings paper --parts update evaluation --json paper.json

Contenders take turns, each in a process of its own. In each turn, the calls of the first second are not timed, and the
three after them are. Prints the median seconds and the ratio of our time to the rival's. Needs torch.
"""

import importlib.metadata
import multiprocessing
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
import tyro

from visual_attention.actrec import init_params
from visual_attention.commands import command_line, exit_status
from visual_attention.experiment.budget import flops
from visual_attention.experiment.evaluation import predictions
from visual_attention.model import Model
from visual_attention.options import recipe
from visual_attention.util import files
from visual_attention.util.data_handler import Batch, DataHandler, read_ahead
from visual_attention.util.data_lists import write_lists
from visual_attention.util.frame_table import FrameTableWriter

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

SETTINGS = {
    "paper": ("paper", "ucf11", {"alpha_c": 1.0}),
    "hmdb": ("paper", "hmdb51", {"alpha_c": 1.0}),
    "released": ("released", "ucf11", {"batch_size": 32}),
    "small": ("paper", "embedded", {"alpha_c": 1.0, "n_layers_lstm": 3, "maxlen": 30, "batch_size": 32}),
}


@dataclass(frozen=True)
class Arguments:
    settings: tuple[Literal["paper", "hmdb", "released", "small"], ...] = ("paper", "hmdb", "released", "small")
    """paper: 3 layers of 512, B 128, T 30, 49 x 1024; hmdb: 3 layers of 1024; released: 1 layer, MLP attention, B 32;
    small: 3 layers of 64, B 32, 49 x 64"""
    parts: tuple[Literal["update", "evaluation", "start", "data"], ...] = ("update", "evaluation", "start", "data")
    """what to measure"""
    rivals: tuple[Literal["eager", "compile", "cudagraph"], ...] = ("eager", "compile")
    """PyTorch variants to compare updates with; cudagraph needs an NVIDIA GPU"""
    repetitions: int = 7
    """number of turns of each contender"""
    features: Literal["float16", "bfloat16", "float32"] = "float16"
    """dtype of our frames; PyTorch gets float32, with which it is faster, but the same dtype on a GPU"""
    matmul: Literal["float32", "tf32", "bfloat16"] = "float32"
    """precision of matrix products, ours and PyTorch's (only float32 on a CPU)"""
    seconds: float = 10.0
    """how long each measurement of `data` reads"""
    json: Path | None = None
    """also write all results to this file"""
    first_update: bool = False
    """do one update of a single setting, then exit; `start` times this"""


def options_of(name, **changes):
    kind, data_set, defaults = SETTINGS[name]
    model = "attention_mlp_lambda0" if kind == "released" else "attention_lambda0"
    return recipe(kind, data_set, model, **defaults | changes)


def random_batch(options, dtype):
    """A batch in which no two windows share frames. The features are not negative, as after a rectifier."""
    T, B, rng = options.maxlen, options.batch_size, np.random.default_rng(0)
    frames = np.maximum(rng.standard_normal((B * T, options.n_locations, options.ctx_dim), dtype="float32"), 0)
    index = np.arange(B * T, dtype="int32").reshape(B, T).T.copy()
    y = rng.integers(0, options.n_actions, B).astype("int32")
    return frames, Batch(frames.astype(dtype), index, np.ones((T, B), "float32"), y, np.arange(B))


def take_turns(contenders, repetitions):
    """Median seconds of each contender's function, and the results of the first calls.

    contenders: name -> (maker, arguments), where maker(*arguments) returns the function. Each contender has a process
    of its own, because the memory and threads of one program would slow down another.
    """
    spawn, processes, firsts = multiprocessing.get_context("spawn"), {}, {}
    for name, (maker, arguments) in contenders.items():
        our_end, their_end = spawn.Pipe()
        process = spawn.Process(target=_serve, args=(their_end, maker, arguments), daemon=True)
        process.start()
        their_end.close()
        processes[name] = process, our_end
        firsts[name] = our_end.recv()
    times = {name: [] for name in contenders}
    for _ in range(repetitions):
        for name, (_, pipe) in processes.items():
            pipe.send("next")
            times[name] += pipe.recv()
    for process, pipe in processes.values():
        pipe.send("end")
        process.join()
    return {name: statistics.median(values) for name, values in times.items()}, firsts


def _serve(pipe, maker, arguments):
    function = maker(*arguments)
    pipe.send(function())
    function()
    while pipe.recv() == "next":
        warm_up(function)
        pipe.send([seconds_of(function) for _ in range(3)])


def warm_up(function, seconds=1):
    """Calls the function for so long. Idle memory is then in the caches again, and idle threads are spread over the
    cores."""
    began = time.perf_counter()
    while time.perf_counter() - began < seconds:
        function()


def seconds_of(function):
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


# ---------------------------------------------------------------- the machine's limit


def machine_rates(repetitions):
    """Best GEMM rate of NumPy, JAX and PyTorch (FLOP/s), and the rate at which memory is read (bytes/s)."""
    seconds, _ = take_turns(
        {kind: (gemm_of, [kind]) for kind in ("numpy", "jax", "torch")} | {"read": (read_of, [])}, repetitions
    )
    return max(2 * 3840 * 2048**2 / seconds[kind] for kind in ("numpy", "jax", "torch")), 8e8 / seconds["read"]


def gemm_of(kind):
    a, b = (np.random.default_rng(k).standard_normal((3840, 2048), dtype="float32") for k in (0, 1))
    if kind == "numpy":
        return lambda: (a.T @ b)[0, 0]
    if kind == "jax":
        x, y, product = jnp.array(a), jnp.array(b), jax.jit(lambda a, b: a.T @ b)
        return lambda: product(x, y).block_until_ready()[0, 0].item()
    import torch

    s, t = (torch.from_numpy(x).to("cuda" if torch.cuda.is_available() else "cpu") for x in (a, b))
    return lambda: (s.T @ t)[0, 0].item()


def read_of():
    long, total = jnp.ones(200_000_000, "float32"), jax.jit(jnp.sum)
    return lambda: total(long).item()


# ---------------------------------------------------------------- parts


def torch_model(options):
    import torch
    from pytorch_model import ActionRecognizer

    device = "cuda" if torch.cuda.is_available() else "cpu"
    rival = ActionRecognizer(options).to(device)
    rival.load(init_params(options))
    return rival, device


def measure_updates(name, arguments):
    options = options_of(name, matmul=arguments.matmul)
    contenders = {"ours": (our_update, [options, arguments.features])}
    contenders |= {kind: (torch_update, [options, kind, arguments]) for kind in arguments.rivals}
    seconds, _ = take_turns(contenders, arguments.repetitions)
    gemm, stream = machine_rates(arguments.repetitions)
    T, B, L, D = options.maxlen, options.batch_size, options.n_locations, options.ctx_dim
    read = 2 * T * B * L * D * jnp.dtype(arguments.features).itemsize
    products = B * 3 * flops(options)
    if options.attention == "mlp":  # there is no gradient of the projection with respect to the frames
        products -= B * 2 * T * L * D**2
    return {
        "seconds": seconds,
        "limit": products / gemm + read / stream,
        "gemm_gflops": gemm / 1e9,
        "stream_gb": stream / 1e9,
        "gflop": products / 1e9,
    }


def our_update(options, features):
    frames, batch = random_batch(options, jnp.dtype(features))
    model, rng = Model(options, features), np.random.default_rng(0)
    batch.frames = model.frames(batch.frames)
    return lambda: model.update(batch, rng)


def torch_update(options, kind, arguments):
    import torch
    from pytorch_model import cost_of

    torch.set_float32_matmul_precision({"float32": "highest", "tf32": "high", "bfloat16": "medium"}[options.matmul])
    if kind != "eager":
        cost_of = torch.compile(cost_of, mode="reduce-overhead" if kind == "cudagraph" else None)
    rival, device = torch_model(options)
    frames, batch = random_batch(options, "float32")
    dtype = torch.float32 if device == "cpu" else getattr(torch, arguments.features)
    cubes = torch.from_numpy(frames).to(device, dtype).reshape(options.batch_size, options.maxlen, *frames.shape[1:])
    y = torch.from_numpy(batch.y).long().to(device)
    optimizer = torch.optim.Adam(rival.parameters(), options.lrate, fused=True, weight_decay=1e-5)

    def update():
        optimizer.zero_grad(set_to_none=True)
        cost = cost_of(rival, cubes.float(), y)
        cost.backward()
        optimizer.step()
        return cost.item()

    return update


def measure_evaluation(name, arguments):
    """Evaluation of stride-1 windows of 300-frame videos. PyTorch processes each window in full, in batches."""
    options, lengths = options_of(name, testing_stride=1), [300, 300]
    with tempfile.TemporaryDirectory() as folder:
        data = make_data(Path(folder), options, lengths, arguments.features)
        contenders = {k: (evaluation_of, [k, options, folder, arguments.features]) for k in ("ours", "eager")}
        seconds, probs = take_turns(contenders, arguments.repetitions)
    gemm, _ = machine_rates(arguments.repetitions)
    products = data.n_windows * flops(options)
    if options.attention == "mlp":  # the projection of a frame serves all windows
        windows_frames = data.n_windows * options.maxlen
        products -= (windows_frames - sum(lengths)) * 2 * options.n_locations * options.ctx_dim**2
    return {
        "seconds": seconds,
        "limit": products / gemm,
        "gemm_gflops": gemm / 1e9,
        "gflop": products / 1e9,
        "largest_difference": float(np.abs(probs["ours"] - probs["eager"]).max()),
        "windows": data.n_windows,
        "T": options.maxlen,
    }


def evaluation_of(kind, options, folder, features):
    """A function that returns the probabilities of all windows in `folder`, (T, n_windows, C)."""
    data = open_data(folder, options)
    if kind == "ours":
        model = Model(options, features)
        return lambda: np.concatenate([probs for _, probs, _ in predictions(model, data)], axis=1)
    import torch

    rival, device = torch_model(options)
    rival.eval()
    frames, B = torch.from_numpy(data.memory.astype("float32")).to(device), options.batch_size

    @torch.inference_mode()
    def eager():
        index = torch.from_numpy(data.index).long().to(device)
        parts = [rival(frames[index[:, k : k + B].T])[0].softmax(dim=-1) for k in range(0, data.n_windows, B)]
        return torch.cat(parts).transpose(0, 1).cpu().numpy()

    return eager


def make_data(folder, options, lengths, dtype, memory_gb=4.0):
    """A DataHandler with one part of random videos of the given lengths."""
    rng = np.random.default_rng(0)
    stored = "float32" if dtype == "bfloat16" else dtype
    with FrameTableWriter(folder / "test_features.h5", options.n_locations, options.ctx_dim, dtype=stored) as writer:
        for n in lengths:
            frames = rng.standard_normal((n, options.n_locations, options.ctx_dim), dtype="float32")
            writer.append(np.maximum(frames, 0).astype(stored))
    names = [f"v{k}" for k in range(len(lengths))]
    write_lists(folder, "test", names, lengths, rng.integers(0, options.n_actions, len(lengths)))
    return open_data(folder, options, memory_gb)


def open_data(folder, options, memory_gb=4.0):
    return DataHandler(Path(folder), "test", options.maxlen, stride=options.testing_stride, memory_gb=memory_gb)


def measure_start(name, arguments):
    """Seconds from the command to the end of the first update, with an empty and with a filled compile cache."""
    command = [sys.executable, __file__, "--first-update", "--settings", name, "--features", arguments.features]
    seconds = {}
    with tempfile.TemporaryDirectory() as folder:
        for turn in ("cold", "cached"):
            began = time.perf_counter()
            subprocess.run(command, check=True, env=os.environ | {"XDG_CACHE_HOME": folder})
            seconds[turn] = time.perf_counter() - began
    return {"seconds": seconds}


def make_first_update(arguments):
    options, dtype = options_of(arguments.settings[0]), jnp.dtype(arguments.features)
    T, B = options.maxlen, options.batch_size
    frames = np.ones((B * T, options.n_locations, options.ctx_dim), dtype)  # random frames take seconds to draw
    index = np.arange(B * T, dtype="int32").reshape(B, T).T.copy()
    batch = Batch(frames, index, np.ones((T, B), "float32"), np.zeros(B, "int32"), np.arange(B))
    Model(options, arguments.features).update(batch, np.random.default_rng(0))


def measure_data(name, arguments):
    """Windows per second from HDF5 at stride 1, and the share of time that updates wait for batches."""
    options = options_of(name, testing_stride=1)
    n = max(300, int(1.5e9 / (options.n_locations * options.ctx_dim * 2)) // 300 * 300)
    rates, rng = {}, np.random.default_rng(0)
    with tempfile.TemporaryDirectory(dir=".") as folder:
        size = 2 * n * options.n_locations * options.ctx_dim / 1e9
        data = make_data(Path(folder), options, [300] * (n // 300), "float16", memory_gb=0.7 * size)
        for place in ("not in page cache", "in page cache"):
            if place == "not in page cache":
                with open(data.table.path, "rb") as file:
                    os.fsync(file.fileno())
                    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            rates[place] = rate_of(data, options, rng, arguments.seconds)
        model, waits, updates = Model(options, "float16"), 0.0, 0
        batches = read_ahead(data.batches(data.shuffled(rng), options.batch_size))
        model.update(next(batches), rng)
        began = time.perf_counter()
        while time.perf_counter() - began < arguments.seconds:
            asked = time.perf_counter()
            batch = next(batches)
            waits += time.perf_counter() - asked
            model.update(batch, rng)
            updates += 1
        spent = time.perf_counter() - began
        batches.close()
    return {
        "windows_per_second": rates,
        "training_windows_per_second": updates * options.batch_size / spent,
        "share_waiting": waits / spent,
        "gb": size,
    }


def rate_of(data, options, rng, seconds):
    """Windows per second through the buffer, in training order, not counting the initial filling of the buffer."""
    batches, n = data.batches(data.shuffled(rng), options.batch_size), 0
    next(batches)
    began = time.perf_counter()
    for batch in batches:
        n += len(batch.windows)
        if time.perf_counter() - began > seconds:
            break
    return n / (time.perf_counter() - began)


# ---------------------------------------------------------------- results


def machine():
    versions = {name: importlib.metadata.version(name) for name in ("pytensor", "jax", "jaxlib", "numpy", "torch")}
    cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "")
    tunables = os.environ.get("GLIBC_TUNABLES", "")
    return {
        "cpu": cpu, "cores": os.cpu_count(), "device": str(jax.devices()[0].device_kind), "GLIBC_TUNABLES": tunables,
        "python": platform.python_version(), **versions,
    }  # fmt: skip


def print_result(name, part, result):
    if part == "update":
        ours = result["seconds"]["ours"]
        row = "; ".join(f"{k} {v:.3f} s (ours is {ours / v:.2f})" for k, v in result["seconds"].items())
        print(
            f"{name}, update: {row}; limit {result['limit']:.3f} s ({result['gflop']:.0f} GFLOP at "
            f"{result['gemm_gflops']:.0f} GFLOP/s, {result['stream_gb']:.1f} GB/s), "
            f"{100 * result['limit'] / ours:.0f} % of our time"
        )
    elif part == "evaluation":
        ours, eager = result["seconds"]["ours"], result["seconds"]["eager"]
        print(
            f"{name}, evaluation of {result['windows']} windows: ours {ours:.3f} s, PyTorch {eager:.3f} s: "
            f"{eager / ours:.2f} times as fast; limit {result['limit']:.3f} s ({result['gflop']:.0f} GFLOP at "
            f"{result['gemm_gflops']:.0f} GFLOP/s), {eager / result['limit']:.1f} times as fast; largest difference "
            f"{result['largest_difference']:.1e}"
        )
    elif part == "start":
        cold, cached = result["seconds"]["cold"], result["seconds"]["cached"]
        print(f"{name}, to the first update: {cold:.1f} s, cached {cached:.1f} s")
    else:
        rates = "; ".join(f"{place} {rate:.0f}" for place, rate in result["windows_per_second"].items())
        print(
            f"{name}, windows per second from {result['gb']:.1f} GB: {rates}; training from disk "
            f"{result['training_windows_per_second']:.0f}, {100 * result['share_waiting']:.0f} % of the time waiting"
        )
    sys.stdout.flush()


MEASURES = {"update": measure_updates, "evaluation": measure_evaluation, "start": measure_start, "data": measure_data}


def main():
    arguments = tyro.cli(Arguments, description=__doc__)
    command_line.check_at_least(arguments, repetitions=1)
    if arguments.first_update:
        return make_first_update(arguments)
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # the contenders share the GPU's memory
    results = {"machine": machine(), "command": " ".join(sys.argv)}
    print(", ".join(f"{k} {v}" for k, v in results["machine"].items() if v))
    for name in arguments.settings:
        for part in arguments.parts:
            results[f"{name} {part}"] = MEASURES[part](name, arguments)
            print_result(name, part, results[f"{name} {part}"])
            if arguments.json:
                files.write_json(arguments.json, results, indent=1)


if __name__ == "__main__":
    exit_status.run(main)
