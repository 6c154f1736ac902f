"""Memory use of a run whose frame table does not fit in memory; `tests/run_faults.py memory` measures more."""

from faults import memory


def test_training_stays_within_the_budget(tmp_path):
    (case,) = memory.cases(3, 0, tmp_path, ["table read through a buffer"])
    assert case.ok, case
