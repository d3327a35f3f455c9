"""The miniature world: what a wrong table, a leak between training and test, or a bad lexicon would spoil."""

import json
import re
import unicodedata
from importlib import resources
from itertools import islice

import pytest
import torch
from transformers import AutoTokenizer, LlamaForCausalLM, MT5EncoderModel

from lingualift_ds.data.jsonl import read_jsonl
from lingualift_ds.errors import DataError
from lingualift_ds.miniature import standins
from lingualift_ds.miniature.build import build_miniature, write_data
from lingualift_ds.miniature.problems import (
    bitext_records,
    held_out_records,
    multilingual_records,
    problem,
    stage1_sentences,
    stage2_records,
    texts,
)
from lingualift_ds.miniature.tokenizers import MASK, train_encoder_tokenizer, train_llm_tokenizer
from lingualift_ds.miniature.world import LANGUAGES, LEGS, OBJECTS, PERSONS, WHEELS, plural

SCRIPTS = {"hi": "DEVANAGARI", "bn": "BENGALI", "te": "TELUGU", "es": "LATIN", "de": "LATIN", "sw": "LATIN"}
SHARED = {"DEVANAGARI DANDA", "ZERO WIDTH NON-JOINER"}  # Unicode names of signs that several scripts share
FOREIGN = [code for code in LANGUAGES if code != "en"]


def operands(solution: str) -> tuple[str, ...]:
    return re.fullmatch(r"\w+: (\d+) ([-+x]) (\d+) = (\d+)\. The answer is (\d+)", solution).groups()


def numbers(text: str) -> list[str]:
    return sorted(re.findall(r"\d+", text))


def test_languages_have_the_same_words_and_frames():
    english = LANGUAGES["en"]
    assert len(PERSONS) == 8 and len(OBJECTS) == 12 and len(english.nouns) == 22
    for language in LANGUAGES.values():
        assert set(language.persons) == set(english.persons), language.name
        assert set(language.nouns) == set(english.nouns), language.name
        assert set(language.frames) == set(english.frames), language.name
    assert {code for code, language in LANGUAGES.items() if language.level == "low"} == {"sw", "bn", "te"}


@pytest.mark.parametrize("code", FOREIGN)
def test_texts_are_in_the_script_of_their_language(code):
    letters = {
        c for text in islice(texts(code, 0, "test", 0.5), 300) for c in text if unicodedata.category(c)[0] in "LM"
    }
    strangers = {c for c in letters if not unicodedata.name(c).startswith(SCRIPTS[code])}
    assert not strangers


@pytest.mark.parametrize("code", FOREIGN)
def test_no_two_nouns_or_persons_of_a_language_are_the_same(code):
    for words in (LANGUAGES[code].nouns, LANGUAGES[code].persons):
        assert len({str(word) for word in words.values()}) == len(words)


def test_held_out_problems_share_no_schema_with_operands_with_any_training_problem():
    held_out = {(p.schema, *operands(p.solution)[:3]) for p in (problem(0, i, "en", True) for i in range(2000))}
    for seed in (0, 1):
        training = {(p.schema, *operands(p.solution)[:3]) for p in (problem(seed, i, "en") for i in range(5000))}
        assert not held_out & training
    assert {schema for schema, *_ in held_out} == {schema for schema, *_ in training}


def test_held_out_texts_are_in_no_training_corpus():
    held_out = {record["text"] for code in LANGUAGES for record in held_out_records(code, 500, seed=0)}
    training = {record["text"] for record in stage1_sentences(3000, seed=0, single=0.0) + stage2_records(3000, seed=0)}
    training |= set(islice(texts("en", 0, "encoder", 0.0), 3000)) | set(islice(texts("en", 0, "llm", 0.0), 3000))
    training |= {pair[side] for pair in bitext_records(3000, seed=0, single=0.0) for side in ("text", "target")}
    training |= {record["text"] for record in multilingual_records(3000, seed=0)}
    assert not held_out & training


def test_a_seed_gives_the_same_records_and_another_seed_others():
    for make in (stage1_sentences, stage2_records, bitext_records, multilingual_records):
        assert make(50, 3) == make(50, 3)
        assert [r["text"] for r in make(50, 3)] != [r["text"] for r in make(50, 4)]
    assert stage2_records(20, 3) == stage2_records(50, 3)[:20]


@pytest.mark.parametrize("code", FOREIGN)
def test_a_problem_is_the_same_in_every_language(code):
    for english, other in zip(held_out_records("en", 300, 0), held_out_records(code, 300, 0), strict=True):
        assert numbers(english["text"]) == numbers(other["text"])
        assert [english[key] for key in ("target", "answer", "object")] == [
            other[key] for key in ("target", "answer", "object")
        ]


def test_parallel_text_says_the_same_in_a_foreign_language_and_in_english():
    pairs = bitext_records(600, 0)
    assert [pair["language"] for pair in pairs] == FOREIGN * 100
    for pair in pairs:
        assert numbers(pair["text"]) == numbers(pair["target"])
        assert pair["text"].count("?") == pair["target"].count("?")
        letters = {c for c in pair["text"] if unicodedata.category(c)[0] in "LM"}
        assert all(unicodedata.name(c).startswith(SCRIPTS[pair["language"]]) for c in letters), pair
    assert {len(pair["target"].split(". ")) > 1 for pair in pairs} == {True, False}, "sentences and whole problems"


def test_multilingual_problems_are_those_of_stage_2_with_the_same_solutions():
    english, many = stage2_records(140, 0), multilingual_records(140, 0)
    assert [record["language"] for record in many] == list(LANGUAGES) * 20
    for one, other in zip(english, many, strict=True):
        assert (one["target"], one["instruction"]) == (other["target"], other["instruction"])
        assert numbers(one["text"]) == numbers(other["text"])
        assert (one == other) == (other["language"] == "en")


def test_the_data_of_other_methods_lie_beside_those_of_the_stages(tmp_path):
    (tmp_path / "lexicons").mkdir()
    write_data(tmp_path, seed=0, sentences=60, problems=30)
    rows = {path.stem: [row for _, row in read_jsonl(path)] for path in (tmp_path / "data").iterdir()}
    for half in ("", "_heldout"):
        switched, english, pairs = (rows[name + half] for name in ("stage1", "english", "bitext"))
        assert [row["target"] for row in switched] == [row["text"] for row in english]
        assert len(pairs) == len(english) == (60 if not half else 240)
    assert not {row["id"] for row in rows["bitext"]} & {row["id"] for row in rows["bitext_heldout"]}
    assert len(rows["multilingual"]) == len(rows["stage2"]) == 30


def test_all_seeds_are_asked_the_same_questions(tmp_path):
    for seed in (0, 1):
        (tmp_path / f"{seed}/lexicons").mkdir(parents=True)
        write_data(tmp_path / str(seed), seed, sentences=5, problems=5)
    first, second = (sorted((tmp_path / f"{seed}/questions").iterdir()) for seed in (0, 1))
    assert len(first) == len(LANGUAGES) + 1
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_a_miniature_of_an_earlier_version_is_refused(tmp_path):
    (tmp_path / "recipe.yaml").write_text("{}")
    (tmp_path / "about.json").write_text(json.dumps({"seed": 0, "pretrained": True}))
    with pytest.raises(DataError, match="of an earlier version of the miniature; remove the folder"):
        build_miniature(tmp_path, seed=0)


def test_the_answer_is_what_the_solution_computes_from_numbers_of_the_text():
    for record in held_out_records("en", 500, 0):
        left, sign, right, result, answer = operands(record["target"])
        computed = {"+": int(left) + int(right), "-": int(left) - int(right), "x": int(left) * int(right)}[sign]
        assert str(computed) == result == answer == record["answer"]
        assert left in numbers(record["text"])
        assert right in numbers(record["text"]) or record["schema"] in ("legs", "wheels")
        assert record["target"].startswith(record["object"] + ":")


def test_legs_and_wheels_need_the_noun():
    known, schemas = LEGS | WHEELS, {"legs": 0, "wheels": 0}
    for record in held_out_records("en", 500, 0):
        if record["schema"] in schemas:
            schemas[record["schema"]] += 1
            _, _, right, *_ = operands(record["target"])
            noun = next(noun for noun in known if plural(noun) == record["object"])
            assert str(known[noun]) == right
            assert len(numbers(record["text"])) == 1, "the second factor must not be in the text"
    assert min(schemas.values()) > 50


@pytest.mark.parametrize("code", FOREIGN)
def test_lexicons_are_well_formed_in_the_right_script_and_have_gaps(code):
    path = resources.files("lingualift_ds.miniature") / "lexicons" / f"en-{code}.txt"
    pairs = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()]
    assert all(len(pair) == 2 for pair in pairs)
    assert len(set(map(tuple, pairs))) == len(pairs)
    for english, translation in pairs:
        assert re.fullmatch("[a-z]+", english), english
        assert translation == unicodedata.normalize("NFC", translation.strip())
        names = {unicodedata.name(c) for c in translation}
        assert all(name.startswith(SCRIPTS[code]) or name in SHARED for name in names), translation
    known = {english for english, _ in pairs}
    assert set(OBJECTS) | set(LEGS) | set(WHEELS) <= known
    words = {
        word.lower() for text in islice(texts("en", 0, "test", 0.5), 2000) for word in re.findall("[A-Za-z]+", text)
    }
    assert words - known, "a lexicon that knows every inflected form is not one found in life"


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizers")
    corpus = [text for code in LANGUAGES for text in islice(texts(code, 0, "encoder tokenizer", 0.5), 1500)]
    train_encoder_tokenizer(corpus, folder / "encoder")
    train_llm_tokenizer(islice(texts("en", 0, "llm tokenizer", 0.5), 1500), folder / "llm")
    return AutoTokenizer.from_pretrained(folder / "encoder"), AutoTokenizer.from_pretrained(folder / "llm")


def test_tokenizers_give_every_text_back(tokenizers):
    for tokenizer in tokenizers:
        for code in LANGUAGES:
            for record in held_out_records(code, 30, 0):
                tokens = tokenizer(record["text"]).input_ids
                assert tokenizer.unk_token_id is None or tokenizer.unk_token_id not in tokens
                assert tokenizer.decode(tokens, skip_special_tokens=True) == record["text"]


def test_a_number_is_one_token_wherever_it_stands(tokenizers):
    for tokenizer in tokenizers:
        for number in range(100):
            one = tokenizer(str(number), add_special_tokens=False).input_ids
            assert len(one) == 1
            assert tokenizer(f"Sara sees {number}, now", add_special_tokens=False).input_ids.count(one[0]) == 1


def test_special_tokens_stand_where_t5_and_llama_have_them(tokenizers):
    encoder, llm = tokenizers
    assert encoder("Sara").input_ids[-1] == encoder.eos_token_id
    assert llm("Sara").input_ids[0] == llm.bos_token_id and llm.eos_token_id not in llm("Sara").input_ids
    masked = encoder(f"Sara {MASK} 5", add_special_tokens=False).input_ids
    assert encoder.convert_ids_to_tokens(masked) == ["▁Sara", MASK, "▁5"]


def test_stand_ins_are_the_same_for_a_seed_and_load_as_the_toolkit_loads_them(tmp_path):
    for name, pretrain, kind in (
        ("encoder", standins.pretrain_encoder, MT5EncoderModel),
        ("llm", standins.pretrain_llm, LlamaForCausalLM),
    ):
        losses = [pretrain(tmp_path / f"{name}{i}", seed=7, steps=2) for i in range(2)]
        first, second = (kind.from_pretrained(tmp_path / f"{name}{i}").state_dict() for i in range(2))
        assert losses[0] == losses[1]
        assert first.keys() == second.keys()
        assert all(torch.equal(first[key], second[key]) for key in first)
        assert len(AutoTokenizer.from_pretrained(tmp_path / f"{name}0")) <= first[next(iter(first))].shape[0]


def test_zero_steps_save_an_untrained_stand_in(tmp_path):
    standins.main(["llm", "--output", str(tmp_path), "--steps", "0"])
    assert LlamaForCausalLM.from_pretrained(tmp_path).config.vocab_size == len(AutoTokenizer.from_pretrained(tmp_path))
