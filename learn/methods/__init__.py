"""Self-supervised methods: one file each, one line each in the registry."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lensphys.ground.registry import find

if TYPE_CHECKING:
    from learn.methods.base import Method

#: Name on the command line -> "module:class".
METHODS = {
    "mae": "learn.methods.mae:MAE",
    "ijepa": "learn.methods.ijepa:IJEPA",
    "simclr": "learn.methods.simclr:SimCLR",
    "moco": "learn.methods.moco:MoCo",
    "dino": "learn.methods.dino:DINO",
    "ibot": "learn.methods.ibot:IBOT",
    "lejepa": "learn.methods.lejepa:LeJEPA",
    "lens-lejepa": "learn.methods.lens_lejepa:LensLeJEPA",
    "physics-ijepa": "learn.methods.physics_ijepa:PhysicsIJEPA",
}


def method_class(name: str) -> type[Method]:
    """The class of a method.

    Raises:
        InputError: for an unknown name.
    """
    found: type[Method] = find(METHODS, name, "method")
    return found
