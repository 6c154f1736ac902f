"""util is the lowest layer: it imports nothing of src, and holds no device arrays."""

import ast
from pathlib import Path

import pytest

UTIL = Path(__file__).parents[1] / "util"
MODULES = sorted(path.relative_to(UTIL).as_posix() for path in UTIL.rglob("*.py"))


def imported(path):
    """Full names of the modules that a file imports absolutely."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("module", MODULES)
def test_a_module_of_util_imports_neither_src_nor_a_backend(module):
    for name in imported(UTIL / module):
        package, _, rest = name.partition(".")
        assert package not in ("jax", "jaxlib", "pytensor", "src")
        assert package != "visual_attention" or rest.split(".")[0] == "util", name
