"""The parameters that sliders move, with their ranges."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

#: Values of all knobs by name.
Values = Mapping[str, float]
#: Groups that can be switched off, and what a switch is called.
LENS_LIGHT, SUBHALO = "lens light", "subhalo"
#: Knobs that no fit knows.
_OWN = {"log10_mass", "subhalo_x", "subhalo_y", "fwhm", "noise"}


@dataclasses.dataclass(frozen=True)
class Knob:
    """A parameter with a slider.

    Attributes:
        name: that of :func:`lensphys.fit`; amplitudes as decimal logarithms, ``log10_`` before.
        label: in words, with the unit.
        low, high, step: of the slider.
        start: where it stands at first.
    """

    name: str
    label: str
    low: float
    high: float
    step: float
    start: float

    def clip(self, value: float) -> float:
        """Move a value into the range of the slider; one that is no number becomes the start."""
        if not math.isfinite(value):
            return self.start
        return min(max(value, self.low), self.high)


def make_knobs(
    half: float, pixel_scale: float, peak: float, noise: float, *, own_psf: bool, own_noise: bool
) -> dict[str, tuple[Knob, ...]]:
    """All knobs, by the group that they stand in.

    Args:
        half: half the width of the image, arcsec.
        pixel_scale: arcsec.
        peak: flux per pixel of the brightest part of the arcs.
        noise: standard deviation of a pixel.
        own_psf: the image has a PSF, so that there is no knob for one.
        own_noise: likewise noise.
    """
    brightness = math.log10(max(peak, noise, 1e-30) / pixel_scale**2)
    offset = 0.5 * half

    def shape(prefix: str, most: float, start: float) -> tuple[Knob, ...]:
        return (
            Knob(f"{prefix}e1", "ellipticity e1", -most, most, 0.01, start),
            Knob(f"{prefix}e2", "ellipticity e2", -most, most, 0.01, 0.0),
        )

    def place(prefix: str, most: float, x: float, y: float, *, what: str) -> tuple[Knob, ...]:
        return (
            Knob(f"{prefix}x", f"{what} x [arcsec]", -most, most, 0.01, x),
            Knob(f"{prefix}y", f"{what} y [arcsec]", -most, most, 0.01, y),
        )

    def sersic(prefix: str, radius: float, index: float, level: float) -> tuple[Knob, ...]:
        return (
            Knob(f"log10_{prefix}amplitude", "log10 brightness", level - 3, level + 2, 0.01, level),
            Knob(f"{prefix}R_sersic", "radius [arcsec]", 0.5 * pixel_scale, half, 0.005, radius),
            Knob(f"{prefix}n_sersic", "Sersic index", 0.55, 6.0, 0.05, index),
            *shape(prefix, 0.6, 0.0),
        )

    groups = {
        "lens": (
            Knob("theta_E", "Einstein radius [arcsec]", 0.05, 0.9 * half, 0.005, 0.45 * half),
            Knob("gamma", "slope", 1.4, 2.7, 0.01, 2.0),
            *shape("", 0.5, 0.1),
            *place("center_", 0.2 * half, 0.0, 0.0, what="centre"),
            Knob("gamma1", "shear 1", -0.3, 0.3, 0.005, 0.03),
            Knob("gamma2", "shear 2", -0.3, 0.3, 0.005, 0.0),
        ),
        "source": (
            *sersic("source_", 0.12 * half, 1.0, brightness),
            *place("source_center_", offset, 0.05 * half, 0.02 * half, what="place"),
        ),
        LENS_LIGHT: sersic("lens_light_", 0.3 * half, 4.0, brightness),
        SUBHALO: (
            Knob("log10_mass", "log10 mass [solar masses]", 7.0, 11.0, 0.05, 9.5),
            *place("subhalo_", half, 0.45 * half, 0.0, what="place"),
        ),
    }
    telescope = []
    if not own_psf:
        telescope.append(
            Knob("fwhm", "FWHM of the PSF [arcsec]", 0.0, 8 * pixel_scale, 0.005, 1.8 * pixel_scale)
        )
    if not own_noise:
        telescope.append(
            Knob("noise", "noise of a pixel", 0.1 * noise, 10 * noise, 0.01 * noise, noise)
        )
    if telescope:
        groups["telescope"] = tuple(telescope)
    return groups


def start_of_fit(values: Values, *, lens_light: bool) -> dict[str, float]:
    """The parameters of a fit, by its names, for positions of the sliders."""
    start = {}
    for name, value in values.items():
        plain = name.removeprefix("log10_")
        if name in _OWN or (plain.startswith("lens_light") and not lens_light):
            continue
        start[plain] = value if plain == name else 10.0**value
    if lens_light:
        start |= {f"lens_light_center_{axis}": values[f"center_{axis}"] for axis in "xy"}
    return start


def values_of_fit(params: Mapping[str, float], knobs: Mapping[str, Knob]) -> dict[str, float]:
    """Positions of the sliders, by name, for the parameters of a fit."""
    found = {}
    for name, knob in knobs.items():
        plain = name.removeprefix("log10_")
        if plain in params:
            value = params[plain]
            found[name] = knob.clip(value if plain == name else math.log10(max(value, 1e-300)))
    return found
