"""Which rows a stage reads: of which languages, how often, and from which of their keys."""

import itertools
import json
import logging
from collections import Counter
from pathlib import Path

import pytest
import tiny

from lingualift_ds.cli.main import main
from lingualift_ds.config.check import check_config
from lingualift_ds.config.load import load_config
from lingualift_ds.data.cache import prepared_samples
from lingualift_ds.data.records import Record
from lingualift_ds.data.rows import Rows
from lingualift_ds.data.tokenize import SampleTokenizer
from lingualift_ds.errors import ConfigError, DataError
from lingualift_ds.train import build
from lingualift_ds.train.stages import stage_of


def write(path: Path, *rows: dict) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def numbered(path: Path, count: int, **more) -> str:
    return write(path, *({"id": str(n), "text": f"text {n}", "target": str(n), **more} for n in range(count)))


def read(*paths: str, dropped: Counter | None = None, **changes) -> list[Record]:
    rows = Rows(**{"paths": paths, "shape": "auto", "instruction": "Solve in {language}:"} | changes)
    return list(rows.records(lambda: None, Counter() if dropped is None else dropped))


def ids(*paths: str, **changes) -> list[str]:
    return [record.id for record in read(*paths, **changes)]


def test_languages_are_chosen_by_any_of_their_codes_and_the_rest_is_counted(tmp_path):
    codes = ["sw", "en", "swh_Latn", "es", "es,sw", "zh-TW"]
    path = write(tmp_path / "a.jsonl", *({"text": "a", "target": "b", "id": c, "language": c} for c in codes))
    dropped = Counter()
    assert ids(path, languages=("swa",), dropped=dropped) == ["sw", "swh_Latn"]
    assert dropped == {"dropped, other languages": 4}
    assert ids(path, languages=("es", "sw")) == ["sw", "swh_Latn", "es", "es,sw"]
    assert ids(path, languages=("zh",)) == ["zh-TW"] and len(ids(path)) == 6
    with pytest.raises(DataError, match=r"a\.jsonl: data.languages: no row is in am, te; there are: en, es, sw, zh"):
        read(path, languages=("te", "sw", "am"))


def test_a_limit_that_ends_before_a_language_is_said(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("lingualift_ds"), "propagate", True)
    path = write(tmp_path / "a.jsonl", *({"text": "a", "target": "b", "language": c} for c in ("sw", "sw", "bn")))
    rows = Rows((path,), "auto", "", limit=1, languages=("sw", "bn"))
    with caplog.at_level("WARNING", "lingualift_ds"):
        assert [record.language for record in itertools.islice(rows.records(lambda: None, Counter()), 1)] == ["sw"]
    assert "a.jsonl: data.limit ends before any row in bn" in caplog.text


@pytest.mark.parametrize(
    ("times", "found"),
    [
        (2, ["0", "0 (2)", "1", "1 (2)", "2", "2 (2)", "3", "3 (2)", "4", "4 (2)"]),
        (0.5, ["0", "2", "4"]),
        (1.5, ["0", "0 (2)", "1", "2", "2 (2)", "3", "4", "4 (2)"]),
        (0.4, ["0", "2"]),
        (1, ["0", "1", "2", "3", "4"]),
    ],
)
def test_rows_are_read_so_many_times_evenly(tmp_path, times, found):
    path = numbered(tmp_path / "a.jsonl", 5)
    assert ids(path, mix={path: times}) == found


@pytest.mark.parametrize("times", [0.1, 0.7, 1.1, 2.3])
def test_a_share_holds_over_many_rows(tmp_path, times):
    path, dropped = numbered(tmp_path / "a.jsonl", 1000), Counter()
    found = read(path, mix={path: times}, dropped=dropped)
    assert len(found) == round(1000 * times) and len({record.id for record in found}) == len(found)
    assert dropped["left out by data.mix"] == max(0, 1000 - len(found))
    for tenth in range(10):
        held = sum(int(record.target) // 100 == tenth for record in found)
        assert abs(held - 100 * times) <= 1, "spread evenly"


def test_files_are_mixed_each_by_its_own_share_and_the_limit_counts_what_is_seen(tmp_path):
    one, other = numbered(tmp_path / "a.jsonl", 3), numbered(tmp_path / "b.jsonl", 4)
    expected = [f"{one}:0", f"{one}:0 (2)", f"{one}:1", f"{one}:1 (2)", f"{one}:2", f"{one}:2 (2)"]
    expected += [f"{other}:0", f"{other}:2"]
    mix = {one: 2.0, other: 0.5}
    assert ids(one, other, mix=mix) == expected
    tokens = SampleTokenizer(tiny.llm_tokenizer(), 200)
    rows = Rows((one, other), "auto", "Solve:", limit=7, mix=mix)
    found = prepared_samples(rows, tokens, tmp_path / "cache")
    assert [sample.id for sample in found] == expected[:7]
    assert found[0].target_ids.tolist() == found[1].target_ids.tolist()


def test_a_share_is_of_the_rows_that_the_languages_leave(tmp_path):
    rows = ({"text": "a", "target": "b", "id": str(n), "language": ("en", "sw")[n % 2]} for n in range(8))
    path = write(tmp_path / "a.jsonl", *rows)
    assert ids(path, languages=("sw",), mix={path: 0.5}) == ["1", "5"]


BITEXT = {"swahili": "Ana tufaha 3", "english": "Ann has 3 apples", "text": "another", "lang": "sw", "n": 7}


def test_columns_make_records_of_any_keys(tmp_path):
    path = write(tmp_path / "a.jsonl", BITEXT)
    columns = {"text": "swahili", "target": "english", "language": "lang", "id": "n", "instruction": "text"}
    assert read(path, columns=columns) == [Record("7", "Ana tufaha 3", "another", "Ann has 3 apples", "sw")]
    (some,) = read(path, columns={"target": "english"})
    assert (some.text, some.target, some.language) == ("another", "Ann has 3 apples", "en")
    gsm = write(tmp_path / "b.jsonl", {"question": "How many?", "answer": "1+1=2\n#### 2"})
    (kept,) = read(gsm, columns={"text": "question", "target": "answer"})
    assert kept.target == "1+1=2\n#### 2", "as it is: only the shape gsm8k is rewritten"


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"swahili": "a"}, r"a\.jsonl:2: has no 'english', which data.columns names; it has swahili"),
        ({"swahili": "a", "english": 7}, r"a\.jsonl:2: 'english' is not text but int"),
    ],
)
def test_a_row_without_its_columns_is_named(tmp_path, row, said):
    path = write(tmp_path / "a.jsonl", {"swahili": "a", "english": "b"}, row)
    with pytest.raises(DataError, match=said):
        read(path, columns={"text": "swahili", "target": "english"})


def test_what_decides_the_rows_decides_the_folder(tmp_path):
    path = numbered(tmp_path / "a.jsonl", 4, language="sw", other="else")
    tokens, seen = SampleTokenizer(tiny.llm_tokenizer(), 200), set()
    for changes in (
        {},
        {"languages": ("sw",)},
        {"mix": {path: 2.0}},
        {"mix": {path: 3.0}},
        {"columns": {"text": "other"}},
    ):
        found = prepared_samples(Rows((path,), "auto", "Solve:", **changes), tokens, tmp_path / "cache")
        assert found.built
        seen.add(found.folder)
    assert len(seen) == 5
    again = Rows((path,), "auto", "Solve:", languages=("swh",))
    assert not prepared_samples(again, tokens, tmp_path / "cache").built, "the same language"


LEXICON = "stage1.data.codeswitch.lexicons=[x]"


@pytest.mark.parametrize(
    ("stated", "said"),
    [
        (["stage1.data.mix={a.jsonl: 2, c.jsonl: 1}"], r"data.mix: c\.jsonl: not among stage1.data.train, which has a"),
        (["stage1.data.mix={a.jsonl: 0}"], "data.mix: a.jsonl: 0.0, must be above 0, and finite"),
        (["stage1.data.mix={a.jsonl: .inf}"], "data.mix: a.jsonl: inf, must be above 0"),
        (["stage1.data.mix={a.jsonl: .nan}"], "data.mix: a.jsonl: nan, must be above 0"),
        (["stage1.data.columns={answer: b}"], "columns.answer: .* allowed: text, target, instruction, language, id"),
        (["stage1.data.columns={text: b}", "stage1.data.shape=gsm8k"], "columns: stated beside shape gsm8k"),
        ([LEXICON, "stage1.data.languages=[sw]"], "data.languages: .* use codeswitch.languages"),
        ([LEXICON, "stage1.data.mix={a.jsonl: 2}"], "data.mix: .* use codeswitch.variants"),
        ([LEXICON, "stage1.data.columns={text: b}"], "data.columns: .* use english_field"),
    ],
)
def test_contradictions_are_named(tmp_path, stated, said):
    path = tiny.write_recipe(tmp_path / "tiny")
    config = load_config(path, ["stage1.data.train=[a.jsonl]", *stated])
    with pytest.raises(ConfigError, match=said) as raised:
        check_config(config, 1, files=False)
    assert len(raised.value.problems) == 1


def test_a_stage_mixes_its_training_rows_and_reads_its_held_out_ones_whole(tmp_path):
    path = tiny.write_recipe(tmp_path / "tiny")
    more = str(tiny.write_rows(tmp_path / "more.jsonl", 10, language="te"))
    train = load_config(path).stage(1).data.train[0]
    stated = [
        f"stage1.data.train=[{train}, {more}]",
        f"stage1.data.heldout=[{more}]",
        f"stage1.data.mix={{{more}: 2}}",
        "stage1.data.languages=[te]",
        "stage1.data.columns={text: target}",
    ]
    config = load_config(path, stated)
    stage, sources = stage_of(config, 1), build.read_sources(config.model)
    samples, heldout = build.read_samples(config, stage, sources)
    assert len(samples) == 20 and set(samples.languages) == {"te"}
    assert samples.dropped == {"dropped, other languages": 40}
    assert [s.id for s in heldout] == [f"te-{n}" for n in range(10)]
    assert sources.encoder_tokenizer.decode(heldout[0].encoder_ids).startswith("apples: "), "columns hold there too"


def test_prepare_says_what_was_left_out(tmp_path, capsys):
    path = tiny.write_recipe(tmp_path / "tiny")
    train = load_config(path).stage(2).data.train[0]
    Path(train).write_text(Path(train).read_text().replace('"language": "en"', '"language": "sw"', 10))
    stated = ["stage2.data.languages=[en]", f"stage2.data.mix={{{train}: 0.5}}", "stage2.data.columns={id: id}"]
    assert main(["prepare", "--config", str(path), "--stage", "2", *stated]) == 0
    said = capsys.readouterr().out
    assert "rows     15 used, 10 dropped" in said
    assert "10 dropped, other languages" in said and "15 left out by data.mix" in said
