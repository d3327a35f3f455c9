"""Scripts and codes of languages: every language has scripts, and the benchmarks' languages are all there."""

import pytest

from lingualift_ds.data.languages import LANGUAGES, base_code, codes_of, language_name
from lingualift_ds.data.scripts import LANGUAGE_SCRIPTS, SCRIPTS, script_check, script_names, scripts_of
from lingualift_ds.errors import DataError

# The languages of MMWP, MGSM, MSVAMP, XNLI, X-CSQA, MUSE and AfroMT.
WANTED = """
    af ar be bem bg bn bs ca cs da de el en es et eu fa fi fr ga gl gu ha he hi hr hu hy id is it ja ka kk kn ko la lb
    ln lt lv mk ml mr ms my nb ne nl nn no pa pl pt rn ro ru si sk sl sq sr st sv sw ta te th tl tr uk ur uz vi xh yo
    zh zu
""".split()
WORDS = {
    "am": "ውሃ", "ar": "ماء", "be": "вада", "bn": "পানি", "el": "νερό", "fa": "آب‌ها", "gu": "પાણી", "ha": "ƙasa",
    "he": "מים", "hi": "पानी", "hy": "ջուր", "ja": "コーヒー", "ka": "წყალი", "km": "ទឹក", "kn": "ನೀರು", "ko": "물",
    "lo": "ນ້ຳ", "ml": "വെള്ളം", "mn": "ус", "mr": "पाणी", "my": "ရေ", "ne": "पानी", "or": "ପାଣି", "pa": "ਪਾਣੀ",
    "ru": "вода", "si": "ජලය", "sw": "ng'ombe", "ta": "தண்ணீர்", "te": "నీరు", "th": "น้ำ", "ti": "ማይ", "ur": "پانی",
    "vi": "nước", "yo": "ọmọ̀", "yi": "וואַסער", "zh": "水",
}  # fmt: skip


def test_every_language_has_scripts_that_are_known():
    assert LANGUAGE_SCRIPTS.keys() == LANGUAGES.keys()
    assert {script for scripts in LANGUAGE_SCRIPTS.values() for script in scripts} == SCRIPTS.keys()
    assert set(WANTED) <= LANGUAGES.keys()
    for language in LANGUAGES:
        script_check(language)  # the regex module knows all of them


@pytest.mark.parametrize("language", WORDS)
def test_a_word_is_in_its_own_script_and_in_no_unrelated_one(language):
    assert script_check(language).holds(WORDS[language])
    assert script_check(language).word.fullmatch(WORDS[language])
    for other, word in WORDS.items():
        if not set(scripts_of(language)) & set(scripts_of(other)):
            assert not script_check(language).holds(word), f"{word} ({other}) as {language}"


def test_languages_of_several_scripts_have_all_of_them_unless_one_is_named():
    assert scripts_of("sr") == ("Cyrl", "Latn") and script_names("sr") == "Cyrillic or Latin"
    assert scripts_of("sr-Latn") == scripts_of("srp_Latn") == ("Latn",)
    assert scripts_of("zho_Hans") == scripts_of("zh-TW") and script_names("ja") == "Han, Hiragana or Katakana"
    for language in ("az", "kk", "ku", "mn", "pa", "sd", "tg", "tk", "tt", "ug", "uz", "ks"):
        assert len(scripts_of(language)) > 1, language
    with pytest.raises(DataError, match="not a known ISO 639 code"):
        scripts_of("qq")


@pytest.mark.parametrize(
    ("code", "short"),
    [
        ("swh", "sw"), ("SWA", "sw"), ("zul_Latn", "zu"), ("zho_Hans", "zh"), ("cmn", "zh"), ("arb_Arab", "ar"),
        ("npi", "ne"), ("nob", "nb"), ("pt-BR", "pt"), ("ger", "de"), ("run", "rn"), ("yue", "yue"), ("qq", "qq"),
    ],
)  # fmt: skip
def test_long_codes_are_those_of_the_short_ones(code, short):
    assert base_code(code) == short
    assert short == "qq" or language_name(code) == LANGUAGES[short]
    assert codes_of(code)[0] == short
