"""Code-switching: what must stay stays, the ratio is kept, and the same sample is always switched alike."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from lingualift_ds.data.codeswitch import CodeSwitcher, English, Languages, Ratio, Stage1Maker
from lingualift_ds.data.codeswitch.sentences import split_sentences
from lingualift_ds.data.jsonl import read_jsonl
from lingualift_ds.data.lexicon import Lexicon, find_lexicons, read_lexicon
from lingualift_ds.errors import ConfigError

SHARED = Path(__file__).parents[2].parent / "shared/data"
REPOSITORY = Path(__file__).parents[2]

WORDS = "the has apples and money sold to his friend friends a i x is of how many for day t will in answer go"
SWAHILI = Lexicon("sw", {word: (f"sw{word}",) for word in WORDS.split()} | {"ice cream": ("aiskrimu",)})
THAI = Lexicon("th", {"the": ("ที่",), "has": ("มี",), "money": ("เงิน",), "and": ("และ",)})


def switch(text: str, lexicon: Lexicon = SWAHILI, ratio="1", sample_id: str = "1", **settings):
    return CodeSwitcher({lexicon.language: lexicon}, Ratio.parse(ratio), **settings).switch(sample_id, text)


def make_records(sentences, lexicons, ratio: str, seed: int) -> list[dict]:
    maker = Stage1Maker(CodeSwitcher(lexicons, Ratio.parse(ratio), seed))
    return [*maker.records(English(sample_id, text) for sample_id, text in sentences)]


@pytest.mark.parametrize(
    "kept",
    [
        "$5", "3.5", "1,234", "50%", "48/2 = 24", "<<48/2=24>>", "https://a.org/the-money/of", "a = 3", "x",
        "a + x = 7", r"$\frac{a}{x} \text{ of the }$", "$2x + 3$", "`the money`", "the.money@of.org",
        "4 x 3 = 12", r"\begin{align} a &= the \end{align}", "(a + 2) * x = 9", "€1.234,50", "1/2", "a.m",
        "#### 72", "{the} {{money}}", "<the money>", "<extra_id_0>", "[NAME]", "[PERSON A]", "%(the)s", "$the", "@the",
        "5 EUR", "USD 5", "5kg", "1st", "${the}", "I + a", "48/2=$<<48/2=24>>24", "<|the|>", "&the;", "/of/the/day",
        "the.org/of/money", "file:///the/day", "US$5", "the₂", "the(x)", "(A)", "a)", "A.", "A:", "a, b", "a x",
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


def names(text: str) -> set[str]:
    (found,) = CodeSwitcher({"sw": SWAHILI}).find_names([text])
    return found


def test_names_stay_and_sentence_starts_carry_their_capital():
    text = "Will sold apples to Mark. The friend of Will sold a DAY. HAS I? I is."
    result = switch(text).text
    assert result == "Will swsold swapples swto Mark. Swthe swfriend swof Will swsold swa DAY. SWHAS swi? Swi swis."
    assert "Bill" in names("Bill has a dog. How many has Bill?")
    assert names("On Monday I'm with Smith and Ann's dog") == {"Smith", "Ann"}
    assert switch("THE MONEY IS").text == "SWTHE SWMONEY SWIS"


def test_heads_of_lists_and_titles_are_no_names_and_numerals_no_pronouns():
    assert switch("He said “the end.” The day (of it.) His day").text.endswith(
        "“swthe end.” Swthe swday (swof it.) Swhis swday"
    )
    assert (
        switch("so\n- Day\n* The *Money* and **Friends**\n1) His").text
        == "so\n- Swday\n* Swthe *Money* swand **Friends**\n1) Swhis"
    )
    assert (
        switch("World War I and Henry I, so I is The friend").text
        == "World War I swand Henry I, so swi swis Swthe swfriend"
    )
    assert switch("A. The money B. His (A) A day").text == "A. Swthe swmoney B. Swhis (A) Swa swday"


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
        return sum(r.count for r in results) / sum(r.switchable for r in results)

    # 600 draws: the standard error is at most 0.5 / sqrt(600) = 0.02.
    assert share("the", "0.3") == pytest.approx(0.3, abs=0.07)
    assert share("the money of his friend", "0.5") == pytest.approx(0.5, abs=0.05)
    assert share("the money of his friend", "0.2-0.6") == pytest.approx(0.4, abs=0.05)
    assert share("the money", "0") == 0.0
    assert share("the money", "1") == 1.0


def test_every_translation_is_used_and_the_first_most():
    lexicon = Lexicon("sw", {"the": ("w", "y", "z")})
    drawn = [switch("the", lexicon, sample_id=str(index)).text for index in range(300)]
    assert drawn.count("w") > drawn.count("y") > drawn.count("z") > 0


def test_a_sample_is_switched_alike_in_any_order_and_process(tmp_path):
    sentences = [(str(index), f"the money of friend {index} and the apples") for index in range(40)]
    lexicons = {"sw": SWAHILI, "th": THAI}
    records = make_records(sentences, lexicons, "0.3-0.9", seed=5)
    backwards = make_records(sentences[::-1], dict(reversed(lexicons.items())), "0.3-0.9", 5)
    assert backwards[::-1] == records
    assert make_records(sentences, lexicons, "0.3-0.9", seed=6) != records
    code = (
        "from lingualift_ds.data.codeswitch import CodeSwitcher, Ratio\n"
        "from lingualift_ds.data.lexicon import Lexicon\n"
        "lexicon = Lexicon('sw', {w: (w + '1', w + '2') for w in ('the', 'of', 'day')})\n"
        "print(CodeSwitcher({'sw': lexicon}, Ratio(0.5, 0.5), 3)"
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
    first, last = make_records(sentences, {"sw": SWAHILI}, "1", 0)
    assert first == {
        "id": "a",
        "source": "a",
        "text": "swthe swmoney",
        "instruction": "Translate the following code-switched Swahili sentence to pure English:",
        "target": "the money",
        "language": "sw",
        "ratio": 1.0,
    }
    assert last["target"] == "the Money"


def drawn_languages(languages: Languages | None = None) -> list[str]:
    lexicons = {"sw": SWAHILI, "th": THAI, "zu": Lexicon("zu", SWAHILI.entries)}
    switcher = CodeSwitcher(lexicons, languages=languages)
    return [switcher.switch(str(index), "the money").language for index in range(900)]


def test_languages_are_drawn_evenly_or_by_weight():
    # Expected 300 each, standard deviation 14.
    drawn = drawn_languages()
    assert all(240 < drawn.count(language) < 360 for language in ("sw", "th", "zu"))
    lexicons = {"sw": SWAHILI, "th": THAI, "zu": SWAHILI}
    drawn = drawn_languages(Languages.choose(["sw:4", "th", "zu"], lexicons))
    assert 540 < drawn.count("sw") < 660 and 100 < drawn.count("th") < 200
    # 4 entries against 29: the square root of their ratio.
    by_size = Languages.choose([], {"sw": SWAHILI, "th": THAI}, temperature=2)
    assert by_size.weights == pytest.approx((1.0, (4 / len(SWAHILI)) ** 0.5))
    assert Languages.choose([], {"sw": SWAHILI, "th": THAI}, temperature=1e-3).weights == (1.0, 0.0)


def test_several_languages_share_a_sentence_and_each_switches_what_it_has():
    lexicons = {"sw": SWAHILI, "th": THAI}
    both = Languages.choose([], lexicons, mix=2)
    switcher = CodeSwitcher(lexicons, Ratio(1, 1), languages=both)
    results = [switcher.switch(str(index), "the ice cream has his money") for index in range(60)]
    assert {result.language for result in results} == {"sw,th"}
    for result in results:
        words = [(c.english, c.language) for c in result.changes]
        assert ("ice cream", "sw") in words and ("his", "sw") in words  # Thai has neither
    assert {c.language for r in results for c in r.changes if c.english == "the"} == {"sw", "th"}
    maker = Stage1Maker(switcher)
    assert "Swahili and Thai sentence" in maker.switch("1", "the")[0][0]["instruction"]


def test_words_only_leaves_phrases_and_keep_list_leaves_words():
    cream = Lexicon("sw", {"ice cream": ("aiskrimu",), "ice": ("barafu",), "cat": ("paka",)})
    assert switch("ice cream, Ice", cream).text == "aiskrimu, Barafu"
    assert switch("ice cream", cream, phrases=False).text == "barafu cream"
    assert switch("Ice cream CAT", cream, keep=["Cream", "cat"]).text == "Barafu cream CAT"


def test_longest_phrase_wins_and_punctuation_breaks_it():
    lexicon = Lexicon("sw", {"a lot of": ("nyingi",), "a lot": ("sana",), "lot": ("x",), "and/or": ("au",)})
    assert switch("A lot of, a lot; a, lot", lexicon).text == "Nyingi, sana; a, x"
    assert switch("this and/or that", lexicon).text == "this au that"
    assert switch("a lot\nof", lexicon).text == "nyingi"


def test_inflected_words_are_looked_up_by_their_base_only_where_asked():
    lexicon = Lexicon("sw", {"apple": ("tofaa",), "run": ("kimbia",), "church": ("kanisa",), "apples": ("matofaa",)})
    assert switch("Running apples churches", lexicon).text == "Running matofaa churches"
    assert switch("Running apples churches", lexicon, inflections=True).text == "Kimbia matofaa kanisa"
    assert switch("apple's", lexicon, inflections=True).text == "tofaa"
    other = Lexicon("sw", {word: ("x",) for word in ("will", "be", "do", "few", "good", "large", "little", "can")})
    text = "won't isn't don't fewer better largest less cannot"
    assert switch(text, other, inflections=True).text == text, "these say something else than their base forms"


def test_translation_is_the_first_or_drawn_alike_or_by_frequency():
    weighted = Lexicon("sw", {"the": ("w", "y", "z")}, weights={"the": (1.0, 0.0, 3.0)})
    drawn = [switch("the", weighted, sample_id=str(i), choice="frequency").text for i in range(400)]
    # Expected 300 of z, standard deviation 9.
    assert drawn.count("y") == 0 and 260 < drawn.count("z") < 340
    alike = [switch("the", weighted, sample_id=str(i), choice="uniform").text for i in range(600)]
    assert all(150 < alike.count(word) < 250 for word in "wyz")
    assert {switch("the", weighted, sample_id=str(i), choice="first").text for i in range(20)} == {"w"}
    with pytest.raises(ConfigError, match="choice frequency: the sw lexicon has no frequencies"):
        switch("the", choice="frequency")


def test_names_are_switched_where_asked():
    assert switch("so Day has", names=True).text == "so Swday swhas"
    assert switch("so Day has").text == "so Day swhas"


def test_ratio_rises_over_the_file_and_each_row_says_what_it_reached():
    switcher = CodeSwitcher({"sw": SWAHILI}, Ratio.parse("0..1"))
    text = "the money of his friend and the day"
    reached = [switcher.switch("1", text, progress=place).ratio for place in (0, 0.25, 0.5, 1)]
    assert reached == [0, 0.25, 0.5, 1]


def test_variants_and_epochs_differ_and_sources_are_told():
    maker = Stage1Maker(CodeSwitcher({"sw": SWAHILI}, Ratio(0.5, 0.5)), variants=4)
    text = "the money of his friend and the day will go to his friends in a day"
    rows = [English("r7", text)]
    records = [*maker.records(rows)]
    assert [record["id"] for record in records] == ["r7~1", "r7~2", "r7~3", "r7~4"]
    assert {record["source"] for record in records} == {"r7"}
    assert len({record["text"] for record in records}) == 4
    assert [*maker.records(rows, epoch=1)] != records and [*maker.records(rows)] == records
    assert len(maker.switch("r8", "the")) == 2, "variants that come out alike are one record"


def test_changes_say_where_they_stand_in_both_texts():
    text = '"The money," said Ann.  Has (his) friends\nice cream?'
    result = switch(text)
    for change in result.changes:
        assert result.text[change.start :].startswith(change.translation)
        assert text[change.english_start :].startswith(change.english)
    assert [c.english for c in result.changes] == ["The", "money", "Has", "his", "friends", "ice cream"]


@pytest.mark.parametrize("text", ["2", "-0.5", "0.8-0.2", "half", "0.1-0.2-0.3", "", "0.1..", "0..2"])
def test_ratio_out_of_range_is_an_error_that_quotes_it(text):
    with pytest.raises(ConfigError, match="ratio"):
        Ratio.parse(text)


def test_ratio_forms():
    assert Ratio.parse("0.5") == Ratio(0.5, 0.5) and Ratio.parse("0.3-1.0") == Ratio(0.3, 1.0)
    assert Ratio.parse("0.9..0.1") == Ratio(0.9, 0.1, rising=True)


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
    for record in make_records(sentences, lexicons, "1", seed=0):
        assert re.findall(r"\d[\d.,]*", record["text"]) == re.findall(r"\d[\d.,]*", record["target"])
        assert re.findall(r"<<.*?>>", record["text"]) == re.findall(r"<<.*?>>", record["target"])
        assert record["text"] != record["target"] or len(record["target"]) < 80
