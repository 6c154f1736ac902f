#!/usr/bin/env bash
# Builds the documentation as a website in site/. A broken link, or a page that needs the network, is an error.
set -euo pipefail
cd "$(dirname "$0")/.."
EXTRAS=docs source scripts/setup.sh
rm -rf build/docs docs/api  # a fresh build: the reference cannot be made from a part of it
"$PYTHON" -m sphinx --fail-on-warning --keep-going --quiet --jobs auto -c docs -d build/docs/doctrees . build/docs/html
cp build/docs/html/README.html build/docs/html/index.html
rm -rf site
mv build/docs/html site
echo "the documentation is in $PWD/site/index.html"
