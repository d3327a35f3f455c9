"""Means over seeds: what their intervals cover, how differences are paired, when a difference is called one."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from lingualift_ds.evaluate.report.comparison import changes
from lingualift_ds.evaluate.report.results import LanguageResults, Results, Row, TaskResults
from lingualift_ds.evaluate.report.statistics import mean_interval, wilson
from lingualift_ds.evaluate.report.sweep.comparison import TaskSweep, compare_sweep
from lingualift_ds.evaluate.report.sweep.reading import Arm, Sweep

LEVELS = {"sw": "low", "te": "low", "en": "high", "de": "high"}
Answers = Mapping[str, Sequence[float]]


def language(code: str, answers: Sequence[float]) -> LanguageResults:
    rows = {
        str(number): Row(str(number), "?", "1", "1", "1", bool(correct), False, None, None, None, None, ())
        for number, correct in enumerate(answers)
    }
    return LanguageResults(code, LEVELS.get(code), rows, None, None, None, None)


def compared(arms: Mapping[str, Mapping[str, Answers]], baseline: str | None = None) -> TaskSweep:
    """A task of arms: right answers by arm, seed and language."""
    found = []
    for label, seeds in arms.items():
        results = {}
        for seed, answers in seeds.items():
            task = TaskResults("generate", "right", {code: language(code, a) for code, a in answers.items()})
            results[seed] = Results(label, Path(), "", "", {}, {}, {"mgsm": task})
        found.append(Arm(label, label, label, None, None, None, results))
    (task,) = compare_sweep(Sweep("s", Path(), baseline, tuple(found), (), (), ()))
    return task


def line(task: TaskSweep, label: str):
    return next(one for one in (*task.means, *task.languages) if one.label == label)


def draws(seed: int, n: int, share: float = 0.5) -> np.ndarray:
    return (np.random.default_rng(seed).random(n) < share).astype(float)


def half(n: int) -> np.ndarray:
    """Half of the questions right."""
    return np.arange(n) % 2.0


def width(interval) -> float:
    return interval.high - interval.low


def test_a_number_is_the_mean_over_seeds_of_the_mean_over_languages():
    task = compared(
        {"a": {"0": {"sw": [1, 0, 0, 0], "te": [1, 1, 1, 0]}, "1": {"sw": [1, 1, 1, 1], "te": [0, 0, 1, 0]}}}
    )
    score = line(task, "LR.").scores["a"]
    assert score.seeds == {"0": pytest.approx(0.5), "1": pytest.approx(0.625)}
    assert score.share == pytest.approx(0.5625) and score.n == 8
    assert line(task, "sw").scores["a"].seeds == {"0": 0.25, "1": 1.0}


def test_a_seed_that_answers_as_another_does_not_narrow_the_interval():
    """Twice the same answers are no more questions: 95 % of a half of 400 is ±4.9 points either way."""
    answers = {"sw": half(400)}
    twice = line(compared({"a": {"0": answers, "1": answers}}), "sw").scores["a"].interval
    assert width(twice) == pytest.approx(2 * 1.96 * 0.5 / 20, rel=0.05)
    assert twice == mean_interval(half(400)[:, None])


def test_seeds_that_err_on_their_own_narrow_it_as_they_should():
    """Four seeds whose answers have nothing in common are four times the questions: half the width."""
    seeds = {str(seed): {"sw": draws(seed, 1000)} for seed in range(4)}
    score = line(compared({"a": seeds}), "sw").scores["a"]
    assert width(score.interval) == pytest.approx(1.96 * 0.5 / np.sqrt(1000), rel=0.08)


def test_the_interval_covers_the_truth_of_these_runs_as_often_as_it_says():
    """Questions of differing hardness, 2 languages and 3 seeds: the mean over all questions is known to be 0.6."""
    generator, covered = np.random.default_rng(5), 0
    for _ in range(200):
        hardness = np.clip(generator.normal(0.6, 0.25, 120), 0.2, 1.0)[:, None, None]
        answers = (generator.random((120, 2, 3)) < hardness).astype(float)
        interval = mean_interval(answers.mean(axis=2))
        covered += interval.low <= 0.6 <= interval.high
    assert 182 <= covered <= 198


def test_one_language_of_one_seed_has_the_interval_that_its_own_report_has():
    score = line(compared({"a": {"0": {"sw": half(40)}}}), "sw").scores["a"]
    assert score.interval == wilson(20, 40)


def test_an_arm_that_is_never_right_has_an_interval_all_the_same():
    nothing = {"sw": np.zeros(50), "te": np.zeros(50)}
    score = line(compared({"a": {"0": nothing, "1": nothing}}), "LR.").scores["a"]
    assert score.share == 0 and score.interval == wilson(0, 50)


def test_differences_are_paired_by_question_and_seed():
    """In both seeds 20 of 200 questions turn right and nothing else changes, whatever else the seeds answer."""
    before = {"0": {"sw": draws(1, 200)}, "1": {"sw": draws(2, 200)}}
    after = {}
    for seed, answers in before.items():
        changed = answers["sw"].copy()
        changed[np.flatnonzero(changed == 0)[:20]] = 1
        after[seed] = {"sw": changed}
    delta = line(compared({"a": before, "b": after}, "a"), "sw").deltas["b"]
    assert delta.delta == pytest.approx(0.1) and delta.seeds == pytest.approx({"0": 0.1, "1": 0.1})
    assert (delta.lost, delta.won) == (0, 40) and delta.significant
    alone = {"0": before["0"]}, {"0": after["0"]}
    single = line(compared({"a": alone[0], "b": alone[1]}, "a"), "sw").deltas["b"]
    assert width(single.interval) == pytest.approx(2 * 1.96 * np.sqrt(0.1 * 0.9 / 200), rel=0.08)
    assert width(delta.interval) < width(single.interval)


def test_only_seeds_that_both_have_are_paired():
    before = {"0": {"sw": half(100)}, "1": {"sw": np.ones(100)}}
    after = {"0": {"sw": np.ones(100)}, "2": {"sw": np.zeros(100)}}
    sw = line(compared({"a": before, "b": after}, "a"), "sw")
    assert sw.deltas["b"].seeds == {"0": 0.5} and sw.scores["b"].share == 0.5
    apart = compared({"a": {"0": {"sw": half(10)}}, "b": {"1": {"sw": half(10)}}}, "a")
    assert not line(apart, "sw").deltas


def test_a_difference_on_which_seeds_disagree_is_not_called_one():
    """Far more than chance explains in the mean, and yet another run could say the opposite."""
    before = {"0": {"sw": np.zeros(100)}, "1": {"sw": half(100)}}
    after = {"0": {"sw": np.ones(100)}, "1": {"sw": np.concatenate([half(98), [0, 0]])}}
    delta = line(compared({"a": before, "b": after}, "a"), "sw").deltas["b"]
    assert delta.holm < 0.001 and delta.delta == pytest.approx(0.495) and not delta.significant


def test_a_change_of_every_question_has_an_interval_too():
    delta = line(compared({"a": {"0": {"sw": np.zeros(30)}}, "b": {"0": {"sw": np.ones(30)}}}, "a"), "sw").deltas["b"]
    assert delta.delta == 1 and delta.interval.low < 1 and delta.significant


def test_no_change_is_none():
    task = compared({"a": {"0": {"sw": half(30)}}, "b": {"0": {"sw": half(30)}}}, "a")
    delta = line(task, "sw").deltas["b"]
    assert delta.delta == 0 and delta.p == 1 and delta.interval.low < 0 < delta.interval.high
    assert changes([task])[0] == []


def test_means_are_of_the_languages_that_all_cells_have():
    arms = {
        "a": {"0": {"sw": half(10), "te": half(10), "qqx": half(10)}, "1": {"sw": half(10), "qqx": half(10)}},
        "b": {"0": {"sw": half(10), "te": half(10), "qqx": half(10)}},
    }
    task = compared(arms, "a")
    assert task.apart == ("te",)
    assert line(task, "LR.").languages == ("sw",) and line(task, "Avg.").languages == ("sw", "qqx")
    assert line(task, "te").scores["a"].seeds == {"0": 0.5} and line(task, "te").deltas["b"].delta == 0


def test_languages_may_have_questions_of_their_own():
    """Telugu has but the first five questions: its mean is over those, and no other question counts."""
    task = compared({"a": {"0": {"sw": [0] * 10, "te": [1] * 5}, "1": {"sw": [0] * 10, "te": [1] * 5}}})
    score = line(task, "LR.").scores["a"]
    assert score.share == 0.5 and score.n == 15
    assert line(task, "te").scores["a"].interval == wilson(5, 5)


def test_p_values_are_corrected_for_the_number_of_languages_of_an_arm():
    before = {"0": {code: half(60) for code in LEVELS}}
    after = {"0": {code: np.concatenate([half(50), np.ones(10)]) for code in LEVELS}}
    deltas = [one.deltas["b"] for one in compared({"a": before, "b": after, "c": before}, "a").languages]
    assert [delta.holm for delta in deltas] == pytest.approx([min(4 * delta.p, 1) for delta in deltas])
