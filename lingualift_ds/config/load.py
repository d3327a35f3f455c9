"""Parse: YAML and `key.path=value` overrides to a frozen Config, with every problem reported at once."""

import dataclasses
import difflib
import types
import typing
from pathlib import Path
from typing import Any, Literal, Union

import yaml

from lingualift_ds.config.layout import stage_number
from lingualift_ds.config.schema import Config, StageConfig
from lingualift_ds.errors import ConfigError

Settings = typing.TypeVar("Settings")


class _UniqueKeyLoader(yaml.SafeLoader):
    """SafeLoader that refuses a key given twice (PyYAML keeps the last one silently)."""


def _mapping_of_unique_keys(loader: _UniqueKeyLoader, node: yaml.MappingNode) -> dict:
    seen = set()
    for key_node, _ in node.value:
        if key_node.tag == "tag:yaml.org,2002:merge":
            continue
        if not isinstance(key_node, yaml.ScalarNode):
            raise yaml.MarkedYAMLError(problem="a key must be a word", problem_mark=key_node.start_mark)
        key = loader.construct_object(key_node, deep=True)
        if key in seen:
            raise yaml.MarkedYAMLError(problem=f"key {key!r} is given twice", problem_mark=key_node.start_mark)
        seen.add(key)
    loader.flatten_mapping(node)  # `<<: *anchor`: merged keys come first, the mapping's own go over them
    return loader.construct_mapping(node, deep=True)


def _unshared(value: Any) -> Any:
    """A copy in which aliases (`*anchor`) are separate values: an override of one must not reach the other."""
    if isinstance(value, dict):
        return {k: _unshared(v) for k, v in value.items()}
    return [_unshared(v) for v in value] if isinstance(value, list) else value


_UniqueKeyLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping_of_unique_keys)


def load_config(path: Path | str, overrides: typing.Sequence[str] = ()) -> Config:
    """The config in a YAML file, with overrides such as `stage1.optimizer.lr=1e-3` applied.

    Raises ConfigError: no such file, not YAML, unknown keys (with the nearest valid one), wrong types,
    missing keys: all of them at once.
    """
    values = _read_yaml(Path(path))
    problems: list[str] = []
    stated = {key for key in values if stage_number(str(key))} | {"stage1", "stage2"}
    for override in overrides:
        key = override.partition(".")[0]
        if stage_number(key) and key not in stated:
            problems.append(f"override {override!r}: the recipe has no {key}; it has {', '.join(sorted(stated))}")
        _apply_override(values, override, problems)
    stages = {key: values.pop(key) for key in list(values) if stage_number(str(key))}
    config = _build(Config, values, "", problems, also=("stage1", "stage2"))
    numbered = {
        stage_number(key): _build(StageConfig, {} if value is None else value, f"{key}.", problems)
        for key, value in stages.items()
    }
    if problems:
        raise ConfigError(*[f"{path}: {p}" for p in problems])
    return dataclasses.replace(config, stages=dict(sorted(numbered.items())))


def load_settings(kind: type[Settings], path: Path | str) -> Settings:
    """Any frozen dataclass from a YAML file, such as a sweep's, checked as a config is. Raises ConfigError."""
    problems: list[str] = []
    settings = _build(kind, _read_yaml(Path(path)), "", problems)
    if problems:
        raise ConfigError(*[f"{path}: {p}" for p in problems])
    return settings


def to_dict(config: Any) -> Any:
    """A config as plain dicts, lists and scalars, in the order of the schema; stages as a recipe has them."""
    if isinstance(config, Config):
        stages = {f"stage{number}": to_dict(stage) for number, stage in config.stages.items()}
        return {"model": to_dict(config.model), "run": to_dict(config.run)} | stages
    if dataclasses.is_dataclass(config):
        return {f.name: to_dict(getattr(config, f.name)) for f in dataclasses.fields(config)}
    if isinstance(config, (tuple, list)):
        return [to_dict(v) for v in config]
    if isinstance(config, dict):
        return {k: to_dict(v) for k, v in config.items()}
    return config


def dump_config(config: Config) -> str:
    """The resolved config as YAML; `load_config` of it gives an equal config."""
    return yaml.safe_dump(to_dict(config), sort_keys=False, allow_unicode=True)


def _read_yaml(path: Path) -> dict:
    if not path.is_file():
        near = sorted(p.name for p in path.parent.glob("*.yaml")) if path.parent.is_dir() else []
        hint = f"; in {path.parent}: {', '.join(near)}" if near else ""
        raise ConfigError(f"{path}: no such config file{hint}")
    try:
        values = yaml.load(path.read_text(encoding="utf-8"), Loader=_UniqueKeyLoader)
    except (yaml.YAMLError, ValueError, KeyError, RecursionError) as error:
        raise ConfigError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: holds {_kind(values)}, expected keys such as `model:` and `stage1:`")
    return _unshared(values)


def _apply_override(values: dict, override: str, problems: list[str]) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        problems.append(f"override {override!r}: expected key.path=value, such as stage1.optimizer.lr=1e-3")
        return
    try:
        value = yaml.load(text, Loader=_UniqueKeyLoader)
    except (yaml.YAMLError, ValueError, KeyError, RecursionError):
        problems.append(f"override {override!r}: the value is not valid YAML")
        return
    at = values
    *parents, last = key.split(".")
    for name in parents:
        if at.get(name) is None:
            at[name] = {}
        at = at[name]
        if not isinstance(at, dict):
            problems.append(f"override {override!r}: {name} holds no keys")
            return
    at[last] = value


def _build(kind: type, values: Any, where: str, problems: list[str], also: tuple[str, ...] = ()) -> Any:
    """An instance of a dataclass from a dict; problems are appended, and None returned where it cannot be. also: keys
    that are allowed beside the fields, in place of `stages`."""
    if not isinstance(values, dict):
        problems.append(f"{where}: expected keys, found {_kind(values)}")
        return None
    hints = typing.get_type_hints(kind)
    fields = {f.name: f for f in dataclasses.fields(kind)}
    known = [name for name in fields if name != "stages"] + list(also) if also else list(fields)
    for key in values:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1, cutoff=0.5)
            say = f"did you mean {near[0]}?" if near else f"valid keys: {', '.join(known)}"
            problems.append(f"{where}{key}: unknown key; {say}")
    arguments = {}
    for name, spec in fields.items():
        if name in values and name in known:
            arguments[name] = _convert(hints[name], values[name], f"{where}{name}", problems)
        elif spec.default is dataclasses.MISSING and spec.default_factory is dataclasses.MISSING:
            problems.append(f"{where}{name}: missing; it has no default")
            arguments[name] = None
    return kind(**arguments)


def _convert(hint: Any, value: Any, where: str, problems: list[str]) -> Any:
    """`value` as the type a field states, or a problem. YAML reads 6e-4 as text: numbers in text are taken."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if dataclasses.is_dataclass(hint):
        return _build(hint, {} if value is None else value, where + ".", problems)
    if origin in (Union, types.UnionType):
        if value is None and type(None) in args:
            return None
        if type(value) in args:
            return value
        return _convert(next(a for a in args if a is not type(None)), value, where, problems)
    if origin is Literal:
        if isinstance(value, bool) and {"on", "off"} <= set(args):
            return "on" if value else "off"  # YAML 1.1 reads both words as switches
        if value not in args or isinstance(value, bool):
            problems.append(f"{where}: {value!r} is not one of {', '.join(map(str, args))}")
        return value
    if origin is tuple:
        return _convert_tuple(args, value, where, problems)
    if origin is dict:
        if not isinstance(value, dict):
            problems.append(f"{where}: expected keys, found {_kind(value)}")
            return {}
        return {k: _convert(args[1], v, f"{where}.{k}", problems) for k, v in value.items()}
    return _convert_scalar(hint, value, where, problems)


def _convert_tuple(args: tuple, value: Any, where: str, problems: list[str]) -> tuple:
    if isinstance(value, str) and args[0] is str:
        value = [value]
    if not isinstance(value, (list, tuple)):
        problems.append(f"{where}: expected a list, found {_kind(value)}")
        return ()
    if args[-1] is not Ellipsis and len(value) != len(args):
        problems.append(f"{where}: expected {len(args)} values, found {len(value)}")
        return tuple(value)
    return tuple(_convert(args[0], v, f"{where}[{i}]", problems) for i, v in enumerate(value))


def _convert_scalar(hint: type, value: Any, where: str, problems: list[str]) -> Any:
    if hint is float and isinstance(value, (int, float, str)) and not isinstance(value, bool):
        try:
            return float(value)
        except ValueError:
            pass
    elif hint is str and isinstance(value, (str, int)) and not isinstance(value, bool):
        return str(value)
    elif type(value) is hint:
        return value
    wanted = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}[hint]
    quote = "; YAML takes no, yes, on and off for switches: put words in quotes" if type(value) is bool else ""
    problems.append(f"{where}: expected {wanted}, found {_kind(value)} {value!r}{quote if hint is str else ''}")
    return value


def _kind(value: Any) -> str:
    names = {dict: "keys", list: "a list", str: "text", int: "a whole number", float: "a number", bool: "a switch"}
    return "nothing" if value is None else names.get(type(value), type(value).__name__)
