"""Downstream tasks: one file each, one line each in the registry."""

from __future__ import annotations

import importlib

from learn.tasks.base import Task
from simulate.config import suggestion
from simulate.errors import InputError

#: Name on the command line -> "module:class".
TASKS = {
    "classify": "learn.tasks.classify:Classify",
    "superres": "learn.tasks.superres:SuperResolve",
}


def task_class(name: str) -> type[Task]:
    """The class of a task.

    Raises:
        InputError: for an unknown name.
    """
    if name not in TASKS:
        raise InputError(f"unknown task '{name}'{suggestion(name, TASKS)}")
    module, _, attribute = TASKS[name].partition(":")
    found: type[Task] = getattr(importlib.import_module(module), attribute)
    return found
