"""`lingualift-ds inspect`: what a run, a checkpoint or an artefact holds, and whether it is whole. Changes nothing.

lingualift-ds inspect runs/NAME
lingualift-ds inspect runs/NAME/stage1/checkpoints/step-000100 --verify
"""

import argparse
import json
import math
import os
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from lingualift_ds.checkpoint.inspect import Inspected, TensorFacts, hash_files
from lingualift_ds.checkpoint.listing import Leftover, Listing
from lingualift_ds.log import Progress
from lingualift_ds.train.inspect import Report, StageReport, inspect_path

_HASH = 12
"""Digits of a hash that a table shows."""
_EPILOG = (
    "A time with ~ is that of the newest file, where the manifest gives none. "
    "Exit code: 0 where everything listed is whole, 1 where something is damaged, 2 where PATH is none of these."
)


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the command `inspect`."""
    parser = subparsers.add_parser(
        "inspect", help="what a run, a checkpoint or an artefact holds, and whether it is whole", epilog=_EPILOG
    )
    parser.add_argument("path", metavar="PATH", help="a run, a stage in it, its checkpoints, a checkpoint, an artefact")
    parser.add_argument("--verify", action="store_true", help="hash every file; without it, sizes are compared")
    parser.add_argument("--all", action="store_true", help="list frozen tensors of a checkpoint too")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print a table or JSON; 1 where something is damaged. Raises CheckpointError."""
    report = inspect_path(Path(arguments.path))
    size = sum(folder.bytes_present for folder in report.folders)
    if arguments.verify:
        with Progress("verify", size, "bytes") as progress:
            hash_files(report.folders, progress.advance)
        report.forget_removed()
    if arguments.json:
        _print([json.dumps(_finite(_document(report, arguments.verify, arguments.all)), indent=2)])
    else:
        ending = "every listed file hashed" if arguments.verify else "only sizes were compared; --verify hashes"
        lines = [*_lines(report, arguments.all), f"{ending}: {_bytes(size)}"]
        _print("".join(c if c.isprintable() else "?" for c in line).rstrip() for line in lines)
    return 0 if report.whole else 1


def _print(lines: Iterable[str]) -> None:
    try:
        sys.stdout.write("\n".join(lines) + "\n")
        sys.stdout.flush()
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _lines(report: Report, everything: bool) -> list[str]:
    """The table of a report."""
    if report.folder:
        return _folder(report.folder, everything)
    if report.listing:
        head = f"{report.path}: {len(report.listing.checkpoints)} checkpoints"
        return [head, *_listing(report.listing, report.complete)]
    return [line for stage in report.stages for line in [*_stage(stage), ""]]


def _stage(stage: StageReport) -> list[str]:
    name = f" ({stage.name})" if stage.name else ""
    done = "not complete" if stage.complete is None else f"complete at step {_count(stage.complete.get('step'))}"
    last = "no metrics"
    if stage.last:
        loss = stage.last["loss"]
        last = f"metrics to step {_count(stage.last['step'])}, loss {'not a number' if loss is None else f'{loss:.4f}'}"
    lines = [f"{stage.folder.path}{name}: {done}; {last}"]
    lines += [f"  problem: {problem}" for problem in stage.problems]
    if stage.artefact:
        lines += _artefact(stage.artefact)
    lines += _listing(stage.listing, stage.complete is not None)
    lines += [f"  left over: {left.path.name}, {_bytes(left.size)}: {left.what}" for left in stage.leftovers]
    return lines


def _artefact(found: Inspected) -> list[str]:
    """What a stage hands over, in a few lines."""
    lines = [f"  artefact: {_when(found)}, {_bytes(found.size)}, {_state(found)}"]
    if found.tensors:
        lines.append(f"    holds    {_parts(found)}")
    return lines + [f"    {label:<8} {text}" for label, text in _origins(found)]


def _listing(listing: Listing, complete: bool) -> list[str]:
    """The table of a checkpoints folder, and what lies beside them."""
    lines = [f"  problem: {problem}" for problem in listing.problems]
    if listing.checkpoints:
        head = ("step", "when", "size", "ranks", "ZeRO", "holds", "state")
        rows = [head, *(_row(c, listing, complete) for c in listing.checkpoints)]
        widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
        aligned = (">", "<", ">", ">", ">", "<", "<")
        lines += ["    " + "  ".join(f"{c:{a}{w}}" for c, a, w in zip(row, aligned, widths)) for row in rows]
    elif not listing.problems:
        lines.append("  no checkpoints")
    for left in listing.leftovers:
        name = left.path.relative_to(listing.path)
        lines.append(f"  left over: {name}, {_bytes(left.size)}: {left.what}")
    return lines + [f"  note: {note}" for note in listing.notes]


def _row(found: Inspected, listing: Listing, complete: bool) -> tuple[str, ...]:
    marks = ["latest"] if found.path.name == listing.latest else []
    if found is listing.newest_whole and not complete:
        marks.append("a resume goes on from here")
    facts = found.manifest or {}
    return (
        _count(found.step),
        _when(found),
        _bytes(found.size),
        _count(facts.get("world_size")),
        _count(facts.get("zero")),
        _holds(found),
        _state(found) + (f"  <- {', '.join(marks)}" if marks else ""),
    )


def _folder(found: Inspected, everything: bool) -> list[str]:
    """One folder, with all that its manifest says."""
    lines = [f"{found.path}: {found.kind}, {found.state if found.problems else _state(found)}"]
    lines += [f"  problem: {problem}" for problem in found.problems]
    fields = [("written", _when(found)), ("size", _bytes(found.size))]
    facts = found.manifest
    if facts is not None:
        fields.append(("stage", _text(facts.get("stage"))))
        progress = ", ".join(f"{_count(facts.get(k))} {k}" for k in ("samples", "tokens"))
        fields.append(("progress", f"step {_count(facts.get('step'))}, {progress}"))
    if facts is not None and found.kind == "checkpoint":
        at = facts.get("position")
        if isinstance(at, dict):
            fields.append(("position", ", ".join(f"{k.replace('_', ' ')} {_text(v)}" for k, v in at.items())))
        ranks = f"{_count(facts.get('world_size'))} ranks, ZeRO-{_count(facts.get('zero'))}"
        fields += [("saved on", f"{ranks}, {_text(facts.get('precision'))}"), ("holds", _holds(found))]
        probe = facts.get("probe")
        fields.append(("probe", f"loss {_text(probe.get('loss') if isinstance(probe, dict) else None)}"))
        fields.append(("config", _text(facts.get("config"))))
    elif found.tensors:
        fields.append(("holds", _parts(found)))
    if facts is not None:
        versions = facts.get("versions")
        if isinstance(versions, dict):
            fields.append(("versions", ", ".join(f"{k} {_text(v)}" for k, v in versions.items())))
        fields += _origins(found)
    lines += [f"  {label:<9} {text}" for label, text in fields]
    return lines + _tensors(found, everything) + _files(found)


def _origins(found: Inspected) -> list[tuple[str, str]]:
    """The models it belongs to, what it was handed, and its data: names where they are known, and hashes."""
    facts = found.manifest or {}
    identity, sources = (v if isinstance(v, dict) else {} for v in (facts.get("identity"), facts.get("sources")))
    lines = []
    for label, key, role in (("LLM", "llm", "llm"), ("encoder", "encoder", "encoder"), ("data", "data", "data")):
        config = found.config.get(role)
        config = config if isinstance(config, dict) else {}
        name, mark = sources.get(key) or config.get("name"), identity.get(key) or config.get("fingerprint")
        if name or mark:
            lines.append((label, "  ".join([*([_text(name)] if name else []), *([_hash(mark)] if mark else [])])))
    if "handover" in identity:
        source = f"{_text(sources['alignment'])}  " if sources.get("alignment") else ""
        handed = identity["handover"]
        lines.append(("handed", f"an artefact: {source}{_hash(handed)}" if handed else "nothing"))
    return lines


def _tensors(found: Inspected, everything: bool) -> list[str]:
    if not found.tensors:
        return []
    shown = _shown(found, everything)
    hidden = len(found.tensors) - len(shown)
    lines = [f"  {len(shown)} tensors" + (f", and {hidden} frozen ones, which --all lists" if hidden else "")]
    words = {True: "trained", False: "frozen", None: ""}
    rows = [(t.name, str(list(t.shape)), t.dtype, words[t.trained]) for t in shown]
    widths = [max((len(row[i]) for row in rows), default=0) for i in range(4)]
    return lines + ["    " + "  ".join(f"{c:<{w}}" for c, w in zip(row, widths)) for row in rows]


def _files(found: Inspected) -> list[str]:
    files = (found.manifest or {}).get("files", {})
    if not files:
        return []
    width = max(len(name) for name in files)
    return [
        f"  {len(files)} files, in bytes",
        *(f"    {name:<{width}}  {entry['size']:>15,}" for name, entry in files.items()),
    ]


def _shown(found: Inspected, everything: bool) -> list[TensorFacts]:
    return [t for t in found.tensors if everything or t.trained is not False]


def _state(found: Inspected) -> str:
    """Whole, and by what measure; or what is wrong."""
    if not found.problems:
        return f"whole ({'hashed' if found.hashed else 'sizes'})"
    more = f", and {len(found.problems) - 1} more" if len(found.problems) > 1 else ""
    kind = "" if found.trouble == "other format" else f"{found.trouble}: "
    return f"{kind}{found.problems[0]}{more}"


def _holds(found: Inspected) -> str:
    """What a checkpoint holds, in a few words."""
    trained = [t for t in found.tensors if t.trained]
    if found.manifest is None:
        return "-"
    parts = [f"{len(trained)} tensors, {_amount(sum(t.numel for t in trained))} parameters"]
    parts += ["optimizer"] if found.has_optimizer else []
    return ", ".join([*parts, f"{found.ranks} {'rank' if found.ranks == 1 else 'ranks'}"])


def _parts(found: Inspected) -> str:
    """What an artefact holds, by the part of the model."""
    tensors, parameters = Counter(), Counter()
    for tensor in found.tensors:
        part = tensor.name.split(".")[0]
        tensors[part] += 1
        parameters[part] += tensor.numel
    return "; ".join(f"{p} {n} tensors, {_amount(parameters[p])} parameters" for p, n in tensors.items())


def _when(found: Inspected) -> str:
    """Local time; `~` where it is the files' and not the manifest's."""
    return ("" if found.dated_by == "manifest" else "~") + _local(found.written)


def _local(time: datetime) -> str:
    try:
        return time.astimezone().strftime("%Y-%m-%d %H:%M")
    except (ValueError, OverflowError, OSError):
        return time.strftime("%Y-%m-%d %H:%M UTC")


def _bytes(size: int) -> str:
    return f"{size:,} bytes" if size < 1000 else _scaled(size, ("kB", "MB", "GB", "TB"))


def _amount(count: int) -> str:
    return f"{count:,}" if count < 1_000_000 else _scaled(count // 1000, ("M", "B"))


def _scaled(value: float, units: Sequence[str]) -> str:
    """A value of a thousand or more in the unit that leaves it below a thousand, or in the last."""
    value, (unit, *larger) = value / 1000, units
    return _scaled(value, larger) if value >= 999.95 and larger else f"{value:,.1f} {unit}"


def _count(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else "-"


def _hash(value: Any) -> str:
    """Hashes, shortened; a commit or a name as it is."""
    texts = _text(value).split(",")
    return ", ".join(t[:_HASH] if len(t) == 64 else t for t in texts[:3]) + (" ..." if len(texts) > 3 else "")


def _text(value: Any) -> str:
    if value is None or isinstance(value, dict | list):
        return "-"
    return str(value)


def _document(report: Report, verified: bool, everything: bool) -> dict[str, Any]:
    """The report for machines. Sizes in bytes, times in UTC."""
    document: dict[str, Any] = {
        "path": str(report.path),
        "kind": report.kind,
        "verified": "hashes" if verified else "sizes",
        "whole": report.whole,
    }
    if report.folder:
        found = report.folder
        files = (found.manifest or {}).get("files", {})
        tensors = [
            {"name": t.name, "shape": list(t.shape), "dtype": t.dtype, "trained": t.trained}
            for t in _shown(found, everything)
        ]
        return document | {report.kind: _facts(found) | {"tensors": tensors, "files": files}}
    if report.listing:
        return document | {"checkpoints": _listed(report.listing, report.complete)}
    return document | {"stages": [_staged(stage) for stage in report.stages]}


def _staged(stage: StageReport) -> dict[str, Any]:
    return {
        "path": str(stage.folder.path),
        "stage": stage.name,
        "complete": stage.complete,
        "metrics": stage.last,
        "artefact": _facts(stage.artefact) if stage.artefact else None,
        "checkpoints": _listed(stage.listing, stage.complete is not None),
        "leftovers": [_left(left) for left in stage.leftovers],
        "problems": stage.problems,
    }


def _listed(listing: Listing, complete: bool) -> dict[str, Any]:
    newest = None if complete else listing.newest_whole
    return {
        "path": str(listing.path),
        "latest": listing.latest,
        "resume": newest.path.name if newest else None,
        "steps": [_facts(c) for c in listing.checkpoints],
        "leftovers": [_left(left) for left in listing.leftovers],
        "notes": listing.notes,
        "problems": listing.problems,
    }


def _facts(found: Inspected) -> dict[str, Any]:
    manifest = found.manifest or {}
    held = [t for t in found.tensors if t.trained is not False]
    return {
        "path": str(found.path),
        "kind": found.kind,
        "step": found.step,
        "written": found.written.isoformat(),
        "dated_by": found.dated_by,
        "size": found.size,
        "state": found.state,
        "hashed": found.hashed,
        "problems": found.problems,
        "holds": {
            "tensors": len(held),
            "parameters": sum(t.numel for t in held),
            "optimizer": found.has_optimizer,
            "ranks": found.ranks,
        },
        "manifest": {k: v for k, v in manifest.items() if k not in ("files", "tensors")},
        "config": {k: found.config.get(k) for k in ("alignment", "precision")} | _models(found.config)
        if found.kind == "artefact"
        else None,
    }


def _models(config: dict[str, Any]) -> dict[str, Any]:
    """Name and fingerprint of an artefact's base models; their whole configs are in its config.json."""
    models = {role: config.get(role) for role in ("encoder", "llm")}
    return {
        role: {k: v.get(k) for k in ("name", "fingerprint")} if isinstance(v, dict) else None
        for role, v in models.items()
    }


def _left(left: Leftover) -> dict[str, Any]:
    return {"path": str(left.path), "size": left.size, "what": left.what}


def _finite(value: Any, depth: int = 50) -> Any:
    """A value as JSON has it: NaN and infinities, which it has not, and what is nested absurdly deep, are null."""
    if isinstance(value, float) and not math.isfinite(value) or depth == 0:
        return None
    if isinstance(value, dict):
        return {k: _finite(v, depth - 1) for k, v in value.items()}
    return [_finite(v, depth - 1) for v in value] if isinstance(value, list | tuple) else value
