"""The Unicode scripts in which each language is written: what a word list of it may hold.

Codes of scripts are those of ISO 15924, which are Unicode's short names of them too (`\\p{sc=Deva}`). A language that
is written in several scripts has all that are in use; one script alone is meant by a code that names it, such as
`sr-Latn` or `zho_Hans`.
"""

from functools import cache

import regex

from lingualift_ds.data.languages import base_code, language_name, writes_spaces

SCRIPTS: dict[str, str] = {
    "Adlm": "Adlam", "Arab": "Arabic", "Armn": "Armenian", "Bali": "Balinese", "Beng": "Bengali",
    "Bopo": "Bopomofo", "Bugi": "Buginese", "Cyrl": "Cyrillic", "Deva": "Devanagari", "Ethi": "Ethiopic",
    "Geor": "Georgian", "Grek": "Greek", "Gujr": "Gujarati", "Guru": "Gurmukhi", "Hang": "Hangul", "Hani": "Han",
    "Hebr": "Hebrew", "Hira": "Hiragana", "Java": "Javanese", "Kana": "Katakana", "Khmr": "Khmer",
    "Knda": "Kannada", "Laoo": "Lao", "Latn": "Latin", "Mlym": "Malayalam", "Mong": "Mongolian",
    "Mtei": "Meetei Mayek", "Mymr": "Myanmar", "Nkoo": "N'Ko", "Olck": "Ol Chiki", "Orya": "Odia",
    "Sinh": "Sinhala", "Sund": "Sundanese", "Taml": "Tamil", "Telu": "Telugu", "Tfng": "Tifinagh",
    "Thaa": "Thaana", "Thai": "Thai", "Tibt": "Tibetan",
}  # fmt: skip
"""English name by code."""

# Scripts, the commonest first: the languages written in them. Every language of the table stands here once.
_TABLE = {
    "Latn": """
        af ak an ast ay bem br ca ceb cjk co crh cs cy da de dik ee en eo es et eu fi fil fj fo fon fr fur fy ga
        gd gl gn gv haw hr ht hu ia id ig ilo is it kab kac kam kbp kea kg ki kl kmb la lb lg li lij lmo ln lt ltg
        lua luo lus lv mg mi mos mt nb nd nl nn no nr nso nus ny oc om pag pap pcm pl pt qu rm rn ro rw sc scn se
        sg sk sl sm sn so sq ss st sv sw szl tl tn to tpi tr ts tum tw ty umb ve vec vi war wo xh yo zu
    """,
    "Latn Adlm Arab": "ff",
    "Latn Arab": "ace bjn ha kr min ms",
    "Latn Arab Cyrl": "ku",
    "Latn Bali": "ban",
    "Latn Bugi": "bug",
    "Latn Cyrl": "bs sh uz",
    "Latn Cyrl Arab": "az tk",
    "Latn Java": "jv",
    "Latn Nkoo": "bm dyu",
    "Latn Sund": "su",
    "Latn Tfng": "taq",
    "Tfng Latn": "tzm",
    "Arab": "acm acq aeb ajp apc ar ars ary arz azb ckb fa prs ps ur",
    "Arab Cyrl Latn": "ug",
    "Arab Deva": "ks sd",
    "Armn": "hy",
    "Beng": "as bn",
    "Beng Mtei": "mni",
    "Cyrl": "ba be bg cv mk os ru uk",
    "Cyrl Arab": "ky tg",
    "Cyrl Latn": "sr tt",
    "Cyrl Latn Arab": "kk",
    "Cyrl Mong": "mn",
    "Deva": "awa bho hi hne mag mai mr ne sa",
    "Ethi": "am ti",
    "Geor": "ka",
    "Grek": "el",
    "Gujr": "gu",
    "Guru Arab": "pa",
    "Hang Hani": "ko",
    "Hani Bopo": "wuu yue zh",
    "Hani Hira Kana": "ja",
    "Hebr": "he yi",
    "Khmr": "km",
    "Knda": "kn",
    "Laoo": "lo",
    "Mlym": "ml",
    "Mymr": "my shn",
    "Olck Deva Beng Orya Latn": "sat",
    "Orya": "or",
    "Sinh": "si",
    "Taml": "ta",
    "Telu": "te",
    "Thaa": "dv",
    "Thai": "th",
    "Tibt": "bo dz",
}
LANGUAGE_SCRIPTS: dict[str, tuple[str, ...]] = {
    language: tuple(scripts.split()) for scripts, languages in _TABLE.items() for language in languages.split()
}
"""Scripts by language code, the commonest first."""

_WRITING_SYSTEMS = {
    "hans": ("Hani", "Bopo"),
    "hant": ("Hani", "Bopo"),
    "jpan": ("Hani", "Hira", "Kana"),
    "kore": ("Hang", "Hani"),
}
"""ISO 15924 codes that stand for no script of Unicode's, or for several."""


def scripts_of(code: str) -> tuple[str, ...]:
    """The scripts of a language, the commonest first; the named ones of a code such as `sr-Latn` or `zho_Hans`.

    Raises:
        DataError: for an unknown language.
    """
    language_name(code)
    for part in code.replace("_", "-").lower().split("-")[1:]:
        if part in _WRITING_SYSTEMS:
            return _WRITING_SYSTEMS[part]
        if part.title() in SCRIPTS:
            return (part.title(),)
    return LANGUAGE_SCRIPTS[base_code(code)]


def script_names(code: str) -> str:
    """The scripts of a language in words: `Thai`, `Cyrillic or Latin`. Raises DataError."""
    *others, last = (SCRIPTS[script] for script in scripts_of(code))
    return f"{', '.join(others)} or {last}" if others else last


class ScriptCheck:
    """Tells text in a language's scripts from other text. Digits, punctuation and accents belong to every script.

    Attributes:
        word: matches, as a whole, words of the language's letters with single spaces, hyphens and apostrophes
            between them: text that needs no other check.
    """

    def __init__(self, code: str):
        scripts = "".join(rf"\p{{scx={script}}}" for script in scripts_of(code))
        letter = rf"[[{scripts}]&&\p{{L}}]"
        further = rf"[[{scripts}\p{{sc=Zyyy}}\p{{sc=Zinh}}]&&[\p{{L}}\p{{M}}]]"
        self.word = regex.compile(rf"{letter}{further}*(?:[ '\-\u200c\u200d]{letter}{further}*)*", regex.V1)
        self._letter = regex.compile(letter, regex.V1)
        self._foreign = regex.compile(rf"[\p{{L}}--[{scripts}\p{{sc=Zyyy}}\p{{sc=Zinh}}]]", regex.V1)
        initials = r"[\p{Lu}&&\p{sc=Latn}]+"
        # Where words are set apart, capitals glued to a word are homoglyphs and no initials.
        self._initials = regex.compile(
            rf"(?<!\p{{L}}){initials}(?!\p{{L}})" if writes_spaces(code) else initials, regex.V1
        )

    def holds(self, text: str) -> bool:
        """Whether every letter is in one of the scripts; Latin initials beside such letters may be (DVD, X線)."""
        if not self._foreign.search(text):
            return True
        return self._letter.search(text) is not None and not self._foreign.search(self._initials.sub("", text))


@cache
def script_check(code: str) -> ScriptCheck:
    """The check of a language, made once. Raises DataError for an unknown one."""
    return ScriptCheck(code)
