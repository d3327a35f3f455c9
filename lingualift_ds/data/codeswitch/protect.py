"""What code-switching must never change: code, LaTeX, formulae, addresses, placeholders, amounts with their currency.

Numbers need no pattern: a word begins with a letter, and Unicode's word boundaries put none inside `5kg` or `1st`.
"""

import regex

_ATOM = r"\(*(?:\p{Sc}?\d[\d.,]*%?\p{L}?(?!\p{L})|(?<![\p{L}'’])[A-Za-z](?![\p{L}'’]))\)*"
_OPERATORS = r"+\-−*/×÷·=<>≤≥≈^"
_OPERATOR = rf"(?:\s*[{_OPERATORS}]+\s*|(?<=[\d)])\s*[xX]\s*(?=[\d($]))"
_LATEX = r"(?:\\(?:text|mbox|mathrm)\{[^{}$\n]*\}|\\[A-Za-z]+|(?<!\p{L})\p{L}(?!\p{L})|[^$\n\p{L}])"
_MOST = 4000
"""Characters that a span between two marks may have: without a bound, a page of opening marks takes hours."""

# Mark: what it can begin. A text without the mark needs no search.
_BY_MARK = {
    "`": [rf"```.{{1,{_MOST}}}?```|`[^`\n]{{1,{_MOST}}}`"],  # code
    "<": [
        rf"<<[^<>]{{0,{_MOST}}}>>",  # GSM8K's calculator marks
        r"</?[A-Za-z_][^<>\n]{0,200}>|<\|[^|<>\n]{0,60}\|>",  # <name>, </b>, <|user|>
    ],
    "\\": [
        rf"\\begin\{{(\w+\*?)\}}.{{0,{_MOST}}}?\\end\{{\1\}}",
        rf"\\\(.{{0,{_MOST}}}?\\\)|\\\[.{{0,{_MOST}}}?\\\]",
        r"\\[A-Za-z]+",
    ],
    "$": [
        rf"\$\$.{{1,{_MOST}}}?\$\$",
        # $x + 2$ with any words in it; in GSM8K's 5*2=$<<5*2=10>>10 the sign is the amount's.
        rf"(?<![\\\d])\$(?=[^\s\d])(?!<<)[^$\n]{{0,{_MOST}}}[^\s\\$]\$(?!\d|<<)",
        rf"\$(?=\d){_LATEX}{{0,{_MOST}}}\$(?!\d|<<)",  # $2x + 1$, but not "$5 and $7"
        r"\$\{?[A-Za-z_]\w*\}?",  # $NAME, ${NAME}
    ],
    "[": [
        rf"\[asy\].{{0,{_MOST}}}?\[/asy\]",
        r"\[[A-Z][A-Z0-9_ ]{0,60}\]",  # [NAME], [PERSON 1]
    ],
    "{": [r"\{[^{}\n]{0,200}\}"],  # {name}
    "%": [r"%\(\w+\)[a-z]|%[sdifr]\b"],
    "@": [r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+|(?<!\w)@\w+"],
    "://": [r"\b\w+://\S+"],
    "&": [r"&#?\w{1,10};"],  # &nbsp;
    "/": [r"(?<!\S)(?:~|\.{1,2})?/[\w.-]+(?:/[\w.-]*)*", r"(?:[\w-]+\.)+\p{Ll}{2,}/\S*"],  # /usr/bin, example.org/the
    "(": [r"\b[\p{L}_][\w.]*(?=\()"],  # print(, sin(x)
    "www.": [r"www\.\S+"],
    "": [
        r"\b\p{Lu}{3}\s?(?=\d)|(?<=\d\s?)\p{Lu}{3}\b|\b\p{L}{1,3}(?=\p{Sc}\d)",  # USD 5, 5 EUR, US$5
        r"\p{L}+(?=[₀-₉⁰-⁹²³¹])|\b(?:I{2,3}|IV|VI{1,3}|IX|XI{1,3}|XIV|XV|XX)\b",  # CO₂, chapter IV
    ],
}
_PATTERNS = {
    mark: [regex.compile(pattern, regex.DOTALL | regex.V1) for pattern in patterns]
    for mark, patterns in _BY_MARK.items()
}
_FORMULA = regex.compile(rf"{_ATOM}(?:{_OPERATOR}{_ATOM})+", regex.V1)  # 2a + b = 7

# Every span with a space in it, formulae aside, begins, ends or goes on in a piece that has one of these.
_CALCULATED = regex.compile(r"\$?<<[^<>]*>>")
_MARK = regex.compile(r"[`\\<{]|\[(?:asy|[A-Z])|\$(?!\d)|\p{Lu}{3}")
_OPERATOR_AT_EDGE = regex.compile(rf"^[{_OPERATORS}]|[{_OPERATORS}]$")


def protected_spans(text: str, formulae: bool = True) -> list[tuple[int, int]]:
    """Spans [start, end) of a text that stay as they are, in order of their start; they may overlap.

    Looking for `formulae` takes longest, and protects letters alone that stand for a quantity.
    """
    patterns = [pattern for mark, found in _PATTERNS.items() if mark in text for pattern in found]
    if formulae:
        patterns.append(_FORMULA)
    return sorted([match.span() for pattern in patterns for match in pattern.finditer(text)])


def has_mark(piece: str) -> bool:
    """Whether a piece of a text, cut at spaces, can be part of a protected span that is longer than the piece."""
    return _MARK.search(_CALCULATED.sub("", piece)) is not None


def has_operator(piece: str) -> bool:
    """Whether a formula can go on beyond a piece of a text, cut at spaces."""
    return _OPERATOR_AT_EDGE.search(piece) is not None
