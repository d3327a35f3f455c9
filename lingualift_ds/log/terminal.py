"""Progress bars at the bottom of a terminal, through rich, and lines above them. Without a bar rich is not imported."""

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

_bars: "Bars | None" = None
_NARROWEST, _WIDEST = 10, 40
"""Columns of a bar."""


def is_terminal(stream: TextIO) -> bool:
    """Whether lines written there can be rewritten."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def write_above(text: str) -> None:
    """A line, or several, on stderr: above the bars where there are any."""
    bars = _bars  # another thread may take the last one away
    if bars is not None:
        bars.print(text)
    else:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()


def show(bar: "Bar") -> bool:
    """Draw a bar, below those that are there. False where that cannot be: nothing that is drawn may stop a run."""
    global _bars
    try:
        if _bars is None:
            _bars = Bars()
        _bars.add(bar)
    except Exception:  # no rich, or a terminal that is not what it seems
        _give_up()
    return _bars is not None


def leave(bar: "Bar") -> None:
    """Draw a bar for the last time; it stays as it is."""
    global _bars
    try:
        if _bars is not None and _bars.remove(bar):
            _bars = None
    except Exception:  # the terminal is gone
        _give_up()


def _give_up() -> None:
    """No bars from here on, until one is asked for again."""
    global _bars
    if _bars is not None:
        _bars.stop_drawing()
        _bars = None


class Bar:
    """One line: label, bar, what is done, and as many parts of what else is said as there is room for.

    state: gives (done, total, the text beside the bar, further parts, the most important first).
    """

    def __init__(self, label: str, state: Callable[[], tuple[int, int, str, list[str]]]):
        self.label, self.state = label, state

    def __rich_console__(self, console: "Console", options: "ConsoleOptions") -> "RenderResult":
        """One line, never wider than the terminal."""
        from rich.progress_bar import ProgressBar
        from rich.segment import Segment
        from rich.text import Text

        done, total, text, parts = self.state()
        before, after = Text(f"{self.label} "), Text(f" {text}")
        room = options.max_width - 1 - before.cell_len - after.cell_len - _NARROWEST
        for part in parts:
            more = Text(f" · {part}" if not options.ascii_only else f", {part}", style="dim")
            if more.cell_len > room:
                break
            after.append_text(more)
            room -= more.cell_len
        width = min(_WIDEST, _NARROWEST + room)
        line = [*before.render(console)]
        if width >= _NARROWEST:
            line += [
                each for each in console.render(ProgressBar(total, done, width=width), options) if each.text != "\n"
            ]
        line += after.render(console)
        # The last column stays free: a terminal may wrap there.
        yield from Segment.adjust_line_length(line, min(options.max_width - 1, Segment.get_line_length(line)))
        yield Segment.line()


class Bars:
    """All bars of this process, redrawn four times a second by a thread of their own."""

    def __init__(self):
        from rich.console import Console, Group
        from rich.live import Live

        self._streams = (sys.stdout, sys.stderr)
        self._bars: list[Bar] = []
        self._console = Console(file=sys.stderr)
        # What else is printed goes above the bars too; stdout only where it is the terminal, not a file of results.
        self._live = Live(
            get_renderable=lambda: Group(*self._bars),
            console=self._console,
            redirect_stdout=sys.stdout.isatty(),
            vertical_overflow="crop",
        )
        try:
            self._live.start()
            self._console.show_cursor(True)  # rich hides it, and a killed process would leave a terminal without one
        except Exception:
            self.stop_drawing()
            raise

    def add(self, bar: Bar) -> None:
        """One more bar."""
        self._bars.append(bar)
        self._live.refresh()

    def remove(self, bar: Bar) -> bool:
        """Leave a bar as the last line above the others; whether none is left."""
        if self._bars != [bar]:
            self._bars.remove(bar)
            self._console.print(bar)
            return False
        self._live.stop()
        return True

    def print(self, text: str) -> None:
        """Lines above the bars."""
        from rich.text import Text

        self._console.print(Text(text), soft_wrap=True)

    def stop_drawing(self) -> None:
        """Draw no more, whatever state the drawing is in."""
        thread = self._live._refresh_thread
        if thread is not None:
            thread.stop()
        self.give_back()

    def give_back(self) -> None:
        """stdout and stderr as they were."""
        sys.stdout, sys.stderr = self._streams


def _forget_in_child() -> None:
    """In a forked child: the bars are the parent's, and so may be the locks of what draws them."""
    global _bars
    if _bars is not None:
        _bars.give_back()
        _bars = None


os.register_at_fork(after_in_child=_forget_in_child)
