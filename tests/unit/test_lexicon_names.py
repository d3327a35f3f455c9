"""Which files are lexicons of which language: by the names that people and data sets give them."""

import gzip
import logging

import pytest

from lingualift_ds.data.lexicon import find_lexicons, read_lexicon
from lingualift_ds.data.lexicon.naming import parse_name
from lingualift_ds.errors import DataError


@pytest.mark.parametrize(
    ("name", "language", "turned"),
    [
        ("en-sw.txt", "sw", False),
        ("en_sw.txt", "sw", False),
        ("en2sw.txt", "sw", False),
        ("EN-SW.TXT", "sw", False),
        ("eng-swh.tsv", "sw", False),
        ("en_swh.csv.gz", "sw", False),
        ("eng_Latn-swh_Latn.tsv", "sw", False),
        ("eng-zul.jsonl", "zu", False),
        ("en-run.txt", "rn", False),
        ("en-bem.txt", "bem", False),
        ("English-Swahili.csv", "sw", False),
        ("english_to_northern_sotho.json", "nso", False),
        ("muse.en-sw.dict", "sw", False),
        ("panlex_en-sw_clean.txt", "sw", False),
        ("sw-en.txt", "sw", True),
        ("swh_eng.tsv.gz", "sw", True),
        ("Zulu-English.txt", "zu", True),
        ("th.txt", "th", False),
        ("swahili.json", "sw", False),
        ("zho_Hans.tsv", "zh-Hans", False),
        ("eng_Latn-zho_Hant.tsv", "zh-Hant", False),
        ("en-zh_TW.txt", "zh-TW", False),
        ("pt-BR.txt", "pt-BR", False),
        ("en-pt-br.txt", "pt-BR", False),
        ("en-srp_Cyrl.txt", "sr", False),
        ("en-sr-Latn.txt", "sr-Latn", False),
        ("en-qq.txt", "qq", False),
    ],
)
def test_names_say_language_and_direction(name, language, turned):
    named = parse_name(name)
    assert (named.language, named.turned, named.part) == (language, turned, False)


@pytest.mark.parametrize(
    "name", ["README.md", "stopwords.txt", "en.txt", "de-es.txt", "en-en.txt", "my_list.txt", "sw zu"]
)
def test_names_that_say_no_language_beside_english(name):
    assert parse_name(name) is None


def put(folder, *names: str):
    folder.mkdir(exist_ok=True)
    for name in names:
        content = b"house\tnyumba\n"
        (folder / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return folder


def test_a_folder_gives_every_language_it_has(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("lingualift_ds"), "propagate", True)
    names = (
        "en-sw.txt",
        "en-hi.tsv",
        "th.txt",
        "README.md",
        "en-es.0-5000.txt",
        "notes.txt",
        "en-qq.txt",
        ".en-af.txt",
    )
    folder = put(tmp_path / "words", *names)
    (folder / "en-zu.txt").mkdir()
    with caplog.at_level(logging.INFO):
        assert list(find_lexicons(folder)) == ["hi", "sw", "th"]
    assert "left out en-es.0-5000.txt" in caplog.text and "left out notes.txt" in caplog.text
    assert "left out en-qq.txt: no known language code; write sw=FILE" in caplog.text
    assert find_lexicons(folder, ["th", "hi"]) == {"th": (folder / "th.txt",), "hi": (folder / "en-hi.tsv",)}
    with pytest.raises(DataError, match=r"no lexicon of 'zu' .*there are hi, sw, th"):
        find_lexicons(folder, ["sw", "zu"])
    with pytest.raises(DataError, match="language 'swahilli': not a known ISO 639 code; did you mean sw"):
        find_lexicons(folder, ["swahilli"])


def test_several_files_of_a_language_come_together_english_first(tmp_path):
    folder = put(tmp_path / "words", "sw-en.txt", "en-swh.json.gz", "en_sw.csv", "sw.tsv")
    more = put(tmp_path / "more", "eng-swa.txt")
    names = [path.name for path in find_lexicons(folder)["sw"]]
    assert names == ["en-swh.json.gz", "en_sw.csv", "sw.tsv", "sw-en.txt"]
    found = find_lexicons([more, folder / "sw.tsv", folder], ["swh"])["swh"]
    assert [path.name for path in found] == ["eng-swa.txt", "sw.tsv", "en-swh.json.gz", "en_sw.csv", "sw-en.txt"]


def test_a_file_is_named_or_its_language_is(tmp_path):
    folder = put(tmp_path, "words.txt", "en-sw.txt", "en-es.0-5000.txt")
    assert find_lexicons(folder / "en-sw.txt") == {"sw": (folder / "en-sw.txt",)}
    assert find_lexicons([f"swh={folder}/words.txt"]) == {"sw": (folder / "words.txt",)}
    assert find_lexicons([folder / "en-es.0-5000.txt"]) == {"es": (folder / "en-es.0-5000.txt",)}
    both = find_lexicons([f"sw={folder}/words.txt", folder], ["sw"])
    assert [path.name for path in both["sw"]] == ["words.txt", "en-sw.txt"]
    with pytest.raises(DataError, match=r"words.txt: its name does not say .* sw=.*words.txt"):
        find_lexicons(folder / "words.txt")
    with pytest.raises(DataError, match="language 'qx': not a known"):
        find_lexicons(f"qx={folder}/words.txt")
    with pytest.raises(DataError, match="none.txt: no such file"):
        find_lexicons(f"sw={folder}/none.txt")
    with pytest.raises(DataError, match="is a folder, a file is needed"):
        find_lexicons(f"sw={folder}")
    with pytest.raises(DataError, match="no such folder of lexicons, nor a file"):
        find_lexicons(folder / "none")
    (folder / "empty").mkdir()
    with pytest.raises(DataError, match="empty: no lexicon; looked for files such as en-sw.txt"):
        find_lexicons(folder / "empty")


def test_a_variant_serves_a_language_asked_for_without_one(tmp_path):
    put(tmp_path, "eng_Latn-zho_Hant.tsv")
    assert list(find_lexicons(tmp_path)) == ["zh-Hant"]
    assert find_lexicons(tmp_path, ["zh"])["zh"] == find_lexicons(tmp_path, ["zho_Hant"])["zho_Hant"]
    put(tmp_path, "zh-CN.txt")
    with pytest.raises(DataError, match="several lexicons of 'zh': zh-CN, zh-Hant; name one of these"):
        find_lexicons(tmp_path, ["zh"])
    put(tmp_path, "zh.txt")
    assert [path.name for path in find_lexicons(tmp_path, ["zh"])["zh"]] == ["zh.txt"]


def test_long_codes_serve_as_a_lexicons_language(tmp_path):
    put(tmp_path, "swh_Latn.tsv")
    lexicon = read_lexicon(find_lexicons(tmp_path, ["swh_Latn"])["swh_Latn"], "swh_Latn")
    assert lexicon.language == "swh_Latn" and lexicon.entries == {"house": ("nyumba",)}
