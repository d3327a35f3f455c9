"""Where English sentences begin and end."""

import regex

_ABBREVIATION = regex.compile(r"(?:^|[^\p{L}])(?:Mr|Mrs|Ms|Dr|St|Prof|Gen|Sgt|Capt|Mt|Jr|Sr|vs|No|\p{Lu})\.$")
_LONGEST_ABBREVIATION = 8
_BREAK = regex.compile(r"(?<=[.?!][\"'”’)\]]?)\s+(?=[\"'“‘(\[]?\p{Lu})")
OPENING = " \t\"'“‘«([*"
"""What may stand between the end of a sentence and the first word of the next."""
_CLOSING = "\"'”’»)]*_"
"""What may stand after the full stop of a sentence."""
_LIST_MARK = regex.compile(r"(?:^|\n)(?:[>|#•·*]+|\(?[0-9a-zA-Z]{1,2}[).])$|\n[-–]$")
QUOTES = ('"', "“")
_ENDS = "\n\r?!:…"


def split_sentences(text: str) -> list[str]:
    """The sentences of an English text: broken after . ? ! before a capital, not after Mr. or an initial."""
    sentences: list[str] = []
    start = 0
    for match in _BREAK.finditer(text):
        if not _ends_in_abbreviation(text, match.start()):
            sentences.append(text[start : match.start()].strip())
            start = match.end()
    sentences.append(text[start:].strip())
    return [sentence for sentence in sentences if sentence]


def ends_sentence(text: str) -> bool | None:
    """Whether what comes after a piece of text begins a sentence, a line or a quotation; None where the piece does
    not say, because it is blank or nothing but opening marks."""
    said = text.rstrip(OPENING)
    if not said:
        return True if any(mark in text for mark in QUOTES) else None
    if said[-1] == "." or _LIST_MARK.search(said):
        return not _ends_in_abbreviation(said, len(said))
    bare = said.rstrip(_CLOSING)
    return said[-1] in _ENDS or bare[-1:] in (".", *_ENDS)


def _ends_in_abbreviation(text: str, end: int) -> bool:
    return _ABBREVIATION.search(text, max(0, end - _LONGEST_ABBREVIATION), end) is not None
