"""Every script in launch/ at least parses, and knows what it must."""

import subprocess

import pytest
from launching import ROOT


@pytest.mark.parametrize("path", sorted(ROOT.glob("launch/*.sh")) + [ROOT / ".ci/run"], ids=lambda p: p.name)
def test_scripts_parse_and_stop_at_the_first_failure(path):
    subprocess.run(["bash", "-n", str(path)], check=True)
    assert "set -euo pipefail" in path.read_text()


def test_setup_does_nothing_where_it_is_done():
    """Idempotent: the second call neither installs nor says anything."""
    if not (ROOT / ".venv/.lingualift-setup").is_file():
        pytest.skip("the environment was not made by launch/setup.sh")
    done = subprocess.run(["bash", str(ROOT / "launch/setup.sh")], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and done.stdout == ""


def test_both_commands_set_up_first():
    for name in ("quickstart", "test"):
        assert "launch/setup.sh" in (ROOT / f"launch/{name}.sh").read_text()
    assert "launch/test.sh" in (ROOT / ".ci/run").read_text()


def test_what_setup_installs_is_pinned():
    pinned = {
        line.split("==")[0].lower() for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line
    }
    needed = {"torch", "deepspeed", "transformers", "datasets", "tokenizers", "numpy", "safetensors", "pyyaml", "regex"}
    assert needed | {"sentencepiece", "matplotlib", "pytest", "ruff", "setuptools", "ninja"} <= pinned
