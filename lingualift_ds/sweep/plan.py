"""What a sweep runs: each stage once for all cells that share it, each model's evaluation once; as jobs that need
each other.

Two cells share a stage where all that decides what is learned is equal: seed, model, the stage's settings, and the
stage that it goes on from. The first cell that needs it trains it, in its own run folder; the others start from there.
"""

import json
import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from lingualift_ds.config.load import load_config, to_dict
from lingualift_ds.errors import CheckpointError, ConfigError
from lingualift_ds.evaluate.report.results import FILE as RESULTS
from lingualift_ds.sweep.arms import Sweep, setting_text
from lingualift_ds.sweep.cells import Cell, overrides
from lingualift_ds.sweep.schema import EvaluateConfig
from lingualift_ds.train.folder import StageFolder, decide
from lingualift_ds.train.stages import Stage

_LAUNCH = Path(__file__).parents[2] / "launch"


@dataclass(frozen=True)
class Run:
    """A stage that is trained. The first cell that needs it owns it; before: the run that it goes on from."""

    owner: Cell
    stage: Stage
    before: "Run | None"

    @property
    def folder(self) -> str:
        """Relative to the sweep's."""
        return f"{self.owner.folder}/{self.stage.folder}"

    def overrides(self, sweep: Sweep) -> list[str]:
        """What goes over the recipe on the command line."""
        settings = {"run.output": str(sweep.output / self.owner.folder), "run.seed": self.owner.seed}
        settings |= self.owner.settings
        if self.before is not None and self.before.owner is not self.owner:
            settings[f"{self.stage.folder}.start_from"] = str(sweep.output / self.before.folder / "artefact")
        return overrides(settings)


@dataclass(frozen=True)
class Job:
    """A command in a process of its own.

    Attributes:
        name: what the terminal calls it.
        script: what stands behind `python`.
        log: where its output goes.
        made: the file that is there once it has succeeded; None: it is run every time.
        needs: names of jobs that must have succeeded before.
        asked: of an evaluation, what `made` must hold.
    """

    name: str
    kind: Literal["miniature", "stage", "evaluation", "report"]
    script: tuple[str, ...]
    log: Path
    made: Path | None = None
    needs: tuple[str, ...] = ()
    asked: EvaluateConfig | None = None

    def is_done(self) -> bool:
        """Whether it need not be run."""
        if self.made is None or not self.made.is_file():
            return False
        return self.asked is None or _answers(self.made, self.asked)


@dataclass(frozen=True)
class Plan:
    """All of a sweep.

    Attributes:
        cells: arm by arm.
        runs: by cell's folder, the runs of its stages in order.
        evaluated: by cell's folder, the cell whose evaluation is also this one's.
        jobs: by name, none before what it needs.
    """

    sweep: Sweep
    cells: list[Cell]
    runs: Mapping[str, list[Run]]
    evaluated: Mapping[str, Cell]
    jobs: Mapping[str, Job]

    def needed(self, arms: Iterable[str] | None = None) -> list[Job]:
        """Jobs that are still to run for these arms, or for all and the report, none before what it needs."""
        arms = None if arms is None else set(arms)
        wanted = [evaluation(self.evaluated[c.folder]) for c in self.cells if arms is None or c.arm.key in arms]
        wanted += ["report"] if arms is None and "report" in self.jobs else []
        found: set[str] = set()
        while wanted:
            job = self.jobs[wanted.pop()]
            if job.name not in found and not job.is_done():
                found.add(job.name)
                wanted += job.needs
        return [job for name, job in self.jobs.items() if name in found]


def make_plan(sweep: Sweep, cells: list[Cell], owned: Collection[str] = ()) -> Plan:
    """Plan all cells. owned: folders of runs and evaluations of an earlier start, which stay with their cells."""
    identities = {cell.folder: _identities(cell) for cell in cells}
    owners: dict[str, Cell] = {}
    for cell in cells:
        for number, identity in identities[cell.folder].items():
            owner = owners.setdefault(identity, cell)
            if f"{cell.folder}/stage{number}" in owned and f"{owner.folder}/stage{number}" not in owned:
                owners[identity] = cell
    runs = {cell.folder: _cell_runs(cell, identities[cell.folder], owners) for cell in cells}
    evaluating: dict[str, Cell] = {}
    for cell in cells:
        folder = runs[cell.folder][-1].folder
        first = evaluating.setdefault(folder, cell)
        if f"{cell.folder}/evaluation" in owned and f"{first.folder}/evaluation" not in owned:
            evaluating[folder] = cell
    evaluated = {cell.folder: evaluating[runs[cell.folder][-1].folder] for cell in cells}
    jobs = _jobs(sweep, cells, runs, evaluated)
    return Plan(sweep, cells, runs, evaluated, {job.name: job for job in jobs})


def check_unchanged(plan: Plan, asked: Mapping[str, Any]) -> None:
    """Raise ConfigError where a folder holds a run or an evaluation of other settings, for all cells at once. asked:
    what `evaluate` said at an earlier start."""
    problems: dict[str, None] = {}
    now = to_dict(plan.sweep.config.evaluate)
    answered = any(job.kind == "evaluation" and job.made.is_file() for job in plan.jobs.values())
    for key in ("data", "languages") if answered else ():
        if key in asked and asked[key] != now[key]:
            problems[
                f"evaluate.{key}: was {setting_text(asked[key])} for what is answered already, is "
                f"{setting_text(now[key])}; restore it, or set output to another folder"
            ] = None
    for cell in plan.cells:
        for run in plan.runs[cell.folder]:
            if run.owner is cell and run.owner.recipe.is_file():
                config = load_config(run.owner.recipe, run.overrides(plan.sweep))
                try:
                    decide(StageFolder(plan.sweep.output / run.folder), config, run.stage, "auto")
                except CheckpointError as error:
                    keep = ", or keep the arm whose stage it went on from" if "start_from" in str(error) else ""
                    told = str(error).replace("set run.output to another folder", f"set output to another folder{keep}")
                    problems[f"arms.{cell.arm.key}: {told}"] = None
        if plan.evaluated[cell.folder] is cell:
            folder = plan.sweep.output / cell.folder / "evaluation"
            problems |= dict.fromkeys(f"arms.{cell.arm.key}: {p}" for p in _changed(folder, plan.sweep.config.evaluate))
    if problems:
        raise ConfigError(*[f"{plan.sweep.path}: {p}" for p in problems])


def evaluation(cell: Cell) -> str:
    """The name of a cell's evaluation among the jobs."""
    return f"{cell.folder} evaluation"


def _identities(cell: Cell) -> dict[int, str]:
    """By stage, all that decides what is learned in it."""
    found: dict[int, str] = {}
    for stage in cell.stages:
        before = found[stage.start] if isinstance(stage.start, int) else None
        settings = to_dict(cell.config.stage(stage.number))
        told = [cell.seed, to_dict(cell.config.model), stage.number, settings, before]
        found[stage.number] = json.dumps(told, sort_keys=True)
    return found


def _cell_runs(cell: Cell, identities: Mapping[int, str], owners: Mapping[str, Cell]) -> list[Run]:
    """The runs of a cell's stages, in order."""
    found: dict[int, Run] = {}
    for stage in cell.stages:
        before = found[stage.start] if isinstance(stage.start, int) else None
        found[stage.number] = Run(owners[identities[stage.number]], stage, before)
    return list(found.values())


def _jobs(sweep: Sweep, cells: list[Cell], runs: Mapping[str, list[Run]], evaluated: Mapping[str, Cell]) -> list[Job]:
    jobs = [_miniature(sweep, seed) for seed in sweep.config.seeds] if sweep.uses_miniature else []
    stages = {run.folder: run for cell in cells for run in runs[cell.folder]}
    jobs += [_stage(sweep, run) for run in sorted(stages.values(), key=lambda run: run.stage.number)]
    evaluations = [_evaluation(sweep, c, runs[c.folder][-1]) for c in cells if evaluated[c.folder] is c]
    jobs += evaluations
    if sweep.config.figures:
        told = ("-m", "lingualift_ds.cli.main", "report", str(sweep.output))
        needs = tuple(job.name for job in evaluations)
        jobs.append(Job("report", "report", told, sweep.output / "logs/report.log", needs=needs))
    return jobs


def _miniature(sweep: Sweep, seed: int) -> Job:
    folder = sweep.miniature(seed)
    told = ("-m", "lingualift_ds.cli.main", "miniature", "--output", str(folder), "--seed", str(seed))
    log = sweep.output / f"logs/miniature-seed{seed}.log"
    return Job(_miniature_name(seed), "miniature", told, log, folder / "recipe.yaml")


def _miniature_name(seed: int) -> str:
    return f"miniature/seed{seed}"


def _stage_name(run: Run) -> str:
    return f"{run.owner.folder} stage {run.stage.number}"


def _stage(sweep: Sweep, run: Run) -> Job:
    cell, folder = run.owner, sweep.output / run.folder
    told = ("--stage", str(run.stage.number), "--config", str(cell.recipe), *run.overrides(sweep))
    if run.before is not None:
        needs = (_stage_name(run.before),)
    else:
        needs = (_miniature_name(cell.seed),) if sweep.uses_miniature else ()
    log = sweep.output / cell.folder / f"logs/{run.stage.folder}.log"
    return Job(_stage_name(run), "stage", (_launch("train.py"), *told), log, folder / "COMPLETE", needs)


def _evaluation(sweep: Sweep, cell: Cell, run: Run) -> Job:
    asked, output = sweep.config.evaluate, sweep.output / cell.folder / "evaluation"
    told = ["--model", str(sweep.output / run.folder), "--tasks", ",".join(asked.tasks)]
    for folder in sweep.filled(asked.data, cell.seed):
        told += ["--data", folder]
    told += ["--output", str(output), "--name", sweep.called(cell.arm)]
    told += ["--languages", ",".join(asked.languages)] if asked.languages else []
    told += [] if asked.limit is None else ["--limit", str(asked.limit)]
    told += ["--batch-size", str(asked.batch_size), "--max-new-tokens", str(asked.max_new_tokens)]
    log = sweep.output / cell.folder / "logs/evaluation.log"
    return Job(
        evaluation(cell), "evaluation", (_launch("evaluate.py"), *told), log, output / RESULTS,
        (_stage_name(run),), asked,
    )  # fmt: skip


def _launch(script: str) -> str:
    """The path of a script in launch/, short where one stands in the repository root."""
    path = os.path.relpath(_LAUNCH / script)
    return str(_LAUNCH / script) if path.startswith(os.pardir) else path


def _answers(results: Path, asked: EvaluateConfig) -> bool:
    """Whether a results.json has all that is asked; a damaged one has not, and the evaluation says so."""
    try:
        tasks = json.loads(results.read_text(encoding="utf-8"))["tasks"]
        return all(set(asked.languages) <= tasks[task]["languages"].keys() for task in asked.tasks)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def _changed(folder: Path, asked: EvaluateConfig) -> list[str]:
    """Settings that decide answers, and differ from those of the answers in a folder."""
    try:
        before = json.loads((folder / "evaluation.json").read_text(encoding="utf-8"))
        return [
            f"{folder}: was evaluated with evaluate.{name} {setting_text(before[name])}, and is to be with "
            f"{setting_text(getattr(asked, name))}; restore it, or set output to another folder"
            for name in ("limit", "max_new_tokens")
            if name in before and before[name] != getattr(asked, name)
        ]
    except (OSError, ValueError, TypeError):  # the evaluation itself tells of a damaged one
        return []
