"""A full disk at a few points; `tests/run_faults.py disk_full` tries many."""

import pytest
from faults import disk_full

pytest.importorskip("av", reason="PyAV is not installed: pip install .[extract]")


def assert_guarantees_kept(count, folder, groups, fill=True):
    cases = list(disk_full.cases(count, 0, folder, groups, fill))
    assert len(cases) == count * len(groups)
    assert not [case for case in cases if not case.ok]


def test_full_disk(tmp_path):
    with disk_full.small_disk() as (_, kind):
        if kind != "disk":
            pytest.skip("no tmpfs can be mounted")
    assert_guarantees_kept(3, tmp_path, ["extraction"])


def test_file_size_limit(tmp_path):
    assert_guarantees_kept(2, tmp_path, ["extraction", "extraction, 2 workers"], fill=False)
