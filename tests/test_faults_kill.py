"""kill -9 at a few moments; `tests/run_faults.py kill` tries many."""

import os

import pytest
from faults import kill

pytestmark = pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs /proc")


def assert_guarantees_kept(count, folder, *groups):
    cases = list(kill.cases(count, 0, folder, groups))
    assert len(cases) == count * len(groups)
    assert not [case for case in cases if not case.ok]


def test_training_and_table1(tmp_path):
    assert_guarantees_kept(1, tmp_path, "training", "Table 1, 2 workers: command")


def test_extraction(tmp_path):
    pytest.importorskip("av", reason="PyAV is not installed: pip install .[extract]")
    assert_guarantees_kept(1, tmp_path, "extraction, 2 workers: command", "extraction, 2 workers: a worker")


def test_cluster(tmp_path):
    pytest.importorskip("av", reason="PyAV is not installed: pip install .[extract]")
    pytest.importorskip("distributed", reason="Dask is not installed: pip install .[cluster]")
    groups = [f"extraction on Dask: {victim}" for victim in ("command", "a worker", "scheduler")]
    assert_guarantees_kept(1, tmp_path, *groups)
