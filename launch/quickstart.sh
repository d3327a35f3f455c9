#!/usr/bin/env bash
# Set-up, then the embedded miniature through both stages, two arms to compare with, a table, pictures and a report.
#   bash launch/quickstart.sh [--output DIR] [--seed N]        (default: runs/quickstart, seed 0)
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
started=$(date +%s)
bash "$here/launch/setup.sh"
export PATH="$here/.venv/bin:$PATH"
cd "$here"
exec lingualift-ds quickstart --setup-seconds "$(($(date +%s) - started))" "$@"
