"""Which language an output is in: short English solutions stay English, others are seen, numbers say nothing."""

from pathlib import Path

import pytest

from lingualift_ds.data.jsonl import read_jsonl
from lingualift_ds.errors import DataError
from lingualift_ds.evaluate.benchmarks import load_benchmark
from lingualift_ds.evaluate.output_language import OutputLanguage, output_language

REAL = Path(__file__).parents[2].parent / "shared/data"


@pytest.mark.parametrize(
    "text",
    [
        "5 + 3 = 8 apples. The answer is 8",
        "The answer is 8",
        "She has 8 ducks",
        "Juma ana 3 mangoes and buys 4 more. 3+4=<<3+4=7>>7. The answer is 7 maembe.",
        "मोहन has 3 apples and 4 pears",
        "the " * 5000,
    ],
)
def test_english_is_not_foreign(text):
    assert output_language(text) == OutputLanguage("en", False)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("Jibu ni maembe 8.", "sw"),
        ("Sie hat 8 Äpfel.", "de"),
        ("答案是18", "zh"),
        ("คำตอบคือ ๑๘ บาท", "th"),
        ("उत्तर 8 है", "hi"),
        ("Ответ: 8", None),  # of which Cyrillic language, one word does not say
    ],
)
def test_another_language_is(text, code):
    assert output_language(text) == OutputLanguage(code, True)


@pytest.mark.parametrize(
    "text", ["", "8", "5 + 3 = 8", r"$x = \frac{1}{2}$", "A", "18元", "12 km/h * 3 h = 36 km", "α + β = 3"]
)
def test_numbers_and_letters_say_nothing(text):
    assert output_language(text) == OutputLanguage(None, None)


def test_another_language_may_be_expected():
    assert output_language("Jibu ni maembe nane.", "sw") == OutputLanguage("sw", False)
    assert output_language("She has eight mangoes left.", "sw").wrong
    assert output_language("She has eight mangoes left.", "hi") == OutputLanguage("en", True)
    assert output_language("Katsina tu ŋutɔ le asi.", "ee").wrong is None  # the classifier does not know Ewe
    with pytest.raises(DataError, match="'qq'"):
        output_language("x", "qq")


@pytest.mark.skipif(not (REAL / "gsm8k").is_dir(), reason=f"no real data at {REAL}")
def test_at_most_1_percent_of_english_solutions_are_called_foreign():
    solutions = [record["answer"] for _, record in read_jsonl(REAL / "gsm8k/train.jsonl")]
    found = [output_language(solution) for solution in solutions[::25]]
    assert len(found) >= 290
    assert sum(language.wrong is True for language in found) <= 0.01 * len(found)
    assert sum(language.code == "en" for language in found) >= 0.98 * len(found)


@pytest.mark.skipif(not (REAL / "mgsm").is_dir(), reason=f"no real data at {REAL}")
def test_at_least_95_percent_of_questions_in_other_languages_are_called_foreign():
    for code, questions in load_benchmark("mgsm", REAL / "mgsm", limit=100).items():
        wrong = sum(output_language(question.text).wrong is True for question in questions)
        own = sum(output_language(question.text, code).wrong is True for question in questions)
        assert wrong >= 0.95 * len(questions) if code != "en" else wrong == 0, code
        assert own == 0, code
