#!/usr/bin/env bash
# The tests on a real Slurm, with a table of what was done. On Debian as root it installs what is missing; elsewhere
# Slurm's daemons and munge must be there. Two to five minutes; arguments go to pytest: bash tests/slurm/run.sh -x
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
export PATH="$PATH:/usr/sbin"
if ! { command -v munged && command -v slurmctld && command -v slurmd && command -v sbatch; } >/dev/null; then
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "error: needs munge, slurmctld, slurmd and Slurm's commands; as root on Debian this installs them" >&2
    exit 2
  fi
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends -qq munge slurmctld slurmd slurm-client
fi
[ "$(id -u)" = 0 ] || { echo "error: the daemons of these tests need root" >&2; exit 2; }
bash launch/setup.sh
told=$(mktemp)
trap 'rm -f "$told"' EXIT
code=0
.venv/bin/python -m pytest -m slurm tests/slurm --junitxml="$told" "$@" || code=$?
.venv/bin/python - "$told" "$(slurmctld -V)" <<'PYTHON'
import platform
import sys
import xml.etree.ElementTree as ElementTree

path, version = sys.argv[1:]
cases = list(ElementTree.parse(path).iter("testcase"))
print(f"\n{version}, {platform.platform()}\n\n| what | result | seconds |\n| --- | --- | --- |")
for case in cases:
    bad = next((child.tag for child in case if child.tag in ("failure", "error", "skipped")), None)
    name = case.get("name").removeprefix("test_").replace("_", " ")
    print(f"| {name} | {bad or 'passed'} | {float(case.get('time')):.0f} |")
print(f"| together | | {sum(float(case.get('time')) for case in cases):.0f} |")
PYTHON
exit "$code"
