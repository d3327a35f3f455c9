"""Texts made fit to look at: cut at their switched words, and without characters that act on a terminal or a page."""

from collections.abc import Iterator, Sequence

_PICTURES = {code: 0x2400 + code for code in range(0x20) if chr(code) not in "\t\n"} | {0x7F: 0x2421}
_NOTHING = [*range(0x80, 0xA0), *range(0xD800, 0xE000), 0xFFFE, 0xFFFF]
_VISIBLE = _PICTURES | dict.fromkeys(_NOTHING, 0xFFFD)


def visible(text: str) -> str:
    """`text` with control characters as their pictures (NUL as ␀), and halves of surrogate pairs as U+FFFD.

    Tabs and line ends stay. What comes out can be encoded, and holds no escape sequence.
    """
    return text.replace("\r\n", "\n").translate(_VISIBLE)


def parts(text: str, spans: Sequence[tuple[int, int]]) -> Iterator[tuple[str, int | None]]:
    """The text cut at spans [start, end) that are in order: each part, with the number of its span or None.

    Joined, the parts are the text, whatever the spans.
    """
    position = 0
    for number, (start, end) in enumerate(spans):
        start, end = max(start, position), max(end, position)
        if start > position:
            yield text[position:start], None
        if text[start:end]:
            yield text[start:end], number
        position = end
    if text[position:]:
        yield text[position:], None
