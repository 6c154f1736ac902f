"""How the time and memory of an update grow with batch, steps, locations, LSTM size, layers, and videos in the table.

    python benchmarks/scale.py --out docs

Varies one quantity at a time, around recipe `paper` at a quarter of its size. Each point runs in a process of its own.
Writes scale.json, scale.md and scale.png.
"""

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import tyro

from visual_attention.commands import command_line, exit_status
from visual_attention.model import Model
from visual_attention.options import recipe
from visual_attention.util.data_handler import Batch
from visual_attention.util.tables import markdown

BASE = {"batch_size": 32, "maxlen": 30, "n_locations": 49, "dim": 512, "n_layers_lstm": 3}
POINTS = {
    "batch_size": (16, 32, 64, 128),
    "maxlen": (15, 30, 60, 120),
    "n_locations": (25, 49, 100, 196),
    "dim": (128, 256, 512, 1024),
    "n_layers_lstm": (1, 2, 3, 5),
    "videos": (5, 10, 20, 40),
}
NAMES = {
    "batch_size": "B, windows per batch", "maxlen": "T, steps", "n_locations": "L, locations", "dim": "d, LSTM size",
    "n_layers_lstm": "LSTM layers", "videos": "videos of 190 frames in the table",
}  # fmt: skip


@dataclass(frozen=True)
class Arguments:
    out: Path = Path("docs")
    """output folder of scale.json, scale.md and scale.png"""
    repetitions: int = 7
    """updates timed at each point; the minimum is reported, because other programs can only add time"""
    point: str | None = None
    """NAME=VALUE: measure only this point and print the result as JSON (used by the processes of the points)"""


def measure(name, value, repetitions):
    """Seconds per update, and the process's peak memory in GB during updates (not during compilation)."""
    changes = BASE | ({} if name == "videos" else {name: value})
    if "dim" in changes:
        changes["dim_out"] = changes["dim"]
    options, rng = recipe("paper", "ucf11", "attention_lambda1", **changes), np.random.default_rng(0)
    T, B = options.maxlen, options.batch_size
    n = 190 * value if name == "videos" else T * B
    frames = rng.integers(0, 3, (n, options.n_locations, options.ctx_dim), dtype="int8").astype("float16")
    index = rng.integers(0, n - T, B) + np.arange(T)[:, None]
    model = Model(options, "float16")
    y = rng.integers(0, options.n_actions, B).astype("int32")
    batch = Batch(model.frames(frames), index.astype("int32"), np.ones((T, B), "float32"), y, np.arange(B))
    seconds = []
    for k in range(repetitions + 2):
        if k == 2:
            Path("/proc/self/clear_refs").write_text("5")  # Linux: resets the peak, so that it is measured from here on
        began = time.perf_counter()
        model.update(batch, rng)
        seconds.append(time.perf_counter() - began)
    status = Path("/proc/self/status").read_text()
    return min(seconds[2:]), int(status.split("VmHWM:")[1].split()[0]) / 1e6  # from kB


def main():
    arguments = tyro.cli(Arguments, description=__doc__)
    command_line.check_at_least(arguments, repetitions=1)
    if arguments.point:
        name, _, value = arguments.point.partition("=")
        return print(json.dumps(measure(name, int(value), arguments.repetitions)))
    results = {}
    for name, values in POINTS.items():
        for value in values:
            command = [sys.executable, __file__, "--point", f"{name}={value}"]
            command += ["--repetitions", str(arguments.repetitions)]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            results.setdefault(name, []).append([value, *json.loads(done.stdout.splitlines()[-1])])
            print(name, *results[name][-1], flush=True)
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "scale.json").write_text(json.dumps({"around": BASE, "points": results}, indent=1))
    body = []
    for name, points in results.items():
        body.append([NAMES[name], *(f"{value}: {seconds:.3f} s, {gb:.2f} GB" for value, seconds, gb in points)])
    (arguments.out / "scale.md").write_text(markdown(["quantity varied", *4 * ["value: seconds, memory"]], body))
    draw(arguments.out / "scale.png", results)


def draw(path, results):
    figure, axes = plt.subplots(2, 3, figsize=(11, 6), layout="constrained")
    for axis, (name, points) in zip(axes.flat, results.items(), strict=True):
        value, seconds, gb = np.array(points).T
        axis.plot(value, seconds, "o-", color="C0", label="seconds per update")
        axis.plot(value, gb, "s--", color="C1", label="peak memory, GB")
        axis.plot(value, seconds[-1] * value / value[-1], ":", color="0.5", label="proportional time")
        axis.set(xlabel=NAMES[name], xlim=(0, None), ylim=(0, None))
    axes[0, 0].legend(fontsize="small")
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    exit_status.run(main)
