#!/usr/bin/env bash
# Produces Table 1 of the paper on a data set, with everything it needs: bash scripts/table1.sh embedded [--quick]
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/setup.sh
"$PYTHON" scripts/table1.py "$@"
