"""Lists and tables as people type them: cells with several translations, headers of their own, parts of speech."""

import logging

import pytest

from lingualift_ds.data.lexicon import read_lexicon, read_pairs


def lexicon_of(tmp_path, content: str, name: str = "en-sw.txt", **settings):
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    return read_lexicon(path, "sw", **settings)


def test_translations_beside_semicolons_are_several_in_any_list(tmp_path):
    content = "house\tnyumba; jengo\nwater\tmaji\nmanner; way\tnjia; namna\n"
    lexicon = lexicon_of(tmp_path, content)
    assert lexicon.entries["house"] == ("nyumba", "jengo")
    assert lexicon.entries["manner; way"] == ("njia; namna",), "with the mark on both sides it is one phrase"
    assert lexicon.mended == {"several": 1}
    assert lexicon.examples["several"] == ("house = nyumba; jengo -> house = nyumba | jengo",)
    assert lexicon_of(tmp_path, content, unclean=["several"]).entries["house"] == ("nyumba; jengo",)
    assert lexicon_of(tmp_path, content.replace("\t", " = ")).entries["house"] == ("nyumba", "jengo")


@pytest.mark.parametrize("mark", [", ", ",", " / ", "/", "|", "، "])
def test_other_marks_separate_where_they_recur(tmp_path, mark):
    several = f"is\tni{mark}ndiye\nhouse\tnyumba{mark}jengo\n"
    once = f"house\tnyumba{mark}jengo\n"
    others = "".join(f"word{chr(97 + n)}\tneno{chr(97 + n)}\n" for n in range(20))
    assert lexicon_of(tmp_path, several + others).entries["house"] == ("nyumba", "jengo")
    whole = lexicon_of(tmp_path, once + others, unclean=["symbols"])  # | is one
    assert whole.entries["house"] == (f"nyumba{mark}jengo",)
    both = f"well{mark}now\tvema{mark}sawa\n"
    phrase = lexicon_of(tmp_path, several + both, unclean=["symbols", "script"])
    assert phrase.entries[f"well{mark}now"] == (f"vema{mark}sawa",)


def test_whether_a_mark_separates_is_told_from_the_first_lines_of_a_file(tmp_path):
    plain = "".join(f"w{n}\tneno\n" for n in range(2500))
    late = lexicon_of(tmp_path, plain + "house\tnyumba, jengo\n" * 99, unclean=["numbers"])
    assert late.entries["house"] == ("nyumba, jengo",)
    path = tmp_path / "en-sw.tsv"
    path.write_text("house\tnyumba; jengo\n" * 5000)
    pairs = read_pairs(path, "sw")
    assert next(pairs).translations == ("nyumba", "jengo")
    pairs.close()  # the rest is never read


def test_marks_that_are_no_separators_stay(tmp_path):
    lexicon = lexicon_of(tmp_path, "cow\tng&apos;ombe\ncow\tng &amp;apos; ombe mke\nbank\tbenki (ya fedha; ya damu)\n")
    assert lexicon.entries == {"cow": ("ng'ombe", "ng ' ombe mke"), "bank": ("benki",)}
    assert "several" not in lexicon.mended
    spaces = lexicon_of(tmp_path, "house nyumba;jengo\nwater maji,uji\nman mtu,mume\n")
    assert spaces.entries == {"house": ("nyumba;jengo",), "water": ("maji,uji",), "man": ("mtu,mume",)}


def test_an_ending_for_another_form_is_no_translation(tmp_path):
    lexicon = lexicon_of(
        tmp_path, "pretty\tbonito, -a\nugly\tfeo, -a\nnice\tguapo/a\nchild\tniño/a\ngood\t-zuri, -ema\n"
    )
    assert lexicon.entries == {
        "pretty": ("bonito",),
        "ugly": ("feo",),
        "nice": ("guapo",),
        "child": ("niño",),
        "good": ("zuri", "ema"),
    }
    table = 'english,swahili\npretty,"bonito, -a"\n'
    assert lexicon_of(tmp_path, table, "en-sw.csv").entries == {"pretty": ("bonito",)}


def test_cells_of_tables_are_taken_apart_as_a_step_too(tmp_path):
    table = 'english,swahili\nhouse,"nyumba, jengo"\nwater,maji\n'
    lexicon = lexicon_of(tmp_path, table, "en-sw.csv")
    assert lexicon.entries["house"] == ("nyumba", "jengo") and lexicon.mended == {"several": 1}
    assert lexicon_of(tmp_path, table, "en-sw.csv", unclean=["several"]).entries["house"] == ("nyumba, jengo",)


@pytest.mark.parametrize(
    "header",
    ["Kibajuni,English", "Gikuyu,English", "Español,English", "Afaan Oromoo,English", "eng\tXitsonga", "en;siswati",
     "English\tKimvita", "ENGLISH;Kimvita", "English\tKimvita\t", "#English\tKimvita"],
)  # fmt: skip
def test_english_beside_one_other_column_is_a_header(tmp_path, header):
    separator = next(mark for mark in "\t;," if mark in header)
    sides = ("nyumba", "house") if header.endswith("English") else ("house", "nyumba")
    assert lexicon_of(tmp_path, f"{header}\n{separator.join(sides)}\n").entries == {"house": ("nyumba",)}


def test_pairs_with_english_in_them_are_no_headers(tmp_path):
    assert len(lexicon_of(tmp_path, "english kiingereza\nhouse nyumba\n")) == 2
    assert len(lexicon_of(tmp_path, "eng\tnyembamba\nhouse\tnyumba\n")) == 2
    assert len(lexicon_of(tmp_path, "english, \tkiingereza\nhouse\tnyumba\n")) == 2
    assert lexicon_of(tmp_path, "# English, old words\nhouse\tnyumba\n").entries == {"house": ("nyumba",)}


def test_excels_first_line_names_the_separator(tmp_path):
    assert lexicon_of(tmp_path, "sep=;\nEnglish;Swahili\nhouse;nyumba\n", "en-sw.csv").entries == {"house": ("nyumba",)}
    bare = lexicon_of(tmp_path, "SEP=,\nhouse,nyumba\n", "en-sw.txt")
    assert bare.entries == {"house": ("nyumba",)} and not bare.dropped
    numbered = lexicon_of(tmp_path, "sep=;\nnyumba;n, pl;house\n", "a.csv", columns="english=3,translation=1")
    assert numbered.entries == {"house": ("nyumba",)}


def test_parts_of_speech_between_the_sides_are_passed_over(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("lingualift_ds"), "propagate", True)
    rows = [("house", "n.", "nyumba"), ("run", "v. i.", "kimbia"), ("big", "Adj", "kubwa"), ("and", "", "na")]
    entries = {"house": ("nyumba",), "run": ("kimbia",), "big": ("kubwa",), "and": ("na",)}
    with caplog.at_level(logging.INFO):
        lexicon = lexicon_of(tmp_path, "".join("\t".join(row) + "\n" for row in rows))
    assert lexicon.entries == entries
    assert "parts of speech in the second column; the third is read for the translation" in caplog.text
    turned = "".join(f"{t},{kind},{e},{n}\n" for n, (e, kind, t) in enumerate(rows, start=1))
    lexicon = lexicon_of(tmp_path, turned, "sw-en.csv")
    assert lexicon.entries == entries and lexicon.weights["run"] == (2.0,)
    words = "n\tn\tnusu\nrun\tkimbia\tv\nhouse\tnyumba\tn\n"
    assert lexicon_of(tmp_path, words).entries == {"run": ("kimbia",), "house": ("nyumba",)}
