"""Names on the command line, and the classes they stand for."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping
from typing import Any

from lensphys.ground.config import suggestion
from lensphys.ground.errors import InputError


def find(registry: Mapping[str, str], name: str, kind: str) -> Any:
    """The class that ``registry`` names as ``"module:class"``; imported only now.

    Raises:
        InputError: for an unknown name of this kind ("method", "task").
    """
    if name not in registry:
        raise InputError(unknown_name(name, registry, kind))
    return load(registry[name])


def load(place: str) -> Any:
    """Import what stands at ``"module:attribute"``."""
    module, _, attribute = place.partition(":")
    return getattr(importlib.import_module(module), attribute)


def unknown_name(name: str, known: Iterable[str], kind: str) -> str:
    """The message on an unknown name of a kind, with the nearest that is known."""
    return f"unknown {kind} '{name}'{suggestion(name, known)}"
