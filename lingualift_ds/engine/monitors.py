"""DeepSpeed's monitors: TensorBoard, CSV, W&B and Comet, opened and fed here, so that none of them can stop training.

DeepSpeed's own engine (0.19.8) opens them where a failure ends the run, and writes its numbers at its count of samples:
W&B then refuses ours, at the lower count of steps. So its engine is given none, and its monitors are used from here.
"""

import contextlib
import csv
import io
import json
import os
import sys
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deepspeed.monitor.comet import CometMonitor
from deepspeed.monitor.config import get_monitor_config
from deepspeed.monitor.csv_monitor import csvMonitor
from deepspeed.monitor.monitor import Monitor
from deepspeed.monitor.tensorboard import TensorBoardMonitor
from deepspeed.monitor.wandb import WandbMonitor

from lingualift_ds.config.monitors import MonitorPlan
from lingualift_ds.log import capture_libraries, get_logger

logger = get_logger(__name__)

_KINDS = {
    "tensorboard": ("tensorboard", TensorBoardMonitor),
    "csv": ("csv_monitor", csvMonitor),
    "wandb": ("wandb", WandbMonitor),
    "comet": ("comet", CometMonitor),
}
_CLOSE_SECONDS = 30.0
_OF_WANDB = {
    "WANDB_CONSOLE": "off",  # it would take the terminal, and our lines are in files
    "WANDB_INIT_TIMEOUT": "60",  # seconds, in which all ranks wait
    "WANDB_FINISH_TIMEOUT": str(_CLOSE_SECONDS),  # at the end of a process too: a preempted one has little time
    "WANDB_ERROR_REPORTING": "false",
}
_OF_COMET = {
    "COMET_TIMEOUT_CLEANING": str(round(_CLOSE_SECONDS)),
    # Source code, patches, packages, the machine and the terminal's output are not ours to send.
    "COMET_DISABLE_AUTO_LOGGING": "1",
    **{f"COMET_AUTO_LOG_{what}": "0" for what in ("CODE", "ENV_DETAILS", "GIT_METADATA", "GIT_PATCH", "CLI_ARGUMENTS")},
}
"""What W&B 0.31 and Comet 3.58 read from the environment; what the user has set goes first."""
_ours: dict[str, str] = {}
"""What was set here, and may be set anew for another stage."""


class Monitors:
    """The monitors of a stage. One that fails is told of once; the others, and training, go on.

    plan: what they are opened with. step: the last step that was taken; curves go on after it, and what a run that was
    killed had written of later steps is dropped where that can be. Only rank 0 should have any.
    """

    def __init__(self, plan: MonitorPlan, step: int):
        self._open: dict[str, Monitor] = {}
        self._failed: set[str] = set()
        run_id = _run_id(plan.folder) if {"wandb", "comet"} & plan.sections.keys() else ""
        for name in plan.sections:
            try:
                self._open[name] = _open(name, plan, run_id, step)
            except Exception as error:  # each has errors of its own
                logger.warning("monitors: %s: cannot be opened, and is left out: %s", name, _said(error))
        capture_libraries()  # theirs may have brought handlers of their own

    def write(self, values: dict[str, float], step: int) -> None:
        """Send numbers, by names such as train/loss, as those of a step."""
        events = [(name, value, step) for name, value in values.items()]
        for name, monitor in self._open.items():
            try:
                monitor.write_events(events)
            except Exception as error:
                if name not in self._failed:
                    self._failed.add(name)
                    logger.warning("monitors: %s: cannot be written: %s", name, _said(error))

    def close(self) -> None:
        """Let them send what they hold, for half a minute at most."""
        for name, monitor in self._open.items():
            closing = threading.Thread(target=self._close, args=(name, monitor), daemon=True)
            closing.start()
            closing.join(_CLOSE_SECONDS)
            if closing.is_alive():
                logger.warning("monitors: %s: is not done sending after %.0f s, and is left", name, _CLOSE_SECONDS)
        self._open = {}

    def _close(self, name: str, monitor: Any) -> None:
        try:
            if name == "tensorboard":
                monitor.summary_writer.close()
            elif name == "wandb":
                import wandb

                wandb.finish()
            elif name == "comet":
                monitor.experiment.end()
        except Exception as error:
            logger.warning("monitors: %s: cannot be closed: %s", name, _said(error))


def _open(name: str, plan: MonitorPlan, run_id: str, step: int) -> Monitor:
    key, kind = _KINDS[name]
    section = dict(plan.sections[name])
    if name == "wandb":
        _tell_wandb(plan, run_id)
    elif name == "comet":
        _set_unless_set(_OF_COMET | {"COMET_OFFLINE_DIRECTORY": str(plan.folder)})
        section["experiment_key"] = os.environ.get("COMET_EXPERIMENT_KEY", run_id)
    plan.folder.mkdir(parents=True, exist_ok=True)
    with _without_a_keyboard():
        monitor = kind(getattr(get_monitor_config({key: section}), key))
    if name == "csv":
        _go_on_csv(monitor, step)
    elif name == "tensorboard":
        _go_on_tensorboard(monitor, step)
    return monitor


def _tell_wandb(plan: MonitorPlan, run_id: str) -> None:
    """DeepSpeed tells W&B project, group and team; the rest W&B reads from the environment. The user's own goes first,
    but for what the config states."""
    if plan.online is not None:
        os.environ["WANDB_MODE"] = "online" if plan.online else "offline"
    own = {"WANDB_DIR": str(plan.folder), "WANDB_NAME": plan.name, "WANDB_RUN_ID": run_id, "WANDB_RESUME": "allow"}
    _set_unless_set(_OF_WANDB | own)


def _set_unless_set(values: dict[str, str]) -> None:
    for key, value in values.items():
        if os.environ.get(key) == _ours.get(key):  # unset, or of an earlier stage in this process
            os.environ[key] = _ours[key] = value


def _run_id(folder: Path) -> str:
    """W&B's and Comet's id of this run, the same after every restart: it lies beside the files, and goes with them."""
    path = folder / "run.json"
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["id"])
    except (OSError, ValueError, KeyError, TypeError):
        fresh = uuid.uuid4().hex
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"id": fresh}) + "\n", encoding="utf-8")
    except OSError as error:
        logger.warning("monitors: %s: cannot be written: %s; a resumed run begins new curves", path, error.strerror)
    return fresh


@contextlib.contextmanager
def _without_a_keyboard() -> Iterator[None]:
    """Within it no one can be asked for a key: W&B and Comet would, and every other rank would wait."""
    before, sys.stdin = sys.stdin, io.StringIO()
    try:
        yield
    finally:
        sys.stdin = before


def _go_on_csv(monitor: csvMonitor, step: int) -> None:
    """Drop the rows after `step`, and let no second header be written (DeepSpeed writes one in every process)."""
    for path in sorted(Path(monitor.log_dir).glob("*.csv")):
        header, *rows = list(csv.reader(path.read_text(encoding="utf-8").splitlines())) or [[]]
        kept = [row for row in rows if len(row) == 2 and row[0].isdigit() and int(row[0]) <= step]
        aside = path.with_suffix(".tmp")
        with aside.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([header, *kept])
        os.replace(aside, path)
        monitor.filenames.append(path.stem)


def _go_on_tensorboard(monitor: TensorBoardMonitor, step: int) -> None:
    """Let TensorBoard pass over what is there of later steps."""
    folder = Path(monitor.summary_writer.log_dir)
    if len(list(folder.glob("events.out.tfevents.*"))) > 1:
        from torch.utils.tensorboard import SummaryWriter

        monitor.summary_writer.close()
        monitor.summary_writer = SummaryWriter(log_dir=str(folder), purge_step=step + 1, filename_suffix=".resumed")


def _said(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]
