"""Lexicons as users have them: dirt goes, with its reason counted; good pairs stay."""

from pathlib import Path

import pytest

from lingualift_ds.data.lexicon import DROP_REASONS, STEPS, build_lexicon, find_lexicons, read_lexicon
from lingualift_ds.errors import ConfigError, DataError

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
        ("taxi\ttaxi", "identity"),
        ("go\tนะ", "script"),
        ("go\tenда", "script"),
        ("дом\tnyumba", "english"),
        ("дом\tдом", "identity"),
        ("of\t\u0301ya", "mark"),
    ],
)
def test_dirt_is_dropped_and_counted_by_reason(tmp_path, line, reason):
    lexicon = lexicon_of(tmp_path, f"water\tmaji\n{line}\n")
    assert lexicon.entries == {"water": ("maji",)}
    assert lexicon.dropped == {reason: 1}
    assert reason in DROP_REASONS


@pytest.mark.parametrize(
    ("language", "line", "english", "translation"),
    [
        ("sw", "bull\tng &apos;ombe", "bull", "ng'ombe"),
        ("th", "york,\tยอร์ก", "york", "ยอร์ก"),
        ("hi", "report}}\tतकरीर}}", "report", "तकरीर"),
        ("es", "#the\t#las", "the", "las"),
        ("ur", "France\t[[فرانس]]", "france", "فرانس"),
        ("ur", "latrine\tپا خانہ (فوجی", "latrine", "پا خانہ"),
        ("sw", "e-mail\tbarua-pepe", "e-mail", "barua-pepe"),
        ("sw", "Don’t\tusifanye", "don't", "usifanye"),
        ("ur", "ampersand\tعلامت &", "ampersand", "علامت"),
        ("de", "house\tHaus {n}", "house", "Haus"),
        ("de", "bench [seat]\tBank [Möbel]", "bench", "Bank"),
        ("sw", "cow\tng&amp;apos;ombe\u0001", "cow", "ng'ombe"),
        ("af", "a\t&apos; n", "a", "'n"),
        ("ha", "daughters\t'ya'ya", "daughters", "'ya'ya"),
        ("af", "word\t'woord'", "word", "woord"),
    ],
)
def test_glued_dirt_is_taken_off_and_the_word_kept(tmp_path, language, line, english, translation):
    assert lexicon_of(tmp_path, line + "\n", language).entries == {english: (translation,)}


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
    entries = build_lexicon("ur", [("b", "برہم\u200cپترہ\u200b")]).entries
    assert entries == {"b": ("برہم\u200cپترہ",)}
    assert build_lexicon("yo", [("a", "e\u0301le\u0300")]).entries == {"a": ("\u00e9l\u00e8",)}


def test_a_lexicon_without_a_usable_pair_is_an_error_that_says_why(tmp_path):
    with pytest.raises(DataError, match=r"en-sw.txt: no usable pair .*1 empty, 2 identity"):
        lexicon_of(tmp_path, "the the\nyou\t\nof\tof\n")


def test_letters_of_other_scripts_are_no_translation_but_initials_may_stand_in_one():
    thai = build_lexicon("th", [("player", "เครื่องเล่น DVD"), ("urls", "url"), ("dvd", "DVD"), ("x", "แx")])
    assert thai.entries == {"player": ("เครื่องเล่น DVD",)}
    assert thai.dropped == {"identity": 1, "script": 2}
    assert thai.examples["script"] == ("urls = url", "x = แx")
    assert build_lexicon("ja", [("shirt", "Tシャツ"), ("ray", "X線")]).pairs == 2
    assert build_lexicon("ru", [("disc", "DVD-диск"), ("ussr", "СССP")]).entries == {"disc": ("DVD-диск",)}
    assert build_lexicon("sr", [("house", "kuća"), ("house", "кућа")]).entries == {"house": ("kuća", "кућа")}
    assert build_lexicon("sr-Cyrl", [("house", "kuća"), ("house", "кућа")]).entries == {"house": ("кућа",)}


def test_german_words_that_differ_in_sharp_s_are_two():
    assert build_lexicon("de", [("mass", "Masse"), ("mass", "Maße")]).entries == {"mass": ("Masse", "Maße")}


DIRTY = [
    ("&quot;house&quot;", "nyumba,"), ("The", "the"), ("go", "นะ"), ("World", "Dunia"), ("world", "dunia"),
    ("8", "nane"), ("us$", "dola$"), ("&apos;s", "ya"), ("of", "\u0301ya"), ("US", "Marekani"), ("us", "sisi"),
    ("-", "na"), ("to work", "fanya"),
]  # fmt: skip


def test_every_step_can_be_left_out_alone():
    whole = build_lexicon("sw", DIRTY)
    assert whole.entries == {"house": ("nyumba",), "world": ("dunia",), "us": ("sisi",), "work": ("fanya",)}
    assert whole.pairs + sum(whole.dropped.values()) == whole.found == len(DIRTY)
    assert whole.mended == {"entities": 1, "punctuation": 1, "forms": 1, "case": 2}
    assert whole.examples["case"] == ("World = Dunia -> World = dunia", "US = Marekani -> US = marekani")
    assert STEPS.keys() >= whole.mended.keys()
    changed = {
        "several": None,  # of cells, which files have
        "entities": {"quot;house&quot": ("nyumba",), "apos;s": ("ya",)},
        "punctuation": {'"house"': ("nyumba,",)},
        "forms": {"to work": ("fanya",)},
        "case": {"world": ("Dunia", "dunia")},
        "letters": None,  # nothing is left of it
        "numbers": {"8": ("nane",)},
        "symbols": {"us$": ("dola$",)},
        "fragments": {"s": ("ya",)},
        "marks": {"of": ("\u0301ya",)},
        "identity": {"the": ("the",)},
        "script": {"go": ("นะ",)},
        "acronyms": {"us": ("marekani", "sisi")},
        "duplicates": {"world": ("dunia", "dunia")},
    }
    assert changed.keys() == STEPS.keys()
    for step, entries in changed.items():
        unclean = ("letters", step) if step == "numbers" else (step,)
        without = build_lexicon("sw", DIRTY, unclean=unclean)
        for english, translations in (entries or {}).items():
            assert without.entries[english] == translations, step
        assert without.pairs + sum(without.dropped.values()) == len(DIRTY), step
    with pytest.raises(ConfigError, match="unclean 'scripts': no cleaning step; there are several, .*mean script?"):
        build_lexicon("sw", DIRTY, unclean=["scripts"])


@pytest.mark.parametrize(
    ("english", "entry"),
    [
        ("to run", "run"),
        ("To Run", "run"),
        ("a dog", "dog"),
        ("an e-mail", "e-mail"),
        ("the dog", "dog"),
        ("The dog", "dog"),
        ("to run (v)", "run"),
        ("water n.", "water"),
        ("water, n.", "water"),
        ("run v.t.", "run"),
        ("to run v.", "run"),
        ("police car n.", "police car"),
        ("to run away", "to run away"),
        ("to me", "to me"),
        ("a few", "a few"),
        ("a lot", "a lot"),
        ("the US", "the us"),
        ("The Gulf", "the gulf"),
        ("vitamin c.", "vitamin c"),
        ("top", "top"),
    ],
)
def test_english_as_dictionaries_have_it_is_looked_up_as_the_word(english, entry):
    lexicon = build_lexicon("sw", [(english, "a kuwa n.")])
    assert lexicon.entries == {entry: ("a kuwa n",)}, "translations keep their form"
    assert ("forms" in lexicon.mended) == (entry not in english.lower() or len(entry) < len(english.rstrip(".")))


def test_the_capital_of_a_dictionary_form_is_the_files_too():
    assert build_lexicon("sw", [("To run", "Kukimbia"), ("A dog", "Mbwa")]).entries == {
        "run": ("kukimbia",),
        "dog": ("mbwa",),
    }


def test_lists_in_capitals_have_no_acronyms():
    english = "HOUSE WATER DOG CAT FIRE LIGHT ROAD HAND HEAD EYE US".split()
    turkish = "EV SU KÖPEK KEDİ ATEŞ IŞIK YOL EL BAŞ GÖZ BİZ".split()
    pairs = [*zip(english, turkish), ("us", "bize"), ("TO RUN", "KOŞMAK")]
    lexicon = build_lexicon("tr", pairs)
    assert lexicon.entries["us"] == ("biz", "bize") and lexicon.entries["run"] == ("koşmak",)
    assert lexicon.entries["light"] == ("ışık",) and lexicon.entries["cat"] == ("kedi",)
    assert lexicon.mended == {"forms": 1, "case": 12} and not lexicon.dropped
    assert build_lexicon("tr", pairs, unclean=["case"]).entries["light"] == ("IŞIK",)
    few = build_lexicon("tr", [*pairs, *((pair[0].lower(), f"{pair[1].lower()}lar") for pair in pairs)])
    assert "biz" not in few.entries["us"], "capitals among small letters are acronyms"


def test_examples_are_the_first_ten_and_short():
    lexicon = build_lexicon("sw", [(f"word{n}", "x" * 500) for n in range(30)])
    assert lexicon.dropped == {"number": 30} and len(lexicon.examples["number"]) == 10
    assert lexicon.examples["number"][0].startswith("word0 = xxx") and len(lexicon.examples["number"][0]) < 100


def test_acronyms_keep_their_place_and_their_frequency():
    pairs = [("TV", "Televisheni", 4.0), ("US", "Marekani", 9.0), ("us", "sisi", 2.0), ("tv", "televisheni", 1.0)]
    lexicon = build_lexicon("sw", pairs)
    assert list(lexicon.entries) == ["tv", "us"] and lexicon.dropped == {"acronym": 2}
    assert lexicon.weights == {"tv": (1.0,), "us": (2.0,)}
    assert build_lexicon("sw", pairs[:2]).weights == {"tv": (4.0,), "us": (9.0,)}


def test_a_lexicon_of_another_language_is_refused_by_its_script(tmp_path):
    german = "".join(f"{e} {t}\n" for e, t in zip("house water time day night man".split(), GERMAN))
    with pytest.raises(
        DataError, match=r"en-th.txt: 100 % of its pairs are not in Thai script; is it a lexicon of ano"
    ):
        lexicon_of(tmp_path, german, "th")
    with pytest.raises(DataError, match=r"not in Thai script; its sides look swapped: en-th.txt is the name where"):
        lexicon_of(tmp_path, "น้ำ water\nเวลา time\n", "th")
    assert len(lexicon_of(tmp_path, german + "sea ทะเล\n", "th")) == 1, "a tenth in the script is a dirty lexicon"


GERMAN = "Haus Wasser Zeit Tag Nacht Mann".split()


@pytest.mark.skipif(not REAL.is_dir(), reason=f"no real lexicons at {REAL}")
def test_real_lexicons_come_out_clean():
    for language, (path,) in find_lexicons(REAL, ["sw", "th", "zh", "ur"]).items():
        lexicon = read_lexicon(path, language)
        assert lexicon.sources == (str(path),)
        lines = sum(1 for line in path.read_text(encoding="utf-8").split("\n") if line.strip())
        assert lexicon.pairs + sum(lexicon.dropped.values()) == lines, "a line is kept or counted as dropped"
        assert len(lexicon) > 5000
        for english, translations in lexicon.entries.items():
            assert english == english.lower() and "&quot" not in english
            for translation in translations:
                assert translation.strip("\"'.,()[]{}#؟۔ ") == translation or "." in translation
                assert translation.lower() != english
