"""Code-switching: what must stay stays, the ratio is kept, and the same sample is always switched alike."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from lingualift_ds.data.codeswitch import CodeSwitcher, make_stage1_records, parse_ratio
from lingualift_ds.data.codeswitch.sentences import find_names, split_sentences
from lingualift_ds.data.jsonl import read_jsonl
from lingualift_ds.data.lexicon import Lexicon, find_lexicons, read_lexicon
from lingualift_ds.errors import ConfigError

SHARED = Path(__file__).parents[2].parent / "shared/data"
REPOSITORY = Path(__file__).parents[2]

WORDS = "the has apples and money sold to his friend friends a i x is of how many for day t will in answer go"
SWAHILI = Lexicon("sw", {word: (f"sw{word}",) for word in WORDS.split()} | {"ice cream": ("aiskrimu",)})
THAI = Lexicon("th", {"the": ("ที่",), "has": ("มี",), "money": ("เงิน",), "and": ("และ",)})


def switch(text: str, lexicon: Lexicon = SWAHILI, ratio=1.0, sample_id: str = "1"):
    return CodeSwitcher({lexicon.language: lexicon}, ratio, seed=0).switch(sample_id, text)


@pytest.mark.parametrize(
    "kept",
    [
        "$5", "3.5", "1,234", "50%", "48/2 = 24", "<<48/2=24>>", "https://a.org/the-money/of", "a = 3", "x",
        "a + x = 7", r"$\frac{a}{x} \text{ of the }$", "$2x + 3$", "`the money`", "the.money@of.org",
        "4 x 3 = 12", r"\begin{align} a &= the \end{align}", "(a + 2) * x = 9", "€1.234,50", "1/2", "a.m",
        "#### 72",
    ],
)  # fmt: skip
def test_numbers_formulae_and_addresses_survive(kept):
    assert switch(f"the money {kept} and the day").text == f"swthe swmoney {kept} swand swthe swday"


def test_two_amounts_in_dollars_are_no_formula():
    assert switch("has $5 and the friend has $10 and").text == "swhas $5 swand swthe swfriend swhas $10 swand"


def test_spacing_and_punctuation_stay():
    text = '  the  money,\t"the friend\'s" (money)... the\n\n- money!the;'
    assert switch(text).text == '  swthe  swmoney,\t"swthe friend\'s" (swmoney)... swthe\n\n- swmoney!swthe;'


def test_parts_of_words_and_compounds_are_not_words():
    for text in ("money-box", "t-shirt", "theatre", "naïve", "isn't", "to2", "well‑to‑do"):
        assert switch(text).text == text


def test_phrases_win_over_their_words():
    result = switch("the ice cream has")
    assert result.text == "swthe aiskrimu swhas"
    assert (result.switchable, result.words) == (3, 4)


def test_names_stay_and_sentence_starts_carry_their_capital():
    text = "Will sold apples to Mark. The friend of Will sold a DAY. HAS I? I is."
    result = switch(text).text
    assert result == "Will swsold swapples swto Mark. Swthe swfriend swof Will swsold swa DAY. SWHAS swi? Swi swis."
    assert "Bill" in find_names("Bill has a dog. How many has Bill?")
    assert find_names("On Monday I'm with Smith") == {"Smith"}
    assert switch("THE MONEY IS").text == "SWTHE SWMONEY SWIS"


def test_case_of_the_language_is_its_own():
    turkish = Lexicon("tr", {"work": ("iş",)})
    assert switch("Work", turkish).text == "İş"
    assert switch("The money", THAI).text == "ที่เงิน"


def test_scripts_without_spaces_join_neighbours_only():
    text = "the money has apples and the\nmoney, the"
    assert switch(text, THAI).text == "ที่เงินมี apples และที่\nเงิน, ที่"


def test_output_is_nfc():
    lexicon = Lexicon("vi", {"the": ("e\u0301",)})
    assert switch("the cafe\u0301", lexicon).text == "é café"


def test_ratio_is_kept_on_average_also_in_short_sentences():
    def share(text, ratio):
        results = [switch(text, ratio=ratio, sample_id=str(index)) for index in range(600)]
        return sum(len(r.switched) for r in results) / sum(r.switchable for r in results)

    # 600 draws: the standard error is at most 0.5 / sqrt(600) = 0.02.
    assert share("the", 0.3) == pytest.approx(0.3, abs=0.07)
    assert share("the money of his friend", 0.5) == pytest.approx(0.5, abs=0.05)
    assert share("the money of his friend", (0.2, 0.6)) == pytest.approx(0.4, abs=0.05)
    assert share("the money", 0.0) == 0.0
    assert share("the money", 1) == 1.0


def test_every_translation_is_used_and_the_first_most():
    lexicon = Lexicon("sw", {"the": ("w", "y", "z")})
    drawn = [switch("the", lexicon, sample_id=str(index)).text for index in range(300)]
    assert drawn.count("w") > drawn.count("y") > drawn.count("z") > 0


def test_a_sample_is_switched_alike_in_any_order_and_process(tmp_path):
    sentences = [(str(index), f"the money of friend {index} and the apples") for index in range(40)]
    lexicons = {"sw": SWAHILI, "th": THAI}
    records = list(make_stage1_records(sentences, lexicons, (0.3, 0.9), seed=5))
    backwards = list(make_stage1_records(sentences[::-1], dict(reversed(lexicons.items())), (0.3, 0.9), 5))
    assert backwards[::-1] == records
    assert list(make_stage1_records(sentences, lexicons, (0.3, 0.9), seed=6)) != records
    code = (
        "from lingualift_ds.data.codeswitch import CodeSwitcher\n"
        "from lingualift_ds.data.lexicon import Lexicon\n"
        "lexicon = Lexicon('sw', {w: (w + '1', w + '2') for w in ('the', 'of', 'day')})\n"
        "print(CodeSwitcher({'sw': lexicon}, 0.5, 3)"
        ".switch('7', 'the day of the day of the day').text)"
    )
    runs = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(REPOSITORY)},
            capture_output=True, text=True, check=True,
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert len(runs) == 1 and runs != {""}


def test_records_have_the_shape_that_stage_1_trains_on():
    sentences = [("a", "the money"), ("b", "  "), ("c", "the Money")]
    first, last = make_stage1_records(sentences, {"sw": SWAHILI}, 1.0, 0)
    assert first == {
        "id": "a",
        "text": "swthe swmoney",
        "instruction": "Translate the following code-switched Swahili sentence to pure English:",
        "target": "the money",
        "language": "sw",
    }
    assert last["target"] == "the Money"


def test_languages_are_drawn_evenly():
    switcher = CodeSwitcher({"sw": SWAHILI, "th": THAI, "zu": SWAHILI})
    chosen = [switcher.choose_language(str(index)) for index in range(900)]
    # Expected 300 each, standard deviation 14.
    assert all(240 < chosen.count(language) < 360 for language in ("sw", "th", "zu"))


@pytest.mark.parametrize("text", ["2", "-0.5", "0.8-0.2", "half", "0.1-0.2-0.3", ""])
def test_ratio_out_of_range_is_an_error_that_quotes_it(text):
    with pytest.raises(ConfigError, match="ratio"):
        parse_ratio(text)


def test_ratio_forms():
    assert parse_ratio("0.5") == 0.5 and parse_ratio("0.3-1.0") == (0.3, 1.0)


def test_sentences_break_after_stops_and_not_after_titles():
    text = 'Mr. Smith paid $3.50. "Why?" He (A. Lee) left! Then 2 came. so be it.\nEnd'
    assert split_sentences(text) == [
        "Mr. Smith paid $3.50.", '"Why?"', "He (A. Lee) left!", "Then 2 came. so be it.", "End"
    ]  # fmt: skip


@pytest.mark.skipif(not (SHARED / "gsm8k").is_dir(), reason=f"no real data at {SHARED}")
def test_real_problems_keep_their_numbers_in_order():
    paths = find_lexicons(SHARED / "lexicons", ["sw", "th"])
    lexicons = {language: read_lexicon(path, language) for language, path in paths.items()}
    rows = [record for number, record in read_jsonl(SHARED / "gsm8k/train.jsonl") if number <= 300]
    sentences = [(str(i), row[key]) for i, row in enumerate(rows) for key in ("question", "answer")]
    for record in make_stage1_records(sentences, lexicons, 1.0, seed=0):
        assert re.findall(r"\d[\d.,]*", record["text"]) == re.findall(r"\d[\d.,]*", record["target"])
        assert re.findall(r"<<.*?>>", record["text"]) == re.findall(r"<<.*?>>", record["target"])
        assert record["text"] != record["target"] or len(record["target"]) < 80
