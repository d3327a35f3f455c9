"""The container files, without a container engine: what can be checked of them where nothing can be built.

The rules are Docker's (every instruction and its arguments on lines joined by backslashes) and Apptainer's own parser
(pkg/build/types/parser/deffile.go: a line whose first word begins with % begins a section).
"""

import re
import shlex
import subprocess
from fnmatch import fnmatch
from pathlib import Path

import pytest
from launching import ROOT

FOLDER = ROOT / "launch/container"
DIGEST = re.compile(r"@sha256:[0-9a-f]{64}$")
INSTRUCTIONS = {"ARG", "FROM", "RUN", "ENV", "WORKDIR", "COPY", "USER", "CMD", "LABEL", "SHELL"}
SECTIONS = {
    "help", "setup", "files", "labels", "environment", "pre", "post", "runscript", "test", "startscript", "arguments",
}  # fmt: skip
HEADERS = {"bootstrap", "from"}


def instructions(text: str) -> list[tuple[str, str]]:
    """A Dockerfile as (instruction, arguments), comments left out also between joined lines."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n", "", "\n".join(lines))
    return [tuple(line.split(maxsplit=1)) for line in joined.splitlines()]


def definition(text: str) -> tuple[dict[str, str], dict[str, tuple[str, str]]]:
    """An Apptainer definition: its header, and its sections as (arguments, body)."""
    header, *parts = re.split(r"(?m)^(?=[ \t]*%)", text)
    pairs = [line.split(":", 1) for line in header.splitlines() if line.strip() and not line.startswith("#")]
    sections = {}
    for part in parts:
        first, _, body = part.partition("\n")
        name, _, arguments = first.strip().removeprefix("%").partition(" ")
        assert name not in sections, f"%{name} twice"
        sections[name] = (arguments, body)
    return {key.strip().lower(): value.strip() for key, value in pairs}, sections


DOCKERFILE = instructions((FOLDER / "Dockerfile").read_text())
HEADER, DEFINITION = definition((FOLDER / "lingualift.def").read_text())


def of(name: str) -> list[str]:
    return [arguments for instruction, arguments in DOCKERFILE if instruction == name]


def parses(shell: str, script: str) -> None:
    done = subprocess.run([shell, "-n"], input=script, capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stderr}\n{script}"


def goes_in(path: str) -> bool:
    """Whether the build context has a path: as BuildKit reads an ignore file, the last rule that matches decides."""
    kept = True
    for rule in (FOLDER / "Dockerfile.dockerignore").read_text().splitlines():
        pattern = rule.removeprefix("!")
        if not rule or rule.startswith("#"):
            continue
        parents = [path, *map(str, Path(path).parents)][:-1]
        if any(fnmatch(part, pattern) or fnmatch(f"/{part}", pattern.replace("**/", "*/")) for part in parents):
            kept = rule.startswith("!")
    return kept


def test_dockerfile_has_known_instructions_and_begins_from_a_pinned_image():
    assert {name for name, _ in DOCKERFILE} <= INSTRUCTIONS
    defaults = dict(argument.split("=", 1) for argument in of("ARG"))
    (base,) = of("FROM")
    assert base == "${BASE}" and DIGEST.search(defaults["BASE"])
    used = set(re.findall(r"\$\{?([A-Z_]+)", " ".join(arguments for _, arguments in DOCKERFILE)))
    assert used <= set(defaults) | {"PATH"}, "a variable that no ARG states is empty"
    # What the first of them is built for runs as any user, and shows at the end that training would start.
    assert of("USER") and DOCKERFILE[-2:] == [("RUN", "lingualift-ds doctor"), ("CMD", '["lingualift-ds", "doctor"]')]


def test_what_the_dockerfile_copies_is_here_and_not_ignored():
    sources = [source for copy in of("COPY") for source in copy.split()[:-1]]
    assert {"setup.py", "constraints.txt", "launch/setup.sh", "."} <= set(sources)
    for source in sources:
        assert (ROOT / source).exists(), source
        assert source == "." or goes_in(source), source


def test_context_holds_what_a_run_needs_and_nothing_else():
    for path in ("lingualift_ds/cli/main.py", "ds_configs/stage1_zero3.json", "launch/recipes/llama2_7b_mt5_xl.yaml",
                 "launch/train.py", "README.md", "tests/tiny.py"):  # fmt: skip
        assert (ROOT / path).is_file() and goes_in(path), path
    for path in (".git/config", ".venv/bin/python", "runs/x/stage1/COMPLETE", "data/stage1.jsonl", "docs/data.md",
                 "lingualift_ds/__pycache__/log.pyc", "lingualift_ds/cli/__pycache__/main.pyc"):  # fmt: skip
        assert not goes_in(path), path
    named = [line.removeprefix("!") for line in (FOLDER / "Dockerfile.dockerignore").read_text().splitlines()]
    for path in (line for line in named if line and not line.startswith(("#", "*"))):
        assert (ROOT / path).exists(), f"{path} is not here"


def test_every_shell_text_parses():
    for script in of("RUN"):
        parses("sh", script)
    for name in ("environment", "runscript", "test"):
        parses("sh", DEFINITION[name][1])
    arguments, post = DEFINITION["post"]
    assert arguments == "-c /bin/bash"
    parses("bash", post)
    assert post.lstrip().startswith("set -euo pipefail")


def test_definition_has_known_sections_and_the_dockerfiles_image():
    assert set(HEADER) == HEADERS and set(DEFINITION) <= SECTIONS
    assert HEADER["bootstrap"] == "docker" and DIGEST.search(HEADER["from"])
    name, digest = next(a for a in of("ARG") if a.startswith("BASE=")).removeprefix("BASE=").split("@")
    # Apptainer refuses a tag beside a digest.
    assert HEADER["from"] == f"{name.split(':')[0]}@{digest}"
    stated = {line.split("=")[0].strip() for line in DEFINITION["arguments"][1].splitlines() if line.strip()}
    used = {name for _, body in DEFINITION.values() for name in re.findall(r"\{\{ *(\w+) *\}\}", body)}
    assert used == stated


def test_what_the_definition_copies_is_here_and_what_a_run_needs():
    copied = {}
    for line in filter(str.strip, DEFINITION["files"][1].splitlines()):
        source, target = line.split()
        assert (ROOT / source).exists(), source
        copied[source] = target
    # With the slash, Apptainer makes the folder before its first file is copied.
    assert set(copied.values()) == {"/opt/lingualift/"}
    assert set(copied) >= {"setup.py", "constraints.txt", "pyproject.toml", "README.md", "lingualift_ds", "launch"}
    assert "ds_configs" in copied


def commands(name: str) -> list[list[str]]:
    """The plain commands of RUN, or of %post, as words."""
    text = ";".join(of("RUN")) if name == "Dockerfile" else DEFINITION["post"][1].replace("\\\n", " ")
    lines = [line for line in re.split(r"[;\n]|&&", text) if line.strip() and not line.lstrip().startswith("#")]
    return [shlex.split(line) for line in lines]


@pytest.mark.parametrize("name", ["Dockerfile", "lingualift.def"])
def test_both_install_through_setup_with_constraints(name):
    ran = commands(name)
    assert ["bash", "launch/setup.sh"] in [words[-2:] for words in ran]
    assert "--constraint constraints.txt" in (ROOT / "launch/setup.sh").read_text()
    installs = [words for words in ran if "install" in words and any(word.endswith("pip") for word in words)]
    assert installs and all("constraints.txt" in words[words.index("--constraint") + 1] for words in installs)


def test_both_install_the_same_packages_of_the_system():
    def packages(name: str) -> set[str]:
        (found,) = [words for words in commands(name) if "apt-get" in words and "install" in words]
        return {word for word in found[found.index("install") + 1 :] if not word.startswith("-")}

    assert packages("Dockerfile") == packages("lingualift.def") >= {"python3-venv", "python3-dev", "g++"}


def test_image_has_the_cuda_of_the_pinned_torch():
    """PyPI's torch 2.13 asks for cuda-toolkit 13.0; what another one asks for is to be stated here."""
    cuda_of_torch = {"2.13.0": "13.0"}
    torch = re.search(r"(?m)^torch==(\S+)", (ROOT / "constraints.txt").read_text()).group(1)
    base = next(a for a in of("ARG") if a.startswith("BASE="))
    assert torch in cuda_of_torch, "which CUDA is PyPI's torch built with? its package asks for cuda-toolkit==..."
    assert re.search(rf"nvidia/cuda:{re.escape(cuda_of_torch[torch])}\.\d+-devel-", base)


@pytest.mark.parametrize("name", ["Dockerfile", "lingualift.def"])
def test_what_is_said_for_slurm_fits_the_sites_file(name):
    """Lines to copy into launch/slurm/site.env: they parse, and set what is set there."""
    site = (ROOT / "launch/slurm/site.env").read_text()
    comments = [line.removeprefix("#   ") for line in (FOLDER / name).read_text().splitlines() if line.startswith("#")]
    told = "\n".join(comments[next(n for n, line in enumerate(comments) if "site.env" in line) + 1 :])
    lines = re.findall(r"^(?:\w+=\([^()]*\)|\w+=\S+|\w+\(\) \{.*?\}.*)$", told, re.MULTILINE)
    names = {re.match(r"\w+", line).group() for line in lines}
    assert {"python", "prepare_site"} < names and all(re.search(rf"(?m)^{name}(=|\(\))", site) for name in names)
    parses("bash", "\n".join(lines))
