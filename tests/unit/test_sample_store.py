"""The folder that prepared samples lie in: opened without a look at its rows, written without keeping them."""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from lingualift_ds.data.prepared import DamagedStore, PreparedSamples, SampleWriter
from lingualift_ds.data.tokenize import Sample


def store(folder: Path, count: int) -> PreparedSamples:
    """A synthetic store of `count` samples of 60 tokens."""
    folder.mkdir()
    writer = SampleWriter(folder)
    tokens = np.arange(60, dtype=np.int32)
    for i in range(count):
        writer.add(Sample(str(i), "en", tokens[: 10 + i % 10], tokens[:20], tokens[:30], 10 + i % 10))
    assert writer.repeated_ids() == []
    writer.finish({}, {})
    return PreparedSamples(folder)


def calls_of(function) -> int:
    """Python and C calls that a function makes."""
    seen = Counter()
    sys.setprofile(lambda frame, event, argument: seen.update([event]))
    try:
        function()
    finally:
        sys.setprofile(None)
    return seen["call"] + seen["c_call"]


def test_opening_costs_no_work_by_row(tmp_path):
    counts = (2_000, 200_000)
    for count in counts:
        store(tmp_path / str(count), count)

    def opened(count: int):
        samples = PreparedSamples(tmp_path / str(count))
        assert len(samples) == count and len(samples.digest) == 64
        assert samples.languages.shape == samples.llm_lengths.shape == (count,)
        assert samples[count - 1].llm_length == samples.llm_lengths[-1]

    opened(counts[0])  # imports
    few, many = (calls_of(lambda c=c: opened(c)) for c in counts)
    assert many <= few + 20, "a hundred times the rows"


MEMORY = """
import resource, sys
import test_sample_store as t
from pathlib import Path
t.store(Path(sys.argv[1]) / "small", 5_000)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
t.store(Path(sys.argv[1]) / "large", 60_000)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_memory_stays_flat_while_writing(tmp_path):
    paths = os.pathsep.join(str(p) for p in (*Path(__file__).parents[:2], Path(__file__).parents[2]))
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, str(tmp_path)],
        env=os.environ | {"PYTHONPATH": paths}, capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    # 55,000 rows more are 15 MB in the file, and 30 MB as Sample objects.
    assert int(done.stdout) < 6_000, "KiB"


def test_a_damaged_store_is_told_apart_from_none(tmp_path):
    with pytest.raises(DamagedStore, match=r"prepared\.json is missing"):
        PreparedSamples(tmp_path)
