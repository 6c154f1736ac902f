"""Fault campaigns, one module each. `tests/run_faults.py` runs them."""

import os
from dataclasses import dataclass

# Without it, commands called within a campaign's process would start that process again to have large pages.
os.environ.setdefault("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1")


@dataclass(frozen=True)
class Case:
    """One fault and its outcome."""

    what: str
    """the fault: what was done to which file or process"""
    outcome: str
    """what happened: a message, or "same bits" """
    ok: bool
    """whether docs/reliability.md guarantees this outcome"""
    group: str = ""
    """the row of the summary that counts the case"""
