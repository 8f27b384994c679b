"""Classes of dark-matter substructure, one file each, and the relations that they draw from."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from simulate.substructure.base import Substructure

#: Name of each class -> "module:object", one line a class.
SUBSTRUCTURES = {
    "no_sub": "simulate.substructure.no_sub:NO_SUB",
    "cdm": "simulate.substructure.cdm:CDM",
    "axion": "simulate.substructure.axion:AXION",
}

#: The classes of the DeepLense data sets, and so of the models that are shipped.
DEEPLENSE_CLASSES = ("no_sub", "cdm", "axion")


def known_classes() -> tuple[str, ...]:
    """Names of all classes, in the order of the registry; nothing is imported for them."""
    return tuple(SUBSTRUCTURES)


def substructure(name: str) -> Substructure:
    """The class of this name.

    Raises:
        InputError: for an unknown name.
    """
    from lensphys.ground.registry import find

    found: Substructure = find(SUBSTRUCTURES, name, "class")
    return found
