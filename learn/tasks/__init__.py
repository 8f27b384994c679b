"""Downstream tasks: one file each, one line each in the registry."""

from __future__ import annotations

from learn.tasks.base import Task
from lensphys.ground import registry

#: Name on the command line -> "module:class".
TASKS = {
    "classify": "learn.tasks.classify:Classify",
    "find": "learn.tasks.find:Find",
    "regress": "learn.tasks.regress:Regress",
    "superres": "learn.tasks.superres:SuperResolve",
}


def task_class(name: str) -> type[Task]:
    """The class of a task.

    Raises:
        InputError: for an unknown name.
    """
    found: type[Task] = registry.find(TASKS, name, "task")
    return found
