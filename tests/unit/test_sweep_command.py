"""`lingualift-ds sweep`, with a stand-in for training and evaluation: what is run, resumed, skipped and ended."""

import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
import yaml
from swept import ARMS, launcher, record, write_sweep

from lingualift_ds.cli.main import main
from lingualift_ds.sweep.record import claim


@pytest.fixture(autouse=True)
def calls(tmp_path, monkeypatch):
    """The file that the stand-in writes its command lines to."""
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    for name in ("FAILS", "SLOW"):
        monkeypatch.delenv(name, raising=False)
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    yield tmp_path / "calls"
    for number, handler in before.items():
        signal.signal(number, handler)


def sweep(path, *words) -> int:
    return main(["sweep", str(path), "--launcher", launcher(path.parent), *words])


def called(calls) -> list[str]:
    """What was run: `lift stage 1`, in order; the file is begun anew."""
    lines = calls.read_text().splitlines() if calls.exists() else []
    calls.unlink(missing_ok=True)
    found = []
    for words in (line.split() for line in lines):
        told = next(w for w in words if "run.output=" in w or "/evaluation" in w)
        arm = told.partition("out/")[2].partition("/")[0]
        found.append(f"{arm} stage {words[2]}" if words[0] == "train.py" else f"{arm} evaluation")
    return found


def test_runs_every_cell_once_and_the_same_command_again_nothing(tmp_path, calls, capfd):
    path = write_sweep(tmp_path)
    assert sweep(path) == 0
    done = called(calls)
    assert len(done) == 8 and done[0] == "lift stage 1" and done.index("lift stage 1") < done.index("frozen stage 2")
    assert (tmp_path / "out/frozen/seed0/logs/stage2.log").is_file()
    assert ": 5 cells are evaluated" in capfd.readouterr().out
    assert sweep(path) == 0 and called(calls) == []


def test_sweep_json_says_where_everything_is(tmp_path):
    figures = {"f": {"kind": "bars", "title": "Parts"}, "g": {"kind": "curve", "grid": "steps"}}
    grids = {"steps": {"name": "number of steps", "key": "stage2.steps", "values": [1, 2]}}
    path = write_sweep(tmp_path, grids=grids, figures=figures, seeds=[7], baseline="mono")
    sweep(path, "--only", "lift")  # not the report
    told = record(tmp_path)
    assert (told["format"], told["name"], told["seeds"], told["baseline"]) == (1, "sweep", [7], "mono")
    assert told["arms"]["frozen"] == {
        "name": "frozen", "grid": None, "value": None,
        "cells": {"7": {
            "runs": {"1": "lift/seed7/stage1", "2": "frozen/seed7/stage2"},
            "results": "frozen/seed7/evaluation",
            "settings": {"stage2.train": ["alignment"]},
        }},
    }  # fmt: skip
    assert told["arms"]["again"]["cells"]["7"]["results"] == "lift/seed7/evaluation"
    of_grid = told["arms"]["steps=2"]
    assert (of_grid["name"], of_grid["grid"], of_grid["value"]) == ("2", "steps", "2")
    assert told["grids"] == {"steps": {"name": "number of steps", "key": "stage2.steps", "values": ["1", "2"]}}
    assert told["figures"] == {
        "f": {"kind": "bars", "title": "Parts", "arms": list(ARMS)},
        "g": {"kind": "curve", "title": "g", "grid": "steps"},
    }


def test_a_failure_takes_what_needs_it_along_and_all_else_goes_on(tmp_path, calls, capfd, monkeypatch):
    path = write_sweep(tmp_path)
    monkeypatch.setenv("FAILS", "frozen/seed0")
    assert sweep(path) == 1
    assert len(called(calls)) == 7
    out, told = capfd.readouterr()
    assert "1 of 8 jobs failed, 1 that need them were skipped" in out
    assert "frozen/seed0 stage 2" in out and "exit code 2" in out and "error: 2 problems: - first\n" in out
    assert "frozen/seed0 stage 2: error: 2 problems: - first (exit code 2, 1 that need it skipped" in told
    monkeypatch.delenv("FAILS")
    assert sweep(path) == 0 and called(calls) == ["frozen stage 2", "frozen evaluation"]


def test_a_shared_stage_that_fails_skips_all_that_start_from_it(tmp_path, calls, capfd, monkeypatch):
    monkeypatch.setenv("FAILS", "lift/seed0/stage1")
    assert sweep(write_sweep(tmp_path), "--jobs", "3") == 1
    assert sorted(called(calls)) == ["lift stage 1", "mono evaluation", "mono stage 2"]
    assert " ".join(capfd.readouterr().out.split()).count("skipped needs lift/seed0 stage 1") == 5


def test_the_report_is_the_last_job_and_its_failure_is_one(tmp_path, calls, capfd):
    path = write_sweep(tmp_path, figures={"f": {"kind": "bars"}}, arms={"mono": ARMS["mono"]})
    assert sweep(path) == 1  # the stand-in's results are none that a report can read
    out = capfd.readouterr().out
    assert "1 of 3 jobs failed" in out and "out/logs/report.log: error: " in out


def test_a_cell_that_failed_does_not_keep_the_report_from_being_drawn(tmp_path, calls, capfd, monkeypatch):
    path = write_sweep(tmp_path, figures={"f": {"kind": "bars"}})
    monkeypatch.setenv("FAILS", "frozen/seed0")
    assert sweep(path) == 1
    assert (tmp_path / "out/logs/report.log").is_file()
    assert "report: started" in capfd.readouterr().err


def test_a_second_sweep_in_the_same_folder_is_refused_while_the_first_is_at_work(tmp_path, calls, capfd):
    path = write_sweep(tmp_path)
    with claim(tmp_path / "out"):
        assert sweep(path) == 2
    assert "out: another sweep is at work here; wait for it" in capfd.readouterr().err and called(calls) == []
    assert sweep(path) == 0


def test_changed_settings_are_refused_before_anything_starts(tmp_path, calls, capfd):
    assert sweep(write_sweep(tmp_path)) == 0
    called(calls)
    capfd.readouterr()
    arms = ARMS | {"frozen": {"set": {"stage2.train": ["alignment"], "stage2.steps": 9}}}
    assert sweep(write_sweep(tmp_path, arms=arms)) == 2
    told = capfd.readouterr().err
    assert "arms.frozen: " in told and "stage2.steps was None, is 9" in told
    evaluate = {"tasks": ["jsonl"], "data": str(tmp_path / "questions"), "limit": 5}
    assert sweep(write_sweep(tmp_path, evaluate=evaluate)) == 2
    assert "was evaluated with evaluate.limit null, and is to be with 5" in capfd.readouterr().err
    evaluate = {"tasks": ["jsonl"], "data": str(tmp_path / "questions"), "languages": ["sw"]}
    assert sweep(write_sweep(tmp_path, evaluate=evaluate)) == 2
    assert "evaluate.languages: was [] for what is answered already, is [sw]; restore it" in capfd.readouterr().err
    kept = {name: arm for name, arm in ARMS.items() if name != "lift"}
    assert sweep(write_sweep(tmp_path, arms=kept)) == 2
    assert "set output to another folder, or keep the arm whose stage it went on from" in capfd.readouterr().err
    # What does not change what is learned may differ, and new arms may come.
    arms = {"new": {"stages": [2], "set": {"stage2.start_from": "scratch", "stage2.train": ["alignment"]}}} | ARMS
    assert sweep(write_sweep(tmp_path, arms=arms, set={"stage2.checkpoint.every": 7})) == 0
    assert called(calls) == ["new stage 2", "new evaluation"]


def test_the_dry_run_shows_cells_what_is_shared_and_commands_and_starts_nothing(tmp_path, calls, capfd):
    path = write_sweep(tmp_path, seeds=[0, 1])
    assert main(["sweep", str(path), "--dry-run"]) == 0
    out = capfd.readouterr().out
    assert "5 arms at seeds 0, 1: 10 cells" in out and "16 stages in all cells, of which 8 are trained" in out
    lines = {line.split()[0]: " ".join(line.split()) for line in out.splitlines() if line.strip()}
    assert lines["frozen"] == "frozen frozen as lift trained after stage 2"
    assert lines["again"] == "again again as lift as lift as lift"
    assert lines["first"] == "first first as lift - after stage 1"
    assert "frozen/seed1 stage 2, after lift/seed1 stage 1\n    python " in out
    assert "jobs left: 8 stages, 8 evaluations\n" in out
    assert not (tmp_path / "out").exists() and called(calls) == []


@pytest.mark.parametrize(
    ("words", "evaluate", "said"),
    [
        (["--only", "lift,none"], {}, "--only lift,none: no arm none; there are lift, frozen"),
        (["--jobs", "0"], {}, "--jobs 0: must be at least 1"),
        ([], {"tasks": ["mgms"]}, "evaluate.tasks: no task 'mgms'; the tasks are"),
        ([], {"data": "gone"}, "evaluate: gone"),
        ([], {"languages": ["sw", "te"]}, "no 'te'"),
    ],
)
def test_what_cannot_be_is_one_line_before_anything_starts(tmp_path, calls, capfd, words, evaluate, said):
    asked = {"tasks": ["jsonl"], "data": str(tmp_path / "questions")} | evaluate
    assert sweep(write_sweep(tmp_path, evaluate=asked), *words) == 2
    told = capfd.readouterr().err
    assert said in told and told.count("\n") == 1 and not (tmp_path / "out").exists()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 75), (signal.SIGINT, 130)])
def test_who_is_told_to_leave_lets_its_jobs_save_and_goes_on_later(tmp_path, calls, number, code):
    path = write_sweep(tmp_path)
    words = [sys.executable, "-m", "lingualift_ds.cli.main", "sweep", str(path), "--jobs", "2"]
    words += ["--launcher", launcher(tmp_path)]
    process = subprocess.Popen(words, env=os.environ | {"SLOW": "1"}, stderr=subprocess.PIPE, text=True)
    begun = [tmp_path / f"out/{run}" for run in ("lift/seed0/stage1", "mono/seed0/stage2")]
    limit = time.monotonic() + 60
    while not all((folder / "begun").exists() for folder in begun):
        assert process.poll() is None and time.monotonic() < limit
        time.sleep(0.05)
    process.send_signal(number)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == code and "waiting for lift/seed0 stage 1, mono/seed0 stage 2 to save" in said
    assert all((folder / "saved").exists() for folder in begun)
    assert sorted(called(calls)) == ["lift stage 1", "mono stage 2"]
    assert sweep(path) == 0 and len(called(calls)) == 8


def test_a_real_sweep_of_tiny_models(tmp_path):
    from tiny import write_recipe

    recipe = write_recipe(tmp_path / "world", zero=1)
    questions = write_sweep(tmp_path).parent / "questions"
    keys = {"recipe": str(recipe), "arms": {"lift": {"name": "LIFT"}, "same": {}}, "set": {}}
    keys["evaluate"] = {"tasks": ["jsonl"], "data": str(questions), "max_new_tokens": 4}
    for number in (1, 2):
        keys["set"] |= {f"stage{number}.steps": 1, f"stage{number}.data.heldout": []}
    path = write_sweep(tmp_path, **keys)
    command = [sys.executable, "-m", "lingualift_ds.cli.main", "sweep", str(path)]
    done = subprocess.run(command, capture_output=True, text=True)
    logs = "".join(log.read_text() for log in sorted(tmp_path.glob("out/lift/seed0/logs/*.log")))
    assert done.returncode == 0, done.stdout + done.stderr + logs[-3000:]
    assert sorted(p.name for p in (tmp_path / "out").glob("[!.]*")) == ["lift", "sweep.json"]
    assert yaml.safe_load((tmp_path / "out/lift/seed0/stage2/config.yaml").read_text())["run"]["seed"] == 0
    assert (tmp_path / "out/lift/seed0/evaluation/jsonl/sw.jsonl").is_file()
    assert main(["sweep", str(path)]) == 0
    shutil.rmtree(tmp_path / "out/lift/seed0/stage1")  # what nothing needs any more is not made again
    assert main(["sweep", str(path)]) == 0 and not (tmp_path / "out/lift/seed0/stage1").exists()
