"""What holds for every text: protected spans survive, ratio 0 is the identity, switching can be undone, no text is
too odd."""

import json
import re
import unicodedata
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from benchmarks.plain import PlainSwitcher
from lingualift_ds.data.codeswitch import CodeSwitcher, Languages, Ratio, Sample
from lingualift_ds.data.codeswitch.protect import protected_spans
from lingualift_ds.data.codeswitch.words import cut, within_protected
from lingualift_ds.data.lexicon import Lexicon

ENGLISH = "the money of his friend and a day will go in an ice cream I apples cost each".split()
SWAHILI = Lexicon("sw", {word: (f"{word[::-1]}q", f"z{word}z") for word in ENGLISH} | {"ice cream": ("aiskrimu",)})
THAI = Lexicon("th", {word: (chr(0x0E01 + n) * 3,) for n, word in enumerate(ENGLISH)})
INJECTIVE = Lexicon("eo", {word: (f"x{word[::-1]}x",) for word in ENGLISH if word != "I"})

MARKS = [
    "3.50", "$5", "€1.234,50", "12%", "48/2 = 24", "<<48/2=24>>24", "$x + 2$", r"\frac{a}{b}", "{money}", "{{the}}",
    "https://a.org/the?a=1", "<the>", "[THE DAY]", "`the money`", "%s", "the@money.org", "a + b = 7", "USD 5", "5kg",
    "1st", r"\(the\)", r"\begin{x}the\end{x}", "x", "1,000,000", "-3", "½", "٣٤", "๑๒",
]  # fmt: skip
ODD = [
    "\u200f",
    "\u202e",
    "\u200d",
    "👩‍👩‍👧",
    "\x00",
    "\ud800",
    "مال",
    "เงิน",
    "钱",
    "e\u0301",
    "\u0301",
    "ﬁ",
    "İ",
    "ß",
    "\u2028",
]
TEXTS = st.lists(
    st.sampled_from(ENGLISH + [w.capitalize() for w in ENGLISH] + MARKS + ODD + list(" .,;:!?\"'()-–$`<>{}[]\\/\n\t"))
    | st.text(max_size=6)
).map("".join) | st.lists(st.sampled_from(ENGLISH + MARKS + ["Ann", "Mr.", "said:"])).map(" ".join)


def switchers() -> list[CodeSwitcher]:
    both = {"sw": SWAHILI, "th": THAI}
    return [
        CodeSwitcher({"sw": SWAHILI}, Ratio(1, 1)),
        CodeSwitcher({"th": THAI}, Ratio(0.5, 0.5), seed=3),
        CodeSwitcher(both, Ratio(0.2, 0.9), languages=Languages.choose([], both, mix=2), inflections=True, names=True),
    ]


@settings(max_examples=300)
@given(TEXTS, st.integers(0, 2))
@example("the" * 40_000, 0)
@example("the money. " * 10_000, 1)
@example("<<" * 50_000, 2)
@example("$the " * 20_000, 0)
@example("A. " * 30_000, 0)
@example("`\\(`{[<" * 15_000, 1)
def test_no_text_is_too_odd_and_the_changes_account_for_all_of_it(text, which):
    result = switchers()[which].switch("1", text)
    english = unicodedata.normalize("NFC", text)
    assert unicodedata.is_normalized("NFC", result.text)
    assert 0 <= result.count <= result.switchable <= max(result.words, 1) * 2
    assert len(result.changes) == result.count
    # What lies between the changes is as it was.
    position = 0
    for change in result.changes:
        assert english[position:].find(change.english) >= 0 and english[change.english_start :].startswith(
            change.english
        )
        position = change.english_start + len(change.english)


@settings(max_examples=300)
@given(TEXTS)
def test_ratio_0_is_the_identity(text):
    assert CodeSwitcher({"sw": SWAHILI, "th": THAI}, Ratio(0, 0)).switch("1", text).text == unicodedata.normalize(
        "NFC", text
    )


@settings(max_examples=400)
@given(st.lists(st.sampled_from(ENGLISH + MARKS + ["Ann", "so", "(the)", "and,"]), max_size=12), st.integers(0, 2))
def test_numbers_and_protected_spans_survive_byte_for_byte(parts, which):
    text = " ".join(parts)
    result = switchers()[which].switch("1", text).text
    numbers = r"[$€]?\d[\d.,]*(?:%|kg|st)?"
    assert re.findall(numbers, result) == re.findall(numbers, text)
    rest = result
    for start, end in protected_spans(text):
        if any(c.isalpha() for c in text[start:end]):
            assert text[start:end] in rest


@settings(max_examples=300)
@given(st.lists(st.sampled_from(ENGLISH + MARKS + ["so", "zebra", "(the)", "and,"]), max_size=15), st.floats(0, 1))
def test_switching_back_through_an_injective_lexicon_gives_the_source(parts, ratio):
    text = " ".join(parts)
    there = CodeSwitcher({"eo": INJECTIVE}, Ratio(ratio, ratio), names=True, phrases=False).switch("1", text)
    back = there.text
    for change in reversed(there.changes):
        back = back[: change.start] + change.english + back[change.start + len(change.translation) :]
    assert back == text
    # As a lexicon too: translations are looked up, and their case is carried back.
    inverse = Lexicon("en", {translations[0]: (english,) for english, translations in INJECTIVE.entries.items()})
    if "I" not in parts and "a" not in parts:
        again = CodeSwitcher({"en": inverse}, Ratio(1, 1), names=True, phrases=False).switch("1", there.text)
        assert again.text == text


@settings(max_examples=300)
@given(TEXTS, st.sampled_from(["sw", "th"]))
def test_remembered_pieces_give_what_a_plain_restatement_gives(text, language):
    lexicons = {"sw": SWAHILI, "th": THAI}
    ours = CodeSwitcher({language: lexicons[language]}, Ratio(0.6, 0.6), 5).switch("7", text).text
    assert ours == PlainSwitcher({language: lexicons[language]}, 0.6, 5).switch("7", text)


@settings(max_examples=200)
@given(st.lists(TEXTS, max_size=8), st.integers(0, 2))
def test_texts_beside_a_text_change_nothing_of_it(texts, which):
    samples = [Sample(str(number), text, {"Ann"} if number % 2 else ()) for number, text in enumerate(texts)]
    together = switchers()[which].switch_all(samples)
    for sample, one in zip(samples, together, strict=True):
        (alone,) = switchers()[which].switch_all([sample])
        assert (one.text, one.languages, one.words, one.switchable) == (
            *(alone.text, alone.languages, alone.words, alone.switchable),
        )
        assert one.changes == alone.changes


@settings(max_examples=500)
@given(
    st.lists(
        st.sampled_from(MARKS + ["the", "$", "`", "<<", ">>", "{", "}", "+", "=", "a", "A", "I", "(", "-", "x", "5"])
    )
)
def test_spans_beyond_a_piece_are_found_from_marks_alone(parts):
    text = " ".join(parts)
    pieces = cut(text)
    found, position, spans = within_protected(pieces), -1, protected_spans(text)
    for index, piece in enumerate(pieces):
        start = position + 1 + len(piece.lead) - 1
        position += len(piece.text)
        inside = any(first < start + len(piece.word) and start < last for first, last in spans)
        if piece.word and (len(piece.word) > 1 or piece.word in "aAI"):
            assert (index in found) == inside, (text, piece.word)


@pytest.mark.parametrize("piece", MARKS)
def test_every_mark_is_kept_within_any_words(piece):
    text = f"the money {piece} and the day"
    assert CodeSwitcher({"sw": SWAHILI}, Ratio(1, 1)).switch("1", text).text.count(piece) == 1


REAL = Path(__file__).parents[2].parent / "shared/data/gsm8k/train.jsonl"


@pytest.mark.skipif(not REAL.is_file(), reason=f"no real data at {REAL}")
def test_real_problems_are_switched_as_the_plain_restatement_switches_them():
    ours, plain = CodeSwitcher({"sw": SWAHILI}, Ratio(0.5, 0.5)), PlainSwitcher({"sw": SWAHILI}, 0.5, 0)
    with REAL.open(encoding="utf-8") as file:
        rows = [json.loads(line) for _, line in zip(range(400), file)]
    samples = [Sample(str(number), row[key]) for number, row in enumerate(rows) for key in ("question", "answer")]
    for sample, switched in zip(samples, ours.switch_all(samples), strict=True):
        assert switched.text == plain.switch(sample.id, sample.text)
