"""Runs a fault campaign. The test suite runs a short form of each (tests/test_faults_*.py).

    python tests/run_faults.py kill --count 20 --seed 0

Prints one line per finished case, then a table with one row per group. The exit status is 1 if a guarantee of
docs/reliability.md was broken.
"""

import importlib
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from visual_attention.util.tables import markdown

CAMPAIGNS = ("kill", "disk_full", "damage", "videos", "bad_input", "memory")


@dataclass(frozen=True)
class Arguments:
    campaign: Annotated[Literal[CAMPAIGNS], tyro.conf.Positional]
    """a module of tests/faults; its docstring describes it"""
    count: int = 20
    """number of faults of each kind"""
    seed: int = 0
    """decides when and where faults happen"""
    groups: tuple[str, ...] = ()
    """only these groups; an unknown name lists those that the campaign has"""
    folder: Path | None = None
    """folder for data and runs; a temporary folder by default"""


def main(arguments):
    campaign = importlib.import_module(f"faults.{arguments.campaign}")
    if unknown := set(arguments.groups) - set(campaign.GROUPS):
        sys.exit(f"error: no group {', '.join(sorted(unknown))}; expected some of: {'; '.join(campaign.GROUPS)}")
    chosen = arguments.groups or tuple(campaign.GROUPS)
    began, groups = time.monotonic(), defaultdict(list)
    with tempfile.TemporaryDirectory() as temporary:
        for case in campaign.cases(arguments.count, arguments.seed, arguments.folder or Path(temporary), chosen):
            groups[case.group].append(case)
            print(f"{'ok    ' if case.ok else 'BROKEN'} {case.group}: {case.what}: {case.outcome}", flush=True)
    rows = [[name, str(len(cases)), str(sum(case.ok for case in cases))] for name, cases in groups.items()]
    print("\n" + markdown([arguments.campaign, "cases", "guarantee kept"], rows))
    print(f"seed {arguments.seed}, {time.monotonic() - began:.0f} s")
    return all(case.ok for cases in groups.values() for case in cases)


if __name__ == "__main__":
    sys.exit(not main(tyro.cli(Arguments, description=__doc__)))
