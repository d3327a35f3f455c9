"""All checks, a few at a time, and what differs between nodes."""

from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from lingualift_ds.train.doctor import compute, packages, pair, system
from lingualift_ds.train.doctor.folder import run_folder
from lingualift_ds.train.doctor.gpus import gpus
from lingualift_ds.train.doctor.line import FAILED, Line, lines_of

_AT_ONCE = 3


def examine(folder: Path, with_pair: bool = True) -> list[Line]:
    """The whole table, in a fixed order. `with_pair`: start two ranks here too."""
    checks = {
        "python": packages.python,
        "packages": packages.packages,
        "torch": compute.torch_build,
        "GPU": gpus,
        "compilers": compute.compilers,
        "deepspeed": compute.deepspeed,
        "flash-attn": compute.attention,
        "two ranks": pair.two_ranks,
        "run folder": partial(run_folder, folder),
        "encoding": system.encoding,
        "open files": system.open_files,
        "/dev/shm": system.shared_memory,
    }
    if not with_pair:
        del checks["two ranks"]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return [line for lines in pool.map(lines_of, checks, checks.values()) for line in lines]


def failed(lines: list[Line]) -> int:
    """How many of the lines say that training would not start."""
    return sum(line.verdict == FAILED for line in lines)


def differences(nodes: list[tuple[str, dict[str, str]]]) -> dict[str, dict[str, str]]:
    """What is not equal everywhere, by what and then by host. `nodes`: every task's host and facts."""
    found: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for what in dict.fromkeys(what for _, facts in nodes for what in facts):
        for host, facts in nodes:
            if facts.get(what, "missing") not in found[what][host]:
                found[what][host].append(facts.get(what, "missing"))
    return {
        what: {host: " and ".join(values) for host, values in hosts.items()}
        for what, hosts in found.items()
        if len({value for values in hosts.values() for value in values}) > 1
    }
