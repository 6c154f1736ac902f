#!/usr/bin/env bash
# For maintainers: runs the tests in .venv-lowest with the lowest versions that setup.py allows, installed with uv.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v uv > /dev/null || { echo "error: uv is not installed; pip install uv" >&2; exit 1; }
uv venv --quiet --clear --python "${BASE_PYTHON:-3.11}" .venv-lowest
uv pip install --quiet --python .venv-lowest/bin/python --resolution lowest-direct --editable ".[test]"
.venv-lowest/bin/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile "$@"
