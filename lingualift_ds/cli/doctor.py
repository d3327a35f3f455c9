"""`lingualift-ds doctor`: what is installed on this machine, what is used instead of what is not, and whether the
machine computes what it should.

lingualift-ds doctor
lingualift-ds doctor --golden
srun lingualift-ds doctor --nodes
"""

import argparse
import json
import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lingualift_ds import __version__
from lingualift_ds.errors import LaunchError

if TYPE_CHECKING:
    from lingualift_ds.evaluate.golden.comparison import Comparison
    from lingualift_ds.train.doctor.line import Line

_PACKAGES = ("torch", "transformers", "tokenizers", "safetensors", "deepspeed", "accelerate", "flash-attn", "lm_eval")
_WIDEST = 60
_GOLDEN = "two tiny models with fixed weights against what was recorded of them: does this machine compute the same?"


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the command `doctor`."""
    parser = subparsers.add_parser("doctor", help="what is installed here, and whether it computes what it should")
    parser.add_argument("--run", dest="folder", default="runs", metavar="DIR", help="where runs will be written (runs)")
    parser.add_argument("--golden", action="store_true", help=f"{_GOLDEN} Exit code 1 where it does not.")
    parser.add_argument("--nodes", action="store_true", help="under srun: all nodes, and what differs between them")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of text")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print what was found; 1 where training would not start or a comparison failed."""
    if arguments.nodes:
        return _run_nodes(arguments)
    from lingualift_ds.train.doctor.examine import examine, failed

    found: dict[str, Any] = {"versions": versions(), "devices": devices()}
    if not arguments.json:
        sys.stdout.write(format_facts(found))
        sys.stdout.flush()
    lines = examine(Path(arguments.folder))
    found["checks"] = [_as_json(line) for line in lines]
    if not arguments.json:
        sys.stdout.write(format_checks(lines))
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
        sys.stdout.write("\n" + format_golden(comparisons, found["recorded_with"]))
    else:
        sys.stdout.write(f"next: lingualift-ds doctor --golden\n      {_GOLDEN}\n")
    return 0 if all(one.ok for one in comparisons) and not failed(lines) else 1


def _run_nodes(arguments: argparse.Namespace) -> int:
    """Every task looks, rank 0 speaks; 1 on all of them where something failed on any."""
    if arguments.golden:
        raise LaunchError("--nodes, --golden: one at a time")
    from lingualift_ds.train.doctor.examine import examine, failed
    from lingualift_ds.train.doctor.nodes import compare, place_under_srun

    place = place_under_srun()
    found: dict[str, Any] = {"versions": versions(), "devices": devices()}
    lines = examine(Path(arguments.folder), with_pair=False)
    facts = {name: number or "not installed" for name, number in found["versions"].items()}
    nodes = compare(place, facts | {"devices": ", ".join(found["devices"])}, lines)
    if place.is_main and arguments.json:
        found["checks"] = [_as_json(line) for line in (*lines, nodes.together)]
        found["nodes"] = {"hosts": nodes.hosts, "tasks": nodes.tasks, "differing": nodes.differing}
        sys.stdout.write(json.dumps(found, indent=2) + "\n")
    elif place.is_main:
        here = [*lines, nodes.together]
        sys.stdout.write(format_facts(found) + format_checks(here, nodes.failed - failed(here)))
        sys.stdout.write(format_differences(nodes.differing))
    return 1 if nodes.failed else 0


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
    cpu = f"CPU: {platform.machine()}, {len(os.sched_getaffinity(0))} cores"
    try:
        import torch
    except (ImportError, OSError) as error:  # OSError: a library that torch was built with is missing
        return [cpu, f"torch cannot be imported: {' '.join(str(error).split())[:160]}"]

    gpus = [torch.cuda.get_device_properties(number) for number in range(torch.cuda.device_count())]
    kind = f"ROCm {torch.version.hip}" if torch.version.hip else f"CUDA {torch.version.cuda}"
    return [cpu, *(f"GPU {n}: {gpu.name}, {gpu.total_memory / 1e9:.0f} GB, {kind}" for n, gpu in enumerate(gpus))]


def format_facts(found: dict[str, Any]) -> str:
    """Versions and devices, a line each."""
    width = max(map(len, found["versions"]))
    lines = [f"{name:<{width}}  {number or 'not installed'}" for name, number in found["versions"].items()]
    return "\n".join([*lines, *found["devices"], ""])


def format_checks(lines: Sequence["Line"], elsewhere: int = 0) -> str:
    """The checks as a table, and what they say together. `elsewhere`: what failed on other tasks."""
    rows = [("what", "found", "", "means"), *((one.what, one.found, one.verdict, one.means) for one in lines)]
    failed = elsewhere + sum(line.verdict == "FAILED" for line in lines)
    verdict = f"{failed} FAILED: training would not start here" if failed else "nothing stands in the way of training"
    verdict += f" ({elsewhere} on other tasks)" if elsewhere else ""
    return "\n".join(["", *_table(rows), verdict, ""])


def format_differences(differing: dict[str, dict[str, str]]) -> str:
    """What is not equal on all nodes, a line each."""
    if not differing:
        return "all tasks found the same\n"
    lines = [
        f"{what}: " + "; ".join(f"{host}: {value}" for host, value in by.items()) for what, by in differing.items()
    ]
    return "\n".join(["differs between nodes:", *lines, ""])


def format_golden(comparisons: Sequence["Comparison"], made_with: dict[str, str]) -> str:
    """The comparisons as a table, and what they say together."""
    head = ("model", "where", "compared", "largest difference", "allowed", "")
    rows = [
        (one.model, one.place, one.what, _shown(one.difference), _shown(one.allowed), "ok" if one.ok else "FAILED")
        for one in comparisons
    ]
    lines = _table([head, *rows])
    lines += [f"{one.model}, {one.place}: {one.error}" for one in comparisons if one.error]
    recorded = f"recorded with torch {made_with['torch']}, transformers {made_with['transformers']} on a CPU"
    failed = sum(not one.ok for one in comparisons)
    verdict = f"{failed} of {len(rows)} FAILED: this machine does not compute what was" if failed else "all as"
    return "\n".join([*lines, f"{verdict} {recorded}", ""])


def _table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Rows, the head first, as lines with columns of equal width."""
    # A long text in one line does not push the columns of all others out of sight.
    widths = [min(max(map(len, column)), _WIDEST) for column in zip(*rows)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]


def _as_json(line: "Line") -> dict[str, str]:
    return {"what": line.what, "found": line.found, "verdict": line.verdict, "means": line.means}


def _shown(number: float) -> str:
    return "0" if number == 0 else f"{number:.1e}"


def _number(value: float) -> float | None:
    """As JSON can hold it: what is no number, or infinite, is null."""
    return value if value - value == 0 else None
