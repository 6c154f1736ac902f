# Sourced by the other scripts. Creates .venv with this package and the extras named in EXTRAS, and sets PYTHON to its Python.
# Installs the tested versions in constraints.txt; NEWEST=1 installs the newest versions instead.
# Installs only if the request has changed since the last time. VENV and BASE_PYTHON select another folder and Python.
base=${BASE_PYTHON:-python3}
venv=${VENV:-.venv}
# Puts large arrays in large pages, which makes updates faster (docs/performance.md).
export GLIBC_TUNABLES=${GLIBC_TUNABLES:-glibc.malloc.hugetlb=1}
"$base" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "error: $base is $("$base" --version 2>&1); expected Python 3.11 or later (set BASE_PYTHON)" >&2
    exit 1
}
PYTHON=$PWD/$venv/bin/python
versions=(--constraint constraints.txt)
[ -z "${NEWEST:-}" ] || versions=(--upgrade --upgrade-strategy eager)
for extra in "" ${EXTRAS:-}; do
    stamp=$venv/installed-${extra:-base}
    wanted=$(cat setup.py constraints.txt; echo "${NEWEST:-}")
    if [ "$wanted" != "$(cat "$stamp" 2>/dev/null)" ]; then
        [ -x "$PYTHON" ] || "$base" -m venv "$venv" || {
            echo "error: $base cannot create a virtual environment; on Debian: apt-get install python3-venv" >&2
            exit 1
        }
        echo "installing visual_attention${extra:+[$extra]} into $venv ..."
        "$PYTHON" -m pip install --quiet --disable-pip-version-check "${versions[@]}" --editable ".${extra:+[$extra]}"
        echo "$wanted" > "$stamp"
    fi
done
