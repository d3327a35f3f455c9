"""The house: imports run one way, README's file map matches the tree, starting is quick."""

import ast
import re
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "lingualift_ds"
# Room: the rooms it may import. log and errors are open to all.
ALLOWED = {
    "config": set(),
    "dist": set(),
    "data": {"dist", "config"},
    "model": {"dist", "config"},
    "engine": {"dist", "config"},
    "checkpoint": {"dist", "config"},
    "hub": {"dist", "config", "data", "model", "checkpoint"},
    "registration": {"hub", "evaluate"},
    "train": {"dist", "config", "data", "model", "engine", "checkpoint", "hub"},
    "evaluate": {"dist", "config", "data", "model", "engine", "checkpoint", "hub"},
    "miniature": {"dist", "config", "data", "model", "engine", "checkpoint"},
    "sweep": {"config", "data", "evaluate", "miniature", "train"},
    "cli": {"dist", "config", "data", "model", "checkpoint", "hub", "train", "evaluate", "miniature", "sweep"},
    "log": set(),
    "errors": set(),
}


def imports(path: Path) -> set[str]:
    """Modules that a file imports, inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def modules() -> list[Path]:
    return [p for p in PACKAGE.rglob("*.py") if p != PACKAGE / "__init__.py"]


def test_imports_run_one_way():
    wrong = []
    for path in modules():
        for name in imports(path):
            parts = name.split(".")
            if parts[0] != "lingualift_ds" or len(parts) < 2 or parts[1] not in ALLOWED:
                continue
            if parts[1] not in ALLOWED[room(path)] | {room(path), "log", "errors"}:
                wrong.append(f"{path.relative_to(ROOT)} imports {name}")
    assert not wrong, "\n".join(wrong)


def test_one_room_owns_each_library():
    for path in modules():
        names = {name.split(".")[0] for name in imports(path)} | imports(path)
        if room(path) != "engine":
            assert "deepspeed" not in names, path
        if room(path) != "dist":
            assert "torch.distributed" not in names, path


def test_files_stay_small_and_say_why_they_exist():
    for path in modules():
        text = path.read_text()
        assert ast.get_docstring(ast.parse(text)), f"{path} has no docstring"
        assert text.count("\n") <= 400, f"{path} has {text.count(chr(10))} lines"


def test_readme_map_names_every_file_and_no_other():
    text = (ROOT / "README.md").read_text()
    block = re.search(r"## File map\n.*?```\n(.*?)```", text, re.S).group(1)
    named, folders = set(), []
    for line in block.splitlines():
        depth = (len(line) - len(line.lstrip())) // 2
        folders = folders[:depth]
        for name in re.findall(r"^[\w./-]+(?:, [\w./-]+)*", line.strip())[0].split(", "):
            if name.endswith("/"):
                folders = folders[:depth] + [name]
            else:
                named.add("".join(folders) + name)
    there = {str(p.relative_to(ROOT)) for p in PACKAGE.rglob("*.py") if p.name != "__init__.py"}
    there = {p for p in there if "/languages/" not in p}
    there |= {str(p.relative_to(ROOT)) for d in ("launch", "ds_configs") for p in (ROOT / d).rglob("*") if p.is_file()}
    there = {p for p in there if "__pycache__" not in p}
    assert {p for p in named if p.startswith(("lingualift_ds/", "launch/", "ds_configs/"))} - {
        "lingualift_ds/__init__.py"
    } == there


def test_top_level_is_as_agreed():
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True).stdout.split()
    allowed = {
        "lingualift_ds", "ds_configs", "launch", "tests", "setup.py", "README.md",
        "benchmarks", "docs", "constraints.txt", "pyproject.toml", "LICENSE", ".ci", ".gitignore",
    }  # fmt: skip
    assert {Path(f).parts[0] for f in tracked} <= allowed


def test_command_line_starts_without_torch():
    code = "import sys, lingualift_ds.cli.main, lingualift_ds.cli.train; print('torch' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "False"


def test_no_folder_of_tests_is_left_out(request):
    left_out = request.config.getini("norecursedirs")
    folders = {path.parent.name for path in (ROOT / "tests").glob("*/test_*.py")}
    assert folders >= {"dist", "e2e", "gpu", "launch", "slurm", "unit"}
    assert not [name for name in folders if any(fnmatch(name, pattern) for pattern in left_out)]
