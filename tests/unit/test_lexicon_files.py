"""Word lists of every kind give the same pairs; what cannot be read is said in one line."""

import bz2
import gzip
import json
import logging
import random

import pytest

from lingualift_ds.data.lexicon import Columns, read_lexicon, read_pairs
from lingualift_ds.errors import ConfigError, DataError

ENTRIES = {"house": ("nyumba", "jengo"), "water": ("maji",), "time": ("wakati",)}
COUNTED = [("house", "nyumba", 31), ("house", "jengo", 7), ("water", "maji", 12), ("time", "wakati", 5)]


def write(tmp_path, name: str, content: str | bytes):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    return path


def rows(separator: str, head: str = "") -> str:
    return head + "".join(f"{english}{separator}{translation}\n" for english, translation, _ in COUNTED)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("en-sw.txt", rows("\t")),
        ("en-sw.txt", rows(" ")),
        ("en-sw.txt", rows("   ")),
        ("en-sw.txt", rows("\t").replace("\n", "\r\n")),
        ("en-sw.txt", rows("\t").replace("\n", "\r")),
        ("en-sw.txt", rows("\t").rstrip("\n")),
        ("en-sw.txt", "\ufeff" + rows("\t")),
        ("en-sw.txt", rows("\t").encode("utf-16")),
        ("en-sw.txt", b"\xff\xfe" + rows("\t").encode("utf-16-le")),
        ("en-sw.txt", b"\xfe\xff" + rows("\t").encode("utf-16-be")),
        ("en-sw.txt.gz", gzip.compress(rows("\t").encode(), mtime=0)),
        ("en-sw.txt", gzip.compress(rows(" ").encode(), mtime=0)),
        ("en-sw.txt", rows("\t", "# A list of 2024\n#\n#Found at http://example.org/\n")),
        ("en-sw.csv", rows(",")),
        ("en-sw.csv", rows(";")),
        ("en-sw.txt", rows(",")),
        ("en-sw.txt", rows(" - ")),
        ("en-sw.txt", rows(" = ")),
        ("en-sw.txt", rows(": ")),
        ("en-sw.tsv", rows("\t", "english\ttranslation\n")),
        ("en-sw.tsv", rows("\t", "#English\tSwahili\n")),
        ("en-sw.tsv", rows("\t", "source\ttarget\n")),
        ("en-sw.csv", rows(",", "eng,swh\n")),
        ("en-sw.csv", rows(",", '"en","sw"\n')),
        ("en-sw.csv", rows(";", "word;translation\n")),
        ("en-sw.csv", rows(",", "English word,Swahili (sw)\n")),
        ("en-sw.csv", rows(",eng,swh,", "source_expression,source_lang,target_lang,target_expression\n")),
        ("en-sw.csv", "word,translation\nhouse,nyumba; jengo\nwater,maji\ntime,wakati\n"),
        ("en-sw.csv", 'word,translation\nhouse,"nyumba, jengo"\nwater,maji\ntime,wakati\n'),
        ("en-sw.tsv", "en\tsw\nhouse\tnyumba/jengo\nwater\tmaji | \ntime\twakati\n"),
        (
            "en-sw.tsv",
            "pos\ttranslation (sw)\tword\nn\tnyumba\thouse\nn\tjengo\thouse\nn\tmaji\twater\nn\twakati\ttime\n",
        ),
        ("en-sw.csv", "english,zulu,swahili\nhouse,indlu,nyumba|jengo\nwater,amanzi,maji\ntime,isikhathi,wakati\n"),
        ("sw-en.txt", "".join(f"{t}\t{e}\n" for e, t, _ in COUNTED)),
        ("sw-en.txt", "".join(f"{t} {e}\n" for e, t, _ in COUNTED)),
        ("sw-en.tsv", "source\ttarget\n" + "".join(f"{t}\t{e}\n" for e, t, _ in COUNTED)),
        ("en-sw.tsv", "swahili\tenglish\n" + "".join(f"{t}\t{e}\n" for e, t, _ in COUNTED)),
        ("en-sw.dict", "".join(f"{t} @ {e}\n" for e, t, _ in COUNTED)),
        ("en-sw.json", json.dumps({"house": ["nyumba", "jengo"], "water": "maji", "time": "wakati"})),
        ("en-sw.json", json.dumps({"house": "nyumba; jengo", "water": ["maji"], "time": "wakati"}, indent=2)),
        ("en-sw.json", "\ufeff" + json.dumps([pair[:2] for pair in COUNTED])),
        ("en-sw.json", json.dumps([{"english": e, "swahili": t} for e, t, _ in COUNTED], indent=1)),
        ("en-sw.txt", json.dumps([{"english": e, "swahili": t} for e, t, _ in COUNTED], indent=1)),
        ("en-sw.json", json.dumps([{"word": e, "translations": [t]} for e, t, _ in COUNTED]).encode("utf-16")),
        ("en-sw.jsonl", "".join(json.dumps({"en": e, "sw": t}) + "\n" for e, t, _ in COUNTED)),
        ("en-sw.jsonl", "".join(json.dumps([e, t]) + "\n" for e, t, _ in COUNTED)),
        ("en-sw.jsonl", "".join(json.dumps({e: t}) + "\n\n" for e, t, _ in COUNTED)),
        ("en-sw.json", "".join(json.dumps({"translation": {"en": e, "sw": t}}) + "\n" for e, t, _ in COUNTED)),
        ("en-sw.json.gz", gzip.compress(json.dumps([pair[:2] for pair in COUNTED]).encode(), mtime=0)),
        ("sw-en.json", json.dumps({t: e for e, t, _ in COUNTED})),
    ],
)
def test_every_kind_of_file_gives_the_same_entries(tmp_path, name, content):
    lexicon = read_lexicon(write(tmp_path, name, content), "sw")
    assert lexicon.entries == ENTRIES
    assert set(lexicon.dropped) <= {"empty"} and not lexicon.weights


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("en-sw.txt", "".join(f"{e}\t{t}\t{n}\n" for e, t, n in COUNTED)),
        ("en-sw.txt", "".join(f"{e} {t} {n}\n" for e, t, n in COUNTED)),
        ("en-sw.csv", "word,translation,count\n" + "".join(f"{e},{t},{n}\n" for e, t, n in COUNTED)),
        ("en-sw.tsv", "freq\ten\tsw\n" + "".join(f"{n}\t{e}\t{t}\n" for e, t, n in COUNTED)),
        ("en-sw.json", '{"house": {"nyumba": 31, "jengo": 7.0}, "water": {"maji": 12}, "time": [["wakati", 5]]}'),
        ("en-sw.json", json.dumps([list(pair) for pair in COUNTED])),
        ("en-sw.jsonl", "".join(json.dumps({"en": e, "sw": t, "score": n}) + "\n" for e, t, n in COUNTED)),
    ],
)
def test_frequencies_come_with_the_translations_in_their_order(tmp_path, name, content):
    lexicon = read_lexicon(write(tmp_path, name, content), "sw")
    assert lexicon.entries == ENTRIES
    assert lexicon.weights == {"house": (31.0, 7.0), "water": (12.0,), "time": (5.0,)}


def test_columns_are_named_or_numbered_by_the_user(tmp_path):
    table = write(tmp_path, "a.tsv", "lemma\tclass\tneno\tn\nhouse\tN\tnyumba\t31\nwater\tN\tmaji\t12\n")
    for columns in ("english=lemma,translation=neno,frequency=n", "english=1,translation=3,frequency=4"):
        lexicon = read_lexicon(table, "sw", columns=columns)
        assert lexicon.entries == {"house": ("nyumba",), "water": ("maji",)}
        assert lexicon.weights == {"house": (31.0,), "water": (12.0,)}
    bare = write(tmp_path, "b.txt", "31 nyumba house\n12 maji water\n")
    assert read_lexicon(bare, "sw", columns="english=3,translation=2").entries["water"] == ("maji",)
    records = write(tmp_path, "c.json", '[{"from": "house", "to": "nyumba"}]')
    assert read_lexicon(records, "sw", columns="english=from,translation=to").entries == {"house": ("nyumba",)}
    with pytest.raises(DataError, match=r"a.tsv:1: no column 'swa'; the first line has 'lemma', 'class', 'neno', 'n'"):
        read_lexicon(table, "sw", columns="english=lemma,translation=swa")
    with pytest.raises(DataError, match=r"b.txt:1: columns 1, 4 are asked for, there are 3: '31 nyumba house'"):
        read_lexicon(bare, "sw", columns="english=1,translation=4")
    with pytest.raises(DataError, match=r"c.json: no keys english and sw; found 'from', 'to'"):
        read_lexicon(records, "sw", columns="english=english,translation=sw")


@pytest.mark.parametrize(
    "text", ["english=1", "english=1,translation=1", "english=1,traslation=2", "en", "", "english="]
)
def test_columns_that_cannot_be_meant_are_refused(text):
    with pytest.raises(ConfigError, match="english"):
        Columns.parse(text)


def test_rows_of_other_languages_are_left_out_and_counted(tmp_path):
    table = "word\tlang_code\ttranslation\nhouse\tsw\tnyumba\nhouse\tzul\tindlu\nwater\tSwahili\tmaji\n"
    lexicon = read_lexicon(write(tmp_path, "en-sw.tsv", table), "sw")
    assert lexicon.entries == {"house": ("nyumba",), "water": ("maji",)}
    assert lexicon.dropped == {"other language": 1}
    assert lexicon.examples["other language"] == ("house\tzul\tindlu",)
    extract = [
        {"word": "house", "pos": "noun", "lang_code": "en"},
        {"word": "water", "translations": [{"code": "sw", "word": "maji"}, {"code": "zu", "word": "amanzi"}]},
    ]
    kaikki = write(tmp_path, "sw.jsonl", "".join(json.dumps(row) + "\n" for row in reversed(extract)))
    assert read_lexicon(kaikki, "swh").entries == {"water": ("maji",)}


WIKTIONARY = [
    {"word": "aardvark", "pos": "noun", "lang_code": "en", "senses": [{"glosses": ["A mammal."]}]},
    {
        "word": "house",
        "pos": "noun",
        "lang_code": "en",
        "senses": [{"glosses": ["A building."], "translations": [{"code": "sw", "word": "makao"}]}, {"glosses": ["."]}],
        "translations": [{"code": "sw", "word": "nyumba"}, {"code": "sw", "note": "see home"}, {"code": "zu"}],
    },
    {"word": "water", "pos": "noun", "lang_code": "en", "senses": [{"translations": [{"code": "sw", "word": "maji"}]}]},
]


@pytest.mark.parametrize("lines", [True, False])
def test_wiktionarys_translations_may_lack_words_and_stand_below_senses(tmp_path, lines):
    content = "\n".join(map(json.dumps, WIKTIONARY)) if lines else json.dumps(WIKTIONARY)
    lexicon = read_lexicon(write(tmp_path, "en-sw.json", content), "sw")
    assert lexicon.entries == {"house": ("nyumba", "makao"), "water": ("maji",)}
    assert lexicon.dropped == {"untranslated": 1, "other language": 1, "empty": 1}


ODD = ["42", "null", '["house"]', '{"q": 1, "r": []}', '{"english": ["x", 3], "swahili": []}', '["house", 7]']


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("lines", [True, False])
def test_an_odd_record_among_many_is_dropped_and_counted(tmp_path, odd, lines):
    good = [json.dumps({"english": e, "swahili": t}) for e, t, _ in COUNTED]
    rows = [odd, *good, odd]
    content = "\n".join(rows) if lines else f"[{','.join(rows)}]"
    lexicon = read_lexicon(write(tmp_path, "en-sw.json", content), "sw")
    assert lexicon.entries == ENTRIES
    assert sum(lexicon.dropped.values()) >= 2 and set(lexicon.dropped) <= {"odd", "empty"}
    member = '{"house": ["nyumba", "jengo", 3], "cow": 7, "water": "maji", "time": "wakati", "dog": true}'
    lexicon = read_lexicon(write(tmp_path, "en-sw.json", member), "sw")
    assert lexicon.entries == ENTRIES and lexicon.dropped == {"odd": 3}


def test_a_separator_inside_brackets_or_in_a_bare_line_separates_nothing(tmp_path):
    table = write(tmp_path, "en-sw.csv", 'en,sw\nbank,"benki (ya fedha, ya damu); ukingo"\n')
    assert read_lexicon(table, "sw").entries == {"bank": ("benki", "ukingo")}
    bare = write(tmp_path, "en-sw.txt", "well\tvema, sawa\nor\tau/ama\n")
    assert read_lexicon(bare, "sw").entries == {"well": ("vema, sawa",), "or": ("au/ama",)}


def test_a_list_that_is_no_table_keeps_its_first_line(tmp_path):
    first = write(tmp_path, "en-es.txt", "#the\t#las\nword\tpalabra\nsource\tfuente\n")
    assert read_lexicon(first, "es").entries == {"the": ("las",), "word": ("palabra",), "source": ("fuente",)}
    words = write(tmp_path, "en-de.txt", "word wort\nenglish englisch\nsource quelle\n")
    assert read_lexicon(words, "de").entries == {"word": ("wort",), "english": ("englisch",), "source": ("quelle",)}


def test_a_stray_quote_spoils_one_line(tmp_path):
    table = write(tmp_path, "en-sw.csv", 'en,sw\nhouse,"nyumba\nwater,maji\n')
    assert read_lexicon(table, "sw").entries == {"house": ("nyumba",), "water": ("maji",)}
    table = write(tmp_path, "en-sw.csv", 'en,sw\n"ho\ruse,nyumba\nwater,maji\n')
    assert read_lexicon(table, "sw").entries["water"] == ("maji",)


def test_what_is_read_turned_round_is_said(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("lingualift_ds"), "propagate", True)
    with caplog.at_level(logging.INFO):
        read_lexicon(write(tmp_path, "sw-en.txt", "nyumba\thouse\n"), "sw")
        read_lexicon(write(tmp_path, "en-sw.csv", "swahili,english\nmaji,water\n"), "sw")
    assert "sw-en.txt: translation first, by its name; read turned round" in caplog.text
    assert "en-sw.csv: translation first, by its header; read turned round" in caplog.text


def test_a_few_damaged_lines_are_dropped_and_counted(tmp_path):
    content = rows("\t").encode() + "mother\tmamá\n".encode("latin-1") + b"cow\tng'ombe\n"
    lexicon = read_lexicon(write(tmp_path, "en-sw.txt", content), "sw")
    assert lexicon.dropped == {"not UTF-8": 1}
    assert "cow" in lexicon.entries and "mother" not in lexicon.entries
    with pytest.raises(DataError, match=r"en-sw.txt:2: not UTF-8, like 3 of its 5 lines; save the file as UTF-8"):
        content = "ab\tcd\na\té\nb\té\nc\té\nx\ty\n".encode("latin-1")
        read_lexicon(write(tmp_path, "en-sw.txt", content), "sw")


PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"\n \n\n", "the file is empty"),
        (b"\xef\xbb\xbf\n", "the file is empty"),
        (gzip.compress(b"", mtime=0), "the file is empty"),
        (PNG, "is a binary file; text in UTF-8 is needed"),
        (gzip.compress(PNG, mtime=0), "is a binary file"),
        (b"PK\x03\x04\0\0", "is a zip archive or a spreadsheet; unpack it"),
        (bz2.compress(b"house nyumba\n"), "is compressed with bzip2; unpack it, text or gzip is read"),
        (gzip.compress(random.Random(0).randbytes(9000).hex().encode(), mtime=0)[:-900], "damaged gzip file"),
        (gzip.compress(b"house nyumba\n", mtime=0)[:-8] + b"\1" * 8, "damaged gzip file"),
        (b"# nothing but\n# comments\n", r"no usable pair in the lexicon \(dropped: nothing\)"),
        (b"english\tswahili\n", "no usable pair"),
        (b'{"house": "nyumba",\n "water" "maji"}', r"en-sw.json:2: not JSON \(Expecting ':' delimiter at column 10\)"),
        (b'{"house": "nyumba"', "en-sw.json:1: not JSON"),
        (b'[["house", "nyumba"], ["water", "maj\xe9"]\n]', "en-sw.json:1: not UTF-8"),
        (b'{"house": "nyumba"}\n{"water": maji}\n', r"en-sw.json:2: not JSON .*'{\"water\": maji}'"),
        (b'{"house": 3}', "en-sw.json: found '3'; needed is english: translation"),
        (b'["house", "water"]', "en-sw.json: found '\"house\"'; needed is"),
        (b'[["house"]]', r"""found '\["house"\]'; a list \[english, translation\]"""),
        (b'[{"a": "house", "b": "nyumba"}]', "no keys that say what is what; found 'a', 'b'"),
        (b'{"words": [{"x": "y"}, 3]}', "needed is english: translation"),
        (b"house", "no usable pair .*1 empty"),
        (b"42", "no usable pair"),
        (b"null", "no usable pair"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_said_in_one_line(tmp_path, content, message):
    suffix = ".json" if content[:1] in b"[{" and content else ".txt"
    with pytest.raises(DataError, match=message) as raised:
        read_lexicon(write(tmp_path, f"en-sw{suffix}", content), "sw")
    assert "\n" not in str(raised.value) and f"en-sw{suffix}" in str(raised.value)


def test_missing_files_folders_and_files_without_rights(tmp_path):
    with pytest.raises(DataError, match="en-sw.txt: no such file"):
        read_lexicon(tmp_path / "en-sw.txt", "sw")
    with pytest.raises(DataError, match="is a folder, a file is needed"):
        read_lexicon(tmp_path, "sw")
    with pytest.raises(DataError, match="language 'swz': not a known ISO 639 code"):
        read_lexicon(write(tmp_path, "en-sw.txt", rows("\t")), "swz")


def test_files_of_one_language_are_merged_in_order(tmp_path):
    first = write(tmp_path, "en-sw.tsv", "house\tmakao\t3\nwater\tmaji\t2\n")
    second = write(tmp_path, "en-sw.json", '{"house": {"nyumba": 31, "makao": 4}, "water": "maji", "cow": "ng\'ombe"}')
    merged = read_lexicon([first, second], "sw")
    assert merged.entries == {"house": ("makao", "nyumba"), "water": ("maji",), "cow": ("ng'ombe",)}
    assert merged.weights == {"house": (7.0, 31.0), "water": (2.0,)}
    assert merged.sources == (str(first), str(second)) and merged.dropped == {"duplicate": 2}
    assert read_lexicon([second, first], "sw").entries["house"] == ("nyumba", "makao")


def test_a_translation_without_a_frequency_counts_as_the_rarest_of_its_entry(tmp_path):
    table = write(
        tmp_path, "en-sw.tsv", "en\tsw\tcount\nhouse\tnyumba\t31\nhouse\tjengo\t\nhouse\tmakao\t-2\nhouse\tkibanda\t9\n"
    )
    assert read_lexicon(table, "sw").weights == {"house": (31.0, 9.0, 9.0, 9.0)}  # fmt: skip


def test_reading_streams_and_takes_no_memory_for_what_it_does_not_keep(tmp_path):
    path = write(tmp_path, "en-sw.txt", rows("\t"))
    pairs = read_pairs(path, "sw")
    assert next(pairs) == ("house", "nyumba", None)
    pairs.close()  # the rest is never read


PIECES = [b'"', b"{", b"}", b"[", b"]", b",", b"\t", b"\n", b"\r", b"\\", b":", b"null", b"3", b"\xff", b"#", b"@",
          b"\\ud800", b"\xcc\x81", b"&amp;", b"sw\t", b"\xe2\x80"]  # fmt: skip


def test_files_damaged_anyhow_are_read_or_refused_in_one_line(tmp_path):
    kinds = test_every_kind_of_file_gives_the_same_entries.pytestmark[0].args[1]
    for seed in range(600):
        chance = random.Random(seed)
        name, content = chance.choice(kinds)
        damaged = bytearray(content if isinstance(content, bytes) else content.encode("utf-8"))
        for _ in range(chance.randint(1, 6)):
            at = chance.randrange(len(damaged) + 1)
            damaged[at : at + chance.choice((0, 0, 1, 5))] = chance.choice([*PIECES, chance.randbytes(1)])
        try:
            lexicon = read_lexicon(write(tmp_path, name, bytes(damaged)), "sw")
        except DataError as error:
            assert "\n" not in str(error) and name in str(error)
        else:
            assert all(english and all(translations) for english, translations in lexicon.entries.items())
            json.dumps([lexicon.entries, lexicon.examples], ensure_ascii=False).encode()  # no half characters
