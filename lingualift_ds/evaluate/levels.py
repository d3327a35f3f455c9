"""Resource levels of languages: how much text a language has for a model to learn from.

The levels are by a public measure: a language's share of the pages of Common Crawl, in percent, as Common Crawl states
it of its crawl CC-MAIN-2022-40 (https://commoncrawl.github.io/cc-crawl-statistics/plots/languages; languages are told
by CLD2). The bounds are those of Lai et al. (2023, "ChatGPT Beyond English", https://arxiv.org/abs/2304.05613):
high above 1 %, medium above 0.1 %, low below, where they part low and extremely low.

They are near the paper's levels and not the same: its benchmark has 21 low, 17 medium and 10 high languages. A
benchmark's own levels go before them: a file `languages.json` in its folder, {"sw": "low", ...} or
{"sw": {"level": "low", "name": "Swahili"}, ...}.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lingualift_ds.data.jsonl import excerpt, kind_name
from lingualift_ds.data.languages import LANGUAGES, base_code
from lingualift_ds.errors import DataError
from lingualift_ds.evaluate.benchmarks.files import language_of

LEVELS = ("low", "medium", "high")
"""The resource levels, the poorest first."""
HIGH_ABOVE = 1.0
"""Percent of Common Crawl's pages above which a language is of high resource."""
MEDIUM_ABOVE = 0.1
"""As HIGH_ABOVE, of medium resource; below it, of low."""
FILE = "languages.json"

_TABLE = """
en 45.8786|ru 5.9692|de 5.8811|zh 4.8747|ja 4.7884|fr 4.7254|es 4.4690|it 2.5712|nl 2.0585|pl 1.6636|pt 1.1505
cs 1.1069|vi 1.0299|tr 0.8439|id 0.7991|sv 0.6969|ar 0.6658|fa 0.6582|ko 0.6498|hu 0.6093|el 0.5870|ro 0.5637
da 0.4301|th 0.4143|fi 0.4080|sk 0.3777|no 0.3421|uk 0.3304|bg 0.2900|ca 0.2314|sr 0.2205|hr 0.1979|lt 0.1617
hi 0.1588|sl 0.1582|et 0.1354|la 0.1232|he 0.1152|bn 0.0930|lv 0.0831|ms 0.0826|bs 0.0473|ta 0.0446|sq 0.0437
az 0.0414|gl 0.0400|is 0.0397|ka 0.0352|mk 0.0347|eu 0.0323|hy 0.0314|ne 0.0304|ur 0.0274|ml 0.0222|mn 0.0216
mr 0.0213|kk 0.0211|te 0.0183|be 0.0162|nn 0.0162|uz 0.0162|gu 0.0126|my 0.0126|kn 0.0122|km 0.0108|cy 0.0095
eo 0.0091|tl 0.0088|si 0.0085|af 0.0084|sw 0.0077|ga 0.0063|tt 0.0063|pa 0.0061|ku 0.0055|ky 0.0049|tg 0.0047
lo 0.0045|or 0.0044|mt 0.0042|fo 0.0040|so 0.0040|am 0.0037|lb 0.0037|fy 0.0032|oc 0.0032|mg 0.0031|br 0.0029
sa 0.0029|ha 0.0028|ps 0.0028|tk 0.0027|war 0.0027|co 0.0026|as 0.0025|ceb 0.0024|jv 0.0023|dv 0.0021|rw 0.0020
ht 0.0018|bo 0.0017|yi 0.0017|zu 0.0017|gd 0.0015|sd 0.0015|ug 0.0015|xh 0.0015|ba 0.0013|mi 0.0013|rm 0.0012
su 0.0012|kl 0.0010|yo 0.0010|ti 0.0009|haw 0.0007|ia 0.0007|qu 0.0007|sn 0.0007|st 0.0007|gn 0.0006|ig 0.0006
ny 0.0006|sm 0.0006|gv 0.0005|om 0.0005|dz 0.0002|fj 0.0002|ln 0.0002|lg 0.0002|sg 0.0002|ak 0.0001|ay 0.0001
nso 0.0001|rn 0.0001|to 0.0001|tn 0.0001|wo 0.0001|ss 0.0000|ts 0.0000|ve 0.0000|ks 0.0000
"""
SHARES: dict[str, float] = {
    code: float(share) for line in _TABLE.split("\n") for code, share in map(str.split, filter(None, line.split("|")))
}
"""Percent of the pages of CC-MAIN-2022-40 by language code."""
_COUNTED_AS = {"nb": "no", "fil": "tl", "tw": "ak"}
"""Languages that the crawl counts under another's name."""


def resource_levels(folder: Path, languages: Iterable[str]) -> dict[str, str | None]:
    """The level of each language, from `folder`'s languages.json where that has it, else by its share of Common Crawl.

    None for a language that neither has: the caller warns of it, for it is in no mean of a level.

    Raises:
        DataError: for a languages.json that is no JSON object, names an unknown language or one twice, or gives
            another level than those of LEVELS.
    """
    languages = tuple(languages)
    path = Path(folder) / FILE
    stated = _read(path, languages) if path.exists() else {}
    return {code: _of(stated, code) or level_by_share(code) for code in languages}


def level_by_share(code: str) -> str | None:
    """The level of a language by its share of Common Crawl; None where that does not count it."""
    base = base_code(code)
    share = SHARES.get(_COUNTED_AS.get(base, base))
    if share is None:
        return None
    return "high" if share > HIGH_ABOVE else "medium" if share > MEDIUM_ABOVE else "low"


def _of(stated: dict[str, str], code: str) -> str | None:
    """What the file states of a language: of `zh` for `zh-Hant` too."""
    canonical = language_of(code) or code
    return stated.get(canonical) or stated.get(base_code(canonical))


def _read(path: Path, languages: tuple[str, ...]) -> dict[str, str]:
    """The levels that a file states, by code. A code may be unknown here where it is one of `languages`."""
    try:
        stated = json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=_Pairs)
    except UnicodeDecodeError:
        raise DataError(f"{path}: not UTF-8; save the file as UTF-8") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None
    except json.JSONDecodeError as error:
        raise DataError(f"{path}:{error.lineno}: not JSON ({error.msg} at column {error.colno})") from None
    except (RecursionError, ValueError) as error:
        raise DataError(f"{path}: JSON that cannot be read ({error})") from None
    if not isinstance(stated, _Pairs):
        raise DataError(f'{path}: found a JSON {kind_name(stated)}; an object such as {{"sw": "low"}} is needed')
    levels: dict[str, str] = {}
    for name, value in stated:
        code = language_of(name) or name
        if base_code(code) not in LANGUAGES and code not in languages:
            raise DataError(f"{path}: language {name!r}: not a known ISO 639 code, nor one of the benchmark's")
        if code in levels:
            raise DataError(f"{path}: language {code!r} stands twice, the second time as {name!r}; leave one")
        levels[code] = _level(f"{path}: language {name!r}", value)
    return levels


class _Pairs(list):
    """The keys and values of a JSON object, with keys that stand twice."""


def _level(where: str, value: Any) -> str:
    if isinstance(value, _Pairs):
        fields = dict(value)
        if "level" not in fields:
            raise DataError(f"{where}: has no 'level', found only {', '.join(fields) or 'nothing'}")
        value = fields["level"]
    if value not in LEVELS:
        raise DataError(f"{where}: level {excerpt(repr(value))}: must be one of {', '.join(LEVELS)}")
    return value
