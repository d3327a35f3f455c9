"""`lingualift-ds prepare`: what it says, and how it fails."""

import re
from pathlib import Path

import tiny
from test_prepared import UNUSABLE, folders, write

from lingualift_ds.cli import main as cli


def test_the_command_prepares_once_and_says_what_there_is(tmp_path, capsys):
    recipe = tiny.write_recipe(tmp_path)
    write(tmp_path / "stage1.jsonl", 40, UNUSABLE)
    command = ["prepare", "--config", str(recipe), "--stage", "1", f"run.cache={tmp_path}/cache"]
    said = []
    for _ in range(2):
        assert cli.main(command) == 0
        said.append(capsys.readouterr().out)
    assert said[0].count("prepared now") == 2 and said[1].count("already prepared") == 2
    train, heldout = said[0].split("stage 1, heldout")
    assert f"stage 1, train: {tmp_path}/stage1.jsonl" in train
    assert "41 used, 2 dropped" in train and "1 dropped, no target" in train and "7 used, 0 dropped" in heldout
    (lengths,) = re.findall(r"LLM +([\d,]+) +([\d.]+) +(\d+) +(\d+) +(\d+)", train)
    total, mean, p50, p95, most = (float(n.replace(",", "")) for n in lengths)
    assert abs(total / 41 - mean) < 0.1 and p50 <= p95 <= most <= 160
    assert len(folders(tmp_path / "cache")) == 2
    assert all(Path(f).is_dir() for f in re.findall(r"folder +(\S+),", said[0]))


def test_the_command_ends_in_one_line_where_the_data_are_bad(tmp_path, capsys):
    recipe = tiny.write_recipe(tmp_path)
    (tmp_path / "stage1.jsonl").write_text("{")
    assert cli.main(["prepare", "--config", str(recipe), "--stage", "1", f"run.cache={tmp_path}/cache"]) == 2
    assert re.search(r"^error: .*stage1\.jsonl:1: not JSON", capsys.readouterr().err, re.M)
