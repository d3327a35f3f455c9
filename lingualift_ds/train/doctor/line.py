"""A line of the table, and how a check that fails becomes one."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

OK, NOTE, FAILED = "ok", "note", "FAILED"


@dataclass(frozen=True)
class Line:
    """What was looked at, what was found, the verdict, and what it means for training.

    `measured` says that `found` holds numbers that differ from moment to moment: only verdicts compare.
    """

    what: str
    found: str
    verdict: str = OK
    means: str = ""
    measured: bool = False

    @property
    def compared(self) -> str:
        """What must be equal on two nodes that are alike."""
        if self.measured:
            return self.verdict
        return f"{self.found} (FAILED)" if self.verdict == FAILED else self.found


def lines_of(what: str, check: Callable[[], Iterable[Line]]) -> list[Line]:
    """The lines of one check; whatever it raises is a FAILED line after those it gave."""
    lines = []
    try:
        lines.extend(check())
    except Exception as error:  # a doctor who dies of what he looks for helps no one
        why = f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"
        lines.append(Line(what, why, FAILED, "cannot be used"))
    return lines
