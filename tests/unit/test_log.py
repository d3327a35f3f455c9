"""What is said, where, on which rank: once for a human, all of it in a file per rank."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lingualift_ds.log.progress import Pace

ROOT = Path(__file__).parents[2]
BEGIN = """
import json, logging, sys, warnings
from pathlib import Path
from lingualift_ds.log import *
logger, folder = get_logger("here"), Path(sys.argv[1])
"""


def run(folder: Path, code: str, rank: int = 0, expect: int = 0) -> subprocess.CompletedProcess:
    """A process of its own, as a launcher starts it: handlers and hooks are a process's."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM", "OMPI"))}
    environment |= {"RANK": str(rank), "WORLD_SIZE": "4", "LOCAL_RANK": str(rank), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", BEGIN + code, str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == expect, done.stderr
    return done


def log_of(folder: Path, rank: int) -> str:
    return (folder / f"rank-{rank:05d}.log").read_text()


SAID = """
logger.info("early")
log_to(folder)
logger.info("all goes well")
logger.warning("all ranks warn alike")
"""


def test_rank_0_speaks_and_every_rank_writes_its_file(tmp_path):
    said = [run(tmp_path, SAID, rank).stderr for rank in (0, 1)]
    assert [line.split(" ", 1)[1] for line in said[0].splitlines()] == [
        "INFO early", "INFO all goes well", "WARNING all ranks warn alike",
    ]  # fmt: skip
    assert said[1] == ""
    for rank in (0, 1):
        first, *lines = log_of(tmp_path, rank).splitlines()
        assert first.startswith("==== ") and f"rank {rank}," in first and "process " in first
        assert [line.split(" ", 2)[2] for line in lines] == [
            "INFO lingualift_ds.here: early",
            "INFO lingualift_ds.here: all goes well",
            "WARNING lingualift_ds.here: all ranks warn alike",
        ]


def test_what_a_rank_must_tell_is_on_stderr_and_in_its_file(tmp_path):
    assert run(tmp_path, "log_to(folder)\ntell('error: no room')").stderr == "error: no room\n"
    assert run(tmp_path, "log_to(folder)\ntell('one\\ntwo')", 1).stderr == "[rank 1] one\n[rank 1] two\n"
    assert log_of(tmp_path, 1).endswith("\none\ntwo\n")


def test_a_restart_goes_on_in_the_same_file(tmp_path):
    for _ in range(2):
        run(tmp_path, "log_to(folder)\nlogger.info('one')", 3)
    lines = log_of(tmp_path, 3).splitlines()
    assert [line.startswith("==== ") for line in lines] == [True, False, True, False]


def test_an_error_of_any_rank_reaches_stderr_with_its_number(tmp_path):
    said = run(tmp_path, "log_to(folder)\nlogger.error('the disk is gone')", 2).stderr
    assert said.startswith("[rank 2] ") and "ERROR the disk is gone" in said
    assert "ERROR lingualift_ds.here: the disk is gone" in log_of(tmp_path, 2)


@pytest.mark.parametrize("rank", [0, 2])
def test_an_uncaught_error_is_on_stderr_and_in_the_file(tmp_path, rank):
    said = run(tmp_path, "log_to(folder)\nraise OSError('torn')", rank, expect=1).stderr
    assert "OSError: torn" in said and "OSError: torn" in log_of(tmp_path, rank)
    assert "Traceback" in log_of(tmp_path, rank)
    if rank:
        assert all(line.startswith("[rank 2] ") for line in said.splitlines())


def test_an_error_in_a_thread_is_in_the_file_too(tmp_path):
    code = "log_to(folder)\nimport threading\nt = threading.Thread(target=lambda: 1 / 0)\nt.start()\nt.join()"
    assert "ZeroDivisionError" in run(tmp_path, code, 1).stderr and "ZeroDivisionError" in log_of(tmp_path, 1)


def test_a_warning_of_other_ranks_alone_is_told_once_with_them(tmp_path):
    code = "log_to(folder)\nlogger.warning('alike')\n{}\nprint(json.dumps([untold_warnings(), take_warnings()]))"
    alone = "for _ in range(2):\n    logger.warning('no room in host memory')"
    found = [json.loads(run(tmp_path, code.format(alone if rank else ""), rank).stdout) for rank in (0, 1, 2)]
    assert found == [[0, []], [2, ["alike", "no room in host memory"]], [2, ["alike", "no room in host memory"]]]
    taken = [messages for _, messages in found]
    code = f"logger.warning('alike')\nfor _ in range(2):\n    tell_warnings({taken})"
    said = [line.split(" ", 1)[1] for line in run(tmp_path, code).stderr.splitlines()]
    assert said == ["WARNING alike", "WARNING [ranks 1-2] no room in host memory"]


def test_a_rank_without_a_file_says_its_warnings_when_it_ends(tmp_path):
    assert "[rank 1] WARNING the lexicon is old" in run(tmp_path, "logger.warning('the lexicon is old')", 1).stderr
    taken = "logger.warning('the lexicon is old')\ntake_warnings()"
    assert run(tmp_path, taken, 1).stderr == ""


LIBRARY = """
library = logging.getLogger("library")
library.propagate = False
library.addHandler(logging.StreamHandler(sys.stdout))
log_to(folder)
for _ in range(3):
    library.warning("library: use_cache is set")
    logging.getLogger("another.one").warning("deprecated")
    warnings.warn_explicit("old name", FutureWarning, "somewhere.py", 7)
"""


def test_other_packages_speak_once_and_on_rank_0_alone(tmp_path):
    done = [run(tmp_path, LIBRARY, rank) for rank in (0, 1)]
    lines = ["library: use_cache is set", "another.one: deprecated", "FutureWarning: old name (somewhere.py:7)"]
    for text in (done[0].stderr, log_of(tmp_path, 0), log_of(tmp_path, 1)):
        assert [text.count(line) for line in lines] == [1, 1, 1], text
    assert done[0].stdout == done[1].stdout == done[1].stderr == ""


def test_a_folder_that_cannot_be_written_is_told_once_and_stops_nothing(tmp_path):
    (tmp_path / "file").write_text("")
    code = "log_to(folder)\nlogger.info('one')\nlogger.info('two')\nprint(take_warnings())"
    said = run(tmp_path / "file" / "logs", code).stderr
    assert said.count("cannot be written: Not a directory; its lines are lost") == 1
    assert "INFO one" in said and "INFO two" in said
    other = run(tmp_path / "file" / "logs", code, 1)
    assert other.stderr == "" and "cannot be written" in other.stdout  # rank 0 will tell it


def test_a_forked_child_writes_to_the_same_file(tmp_path):
    code = "log_to(folder)\nimport os\nif os.fork() == 0:\n    logger.info('child')\n    os._exit(0)\nos.wait()"
    run(tmp_path, code + "\nlogger.info('parent')", 1)
    assert [line.rsplit(" ", 1)[1] for line in log_of(tmp_path, 1).splitlines()[1:]] == ["child", "parent"]


def test_time_left_follows_recent_steps_and_not_the_first():
    pace = Pace(0.0, 0)
    pace.advance(100.0, 1)
    assert not pace.known  # 100 s of compilation say nothing of the 999 steps to come
    for step in range(2, 101):
        pace.advance(99.0 + step, step)
    assert pace.known and pace.rate(199.0, 100) == pytest.approx(1.0)
    for step in range(101, 161):
        pace.advance(199.0 + 3 * (step - 100), step)
    # 180 of the 279 s since the first step were slow: the later half of them holds slow steps alone.
    assert pace.rate(379.0, 160) == pytest.approx(1 / 3, rel=0.05)


def test_what_was_done_before_does_not_count_for_the_rate():
    pace = Pace(0.0, 500)
    for second in range(1, 11):
        pace.advance(second, 500 + 2 * second)
    assert pace.rate(10.0, 520) == pytest.approx(2.0)


def test_thousands_of_advances_a_second_give_a_steady_rate():
    pace = Pace(0.0, 0)
    for row in range(1, 50_001):
        pace.advance(row / 10_000, row)
    assert pace.rate(5.0, 50_000) == pytest.approx(10_000, rel=1e-3) and len(pace._marks) < 10
