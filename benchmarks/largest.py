"""The largest micro-batch that fits a given memory, in the authors' layout and in ours: benchmarks/memory.py --largest.

One process, the models of a throughput preset, the same samples in both arms: the first n of one random order make
the micro-batch of an optimizer step, and the bytes of tensors are counted while it runs (benchmarks/allocations.py).
"""

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks import reference, shapes
from benchmarks.allocations import meter
from benchmarks.arms import Arm, OurArm, ReferenceArm, Setting
from benchmarks.lengths import read_lengths
from benchmarks.machine import Claim
from lingualift_ds import dist
from lingualift_ds.data.tokenize import Sample
from lingualift_ds.engine.build import connect
from lingualift_ds.model.loading import DTYPES

GB = 1e9
_MOST = 1024


def largest(preset_name: str, memory: float) -> list[dict[str, Any]]:
    """For each stage and arm: the most samples of one micro-batch whose step stays below `memory` bytes, and the
    peak with as many as the authors take. Prints as it goes."""
    connect(dist.read_place())
    preset = shapes.with_batch(shapes.PRESETS[preset_name], None, 1, None)
    found = []
    for stage in (1, 2):
        setting = Setting(preset, stage, DTYPES[preset.precision], 0)
        samples = shapes.make_samples(read_lengths(None), stage, _MOST, 0, preset, setting.layout)
        usual = preset.batches[stage].micro_samples
        for name, make in (("reference", _reference), ("ours", _ours)):
            claim = Claim(dist.device())
            with tempfile.TemporaryDirectory() as folder:
                peak = make(setting, Path(folder))
                peak(samples[:1])  # optimizer state comes with the first step
                count = _bisect(lambda n, peak=peak, samples=samples: peak(samples[:n]) <= memory)
                row = {"stage": stage, "arm": name, "largest_samples": count, "memory_gb": memory / GB}
                row |= {"llm_tokens": sum(s.llm_length for s in samples[:count])}
                row |= {"usual_samples": usual, "peak_gb_of_usual": peak(samples[:usual]) / GB}
            claim.release()
            found.append(row)
            print(
                f"stage {stage} {name:<10} at most {count:>4} samples ({row['llm_tokens']:,} real LLM tokens) in "
                f"{memory / GB:g} GB; {usual} samples take {row['peak_gb_of_usual']:.2f} GB"
            )
    return found


def _reference(setting: Setting, folder: Path) -> Callable[[list[Sample]], int]:
    arm = ReferenceArm(setting)

    def peak(samples: list[Sample]) -> int:
        arm._batches = [reference.collate(samples)]
        return _peak(arm)

    return peak


def _ours(setting: Setting, folder: Path) -> Callable[[list[Sample]], int]:
    arm = OurArm(setting, frozenset(), folder)
    arm._batch = replace(arm._batch, micro_tokens=1 << 30)

    def peak(samples: list[Sample]) -> int:
        arm.prepare(samples, 0)
        return _peak(arm)

    return peak


def _peak(arm: Arm) -> int:
    with meter(dist.device()) as counted:
        arm.step()
    return counted.peak


def _bisect(fits: Callable[[int], bool]) -> int:
    """The largest n up to _MOST that fits; 0 where none does."""
    low, high = 0, 1
    while high <= _MOST and fits(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return min(low, _MOST)
