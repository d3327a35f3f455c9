"""The number in an answer: a table over scripts and notations, because scores hang on it."""

import re
import time
from fractions import Fraction
from pathlib import Path

import pytest

from lingualift_ds.data.jsonl import read_jsonl
from lingualift_ds.evaluate.answers import extract_answer, is_correct, parse_number

REAL = Path(__file__).parents[2].parent / "shared/data"

NUMBERS = [
    # plain, and English notation
    ("18", "18"), ("18.", "18"), ("18.00", "18"), ("0.125", "1/8"), (".5", "1/2"), ("1,234", "1234"),
    ("$1,234.50", "2469/2"), ("1,234,567.89", "123456789/100"), ("1234.567", "1234567/1000"),
    ("1e5", "100000"),
    # other groupings and the decimal comma
    ("1.234", "1234"), ("1.234.567", "1234567"), ("1.234,50 €", "2469/2"), ("1 234", "1234"),
    ("1\u202f234\u00a0567", "1234567"), ("1'234", "1234"), ("1,00,000", "100000"), ("1,23,456", "123456"),
    ("12,5", "25/2"), ("0,125", "1/8"), ("9,99", "999/100"), ("1234,5", "2469/2"),
    # digits of other scripts
    ("১,২৩৪", "1234"), ("১২.৫", "25/2"), ("৫৬।", "56"), ("౭౨", "72"), ("๑๘", "18"), ("१८", "18"),
    ("١٢", "12"), ("۱۲", "12"), ("٢٬١٢٥", "2125"), ("۳٫۵", "7/2"), ("၁၂", "12"), ("៣៤", "34"),
    ("໑໒", "12"), ("１８", "18"),
    ("௧௨", "12"), ("౧/౨", "1/2"), ("߁߂", "12"), ("᠑᠒", "12"),
    # negative
    ("-3", "-3"), ("\u22123", "-3"), ("-$5", "-5"), ("$-5", "-5"), ("(−2)", "-2"), ("−৩/৪", "-3/4"),
    # fractions
    ("3/4", "3/4"), ("3⁄4", "3/4"), ("1 3/4", "7/4"), ("½", "1/2"), ("1½", "3/2"), (r"\frac{3}{4}", "3/4"),
    (r"-\frac{3}{4}", "-3/4"), (r"2\frac{1}{2}", "5/2"), (r"\dfrac12", "1/2"), ("5/0", "5"),
    # units glued on
    ("50%", "50"), ("€5", "5"), ("5€", "5"), ("5元", "5"), ("R$18", "18"), ("Rs.500", "500"), ("USD18", "18"),
    ("16টি", "16"), ("18คน", "18"), ("18个", "18"), ("18kg", "18"), (r"1{,}234", "1234"), (r"\$18", "18"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "number"), NUMBERS, ids=[text for text, _ in NUMBERS])
def test_number_means(text, number):
    assert parse_number(text) == Fraction(number)


OUTPUTS = [
    # the last number
    ("She has 3 + 4 = 7 apples left.", "7"),
    ("First 12, then 5, so 17.\n", "17"),
    ("numbers: 1, 2, 3", "3"),
    ("3,4,5", "5"),
    ("5-3", "3"),
    ("a range of 10-20", "20"),
    ("x = - 5", "-5"),
    ("Steps:\n- 5 pears", "5"),
    ("It weighs 7 kg after covid-19 ended, that is 7.", "7"),
    ("The area is 25 cm^2", "25"),
    ("There are 10 glasses of H2O", "10"),
    ("on 3/4/2024", "2024"),
    ("48/2 = <<48/2=24>>24", "24"),
    # the marked number, though others follow
    ("The answer is 18. It was checked 2 times.", "18"),
    ("The answer is 3. Wait: the ANSWER  is 4, not 3", "4"),
    ("The answer is: **18**", "18"),
    ("The answer is $x = 5$", "5"),
    ("The answer is 48/2 = 24.", "24"),
    ("The answer is 10 - 3 = 7 apples of 10", "7"),
    ("The answer is 5. Check: 2 + 3 = 6 and 9", "5"),
    ("The answer is 2,125 (i.e., 2000 + 125)", "2125"),
    ("The answer is -3", "-3"),
    ("3+4 = 7\n#### 7\nHuman: I have 9", "7"),
    (r"so \boxed{18} and 4", "18"),
    (r"\boxed{18\text{ dollars}} of 20", "18"),
    (r"$\boxed{-\frac{3}{4}}$, 1", "-3/4"),
    # a mark without a number counts for nothing
    ("We get 12. The answer is clear", "12"),
    ("The answer is 6. So the answer is six.", "6"),
    # other languages
    ("উত্তর হল ৫৬।", "56"),
    ("సమాధానం ౭౨.", "72"),
    ("คำตอบคือ๑๘บาท", "18"),
    ("คำตอบคือ-5", "-5"),
    ("الجواب هو ٢٬١٢٥", "2125"),
    ("答案是18个，共３", "3"),
    ("Die Antwort ist 1.234,5 Euro.", "2469/2"),
    ("La réponse est 1 234 €.", "1234"),
    ("Jibu ni KSh500.", "500"),
]


@pytest.mark.parametrize(("output", "number"), OUTPUTS, ids=[output[:30] for output, _ in OUTPUTS])
def test_answer_of_an_output(output, number):
    assert extract_answer(output) == Fraction(number)


@pytest.mark.parametrize("output", ["", "no number", "The answer is unknown", "####", "eighteen"])
def test_no_number_is_none_and_never_correct(output):
    assert extract_answer(output) is None
    assert not is_correct(output, "18")
    assert not is_correct("18", output)


@pytest.mark.parametrize(
    ("output", "answer", "correct"),
    [
        ("The answer is 8", "8.0", True),
        ("The answer is 276.000", "276,000", True),
        ("The answer is 1.125", "9/8", True),  # a decimal in English ...
        ("The answer is 1.125", "1125", True),  # ... and thousands in German
        ("The answer is 0.33", "1/3", False),  # exact: no tolerance
        ("The answer is 2", "-2", False),
        ("The answer is ১৮", "18", True),
        ("The answer is 72.", "She sold 48 + 24 = 72.\n#### 72", True),
    ],
)
def test_correct_is_exact_equality_of_rationals(output, answer, correct):
    assert is_correct(output, answer) is correct


def test_looping_output_is_judged_in_time():
    started = time.monotonic()
    for piece in ("1 ", "1,", "9", "answer is ", "answer is 3 = ", "1/", "- ", "1 234 "):
        extract_answer(piece * 5000)
    # About half a second where it is linear; minutes where it is not.
    assert time.monotonic() - started < 20


@pytest.mark.skipif(not (REAL / "gsm8k").is_dir(), reason=f"no real data at {REAL}")
def test_gsm8k_solutions_give_their_own_answers():
    judged = 0
    for number, record in read_jsonl(REAL / "gsm8k/train.jsonl"):
        gold = record["answer"].rpartition("####")[2].strip()
        if not re.fullmatch(r"-?(\d+|\d{1,3}(,\d{3})+)", gold) or "####" not in record["answer"]:
            continue  # a few rows are cut off, or end in a formula
        assert extract_answer(record["answer"]) == Fraction(gold.replace(",", "")), number
        assert is_correct(f"Thus 3 of 4 remain. The answer is ${gold}.", gold), number
        judged += 1
    assert judged > 7400
