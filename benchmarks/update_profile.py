"""Where the time of an update goes, by JAX's profiler: products, cubes, gates, copies, and waiting.

    python benchmarks/update_profile.py --settings paper small --json after.json
    python benchmarks/update_profile.py --settings paper small --before before.json --out docs

On one core everything runs in one thread, so the profiler's times add up. The time on all cores is measured without the
profiler. Waiting is the part of it by which it exceeds the time on one core divided by the number of cores. Needs
Linux. For another version of this project, run that version's copy of this file; the figure then shows both.
"""

import collections
import gzip
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import tyro

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))
import benchmark

# XLA names a fusion after its operations. The first pattern that is found decides.
KINDS = {
    "products": r"ynn|xnn|onednn|dot",
    "cubes: gathering and conversion": r"gather|convert",
    "copies and joined arrays": r"copy|concatenate|pad|transpose",
    "elementwise: gates, softmax, Adam": r"fusion|wrapped|reduce|while",
}
ORDER = [*KINDS, "all else", "waiting"]


@dataclass(frozen=True)
class Arguments:
    settings: tuple[str, ...] = ("paper", "small")
    """settings of scripts/benchmark.py"""
    json: Path | None = None
    """file to write"""
    before: Path | None = None
    """such a file of another version: draws both"""
    out: Path = Path("docs")
    """folder of the figure, update_profile.png"""
    measure: str | None = None
    """used by this program itself: the setting to measure in this process"""


def measure(name):
    """Median milliseconds of an update; how many of them each kind of operation takes, by one traced update."""
    import jax

    update = benchmark.our_update(benchmark.options_of(name), "float16")
    benchmark.warm_up(update, seconds=2)
    times = []
    while len(times) < 9 or sum(times) < 3000:
        times.append(1e3 * benchmark.seconds_of(update))
    kinds = collections.Counter()
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            traced = 1e3 * benchmark.seconds_of(update)
        trace = next(Path(folder).rglob("*.trace.json.gz"))
        events = json.loads(gzip.decompress(trace.read_bytes()))["traceEvents"]
    names = {(e["pid"], e["tid"]): e["args"]["name"] for e in events if e.get("name") == "thread_name"}
    for thread in (key for key, value in names.items() if "Eigen" in value or "PjRt" in value):
        for name, own_time in self_times([e for e in events if e.get("ph") == "X" and (e["pid"], e["tid"]) == thread]):
            if "wait" not in name:
                kind = next((kind for kind, pattern in KINDS.items() if re.search(pattern, name)), "all else")
                kinds[kind] += own_time / 1e3
    median = statistics.median(times)
    return {"update": median, "kinds": {kind: ms * median / traced for kind, ms in kinds.items()}}


def self_times(events):
    """(name, microseconds without those of nested events) of a thread's events."""
    stack = []
    for event in sorted(events, key=lambda e: (e["ts"], -e["dur"])):
        while stack and stack[-1]["ts"] + stack[-1]["dur"] <= event["ts"]:
            stack.pop()
        event["self"] = event["dur"]
        if stack:
            stack[-1]["self"] -= event["dur"]
        stack.append(event)
    return [(event["name"], event["self"]) for event in events]


def profile(name):
    """Milliseconds of an update on all cores, by kind, as ORDER."""
    me, cores = [sys.executable, __file__, "--measure", name], os.cpu_count()
    alone, together = (json.loads(subprocess.check_output([*prefix, *me]).splitlines()[-1])
                       for prefix in (["taskset", "-c", "0"], []))  # fmt: skip
    kinds = {kind: ms / cores for kind, ms in alone["kinds"].items()}
    kinds["all else"] = alone["update"] / cores - sum(ms for kind, ms in kinds.items() if kind != "all else")
    kinds["waiting"] = together["update"] - alone["update"] / cores
    print(f"{name}: {together['update']:.1f} ms; on one core {alone['update']:.1f} ms")
    for kind in ORDER:
        print(f"  {kinds.get(kind, 0):8.1f} ms  {kind}")
    return {"update": together["update"], "kinds": {kind: kinds.get(kind, 0) for kind in ORDER}}


def draw(results, path):
    """A bar for each version and setting, stacked by kind. results: version -> setting -> what `profile` returns."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    settings = list(next(iter(results.values())))
    figure, axes = plt.subplots(1, len(settings), figsize=(4.2 * len(settings), 4), layout="constrained")
    for axis, name in zip(axes, settings, strict=True):
        bottom = [0.0] * len(results)
        for kind in ORDER:
            heights = [max(0.0, result[name]["kinds"][kind]) for result in results.values()]
            axis.bar(list(results), heights, bottom=bottom, label=kind, width=0.6)
            bottom = [a + b for a, b in zip(bottom, heights, strict=True)]
        axis.set(title=name, ylabel="ms per update")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right center", fontsize=8)
    figure.savefig(path, dpi=110)


def main(arguments):
    if arguments.measure:
        print(json.dumps(measure(arguments.measure)))
        return
    after = {name: profile(name) for name in arguments.settings}
    if arguments.json:
        arguments.json.write_text(json.dumps(after, indent=1))
    if arguments.before:
        draw({"before": json.loads(arguments.before.read_text()), "after": after}, arguments.out / "update_profile.png")


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
