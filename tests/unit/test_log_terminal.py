"""The progress bar on a terminal, and plain lines everywhere else."""

import contextlib
import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TRAINING = """
import sys, time
from pathlib import Path
from lingualift_ds.log import *
if len(sys.argv) > 1:
    log_to(Path(sys.argv[1]))
logger = get_logger("here")
parts = ["loss 0.5000", "12,345 target and 45,678 real tokens/s", "41.2 GB", "padding 3.0%", "MFU 40.0%"]
with Progress("stage 1", 40, every_seconds=0.05) as progress:
    for step in range(40):
        time.sleep(0.01)
        if step % 10 == 5:
            logger.info("saved step-%06d %s", step, "x" * 60)
            sys.stderr.write("raw\\n")
        progress.advance(1, parts)
"""


def environment(**more: str) -> dict[str, str]:
    unwanted = ("COLUMNS", "LINES", "NO_COLOR", "RANK", "FORCE_COLOR", "SLURM_PROCID", "OMPI_COMM_WORLD_RANK")
    kept = {k: v for k, v in os.environ.items() if k not in unwanted}
    return kept | {"PYTHONPATH": str(ROOT), "TERM": "xterm-256color", "LANG": "C.UTF-8", "PYTHONUTF8": "1"} | more


def on_terminal(columns: int, code: str, *arguments: str, **more: str) -> str:
    """What a process writes to a terminal of so many columns."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 30, columns, 0, 0))
    command = [sys.executable, "-c", code, *arguments]
    process = subprocess.Popen(
        command, stdin=slave, stdout=slave, stderr=slave, env=environment(**more), start_new_session=True
    )
    os.close(slave)
    said = b""
    with contextlib.suppress(OSError):  # how Linux says that the other side is closed
        while block := os.read(master, 65536):
            said += block
    os.close(master)
    assert process.wait(30) == 0, said.decode()
    return said.decode()


def screen(said: str, columns: int) -> list[str]:
    """The lines that are seen in the end: a terminal with what rich uses of one."""
    lines, row, column = [""], 0, 0
    for token in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|\r|\n|[^\x1b\r\n]", said):
        if token == "\r":
            column = 0
        elif token == "\n":
            row += 1
        elif token.startswith("\x1b["):
            if token[-1] == "A":
                row = max(0, row - int(token[2:-1] or 1))
            elif token[-1] == "K":
                lines[row] = "" if token[2:-1] == "2" else lines[row][:column]
        else:
            if column == columns:
                row, column = row + 1, 0
                lines += [""] * (row + 1 - len(lines))
            lines[row] = lines[row].ljust(column)[:column] + token + lines[row][column + 1 :]
            column += 1
        lines += [""] * (row + 1 - len(lines))
    return [line.rstrip() for line in lines if line.strip()]


def test_lines_stand_above_the_bar_and_are_not_torn(tmp_path):
    lines = screen(on_terminal(160, TRAINING, str(tmp_path)), 160)
    saved = [re.sub(r"^\d\d:\d\d:\d\d ", "", line) for line in lines[:-1]]
    expected = [[f"INFO saved step-{step:06d} {'x' * 60}", "raw"] for step in (5, 15, 25, 35)]
    assert saved == [line for pair in expected for line in pair]
    bar = lines[-1]
    assert bar.startswith("stage 1 ━") and "40/40 steps in " in bar
    assert bar.endswith("· loss 0.5000 · 12,345 target and 45,678 real tokens/s · 41.2 GB · padding 3.0% · MFU 40.0%")
    written = (tmp_path / "rank-00000.log").read_text()
    assert "/40 steps, " in written and "padding 3.0%" in written  # the file has plain lines of it


@pytest.mark.parametrize(("columns", "last"), [(100, "tokens/s"), (60, "loss 0.5000"), (30, "s")])
def test_a_narrow_terminal_drops_what_matters_least(columns, last):
    lines = screen(on_terminal(columns, TRAINING), columns)
    assert lines[-1].startswith("stage 1 ") and lines[-1].endswith(last) and "40/40" in lines[-1]
    assert sum("40/40" in line or "/40 steps" in line for line in lines) == 1  # no remains of earlier bars


def test_the_cursor_is_never_left_hidden():
    said = on_terminal(80, TRAINING.replace("time.sleep(0.01)", "step == 20 and __import__('os')._exit(0)"))
    assert said.rfind("\x1b[?25h") > said.rfind("\x1b[?25l") >= 0


def test_a_terminal_that_goes_away_stops_nothing(tmp_path):
    master, slave = pty.openpty()
    code = TRAINING.replace("sys.stderr.write", "str").replace("0.01", "0.03")
    command = [sys.executable, "-c", code, str(tmp_path)]
    process = subprocess.Popen(
        command, stdin=slave, stdout=slave, stderr=slave, env=environment(), start_new_session=True
    )
    os.close(slave)
    os.read(master, 10)
    os.close(master)
    assert process.wait(30) == 0
    assert "saved step-000035" in (tmp_path / "rank-00000.log").read_text()


def test_a_forked_child_speaks_without_the_bar():
    code = """
import os, sys
from lingualift_ds.log import *
with Progress("rows", 2) as progress:
    progress.advance()
    drawn = sys.stderr
    if os.fork() == 0:
        get_logger().info("child" if sys.stderr is not drawn else "still draws")
        os._exit(0)
    os.wait()
    progress.advance()
"""
    assert "INFO child" in on_terminal(80, code)


@pytest.mark.parametrize("more", [{"TERM": "dumb"}, {"RANK": "1"}])
def test_no_bar_where_lines_cannot_be_rewritten_or_another_rank_draws_it(more):
    said = on_terminal(100, TRAINING + "\nassert 'rich' not in sys.modules", **more)
    assert "\x1b" not in said and "━" not in said
    assert ("stage 1: " in said) is (more != {"RANK": "1"})


def test_a_log_file_gets_plain_lines_and_rich_stays_unloaded():
    code = TRAINING + "\nassert 'rich' not in sys.modules"
    said = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, timeout=60)
    assert said.returncode == 0, said.stderr
    lines = [line for line in said.stderr.splitlines() if "stage 1: " in line]
    assert len(lines) >= 3 and "\x1b" not in said.stderr
    form = r"\d\d:\d\d:\d\d INFO stage 1: \d+/40 steps, [\d.e+]+/s, \d+ s left, loss 0.5000, 12,345 target and 45,678 "
    assert re.fullmatch(form + r"real tokens/s, 41.2 GB, padding 3.0%, MFU 40.0%", lines[-1])


def test_without_rich_there_are_plain_lines():
    code = "import sys\nsys.modules['rich.live'] = None\n" + TRAINING
    said = on_terminal(160, code)
    assert "stage 1: " in said and "INFO saved" in said
