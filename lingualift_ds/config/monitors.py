"""Monitors: what DeepSpeed's are told, what other programs read from the environment, and what must be there first."""

import importlib.util
import netrc
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from lingualift_ds.config.schema import RunConfig

_PACKAGES = {"tensorboard": "tensorboard", "wandb": "wandb", "comet": "comet_ml"}
_TRUE = ("1", "true", "yes", "on")


@dataclass(frozen=True)
class MonitorPlan:
    """What the monitors of a stage are opened with."""

    folder: Path
    """Their files."""
    name: str
    """The run as W&B and Comet show it."""
    sections: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Monitor, as `run.monitors` names it: its part of DeepSpeed's config (monitor/config.py of 0.19.8)."""
    online: bool | None = None
    """Whether W&B and Comet send what they get; None: as their own environment says."""


def plan_monitors(run: RunConfig, stage_folder: Path) -> MonitorPlan:
    """The monitors of a stage, RUN/stageN."""
    settings = run.monitoring
    name = settings.name or Path(run.output).resolve().name
    folder = stage_folder / "monitor"
    if settings.folder is not None:
        folder = Path(settings.folder) / name / stage_folder.name
    folder, name = folder.absolute(), f"{name}-{stage_folder.name}"
    sections: dict[str, dict[str, Any]] = {}
    for monitor in dict.fromkeys(run.monitors):
        if monitor == "wandb":
            section = {"project": settings.project, "team": settings.team, "group": settings.group}
        elif monitor == "comet":
            # DeepSpeed counts in what it takes for samples; we give steps, and each of them is to be sent.
            section = {"project": settings.project, "workspace": settings.team, "samples_log_interval": 1}
            section |= {"experiment_name": name, "online": settings.online, "mode": "get_or_create"}
        else:
            section = {"output_path": str(folder), "job_name": monitor}
        sections[monitor] = {"enabled": True} | section
    return MonitorPlan(folder, name, sections, settings.online)


def monitor_problems(run: RunConfig) -> list[str]:
    """What keeps a monitor from working here: all that would stop training, or ask a question that no one answers."""
    problems = []
    for name in ("project", "team", "group", "name", "folder"):
        value = getattr(run.monitoring, name)
        if value is not None and not value.strip():
            problems.append(f"run.monitoring.{name}: empty, must be a name{'' if name == 'project' else ', or null'}")
    if run.monitoring.name is not None and "/" in run.monitoring.name:
        problems.append(f"run.monitoring.name: {run.monitoring.name!r}, must hold no slash")
    for monitor in dict.fromkeys(run.monitors):
        package = _PACKAGES.get(monitor)
        if package is not None and not _installed(package):
            problems.append(f"run.monitors: {monitor}: not installed here; pip install {package}, or use csv")
        elif monitor in _KEYS and not _KEYS[monitor](run.monitoring.online, os.environ):
            variable = {"wandb": "WANDB_API_KEY", "comet": "COMET_API_KEY"}[monitor]
            problems.append(
                f"run.monitors: {monitor}: no API key, and no one to ask for it; set {variable}, or "
                f"run.monitoring.online=false"
            )
    return problems


def _installed(package: str) -> bool:
    """Whether it can be imported. A folder that W&B has left in the working directory is no package."""
    spec = importlib.util.find_spec(package)
    return spec is not None and spec.origin is not None


def _wandb_has_key(online: bool | None, env: Mapping[str, str]) -> bool:
    """Whether W&B (0.31) will find what it needs: WANDB_API_KEY, a token, or what `wandb login` left."""
    mode = "offline" if online is False else "online" if online else env.get("WANDB_MODE", "online")
    if mode != "online" or env.get("WANDB_API_KEY") or env.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    told = env.get("WANDB_BASE_URL")
    hosts = [urlsplit(told).netloc] if told else ["api.wandb.ai", "api.forge.coreweave.com"]
    files = [Path(env["NETRC"])] if env.get("NETRC") else [Path("~/.netrc"), Path("~/_netrc")]
    if any(_names_host(path.expanduser(), host) for path in files for host in hosts):
        return True
    settings = Path(env.get("WANDB_CONFIG_DIR", "~/.config/wandb")) / "settings"
    return _mentions(settings.expanduser(), "base_url")  # a server of one's own: W&B will find its key, or say so


def _names_host(path: Path, host: str) -> bool:
    try:
        return bool(netrc.netrc(path).authenticators(host))
    except (OSError, netrc.NetrcParseError):
        return False


def _comet_has_key(online: bool | None, env: Mapping[str, str]) -> bool:
    """Whether Comet (3.58) will find its key: COMET_API_KEY, or what `comet login` left."""
    if online is None:
        online = env.get("COMET_START_ONLINE", "true").lower() in _TRUE
    if not online or env.get("COMET_API_KEY"):
        return True
    told = env.get("COMET_CONFIG") or env.get("COMET_INI")
    paths = [Path(told)] if told else [Path("./.comet.config"), Path("~/.comet.config")]
    return any(_mentions(path.expanduser(), "api_key") for path in paths)


def _mentions(path: Path, word: str) -> bool:
    try:
        return word in path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False


_KEYS = {"wandb": _wandb_has_key, "comet": _comet_has_key}
