"""Fixtures shared by all tests. Tests run on the CPU with one thread unless they say otherwise."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

# Before torch is there: sums over more threads come in another order, and launches are held against this process.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# The same examples every time, and no folder of earlier ones: a suite that passed passes again.
settings.register_profile("suite", derandomize=True, database=None, deadline=None)
settings.load_profile("suite")

WATCHED = {"test_two_nodes", "test_faults", "test_kill_and_resume", "test_signals", "test_watchdog", "test_pulse"}
SHARED_DATA = Path(__file__).parents[2] / "shared/data"


@pytest.fixture(autouse=True)
def _no_launcher_left_behind():
    """What a test in this process stated of its place must not reach the launches of the next one."""
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
    before = {name: os.environ.get(name) for name in names}
    yield
    for name, value in before.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


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


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Files that launch ranks and watch what signals and limits do to them run in one process of pytest-xdist, one
    after another; every other file runs by itself, in whichever is free."""
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            path = nodeid.partition("::")[0]
            return "watched" if Path(path).stem in WATCHED else path

    config.option.loadscopereorder = False  # what takes longest is collected first
    return Scheduling(config, log)
