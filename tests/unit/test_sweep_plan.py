"""Sweep files and what is planned of them: errors all at once, arms of grids, and stages that are shared."""

from pathlib import Path

import pytest
import yaml
from swept import ARMS, write_sweep

from lingualift_ds.errors import ConfigError
from lingualift_ds.sweep.arms import read_sweep, setting_text
from lingualift_ds.sweep.cells import make_cells
from lingualift_ds.sweep.devices import make_slots, visible_gpus
from lingualift_ds.sweep.plan import Plan, make_plan

ROOT = Path(__file__).parents[2]


def planned(path, owned=(), files=True) -> Plan:
    sweep = read_sweep(path)
    return make_plan(sweep, make_cells(sweep, [arm.key for arm in sweep.arms] if files else ()), owned)


def folders(plan: Plan) -> dict[str, list[str]]:
    """The runs of every cell."""
    return {cell: [run.folder for run in runs] for cell, runs in plan.runs.items()}


def script(plan: Plan, name: str) -> list[str]:
    return list(plan.jobs[name].script)


def test_cells_share_the_stages_that_are_equal_and_start_from_their_artefact(tmp_path):
    plan = planned(write_sweep(tmp_path))
    assert folders(plan) == {
        "lift/seed0": ["lift/seed0/stage1", "lift/seed0/stage2"],
        "frozen/seed0": ["lift/seed0/stage1", "frozen/seed0/stage2"],
        "mono/seed0": ["mono/seed0/stage2"],
        "first/seed0": ["lift/seed0/stage1"],
        "again/seed0": ["lift/seed0/stage1", "lift/seed0/stage2"],
    }
    out = tmp_path / "out"
    assert script(plan, "frozen/seed0 stage 2")[1:] == [
        "--stage", "2", "--config", str(tmp_path / "recipe.yaml"), f"run.output={out}/frozen/seed0", "run.seed=0",
        "stage2.train=[alignment]", f"stage2.start_from={out}/lift/seed0/stage1/artefact",
    ]  # fmt: skip
    assert not any("start_from" in word for word in script(plan, "lift/seed0 stage 2"))
    assert plan.jobs["frozen/seed0 stage 2"].needs == ("lift/seed0 stage 1",)
    assert plan.jobs["mono/seed0 stage 2"].needs == ()
    # The model of Stage I alone is evaluated by itself, that of the same two stages once.
    assert str(out / "lift/seed0/stage1") in script(plan, "first/seed0 evaluation")
    assert "again/seed0 evaluation" not in plan.jobs and plan.evaluated["again/seed0"].arm.key == "lift"


def test_other_seeds_models_and_earlier_stages_are_not_shared(tmp_path):
    arms = {"a": {}, "b": {"set": {"stage1.steps": 5}}, "c": {"set": {"model.alignment.kind": "linear"}}}
    plan = planned(write_sweep(tmp_path, arms=arms, seeds=[0, 1]))
    assert all(run.startswith(cell) for cell, runs in folders(plan).items() for run in runs)
    assert "run.seed=1" in script(plan, "a/seed1 stage 1")


def test_any_number_of_stages_is_shared_as_far_as_they_are_equal(tmp_path):
    recipe = tmp_path / "three.yaml"
    path = write_sweep(tmp_path, recipe=str(recipe), arms={"a": {}, "b": {"set": {"stage3.steps": 5}}})
    values = yaml.safe_load((tmp_path / "recipe.yaml").read_text())
    recipe.write_text(yaml.safe_dump(values | {"stage3": values["stage2"]}))
    plan = planned(path)
    assert folders(plan)["b/seed0"] == ["a/seed0/stage1", "a/seed0/stage2", "b/seed0/stage3"]
    assert f"stage3.start_from={tmp_path}/out/a/seed0/stage2/artefact" in script(plan, "b/seed0 stage 3")
    assert plan.jobs["a/seed0 stage 3"].needs == ("a/seed0 stage 2",)


def test_who_owned_a_run_keeps_it_when_arms_are_put_before(tmp_path):
    owned = {"lift/seed0/stage1", "lift/seed0/stage2", "lift/seed0/evaluation"}
    plan = planned(write_sweep(tmp_path, arms={"new": {}} | ARMS), owned)
    assert folders(plan)["new/seed0"] == ["lift/seed0/stage1", "lift/seed0/stage2"]
    assert plan.evaluated["new/seed0"].arm.key == "lift"


def test_a_grid_makes_an_arm_a_value_whose_setting_keeps_its_type(tmp_path):
    grids = {
        "ratio": {"name": "switch ratio", "key": "stage1.name", "values": ["0.5", 1]},
        "langs": {"key": "stage1.data.languages", "values": {"all": ["sw", "no"]}, "set": {"stage1.epochs": 2}},
    }
    plan = planned(write_sweep(tmp_path, grids=grids))
    assert "stage1.name='0.5'" in script(plan, "ratio=0.5/seed0 stage 1")
    assert "switch ratio 0.5" in script(plan, "ratio=0.5/seed0 evaluation")
    assert {"stage1.epochs=2", "stage1.data.languages=[sw, 'no']"} <= set(script(plan, "langs=all/seed0 stage 1"))
    assert "ratio=1/seed0 stage 2" in plan.jobs


@pytest.mark.parametrize(
    "value", [None, True, 3, 1e-5, "x", "0.5", "no", "[a", "", ["a", "b: c"], {"llm": {"lr": 1.0}}]
)
def test_a_setting_is_read_on_the_command_line_as_it_was_meant(value):
    assert yaml.safe_load(setting_text(value)) == value and "\n" not in setting_text(value)


def test_settings_of_all_cells_leave_out_stages_that_an_arm_does_not_train(tmp_path):
    plan = planned(write_sweep(tmp_path, set={"stage1.steps": 3, "stage2.steps": 4}))
    assert "stage1.steps=3" not in script(plan, "mono/seed0 stage 2")
    assert "stage2.steps=4" in script(plan, "mono/seed0 stage 2")


def test_the_miniature_is_built_once_a_seed_and_its_places_are_filled_in(tmp_path):
    evaluate = {"tasks": ["jsonl"], "data": "{miniature}/questions"}
    sets = {"stage1.data.codeswitch.lexicons": ["{miniature}/lexicons"], "run.cache": "c{seed}"}
    path = write_sweep(tmp_path, recipe="miniature", evaluate=evaluate, set=sets, seeds=[0, 3])
    plan = planned(path)
    assert [name for name in plan.jobs if "miniature" in name] == ["miniature/seed0", "miniature/seed3"]
    there = tmp_path / "out/miniature/seed3"
    told = script(plan, "lift/seed3 stage 1")
    assert f"stage1.data.codeswitch.lexicons=[{there}/lexicons]" in told and "run.cache=c3" in told
    assert str(there / "recipe.yaml") in told and str(there / "questions") in script(plan, "lift/seed3 evaluation")
    assert plan.jobs["lift/seed3 stage 1"].needs == ("miniature/seed3",)


@pytest.mark.parametrize("path", sorted((ROOT / "launch/recipes/sweeps").glob("*.yaml")), ids=lambda p: p.stem)
def test_shipped_sweeps_can_be_planned(path, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    plan = planned(path, files=False)
    assert plan.jobs["report"].needs and len(plan.cells) == len(plan.sweep.arms) * len(plan.sweep.config.seeds)


def problems(path) -> str:
    with pytest.raises(ConfigError) as raised:
        sweep = read_sweep(path)
        make_cells(sweep, [arm.key for arm in sweep.arms])
    return str(raised.value)


def test_an_arm_with_a_recipe_of_its_own_has_its_own_settings_alone(tmp_path):
    arms = {"lift": {}, "other": {"recipe": str(tmp_path / "other.yaml"), "set": {"stage2.epochs": 7}}}
    path = write_sweep(tmp_path, set={"stage2.steps": 4}, arms=arms)
    (tmp_path / "other.yaml").write_text((tmp_path / "recipe.yaml").read_text())
    plan = planned(path)
    assert "stage2.steps=4" in script(plan, "lift/seed0 stage 2")
    assert script(plan, "other/seed0 stage 2")[-2] == "stage2.epochs=7"  # and what it starts from
    assert not any("steps" in word for word in script(plan, "other/seed0 stage 2"))


def test_settings_that_are_the_sweeps_own_are_refused_in_any_form(tmp_path):
    said = problems(write_sweep(tmp_path, arms={"a": {"set": {"run": {"monitors": ["csv"]}}}}))
    assert "arms.a.set: run: is the sweep's own to set" in said


def test_a_missing_file_is_told_once_with_its_arms_and_matters_only_to_arms_that_run(tmp_path):
    path = write_sweep(tmp_path)
    (tmp_path / "data.jsonl").unlink()
    said = problems(path).splitlines()
    assert len([line for line in said if "stage2.data.train: no such file" in line]) == 1
    assert any("arms.lift, arms.frozen, arms.mono and 1 more: stage2.data.train" in line for line in said)
    sweep = read_sweep(path)
    with pytest.raises(ConfigError) as raised:
        make_cells(sweep, ["mono"])
    assert len(raised.value.problems) == 1 and "arms.mono: stage2.data.train" in str(raised.value)
    assert len(make_cells(sweep, ())) == 5


def test_all_that_is_wrong_in_a_sweep_file_is_told_at_once(tmp_path):
    said = problems(write_sweep(tmp_path, armz={}, seeds=["a"], grids={"g": {"kee": 1, "values": []}}))
    for words in ("armz: unknown key; did you mean arms?", "seeds[0]", "grids.g.kee: unknown", "grids.g.key: missing"):
        assert words in said
    said = problems(
        write_sweep(
            tmp_path,
            seeds=[0, 0],
            baseline="none",
            set={"run.seed": 1},
            arms={"miniature": {}, "a/b": {}},
            grids={"g": {"key": "run.output", "values": [1, 1]}, "h": {"key": "x", "values": [[1]]}},
            figures={"f": {"kind": "curve"}, "e": {"kind": "bars", "arms": ["zzz"]}},
        )
    )
    for words in (
        "seeds: [0, 0]: names a seed twice", "baseline: no arm 'none'", "set: run.seed", "arms.miniature",
        "arms.a/b: cannot name a folder", "grids.g.key: run.output", "grids.g.values: [1, 1]: names a value twice",
        "grids.h.values: a list of plain values", "figures.f.grid: missing", "figures.e.arms: no arm 'zzz'",
    ):  # fmt: skip
        assert words in said, said


def test_every_arms_config_is_checked_and_problems_name_their_arm(tmp_path):
    arms = {
        "typo": {"set": {"stage1.stepz": 3}},
        "wrong": {"set": {"stage2.optimizer.lr": 0, "model.llm_max_tokens": 1}},
        "headless": {"stages": [2]},
        "third": {"stages": [1, 2, 3]},
        "lost": {"recipe": str(tmp_path / "none.yaml")},
    }
    grids = {"g": {"key": "stage1.data.train", "values": {"x": ["gone.jsonl"]}}}
    said = problems(write_sweep(tmp_path, arms=arms, grids=grids))
    for words in (
        "arms.typo: ", "stage1.stepz: unknown key; did you mean steps", "arms.wrong: stage2.optimizer.lr: 0.0",
        "arms.wrong: model.llm_max_tokens", "arms.headless: stages: stage 2 starts from stage 1, which is left out",
        "arms.third: stages: 3, but", "none.yaml: no such config file", "grids.g at x: stage1.data.train: no such file",
    ):  # fmt: skip
        assert words in said, said
    assert said.count("model.llm_max_tokens") == 1


def test_contradictions_are_told_before_the_miniature_is_built(tmp_path):
    evaluate = {"tasks": ["jsonl"], "data": "{miniature}/questions"}
    arms = {"a": {}, "b": {"set": {"stage1.optimizer.lr": -1}}, "c": {"set": {"stage2.train": []}}}
    said = problems(write_sweep(tmp_path, recipe="miniature", evaluate=evaluate, arms=arms))
    assert "arms.b: stage1.optimizer.lr: -1" in said and "arms.c: stage2.train: empty" in said
    assert "arms.a" not in said and "no such folder" not in said


def test_only_what_is_not_done_and_still_needed_is_left(tmp_path):
    plan = planned(write_sweep(tmp_path, figures={"f": {"kind": "bars"}}))
    assert {job.name for job in plan.needed(["mono"])} == {"mono/seed0 stage 2", "mono/seed0 evaluation"}
    (tmp_path / "out/lift/seed0/evaluation").mkdir(parents=True)
    results = tmp_path / "out/lift/seed0/evaluation/results.json"
    results.write_text('{"tasks": {"jsonl": {"languages": {"sw": {}}}}}')
    assert plan.needed(["lift"]) == []  # whatever became of its stages
    names = [job.name for job in plan.needed()]
    assert "lift/seed0 stage 2" not in names and "lift/seed0 stage 1" in names and names[-1] == "report"
    results.write_text('{"tasks": {}}')
    assert len(plan.needed(["lift"])) == 3


def test_gpus_are_dealt_out_evenly_and_threads_where_there_are_none(tmp_path, monkeypatch):
    job = planned(write_sweep(tmp_path)).jobs["lift/seed0 stage 1"]
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": "2, 3"}) == ("2", "3")
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": ""}) == visible_gpus({"DS_ACCELERATOR": "cpu"}) == ()
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.delenv("DS_ACCELERATOR", raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2,3,4")
    slots = make_slots(2)
    assert [slot.environment()["CUDA_VISIBLE_DEVICES"] for slot in slots] == ["0,1", "2,3"]
    assert slots[0].command(job)[0].endswith("deepspeed") and "OMP_NUM_THREADS" not in slots[0].environment()
    ports = {slot.command(job)[2] for slot in slots}
    assert len(ports) == 2 and "--num_gpus" not in slots[0].command(job)
    assert "deepspeed" not in make_slots(5)[0].command(job)[0]
    with pytest.raises(ConfigError, match="--jobs 6: there are 5 GPUs"):
        make_slots(6)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(6)))
    assert make_slots(4)[0].environment()["OMP_NUM_THREADS"] == "1"
    assert make_slots(2)[0].environment()["OMP_NUM_THREADS"] == "3"
    own = make_slots(2, ("torchrun", "--master_port", "{port}"))[0].command(job)
    assert own[0] == "torchrun" and own[2].isdigit() and own[3].endswith("train.py")
