#!/usr/bin/env bash
# Draws every figure of the paper from the runs of a data set, as PNGs and one page: bash scripts/figures.sh embedded
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/setup.sh
"$PYTHON" scripts/figures.py "$@"
