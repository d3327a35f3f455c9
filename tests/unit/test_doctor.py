"""`lingualift-ds doctor`: what is installed, and whether it computes what was recorded."""

import argparse
import json
import platform
import re
from importlib.metadata import version

from lingualift_ds.cli import doctor
from lingualift_ds.evaluate.golden import comparison
from lingualift_ds.evaluate.golden.comparison import Comparison


def run(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    doctor.add_parser(parser.add_subparsers())
    parsed = parser.parse_args(["doctor", *arguments])
    return parsed.run(parsed)


def test_versions_and_devices(capsys, monkeypatch):
    monkeypatch.setattr(doctor, "_PACKAGES", (*doctor._PACKAGES, "no-such-package"))
    assert run() == 0
    said = capsys.readouterr().out
    assert re.search(rf"^torch +{re.escape(version('torch'))}$", said, re.M)
    assert re.search(r"^no-such-package +not installed$", said, re.M)
    assert f"CPU: {platform.machine()}, " in said and "next: lingualift-ds doctor --golden\n" in said
    assert run("--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["versions"]["python"] == platform.python_version() and found["versions"]["no-such-package"] is None
    assert "golden" not in found


def test_golden_is_a_table_that_ends_well(capsys):
    assert run("--golden") == 0
    said = capsys.readouterr().out
    rows = re.findall(r"^(?:llama, mT5, ffn|qwen2, XLM-R, latent) +CPU, fp32 .* ok$", said, re.M)
    assert len(rows) == 10 and "FAILED" not in said
    assert re.search(r"CPU, fp32 +logits +\d\.\de-0\d +2\.0e-04 +ok", said)
    assert re.search(r"all as recorded with torch \S+, transformers \S+ on a CPU\n$", said)


def test_what_failed_is_in_the_table_and_in_the_exit_code(capsys, monkeypatch):
    found = [
        Comparison("m", "CPU, fp32", "loss", 1e-6, 1e-3),
        Comparison("m", "CPU, fp32", "logits", float("nan"), 1e-3),
        Comparison("m", "GPU, fp32", "load and run", float("inf"), 0.0, "OSError: gone"),
    ]
    monkeypatch.setattr(comparison, "compare_all", lambda record: iter(found))
    assert run("--golden") == 1
    said = capsys.readouterr().out
    assert re.search(r"logits +nan +1.0e-03 +FAILED\n", said) and "m, GPU, fp32: OSError: gone\n" in said
    assert "2 of 3 FAILED: this machine does not compute what was recorded with" in said
    assert run("--golden", "--json") == 1
    golden = json.loads(capsys.readouterr().out)["golden"]
    assert [one["ok"] for one in golden] == [True, False, False]
    assert [one["difference"] for one in golden] == [1e-6, None, None]
