"""Damage to a few files; `tests/run_faults.py damage` damages all of them."""

import os
import subprocess
import sys

import pytest
from faults import damage

from visual_attention.util.checks import read_json
from visual_attention.util.files import SUMS, read_file, write_file, write_sums


def run_cases(count, folder, *groups):
    """The cases of some groups, all of which must pass."""
    cases = list(damage.cases(count, 0, folder, groups))
    assert cases and not [case for case in cases if not case.ok]
    return cases


def test_small_frame_tables(tmp_path):
    cases = run_cases(10, tmp_path, "small frame tables")
    errors = [case for case in cases if case.outcome.startswith("error: ")]
    assert len(errors) > 0.7 * len(cases)  # the other bytes carry no meaning


def test_unfinished_extraction(tmp_path):
    pytest.importorskip("av", reason="PyAV is not installed: pip install .[extract]")
    run_cases(2, tmp_path, "unfinished extraction")


def test_run(tmp_path):
    run_cases(2, tmp_path, "unfinished run")


def test_sums(tmp_path):
    """SHA256SUMS is checked for files that it lists and ignored for others, and sha256sum can read it."""
    write_sums(tmp_path, [], {"a.json": b'{"a": 1}\n', "b": b"b"})
    for name, content in (("a.json", b'{"a": 1}\n'), ("b", b"b"), ("c", b"c")):
        write_file(tmp_path / name, content)
    subprocess.run(["sha256sum", "--check", "--strict", SUMS], cwd=tmp_path, check=True, stdout=subprocess.DEVNULL)
    assert read_json(tmp_path / "a.json", {"a": int}) == {"a": 1}
    (tmp_path / "a.json").write_text('{"a": 2}\n')
    (tmp_path / "c").write_text("d")
    with pytest.raises(ValueError) as error:
        read_json(tmp_path / "a.json", {}, "make it again")
    sums = tmp_path / SUMS
    assert str(error.value) == (
        f"{tmp_path}/a.json: is not what {sums} says; make it again (if it was changed on purpose, delete {sums})"
    )
    assert read_file(tmp_path / "c") == b"d"


DOUBLING = """
import jax, numpy as np, pytensor.tensor as pt
from visual_attention import backends
backends.set_precision("float32", "jax")
x = pt.matrix(dtype="float32")
double = backends.compile_function({x: None}, 2 * x, key="doubling")
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)  # as compile_function sets it
print(double(np.ones((2, 2), "float32")).tolist())
"""


@pytest.mark.parametrize("damage_file", [damage.cut, damage.changed])
def test_compile_cache(tmp_path, damage_file):
    """The cache is used while intact, and rebuilt if damaged."""

    def run():
        environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path)}
        done = subprocess.run([sys.executable, "-c", DOUBLING], env=environment, capture_output=True, text=True)
        assert done.stdout == "[[2.0, 2.0], [2.0, 2.0]]\n" and not done.stderr
        return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in tmp_path.rglob("*") if path.is_file()}

    first = run()
    assert {path.suffix for path in first} == {".graph", ".xla"} and run() == first
    for path in first:
        damage_file(path, damage.np.random.default_rng(0))
    last = run()
    assert last.keys() == first.keys()
    assert all(last[path][0] > first[path][0] for path in first)
    assert {path: content for path, (_, content) in run().items()} == {
        path: content for path, (_, content) in last.items()
    }
