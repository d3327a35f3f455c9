"""A rank is told to leave in an evaluation, in a save, and within a long step: all leave with a whole checkpoint of the
last step, and the run that goes on has the numbers of one that nobody disturbed.

More of it, at random moments: `python benchmarks/signals.py --count N`.
"""

import pytest

from benchmarks.disturbed import ABANDONED, LEFT, Outcome, Strike
from benchmarks.signals import Signals, summary

PLAN = [
    Strike("SIGTERM", 1, "evaluation", 0.3),
    Strike("SIGINT", 0, "save", 0.2),
    Strike("SIGUSR1", 1, "long step"),
]


@pytest.fixture(scope="module")
def signals(tmp_path_factory) -> Signals:
    """Stage II at ZeRO-3 on two ranks, with dropout, as srun starts it."""
    signals = Signals(tmp_path_factory.mktemp("signals"), print, steps=14)
    signals.chain(2, PLAN, ("srun",))
    return signals


def test_rank_that_is_told_to_leave_takes_all_with_it_and_nothing_is_lost(signals):
    assert signals.faultless, summary(signals)
    assert [outcome.kind for outcome in signals.outcomes] == [strike.kind for strike in PLAN]
    for outcome in signals.outcomes:
        assert outcome.exit == LEFT and outcome.ranks == [LEFT, LEFT] and outcome.equal
        assert outcome.whole == outcome.reached > 0


def test_signals_came_when_they_were_to_come(signals):
    evaluation, save, long_step = signals.outcomes
    assert evaluation.hit.startswith("evaluating")
    assert save.hit.startswith("saving") or "save pending" in save.hit
    assert long_step.hit.startswith("training") and long_step.hit.endswith(ABANDONED)


def test_what_is_wrong_is_said_first(signals):
    signals.outcomes.append(Outcome("stage 2", "srun", "SIGTERM", 0, "step", wrong=["exit code 0"]))
    try:
        assert not signals.faultless and summary(signals).startswith("! 4 exit code 0")
    finally:
        signals.outcomes.pop()
