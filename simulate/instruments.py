"""The instruments of :mod:`lensphys`, with errors that say what to do on the command line."""

from __future__ import annotations

import dataclasses
from types import MappingProxyType
from typing import Self

import lensphys as lp
from lensphys.ground.errors import InputError
from lensphys.instruments import INSTRUMENTS as PRESETS
from lensphys.instruments import Band, Number

__all__ = ["INSTRUMENTS", "Band", "Instrument", "instrument"]


@dataclasses.dataclass(frozen=True)
class Instrument(lp.Instrument):
    """An instrument whose errors name the key of the configuration or the option."""

    def flux(self, magnitude: Number) -> Number:
        """e-/s of a source of this AB magnitude.

        Raises:
            InputError: for an instrument without photometric zero point.
        """
        try:
            return super().flux(magnitude)
        except ValueError:
            raise InputError(
                "source.magnitude needs an instrument with a zero point; give source.amplitude "
                "(preset published) or source.flux (physical)"
            ) from None

    @property
    def half_field(self) -> float:
        """Distance from the middle of an image to its edges, arcsec."""
        return 0.5 * self.n_pix * self.pixel_scale

    def coarser(self, factor: int) -> Self:
        """The same field at a resolution lower by ``factor``.

        Raises:
            InputError: where the pixels cannot be divided by the factor.
        """
        try:
            return super().coarser(factor)
        except ValueError as error:
            raise InputError(f"--pairs {str(error).removeprefix('factor ')}") from None


#: What ``instrument`` in a configuration may name.
INSTRUMENTS = MappingProxyType(
    {name: Instrument(**vars(preset)) for name, preset in PRESETS.items()}
)


def instrument(name: str) -> Instrument:
    """The preset of this name.

    Raises:
        InputError: for an unknown name.
    """
    try:
        return Instrument(**vars(lp.instrument(name)))
    except ValueError as error:
        raise InputError(str(error)) from None
