"""Parallel sentences: what pairs is kept in order, what does not is counted, what is not parallel is refused."""

import json

import pyarrow
import pyarrow.parquet
import pytest

from lingualift_ds.errors import ConfigError, DataError
from lingualift_ds.evaluate.geometry.parallel import read_parallel

NUMBERS = range(14)


def mgsm(folder, code, rows):
    (folder / f"mgsm_{code}.tsv").write_text("".join(f"{text}\t{answer}\n" for text, answer in rows), "utf-8")


def jsonl(path, records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")
    return path


def test_mgsm_pairs_by_row_up_to_the_shortest(tmp_path):
    mgsm(tmp_path, "en", [(f"How many {n}?", n) for n in NUMBERS])
    mgsm(tmp_path, "sw", [(f"Ngapi {n}?", n) for n in list(NUMBERS)[:12]])
    found = read_parallel(tmp_path)
    assert list(found.texts) == ["en", "sw"]
    assert found.texts["en"][11] == "How many 11?" and found.texts["sw"][11] == "Ngapi 11?"
    assert len(found.ids) == 12 and found.dropped == {"en sentences that sw does not have": 2}
    assert len(read_parallel(tmp_path, limit=10).ids) == 10


def test_a_row_with_another_answer_is_left_out_and_a_shifted_file_refused(tmp_path, caplog):
    mgsm(tmp_path, "en", [(f"How many {n}?", n) for n in NUMBERS])
    mgsm(tmp_path, "sw", [(f"Ngapi {n}?", 99 if n == 3 else n) for n in NUMBERS])
    found = read_parallel(tmp_path)
    assert "3" not in found.ids and len(found.ids) == 13
    assert found.dropped["sw rows with another answer than en"] == 1
    mgsm(tmp_path, "sw", [(f"Ngapi {n}?", n) for n in NUMBERS if n != 3])
    with pytest.raises(DataError, match="files of sw and en are not parallel: 10 of 13 rows .* is a line missing"):
        read_parallel(tmp_path)


def test_msvamp_takes_english_from_another_languages_file(tmp_path):
    rows = [{"query": f"how many {n}", "m_query": f"Ngapi {n}?", "response": str(float(n))} for n in NUMBERS]
    jsonl(tmp_path / "test_Swahili.json", rows)
    for languages in (None, ["sw"], ["en", "sw"]):
        found = read_parallel(tmp_path, languages)
        assert found.texts["en"][2] == "how many 2" and found.texts["sw"][2] == "Ngapi 2?"


def test_jsonl_folder_pairs_by_id_whatever_the_order(tmp_path):
    rows = {code: [{"id": f"q{n}", "text": f"{code} {n}", "answer": "7"} for n in NUMBERS] for code in ("en", "sw")}
    jsonl(tmp_path / "en.jsonl", rows["en"])
    jsonl(tmp_path / "sw.jsonl", [*reversed(rows["sw"][1:]), {"id": "other", "text": "nini", "answer": "7"}])
    found = read_parallel(tmp_path)
    assert found.ids == tuple(f"q{n}" for n in NUMBERS if n)
    assert [t.split()[1] for t in found.texts["en"]] == [t.split()[1] for t in found.texts["sw"]]
    assert found.dropped == {"en sentences that sw does not have": 1, "sw sentences that en does not have": 1}


def table(path, rows):
    names = list(rows[0])
    if path.suffix == ".parquet":
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    elif path.suffix == ".jsonl":
        jsonl(path, rows)
    else:
        mark = {".tsv": "\t", ".csv": ","}[path.suffix]
        lines = [mark.join(names), *(mark.join(row[name] or "" for name in names) for row in rows)]
        path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


@pytest.mark.parametrize("suffix", ["tsv", "csv", "jsonl", "parquet"])
def test_tables_have_a_column_a_language(tmp_path, suffix):
    rows = [
        {"id": f"{n}", "swh_Latn": f"sentensi {n}", "eng_Latn": f"sentence {n}", "German": f"Satz {n}", "note": "-"}
        for n in NUMBERS
    ]
    rows[4]["German"] = None if suffix in ("jsonl", "parquet") else " "
    path = table(tmp_path / f"all.{suffix}", rows)
    found = read_parallel(path)
    assert list(found.texts) == ["en", "swh_Latn", "de"]
    assert len(found.ids) == 13 and "sentence 4" not in found.texts["en"]
    assert found.texts["de"][4] == "Satz 5" and found.texts["swh_Latn"][4] == "sentensi 5"
    assert found.dropped == {"en sentences that de does not have": 1}
    assert list(read_parallel(path, ["de"]).texts) == ["en", "de"]


def test_a_column_named_id_is_indonesian_where_asked_for(tmp_path):
    path = table(tmp_path / "all.tsv", [{"en": f'"one" {n}', "id": f"satu {n}"} for n in NUMBERS])
    assert read_parallel(path, ["id"]).texts["id"][0] == "satu 0"
    assert read_parallel(path, ["id"]).texts["en"][0] == '"one" 0'
    with pytest.raises(DataError, match="holds English only"):
        read_parallel(path)


def test_what_a_user_can_do_wrong_is_one_line(tmp_path):
    path = table(tmp_path / "all.tsv", [{"en": f"one {n}", "sw": f"moja {n}" if n < 9 else ""} for n in NUMBERS])
    cases = [
        ((path,), DataError, r"only 9 sentences are there in all of en, sw; at least 10 .*sw has 9"),
        ((path, None, 9), ConfigError, "--limit 9: at least 10"),
        ((path, ["en"]), ConfigError, "--languages en: name at least one beside English"),
        ((path, ["te"]), DataError, r"no column of language 'te'; found the columns en, sw"),
        ((tmp_path / "none.tsv",), DataError, "no such file or folder"),
        ((tmp_path,), DataError, "holds no parallel sentences"),
    ]
    for arguments, kind, message in cases:
        with pytest.raises(kind, match=message) as raised:
            read_parallel(*arguments)
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.tsv", "sw\tde\nmoja\teins\n", "no column of language 'en'"),
        ("a.tsv", "en\tsw\none\n", "row 1 has 1 cells, the header 2"),
        ("a.csv", 'en,sw\n"one,moja\n', "broken CSV"),
        ("a.tsv", "en\teng\tsw\n", "two columns of language 'en': en, eng"),
        ("a.jsonl", '{"en": 3, "sw": "tatu"}\n', "row 1: 'en' must be text, found '3'"),
        ("a.parquet", "en", "broken Parquet"),
        ("a.xlsx", "en", "its name does not tell a table"),
    ],
)
def test_broken_tables_are_named(tmp_path, name, text, message):
    (tmp_path / name).write_text(text, "utf-8")
    with pytest.raises(DataError, match=message):
        read_parallel(tmp_path / name)


def test_folders_of_two_benchmarks_or_without_english_are_refused(tmp_path):
    mgsm(tmp_path, "sw", [(f"Ngapi {n}?", n) for n in NUMBERS])
    with pytest.raises(DataError, match="no sentences of 'en'; it has sw"):
        read_parallel(tmp_path)
    jsonl(tmp_path / "en.jsonl", [{"text": "x", "answer": "7"}])
    with pytest.raises(DataError, match="files of mgsm and jsonl"):
        read_parallel(tmp_path)


def test_real_benchmarks_pair_wholly(real_data):
    mgsm_found = read_parallel(real_data / "mgsm", limit=250)
    assert len(mgsm_found.ids) == 250 and len(mgsm_found.texts) == 9 and not mgsm_found.dropped
    assert len(read_parallel(real_data / "msvamp", ["sw", "th"], limit=1000).ids) == 1000
