"""Language codes and their English names, for Stage I's instruction, reports and file names.

The codes are ISO 639-1, or 639-3 where a language has no shorter one. A code with a region or script
(`pt-BR`, `zh_TW`) has the name of its base, and so have the three-letter codes that data sets use (`swh`, `zul_Latn`).
"""

import difflib
from functools import cache

from lingualift_ds.errors import DataError

_TABLE = """
ace Acehnese|acm Mesopotamian Arabic|acq Taizzi-Adeni Arabic|aeb Tunisian Arabic|af Afrikaans
ajp South Levantine Arabic|ak Akan|am Amharic|an Aragonese|apc North Levantine Arabic|ar Arabic
ars Najdi Arabic|ary Moroccan Arabic|arz Egyptian Arabic|as Assamese|ast Asturian|awa Awadhi|ay Aymara
az Azerbaijani|azb South Azerbaijani|ba Bashkir|ban Balinese|be Belarusian|bem Bemba|bg Bulgarian
bho Bhojpuri|bjn Banjar|bm Bambara|bn Bengali|bo Tibetan|br Breton|bs Bosnian|bug Buginese|ca Catalan
ceb Cebuano|cjk Chokwe|ckb Sorani Kurdish|co Corsican|crh Crimean Tatar|cs Czech|cv Chuvash|cy Welsh
da Danish|de German|dik Southwestern Dinka|dv Divehi|dyu Dyula|dz Dzongkha|ee Ewe|el Greek|en English
eo Esperanto|es Spanish|et Estonian|eu Basque|fa Persian|ff Fula|fi Finnish|fil Filipino|fj Fijian
fo Faroese|fon Fon|fr French|fur Friulian|fy Western Frisian|ga Irish|gd Scottish Gaelic|gl Galician
gn Guarani|gu Gujarati|gv Manx|ha Hausa|haw Hawaiian|he Hebrew|hi Hindi|hne Chhattisgarhi|hr Croatian
ht Haitian Creole|hu Hungarian|hy Armenian|ia Interlingua|id Indonesian|ig Igbo|ilo Ilocano|is Icelandic
it Italian|ja Japanese|jv Javanese|ka Georgian|kab Kabyle|kac Jingpho|kam Kamba|kbp Kabiye
kea Kabuverdianu|kg Kongo|ki Kikuyu|kk Kazakh|kl Greenlandic|km Khmer|kmb Kimbundu|kn Kannada|ko Korean
kr Kanuri|ks Kashmiri|ku Kurdish|ky Kyrgyz|la Latin|lb Luxembourgish|lg Luganda|li Limburgish|lij Ligurian
lmo Lombard|ln Lingala|lo Lao|lt Lithuanian|ltg Latgalian|lua Luba-Kasai|luo Luo|lus Mizo|lv Latvian
mag Magahi|mai Maithili|mg Malagasy|mi Maori|min Minangkabau|mk Macedonian|ml Malayalam|mn Mongolian
mni Meitei|mos Mossi|mr Marathi|ms Malay|mt Maltese|my Burmese|nb Norwegian Bokmal|nd Northern Ndebele
ne Nepali|nl Dutch|nn Norwegian Nynorsk|no Norwegian|nr Southern Ndebele|nso Northern Sotho|nus Nuer
ny Chichewa|oc Occitan|om Oromo|or Odia|os Ossetian|pa Punjabi|pag Pangasinan|pap Papiamento|pcm Nigerian Pidgin
pl Polish|prs Dari|ps Pashto|pt Portuguese|qu Quechua|rm Romansh|rn Rundi|ro Romanian|ru Russian|rw Kinyarwanda
sa Sanskrit|sat Santali|sc Sardinian|scn Sicilian|sd Sindhi|se Northern Sami|sg Sango|sh Serbo-Croatian
shn Shan|si Sinhala|sk Slovak|sl Slovenian|sm Samoan|sn Shona|so Somali|sq Albanian|sr Serbian|ss Swati
st Southern Sotho|su Sundanese|sv Swedish|sw Swahili|szl Silesian|ta Tamil|taq Tamasheq|te Telugu|tg Tajik
th Thai|ti Tigrinya|tk Turkmen|tl Tagalog|tn Tswana|to Tongan|tpi Tok Pisin|tr Turkish|ts Tsonga|tt Tatar
tum Tumbuka|tw Twi|ty Tahitian|tzm Central Atlas Tamazight|ug Uyghur|uk Ukrainian|umb Umbundu|ur Urdu|uz Uzbek
ve Venda|vec Venetian|vi Vietnamese|war Waray|wo Wolof|wuu Wu Chinese|xh Xhosa|yi Yiddish|yo Yoruba
yue Cantonese|zh Chinese|zu Zulu
"""

# ISO 639-3 codes, the older 639-2 ones, and those of the variety that a data set (NLLB, FLORES) means by a language.
_LONGER = """
af afr|ak aka|am amh|an arg|ar ara arb|as asm|ay aym ayr|az aze azj|ba bak|be bel|bg bul|bm bam|bn ben|bo bod tib
br bre|bs bos|ca cat|co cos|cs ces cze|cv chv|cy cym wel|da dan|de deu ger|dv div|dz dzo|ee ewe|el ell gre|en eng
eo epo|es spa|et est ekk|eu eus baq|fa fas per pes|ff ful fuv|fi fin|fj fij|fo fao|fr fra fre|fy fry|ga gle|gd gla
gl glg|gn grn gug|gu guj|gv glv|ha hau|he heb iw|hi hin|hr hrv|ht hat|hu hun|hy hye arm|ia ina|id ind in|ig ibo
is isl ice|it ita|ja jpn|jv jav jw|ka kat geo|kg kon|ki kik|kk kaz|kl kal|km khm|kn kan|ko kor|kr kau knc|ks kas
ku kur kmr|ky kir|la lat|lb ltz|lg lug|li lim|ln lin|lo lao|lt lit|lv lav lvs|mg mlg plt|mi mri mao|mk mkd mac
ml mal|mn mon khk|mr mar|ms msa may zsm zlm|mt mlt|my mya bur|nb nob|nd nde|ne nep npi|nl nld dut|nn nno|no nor
nr nbl|ny nya|oc oci|om orm gaz|or ori ory|os oss|pa pan|pl pol|ps pus pbt|pt por|qu que quy quz|rm roh|rn run
ro ron rum mo|ru rus|rw kin|sa san|sc srd|sd snd|se sme|sg sag|sh hbs|si sin|sk slk slo|sl slv|sm smo|sn sna
so som|sq sqi alb als|sr srp|ss ssw|st sot|su sun|sv swe|sw swa swh|ta tam|te tel|tg tgk|th tha|ti tir|tk tuk
tl tgl|tn tsn|to ton|tr tur|ts tso|tt tat|tw twi|ty tah|ug uig|uk ukr|ur urd|uz uzb uzn|ve ven|vi vie|wo wol
xh xho|yi yid ydd ji|yo yor|zh zho chi cmn|zu zul
"""

LANGUAGES: dict[str, str] = dict(
    entry.split(" ", 1) for line in _TABLE.strip().splitlines() for entry in line.split("|")
)
"""English name by code."""

_SHORT = {
    longer: code
    for entry in _LONGER.replace("|", "\n").strip().splitlines()
    for code, *rest in [entry.split()]
    for longer in rest
}
_OTHER_NAMES = {
    "farsi": "fa", "kiswahili": "sw", "mandarin": "zh", "bahasa indonesia": "id", "isizulu": "zu", "isixhosa": "xh",
    "sesotho": "st", "sepedi": "nso", "setswana": "tn", "kirundi": "rn", "ganda": "lg", "nyanja": "ny", "oriya": "or",
    "sinhalese": "si", "myanmar": "my", "flemish": "nl", "kirghiz": "ky", "uighur": "ug", "gaelic": "gd",
    "siswati": "ss", "chewa": "ny", "gikuyu": "ki", "afaan oromoo": "om", "xitsonga": "ts",
}  # fmt: skip
_CODES = {name.lower(): code for code, name in LANGUAGES.items()} | _OTHER_NAMES

SPACELESS = frozenset({"th", "zh", "yue", "wuu", "ja", "my", "shn", "km", "lo", "bo", "dz"})
"""Languages written without spaces between words."""


def base_code(code: str) -> str:
    """The language part of a code, in lower case and at its shortest: `zh` of `zh-TW`, `pt` of `pt_BR`, `sw` of
    `swh` and `swh_Latn`."""
    base = code.replace("_", "-").split("-")[0].lower()
    return _SHORT.get(base, base)


@cache
def codes_of(code: str) -> tuple[str, ...]:
    """Every code of a language in the table, the shortest first: `sw`, `swa`, `swh`."""
    base = base_code(code)
    return (base, *(longer for longer, short in _SHORT.items() if short == base))


def language_name(code: str) -> str:
    """The English name of a language code.

    Raises:
        DataError: for a code the table does not have; names the nearest ones.
    """
    name = LANGUAGES.get(base_code(code))
    if name is None:
        sought = code.strip().lower()
        hint = _CODES.get(sought)
        near = [hint] if hint else [_CODES[n] for n in difflib.get_close_matches(sought, _CODES, n=3, cutoff=0.75)]
        near = near or difflib.get_close_matches(sought, LANGUAGES, n=3, cutoff=0.3)
        near_text = ", ".join(f"{c} ({LANGUAGES[c]})" for c in dict.fromkeys(near))
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


def small_letters(text: str, code: str) -> str:
    """`text` in small letters where it is all capitals; other text as it is."""
    if not text.isupper():
        return text
    return (text.replace("İ", "i").replace("I", "ı") if base_code(code) in _DOTTED_I else text).lower()
