#!/usr/bin/env bash
# Sets up .venv in the repository root: an editable install at the versions of constraints.txt. Idempotent.
# On a GPU machine with its own torch: PYTHON=/path/to/python bash launch/setup.sh (any Python >= 3.11).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
mkdir -p runs/slurm # Slurm makes no folder for a job's log
stamp=.venv/.lingualift-setup
wanted=$(cat setup.py constraints.txt launch/setup.sh | sha256sum)
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ] && .venv/bin/lingualift-ds --version >/dev/null 2>&1; then
  exit 0
fi
python=${PYTHON:-python3}
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "error: $python is older than 3.11" >&2; exit 2; }
echo "setting up .venv (about 3 minutes)"
[ -x .venv/bin/python ] || "$python" -m venv .venv
# torch first, at its pinned version: a range would bring another build, and DeepSpeed's build looks for torch.
.venv/bin/python -m pip install --quiet --constraint constraints.txt torch setuptools wheel
DS_BUILD_OPS=0 .venv/bin/python -m pip install --quiet --constraint constraints.txt --no-build-isolation \
  --editable '.[plots,eval,lora,dev]' ninja
# lm-eval 0.4.13 asks no other package for models: ours makes itself known whenever Python starts here (2 ms).
echo 'import sys; exec("try:\n import lingualift_ds\nexcept ImportError:\n pass")' \
  > "$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/lingualift_ds_models.pth"
echo "$wanted" > "$stamp"
