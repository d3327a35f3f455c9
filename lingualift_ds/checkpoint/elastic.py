"""A checkpoint for another number of ranks, converted once by DeepSpeed's universal checkpoint tool."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lingualift_ds import dist
from lingualift_ds.checkpoint.listing import CONVERTED
from lingualift_ds.checkpoint.manifest import NAME, file_entry, sha256, verify, writable, write_manifest
from lingualift_ds.errors import CheckpointError
from lingualift_ds.log import get_logger

logger = get_logger(__name__)

_TOOL = "deepspeed.checkpoint.ds_to_universal"
_SERIAL_BYTES = 1_000_000_000
"""Checkpoints up to this size are converted by one process: starting more takes longer."""


def folder_for(path: Path, manifest: Mapping[str, Any], world_size: int) -> tuple[Path, bool]:
    """The folder that ranks load a whole checkpoint from under its own name, and whether it is a universal one.

    Converts it where it was saved on another number of ranks; what was converted is kept until the next checkpoint.
    Collective. Raises CheckpointError where it cannot be converted.
    """
    if manifest["world_size"] == world_size or manifest["zero"] == 0:
        return path.parent, False
    dist.on_main(lambda: _convert(path, manifest["world_size"], world_size), at_length=True)
    return path.parent / CONVERTED, True


def _convert(path: Path, saved_on: int, world_size: int) -> None:
    source, final = sha256(path / NAME), path.parent / CONVERTED / path.name
    try:
        if verify(final)["from"] == source:
            logger.info("%s was converted for another number of ranks already", path.name)
            return
    except (CheckpointError, OSError):
        pass
    logger.info("%s was saved on %d ranks, this run has %d: converting it", path.name, saved_on, world_size)
    # A tool whose starter was killed may still be at work in the folder of that name.
    aside = final.with_name(f".{final.name}.{os.getpid()}.tmp")
    try:
        writable(aside, lambda: _clear(aside, final))
        _run_tool(path, aside)
        made = [p for p in sorted(aside.rglob("*")) if p.is_file()]
        files = writable(aside, lambda: {str(p.relative_to(aside)): file_entry(p) for p in made})
        writable(aside, lambda: write_manifest(aside, "universal", files, {"from": source}))
        writable(aside, lambda: os.rename(aside, final))
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _clear(*folders: Path) -> None:
    for folder in folders:
        if folder.exists():
            shutil.rmtree(folder)
    folders[0].parent.mkdir(parents=True, exist_ok=True)


def _run_tool(path: Path, output: Path) -> None:
    """In a process of its own: it prints, forks workers, and holds whole shards."""
    size = sum(p.stat().st_size for p in path.iterdir() if p.is_file())
    workers = 1 if size < _SERIAL_BYTES else min(8, os.cpu_count() or 1)
    environment = dist.unlaunched() | {"DS_ACCELERATOR": "cpu"}
    command = [sys.executable, "-m", _TOOL, "--input_folder", str(path), "--output_folder", str(output)]
    # The patterns of parameters that a model-parallel client would have to state: there are none.
    command += ["--inject_missing_state", "--num_extract_workers", str(workers)]
    command += ["--num_merge_workers", str(max(1, workers // 2))]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        free = shutil.disk_usage(output.parent).free
        raise CheckpointError(
            f"{path}: cannot be converted for another number of ranks: {last[:300]} "
            f"({free / 1e9:.1f} GB are free there, it takes about {2 * size / 1e9:.1f} GB)"
        )
