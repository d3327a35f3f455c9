"""Resource levels: by a public measure, or as the benchmark states them; a file with a slip is no silent default."""

import json

import pytest

from lingualift_ds.data.languages import LANGUAGES
from lingualift_ds.errors import DataError
from lingualift_ds.evaluate.levels import LEVELS, SHARES, level_by_share, resource_levels
from lingualift_ds.miniature.world import LANGUAGES as WORLD


def test_the_table_covers_the_languages_of_the_benchmarks_at_all_levels():
    assert len(SHARES) >= 48 and set(SHARES) <= set(LANGUAGES)
    assert {level_by_share(code) for code in SHARES} == set(LEVELS)
    named = "af ar be bg bn ca cs da de en es eu fi fr gu ha hi hr hu hy id is it ja sw te th ru zh ur tr vi el pt pl"
    assert all(level_by_share(code) for code in named.split())


def test_levels_follow_the_stated_bounds_and_agree_with_the_miniature():
    assert (level_by_share("vi"), level_by_share("tr"), level_by_share("he"), level_by_share("bn")) == (
        "high", "medium", "medium", "low"
    )  # fmt: skip
    assert {code: level_by_share(code) for code in WORLD} == {code: language.level for code, language in WORLD.items()}


def test_codes_of_data_sets_have_the_level_of_their_language_and_unknown_ones_none(tmp_path):
    codes = ["swh", "zh-Hant", "nb", "pt-BR", "vai", "ee"]
    assert resource_levels(tmp_path, codes) == {
        "swh": "low", "zh-Hant": "high", "nb": "medium", "pt-BR": "high", "vai": None, "ee": None
    }  # fmt: skip


def test_a_benchmark_states_its_own_levels(tmp_path):
    stated = {"swa": {"level": "high", "name": "Swahili"}, "vai": "low", "Zulu": "medium", "fr": "low"}
    (tmp_path / "languages.json").write_text("\ufeff" + json.dumps(stated), encoding="utf-8")
    assert resource_levels(tmp_path, (code for code in ("sw", "vai", "zu", "de", "ee"))) == {
        "sw": "high", "vai": "low", "zu": "medium", "de": "high", "ee": None
    }  # fmt: skip


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"sw": "Low"}', r"languages.json: language 'sw': level .*'Low'.*: must be one of low, medium, high"),
        ('{"sw": 1}', r"level '1': must be one of"),
        ('{"sw": null}', r"level 'None': must be one of"),
        ('{"sw": ["low"]}', r"must be one of"),
        ('{"sw": {"levle": "low"}}', r"language 'sw': has no 'level', found only levle"),
        ('{"sw": {"level": "lo"}}', r"level .*'lo'.*: must be one of"),
        ('{"qqq": "low"}', r"language 'qqq': not a known ISO 639 code"),
        ('{"sw": "low", "swa": "high"}', r"language 'sw' stands twice, the second time as 'swa'"),
        ('{"sw": "low", "sw": "low"}', r"language 'sw' stands twice"),
        ('["sw"]', r"found a JSON array; an object"),
        ('"low"', r"found a JSON string; an object"),
        ('{"sw": "low",\n}', r"languages.json:2: not JSON"),
        ("", r"languages.json:1: not JSON"),
        (b"\xff\xfe", "not UTF-8"),
    ],
)
def test_a_malformed_file_is_one_line(tmp_path, content, message):
    (tmp_path / "languages.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError, match=message) as caught:
        resource_levels(tmp_path, ["sw"])
    assert "\n" not in str(caught.value)


def test_a_folder_in_the_place_of_the_file_is_told(tmp_path):
    (tmp_path / "languages.json").mkdir()
    with pytest.raises(DataError, match="cannot be read"):
        resource_levels(tmp_path, ["sw"])
