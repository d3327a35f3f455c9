"""Starts training as launch/train.py does, with something happening at a place: what the watchdog is there for.

    HAPPENING='[{"at": "step", "step": 3, "rank": 1, "do": "hang"}]' python tests/e2e/watched_training.py --stage 1 ...

at: prepare, step, evaluate, save. step, rank: all, without one. do: hang (asleep for good), sleep (`seconds`), break (a
mistake of ours), fail (a user's error). Files of NOTES: `happened`, when; `RANK.pid`; `RANK.code`, how it ended.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

NOTES, RANK = Path(os.environ["NOTES"]), int(os.environ.get("RANK", "0"))


def note(name: str, text: object) -> None:
    """A file that appears whole."""
    new = NOTES / f"{name}.new-{RANK}"
    new.write_text(str(text))
    new.rename(NOTES / name)


def happen(at: str) -> None:
    """Whatever is to happen here."""
    from lingualift_ds.dist import HERE
    from lingualift_ds.errors import DataError

    for one in json.loads(os.environ["HAPPENING"]):
        if one["at"] != at or one.get("rank", RANK) != RANK or one.get("step", HERE.step) != HERE.step:
            continue
        note("happened", time.time())
        if one["do"] == "hang":
            hang_here()
        elif one["do"] == "sleep":
            time.sleep(one["seconds"])
        elif one["do"] == "break":
            raise ZeroDivisionError("a mistake of ours")
        else:
            raise DataError("local.jsonl: is not on this node")


def hang_here() -> None:
    """Sleep for good."""
    while True:
        time.sleep(3600)


def before(function: Callable, at: str) -> Callable:
    """The function, with what happens at a place before it."""

    def changed(*arguments: Any, **named: Any) -> Any:
        happen(at)
        return function(*arguments, **named)

    return changed


def install() -> None:
    """Let it happen from now on."""
    from lingualift_ds.checkpoint.store import CheckpointStore
    from lingualift_ds.engine.step import Engine
    from lingualift_ds.train import run
    from lingualift_ds.train.heldout import Heldout

    Engine.backward = before(Engine.backward, "step")
    Heldout._sums = before(Heldout._sums, "evaluate")
    CheckpointStore.publish = before(CheckpointStore.publish, "save")
    run.prepare = before(run.prepare, "prepare")


if __name__ == "__main__":
    note(f"{RANK}.pid", os.getpid())
    sys.path.insert(0, str(Path(__file__).parents[2]))
    leave = os._exit

    def noting(code: int) -> None:
        note(f"{RANK}.code", code)
        leave(code)

    os._exit = noting
    install()
    from lingualift_ds.cli.errors import end_process
    from lingualift_ds.cli.train import main

    end_process(main())
