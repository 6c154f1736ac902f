# Sourced by the other scripts: makes .venv with this package and the extras named in EXTRAS, and sets PYTHON to its Python.
# It installs only when setup.py has changed since, or new extras are asked for.
base=${BASE_PYTHON:-python3}
# Large arrays in large pages: updates take less time (docs/performance.md).
export GLIBC_TUNABLES=${GLIBC_TUNABLES:-glibc.malloc.hugetlb=1}
"$base" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "error: $base is $("$base" --version 2>&1); expected Python 3.11 or later (set BASE_PYTHON)" >&2
    exit 1
}
PYTHON=$PWD/.venv/bin/python
for extra in "" ${EXTRAS:-}; do
    stamp=.venv/installed-${extra:-base}
    if ! cmp -s setup.py "$stamp"; then
        [ -x "$PYTHON" ] || "$base" -m venv .venv || {
            echo "error: $base cannot make a virtual environment; on Debian: apt-get install python3-venv" >&2
            exit 1
        }
        echo "installing visual_attention${extra:+[$extra]} into .venv ..."
        "$PYTHON" -m pip install --quiet --disable-pip-version-check --editable ".${extra:+[$extra]}"
        cp setup.py "$stamp"
    fi
done
