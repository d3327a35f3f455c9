"""`lingualift-ds inspect`: what it tells of runs, checkpoints and artefacts, whole and damaged; it changes nothing."""

import errno
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from run_folders import DAMAGE, IDENTITY, artefact, checkpoint, entries, spoil

from lingualift_ds.checkpoint import inspect as inspection
from lingualift_ds.checkpoint.listing import list_checkpoints
from lingualift_ds.checkpoint.manifest import sealed, verify, write_json, write_manifest
from lingualift_ds.cli import main as cli
from lingualift_ds.errors import CheckpointError


@pytest.fixture
def run(tmp_path, monkeypatch) -> Path:
    """A complete Stage I and a Stage II that was interrupted."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # it takes most of the time
    run = tmp_path / "run"
    for number in (1, 2):
        for step in (100, 200, 300):
            checkpoint(run / f"stage{number}/checkpoints", step)
        (run / f"stage{number}/config.yaml").write_text("{}")
        lines = [json.dumps({"step": step, "loss": 10 - step / 100}) for step in (298, 299)]
        (run / f"stage{number}/metrics.jsonl").write_text("\n".join([*lines, '{"step": 300, "lo']))
    artefact(run / "stage1/artefact")
    write_json(run / "stage1/COMPLETE", {"stage": "language-align", "step": 300, "identity": IDENTITY})
    return run


@pytest.fixture
def said(capsys):
    """The exit code and what stands on stdout, of `inspect` with some arguments."""

    def call(*arguments: Any) -> tuple[int, str]:
        code = cli.main(["inspect", *map(str, arguments)])
        return code, capsys.readouterr().out

    return call


def row(text: str, step: int) -> str:
    (found,) = re.findall(rf"^ +{step}  \S.*$", text, re.M)
    return found


def test_a_run_is_told_of_at_a_glance(run, said):
    code, text = said(run)
    assert code == 0
    first, second = text.split(f"{run}/stage2")
    assert "(language-align): complete at step 300; metrics to step 299, loss 7.0100" in first
    assert "alignment 2 tensors, 160 parameters; llm 1 tensors, 256 parameters" in first
    assert re.search(r"artefact: \d{4}-\d\d-\d\d \d\d:\d\d, \S+ kB, whole \(sizes\)", first)
    assert re.search(r"LLM +models/llm  a{12}$", first, re.M) and re.search(
        r"encoder +org/encoder  commit 12ab$", first, re.M
    )
    assert re.search(r"handed +nothing", first)
    assert "(task-transfer): not complete" in second
    assert re.search(
        r"^ +100  \d{4}-\d\d-\d\d \d\d:\d\d +\d+\.\d kB +2 +3  2 tensors, 2\.0 M parameters, optimizer, 2 ranks  whole"
        r" \(sizes\)$",
        second,
        re.M,
    )
    assert row(first, 300).endswith("<- latest")  # a complete stage does not go on
    assert row(second, 300).endswith("<- latest, a resume goes on from here")
    assert text.endswith("kB\n") and "only sizes were compared; --verify hashes:" in text


@pytest.mark.parametrize("how", DAMAGE)
def test_damage_is_named_and_the_resume_goes_on_before_it(run, said, how):
    stage = run / "stage2"
    spoil(stage / "checkpoints/step-000300", how)
    code, text = said(stage)
    if how == "flip":
        assert code == 0 and "whole (sizes)" in row(text, 300)
        code, text = said(stage, "--verify")
        assert re.search(r"damaged: bf16\S+optim_states\.pt: SHA-256 differs  <- latest$", row(text, 300))
        assert "whole (hashed)" in row(text, 200)
    else:
        assert re.search(DAMAGE[how], row(text, 300)) and row(text, 300).endswith("<- latest")
    assert code == 1
    assert row(text, 200).endswith("<- a resume goes on from here")
    code, text = said(stage / "checkpoints/step-000300", "--verify")
    assert code == 1 and "\n  problem: " in text


@pytest.mark.parametrize("how", [None, *DAMAGE])
def test_whole_is_what_the_loader_takes_for_whole(run, how):
    path = run / "stage1/checkpoints/step-000200"
    if how:
        spoil(path, how)
    found = inspection.inspect_folder(path, "checkpoint")
    inspection.hash_files([found], lambda count: None)
    try:
        verify(path)
        whole = True
    except CheckpointError:
        whole = False
    assert (found.state == "whole") == whole == (how is None)


def test_names_are_those_of_the_store(tmp_path):
    from lingualift_ds.checkpoint import store

    names = ("step-000100", "step-000020", "step-1000000", "step-5", "step-000030.set-aside", ".step-000040.tmp", "x")
    for name in names:
        (tmp_path / name).mkdir()
    (tmp_path / "step-000050").write_text("a file")
    assert [c.path for c in list_checkpoints(tmp_path).checkpoints] == store.checkpoints(tmp_path)


NONSENSE = (None, [], -1, True, 2**70, "x", {"alignment.end": {"shape": [1e99]}})


@pytest.mark.parametrize("name", ["step", "world_size", "tensors", "identity", "sources", "probe", "position"])
def test_a_manifest_of_nonsense_is_damage_and_no_traceback(tmp_path, said, name):
    path = checkpoint(tmp_path / "checkpoints", 300)
    manifest = json.loads((path / "manifest.json").read_text())
    for value in NONSENSE:
        (path / "manifest.json").write_text(json.dumps(sealed(manifest | {name: value})))
        code, text = said(path.parent)
        if name in ("identity", "sources", "position") and isinstance(value, dict):
            assert code == 0
        else:
            assert code == 1 and re.search(rf"damaged: manifest\.json: its ({name}|tensor)", row(text, 300))
        for arguments in ([], ["--all"], ["--json"], ["--verify"]):
            assert said(path, *arguments)[0] == code


def test_a_checkpoint_under_the_name_of_another_is_damage(run, said):
    folder = run / "stage2/checkpoints"
    (folder / "step-000300").rename(folder / "step-000400")
    assert "damaged: manifest.json: is that of step 300" in row(said(folder)[1], 400)


def test_odd_facts_that_nothing_reads_do_no_harm(tmp_path, said):
    path = checkpoint(tmp_path / "checkpoints", 300)
    manifest = json.loads((path / "manifest.json").read_text())
    deep: Any = []
    for _ in range(200):
        deep = [deep]
    odd = {
        "versions": 3,
        "written": "9999-12-31T23:59:59-23:00",
        "stage": "\x1b[31m\ud800",
        "config": float("nan"),
        "x": deep,
    }
    for key, value in odd.items():
        (path / "manifest.json").write_text(json.dumps(sealed(manifest | {key: value})))
        for target in (path.parent, path):
            code, text = said(target)
            assert code == 0 and "\x1b" not in text
            json.loads(said(target, "--json")[1], parse_constant=pytest.fail)


def test_what_lies_beside_checkpoints_is_listed(run, said):
    folder = run / "stage2/checkpoints"
    checkpoint(folder / ".universal", 300)
    (folder / ".universal/latest").unlink()
    (folder / "step-000300").rename(folder / "step-000300.set-aside")
    for name in (".step-000400.tmp", ".step-000050.old", "step-7", ".universal/.step-000200.tmp"):
        (folder / name).mkdir()
    (folder / ".step-000400.tmp/rank-00000.json").write_text("x" * 1500)
    (run / "stage2/.artefact.tmp").mkdir()
    code, text = said(run / "stage2")
    assert code == 0  # nothing of it is loaded, so none of it is damage
    for name, what in {
        ".step-000400.tmp, 1.5 kB": "being written, or left by a killed process",
        ".step-000050.old, 0 bytes": "half removed",
        "step-000300.set-aside, ": "set aside",
        "step-7, 0 bytes": "not a checkpoint's name",
        ".universal/step-000300, ": "converted for another number of ranks",
        ".universal/.step-000200.tmp, ": "being written, or left",
        ".artefact.tmp, 0 bytes": "an artefact that was not written to its end",
    }.items():
        assert re.search(rf"left over: {re.escape(name)}.*: {re.escape(what)}", text), name
    assert "note: latest names 'step-000300', which is not there" in text
    assert said(folder / "step-000300.set-aside", "--verify")[0] == 0
    assert "unfinished" in said(folder / ".step-000400.tmp")[1]
    (folder / "latest").unlink()
    (folder / "latest").mkdir()
    assert "note: latest cannot be read: Is a directory" in said(folder)[1]


def test_one_checkpoint_is_told_of_in_full(run, said):
    path = run / "stage1/checkpoints/step-000100"
    code, text = said(path, "--verify")
    assert code == 0 and text.startswith(f"{path}: checkpoint, whole (hashed)\n")
    for line in (
        "step 100, 800 samples, 12,345 tokens",
        "epoch 0, step in epoch 100",
        "2 ranks, ZeRO-3, bf16",
        "loss 3.25",
        "c" * 64,
        "data/stage1.jsonl  dddddddddddd",
        "2 tensors, and 1 frozen ones, which --all lists",
    ):
        assert line in text
    assert re.search(r"alignment\.project\.weight +\[2000, 1000\] +float32 +trained", text)
    assert re.search(r"bf16_zero_pp_rank_0_mp_rank_00_optim_states\.pt +5,000", text)
    assert "llm.head" not in text and re.search(r"llm\.head\.weight.*frozen", said(path, "--all")[1])


def test_an_artefact_anywhere_is_told_of_and_its_damage(tmp_path, said):
    path = artefact(tmp_path / "exported", identity={**IDENTITY, "handover": ",".join(["e" * 64] * 2)})
    code, text = said(path, "--verify")
    assert code == 0 and "artefact, whole (hashed)" in text
    assert re.search(r"handed +an artefact: e{12}, e{12}$", text, re.M)
    assert re.search(r"llm\.head\.weight +\[8, 32\] +float32", text)
    weights = path / "model.safetensors"
    whole = weights.read_bytes()
    for damaged, verified in ((whole[:-1] + b"x", True), (whole[:-1], False), (b"\xff" * len(whole), False)):
        weights.write_bytes(damaged)
        code, text = said(path, *(["--verify"] if verified else []))
        assert code == 1 and "problem: model.safetensors" in text
    weights.write_bytes(whole.replace(b"[8, 32]", b"[8, 3] ").replace(b"1664]", b"1600]"))
    assert "problem: model.safetensors: its header is damaged" in said(path)[1]
    weights.write_bytes(whole)
    (path / "config.json").write_text("{" * (path / "config.json").stat().st_size)
    assert "problem: config.json is not readable JSON" in said(path)[1]
    (path / "config.json").unlink()
    assert "problem: config.json is missing" in said(path)[1]


def test_json_is_the_only_thing_on_stdout(run, said):
    spoil(run / "stage2/checkpoints/step-000300", "flip")
    for path in (run, run / "stage2", run / "stage2/checkpoints"):
        code, text = said(path, "--json", "--verify")
        found = json.loads(text)
        assert code == 1 and found["whole"] is False and found["verified"] == "hashes"
        listing = found["stages"][-1]["checkpoints"] if "stages" in found else found["checkpoints"]
        assert listing["latest"] == "step-000300" and listing["resume"] == "step-000200"
        assert [s["state"] for s in listing["steps"]] == ["whole", "whole", "damaged"]
        assert listing["steps"][0]["holds"] == {"tensors": 2, "parameters": 2_000_032, "optimizer": True, "ranks": 2}
    complete = json.loads(said(run, "--json")[1])["stages"][0]
    assert complete["complete"]["step"] == 300 and complete["metrics"] == {"step": 299, "loss": 7.01}
    assert complete["checkpoints"]["resume"] is None
    assert complete["artefact"]["config"]["llm"] == {"name": "models/llm", "fingerprint": "a" * 64}
    one = json.loads(said(run / "stage1/checkpoints/step-000100", "--json", "--all")[1])
    assert one["checkpoint"]["manifest"]["world_size"] == 2 and len(one["checkpoint"]["tensors"]) == 3
    assert one["checkpoint"]["files"]["rank-00000.json"]["size"] == 2


def test_a_stage_that_cannot_count_as_complete_is_damage(run, said):
    (run / "stage1/COMPLETE").write_text("[")
    assert "problem: COMPLETE is damaged" in said(run)[1]
    write_json(run / "stage1/COMPLETE", {"step": 300, "identity": IDENTITY})
    (run / "stage1/artefact").rename(run / "stage1/elsewhere")
    code, text = said(run)
    assert code == 1 and "problem: COMPLETE is there, artefact is missing" in text


def test_an_empty_stage_is_no_damage(tmp_path, said):
    (tmp_path / "run/stage1/checkpoints").mkdir(parents=True)
    for path in ("run", "run/stage1", "run/stage1/checkpoints"):
        code, text = said(tmp_path / path)
        assert code == 0 and "no checkpoints" in text
    assert "not complete; no metrics" in said(tmp_path / "run")[1]
    (tmp_path / "run/stage1/metrics.jsonl").write_text('{"step": 3, "loss": NaN}\n[]\n')
    assert "metrics to step 3, loss not a number" in said(tmp_path / "run")[1]
    (tmp_path / "run/stage1/checkpoints").rmdir()
    assert said(tmp_path / "run")[0] == 0 and said(tmp_path / "run/stage1")[0] == 0


@pytest.mark.parametrize("what", ["nothing", "file", "empty", "other", "converted", "dead link"])
def test_any_other_path_is_one_line(tmp_path, capsys, what):
    path = tmp_path / "it"
    if what == "file":
        path.write_text("x")
    elif what == "dead link":
        path.symlink_to("nowhere")
    elif what == "converted":
        path.mkdir()
        (path / "latest").write_text("x")
        write_manifest(path, "universal", entries(path), {"from": "x"})
    elif what != "nothing":
        path.mkdir()
    if what == "other":
        for name in "dbca":
            (path / name).write_text("x")
    assert cli.main(["inspect", str(path)]) == 2
    out, err = capsys.readouterr()
    assert not out and err.startswith(f"error: {path}: ") and err.count("\n") == 1
    assert {"other": "it holds a, b, c ...", "empty": "it is empty", "nothing": "no such folder"}.get(
        what, "name"
    ) in err


def test_what_may_not_be_read_is_told(run, said, capsys, monkeypatch):
    listdir = os.listdir

    def forbidden(path):
        if Path(path).name == "checkpoints":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return listdir(path)

    monkeypatch.setattr(os, "listdir", forbidden)
    code, text = said(run)
    assert code == 1 and text.count("problem: checkpoints cannot be read: Permission denied") == 2
    assert cli.main(["inspect", str(run / "stage1/checkpoints")]) == 2
    assert "Permission denied" in capsys.readouterr().err


def test_a_file_that_cannot_be_read_is_damage_where_it_is_hashed(run, said, monkeypatch):
    opened, unreadable = Path.open, None

    def broken(path, *arguments, **settings):
        if path.name == "rank-00001.json" and "200" in path.parent.name or path.name == unreadable:
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        return opened(path, *arguments, **settings)

    monkeypatch.setattr(Path, "open", broken)
    code, text = said(run / "stage1", "--verify")
    assert code == 1 and "damaged: rank-00001.json cannot be read: Input/output error" in row(text, 200)
    for unreadable in ("model.safetensors", "manifest.json"):
        code, text = said(run / "stage1")
        assert code == 1 and f"damaged: {unreadable} cannot be read: Input/output error" in text


def test_a_checkpoint_that_a_run_removes_meanwhile_is_left_out(run, said, monkeypatch):
    folder = run / "stage2/checkpoints"

    def rotate(folders, advance):
        (folder / "step-000100").rename(run / "gone")
        found = next(f for f in folders if f.path == folder / "step-000100")
        found.problems.append("rank-00000.json cannot be read: No such file or directory")

    monkeypatch.setattr("lingualift_ds.cli.inspect.hash_files", rotate)
    code, text = said(folder, "--verify")
    assert code == 0 and not re.search(r"^ +100  ", text, re.M)


def test_all_bytes_are_counted_once(run):
    folders = list_checkpoints(run / "stage1/checkpoints").checkpoints
    counted = []
    inspection.hash_files(folders, counted.append)
    assert sum(counted) == sum(f.bytes_present for f in folders) == 3 * (2 * 5102 + 2) and all(
        f.hashed for f in folders
    )


def test_it_reads_without_torch_and_writes_nothing(run):
    before = {p: (p.stat().st_mtime_ns, p.stat().st_size) for p in run.rglob("*")}
    code = (
        "import sys; from lingualift_ds.cli.main import main\n"
        f"code = main(['inspect', {str(run)!r}, '--verify']); assert code == 0; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
    assert before == {p: (p.stat().st_mtime_ns, p.stat().st_size) for p in run.rglob("*")}
