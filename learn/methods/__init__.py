"""Self-supervised methods: one file each, one line each in the registry."""

from __future__ import annotations

import importlib

from learn.methods.base import Method
from simulate.config import suggestion
from simulate.errors import InputError

#: Name on the command line -> "module:class".
METHODS = {
    "mae": "learn.methods.mae:MAE",
    "ijepa": "learn.methods.ijepa:IJEPA",
}


def method_class(name: str) -> type[Method]:
    """The class of a method.

    Raises:
        InputError: for an unknown name.
    """
    if name not in METHODS:
        raise InputError(f"unknown method '{name}'{suggestion(name, METHODS)}")
    module, _, attribute = METHODS[name].partition(":")
    found: type[Method] = getattr(importlib.import_module(module), attribute)
    return found
