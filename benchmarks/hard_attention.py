"""Prediction with hard and hybrid attention compared with soft attention: time and bytes of features per frame.

python benchmarks/hard_attention.py --locations 49 196 1024

The attention is the paper's (Eq. 4), which scores locations by the state alone. Attention `mlp` reads all features to
score them, so hard attention saves nothing there. Times are per window and step of a whole
prediction, without Eq. 6's mean cube. That reads all features of a frame once, whatever the focus; its time is per
frame. Bytes are those of the features that Eq. 5 reads per window and step. They follow from the shapes and are not
measured. The contenders take turns.
"""

import os
import time
from dataclasses import dataclass

import jax
import numpy as np
import tyro

from visual_attention.commands import exit_status
from visual_attention.model import Model
from visual_attention.options import Options
from visual_attention.util.data_handler import Batch
from visual_attention.util.tables import markdown

CONTENDERS = {
    "soft": {},
    "hybrid, k = 4": {"focus": "hybrid", "top_k": 4},
    "hard, likeliest": {"focus": "hybrid", "top_k": 1},
    "hard, one sample": {"focus": "hard", "glimpse_test": "samples", "n_samples": 1},
}


@dataclass(frozen=True)
class Arguments:
    locations: tuple[int, ...] = (49, 196, 1024)
    """L of each table"""
    windows: int = 64
    """windows that are predicted at a time"""
    dim: int = 512
    """size of each LSTM layer"""
    layers: int = 3
    """LSTM layers"""
    ctx_dim: int = 1024
    """depth of the features"""
    turns: int = 5
    """number of repetitions of each measurement"""


def seconds(call):
    began = time.perf_counter()
    jax.block_until_ready(call())
    return time.perf_counter() - began


def measure(n_locations, arguments):
    """Rows of the table for one number of locations."""
    a, T = arguments, 30
    options = Options(
        n_locations=n_locations, dim=a.dim, n_layers_lstm=a.layers, ctx_dim=a.ctx_dim, batch_size=a.windows, maxlen=T
    )
    n_frames = T + a.windows - 1  # windows that start one frame after the other
    rng = np.random.default_rng(0)
    frames = rng.random((n_frames, n_locations, a.ctx_dim), "float32").astype("float16")
    index = (np.arange(T)[:, None] + np.arange(a.windows)).astype("int32")
    mask, y = np.ones(index.shape, "float32"), np.zeros(a.windows, "int32")
    models = {name: Model(options.replace(**changes), "float16") for name, changes in CONTENDERS.items()}
    batch = Batch(models["soft"].frames(frames), index, mask, y, np.arange(a.windows))  # on the device, for all
    times, of_mean = {name: [] for name in models}, []
    for turn in range(-1, a.turns):  # in the turn before the first, functions are compiled
        for name, model in models.items():
            took = seconds(lambda model=model: model.predict(batch))
            if turn >= 0:
                times[name].append(took)
        function = models["soft"].functions.compiled_predict(a.windows)
        took = seconds(lambda function=function: function._run("tables", [batch.frames]))
        if turn >= 0:
            of_mean.append(took)
    rows, soft = [], np.median(times["soft"])
    for name, model in models.items():
        o, took = model.options, np.median(times[name])
        read = {"soft": n_locations, "hybrid": o.top_k, "hard": 1}[o.focus] * a.ctx_dim * 2
        rows.append([name, f"{1e6 * took / index.size:.1f}", f"{took / soft:.2f}", f"{read / 1e3:,.1f}"])
    cube = n_locations * a.ctx_dim * 2
    rows.append(["mean cube", f"{1e6 * np.median(of_mean) / n_frames:.1f}", "", f"{cube / 1e3:,.1f}"])
    return rows


def main():
    arguments = tyro.cli(Arguments, description=__doc__)
    for n_locations in arguments.locations:
        body = measure(n_locations, arguments)
        load = f"load {os.getloadavg()[0]:.1f} of {os.cpu_count()} cores"
        print(f"L = {n_locations}; medians of {arguments.turns} turns; {load}")
        print(markdown(["", "µs", "of soft", "kB"], body), flush=True)


if __name__ == "__main__":
    exit_status.run(main)
