"""`lingualift-ds doctor`: what is installed, and whether it computes what was recorded."""

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import time
from importlib.metadata import version
from types import SimpleNamespace

import pytest
import torch

from lingualift_ds.cli import doctor
from lingualift_ds.errors import LaunchError
from lingualift_ds.evaluate.golden import comparison
from lingualift_ds.evaluate.golden.comparison import Comparison
from lingualift_ds.train.doctor import apart, compute, examine, folder, gpus, packages, pair
from lingualift_ds.train.doctor.line import FAILED, NOTE, OK, Line, lines_of


def run(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    doctor.add_parser(parser.add_subparsers())
    parsed = parser.parse_args(["doctor", *arguments])
    return parsed.run(parsed)


@pytest.fixture
def checked(monkeypatch) -> list[Line]:
    """The checks' lines, made up: what they look at has its own tests."""
    lines = [Line("python", "3.11.1"), Line("GPU", "none", NOTE, "trains on the CPU")]
    monkeypatch.setattr(examine, "examine", lambda folder, with_pair=True: lines)
    return lines


def test_versions_and_devices(capsys, monkeypatch, checked):
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


def test_golden_is_a_table_that_ends_well(capsys, checked):
    assert run("--golden") == 0
    said = capsys.readouterr().out
    rows = re.findall(r"^(?:llama, mT5, ffn|qwen2, XLM-R, latent) +CPU, fp32 .* ok$", said, re.M)
    assert len(rows) == 10 and "FAILED" not in said
    assert re.search(r"CPU, fp32 +logits +\d\.\de-0\d +2\.0e-04 +ok", said)
    assert re.search(r"all as recorded with torch \S+, transformers \S+ on a CPU\n$", said)


def test_what_failed_is_in_the_table_and_in_the_exit_code(capsys, monkeypatch, checked):
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


def test_the_whole_table_is_made_and_nothing_is_left(capsys, tmp_path):
    code = run("--json", "--run", str(tmp_path / "runs/one"))
    lines = {one["what"]: one for one in json.loads(capsys.readouterr().out)["checks"]}
    failed = [one for one in lines.values() if one["verdict"] == "FAILED"]
    assert code == bool(failed) and not failed, failed
    assert lines["deepspeed"]["found"].startswith(version("deepspeed"))
    assert lines["torch"]["found"].startswith(version("torch"))
    assert lines["two ranks"]["found"].endswith("all-reduce is right")
    assert lines["renaming"]["verdict"] == lines["file locks"]["verdict"] == "ok"
    assert lines["run folder"]["found"] == f"{tmp_path / 'runs/one'} (to be made), writable"
    assert {"C++ compiler", "ninja", "nvcc", "flash-attn", "encoding", "open files", "/dev/shm"} <= set(lines)
    assert not list(tmp_path.iterdir())


def test_one_failed_line_ends_in_exit_code_1(capsys, checked):
    assert run() == 0
    assert "nothing stands in the way of training" in capsys.readouterr().out
    checked.append(Line("deepspeed", "ImportError", FAILED, "cannot be imported"))
    assert run() == 1
    said = capsys.readouterr().out
    assert re.search(r"^deepspeed +ImportError +FAILED +cannot be imported$", said, re.M)
    assert "1 FAILED: training would not start here" in said


def test_a_check_that_raises_is_a_failed_line():
    def check():
        yield Line("one", "fine")
        raise OSError("lib\ngone")

    before, line = lines_of("torch", check)
    assert before.verdict == OK and (line.what, line.found, line.verdict) == ("torch", "OSError: lib gone", FAILED)


def test_what_hangs_or_crashes_ends_in_time():
    started = time.monotonic()
    # Its child holds the pipe open: to end the process alone would not do.
    hung = apart.python("import subprocess; subprocess.run(['sleep', '60'])", 1.0)
    assert (hung.ok, hung.why) == (False, "no answer in time") and time.monotonic() - started < 20
    crashed = apart.python("import os; os.kill(os.getpid(), 11)", 20.0)
    assert crashed.why == "the process crashed (SIGSEGV)"
    assert apart.python("raise ImportError('undefined symbol: x')", 20.0).why == "ImportError: undefined symbol: x"


def test_ranks_of_a_launch_do_not_reach_processes_apart(monkeypatch):
    monkeypatch.setenv("RANK", "3")
    monkeypatch.setenv("SLURM_STEP_ID", "0")
    said = apart.python("import os; print(os.environ.get('RANK'), os.environ.get('SLURM_STEP_ID'))", 20.0).said
    assert said.strip() == "None None"


@pytest.mark.parametrize(("code", "verdict"), [(1, NOTE), (-11, FAILED), (None, FAILED)])
def test_a_broken_flash_attn_fails_only_where_it_takes_training_down(monkeypatch, code, verdict):
    monkeypatch.setattr(compute.importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(apart, "python", lambda code_, seconds: apart.Outcome(code, "", "ImportError: symbol"))
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert [line.verdict for line in compute.attention()] == [verdict]
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert [line.verdict for line in compute.attention()] == [NOTE]


@pytest.mark.parametrize(("capability", "scale", "verdict"), [((9, 0), 1, OK), ((7, 5), 1, NOTE), ((9, 0), 0, FAILED)])
def test_a_gpu_is_asked_to_compute(monkeypatch, capability, scale, verdict):
    gpu = SimpleNamespace(name="GPU X", total_memory=80e9, major=capability[0], minor=capability[1])
    one = torch.eye(16) * scale
    monkeypatch.setattr("torch.cuda.get_device_properties", lambda number: gpu)
    monkeypatch.setattr("torch.eye", lambda size, device: one)
    monkeypatch.setattr("torch.version.hip", None)
    (line,) = gpus.look(0)
    assert line.verdict == verdict and line.found.startswith("GPU X, 80 GB, compute capability")


def test_deepspeed_that_cannot_be_imported_is_failed(monkeypatch):
    monkeypatch.setattr(compute, "_OPS", "raise ImportError('no deepspeed here')")
    (line,) = compute.deepspeed()
    assert (line.found, line.verdict) == ("ImportError: no deepspeed here", FAILED)


@pytest.mark.parametrize(
    ("found", "wanted", "verdict", "means"),
    [
        ("12.8", "12.6", OK, "fits torch's CUDA 12.6"),
        ("11.8", "12.6", NOTE, "torch has CUDA 12.6"),
        ("", "12.6", NOTE, "torch's AdamW is used"),
        ("13.0", None, OK, "not needed"),
    ],
)
def test_nvcc_is_held_against_torchs_cuda(found, wanted, verdict, means):
    line = compute._nvcc(found, wanted)
    assert line.verdict == verdict and means in line.means


def test_packages_are_held_against_their_ranges(monkeypatch):
    wanted = ["torch>=2.9", "numpy>=1000", "no-such-package>=1", 'no-such-extra>=1; extra == "flash"']
    monkeypatch.setattr(packages, "requires", lambda name: wanted)
    lines = {line.what: line for line in packages.packages()}
    assert lines["numpy"].verdict == NOTE and "outside of the range >=1000" in lines["numpy"].means
    assert lines["no-such-package"].verdict == FAILED and "no-such-extra" not in lines
    assert lines["packages"].found == "1 in their ranges"


def test_a_checkout_that_is_not_installed_is_only_noted(monkeypatch):
    monkeypatch.setattr(packages, "_PACKAGE", "no-such-package")
    assert [line.verdict for line in (*packages.python(), *packages.packages())] == [NOTE, NOTE]


def test_two_ranks_that_do_not_meet_are_failed(monkeypatch):
    monkeypatch.setattr(pair, "__name__", "no_such_module")
    (line,) = pair.two_ranks()
    assert line.verdict in (FAILED, NOTE) and "No module named no_such_module" in line.found


def test_a_run_folder_that_cannot_be_one_is_failed(tmp_path):
    (tmp_path / "file").write_text("")
    (line,) = folder.run_folder(tmp_path / "file/runs")
    assert line.verdict == FAILED and "not a folder" in line.found


def test_nodes_needs_srun(monkeypatch):
    for name in ("RANK", "SLURM_STEP_ID", "OMPI_COMM_WORLD_RANK"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(LaunchError, match="srun lingualift-ds doctor --nodes"):
        run("--nodes")
    with pytest.raises(LaunchError, match="one at a time"):
        run("--nodes", "--golden")


def test_nodes_are_compared_and_rank_0_speaks(tmp_path):
    """Two tasks of an srun that is not there; the second looks at a folder that cannot be."""
    (tmp_path / "file").write_text("")
    code = "import sys; from lingualift_ds.cli.main import main; sys.exit(main())"
    base = os.environ | {"CUDA_VISIBLE_DEVICES": "", "SLURM_NTASKS": "2", "SLURM_STEP_ID": "0"}
    base |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(pair._free_port())}
    base = {name: value for name, value in base.items() if name not in ("RANK", "WORLD_SIZE", "LOCAL_RANK")}
    tasks = [
        subprocess.Popen(
            [sys.executable, "-c", code, "doctor", "--nodes", "--run", str(tmp_path / where)],
            env=base | {"SLURM_PROCID": rank, "SLURM_LOCALID": rank},
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank, where in (("0", "."), ("1", "file/x"))
    ]
    said = [task.communicate(timeout=120)[0] for task in tasks]
    assert [task.returncode for task in tasks] == [1, 1] and said[1] == ""
    assert re.search(r"^all tasks +2 on 1 node: the all-reduce is right +ok$", said[0], re.M)
    assert re.search(r"^run folder: \S+: .*, writable and .*file: not a folder \(FAILED\)$", said[0], re.M)
    assert "1 FAILED: training would not start here (1 on other tasks)\n" in said[0]
    assert said[0].count("\npython ") == 2  # among the versions and in the table: once each


def test_differences_name_the_host():
    nodes = [("a", {"torch": "2.9", "os": "x"}), ("a", {"torch": "2.9", "os": "x"}), ("b", {"torch": "2.10"})]
    assert examine.differences(nodes) == {"torch": {"a": "2.9", "b": "2.10"}, "os": {"a": "x", "b": "missing"}}
