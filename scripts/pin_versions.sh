#!/usr/bin/env bash
# For maintainers: rewrites constraints.txt with uv: the newest versions for every Python from 3.11 on. Run the tests afterwards.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v uv > /dev/null || { echo "error: uv is not installed; pip install uv" >&2; exit 1; }
{
    echo "# Versions that passed the tests, for Python 3.11 and later. Written by scripts/pin_versions.sh; do not edit."
    # torch pins its CUDA libraries itself, and differs between builds
    echo "torch==2.13.0" | uv pip compile --quiet --universal --python-version 3.11 --no-header --no-annotate \
        --extra test --extra extract --extra cluster --extra docs --constraint - setup.py |
        grep -Ev '^(nvidia-|cuda-|triton)'
} > constraints.txt.part
mv constraints.txt.part constraints.txt
