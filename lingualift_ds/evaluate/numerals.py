"""Numerals of the world's scripts as 0-9, and the marks that stand beside them as plain ones.

Decimal digits of every script are read, for Unicode knows their values. Of numerals that are no digits:
- Ethiopic ones (፲፪ is 12) are read: they are nothing but numbers wherever they stand.
- Chinese ones (十二, 三百) are read where a text holds nothing else, as an answer's column may. Within a text they are
  not: 一 is in words such as 一共 and 一起, and would be taken for the answer.
- Roman ones, Tamil ௰ and ௱ and others are not read.
"""

import unicodedata

import regex

_WIDE = dict(zip("．％＝／＄：（）٪", ".%=/$:()%", strict=True))
# A comma of these scripts joins a number only in thousands; else it parts a sentence.
_THOUSANDS = regex.compile(r"(?<=\d)[，،](?=\d{3}(?!\d))")
_INVISIBLE = regex.compile(r"[\u061c\u200b-\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]")
"""Marks of direction and of no width, which may stand between a sign and its number."""

_ETHIOPIC = regex.compile(r"[\u1369-\u137c]+")
_CHINESE = {character: value for value, character in enumerate("〇一二三四五六七八九")} | {"零": 0, "两": 2, "兩": 2}
_CHINESE_UNITS = {"十": 10, "百": 100, "千": 1000}
_CHINESE_MYRIADS = {"万": 10**4, "萬": 10**4, "亿": 10**8, "億": 10**8}
_CHINESE_SHORT = regex.compile(f"[百千万萬亿億][{''.join(_CHINESE)}]$")
"""一百二 is 120 to some and 102 to others."""
_CHINESE_ALONE = regex.compile(rf"\s*([{''.join([*_CHINESE, *_CHINESE_UNITS, *_CHINESE_MYRIADS])}]+)\s*[。.]?\s*")


def plain(text: str) -> str:
    """`text` with its numerals in 0-9, ½ as 1/2, full-width and Arabic marks as plain ones, and no invisible ones."""
    text = unicodedata.normalize("NFC", text)
    if text.isascii():
        return text
    alone = _CHINESE_ALONE.fullmatch(text)
    if alone and not _CHINESE_SHORT.search(alone[1]):
        return str(_chinese(alone[1]))
    text = _ETHIOPIC.sub(lambda match: str(_ethiopic(match[0])), _INVISIBLE.sub("", text))
    text = _THOUSANDS.sub(",", "".join(map(_plain_character, text)))
    return text.replace("，", ", ").replace("،", ", ")


def _plain_character(character: str) -> str:
    if character.isascii():
        return character
    digit = unicodedata.decimal(character, None)
    if digit is not None:
        return str(digit)
    if unicodedata.category(character) == "No" and "⁄" in unicodedata.normalize("NFKC", character):
        return " " + unicodedata.normalize("NFKC", character).replace("⁄", "/")  # ½, ¾
    return _WIDE.get(character, character)


def _ethiopic(numeral: str) -> int:
    """Tens and units in pairs, ፻ (100) and ፼ (10,000) after what they multiply: ፲፱፻፺፰ is 1998."""
    total = group = pair = 0
    for character in numeral:
        value = int(unicodedata.numeric(character))
        if value < 100:
            pair += value
        elif value == 100:
            group, pair = group + (pair or 1) * 100, 0
        else:
            total, group, pair = (total + group + pair or 1) * 10000, 0, 0
    return total + group + pair


def _chinese(numeral: str) -> int:
    """三百零五 is 305; digits one after another are places: 二〇二四 is 2024."""
    if not any(character in _CHINESE_UNITS or character in _CHINESE_MYRIADS for character in numeral):
        return int("".join(str(_CHINESE[character]) for character in numeral))
    total = group = digit = 0
    for character in numeral:
        if character in _CHINESE:
            digit = _CHINESE[character]
        elif character in _CHINESE_UNITS:
            group, digit = group + (digit or 1) * _CHINESE_UNITS[character], 0
        else:
            total, group, digit = total + (group + digit or 1) * _CHINESE_MYRIADS[character], 0, 0
    return total + group + digit
