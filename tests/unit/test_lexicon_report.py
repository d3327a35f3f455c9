"""`lexicon report`: what a lexicon holds, and warnings where it is not what its name says, and nowhere else."""

import argparse
import json
import logging
import shutil
from pathlib import Path

import pytest

from lingualift_ds.cli import lexicon as command
from lingualift_ds.cli.errors import run_command
from lingualift_ds.data.lexicon import find_lexicons, read_lexicon
from lingualift_ds.data.lexicon.identify import looks_like
from lingualift_ds.errors import DataError

REAL = Path(__file__).parents[2].parent / "shared/data/lexicons"
needs_real = pytest.mark.skipif(not REAL.is_dir(), reason=f"no real lexicons at {REAL}")


def run(*arguments: object) -> int:
    parser = argparse.ArgumentParser()
    command.add_parser(parser.add_subparsers())
    parsed = parser.parse_args(["lexicon", "report", *map(str, arguments)])
    return run_command(lambda: parsed.run(parsed), False)


@pytest.fixture
def small(tmp_path):
    path = tmp_path / "en-sw.txt"
    path.write_text("house\tnyumba\nhouse\tjengo\nwater\tmaji\nwater\tmaji\nthe\tthe\ngo\tนะ\nToday\tLeo,\n")
    return path


def test_report_says_size_coverage_ambiguity_and_dirt(small, tmp_path, capsys):
    corpus = tmp_path / "text.jsonl"
    corpus.write_text('{"text": "The house has water, and Water is in the house."}\n{"text": "Go today!"}\n')
    assert run(small, "--corpus", corpus) == 1, "one pair in five is in Thai"
    said = " ".join(capsys.readouterr().out.split())
    for text in (
        f"sw (Swahili): {small} WARNING: {small}: 20.0 % of its pairs are not in Latin script, and were dropped",
        "pairs read 7 pairs kept 4 57.1 % entries 3 English words and phrases; the longest has 1 word",
        "ambiguous 1 entries with several translations, 33.3 % 1.33 translations an entry; most: house 2",
        "coverage, types 3 33.3 % of the text's 9 different words",
        "coverage, tokens 5 41.7 % of its 12 words missing most: the 2,",
        "dropped 3 42.9 % identity 1 translation equal to the English the = the script 1",
        "go = นะ duplicate 1 the same pair again water = maji mended 2",
        "Today = Leo, -> Today = leo",
    ):
        assert text in said


def test_report_for_machines(small, capsys):
    assert run(small, "--json", "--unclean", "script,identity") == 0
    (document,) = json.loads(capsys.readouterr().out)
    assert document["language"] == "sw" and document["sources"] == [str(small)] and document["coverage"] is None
    assert document["pairs_read"] == 7 and document["pairs"] == 6 and document["entries"] == 5
    assert document["ambiguity"] == {"mean_translations": 1.2, "share_with_several": 0.2, "most": {"house": 2}}
    assert document["dropped"] == {"duplicate": {"count": 1, "examples": ["water = maji"]}}


LETTERS = "abcdefghijklmnopqrstuvwxyz"


def rows(*pairs: tuple[str, str]) -> str:
    return "".join(f"{english}\t{translation}\n" for english, translation in pairs)


@pytest.mark.parametrize(
    ("content", "warning"),
    [
        (
            rows(*((f"word {c}", f"{n}") for n, c in enumerate(LETTERS)), ("house", "nyumba")),
            "96 % of its pairs were dropped, most of them (26) as 'number': holds a digit",
        ),
        (rows(*((f"w{c}", f"w{c}") for c in LETTERS), ("house", "nyumba")), "96 % of its pairs were dropped, most of"),
        (
            rows(*((f"word {c}", "nyu" if c < "e" else "mba") for c in LETTERS)),
            "26 entries have only 2 different first translations, most often mba (22), nyu (4); where the translation "
            "is in another column, name it: --columns english=1,translation=3",
        ),
        (
            rows(*zip(LETTERS, "the and of from with for not you this that they house water dog cat".split())),
            "its sides look swapped: en-sw.txt is the name where the English comes first",
        ),
        (rows(*((f"w{c}", f"w{c}") for c in LETTERS[:8]), *((f"w{c}", f"n{c}") for c in LETTERS[8:13])), None),
        (rows(*(("house", "nyumba") for _ in LETTERS), ("water", "maji")), None),
    ],
)
def test_what_looks_wrong_is_said_by_the_report_and_when_a_lexicon_is_read(
    tmp_path, capsys, monkeypatch, content, warning
):
    path = tmp_path / "en-sw.txt"
    path.write_text(content)
    assert run(path, "--json") == (1 if warning else 0)
    warnings = json.loads(capsys.readouterr().out)[0]["warnings"]
    logged: list[str] = []
    monkeypatch.setattr(logging.getLogger("lingualift_ds.lexicon"), "warning", logged.append)
    read_lexicon(path, "sw")
    assert logged == warnings
    if warning is None:
        assert warnings == []
    else:
        assert len(warnings) == 1 and warnings[0].startswith(f"{path}: {warning}") and "\n" not in warnings[0]


def test_a_dictionary_of_many_languages_is_not_warned_of(tmp_path, capsys):
    languages = [{"code": code, "word": f"{code}neno"} for code in ("sw", "zu", "xh", "de", "fr")]
    records = [{"word": f"w{c}", "pos": "noun", "translations": languages} for c in LETTERS]
    records = [
        *(
            {**record, "translations": [{**t, "word": t["word"] + c} for t in languages]}
            for c, record in zip(LETTERS, records)
        ),
        *({"word": f"v{c}", "pos": "verb"} for c in LETTERS * 2),
    ]
    path = tmp_path / "en-sw.jsonl"
    path.write_text("\n".join(map(json.dumps, records)))
    assert run(path, "--json") == 0
    assert json.loads(capsys.readouterr().out)[0]["dropped"]["untranslated"]["count"] == 52


def test_language_and_columns_are_told_where_names_do_not_say_them(tmp_path, capsys):
    table = tmp_path / "words.csv"
    table.write_text("from,to,n\nhouse,nyumba,3\n")
    assert run(table) == 2
    assert "its name does not say which language" in capsys.readouterr().err
    assert run(table, "--language", "sw", "--columns", "english=from,translation=to,frequency=n") == 0
    said = capsys.readouterr().out
    assert "sw (Swahili)" in said and "weighted" in said
    assert run(table, "--language", "sw", "--unclean", "nothing") == 2
    assert "no cleaning step; there are several, entities, punctuation, " in capsys.readouterr().err


def test_several_files_of_a_language_are_one_lexicon(small, tmp_path, capsys):
    (tmp_path / "sw.json").write_text('{"cow": "ng\'ombe"}')
    assert run(tmp_path, "--unclean", "script") == 0
    said = capsys.readouterr().out
    assert said.count("(Swahili)") == 1 and f"{small}, {tmp_path}/sw.json" in said


@needs_real
def test_no_real_lexicon_is_warned_of(capsys):
    assert run(REAL, "--json") == 0
    documents = json.loads(capsys.readouterr().out)
    assert len(documents) >= 13 and not any(document["warnings"] for document in documents)
    for document in documents:
        assert document["pairs_read"] == document["pairs"] + sum(e["count"] for e in document["dropped"].values())


@needs_real
@pytest.mark.parametrize(
    ("true", "named", "warning"),
    [
        ("de", "en-sw.txt", "its translations are not Swahili (sw), they look like German (de)"),
        ("ur", "en-ar.txt", "its translations are not Arabic (ar), they look like Urdu (ur)"),
        ("zh", "en-ja.txt", "its translations are not Japanese (ja), they look like Chinese (zh)"),
        (
            "de",
            "en-th.txt",
            "pairs are not in Thai script; is it a lexicon of another language? it looks like German (de)",
        ),
        ("ja", "en-zh.txt", "of its pairs are not in Han or Bopomofo script"),
        ("sw", "sw-en.txt", "its sides look swapped: en-sw.txt is the name where the English comes first"),
        ("hi", "hi-en.txt", "not in Devanagari script; its sides look swapped"),
        ("zu", "en-xh.txt", None),  # near relatives
        ("sw", "en-bem.txt", None),  # a language that the classifier does not know
    ],
)
def test_lexicons_under_wrong_names_are_warned_of(tmp_path, capsys, true, named, warning):
    shutil.copy(REAL / f"en-{true}.txt", tmp_path / named)
    assert run(tmp_path / named, "--json") == (1 if warning else 0)
    warnings = json.loads(capsys.readouterr().out)[0]["warnings"]
    assert not warnings if warning is None else any(warning in said for said in warnings), warnings


@needs_real
def test_one_wrong_file_among_right_ones_is_found(tmp_path, capsys):
    shutil.copy(REAL / "en-sw.txt", tmp_path / "en-sw.txt")
    shutil.copy(REAL / "en-tr.txt", tmp_path / "en_swh.txt")
    assert run(tmp_path) == 1
    assert "en_swh.txt: its translations are not Swahili (sw), they look like Turkish (tr)" in " ".join(
        capsys.readouterr().out.split()
    )


@needs_real
def test_a_lexicon_in_another_script_stops_reading_with_a_guess(tmp_path):
    shutil.copy(REAL / "en-hi.txt", tmp_path / "en-ur.txt")
    with pytest.raises(DataError, match=r"en-ur.txt: .*not in Arabic script; .* it looks like Hindi \(hi\)$"):
        read_lexicon(tmp_path / "en-ur.txt", "ur")


@needs_real
def test_few_words_and_relatives_are_no_reason_for_a_guess():
    words = {
        code: [words[0] for words in read_lexicon(find_lexicons(REAL, [code])[code], code).entries.values()]
        for code in ("zu", "de", "hi")
    }
    assert looks_like(words["de"], "es") == "de"
    assert looks_like(words["de"][:8], "es") is None
    assert looks_like(words["zu"], "xh") is None
    assert looks_like(words["hi"], "mr") is None
