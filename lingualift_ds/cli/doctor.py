"""`lingualift-ds doctor`: what is installed on this machine, and whether it computes what it should.

lingualift-ds doctor
lingualift-ds doctor --golden
"""

import argparse
import json
import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from lingualift_ds import __version__

if TYPE_CHECKING:
    from lingualift_ds.evaluate.golden.comparison import Comparison

_PACKAGES = ("torch", "transformers", "tokenizers", "safetensors", "deepspeed", "accelerate", "flash-attn", "lm_eval")
_GOLDEN = "two tiny models with fixed weights against what was recorded of them: does this machine compute the same?"


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the command `doctor`."""
    parser = subparsers.add_parser("doctor", help="what is installed here, and whether it computes what it should")
    parser.add_argument("--golden", action="store_true", help=f"{_GOLDEN} Exit code 1 where it does not.")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of text")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print what was found; 1 where a comparison failed."""
    found: dict[str, Any] = {"versions": versions(), "devices": devices()}
    if not arguments.json:
        sys.stdout.write(format_facts(found))
    comparisons: list[Comparison] = []
    if arguments.golden:
        from lingualift_ds.evaluate.golden.comparison import compare_all
        from lingualift_ds.evaluate.golden.folder import read_record

        record = read_record()
        found["recorded_with"] = record["made_with"]
        comparisons = list(compare_all(record))
        found["golden"] = [asdict(one) | {"difference": _number(one.difference), "ok": one.ok} for one in comparisons]
    if arguments.json:
        sys.stdout.write(json.dumps(found, indent=2) + "\n")
    elif arguments.golden:
        sys.stdout.write(format_golden(comparisons, found["recorded_with"]))
    else:
        sys.stdout.write(f"next: lingualift-ds doctor --golden\n      {_GOLDEN}\n")
    return 0 if all(one.ok for one in comparisons) else 1


def versions() -> dict[str, str | None]:
    """What is installed, by name; None for what is not."""
    found: dict[str, str | None] = {"lingualift_ds": __version__, "python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found


def devices() -> list[str]:
    """What this process can compute on: the CPU, and every GPU it sees."""
    import torch

    gpus = [torch.cuda.get_device_properties(number) for number in range(torch.cuda.device_count())]
    kind = f"ROCm {torch.version.hip}" if torch.version.hip else f"CUDA {torch.version.cuda}"
    return [
        f"CPU: {platform.machine()}, {len(os.sched_getaffinity(0))} cores",
        *(f"GPU {n}: {gpu.name}, {gpu.total_memory / 1e9:.0f} GB, {kind}" for n, gpu in enumerate(gpus)),
    ]


def format_facts(found: dict[str, Any]) -> str:
    """Versions and devices, a line each."""
    width = max(map(len, found["versions"]))
    lines = [f"{name:<{width}}  {number or 'not installed'}" for name, number in found["versions"].items()]
    return "\n".join([*lines, *found["devices"], ""])


def format_golden(comparisons: Sequence["Comparison"], made_with: dict[str, str]) -> str:
    """The comparisons as a table, and what they say together."""
    head = ("model", "where", "compared", "largest difference", "allowed", "")
    rows = [
        (one.model, one.place, one.what, _shown(one.difference), _shown(one.allowed), "ok" if one.ok else "FAILED")
        for one in comparisons
    ]
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in (head, *rows)]
    lines += [f"{one.model}, {one.place}: {one.error}" for one in comparisons if one.error]
    recorded = f"recorded with torch {made_with['torch']}, transformers {made_with['transformers']} on a CPU"
    failed = sum(not one.ok for one in comparisons)
    verdict = f"{failed} of {len(rows)} FAILED: this machine does not compute what was" if failed else "all as"
    return "\n".join([*lines, f"{verdict} {recorded}", ""])


def _shown(number: float) -> str:
    return "0" if number == 0 else f"{number:.1e}"


def _number(value: float) -> float | None:
    """As JSON can hold it: what is no number, or infinite, is null."""
    return value if value - value == 0 else None
