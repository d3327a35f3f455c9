"""The course of a comparison: build, check, warm up, time in turn, and let go."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch

from benchmarks.arms import Arm
from benchmarks.machine import Claim, rise_bytes, settle
from lingualift_ds import dist
from lingualift_ds.data.tokenize import Sample


@dataclass
class Track:
    """What one arm was seen to do. Times in seconds and positions over all ranks, by number of the step."""

    seconds: dict[int, float] = field(default_factory=dict)
    positions: dict[int, tuple[int, int]] = field(default_factory=dict)
    check_loss: float | None = None
    held_bytes: int = 0
    """Of weights, gradients and optimizer state: the largest of all ranks."""
    rise_bytes: int = 0
    """Above that within a step: activations, logits, gathered weights. The largest of all ranks."""
    sizes: dict[str, dict[str, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Course:
    """Which arms are in memory together, and how long it may take.

    `blocks`: one arm at a time, in as many rounds, because all of them do not fit; 0: all at once, step by step in
    turn. `seconds`: no further pair is begun after so many, in each stage; None: no limit.
    """

    steps: Sequence[Sequence[Sample]]
    """Samples of each step. The first is for the check and the warm-up and is not timed."""
    warmups: int
    blocks: int
    seconds: float | None


def compare(build: dict[str, Callable[[], Arm]], course: Course) -> dict[str, Track]:
    """Run every arm over the same steps. Collective."""
    tracks = {name: Track() for name in build}
    timed = list(range(1, len(course.steps)))
    if not course.blocks:
        _block(build, tracks, timed, course, course.seconds)
        return tracks
    share = course.seconds and course.seconds / course.blocks / len(build)
    for turn in range(course.blocks):
        for name, make in build.items():
            _block({name: make}, tracks, timed[turn :: course.blocks], course, share)
    return tracks


def _block(
    build: dict[str, Callable[[], Arm]],
    tracks: dict[str, Track],
    indices: Sequence[int],
    course: Course,
    seconds: float | None,
) -> None:
    """Arms that are in memory together: built, timed in turn step by step, and let go."""
    whole, arms = Claim(dist.device()), {}
    for name, make in build.items():
        arms[name] = _ready(make, tracks[name], course)
    started = time.perf_counter()
    for index in indices:
        for name, arm in arms.items():
            arm.prepare(course.steps[index], index)
            tracks[name].positions[index] = arm.positions()
            tracks[name].seconds[index] = _timed(arm, tracks[name])
        if dist.from_main(seconds is not None and time.perf_counter() - started > seconds):
            break
    for arm in arms.values():
        arm.close()
    del arm, arms
    whole.release()


def _ready(make: Callable[[], Arm], track: Track, course: Course) -> Arm:
    """An arm that is built, checked and warm."""
    own, device = Claim(dist.device()), dist.device()
    arm = make()
    arm.prepare(course.steps[0], 0)
    if track.check_loss is None:
        track.check_loss = arm.loss()
        track.sizes = arm.sizes
    for _ in range(course.warmups):
        arm.step()
    track.held_bytes = _largest(own.bytes())
    if device.type == "cpu":
        # Seen by the profiler, in a step of its own: it slows the step down.
        track.rise_bytes = _largest(rise_bytes(arm.step, device))
    return arm


def _timed(arm: Arm, track: Track) -> float:
    """Seconds of the prepared step, from when all ranks are ready to when all are done."""
    device, seconds = dist.device(), 0.0

    def work() -> None:
        nonlocal seconds
        dist.barrier()
        started = time.perf_counter()
        arm.step()
        settle(device)
        dist.barrier()
        seconds = time.perf_counter() - started

    settle(device)
    if device.type == "cuda":
        track.rise_bytes = max(track.rise_bytes, _largest(rise_bytes(work, device)))
    else:
        work()
    return seconds


def _largest(number: int) -> int:
    return max(dist.gather(number))


def bytes_needed(sizes: dict[str, dict[str, int]], trained: Sequence[str], dtype: torch.dtype, ranks: int) -> float:
    """About what one arm holds on a rank: weights, and for what is trained fp32 gradients, master and moments."""
    every = sum(s["all"] for s in sizes.values())
    learning = sum(sizes[name]["all"] for name in trained)
    return every * dtype.itemsize + learning * 16 / ranks
