"""From sources to an output file: blocks of rows are switched by worker processes and written in their order.

Memory does not grow with the input: the parent hands out a few blocks at a time, each worker holds one. What comes
out depends neither on the number of processes nor on the size of a block.
"""

import gc
import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from lingualift_ds.data.codeswitch.stage1 import English, Stage1Maker
from lingualift_ds.data.codeswitch.tally import Tally, sampling_rate
from lingualift_ds.data.outputs import OutputWriter, encode
from lingualift_ds.data.sources import Bad, Block, Source
from lingualift_ds.errors import ConfigError, DataError
from lingualift_ds.log import Progress

_AHEAD = 2
"""Blocks that wait for each worker: enough that none waits, few enough to stay small."""


@dataclass(frozen=True)
class Work:
    """All that a worker needs, the same for every block.

    Attributes:
        maker: makes the records of a row.
        kind: of the output, for `encode`.
        rows: of the whole input, blank and bad ones too: a rising ratio is a row's place among them.
        rate: share of the records that are candidates for the sample.
    """

    maker: Stage1Maker
    kind: str
    rows: int
    rate: float

    def make(self, block: Block) -> tuple[Any, Tally]:
        """The encoded records of a block, and their counts."""
        tally, records = Tally(), []
        rows = self._usable(block, tally)
        for row, made in zip(rows, self.maker.switch_all(rows)):
            for record, switched in made:
                tally.add(record, switched, self.rate)
                records.append(record)
            tally.repeated += self.maker.expected(row.text) - len(made) if self.maker.variants > 1 else 0
        return encode(records, self.kind), tally

    def _usable(self, block: Block, tally: Tally) -> list[English]:
        found, last = [], max(self.rows - 1, 1)
        for row in block.rows():
            if isinstance(row, Bad):
                tally.add_bad(row)
                continue
            tally.rows += 1
            if row.text.strip():
                found.append(English(row.id, row.text, row.position / last))
            else:
                tally.blank += 1
        return found


def produce(source: Source, maker: Stage1Maker, output: OutputWriter, processes: int = 1, max_bad: int = 0) -> Tally:
    """Switch all rows of a source and write the records; the caller commits the output.

    Raises:
        DataError: more than `max_bad` rows that cannot be used, a source that breaks, an output that cannot be written.
        ConfigError: where the workers cannot be kept running.
    """
    rows = source.count()
    languages = maker.switcher.languages
    work = Work(maker, output.kind, rows, sampling_rate(rows * maker.variants, languages.codes))
    tally = Tally()
    made = _in_processes(source, work, processes) if processes > 1 else map(work.make, source.blocks())
    with Progress("code-switching", total=rows, unit="rows") as progress, closing(_closable(made)) as results:
        for encoded, counts in results:
            tally.merge(counts)
            if tally.bad > max_bad:
                raise DataError(_too_many(tally, max_bad))
            output.write(encoded)
            progress.advance(counts.rows, f"{tally.records:,} records")
    return tally


def _closable(made: Iterator[tuple[Any, Tally]]) -> Iterator[tuple[Any, Tally]]:
    yield from made


def _too_many(tally: Tally, max_bad: int) -> str:
    first, rows = tally.told[0], "bad row" if tally.bad == 1 else "bad rows"
    return f"{first.where}: {first.message} ({tally.bad:,} {rows} by then; --max-bad {max_bad} are allowed)"


_work: Work


def _start(work: Work) -> None:
    global _work
    _work = work
    gc.freeze()  # lexicons live as long as the process: they need not be looked through again and again
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # the parent's handlers came with the fork
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()


def _end_with(parent: int) -> None:
    """End this worker when its parent is gone: one that was killed cannot say so, and the pipe stays open."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _make(block: Block) -> tuple[Any, Tally]:
    return _work.make(block)


def _in_processes(source: Source, work: Work, processes: int) -> Iterator[tuple[Any, Tally]]:
    """What the workers made, in the order of the blocks."""
    # A forked worker shares the lexicons' memory; with threads about, a fork may take a lock along that no one opens.
    forks = "fork" in multiprocessing.get_all_start_methods() and threading.active_count() == 1
    context = multiprocessing.get_context("fork" if forks else "spawn")
    pool = ProcessPoolExecutor(processes, mp_context=context, initializer=_start, initargs=(work,))
    waiting: deque[Future] = deque()
    try:
        for block in source.blocks():
            waiting.append(pool.submit(_make, block))
            if len(waiting) > _AHEAD * processes:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool:
        raise ConfigError(
            f"--num-proc {processes}: a worker process was ended from outside; memory may be short, fewer need less"
        ) from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def usable_processes() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
