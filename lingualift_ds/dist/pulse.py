"""The pulse: a thread in every process, and a connection of each to rank 0, beside the collectives.

Once a second every rank says where it is. A process that dies closes its connection, and the others know at once; one
that is cut off or stopped falls silent; one that hangs does not move. Rank 0 judges (rollcall.py), and then all end,
whatever collective they wait in: their main threads may never wake again, so this thread ends the process.

Signals come here first, for the same reason: a Python handler runs only when the main thread comes back to Python.
"""

import contextlib
import faulthandler
import itertools
import os
import selectors
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from types import FrameType
from typing import Any, NoReturn

from torch.distributed import Store

from lingualift_ds.dist.connections import Connections
from lingualift_ds.dist.place import Place
from lingualift_ds.dist.position import HERE, count_collectives, stacks
from lingualift_ds.dist.rollcall import LOST, RollCall, Verdict, name_ranks
from lingualift_ds.errors import Interrupted, LaunchError
from lingualift_ds.log import get_logger, tell

logger = get_logger(__name__)

MEETING = timedelta(minutes=10)
"""How long processes may be late at the start."""
_BEAT_SECONDS = 1.0
_CLEAN_SECONDS = 5.0
"""How long the main thread may take to clean up when it is told to leave, before the process ends without it."""
_LAST_WORDS_SECONDS = 1.5
"""How long processes that print why they end wait for each other before a launcher kills the rest."""
_MOMENT_SECONDS = 1.0
_FAREWELL_SECONDS = 5.0
_ASLEEP_SECONDS = 5.0
"""Where a beat comes so late, this process was stopped for a while."""
_SAME_KEYSTROKE_SECONDS = 1.0
"""Launchers forward the Ctrl-C that the terminal sent to all processes already: within this time it is one."""
_begun = itertools.count()
"""Of this process's pulses: stages that follow each other in one process each have their own."""
_SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT, signal.SIGHUP)


class Pulse:
    """The thread of one process; `start` it once. `told` is why this process should leave, or None.

    limits and silence: see RollCall.
    """

    def __init__(self, place: Place, store: Store | None, limits: Mapping[str, float], silence: float):
        self.place, self.silence = place, silence
        self.told: str | None = None
        self.verdict: Verdict | None = None
        self._judged, self._all_here = threading.Event(), threading.Event()
        self._store = store
        self._selector = selectors.DefaultSelector()
        self._others = Connections(self._selector, self._take, self._came, self._lost)
        self.main_ends = False
        """Whether the main thread is ending this process by itself already."""
        self._closing = self._speaks_itself = False
        self._interrupted_at = self._heard = time.monotonic()
        self._interrupts = 0
        self._parent = os.getppid()
        self._roll = RollCall(limits, silence) if place.is_main else None
        self._key = f"pulse/{next(_begun)}"
        if store is None or place.world_size == 1:
            self._all_here.set()
        elif place.is_main:
            self._others.listen(store, self._key)
        else:
            self._others.call(store, self._key, place)
        self._thread = threading.Thread(target=self._run, name="pulse", daemon=True)

    def start(self) -> None:
        """Take the signals and begin. In the main thread, which alone may take signals."""
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        os.set_blocking(writer, False)
        self._beaten = self._heard = time.monotonic()  # rank 0 may have been long in coming
        ours = [n for n in _SIGNALS if n != signal.SIGHUP or signal.getsignal(n) != signal.SIG_IGN]  # nohup
        self._before = {number: signal.signal(number, self._in_main) for number in ours}
        self._wakeup = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        self._pipe = (reader, writer)
        self._selector.register(reader, selectors.EVENT_READ, self._read_signals)
        os.register_at_fork(after_in_child=self._forget_signals)
        count_collectives()
        self._thread.start()

    def wait_for_all(self) -> None:
        """Wait until rank 0 has heard of every rank: from now on all learn what becomes of one. Raises LaunchError
        where one does not come or cannot."""
        until = time.monotonic() + MEETING.total_seconds()
        while not self._all_here.wait(_BEAT_SECONDS):
            if not self.place.is_main:
                continue
            with contextlib.suppress(RuntimeError):  # torchrun's store is gone with torchrun: that shows by itself
                if self._store.check([f"{self._key}/cannot"]):
                    raise LaunchError(self._store.get(f"{self._key}/cannot").decode())
            if time.monotonic() > until:
                late = sorted(set(range(1, self.place.world_size)) - self._others.ranks())
                raise LaunchError(
                    f"launch: {name_ranks(late)} of {self.place.world_size} did not come within {MEETING}; "
                    "the others did"
                )

    def tell(self, why: str) -> None:
        """This process should leave: at once where there is nothing to save, else when the loop asks `told`."""
        if self.main_ends:
            return
        if self.told is None:
            self.told = why
            saving = "" if HERE.unsaved else "; saving first"
            _aside(lambda: logger.warning("told to leave: %s%s", why, saving))
        if HERE.unsaved and not self._closing:
            self._judge(Verdict(Interrupted.exit_code, f"left before there was anything to save: {why}"), tell=True)

    def farewell(self, code: int, why: str, known: bool = True) -> bool:
        """Tell the others that this process fails; returns whether rank 0 has said why, and this one may be silent.
        `known` says that `why` is all there is to say: no traceback."""
        self._speaks_itself = self.main_ends = True
        if self.place.world_size == 1:
            return False
        if self.place.is_main:
            self._judge(Verdict(code, ""), tell=True)
            return False
        # Where all fail alike, rank 0 does so in a moment, and speaks for all.
        if self._judged.wait(_MOMENT_SECONDS):
            return True
        self._others.send({"ended": code, "why": why})
        return known and self._judged.wait(_FAREWELL_SECONDS)

    def ended_by_another(self) -> Verdict | None:
        """Why all end, where an error of this process is only what the loss of another looks like from here."""
        self.main_ends = True
        if self.place.world_size > 1:
            self._judged.wait(_LAST_WORDS_SECONDS)
        return self.verdict

    def close(self) -> None:
        """This process has done what it was to do. The others may be a little behind."""
        self._closing = True
        self._others.send({"ended": 0, "why": ""})
        os.write(self._pipe[1], b"\0")
        self._thread.join(2 * _BEAT_SECONDS)
        signal.set_wakeup_fd(self._wakeup)
        for number, handler in self._before.items():
            if signal.getsignal(number) == self._in_main:
                signal.signal(number, handler)
        self._others.close()
        self._selector.close()
        for end in self._pipe:
            os.close(end)

    # ---- what the others say

    def _came(self, rank: int) -> None:
        if len(self._others.ranks()) == self.place.world_size - 1:
            self._all_here.set()
            self._others.send({"all": "here"})

    def _take(self, rank: int, said: dict[str, Any]) -> None:
        if "verdict" in said:
            self._judge(Verdict(**said["verdict"]), tell=True)
        elif not self.place.is_main:
            self._heard = time.monotonic()
            if "all" in said:
                self._all_here.set()
            if said.get("ended") == 0:
                self._closing = True  # rank 0 is done, and all of us with it
        elif "ended" in said:
            self._judge(self._roll.ended(rank, said["ended"], said["why"]), tell=True)
        else:
            self._roll.heard(rank, said["position"], time.monotonic())

    def _lost(self, rank: int) -> None:
        if self._closing:
            return
        if self.place.is_main:
            self._judge(self._roll.gone(rank), tell=True)
        else:
            self._judge(Verdict(LOST, "rank 0 is gone: its process ended without a word, as one that is killed does"))

    # ---- the thread

    def _run(self) -> None:
        due = time.monotonic()
        while not self._closing:
            for key, _ in self._selector.select(max(0.0, due - time.monotonic())):
                key.data()
            if time.monotonic() >= due:
                due = time.monotonic() + _BEAT_SECONDS
                self._beat()

    def _beat(self) -> None:
        now, position = time.monotonic(), HERE.state_dict()
        self._forgive(now - self._beaten)
        self._beaten = now
        if os.getppid() != self._parent and self.place.launcher == "deepspeed or torchrun":
            self.tell("the launcher is gone")
        if self.place.is_main:
            self._roll.heard(0, position, now)
            self._others.send({"beat": 1})
            self._judge(self._roll.judge(now), tell=True)
            return
        self._others.send({"position": position})
        if self.silence and now - self._heard > self.silence:
            self._judge(Verdict(LOST, f"rank 0: not heard of for {self.silence:.0f} s (network cut, or stopped)"))

    def _forgive(self, late: float) -> None:
        """Where this process itself was stopped, and the others perhaps with it, nobody was silent meanwhile."""
        if late > _ASLEEP_SECONDS:
            self._heard += late
            if self._roll:
                self._roll.forgive(late)

    def _judge(self, verdict: Verdict | None, tell: bool = False) -> None:
        """All processes end: tell the others, say why, and see to it that this one does."""
        if verdict is None or self.verdict is not None:
            return
        self.verdict = verdict
        if tell:
            self._others.send({"verdict": verdict.state_dict()})
        if not self._closing:
            _end_at_the_latest()
            threading.Thread(target=self._end, name="end", daemon=True).start()
        if verdict.stacks:
            self._say(f"stacks of rank {self.place.rank}, at: {HERE}\n{stacks()}")
        if verdict.why and self.place.speaks_for_node and not self._speaks_itself:
            self._say(verdict.why if verdict.code == Interrupted.exit_code else f"error: {verdict.why}")
        self._judged.set()

    def _end(self) -> NoReturn:
        if HERE.unsaved:  # the main thread can be woken, and cleans up
            signal.pthread_kill(threading.main_thread().ident, signal.SIGTERM)
            time.sleep(_CLEAN_SECONDS)
        else:
            time.sleep(_LAST_WORDS_SECONDS)
        for stream in (sys.stderr, sys.stdout):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(self.verdict.code)

    def _say(self, text: str) -> None:
        _aside(lambda: tell(text))

    # ---- signals

    def _read_signals(self) -> None:
        for number in os.read(self._pipe[0], 64):
            if number == signal.SIGINT:
                self._count_interrupt()
            if number in _SIGNALS and self.verdict is None:
                self.tell(signal.Signals(number).name)

    def _count_interrupt(self) -> None:
        now = time.monotonic()
        if self._interrupts and now - self._interrupted_at < _SAME_KEYSTROKE_SECONDS:
            return
        self._interrupted_at, self._interrupts = now, self._interrupts + 1
        if self._interrupts > 1:
            self._say("left at once, without saving: interrupted a second time")
            os._exit(130)

    def _forget_signals(self) -> None:
        """In a child made by fork: its signals are its own, and must not come out of our pipe; and where it outlives
        us, our connections must not, or nobody would see that we are gone."""
        if _current is self:
            signal.set_wakeup_fd(-1)
            for number in self._before:
                signal.signal(number, signal.SIG_DFL)
            self._others.close()

    def _in_main(self, number: int, frame: FrameType | None) -> None:
        """In the main thread, which may be anywhere: it leaves only where it was judged and has nothing to save."""
        if self.verdict is not None and HERE.unsaved and not self.main_ends:
            raise Interrupted("", self.verdict.code)


def _aside(say: Callable[[], None]) -> None:
    """Say something, but do not wait for it for long: a file system that hangs must not hold the pulse."""

    def work() -> None:
        with contextlib.suppress(OSError, ValueError):  # with the terminal or launcher, who reads it may be gone
            say()

    saying = threading.Thread(target=work, name="say", daemon=True)
    saying.start()
    saying.join(_LAST_WORDS_SECONDS)


def _end_at_the_latest() -> None:
    """Whatever holds Python up by then (its lock, kept by C code; a lock of the log's), the process ends, and says
    where it was: this needs no thread of Python's."""
    with contextlib.suppress(OSError, ValueError, RuntimeError):  # no stderr to say it on
        faulthandler.dump_traceback_later(2 * _CLEAN_SECONDS, exit=True, file=sys.__stderr__)


_current: Pulse | None = None


@contextmanager
def watched(place: Place, store: Store | None, limits: Mapping[str, float], silence: float) -> Iterator[None]:
    """Within it this process watches the others and is watched, and takes their signals. After an error it still is:
    who handles the error says `farewell`, or `stop_pulse`. Raises LaunchError where rank 0 cannot be reached."""
    global _current
    stop_pulse()
    mine = _current = Pulse(place, store, limits, silence)
    HERE.move("preparing", 0)
    mine.start()
    try:
        mine.wait_for_all()
        yield
    except BaseException:  # also where this generator is closed late, after stop_pulse: a signal came in its __exit__
        HERE.move("ending")
        mine.main_ends = True
        raise
    stop_pulse()


def pulse() -> Pulse | None:
    """This process's pulse, once it has begun."""
    return _current


def stop_pulse() -> None:
    """End it: this process has done what it was to do."""
    global _current
    if _current is not None:
        _current.close()
        _current = None
