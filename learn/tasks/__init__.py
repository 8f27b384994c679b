"""Downstream tasks: one file each, one line each in the registry."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lensphys.ground import registry

if TYPE_CHECKING:
    from learn.reporting.task_report import TaskReport
    from learn.tasks.base import Task
    from learn.tasks.data_needs import DataNeeds

#: Name on the command line -> "module:class".
TASKS = {
    "classify": "learn.tasks.classify:Classify",
    "find": "learn.tasks.find:Find",
    "regress": "learn.tasks.regress:Regress",
    "superres": "learn.tasks.superres:SuperResolve",
}
#: Tasks whose report lies in a light file of its own, "module:object". A task may as well keep its
#: report in its class; then ``report`` has to import torch to read it.
LIGHT_REPORTS = {
    "classify": "learn.reporting.tasks.classify:REPORT",
    "find": "learn.reporting.tasks.find:REPORT",
    "regress": "learn.reporting.tasks.regress:REPORT",
    "superres": "learn.reporting.tasks.superres:REPORT",
}
#: Likewise the data that tasks need, "module:object".
LIGHT_DATA_NEEDS = {
    "classify": "learn.tasks.data_needs:CLASSIFY",
    "find": "learn.tasks.data_needs:FIND",
    "regress": "learn.tasks.data_needs:REGRESS",
    "superres": "learn.tasks.data_needs:SUPERRES",
}


def task_class(name: str) -> type[Task]:
    """The class of a task.

    Raises:
        InputError: for an unknown name.
    """
    found: type[Task] = registry.find(TASKS, name, "task")
    return found


def task_report(name: str) -> TaskReport:
    """The description of how the results of a task are shown: ``task_class(name).report``.

    Raises:
        InputError: for an unknown name.
    """
    if name in LIGHT_REPORTS:
        found: TaskReport = registry.find(LIGHT_REPORTS, name, "task")
        return found
    return task_class(name).report


def task_data_needs(name: str) -> DataNeeds:
    """Return the data sets that serve a task: ``task_class(name).data_needs``.

    Raises:
        InputError: for an unknown name.
    """
    if name in LIGHT_DATA_NEEDS:
        found: DataNeeds = registry.find(LIGHT_DATA_NEEDS, name, "task")
        return found
    return task_class(name).data_needs
