"""Instruments by name, with errors that name the key of the configuration or the option."""

from __future__ import annotations

import lensphys as lp
from lensphys.ground.errors import InputError


def instrument(name: str) -> lp.Instrument:
    """The instrument that a configuration names.

    Raises:
        InputError: for an unknown name.
    """
    try:
        return lp.instrument(name)
    except ValueError as error:
        raise InputError(str(error)) from None


def flux_of(camera: lp.Instrument, magnitude: float) -> float:
    """e-/s of a source of this AB magnitude.

    Raises:
        InputError: for an instrument without photometric zero point.
    """
    try:
        return camera.flux(magnitude)
    except ValueError:
        raise InputError(
            "source.magnitude needs an instrument with a zero point; give source.amplitude "
            "(preset published) or source.flux (physical)"
        ) from None


def coarser(camera: lp.Instrument, factor: int) -> lp.Instrument:
    """The same field at a resolution lower by ``factor``.

    Raises:
        InputError: if the pixels cannot be divided by the factor.
    """
    try:
        return camera.coarsen(factor)
    except ValueError as error:
        raise InputError(f"--pairs {str(error).removeprefix('factor ')}") from None


def half_field(camera: lp.Instrument) -> float:
    """Distance from the middle of an image to its edges, arcsec."""
    return 0.5 * camera.n_pix * camera.pixel_scale
