"""A save is killed before every single thing it does, and within every file it writes."""

import json

import pytest
from launching import ROOT, launch

RENAME = "os.rename .step-000040.tmp to step-000040"


@pytest.fixture(scope="module")
def kills(tmp_path_factory) -> list[dict]:
    """Every kill, of a save of step 40 where 20 and 30 are whole."""
    said = launch(1, "python", ROOT / "tests/dist/killed_saves.py", str(tmp_path_factory.mktemp("killed")))
    found = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    return [kill for kill in found if any(code < 0 for code in kill["exit"])]


def test_kills_reach_every_part_of_a_save(kills):
    for ranks, background in ((1, "on"), (1, "off"), (2, "on")):
        places = {(k["rank"], k["event"]) for k in kills if (k["ranks"], k["background"]) == (ranks, background)}
        assert len(places) >= 20
    what = {k["what"] for k in kills}
    assert {RENAME, "os.rename latest.tmp to latest", "open for writing .step-000040.tmp/rank-00001.json"} <= what
    assert any(k["cut"] for k in kills)


def test_killed_save_leaves_the_checkpoint_before_it_or_its_own_and_nothing_half(kills):
    for kill in kills:
        assert not kill["half"], kill
        assert kill["whole"][-2:] in ([20, 30], [30, 40]), kill
    for kill in kills:
        if kill["rank"] == 0:
            same = [k["event"] for k in kills if k["what"] == RENAME and k["background"] == kill["background"]
                    and k["ranks"] == kill["ranks"]]  # fmt: skip
            # It exists from its rename on: pointing at it and removing old ones come after.
            assert (kill["whole"][-1] == 40) == (kill["event"] > same[0]), kill


def test_next_start_goes_on_from_the_newest_whole_one_and_saves_again(kills):
    for kill in kills:
        assert kill["next"] == 0 and kill["finally"][-1] == 50 and not kill["litter"], kill
        # The one gone on from is kept.
        assert kill["whole"][-1] in kill["finally"], kill
