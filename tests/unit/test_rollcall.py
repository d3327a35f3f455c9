"""Who is lost, silent or late, told from what the ranks last said. Times are made up: no clock is asked."""

import pytest

from lingualift_ds.dist.rollcall import LOST, RollCall, Verdict, name_ranks


def position(phase: str = "training", moves: int = 0, collectives: int = 0, step: int = 12) -> dict:
    return {
        "phase": phase,
        "step": step,
        "moves": moves,
        "collectives": collectives,
        "last_collective": f"all_reduce ({collectives},)",
    }


def roll(limits: dict | None = None, silence: float = 30.0, **at: dict) -> RollCall:
    """A roll in which ranks r0, r1, ... were heard at time 0."""
    made = RollCall({"training": 10.0, "saving": 100.0} if limits is None else limits, silence)
    for rank, where in at.items():
        made.heard(int(rank[1:]), where, 0.0)
    return made


def test_silent_ranks_are_named():
    made = roll(r0=position(), r1=position(), r2=position(), r3=position(), limits={})
    for now in range(30):
        made.heard(0, position(), now)
        made.heard(2, position(), now)
    assert made.judge(30.0) is None
    verdict = made.judge(30.5)
    assert verdict.code == LOST and not verdict.stacks
    assert verdict.why.startswith("ranks 1, 3: not heard of for 30 s")


def test_rank_that_has_not_come_yet_is_not_silent():
    made = roll(r0=position(), limits={})
    for now in range(0, 600, 5):
        made.heard(0, position(), now)
    assert made.judge(600.0) is None


@pytest.mark.parametrize(("limits", "silence"), [({}, 30.0), ({"training": 0}, 30.0), ({"training": 10.0}, 0)])
def test_zero_switches_a_limit_off(limits, silence):
    made = roll(limits, silence, r0=position(), r1=position())
    for now in range(0, 5000, 5):
        for rank in (0, 1):
            made.heard(rank, position(moves=now if silence == 0 else 0), now)
    assert made.judge(5000.0) is None


def test_rank_that_is_behind_is_late_and_the_others_wait():
    made = roll(**{f"r{rank}": position(collectives=50 - (rank == 2)) for rank in range(4)})
    for now in range(1, 10):
        for rank in range(4):
            made.heard(rank, position(collectives=50 - (rank == 2)), now)
    assert made.judge(10.0) is None
    verdict = made.judge(10.1)
    assert verdict.code == LOST and verdict.stacks
    assert "no progress for 10 s" in verdict.why
    assert "Late: rank 2, at: training, step 12, collective 49 (all_reduce (49,))" in verdict.why
    assert "The others wait at: training, step 12, collective 50 (all_reduce (50,))" in verdict.why


def test_ranks_that_are_equally_far_are_not_called_late():
    verdict = roll(r0=position(collectives=7), r1=position(collectives=7)).judge(11.0)
    assert "All ranks are equally far (training, step 12, collective 7" in verdict.why and "Late" not in verdict.why


def test_any_sign_of_progress_starts_the_limit_anew():
    made = roll(r0=position(), r1=position())
    for rank in (0, 1):
        made.heard(rank, position(moves=1), 9.0)
    assert made.judge(18.9) is None
    assert made.judge(19.1).stacks


def test_every_phase_has_its_own_limit():
    made = roll(r0=position("saving"), r1=position("saving"), silence=0)
    assert made.judge(99.0) is None
    assert made.judge(101.0) is not None
    assert roll(r0=position("preparing"), silence=0).judge(1e9) is None


def test_one_rank_that_stands_still_is_enough():
    """The others may do something that has no limit, such as wait for it where data are prepared."""
    made = roll(r0=position("preparing", collectives=0), r1=position("training", collectives=3))
    assert "Late: rank 0, at: preparing" in made.judge(11.0).why


def test_nobody_was_silent_while_rank_0_itself_was_stopped():
    made = roll(r0=position(), r1=position())
    made.forgive(3600.0)
    assert made.judge(3609.0) is None
    assert made.judge(3611.0).stacks
    assert roll(r0=position(), r1=position(), limits={}).judge(3609.0) is not None


def test_rank_that_ends_well_is_missed_by_nobody():
    made = roll(r0=position(), r1=position())
    assert made.ended(1, 0, "") is None
    assert made.gone(1) is None
    for now in range(100):
        made.heard(0, position(moves=now), now)
    assert made.judge(100.0) is None


@pytest.mark.parametrize("code", [2, 75])
def test_rank_that_ends_otherwise_takes_the_others_along(code):
    made = roll(r0=position(), r1=position())
    verdict = made.ended(1, code, "data.jsonl:3: not JSON")
    assert verdict == Verdict(code, f"rank 1 has ended with exit code {code}: data.jsonl:3: not JSON")
    assert made.gone(1) is None  # it had said so


def test_rank_that_is_gone_without_a_word_is_named_with_where_it_was():
    made = roll(r0=position(), r1=position("saving", collectives=9))
    verdict = made.gone(1)
    assert verdict.code == LOST and not verdict.stacks
    assert "rank 1 is gone" in verdict.why and "saving, step 12, collective 9" in verdict.why
    assert "it was at" not in RollCall({}, 0).gone(3).why  # it never said where it was


def test_many_ranks_are_named_briefly():
    assert name_ranks([3]) == "rank 3"
    assert name_ranks([0, 5]) == "ranks 0, 5"
    assert name_ranks(list(range(100))).endswith("14, 15 and 84 more")
