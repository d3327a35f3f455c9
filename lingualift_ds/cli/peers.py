"""How a process ends that has others beside it."""

import sys

from lingualift_ds.cli.errors import Alone


class Peers(Alone):
    """The other processes, once this one has met them; before that, and in a config's errors, torch is not loaded."""

    @property
    def _pulse(self):
        dist = sys.modules.get("lingualift_ds.dist")
        return dist.pulse() if dist else None

    def ended_by_another(self) -> int | None:
        """The exit code of all processes, where an error here is only what the loss of another looks like."""
        verdict = self._pulse.ended_by_another() if self._pulse else None
        return verdict.code if verdict else None

    def spoken_for(self, code: int, line: str, known: bool) -> bool:
        """Tell the others; whether rank 0 says why."""
        return self._pulse.farewell(code, line, known) if self._pulse else super().spoken_for(code, line, known)

    def done(self) -> None:
        """This process leaves in good order."""
        if self._pulse:
            sys.modules["lingualift_ds.dist"].stop_pulse()
