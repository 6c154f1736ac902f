#!/usr/bin/env bash
# Installs everything, checks the style and runs the tests. Arguments are passed to pytest: bash scripts/test.sh -k masks
set -euo pipefail
cd "$(dirname "$0")/.."
EXTRAS=test source scripts/setup.sh
"$PYTHON" -m ruff check .
"$PYTHON" -m ruff format --check .
# distributed by file, because the tests of a file share compiled functions
"$PYTHON" -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile "$@"
