"""Language codes and their English names, for Stage I's instruction, reports and file names.

The codes are ISO 639-1, or 639-3 where a language has no shorter one. A code with a region or script
(`pt-BR`, `zh_TW`) has the name of its base.
"""

import difflib

from lingualift_ds.errors import DataError

_TABLE = """
af Afrikaans|am Amharic|ar Arabic|as Assamese|ast Asturian|az Azerbaijani|ba Bashkir|be Belarusian
bg Bulgarian|bm Bambara|bn Bengali|bo Tibetan|br Breton|bs Bosnian|ca Catalan|ceb Cebuano|ckb Sorani Kurdish
cs Czech|cy Welsh|da Danish|de German|ee Ewe|el Greek|en English|eo Esperanto|es Spanish|et Estonian
eu Basque|fa Persian|ff Fula|fi Finnish|fil Filipino|fj Fijian|fo Faroese|fr French|fy Western Frisian
ga Irish|gd Scottish Gaelic|gl Galician|gn Guarani|gu Gujarati|ha Hausa|haw Hawaiian|he Hebrew|hi Hindi
hr Croatian|ht Haitian Creole|hu Hungarian|hy Armenian|id Indonesian|ig Igbo|is Icelandic|it Italian
ja Japanese|jv Javanese|ka Georgian|kk Kazakh|km Khmer|kn Kannada|ko Korean|ku Kurdish|ky Kyrgyz|la Latin
lb Luxembourgish|lg Luganda|ln Lingala|lo Lao|lt Lithuanian|lv Latvian|mai Maithili|mg Malagasy|mi Maori
mk Macedonian|ml Malayalam|mn Mongolian|mr Marathi|ms Malay|mt Maltese|my Burmese|nb Norwegian Bokmal
ne Nepali|nl Dutch|nn Norwegian Nynorsk|no Norwegian|nso Northern Sotho|ny Chichewa|oc Occitan|om Oromo
or Odia|pa Punjabi|pl Polish|ps Pashto|pt Portuguese|qu Quechua|ro Romanian|ru Russian|rw Kinyarwanda
sa Sanskrit|sd Sindhi|si Sinhala|sk Slovak|sl Slovenian|sm Samoan|sn Shona|so Somali|sq Albanian|sr Serbian
st Southern Sotho|su Sundanese|sv Swedish|sw Swahili|ta Tamil|te Telugu|tg Tajik|th Thai|ti Tigrinya
tk Turkmen|tl Tagalog|tn Tswana|tr Turkish|ts Tsonga|tt Tatar|tw Twi|ug Uyghur|uk Ukrainian|ur Urdu
uz Uzbek|ve Venda|vi Vietnamese|wo Wolof|xh Xhosa|yi Yiddish|yo Yoruba|yue Cantonese|zh Chinese|zu Zulu
"""

LANGUAGES: dict[str, str] = dict(
    entry.split(" ", 1) for line in _TABLE.strip().splitlines() for entry in line.split("|")
)
"""English name by code."""

_CODES = {name.lower(): code for code, name in LANGUAGES.items()}

SPACELESS = frozenset({"th", "zh", "yue", "ja", "my", "km", "lo", "bo"})
"""Languages written without spaces between words."""


def base_code(code: str) -> str:
    """The language part of a code, in lower case: `zh` of `zh-TW`, `pt` of `pt_BR`."""
    return code.replace("_", "-").split("-")[0].lower()


def language_name(code: str) -> str:
    """The English name of a language code.

    Raises:
        DataError: for a code the table does not have; names the nearest ones.
    """
    name = LANGUAGES.get(base_code(code))
    if name is None:
        hint = _CODES.get(code.lower())
        near = [hint] if hint else difflib.get_close_matches(code.lower(), LANGUAGES, n=3, cutoff=0.3)
        near_text = ", ".join(f"{c} ({LANGUAGES[c]})" for c in near)
        raise DataError(
            f"language {code!r}: not a known ISO 639 code" + (f"; did you mean {near_text}?" if near else "")
        )
    return name


def language_code(name: str) -> str | None:
    """The code of an English language name in any case, or None where the table does not have it."""
    return _CODES.get(name.strip().lower())


def writes_spaces(code: str) -> bool:
    """Whether words of the language are separated by spaces."""
    return base_code(code) not in SPACELESS


_DOTTED_I = frozenset({"tr", "az"})


def capitalised(text: str, code: str) -> str:
    """`text` with its first letter as a title starts; unchanged in a script without case."""
    first = "İ" if text[:1] == "i" and base_code(code) in _DOTTED_I else text[:1].title()
    return first + text[1:]


def uncapitalised(text: str, code: str) -> str:
    """`text` with its first letter small."""
    small = {"İ": "i", "I": "ı"} if base_code(code) in _DOTTED_I else {}
    return small.get(text[:1], text[:1].lower()) + text[1:]


def capitals(text: str, code: str) -> str:
    """`text` in capitals; unchanged in a script without title case (Georgian too)."""
    if text[:1].title() == text[:1].lower():
        return text
    return (text.replace("i", "İ") if base_code(code) in _DOTTED_I else text).upper()
