"""Monitors: settings that are checked before anything starts, curves that go on, failures that stop nothing."""

import csv
import json
import os
import pty
import subprocess
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from lingualift_ds.config.monitors import monitor_problems, plan_monitors
from lingualift_ds.config.schema import MonitoringConfig, RunConfig

ROOT = Path(__file__).parents[2]
KEYS = ("WANDB_API_KEY", "WANDB_MODE", "WANDB_BASE_URL", "COMET_API_KEY", "COMET_CONFIG", "COMET_START_ONLINE", "NETRC")


@pytest.fixture
def no_keys(tmp_path, monkeypatch):
    """A home without any key, and stand-ins for the packages, so that only what is asked about is missing."""
    for key in [key for key in os.environ if key.startswith(("WANDB", "COMET"))] + list(KEYS):
        monkeypatch.delenv(key, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for name in ("wandb", "comet_ml", "tensorboard"):
        (tmp_path / "packages" / name).mkdir(parents=True)
        (tmp_path / "packages" / name / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path / "packages"))
    return tmp_path


def test_deepspeed_accepts_what_it_is_told(tmp_path):
    from deepspeed.monitor.config import get_monitor_config

    settings = MonitoringConfig(project="maths", team="ours", group="ablations", name="first", online=False)
    run = RunConfig(output="runs/x", monitors=("tensorboard", "csv", "wandb", "comet"), monitoring=settings)
    plan = plan_monitors(run, tmp_path / "stage2")
    names = {"tensorboard": "tensorboard", "csv": "csv_monitor", "wandb": "wandb", "comet": "comet"}
    config = get_monitor_config({names[name]: section for name, section in plan.sections.items()})
    assert (config.wandb.project, config.wandb.team, config.wandb.group) == ("maths", "ours", "ablations")
    assert (config.comet.project, config.comet.workspace, config.comet.online) == ("maths", "ours", False)
    assert config.comet.experiment_name == "first-stage2" and config.comet.samples_log_interval == 1
    for section in (config.tensorboard, config.csv_monitor):
        assert section.enabled and section.output_path == str(tmp_path / "stage2/monitor")


def test_runs_may_share_a_folder(tmp_path):
    shared = RunConfig(output="runs/x", monitors=("csv",), monitoring=MonitoringConfig(folder=str(tmp_path / "all")))
    assert plan_monitors(shared, Path("runs/x/stage1")).folder == tmp_path / "all/x/stage1"


def problems(*monitors: str, **settings) -> list[str]:
    return monitor_problems(RunConfig(monitors=monitors, monitoring=MonitoringConfig(**settings)))


@pytest.mark.parametrize("spec", [None, ModuleSpec("a folder that W&B has left here", None)])
def test_what_is_not_installed_is_told_with_its_package(spec, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: spec)
    assert problems("csv", "tensorboard", "comet", online=False) == [
        "run.monitors: tensorboard: not installed here; pip install tensorboard, or use csv",
        "run.monitors: comet: not installed here; pip install comet_ml, or use csv",
    ]


@pytest.mark.parametrize("monitor", ["wandb", "comet"])
def test_no_key_is_an_error_and_no_question(no_keys, monitor, monkeypatch):
    variable = f"{monitor.upper()}_API_KEY"
    (said,) = problems(monitor)
    assert said == (
        f"run.monitors: {monitor}: no API key, and no one to ask for it; set {variable}, or run.monitoring.online=false"
    )
    assert problems(monitor, online=False) == []
    monkeypatch.setenv(variable, "x" * 40)
    assert problems(monitor) == problems(monitor, online=True) == []


def test_a_login_is_found_where_it_was_left(no_keys, monkeypatch):
    (no_keys / ".comet.config").write_text("[comet]\napi_key = x\n")
    assert problems("comet") == []
    (no_keys / ".netrc").write_text("machine elsewhere.org login user password x\n")
    assert len(problems("wandb")) == 1
    (no_keys / ".netrc").write_text("machine api.wandb.ai login user password x\n")
    assert problems("wandb") == []
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.ours.org")
    assert len(problems("wandb")) == 1
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert problems("wandb") == [] and len(problems("wandb", online=True)) == 1


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"project": " "}, "run.monitoring.project: empty"),
        ({"name": "a/b"}, "run.monitoring.name: 'a/b', must hold no"),
    ],
)
def test_names_are_checked(settings, said):
    assert said in problems(**settings)[0]


STAND_IN = """
import json, os
def _note(*values):
    with open(os.environ["NOTED"], "a") as file:
        file.write(json.dumps(values) + "\\n")
def init(**settings):
    import sys
    read = ("WANDB_MODE", "WANDB_RUN_ID", "WANDB_RESUME", "WANDB_NAME", "WANDB_DIR", "WANDB_CONSOLE")
    _note("init", settings, {key: os.environ.get(key) for key in read}, sys.stdin.isatty())
def log(values, step, commit):
    _note("log", values, step)
    if os.environ.get("REFUSES"):
        raise ConnectionError("no network")
def finish():
    _note("finish")
"""
USE = """
import json, sys
from pathlib import Path
from lingualift_ds import dist
from lingualift_ds.config.monitors import plan_monitors
from lingualift_ds.config.schema import MonitoringConfig, RunConfig
from lingualift_ds.engine.build import connect
from lingualift_ds.engine.monitors import Monitors
folder, first, last, monitors = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4].split(",")
connect(dist.read_place())
run = RunConfig(output=str(folder), monitors=tuple(monitors), monitoring=MonitoringConfig(online=False, group="ours"))
opened = Monitors(plan_monitors(run, folder / "stage1"), first - 1)
for step in range(first, last + 1):
    opened.write({"train/loss": 1 / step, "heldout/sw": 2.0 / step}, step)
opened.close()
dist.disconnect()
"""


@pytest.fixture
def use(tmp_path):
    """Monitors in a process of their own, with a stand-in for wandb and none for comet_ml."""
    (tmp_path / "wandb").mkdir()
    (tmp_path / "wandb/__init__.py").write_text(STAND_IN)
    (tmp_path / "comet_ml").mkdir()
    (tmp_path / "comet_ml/__init__.py").write_text("raise ImportError('broken')")

    def start(first: int, last: int, monitors: str, **more: str) -> str:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("WANDB", "COMET", "SLURM"))}
        path = os.pathsep.join([str(ROOT), str(tmp_path), os.environ.get("PYTHONPATH", "")])
        kept |= {"PYTHONPATH": path, "DS_ACCELERATOR": "cpu", "OMP_NUM_THREADS": "1"}
        kept |= {"NOTED": str(tmp_path / "noted.jsonl")} | more
        command = [sys.executable, "-c", USE, str(tmp_path / "mine"), str(first), str(last), monitors]
        master, keyboard = pty.openpty()  # someone could be asked, and must not be
        done = subprocess.run(command, env=kept, stdin=keyboard, capture_output=True, text=True, timeout=120)
        os.close(master)
        os.close(keyboard)
        assert done.returncode == 0, done.stderr
        return done.stderr

    return start


def test_a_resumed_run_goes_on_with_its_curves(tmp_path, use):
    use(1, 6, "csv,wandb")
    use(5, 8, "csv,wandb")  # killed after step 6, the last checkpoint was that of step 4
    for name in ("train_loss", "heldout_sw"):
        header, *rows = list(csv.reader((tmp_path / f"mine/stage1/monitor/csv/{name}.csv").open()))
        assert header == ["step", name.split("_")[1]] and [int(step) for step, _ in rows] == list(range(1, 9))
    noted = [json.loads(line) for line in (tmp_path / "noted.jsonl").read_text().splitlines()]
    begun = [each for each in noted if each[0] == "init"]
    assert begun[0] == begun[1] and begun[0][3] is False
    assert begun[0][1] == {"project": "lingualift_ds", "group": "ours", "entity": None}
    environment = begun[0][2]
    assert environment["WANDB_RESUME"] == "allow" and len(environment["WANDB_RUN_ID"]) == 32
    assert environment["WANDB_NAME"] == "mine-stage1" and environment["WANDB_MODE"] == "offline"
    assert environment["WANDB_DIR"] == str(tmp_path / "mine/stage1/monitor") and environment["WANDB_CONSOLE"] == "off"
    steps = [each[2] for each in noted if each[0] == "log" and "train/loss" in each[1]]
    assert steps == [1, 2, 3, 4, 5, 6, 5, 6, 7, 8] and noted[-1] == ["finish"]


def test_tensorboard_shows_every_step_of_a_resumed_run_once(tmp_path, use):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    use(1, 6, "tensorboard")
    use(5, 8, "tensorboard")
    read = EventAccumulator(str(tmp_path / "mine/stage1/monitor/tensorboard"))
    read.Reload()
    assert [event.step for event in read.Scalars("train/loss")] == list(range(1, 9))


def test_a_monitor_that_fails_is_told_of_once_and_the_others_go_on(tmp_path, use):
    said = use(1, 3, "wandb,comet,csv", REFUSES="yes")
    assert said.count("monitors: wandb: cannot be written: ConnectionError: no network") == 1
    assert said.count("monitors: comet: cannot be opened, and is left out: ImportError: broken") == 1
    assert len((tmp_path / "mine/stage1/monitor/csv/train_loss.csv").read_text().splitlines()) == 4
