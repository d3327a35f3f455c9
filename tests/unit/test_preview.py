"""Pairs in the terminal: what was switched is marked, and nothing in a text acts on the terminal."""

import io
import re
import subprocess
import sys

import pytest

from lingualift_ds.cli.preview import format_pair, uses_colour
from lingualift_ds.data.codeswitch import CodeSwitcher, Languages, Ratio, Stage1Maker
from lingualift_ds.data.lexicon import Lexicon

SWAHILI = Lexicon("sw", {"money": ("pesa",), "how much": ("kiasi gani",)})
URDU = Lexicon("ur", {"money": ("پیسہ",)})


def pair(text: str, *lexicons: Lexicon, row_id: str = "7", colour: bool = False) -> str:
    by_code = {lexicon.language: lexicon for lexicon in lexicons}
    maker = Stage1Maker(CodeSwitcher(by_code, Ratio(1, 1), languages=Languages.alike(by_code, len(by_code))))
    ((record, switched),) = maker.switch(row_id, text)
    return format_pair(record, switched, colour)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_without_colour_switched_words_stand_in_brackets_under_each_other():
    assert pair("How much money?", SWAHILI) == (
        "7: 2 of 2 switched\n"  #
        "  en  [How much] [money]?\n"
        "  sw  [Kiasi gani] [pesa]?\n"
    )


def test_with_colour_only_the_switched_words_are_coloured():
    said = pair("How much money?", SWAHILI, colour=True)
    assert re.findall(r"\x1b\[33m(.*?)\x1b\[0m", said) == ["How much", "money"]
    assert re.findall(r"\x1b\[1;36m(.*?)\x1b\[0m", said) == ["Kiasi gani", "pesa"]
    bare = re.sub(r"\x1b\[[\d;]*m", "", said)
    assert bare == "7: 2 of 2 switched\n  en  How much money?\n  sw  Kiasi gani pesa?\n"


def test_labels_of_mixed_languages_are_aligned():
    _, english, mixed, _ = pair("how much money", SWAHILI, URDU).split("\n")
    assert english.startswith("  en     [how much]")
    assert mixed.startswith("  sw,ur  [kiasi gani]")


def test_words_written_from_the_right_are_isolated_on_a_terminal_alone():
    assert "\u2068پیسہ\u2069" in pair("money, money", URDU, colour=True)
    assert "\u2068" not in pair("money, money", URDU)
    assert "\u2068" not in pair("money, money", SWAHILI, colour=True)


def test_lines_of_a_text_stand_under_each_other():
    assert pair("money\r\nand money", SWAHILI).splitlines()[1:3] == ["  en  [money]", "      and [money]"]


def test_a_text_cannot_act_on_the_terminal():
    said = pair("money \x1b[2J\x00\r\x9b money", SWAHILI, row_id="\x1b]0;x\x07\n\ud800")
    assert all(part.isprintable() for part in said.splitlines())
    assert "[money] ␛[2J␀␍\ufffd [money]" in said
    said.encode()


@pytest.mark.parametrize(
    ("environment", "terminal", "plain"),
    [
        ({}, True, False),
        ({"NO_COLOR": "1"}, False, False),
        ({"NO_COLOR": ""}, True, False),
        ({"FORCE_COLOR": "1"}, True, True),
        ({"FORCE_COLOR": "0"}, True, False),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, False, False),
        ({"TERM": "dumb"}, False, False),
    ],
)
def test_colour_goes_to_terminals_unless_the_user_says_otherwise(monkeypatch, environment, terminal, plain):
    for name in ("NO_COLOR", "FORCE_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert (uses_colour(Terminal()), uses_colour(io.StringIO())) == (terminal, plain)


def test_a_reader_that_has_seen_enough_is_no_error(tmp_path):
    (tmp_path / "en-sw.txt").write_text("money pesa\n")
    (tmp_path / "in.txt").write_text("money\n" * 20_000)
    command = [sys.executable, "-m", "lingualift_ds.cli.main", "codeswitch", "--preview", "20000"]
    command += ["--input", str(tmp_path / "in.txt"), "--lexicons", str(tmp_path / "en-sw.txt")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline().startswith("1: ")
        process.stdout.close()
        said = process.stderr.read()
    assert process.returncode == 0
    assert "Traceback" not in said and "Broken" not in said
