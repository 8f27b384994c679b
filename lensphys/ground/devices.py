"""Devices: the one that a configuration names, and those that this machine has."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

from lensphys.ground.errors import InputError

#: Names of devices, as configurations have them.
DEVICES = ("auto", "cpu", "cuda")


def choose_device(name: str) -> str:
    """Return ``cpu`` or ``cuda`` for ``auto``, ``cpu`` or ``cuda``.

    Raises:
        InputError: for ``cuda`` where there is none.
    """
    if name == "cpu":
        return name
    if has_cuda():
        return "cuda"
    if name == "cuda":
        raise InputError("--device cuda: there is no CUDA device here; use --device cpu")
    return "cpu"


def has_cuda() -> bool:
    """Return whether torch finds a GPU; without a driver that needs no import of torch."""
    if "torch" not in sys.modules and not _has_driver():
        return False
    import torch

    return torch.cuda.is_available()


def _has_driver() -> bool:
    """Return whether a driver of NVIDIA's or AMD's is installed."""
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return Path("/dev/kfd").exists()
    return True
