"""Lexicons as users have them: dirt goes, with its reason counted; good pairs stay."""

from pathlib import Path

import pytest

from lingualift_ds.data.lexicon import DROP_REASONS, build_lexicon, find_lexicons, read_lexicon
from lingualift_ds.errors import DataError

REAL = Path(__file__).parents[2].parent / "shared/data/lexicons"


def lexicon_of(tmp_path, content: str, language: str = "sw"):
    path = tmp_path / f"en-{language}.txt"
    path.write_bytes(content.encode("utf-8"))
    return read_lexicon(path, language)


def test_tab_space_and_windows_lines_give_the_same(tmp_path):
    tabs = lexicon_of(tmp_path, "house\tnyumba\nhouse\tjengo\nwater\tmaji\n")
    spaces = lexicon_of(tmp_path, "house nyumba\r\nhouse jengo\r\nwater maji\r\n")
    assert tabs.entries == spaces.entries == {"house": ("nyumba", "jengo"), "water": ("maji",)}


def test_phrases_of_several_words_on_both_sides_are_kept(tmp_path):
    lexicon = lexicon_of(tmp_path, "often\tmara nyingi\npolice car\tgari la polisi\n")
    assert lexicon.entries == {"often": ("mara nyingi",), "police car": ("gari la polisi",)}
    assert lexicon.longest_phrase == 2


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("you\t", "empty"),
        ("\tte", "empty"),
        ("alone", "empty"),
        ("&quot\t&apos;", "no letters"),
        ("the\t—", "no letters"),
        ("/\tna", "no letters"),
        ("12,000\t000", "number"),
        ("thousand\t1 000", "number"),
        ("c++\tsii", "symbol"),
        ("&apos;s\tya", "fragment"),
        ("The\tthe", "identity"),
        ("#aaa\t#aaa", "identity"),
        ("cafe\u0301\tcafé", "identity"),
    ],
)
def test_dirt_is_dropped_and_counted_by_reason(tmp_path, line, reason):
    lexicon = lexicon_of(tmp_path, f"water\tmaji\n{line}\n")
    assert lexicon.entries == {"water": ("maji",)}
    assert lexicon.dropped == {reason: 1}
    assert reason in DROP_REASONS


@pytest.mark.parametrize(
    ("line", "english", "translation"),
    [
        ("bull\tng &apos;ombe", "bull", "ng'ombe"),
        ("york,\tยอร์ก", "york", "ยอร์ก"),
        ("report}}\tतकरीर}}", "report", "तकरीर"),
        ("#the\t#las", "the", "las"),
        ("France\t[[فرانس]]", "france", "فرانس"),
        ("latrine\tپا خانہ (فوجی", "latrine", "پا خانہ"),
        ("e-mail\tbarua-pepe", "e-mail", "barua-pepe"),
        ("Don’t\tusifanye", "don't", "usifanye"),
        ("ampersand\tعلامت &", "ampersand", "علامت"),
    ],
)
def test_glued_dirt_is_taken_off_and_the_word_kept(tmp_path, line, english, translation):
    assert lexicon_of(tmp_path, line + "\n").entries == {english: (translation,)}


def test_case_variants_become_one_entry_in_file_order(tmp_path):
    lexicon = lexicon_of(tmp_path, "But\tMaar\nbut\tmaar\nBUT\tMAAR\nbut\tegter\n", "af")
    assert lexicon.entries == {"but": ("maar", "egter")}
    assert lexicon.translations("But") == ("maar", "egter")


def test_capitals_that_are_another_word_do_not_translate_it(tmp_path):
    lexicon = lexicon_of(tmp_path, "US\tMarekani\nus\tsisi\nTV\ttelevisheni\n")
    assert lexicon.entries == {"us": ("sisi",), "tv": ("televisheni",)}
    assert lexicon.dropped == {"acronym": 1}


def test_german_nouns_keep_and_turkish_words_lose_their_capital_rightly():
    assert build_lexicon("de", [("House", "Haus")]).entries == {"house": ("Haus",)}
    assert build_lexicon("tr", [("Work", "İş"), ("Light", "Işık")]).entries == {
        "work": ("iş",),
        "light": ("ışık",),
    }


def test_output_is_nfc_and_joiners_inside_words_stay():
    entries = build_lexicon("ur", [("a", "e\u0301le\u0300"), ("b", "برہم\u200cپترہ\u200b")]).entries
    assert entries == {"a": ("\u00e9l\u00e8",), "b": ("برہم\u200cپترہ",)}


def test_a_lexicon_without_a_usable_pair_is_an_error_that_says_why(tmp_path):
    with pytest.raises(DataError, match=r"en-sw.txt: no usable pair .*1 empty, 2 identity"):
        lexicon_of(tmp_path, "the the\nyou\t\nof\tof\n")


def test_find_prefers_nothing_silently(tmp_path):
    for name in ("en-sw.txt", "en-hi.tsv", "th.txt", "sw-en.txt", "README.md", "en-es.0-5000.txt"):
        (tmp_path / name).write_text("a b\n")
    assert list(find_lexicons(tmp_path)) == ["hi", "sw", "th"]
    assert find_lexicons(tmp_path, ["th", "hi"]) == {
        "th": tmp_path / "th.txt",
        "hi": tmp_path / "en-hi.tsv",
    }
    with pytest.raises(DataError, match=r"no lexicon of 'zu' .*there are hi, sw, th"):
        find_lexicons(tmp_path, ["sw", "zu"])
    (tmp_path / "sw.tsv").write_text("a b\n")
    with pytest.raises(DataError, match=r"several lexicons of 'sw': en-sw.txt, sw.tsv"):
        find_lexicons(tmp_path, ["sw"])
    with pytest.raises(DataError, match="no such folder"):
        find_lexicons(tmp_path / "none")


@pytest.mark.skipif(not REAL.is_dir(), reason=f"no real lexicons at {REAL}")
def test_real_lexicons_come_out_clean():
    for language, path in find_lexicons(REAL, ["sw", "th", "zh", "ur"]).items():
        lexicon = read_lexicon(path, language)
        lines = sum(1 for line in path.read_text(encoding="utf-8").split("\n") if line.strip())
        assert lexicon.pairs + sum(lexicon.dropped.values()) == lines, "a line is kept or counted as dropped"
        assert len(lexicon) > 5000
        for english, translations in lexicon.entries.items():
            assert english == english.lower() and "&quot" not in english
            for translation in translations:
                assert translation.strip("\"'.,()[]{}#؟۔ ") == translation or "." in translation
                assert translation.lower() != english
