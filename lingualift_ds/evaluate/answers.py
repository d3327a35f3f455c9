r"""The number in an answer, in any script and notation, as an exact rational.

Scores hang on this file: a parser that misses ১,২৩৪ or 1.234 measures itself and not the model. What was
given is read as a person would: an `answer is`, `####` or `\boxed{}` counts before the last number of the
text; digits of all scripts are digits; 1,234 and 1.234 and 1 234 and 1,00,000 are grouped thousands.

`1,234` and `1.234` are ambiguous: read alone they are thousands; `is_correct` accepts either meaning.
A percent sign and units are dropped (50% is 50). Number words and words for magnitudes are not read; of numerals
that are no digits, Ethiopic ones are, and Chinese ones where a text is nothing else (see `numerals`).
"""

import unicodedata
from dataclasses import dataclass
from fractions import Fraction

import regex

from lingualift_ds.evaluate.numerals import plain

_MARKER = regex.compile(r"answer\s+is|####|\\boxed\s*(?=\{|\d)|\\fbox\s*(?=\{)", regex.IGNORECASE)

# A number as it stands once digits are 0-9: runs of digits with separators, which `_readings` judges.
_PLAIN = r"\d+(?:[.,'’·٫٬]\d+)*"
_SPACED = r"[1-9]\d{0,2}(?:[ \u00a0\u2007\u2009\u202f]\d{3})+(?!\d)(?:[.,]\d+)?(?![.,]?\d)"
_NUMBER = regex.compile(
    rf"(?P<body>(?<![\d.,])(?:{_SPACED})|{_PLAIN}|(?<![\w.,])[.,]\d+)(?P<exponent>[eE][+-]?\d{{1,3}}(?!\w))?"
)
_GROUP_MARK = regex.compile(r"[ \u00a0\u2007\u2009\u202f'’٬·]")
_GROUPED = regex.compile(r"[1-9]\d{0,2}(?:[,._]\d{3})+|[1-9]\d?(?:[,._]\d{2})+[,._]\d{3}")
_LONGEST = 400  # digits; a model that loops writes thousands, which are wrong whatever they mean
_MIXED = regex.compile(r"\s{1,2}(\d{1,3})/(\d{1,3})(?![\d/]|[.,]\d)")
_AFTER_SLASH = regex.compile(r"\d\s?/\s?$")
_FRACTION = regex.compile(r"\s?/\s?(?=\d)|⁄(?=\d)")
_LATEX_FRACTION = regex.compile(r"\\[dt]?frac\s*\{\s*([^{}]*?)\s*\}\s*\{\s*([^{}]*?)\s*\}|\\[dt]?frac\s*(\d)(\d)")
_EXPRESSION = regex.compile(r"[\d\s.,+\-*/×÷=()$€£¥₹%·:^\\]|\\times|\\div|\\cdot|(?<=[\d)]\s?)[xX](?=\s?\d)")
_CURRENCY = regex.compile(r"(?:(?<!\p{L})(?:US|R|A|C|NT|HK))?\p{Sc}\s?$|(?<!\p{L})(?:Rs\.?|USD|EUR|KSh)\s?$")
_CURRENCY_LETTERS = regex.compile(r"(?<!\p{L})(?:[A-Z]{3}|Rs|R|US|KSh|Ksh|Tk|Sh|TSh|N|P|RM|Rp|Kč|kr)\.?$")
_SPACELESS = regex.compile(r"[\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Han}\p{Hiragana}\p{Katakana}]")
_MINUS = "-\u2212\u2013\ufe63\uff0d"


@dataclass(frozen=True)
class _Found:
    """A number in a text: its span there and the rationals it can mean, the likeliest first."""

    start: int
    end: int
    values: tuple[Fraction, ...]
    attached: bool  # glued to a word (H2O, x2) or an exponent (cm^2): hardly an answer


def parse_number(text: str) -> Fraction | None:
    """The first number of a short text such as `$1,234.50`, `−৩/৪` or `18.`; None where it has none."""
    found = _numbers(_normalise(text))
    free = [number for number in found if not number.attached] or found
    return free[0].values[0] if free else None


def extract_answer(output: str) -> Fraction | None:
    r"""The number a model's output gives as its answer; None where it has no number.

    It is the number after the last `answer is`, `####` or `\boxed` that one follows (of a calculation
    `3 + 4 = 7` there, the result), else the last number of the output.
    """
    values = _answer_values(output)
    return values[0] if values else None


def read_reference(answer: str) -> Fraction | None:
    """The number of a reference answer: the only one in it, or the marked one of a worked solution, as GSM8K's.

    None where it has none, or several of which none is marked.
    """
    if _MARKER.search(answer):
        return extract_answer(answer)
    numbers = _numbers(_normalise(answer))
    return numbers[0].values[0] if len(numbers) == 1 else None


def is_correct(output: str, answer: str) -> bool:
    """Whether the number in a model's output equals the reference `answer`; exact, without tolerance.

    Where the notation of either is ambiguous (1.234, 1,234), any meaning they share counts. A reference
    without a number is never met.
    """
    if _MARKER.search(answer):  # a worked solution, as GSM8K's
        reference = _answer_values(answer)
    else:
        numbers = _numbers(_normalise(answer))
        reference = numbers[0].values if numbers else ()
    return not set(reference).isdisjoint(_answer_values(output))


def _answer_values(output: str) -> tuple[Fraction, ...]:
    text = _normalise(output)
    found = _numbers(text)
    if not found:
        return ()
    markers = [marker.end() for marker in _MARKER.finditer(text) if marker.end() <= found[-1].start]
    if markers:
        after = [number for number in found if number.start >= markers[-1]]
        return _result(text, [number for number in after if not number.attached] or after).values
    free = [number for number in found if not number.attached] or found
    return free[-1].values


def _result(text: str, numbers: list[_Found]) -> _Found:
    """The first of `numbers`, or where a calculation starts there, what stands after its last `=`."""
    end = numbers[0].end
    while (match := _EXPRESSION.match(text, end)) and "\n" not in match.group():
        end = match.end()
    equals = text.rfind("=", numbers[0].end, end)
    results = [number for number in numbers if equals < number.start < end] if equals >= 0 else []
    return results[0] if results else numbers[0]


def _normalise(text: str) -> str:
    """Digits of all scripts as 0-9, full-width and Arabic marks and LaTeX spacing as plain ones."""
    text = plain(text)
    for latex, character in (("{,}", ","), ("\\!", ""), ("\\,", " "), ("\\$", "$"), ("\\%", "%")):
        text = text.replace(latex, character)
    # \frac{3}{4} and 2\frac{1}{2}; the space keeps a whole number before it apart.
    return _LATEX_FRACTION.sub(_plain_fraction, text)


def _plain_fraction(match: regex.Match) -> str:
    apart = " " if match.string[max(match.start() - 1, 0) : match.start()].isdigit() else ""
    return f"{apart}{match[1] or match[3]}/{match[2] or match[4]}"


def _numbers(text: str) -> list[_Found]:
    """The numbers of a normalised text in order; a fraction 3/4 or 1 3/4 is one."""
    found: list[_Found] = []
    position = 0
    while match := _NUMBER.search(text, position):
        start, position = match.span()
        values = _readings(match["body"])
        if not values:  # 3,4,5: a list, read one by one
            for run in regex.finditer(r"\d+", text, pos=start, endpos=position):
                found.append(_Found(*run.span(), (Fraction(run.group()[:_LONGEST]),), False))
            continue
        if match["exponent"]:
            values = tuple(value * Fraction(10) ** int(match["exponent"][1:]) for value in values)
        elif not _AFTER_SLASH.search(text[max(0, start - 4) : start]):
            values, position = _with_fraction(text, values, position)
        if _is_negative(text, start):
            values = tuple(-value for value in values)
        found.append(_Found(start, position, values, _attached(text, start)))
    return found


def _with_fraction(text: str, values: tuple[Fraction, ...], end: int) -> tuple[tuple[Fraction, ...], int]:
    """The values with what follows taken in: `/4` of a fraction, ` 3/4` of a mixed number."""
    mixed = _MIXED.match(text, end)
    if mixed and values[0].denominator == 1 and 0 < int(mixed[1]) < int(mixed[2]):
        return (values[0] + Fraction(int(mixed[1]), int(mixed[2])),), mixed.end()
    slash = _FRACTION.match(text, end)
    below = _NUMBER.match(text, slash.end()) if slash else None
    if below and not _FRACTION.match(text, below.end()):  # 3/4/2024 is a date
        divisors = _readings(below["body"])
        if divisors and divisors[0]:
            return tuple(value / divisors[0] for value in values), below.end()
    return values, end


def _readings(body: str) -> tuple[Fraction, ...]:
    """What digits with separators can mean, the likeliest first; () where they are no single number."""
    body = _GROUP_MARK.sub("_", body[:_LONGEST].rstrip(".,")).replace("٫", ".")
    marks = [character for character in body if not character.isdigit()]
    if not marks:
        return (Fraction(body),)
    if len(marks) == 1 and marks[0] != "_":
        decimal = Fraction("0" + body.replace(",", "."))
        return (Fraction(body.replace(marks[0], "")), decimal) if _GROUPED.fullmatch(body) else (decimal,)
    whole, tail = body, ""
    if marks[-1] != marks[0] and marks[-1] != "_":  # the last mark differs: it is the decimal one
        whole, tail = body.rsplit(marks[-1], 1)
    if len({mark for mark in whole if not mark.isdigit()}) == 1 and _GROUPED.fullmatch(whole):
        return (Fraction(regex.sub(r"\D", "", whole) + (f".{tail}" if tail else "")),)
    return ()


def _is_negative(text: str, start: int) -> bool:
    """Whether a minus sign belongs to the number at `start`, and is no hyphen, dash or subtraction."""
    before = text[max(0, start - 12) : start]
    sign = _CURRENCY.sub("", before)
    if not sign or sign[-1] not in _MINUS:
        spaced = regex.search(rf"[=:(][^\S\n]*[{_MINUS}]\s$", before)
        return bool(spaced)
    left = sign[:-1]
    if not left:
        return True
    if left[-1].isspace():
        stripped = left.rstrip()
        return not (stripped and (stripped[-1].isdigit() or stripped[-1] in ")%"))
    if left[-1].isalnum() or left[-1] in ")]}%" or regex.match(r"\p{M}", left[-1]):
        return bool(_SPACELESS.match(left[-1]))
    return True


def _attached(text: str, start: int) -> bool:
    before = text[max(0, start - 5) : start]
    if not before:
        return False
    if regex.search(r"\^\{?-?$|_\{?$", before):
        return True
    last = before[-1]
    glued = last.isalpha() and unicodedata.bidirectional(last) == "L" and not _SPACELESS.match(last)
    return glued and not _CURRENCY_LETTERS.search(before)
