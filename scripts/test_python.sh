#!/usr/bin/env bash
# Builds the Python package into an environment of its own, target/python-venv, and runs its checks and tests. Arguments go
# to pytest. Without a Python or a package index it says so and ends with status 77, except where CI is set: there that is
# an error.
set -euo pipefail
cd "$(dirname "$0")/.."

environment=$PWD/target/python-venv
requirements=python/requirements-test.txt

# missing WHY: ends the run.
missing() {
    echo "skipped: $1"
    if [ -n "${CI:-}" ]; then exit 1; fi
    exit 77
}

# The oldest Python that the pinned requirements know comes first: what runs there runs on newer ones.
find_python() {
    local name
    for name in python3.11 python3.12 python3.13 python3.14 python3; do
        if "$name" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$name"
            return
        fi
    done
}

# prepare PYTHON: an environment with exactly the requirements, kept until they change.
prepare() {
    local wanted
    wanted=$("$1" --version; cat "$requirements")
    if [ "$(cat "$environment/prepared" 2>/dev/null)" = "$wanted" ]; then return; fi
    rm -rf "$environment"
    "$1" -m venv "$environment" || missing "$1 cannot make a virtual environment"
    "$environment/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps -r "$requirements" ||
        missing "the requirements cannot be installed from the package index"
    echo "$wanted" >"$environment/prepared"
}

python=$(find_python)
if [ -z "$python" ]; then missing "there is no Python 3.11 or newer"; fi
prepare "$python"
export VIRTUAL_ENV=$environment PATH=$environment/bin:$PATH

ruff check --quiet python
ruff format --quiet --check python
(cd python && mypy)
maturin develop --quiet --release --manifest-path python/Cargo.toml
exec python -m pytest -q python/tests "$@"
