"""The part of a tier that a command runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

from learn.compare.config import CompareConfig
from lensphys.ground.config import split_names
from lensphys.ground.errors import InputError
from lensphys.ground.registry import unknown_name
from simulate.presets import PRESETS


@dataclasses.dataclass(frozen=True)
class Selection:
    """The part of a tier to run; None: all of it.

    Attributes:
        rows: names of methods, ablations, baselines and protocols.
        presets: of the data sets.
        seeds: also others than the tier's.
        limit_hours: after which no further cell is begun.
        models: DeepLense Models that are measured on.
    """

    rows: tuple[str, ...] | None = None
    presets: tuple[str, ...] | None = None
    seeds: tuple[int, ...] | None = None
    limit_hours: float | None = None
    models: tuple[int, ...] | None = None

    def check(self, config: CompareConfig) -> None:
        """Refuse rows and presets that there are not.

        Raises:
            InputError: with the nearest name that there is.
        """
        _check_names(self.rows or (), config.rows, "method")
        _check_names(self.presets or (), tuple(PRESETS), "preset")


def parse_numbers(text: str | None, option: str) -> tuple[int, ...] | None:
    """Read the numbers in an option, each once; None where it is not given.

    Raises:
        InputError: for what is not a number from 0.
    """
    names = split_names(text)
    if names is None:
        return None
    for name in names:
        if not (name.isascii() and name.isdigit() and int(name) < 2**32):
            raise InputError(f"{option} takes numbers from 0, as 0,1,2, not '{name}'")
    return tuple(dict.fromkeys(int(name) for name in names))


def _check_names(names: Iterable[str], known: Sequence[str], kind: str) -> None:
    """Refuse a name that is not known, with the nearest that is."""
    for name in names:
        if name not in known:
            raise InputError(unknown_name(name, known, kind))
