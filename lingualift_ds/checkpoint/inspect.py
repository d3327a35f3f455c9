"""What a checkpoint or an artefact holds, and whether it is whole: from manifest, headers, sizes and hashes. No torch.

Nothing that lies in a folder makes it raise: what is wrong becomes a problem of that folder.
"""

import contextlib
import hashlib
import json
import math
import os
import re
import stat
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from lingualift_ds.checkpoint.manifest import FORMAT, NAME, read_manifest
from lingualift_ds.errors import CheckpointError

CHECKPOINT = re.compile(r"step-(\d{6,})")
"""Names of checkpoints, as the store gives them; it is not imported because it brings torch."""
_THREADS = 4
"""Files that are hashed at once."""
_CHUNK_BYTES = 1 << 23
_NUMBERS = ("step", "samples", "tokens", "world_size", "zero")
_LIMIT = 2**63
_DTYPES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"} | {
    **{f"I{bits}": f"int{bits}" for bits in (8, 16, 32, 64)},
    **{"U8": "uint8", "BOOL": "bool"},
}
"""Those of safetensors headers, as manifests have them."""
_HEADER_LIMIT = 100_000_000
"""Bytes of a safetensors header, as its readers have it."""


@dataclass(frozen=True)
class TensorFacts:
    """A tensor as a manifest or a header lists it."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    trained: bool | None
    """None in an artefact, which does not say."""

    @property
    def numel(self) -> int:
        """Elements."""
        return math.prod(self.shape)


@dataclass
class Inspected:
    """One folder with a manifest."""

    path: Path
    kind: Literal["checkpoint", "artefact"]
    size: int
    """Bytes of all files in it, listed or not."""
    written: datetime
    """In UTC."""
    dated_by: Literal["manifest", "files"] = "files"
    manifest: dict[str, Any] | None = None
    """None where it cannot be read."""
    config: dict[str, Any] = field(default_factory=dict)
    """config.json of an artefact."""
    tensors: list[TensorFacts] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    trouble: Literal["damaged", "unfinished", "other format"] = "damaged"
    """What it is where there are problems."""
    hashed: bool = False
    present: dict[str, dict[str, Any]] = field(default_factory=dict)
    """The manifest's entries of the files that are there with their size."""

    @property
    def state(self) -> str:
        """`whole`, or what it is instead. By sizes only, unless `hashed`."""
        return self.trouble if self.problems else "whole"

    @property
    def step(self) -> int | None:
        """The step it is named after, else the manifest's."""
        match = CHECKPOINT.match(self.path.name.removeprefix("."))
        if self.kind == "checkpoint" and match:
            return int(match[1])
        step = (self.manifest or {}).get("step")
        return step if _is_count(step) else None

    @property
    def has_optimizer(self) -> bool:
        """Whether it lists the optimizer's state: files of its own, or inside the model's without ZeRO."""
        manifest = self.manifest or {}
        files = list(manifest.get("files", ()))
        inside = manifest.get("zero") == 0 and any("model_states" in name for name in files)
        return inside or any("optim_states" in name for name in files)

    @property
    def ranks(self) -> int:
        """Ranks whose random states it lists."""
        return sum(bool(re.fullmatch(r"rank-\d+\.json", name)) for name in (self.manifest or {}).get("files", ()))

    @property
    def bytes_present(self) -> int:
        """Bytes that hashing it reads."""
        return sum(entry["size"] for entry in self.present.values())


def inspect_folder(path: Path, kind: Literal["checkpoint", "artefact"]) -> Inspected:
    """What a folder holds, and whether every file its manifest lists is there with its size."""
    found = Inspected(path, kind, disk_bytes(path), _file_time(path))
    try:
        found.manifest = manifest = read_manifest(path)
    except CheckpointError as error:
        problem, cause = _why(error, path), error.__context__
        if isinstance(cause, FileNotFoundError):
            found.trouble = "unfinished"
        elif isinstance(cause, OSError):
            problem = f"{NAME} cannot be read: {cause.strerror}"
        elif _of_other_format(path):
            found.trouble, problem = "other format", problem.removeprefix(f"{NAME}: is ")
        found.problems.append(problem)
        return found
    if (written := _utc(manifest.get("written"))) is not None:
        found.written, found.dated_by = written, "manifest"
    for name, entry in manifest["files"].items():
        problem = _compare(path / name, name, entry["size"])
        if problem is None:
            found.present[name] = entry
        else:
            found.problems.append(problem)
    (_read_checkpoint if kind == "checkpoint" else _read_artefact)(found, manifest)
    return found


def hash_files(folders: Sequence[Inspected], advance: Callable[[int], None]) -> None:
    """Hold the SHA-256 of every file that is there against its manifest, several at a time; what differs becomes a
    problem of its folder. `advance` is told of bytes as they are read."""
    tasks = [(folder, name) for folder in folders for name in folder.present]
    lock, stop = threading.Lock(), threading.Event()

    def read(path: Path) -> str:
        digest = hashlib.sha256()
        with path.open("rb") as file:
            while (chunk := file.read(_CHUNK_BYTES)) and not stop.is_set():
                digest.update(chunk)
                with lock:
                    advance(len(chunk))
        return digest.hexdigest()

    def problem_of(task: tuple[Inspected, str]) -> str | None:
        folder, name = task
        try:
            return None if read(folder.path / name) == folder.present[name]["sha256"] else f"{name}: SHA-256 differs"
        except OSError as error:
            return f"{name} cannot be read: {error.strerror}"

    with ThreadPoolExecutor(_THREADS) as pool:
        try:
            for (folder, _), problem in zip(tasks, pool.map(problem_of, tasks)):
                folder.problems += [problem] if problem else []
        finally:
            stop.set()  # where the user interrupts it, nothing is read to its end
    for folder in folders:
        folder.hashed = folder.manifest is not None


def names_in(folder: Path) -> tuple[list[str], str | None]:
    """Names in a folder, sorted; none, and why, where it cannot be listed. No folder holds nothing."""
    try:
        return sorted(os.listdir(folder)), None
    except FileNotFoundError:
        return [], None
    except OSError as error:
        return [], f"{folder.name} cannot be read: {error.strerror}"


def is_folder(path: Path) -> bool:
    """Whether it is a folder that can be seen."""
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except (OSError, ValueError):
        return False


def disk_bytes(folder: Path) -> int:
    """Bytes of all files below a folder."""
    total = 0
    for where, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.stat(os.path.join(where, name)).st_size
    return total


def read_json(path: Path) -> Any:
    """What a JSON file holds; None where it is missing or is not JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None


def _why(error: CheckpointError, path: Path) -> str:
    """An error's line without the folder, which is named already."""
    text = str(error).removeprefix(f"{path}/").removeprefix(f"{path}: ")
    return text.replace(f"{NAME}: is damaged: ", f"{NAME}: ")


def _of_other_format(path: Path) -> bool:
    manifest = read_json(path / NAME)
    found = manifest.get("format") if isinstance(manifest, dict) else None
    return isinstance(found, int) and found != FORMAT


def _compare(path: Path, name: str, size: int) -> str | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return f"{name} is missing"
    except (OSError, ValueError) as error:
        return f"{name} cannot be read: {getattr(error, 'strerror', None) or error}"
    if not stat.S_ISREG(found.st_mode):
        return f"{name} is no file"
    return None if found.st_size == size else f"{name} has {found.st_size} bytes, manifest says {size}"


def _read_checkpoint(found: Inspected, manifest: dict[str, Any]) -> None:
    """Tensors, and facts without which nothing can go on from it."""
    if manifest.get("kind") != "checkpoint":
        found.problems.append(f"{NAME}: is of kind {short(manifest.get('kind', 'missing'))}, not checkpoint")
        return
    wrong = [name for name in _NUMBERS if not _is_count(manifest.get(name))]
    wrong += [name for name in ("position", "identity", "sources") if not isinstance(manifest.get(name), dict)]
    probe = manifest.get("probe")
    if not isinstance(probe, dict) or not is_number(probe.get("loss")):
        wrong.append("probe")
    tensors = manifest.get("tensors")
    if not isinstance(tensors, dict) or not tensors:
        wrong.append("tensors")
    else:
        for name, entry in tensors.items():
            tensor = _tensor(name, entry, "trained")
            if tensor is None or not isinstance(tensor.trained, bool):
                found.problems.append(f"{NAME}: its tensor {name} is {short(entry)}")
            else:
                found.tensors.append(tensor)
    found.problems += [f"{NAME}: its {name} is {short(manifest.get(name, 'missing'))}" for name in wrong]
    if CHECKPOINT.fullmatch(found.path.name) and "step" not in wrong and manifest["step"] != found.step:
        found.problems.append(f"{NAME}: is that of step {manifest['step']}")


def _read_artefact(found: Inspected, manifest: dict[str, Any]) -> None:
    """Tensors from the headers, and the config."""
    if manifest.get("kind") in ("checkpoint", "universal"):
        found.problems.append(f"{NAME}: is of kind {manifest['kind']}, not artefact")
    if "config.json" in found.present:
        config = read_json(found.path / "config.json")
        if isinstance(config, dict):
            found.config = config
        else:
            found.problems.append("config.json is not readable JSON")
    for name in list(found.present):
        if name.endswith(".safetensors"):
            try:
                tensors = _header(found.path / name)
            except OSError as error:
                found.problems.append(f"{name} cannot be read: {error.strerror}")
                del found.present[name]
            except (ValueError, TypeError, AttributeError, LookupError, RecursionError):
                found.problems.append(f"{name}: its header is damaged")
            else:
                found.tensors += tensors


def _header(path: Path) -> list[TensorFacts]:
    """The tensors of a safetensors file: 8 bytes of length, then JSON. Raises ValueError, or what comes of using JSON
    that is not what it should be, where that is not so."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > _HEADER_LIMIT:
            raise ValueError(f"a header of {length} bytes")
        header = json.loads(file.read(length))
    header.pop("__metadata__", None)
    tensors = [_tensor(name, entry, None) for name, entry in header.items()]
    end = max((entry["data_offsets"][1] for entry in header.values()), default=0)
    if None in tensors or 8 + length + end != path.stat().st_size:
        raise ValueError("a header of another file")
    return tensors


def _tensor(name: str, entry: Any, trained: str | None) -> TensorFacts | None:
    """A tensor's entry in a manifest or header; None where it is none."""
    if not isinstance(entry, dict) or not isinstance(entry.get("dtype"), str):
        return None
    shape = entry.get("shape")
    if not isinstance(shape, list) or not all(_is_count(n) for n in shape) or math.prod(shape) >= _LIMIT:
        return None
    return TensorFacts(
        name, tuple(shape), _DTYPES.get(entry["dtype"], entry["dtype"]), entry.get(trained) if trained else None
    )


def _utc(text: Any) -> datetime | None:
    try:
        written = datetime.fromisoformat(text)
        return (written if written.tzinfo else written.replace(tzinfo=UTC)).astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        return None


def _file_time(folder: Path) -> datetime:
    """When its newest file was changed; the folder itself where it holds none."""
    times = []
    for path in [folder, *(folder / name for name in names_in(folder)[0])]:
        with contextlib.suppress(OSError):
            times.append(path.stat().st_mtime)
    return datetime.fromtimestamp(max(times[1:] or times, default=0), UTC)


def is_number(value: Any) -> bool:
    """Whether it is a number that can be shown; true, false and NaN are none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _LIMIT


def short(value: Any) -> str:
    """A value as it is told of in a problem."""
    try:
        text = value if value == "missing" else repr(value)
    except RecursionError:
        text = type(value).__name__
    return text if len(text) <= 60 else text[:57] + "..."
