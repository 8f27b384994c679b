"""Noise of an image from a noise map, a variance map or a weight map, told apart."""

from __future__ import annotations

import math
import re
import warnings
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from learn.modelling.reading.planes import Plane
from simulate.importers.errors import BrokenFileError, escape

Kind = Literal["noise map", "variance map", "weight map"]
Map = NDArray[np.float64]

#: Standard deviation, its square, and one over that.
KINDS: tuple[Kind, ...] = ("noise map", "variance map", "weight map")
_AS_NOISE = {"noise map": "", "variance map": "its square root", "weight map": "1 / sqrt(weight)"}
#: Words in names of each kind; the first that fits.
_NAMES: tuple[tuple[re.Pattern[str], Kind], ...] = (
    (re.compile(r"ivar|inv[a-z]*var|wht|wgt|weight|(?<![a-z])(wt|wmap)(?![a-z])"), "weight map"),
    (re.compile(r"(?<![a-z])var(?![a-z])|variance|varmap"), "variance map"),
    (re.compile(r"rms|err|sig|noise|std|unc"), "noise map"),
)
#: Scatter of an image in units of its noise, between which a map can be the noise: images that were
#: drizzled scatter less from pixel to pixel, and published maps are often too large.
_LOW, _HIGH = 0.15, 5.0
#: Scatter of an image, in units of a noise that cannot be its own, or one over it.
_ABSURD = 1e3
#: Noise beyond so many times the lowest marks a pixel without data.
_NO_DATA = 1e4
#: Pixels that an estimate of the scatter needs.
_LEAST = 50


def find_noise(plane: Plane, image: Map, unit: str | None) -> tuple[Map, list[str]]:
    """The standard deviation (ny, nx) of an image, infinite where there is no datum; and remarks.

    The kind of the map follows from its name and unit; its values, compared with the scatter of
    the image from pixel to pixel, decide where these do not, and confirm them where they do.

    Args:
        plane: the map.
        image: (ny, nx), NaN where a pixel is bad.
        unit: of the image; None where it is not known.

    Raises:
        BrokenFileError: for another shape, or a map of which the kind is not certain.
    """
    label = plane.label
    if plane.values.shape != image.shape:
        (ny, nx), (my, mx) = image.shape, plane.values.shape
        raise BrokenFileError(
            f"the image has {ny} x {nx} pixels and its noise ({label}) {my} x {mx}; cut both alike"
        )
    if not (np.isfinite(plane.values) & (plane.values > 0)).any():
        raise BrokenFileError(f"{label} has no value above 0")
    values, factor, by_unit = _in_unit(plane, unit)
    by_name = next((kind for words, kind in _NAMES if words.search(plane.name.lower())), None)
    # The unit of a noise map may have been copied with the header of the image.
    named = by_name if by_unit == KINDS[0] and by_name else by_unit or by_name
    noises = {kind: _masked(_noise(values, kind)) for kind in KINDS}
    scatters = {kind: _scatter(image, noise) for kind, noise in noises.items()}
    kind, notes = _decide(label, named, scatters)
    if factor != 1 and kind != by_unit:
        raise BrokenFileError(
            f"{label} is a {kind} by its name and a {by_unit} by its unit "
            f"'{escape(str(plane.unit))}'; correct one of them"
        )
    if kind != KINDS[0]:
        notes.append(f"noise from the {kind} {label}: {_AS_NOISE[kind]}")
    if factor != 1:
        notes.append(f"noise in {escape(str(plane.unit))} brought to {escape(str(unit))}")
    return noises[kind], notes


def _decide(label: str, named: Kind | None, scatters: dict[Kind, float]) -> tuple[Kind, list[str]]:
    """The kind of a map, and remarks on it."""
    likely = [kind for kind in KINDS if _LOW < scatters[kind] < _HIGH]
    kind = named or KINDS[0]
    if kind in likely or not any(value > 0 for value in scatters.values()):
        return kind, []
    found = f"the image scatters by {scatters[kind]:.2g} times the noise that follows"
    if named is None and len(likely) == 1:
        return likely[0], [f"{label} is taken for a {likely[0]} by its values"]
    if likely:
        others = " or a ".join(likely)
        raise BrokenFileError(
            f"{label} is a {kind} by its name or unit, and a {others} by its values ({found}); "
            "name it for what it is: noise.fits, variance.fits or weight.fits"
        )
    if kind == "weight map":
        raise BrokenFileError(
            f"{label} is no inverse variance: {found}; give a noise map with --noise FILE"
        )
    if not 1 / _ABSURD < scatters[kind] < _ABSURD:
        raise BrokenFileError(
            f"{label} is not the noise of this image: {found}; give one in the unit of the image"
        )
    return kind, [f"noise of {label} is doubtful: {found}"]


def _noise(values: Map, kind: Kind) -> Map:
    """The standard deviation that a map of a kind gives; NaN where it has no datum."""
    positive = np.where(np.isfinite(values) & (values > 0), values, np.nan)
    if kind == "noise map":
        return positive
    return np.sqrt(positive) if kind == "variance map" else 1 / np.sqrt(positive)


def _scatter(image: Map, noise: Map) -> float:
    """Scatter of an image from pixel to pixel, without its gradients, in units of the noise."""
    if image.shape[1] < 5:
        return math.nan
    # Two pixels apart, since neighbours in drizzled images share their noise.
    change = (image[:, :-4] - 2 * image[:, 2:-2] + image[:, 4:]) / math.sqrt(6)
    with np.errstate(invalid="ignore", over="ignore"):
        ratio = np.abs(change / noise[:, 2:-2])
    ratio = ratio[np.isfinite(ratio) & np.isfinite(noise[:, 2:-2])]
    return 1.4826 * float(np.median(ratio)) if ratio.size >= _LEAST else math.nan


def _masked(noise: Map) -> Map:
    """Noise that is infinite where it is missing, or so large that it marks a missing datum."""
    known = noise[np.isfinite(noise)]
    limit = _NO_DATA * float(np.quantile(known, 0.05, method="lower")) if known.size else 0.0
    with np.errstate(invalid="ignore"):
        return np.where(noise <= limit, noise, np.inf)


def _in_unit(plane: Plane, unit: str | None) -> tuple[Map, float, Kind | None]:
    """The values of a map in the unit of the image, their factor, and the kind that units tell."""
    image, own = _parse(unit), _parse(plane.unit)
    if image is None or own is None or image.is_equivalent(""):
        same = unit and plane.unit and unit.split() == plane.unit.split()
        return plane.values, 1.0, "noise map" if same else None
    powers: dict[Kind, Any] = {
        "noise map": image,
        "variance map": image**2,
        "weight map": image**-2,
    }
    for kind, power in powers.items():
        if own.is_equivalent(power):
            factor = float(own.to(power))
            return plane.values * factor, factor, kind
    raise BrokenFileError(
        f"{plane.label} is in '{escape(str(plane.unit))}', the image in '{escape(str(unit))}'; "
        "give a noise map in the unit of the image"
    )


def _parse(text: str | None) -> Any:
    """The unit that a header names; None for one that astropy cannot read."""
    from astropy import units

    plain = re.sub(r"\be-(?![a-z0-9])", "electron", (text or "").strip().lower())
    plain = re.sub(r"\b(electron|count)s\b", r"\1", plain)
    plain = re.sub(r"\bcps\b", "count/s", plain)
    for spelling in (text or "", plain):
        try:
            with warnings.catch_warnings():  # of spellings that the standard discourages
                warnings.simplefilter("ignore", units.UnitsWarning)
                found = units.Unit(spelling)
        except (ValueError, TypeError):
            continue
        return found if spelling.strip() else None
    return None
