"""Functions whose results are kept, also where a compiler follows them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import torch

_Given = ParamSpec("_Given")
_Found = TypeVar("_Found")


def remember(
    maxsize: int | None = None,
) -> Callable[[Callable[_Given, _Found]], Callable[_Given, _Found]]:
    """Keep the results of a function, as :func:`functools.lru_cache`, outside of compiled graphs.

    ``torch.compile`` follows no cache, and warns of each that it meets; in a graph the function is
    called itself.

    Args:
        maxsize: number of results that are kept; None: all.
    """

    def decorate(function: Callable[_Given, _Found]) -> Callable[_Given, _Found]:
        kept = functools.lru_cache(maxsize)(function)

        @functools.wraps(function)
        def call(*given: _Given.args, **named: _Given.kwargs) -> _Found:
            if torch.compiler.is_compiling():
                return function(*given, **named)
            return kept(*given, **named)  # type: ignore[arg-type]

        return call

    return decorate
