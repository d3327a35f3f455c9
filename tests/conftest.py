"""Fixtures shared by all tests. Tests run on the CPU with one thread unless they say otherwise."""

from pathlib import Path

import pytest

SHARED_DATA = Path(__file__).parents[2] / "shared/data"


@pytest.fixture
def real_data() -> Path:
    """Real GSM8K, MGSM, MSVAMP and lexicons, where someone has put them beside the repository."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"no real data at {SHARED_DATA}")
    return SHARED_DATA


def pytest_collection_modifyitems(items):
    import torch

    if not torch.cuda.is_available():
        for item in items:
            if "gpu" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="needs a CUDA GPU; none is here"))
