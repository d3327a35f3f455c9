"""What numbers mean in the world's scripts and notations: exact rationals, by script or notation."""

from fractions import Fraction

import pytest

from lingualift_ds.data.scripts import SCRIPTS
from lingualift_ds.evaluate.answers import extract_answer, is_correct, parse_number, read_reference

BY_SCRIPT = {
    "Latin": [("12", "12"), ("1,234.5", "2469/2"), ("-7", "-7"), ("3/4", "3/4")],
    "Arabic": [("١٢", "12"), ("٢٬١٢٥", "2125"), ("٠٫٥", "1/2"), ("١،٢٣٤", "1234"), ("٣/٤", "3/4"), ("٥٠٪", "50")],
    "Arabic, extended": [("۱۲", "12"), ("۱٬۲۳۴٫۵", "2469/2"), ("\u200f-۳", "-3")],
    "Devanagari": [("१२", "12"), ("₹१,५००", "1500"), ("१,००,०००", "100000"), ("१½", "3/2")],
    "Bengali": [("১২", "12"), ("৳১,৫০০", "1500"), ("০.৫", "1/2"), ("−৩/৪", "-3/4")],
    "Gujarati": [("૧૨", "12"), ("૧,૨૩૪", "1234")],
    "Gurmukhi": [("੧੨", "12"), ("੧੨.੫", "25/2")],
    "Odia": [("୧୨", "12"), ("୧,୦୦,୦୦୦", "100000")],
    "Tamil": [("௧௨", "12"), ("௧,௨௩௪", "1234")],
    "Telugu": [("౧౨", "12"), ("౧౦.౫", "21/2")],
    "Kannada": [("೧೨", "12"), ("೧/೨", "1/2")],
    "Malayalam": [("൧൨", "12"), ("൧,൨൩൪", "1234")],
    "Sinhala": [("෧෨", "12")],
    "Thai": [("๑๒", "12"), ("๑,๒๓๔.๕๐", "2469/2"), ("-๕", "-5")],
    "Lao": [("໑໒", "12"), ("໑.໒໓໔", "1234")],
    "Khmer": [("១២", "12"), ("១២,៥", "25/2")],
    "Myanmar": [("၁၂", "12"), ("၁,၂၃၄", "1234"), ("႑႒", "12")],
    "Tibetan": [("༡༢", "12"), ("༡༠༠", "100")],
    "Mongolian": [("᠑᠒", "12")],
    "N'Ko": [("߁߂", "12"), ("߁߂߃", "123")],
    "Adlam": [("𞥑𞥒", "12")],
    "Ol Chiki": [("᱑᱒", "12")],
    "Meetei Mayek": [("꯱꯲", "12")],
    "Javanese": [("꧑꧒", "12")],
    "Balinese": [("᭑᭒", "12")],
    "Sundanese": [("᮱᮲", "12")],
    "Full-width": [("１２", "12"), ("１，２３４．５", "2469/2"), ("－５", "-5"), ("５０％", "50"), ("３／４", "3/4")],
    "Ethiopic": [("፲፪", "12"), ("፻", "100"), ("፲፱፻፺፰", "1998"), ("፪፼፫፻", "20300"), ("12", "12")],
    "Chinese": [("十二", "12"), ("三百", "300"), ("三百零五", "305"), ("一千二百三十四", "1234"), ("二万", "20000"),
                ("二〇二四", "2024"), ("一百二十。", "120"), ("18个", "18")],
}  # fmt: skip

BY_NOTATION = {
    "thousands": [("1.234.567,89", "123456789/100"), ("1\u2007234", "1234"), ("1’234’567", "1234567"),
                  ("1'234.50", "2469/2"), ("1 234,50", "2469/2"), ("12,34,56,789", "123456789"), ("0012", "12"),
                  ("10 000,5", "20001/2"), ("1,234.5678", "6172839/5000"), ("5 000 000", "5000000")],
    "decimals": [("1,10", "11/10"), (",5", "1/2"), ("$.50", "1/2"), ("1,5000", "3/2"), ("1.5e3", "1500")],
    "fractions": [("5 ½", "11/2"), ("⅚", "5/6"), ("-1 1/2", "-3/2"), (r"2 \frac{1}{2}", "5/2"), ("7 1/3%", "22/3"),
                  ("-0", "0")],
    "signs": [("−\u200e5", "-5"), ("US$ -5", "-5"), ("-₹1,00,000", "-100000"), ("+5", "5"), ("≈18", "18"),
              ("\ufe635", "-5")],
    "units": [("Ksh 1,500/=", "1500"), ("1,500/-", "1500"), ("kr 18", "18"), ("18°", "18"), ("¥18", "18"),
              ("Rp18.000", "18000"), ("₦500", "500"), ("**18**", "18"), (r"\(18\)", "18"), (r"\text{18}", "18")],
}  # fmt: skip

TABLE = [(where, *pair) for by in (BY_SCRIPT, BY_NOTATION) for where, pairs in by.items() for pair in pairs]


@pytest.mark.parametrize(("where", "text", "number"), TABLE, ids=[f"{where}: {text}" for where, text, _ in TABLE])
def test_number_means(where, text, number):
    assert parse_number(text) == read_reference(text) == Fraction(number)
    assert extract_answer(f"We get 3 + 4 = 7. The answer is {text}") == Fraction(number) or where == "Chinese"
    assert is_correct(f"The answer is {Fraction(number)}", text)


def test_every_script_of_the_languages_that_has_digits_is_in_the_table():
    # Without digits of their own: written with those of another script.
    without = {"Armenian", "Bopomofo", "Buginese", "Cyrillic", "Georgian", "Greek", "Han", "Hangul", "Hebrew",
               "Hiragana", "Katakana", "Tifinagh", "Thaana"}  # fmt: skip
    assert set(SCRIPTS.values()) - set(BY_SCRIPT) == without
    assert len(TABLE) >= 60


OUTPUTS = [
    # A comma of Chinese or Arabic parts sentences, but within thousands.
    ("小明有3，4是", "4"),
    ("他有 1，234 个", "1234"),
    ("لديه ٣، ثم ٤", "4"),
    # 一 of 一共 is no answer.
    ("答案是18个，一共", "18"),
    ("መልሱ ፲፪ ነው።", "12"),
    ("答えは18です。", "18"),
    ("답은 18개입니다.", "18"),
    ("جواب ۱۸ ہے۔", "18"),
    (r"the answer is $\boxed{1,234}$", "1234"),
    (r"\boxed{x=18}", "18"),
    (r"The answer is \(\frac{10}{2} = 5\)", "5"),
    ("#### -1,234", "-1234"),
    ("####-5", "-5"),
    ("10–3 = 7", "7"),
    ("3 − 10 = −7", "-7"),
    ("18 of 20 (90%)", "90"),
    ("Total: 3,500,", "3500"),
    ("The answer is 18\n\nQuestion: Tom has 5 and 6", "18"),
    ("$5.00 each; total $15.00", "15"),
    ("He is 18-year-old", "18"),
]


@pytest.mark.parametrize(("output", "number"), OUTPUTS, ids=[output[:30] for output, _ in OUTPUTS])
def test_answer_of_an_output(output, number):
    assert extract_answer(output) == Fraction(number)


@pytest.mark.parametrize("text", ["一百二", "答案是十二", "XII", "௰", "eighteen", "—", "½¾x"])
def test_what_is_not_read_is_none_and_not_a_guess(text):
    assert read_reference(text) is None


@pytest.mark.parametrize(("answer", "number"), [
    ("18 apples", "18"), ("3 + 4 = 7\n#### 7", "7"), ("She has 3. The answer is 4", "4"), ("1 3/4", "7/4"),
    ("10-20", None), ("3:45", None), ("3 and 4", None), ("1,2,3", None), ("", None), ("nan", None),
])  # fmt: skip
def test_a_reference_is_one_number(answer, number):
    assert read_reference(answer) == (None if number is None else Fraction(number))
