"""Checkpoints: what they cost, and whether a killed run loses anything.

    python benchmarks/checkpoint.py [--measure] [--json FILE]
    python benchmarks/checkpoint.py --faults N [--seed S] [--json FILE]

--measure, the default, trains random models of 200 M parameters in both stages on two ranks, under ZeRO-3 and ZeRO-2,
and says what a checkpoint is worth in bytes, seconds and memory, and what resuming and exporting take.

--faults kills tiny trainings N times, one rank or all of them, from outside or inside a save, under every launcher,
resumes each until it is complete, and holds it against an uninterrupted one (benchmarks/soak.py). It exits with 1
where anything was lost. A kill takes about ten seconds.
"""

import argparse
import json
import shutil
import sys
import tempfile
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import saving
from benchmarks.machine import facts, versions
from benchmarks.soak import Soak


def main() -> int:
    """Measure or kill, print the table, and write the numbers."""
    parser = argparse.ArgumentParser(prog="benchmarks/checkpoint.py", description=__doc__.splitlines()[0])
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--measure", action="store_true", help="what checkpoints cost; the default")
    what.add_argument("--faults", type=int, metavar="N", help="kill training N times")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="of the kills")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers there")
    arguments = parser.parse_args()
    folder, code = Path(tempfile.mkdtemp(prefix="checkpoints-")), 0
    if arguments.faults is None:
        _say(saving.HEAD)
        found = {"cases": saving.measure(folder, _say)}
    else:
        ledger = Soak(folder, arguments.seed, _say).run(arguments.faults)
        _say(ledger.table())
        found = {"seed": arguments.seed, "points": sorted(ledger.points), **asdict(ledger)}
        code = 0 if ledger.faultless else 1
    if arguments.json:
        when = {"date": datetime.now(UTC).isoformat(timespec="seconds"), "command": sys.argv}
        whole = {"benchmark": "checkpoint", **when, "machine": facts(), "versions": versions(), **found}
        arguments.json.write_text(json.dumps(whole, indent=2) + "\n", encoding="utf-8")
    if code:
        _say(f"what is wrong is kept in {folder}")
    else:
        shutil.rmtree(folder)
    return code


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
