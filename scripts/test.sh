#!/usr/bin/env bash
# Sets everything up, checks the style and runs the tests; what follows is handed to pytest: bash scripts/test.sh -k masks
set -euo pipefail
cd "$(dirname "$0")/.."
EXTRAS=test source scripts/setup.sh
"$PYTHON" -m ruff check .
"$PYTHON" -m ruff format --check .
# by file, as tests of a file share what they compile
"$PYTHON" -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile "$@"
