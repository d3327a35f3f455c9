"""The quickstart: miniature, both stages, two arms to compare with, evaluation, report, and where the languages lie.

Every part is a command of the toolkit that a user could type; a part that is done is not done again.
"""

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from lingualift_ds.errors import DataError, LaunchError
from lingualift_ds.log import duration, get_logger
from lingualift_ds.miniature.build import QUESTIONS
from lingualift_ds.miniature.world import LANGUAGES

logger = get_logger(__name__)

ARMS = {
    "lingualift": [],
    "monoreason": ["model.encoder=null"],
    "no_stage1": ["stage2.start_from=scratch", "stage2.train=[alignment,llm]"],
}
"""Arm: what differs from the recipe in Stage II."""
NAMES = {"monoreason": "MonoReason", "no_stage1": "without Stage I", "lingualift": "LinguaLIFT"}
"""Arm: its name in the report, which compares with the first."""
LEVELS = ("low", "medium", "high")


class Quickstart:
    """Runs the parts in order; DIR/quickstart.json keeps what is run and the seconds each part took."""

    def __init__(self, output: Path, seed: int, setup_seconds: float | None = None, rehearse: bool = False):
        self.output, self.seed, self.rehearse = output, seed, rehearse
        self.questions = 8 if rehearse else QUESTIONS
        self.setup_seconds = setup_seconds
        self.recipe = output / "miniature/recipe.yaml"
        self.seconds: dict[str, float] = {}

    def run(self) -> dict:
        """Everything; returns what results.json holds. Raises LaunchError where a part fails."""
        self._open()
        self._part("miniature", self._miniature, [self.recipe])
        for stage in (1, 2):
            made = self.output / f"lingualift/stage{stage}/COMPLETE"
            self._part(f"stage{stage}", lambda stage=stage: self._stage(stage), [made])
        self._part("arms", self._arms, [self.output / arm / "stage2/COMPLETE" for arm in ARMS])
        self._part("evaluate", self._evaluate, [self._scores(arm) for arm in ARMS])
        self._part("report", self._report, [self.output / "report/report.html", self.output / "geometry/geometry.png"])
        self.seconds["total"] = round(sum(v for k, v in self.seconds.items() if k != "total"), 1)
        results = self.results()
        (self.output / "results.json").write_text(json.dumps(results, indent=2), encoding="utf-8")
        from lingualift_ds.miniature.pictures import draw_accuracy, draw_losses

        draw_accuracy(results, self.output / "accuracy.png")
        draw_losses({arm: self.output / arm for arm in ARMS}, self.output / "loss.png")
        return results

    def results(self) -> dict:
        """results.json: exact answers and right objects by arm and language, means by resource level, seconds."""
        found = {arm: json.loads(self._scores(arm).read_text(encoding="utf-8")) for arm in ARMS}
        scores = {arm: values["tasks"]["jsonl"]["languages"] for arm, values in found.items()}
        arms = {a: {code: s[code]["correct"] for code in LANGUAGES} for a, s in scores.items()}
        objects = {a: {code: s[code]["right_object"] for code in LANGUAGES} for a, s in scores.items()}
        return {
            "arms": arms,
            "right_object": objects,
            "levels": {code: language.level for code, language in LANGUAGES.items()},
            "summary": {arm: summarise(values) for arm, values in arms.items()},
            "n": self.questions,
            "seed": self.seed,
            "seconds": self.seconds,
        }

    def _open(self) -> None:
        """Make the folder, or make sure that it holds this very quickstart. Raises DataError."""
        about, wanted = self.output / "quickstart.json", {"seed": self.seed, "rehearse": self.rehearse}
        if about.is_file():
            found = json.loads(about.read_text(encoding="utf-8"))
            if {key: found[key] for key in wanted} != wanted:
                raise DataError(f"{self.output}: holds a quickstart of seed {found['seed']}; choose another --output")
            self.seconds = found["seconds"]
        try:
            self.output.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(f"{self.output}: cannot be written: {error.strerror}") from None
        if self.setup_seconds is not None:
            self.seconds.setdefault("setup", self.setup_seconds)
        self._remember()

    def _remember(self) -> None:
        about = {"seed": self.seed, "rehearse": self.rehearse, "seconds": self.seconds}
        (self.output / "quickstart.json").write_text(json.dumps(about), encoding="utf-8")

    def _scores(self, arm: str) -> Path:
        return self.output / f"evaluation/{arm}/results.json"

    def _part(self, name: str, make: Callable[[], None], made: list[Path]) -> None:
        """Run a part unless everything that it makes is there; a part that was cut short finds what it had done."""
        if all(path.is_file() for path in made):
            logger.info("%s: done before", name)
            return
        started = time.monotonic()
        make()
        self.seconds[name] = round(time.monotonic() - started, 1)
        self._remember()
        logger.info("%s: %s", name, duration(self.seconds[name]))

    def _miniature(self) -> None:
        command = ["miniature", "--output", str(self.output / "miniature"), "--seed", str(self.seed)]
        command += ["--no-pretrain"] if self.rehearse else []
        run_together({"miniature": [sys.executable, "-m", "lingualift_ds.cli.main", *command]})

    def _stage(self, stage: int) -> None:
        deepspeed = Path(sys.executable).with_name("deepspeed")
        command = [str(deepspeed), "--num_gpus", str(_ranks()), *self._training(stage, "lingualift")]
        run_together({f"stage {stage}": command})

    def _arms(self) -> None:
        # One process each: the global batch, and so every loss, is what it would be on two ranks.
        run_together({arm: [sys.executable, *self._training(2, arm)] for arm in ARMS if arm != "lingualift"})

    def _training(self, stage: int, arm: str) -> list[str]:
        config = ["--stage", str(stage), "--config", str(self.recipe), f"run.output={self.output / arm}"]
        if self.rehearse:
            config += [f"stage{stage}.steps=2", f"stage{stage}.data.limit=500", f"run.cache={self.output / 'prepared'}"]
        return [str(_launch_folder() / "train.py"), *config, *(ARMS[arm] if stage == 2 else [])]

    def _evaluate(self) -> None:
        commands = {
            arm: [
                *(sys.executable, "-m", "lingualift_ds.cli.main", "evaluate"),
                *("--model", str(self.output / arm / "stage2"), "--tasks", "jsonl"),
                *("--data", str(self.output / "miniature/questions")),
                *("--output", str(self.output / "evaluation" / arm), "--max-new-tokens", "32"),
                *("--limit", str(self.questions), "--name", NAMES[arm]),
            ]
            for arm in ARMS
        }
        # Text-only reads foreign text byte by byte and takes longest: it goes beside the other two.
        threads = [
            _Thread(lambda: run_together({"monoreason": commands["monoreason"]})),
            _Thread(lambda: [run_together({arm: commands[arm]}) for arm in ("lingualift", "no_stage1")]),
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.finish()

    def _report(self) -> None:
        command = [sys.executable, "-m", "lingualift_ds.cli.main"]
        results = [str(self._scores(arm).parent) for arm in NAMES]
        geometry = ["--model", str(self.output / "lingualift"), "--data", str(self.output / "miniature/questions")]
        run_together(
            {
                "report": [*command, "report", *results, "--output", str(self.output / "report")],
                "geometry": [*command, "geometry", *geometry, "--output", str(self.output / "geometry")],
            }
        )


def summarise(values: dict[str, float]) -> dict[str, float]:
    """Means over the languages of each resource level, and over all."""
    summary = {
        level: _mean([values[code] for code, language in LANGUAGES.items() if language.level == level])
        for level in LEVELS
    }
    return summary | {"all": _mean(list(values.values()))}


def format_results(results: dict) -> str:
    """The table at the end, in percent."""
    codes = sorted(results["levels"], key=lambda code: LEVELS.index(results["levels"][code]))
    lines = [f"{'exact answers, %':<18}" + "".join(f"{c:>7}" for c in [*codes, *LEVELS, "all"])]
    for arm, values in results["arms"].items():
        row = [values[c] for c in codes] + [results["summary"][arm][k] for k in [*LEVELS, "all"]]
        lines.append(f"{arm:<18}" + "".join(f"{100 * v:>7.1f}" for v in row))
    lines.append(f"{'right object, %':<18}")
    for arm, values in results["right_object"].items():
        lines.append(f"{arm:<18}" + "".join(f"{100 * values[c]:>7.1f}" for c in codes))
    return "\n".join(lines)


def run_together(commands: dict[str, list[str]]) -> None:
    """Run commands side by side, each line they write prefixed where there are several.

    Raises LaunchError as soon as one fails, after stopping the others.
    """
    cores = len(os.sched_getaffinity(0))
    environment = os.environ | ({"OMP_NUM_THREADS": str(max(1, cores // len(commands)))} if len(commands) > 1 else {})
    processes = {
        name: subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1
        )
        for name, command in commands.items()
    }
    readers = [threading.Thread(target=_relay, args=(name, p, len(commands) > 1)) for name, p in processes.items()]
    for reader in readers:
        reader.start()
    try:
        while any(p.poll() is None for p in processes.values()):
            _raise_if_failed(processes)
            time.sleep(0.2)
        _raise_if_failed(processes)
    finally:
        for process in processes.values():
            process.terminate()
        for reader in readers:
            reader.join()


def _raise_if_failed(processes: dict[str, subprocess.Popen]) -> None:
    for name, process in processes.items():
        if process.poll():
            raise LaunchError(f"quickstart: {name} failed (exit code {process.returncode}), see above")


def _relay(name: str, process: subprocess.Popen, prefixed: bool) -> None:
    for line in process.stdout:
        sys.stderr.write(f"[{name}] {line}" if prefixed else line)


class _Thread(threading.Thread):
    """A thread whose exception reaches whoever waits for it."""

    def __init__(self, make):
        super().__init__()
        self._make, self._error = make, None

    def run(self) -> None:
        """Work, and keep what went wrong."""
        try:
            self._make()
        except Exception as error:
            self._error = error

    def finish(self) -> None:
        """Wait, and raise what went wrong."""
        self.join()
        if self._error:
            raise self._error


def _ranks() -> int:
    """Two processes; one where there is a single GPU. The losses are the same."""
    import torch

    return min(2, torch.cuda.device_count()) if torch.cuda.is_available() else 2


def _launch_folder() -> Path:
    folder = Path(__file__).parents[2] / "launch"
    if not folder.is_dir() or shutil.which("bash") is None:
        raise LaunchError("quickstart: needs the repository's launch folder; run it from a clone")
    return folder


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
