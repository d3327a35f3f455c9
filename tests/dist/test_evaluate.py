"""An evaluation on two ranks writes the bytes that one process writes, and one process goes on where two stopped."""

import json

from evaluated import results_of, save_bridged, write_questions
from launching import ROOT, launch

from lingualift_ds.cli.evaluate import main


def test_two_ranks_write_what_one_process_does_though_one_has_no_problem_to_solve(tmp_path):
    save_bridged(tmp_path / "model")
    write_questions(tmp_path / "data", sw=3)  # in batches of up to 4: one of problems, three of choices
    told = ["--model", str(tmp_path / "model"), "--tasks", "jsonl,xnli", "--data", str(tmp_path / "data")]
    told += ["--max-new-tokens", "9", "--batch-size", "4", "--name", "both"]
    assert main([*told, "--output", str(tmp_path / "one")]) == 0
    said = launch(2, "deepspeed", ROOT / "launch/evaluate.py", *told, "--output", str(tmp_path / "two"), limit=120)
    assert results_of(tmp_path / "two") == results_of(tmp_path / "one")
    assert said.count("jsonl, exact answers in percent") == 1
    files = sorted((tmp_path / "two/answered").iterdir())
    lines = [path.read_text().splitlines(keepends=True) for path in files]
    assert list(map(len, lines)) == [3 + 4 + 1, 4]
    files[1].write_text("".join(lines[1][:-1]))
    results = json.loads((tmp_path / "two/results.json").read_text())
    (tmp_path / "two/results.json").unlink()
    assert main([*told, "--output", str(tmp_path / "two")]) == 0
    assert results_of(tmp_path / "two") == results_of(tmp_path / "one") and results["name"] == "both"
