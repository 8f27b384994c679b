"""Data that the tasks need: where they look for some, and the command that makes it.

This file is apart from the tasks, so that a command can refuse before it imports torch.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lensphys.ground.errors import InputError
from lensphys.ground.program import program
from simulate import shards


@dataclasses.dataclass(frozen=True)
class DataNeeds:
    """The data sets that serve a task."""

    places: tuple[str, ...]
    """folders to look in when none is given, in this order"""
    simulate: str
    """options of the simulate command that makes such data"""
    serves: Callable[[dict[str, Any]], bool]
    """true for the configuration of a data set that has what the task needs"""

    @property
    def command(self) -> str:
        """The command that makes such data."""
        return f"{program()} simulate {self.simulate}"

    def find(self) -> Path:
        """Find the first data set in its usual place that serves.

        Raises:
            InputError: if there is none.
        """
        for name in self.places:
            path = Path(name)
            if (path / shards.MANIFEST).is_file():
                manifest = shards.read_manifest(path)
                if manifest["complete"] and self.serves(manifest["config"]):
                    return path
        places = ", ".join(self.places)
        raise InputError(
            f"found no data for this task in {places}; make some with `{self.command}`"
        )


def _has_look_alikes(config: dict[str, Any]) -> bool:
    return bool(config.get("non_lens", {}).get("fraction", 0) > 0)


CLASSIFY = DataNeeds(
    ("data/model3", "data/model1", "data/model2"),
    "--model 3 --n 15000",
    lambda config: len(config.get("classes", ())) + _has_look_alikes(config) > 1,
)
FIND = DataNeeds(
    ("data/model2-physical", "data/model2", "data/model3", "data/model1"),
    "--model 2 --preset physical --n 20000 --non-lens 0.5",
    _has_look_alikes,
)
REGRESS = DataNeeds(
    (
        "data/model2-physical",
        "data/model3-physical",
        "data/model1-physical",
        "data/model2",
        "data/model3",
        "data/model1",
    ),
    "--model 2 --preset physical --n 20000",
    lambda config: True,
)
SUPERRES = DataNeeds(
    ("data/model1", "data/model3", "data/model2"),
    "--model 1 --pairs 2 --n 6000",
    lambda config: config["pairs"] is not None,
)
