"""Pages and tables made of the program itself: the commands, and what its registries offer."""

from __future__ import annotations

import enum
import importlib
import inspect
import typing
from typing import Any

import typer

import cli
from learn.methods import METHODS
from learn.tasks import TASKS
from lensphys.ground.config import config_files, read_yaml
from simulate.dataset import columns
from simulate.presets import PRESETS


def table_files() -> dict[str, str]:
    """Return every table, by its path below ``generated/``."""
    return {
        "commands.md": commands_page(),
        "tables/columns.md": columns.markdown(),
        "tables/methods.md": method_table(),
        "tables/tasks.md": task_table(),
        "tables/models.md": model_table(),
        "tables/tiers.md": tier_table(),
    }


def commands_page() -> str:
    """Return the page of all commands with their arguments and options."""
    group: Any = typer.main.get_command(cli.app)
    for command in group.commands.values():
        command.fill_help()
    rows = "\n".join(
        f"| [`{name}`](#{name}) | {_first_sentence(command.help)} |"
        for name, command in group.commands.items()
    )
    sections = "\n\n".join(_command(name, command) for name, command in group.commands.items())
    return f"""\
# Commands

`lensphys COMMAND`, or `python cli.py COMMAND` in a clone. `--help` after a command prints what
stands here.

| command | |
|---|---|
{rows}

{sections}
"""


def _command(name: str, command: Any) -> str:
    shown = [p for p in command.params if not getattr(p, "hidden", False) and p.name != "help"]
    arguments = [p for p in shown if p.param_type_name == "argument"]
    options = [p for p in shown if p.param_type_name == "option"]
    taken = _taken(command)
    needed = [f"{p.opts[0]} {taken[p.name]}" for p in options if p.required]
    usage = " ".join(["lensphys", name, *(taken[p.name] for p in arguments), *needed, "[OPTIONS]"])
    parts = [f"## {name}", f"```text\n{usage}\n```", inspect.cleandoc(command.help or "")]
    rows = [f"| `{taken[p.name]}` | {_cell(p.help)} | required |" for p in arguments]
    for option in options:
        spelled = f"{', '.join(option.opts)} {_cell(taken[option.name])}".strip()
        rows.append(f"| `{spelled}` | {_cell(option.help)} | {_default(option)} |")
    return "\n\n".join([*parts, "\n".join(["| option | | default |", "|---|---|---|", *rows])])


def _taken(command: Any) -> dict[str, str]:
    """Return the placeholder of the value of each parameter of a command, empty for a flag."""
    signature = inspect.signature(command.callback, eval_str=True).parameters
    taken = {}
    for param in command.params:
        metavar = param.metavar
        if metavar is None and param.name in signature:
            metavar = _choices(signature[param.name].annotation)
        taken[param.name] = metavar or ""
        if param.nargs == -1:
            taken[param.name] += "..."
    return taken


def _choices(annotation: Any) -> str:
    kinds = [annotation, *typing.get_args(annotation)]
    enums = [k for k in kinds if isinstance(k, type) and issubclass(k, enum.Enum)]
    return "|".join(str(member.value) for member in enums[0]) if enums else ""


def _default(param: Any) -> str:
    if param.required:
        return "required"
    if param.default is None or param.default in (False, (), []):
        return ""
    value = getattr(param.default, "value", param.default)
    return "" if callable(value) else f"`{value}`"


def _cell(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", "\\|").replace("<", "&lt;")


def method_table() -> str:
    """Return the table of pretraining methods, with what their shipped configuration says."""
    rows = []
    for name, target in METHODS.items():
        config = read_yaml(config_files("pretrain")[name])
        epochs = config["optimizer"]["epochs"]
        rows.append(f"| `{name}` | {_first_sentence(_class(target).__doc__)} | {epochs} |")
    return "\n".join(["| `--method` | | epochs |", "|---|---|--:|", *rows]) + "\n"


def task_table() -> str:
    """Return the table of tasks."""
    rows = [
        f"| `{name}` | {_first_sentence(_class(target).__doc__)} |"
        for name, target in TASKS.items()
    ]
    return "\n".join(["| `--task` | |", "|---|---|", *rows]) + "\n"


def model_table() -> str:
    """Return the table of the shipped models: instrument, image and number of classes."""
    rows = []
    for path in config_files("simulate").values():
        config = read_yaml(path)
        assert config["preset"] in PRESETS
        classes = ", ".join(f"`{name}`" for name in config["classes"])
        rows.append(
            f"| {config['model']} | `{config['preset']}` | `{config['instrument']}` | {classes} |"
        )
    head = ["| `--model` | `--preset` | instrument | classes |", "|--:|---|---|---|"]
    return "\n".join([*head, *sorted(rows)]) + "\n"


def tier_table() -> str:
    """Return the table of the tiers of ``compare``."""
    rows = []
    for name, path in config_files("compare").items():
        config = read_yaml(path)
        methods = ", ".join(f"`{method}`" for method in config["methods"])
        rows.append(f"| `{name}` | {methods} | {len(config['seeds'])} |")
    return "\n".join(["| `--tier` | methods | seeds |", "|---|---|--:|", *rows]) + "\n"


def _class(target: str) -> type:
    module, _, name = target.partition(":")
    found: type = getattr(importlib.import_module(module), name)
    return found


def _first_sentence(text: str | None) -> str:
    paragraph = " ".join(inspect.cleandoc(text or "").split("\n\n")[0].split())
    return _cell(paragraph.replace("``", "`").rstrip("."))
