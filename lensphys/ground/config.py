"""Configurations: pydantic models, filled from YAML files; unknown keys are errors."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, TypeVar, get_args, get_origin

from pydantic import (
    BaseModel,
    ConfigDict,
    ValidationError,
)

from lensphys.ground.errors import InputError
from lensphys.ground.names import plain_text, shorten
from lensphys.ground.plain_yaml import PlainYamlError, load_yaml


class Strict(BaseModel):
    """A section of a configuration. Defaults live in the YAML files and nowhere else."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


#: Bytes that a configuration may have, and characters of a value that a message shows.
_LARGEST, _SHOWN = 2**20, 80

ConfigT = TypeVar("ConfigT", bound=BaseModel)

#: Folders laid out as ``configs/``, in which an extension keeps the configurations it adds.
CONFIG_PATH: list[Path] = []


def config_folder(command: str) -> Path:
    """The folder of the shipped configurations of a command."""
    return Path(str(resources.files("configs"))) / command


def config_files(command: str) -> dict[str, Path]:
    """The YAML files of a command by name, shipped ones and those of :data:`CONFIG_PATH`."""
    folders = [folder / command for folder in CONFIG_PATH]
    files = [path for folder in folders for path in sorted(folder.glob("*.yaml"))]
    shipped = sorted(config_folder(command).glob("*.yaml"))
    return {path.stem: path for path in (*files, *shipped)}


def describe_files(command: str) -> str:
    """Describe the YAML files of a command in the words of the comment that each begins with."""
    described = []
    for name, path in config_files(command).items():
        lines = path.read_text(encoding="utf-8").splitlines()
        comment = itertools.takewhile(lambda line: line.startswith("#"), lines)
        words = " ".join(line.lstrip("# ") for line in comment)
        described.append(f"{name}: {words}." if words else f"{name}.")
    return " ".join(described)


def suggestion(name: str, known: Iterable[str]) -> str:
    """`` (did you mean 'x'?)`` for the nearest known name, else the list of known names."""
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f" (did you mean '{near[0]}'?)" if near else f"; known: {', '.join(known)}"


def split_names(text: str | None) -> tuple[str, ...] | None:
    """The names in an option; None where it is not given."""
    return None if text is None else tuple(name.strip() for name in text.split(","))


def shipped_config(command: str, name: str, kind: str) -> Path:
    """The YAML file ``<command>/<name>.yaml``, shipped or in a folder of :data:`CONFIG_PATH`.

    Raises:
        InputError: where there is none; ``kind`` says what was asked for ("method", "task").
    """
    known = config_files(command)
    if name not in known:
        raise InputError(f"unknown {kind} '{name}'{suggestion(name, known)}")
    return known[name]


def load_config(
    schema: type[ConfigT],
    path: Path,
    sets: Iterable[str] = (),
    overrides: Mapping[str, Any] = MappingProxyType({}),
    **top_level: Any,
) -> ConfigT:
    """Read a YAML file, change some of its keys, and check it.

    Args:
        schema: the keys and their types.
        path: the file.
        sets: ``a.b=c`` strings, which come last.
        overrides: values by dotted keys, sections in sections, or both; None is a value.
        top_level: values of keys at the top level; None: not given.

    Raises:
        InputError: for an unreadable file, an unknown key (with the nearest known one) or a value
            out of range.
    """
    return validate(schema, read_config(path, sets, overrides, **top_level), str(path))


def read_config(
    path: Path,
    sets: Iterable[str] = (),
    overrides: Mapping[str, Any] = MappingProxyType({}),
    **top_level: Any,
) -> dict[str, Any]:
    """Read a YAML file and change some of its keys, as :func:`load_config` does before it checks.

    Raises:
        InputError: for an unreadable file, or a string that is not ``a.b=c``.
    """
    values = read_yaml(path)
    merge(values, overrides)
    values |= {key: value for key, value in top_level.items() if value is not None}
    for item in sets:
        _apply_set(values, item)
    return values


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file.

    Raises:
        InputError: where the file cannot be read or holds no mapping.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST + 1)
    except OSError as error:
        raise InputError(f"cannot read the configuration {path}: {error.strerror}") from None
    if len(content) > _LARGEST:
        raise InputError(f"{path} is larger than {_LARGEST:,} bytes; it is no configuration")
    try:
        values = load_yaml(content.decode())
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(f"{path} is not valid YAML: line {line}: it is not UTF-8") from None
    except PlainYamlError as error:
        raise InputError(f"{path} is not valid YAML: {error}") from None
    if not isinstance(values, dict):
        raise InputError(f"{path} must hold a mapping of keys to values")
    return values


def validate(schema: type[ConfigT], values: Mapping[str, Any], where: str) -> ConfigT:
    """Validate values against a schema, with errors of one line.

    Raises:
        InputError: naming the first offending key.
    """
    try:
        return schema.model_validate(values)
    except ValidationError as error:
        # A misspelt key is also a missing one; that it is unknown says more.
        first = min(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
        place, _ = _section(schema, first["loc"])
        key = ".".join(place)
        if first["type"] == "extra_forbidden":
            _, known = _section(schema, first["loc"][:-1])
            near = suggestion(str(first["loc"][-1]), known)
            raise InputError(f"{where}: unknown key '{key}'{near}") from None
        message = first["msg"].removeprefix("Value error, ")
        if first["type"] == "missing":
            raise InputError(f"{where}: the key '{key}' is missing") from None
        shown = shorten(repr(first["input"]), _SHOWN)
        got = "" if first["type"] == "value_error" else f" (got {shown})"
        at = f"{where}: {key}" if key else where
        raise InputError(f"{at}: {message}{got}") from None
    except ArithmeticError:
        raise InputError(f"{where}: a number is too large or too small to compute with") from None


def merge(values: dict[str, Any], overrides: Mapping[str, Any]) -> None:
    """Put values by dotted keys, and those of sections within sections, in their places."""
    for key, value in overrides.items():
        *parents, last = key.split(".")
        section = values
        for parent in parents:
            section = _subsection(section, parent)
        if isinstance(value, Mapping):
            merge(_subsection(section, last), value)
        else:
            section[last] = value


def _subsection(section: dict[str, Any], name: str) -> dict[str, Any]:
    """The section of a name, made where there is none or another value."""
    if not isinstance(section.get(name), dict):
        section[name] = {}
    below: dict[str, Any] = section[name]
    return below


def _apply_set(values: dict[str, Any], item: str) -> None:
    shown = shorten(plain_text(item), _SHOWN)
    key, separator, text = item.partition("=")
    *parents, last = (part.strip() for part in key.split("."))
    if not (separator and last and all(parents)):
        raise InputError(f"--set takes key=value or section.key=value, as seed=1, got '{shown}'")
    section = values
    for parent in parents:
        below = section.setdefault(parent, {})
        if not isinstance(below, dict):
            raise InputError(f"--set {shown}: '{parent}' is a value, not a section")
        section = below
    try:
        section[last] = load_yaml(text)
    except PlainYamlError as error:
        raise InputError(f"--set {shown}: it is not a YAML value: {error}") from None


def _section(
    schema: type[BaseModel], location: tuple[int | str, ...]
) -> tuple[list[str], list[str]]:
    """Place that pydantic means, by names of keys alone, and the keys that are known there."""
    models, place = [schema], []
    for part in location:
        kind = [model for model in models if part in _tags(model)]
        if kind and len(models) > 1:  # not a key, but which of several kinds the section is of
            models = kind
            continue
        place.append(str(part))
        fields = [model.model_fields[part] for model in models if part in model.model_fields]  # type: ignore[index]
        models = [model for field in fields for model in _models(field.annotation)]
    return place, list(dict.fromkeys(name for model in models for name in model.model_fields))


def _tags(model: type[BaseModel]) -> list[Any]:
    """The values that fields of a model may have which name its kind."""
    kinds = [field.annotation for field in model.model_fields.values()]
    return [tag for kind in kinds if get_origin(kind) is Literal for tag in get_args(kind)]


def _models(annotation: Any) -> list[type[BaseModel]]:
    """The models that a value may be of."""
    if hasattr(annotation, "model_fields"):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models(part)]
