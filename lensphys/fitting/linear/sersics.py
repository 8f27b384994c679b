"""Sersic profiles with a linear amplitude, as sources and as lens light."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from lensphys.fitting.linear.components import Component, Maps, Slopes
from lensphys.light.base import LightProfile
from lensphys.light.sersic import Sersic
from lensphys.rendering import Pixels

_SHAPE = tuple(name for name in Sersic.fit_ranges() if name != "amplitude")
#: Most Sersic profiles that a source, or the light of a lens, may have.
MOST_SERSICS = 4


def list_prefixes(part: str, count: int) -> list[str]:
    """Prefixes of the parameters of several profiles: ``source_``, ``source_2_`` ...

    Args:
        part: ``"source"`` or ``"lens_light"``.
        count: number of profiles.
    """
    return [f"{part}_"] + [f"{part}_{number}_" for number in range(2, count + 1)]


def name_in_first(name: str) -> str:
    """Name of the same parameter of the first profile: ``source_e1`` for ``source_2_e1``."""
    return re.sub(r"^(source|lens_light)_\d+_", r"\1_", name)


class SersicComponent(Component):
    """One Sersic profile; its amplitude is that of :class:`lensphys.Sersic`.

    Args:
        prefix: of the names of its parameters, see :func:`list_prefixes`.
        pixels: of the images, over which the steep centre of lens light is integrated; None for a
            source, whose light is taken where rays meet it.
    """

    count = 1

    def __init__(self, prefix: str, pixels: Pixels | None = None) -> None:
        self._prefix, self._pixels = prefix, pixels
        known = Sersic.fit_ranges()
        self.ranges = {prefix + name: known[name] for name in _SHAPE}

    def _sersic(self, params: Mapping[str, Tensor], amplitude: Any) -> Sersic:
        shape = {name: params[self._prefix + name] for name in _SHAPE}
        return Sersic(amplitude=amplitude, **shape)

    def evaluate(self, params: Mapping[str, Tensor], x: Tensor, y: Tensor) -> Maps:
        light = self._sersic(params, torch.ones_like(params[self._prefix + _SHAPE[0]]))
        if self._pixels is None:
            brightness, by_name = light.surface_brightness_jacobian(x, y)
        else:
            brightness, by_name = self._pixels.brightness_jacobian(light)

        def contract(amplitudes: Tensor) -> Slopes:
            return weigh(amplitudes[:, :, None, None].to(brightness.dtype))

        def weigh(maps: Tensor) -> Slopes:
            scale = maps[:, 0]
            found = {self._prefix + name: scale * by_name[name] for name in _SHAPE}
            along_x, along_y = (-found[f"{self._prefix}center_{axis}"] for axis in "xy")
            return (None if self._pixels else (along_x, along_y)), found

        return Maps(brightness[:, None], contract, weigh)

    def profiles(self, params: Mapping[str, Tensor], amplitudes: Tensor) -> list[LightProfile]:
        return [self._sersic(params, amplitudes[:, 0])]
