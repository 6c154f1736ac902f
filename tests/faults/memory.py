"""Memory: runs on frame tables larger than memory_gb, and extraction, stay within what `budget` estimates plus 20 %.

Each run has its own process, which writes its peak when it ends; the processes of an extraction are sampled together.
`count` scales the tables: 20 gives a training table of about 0.64 GB. The seed has no effect.
"""

import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil

from faults import Case, samples
from visual_attention.experiment import budget
from visual_attention.options import MODELS, Options
from visual_attention.util.data_lists import write_lists
from visual_attention.util.extractors import find_extractor
from visual_attention.util.frame_table import FrameTableWriter
from visual_attention.util.video import write_video

MARGIN = 1.2
FRAMES = 80  # of each video
# Runs a script and copies the kernel's status of its process, which has the peak. The peak that wait4 returns will not
# do: it includes that of the parent process before exec.
WRITE_PEAK = """
import runpy, shutil, sys
peak, *sys.argv = sys.argv[1:]
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
finally:
    shutil.copy("/proc/self/status", peak)
"""
SCRIPTS = Path(__file__).parents[2] / "scripts"
SMALL = {"n_actions": 5, "ctx_dim": 512, "dim": 64, "dim_out": 64, "max_epochs": 1, "batch_size": 64,
         "training_stride": 20, "testing_stride": 20}  # fmt: skip
RUNS = {  # group -> model, options that differ from SMALL
    "table in memory": ("attention_lambda0", {}),
    "table read through a buffer": ("attention_lambda0", {"memory_gb": 0.1}),
    "table read window by window": ("attention_lambda0", {"memory_gb": 0.1, "shuffle": "global"}),
    "MLP attention": ("attention_mlp_lambda0", {"memory_gb": 0.1, "batch_size": 16}),
    "max pooling": ("max_pooled_lstm", {"memory_gb": 0.1}),
    "softmax regression": ("softmax_regression", {"memory_gb": 0.1}),
    "evaluation at stride 1": ("average_pooled_lstm", {"memory_gb": 0.1, "testing_stride": 1}),
}
BATCH = 8  # frames per batch in extract_features.py
EXTRACTIONS = {"extraction, 1 worker": 1, "extraction, 2 workers": 2}  # with EfficientNet-Lite0
GROUPS = (*RUNS, *EXTRACTIONS)


def cases(count, seed, folder, groups=GROUPS):
    """Yields a case for each group."""
    for number, group in enumerate(groups):
        if group in RUNS:
            model, changes = RUNS[group]
            options = Options(**{**SMALL, **MODELS[model], **changes})
            if not (folder / "data").exists():
                make_data(folder / "data", max(count, 1), options)
            said = budget.need(options, budget.sizes(folder / "data", options), 1e11).memory_gb
            status, peak = train(folder / "data", folder / f"run{number}", model, changes)
        else:
            n = EXTRACTIONS[group]
            said = budget.extraction_gb(n, BATCH, find_extractor("efficientnet-lite0"))
            status, peak = extract(folder / "videos", folder / f"features{n}", n, count)
        yield case_of(status, peak, said, group)


def case_of(status, peak, said, group):
    outcome = f"{peak:.2f} GB, budget {said:.2f} GB ({peak / said:.0%})"
    ok = status == 0 and peak <= MARGIN * said
    return Case("peak of memory", outcome if status == 0 else f"exit status {status}", ok, group)


def make_data(folder, count, options):
    """A data set of random cubes; the part train has 8 * count videos."""
    folder.mkdir(parents=True)
    cubes = np.random.default_rng(0).random((FRAMES, options.n_locations, options.ctx_dim), dtype="float32")
    for part, n_videos in (("train", 8 * count), ("valid", 2 * count), ("test", 2 * count)):
        with FrameTableWriter(folder / f"{part}_features.h5", options.n_locations, options.ctx_dim) as table:
            for _ in range(n_videos):
                table.append(cubes)
        labels = [k % options.n_actions for k in range(n_videos)]
        write_lists(folder, part, [f"{part}{k}" for k in range(n_videos)], [FRAMES] * n_videos, labels)


def train(data, run, model, changes):
    """Exit status of a training run, and GB of memory at its peak."""
    script = [*samples.train(data, run, {**SMALL, **changes}), "--model", model]
    peak = run.with_suffix(".status")
    process = subprocess.run([sys.executable, "-c", WRITE_PEAK, peak, *script], capture_output=True)
    kilobytes = next(line.split()[1] for line in peak.read_text().splitlines() if line.startswith("VmHWM"))
    return process.returncode, int(kilobytes) * 1024 / 1e9


def extract(videos, out, workers, count):
    """Exit status of an extraction of large videos, and GB of memory of all its processes at their peak."""
    if not videos.exists():
        videos.mkdir()
        for number in range(4):
            write_video(videos / f"{number}.mp4", (np.full((1080, 1920, 3), k, np.uint8) for k in range(6 * count)), 30)
    command = [SCRIPTS / "extract_features.py", "--videos", videos, "--out", out, "--extractor", "efficientnet-lite0"]
    process = subprocess.Popen(
        [sys.executable, *command, "--split", "time", "--workers", str(workers), "--batch-size", str(BATCH)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    peak, parent = 0, psutil.Process(process.pid)
    while process.poll() is None:
        used = 0
        for member in (parent, *parent.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                used += member.memory_full_info().pss  # pages that several have are shared out among them
        peak = max(peak, used)
        time.sleep(0.1)
    return process.returncode, peak / 1e9
