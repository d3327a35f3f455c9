#!/usr/bin/env bash
# Set-up, then the tests, in two processes. Arguments go to pytest: bash launch/test.sh tests/unit -x; -n 0: in one.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
bash launch/setup.sh
export PATH="$PWD/.venv/bin:$PATH"
ruff check lingualift_ds launch tests benchmarks setup.py
exec python -m pytest -n 2 "$@"
