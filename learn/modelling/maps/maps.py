"""Maps of a model: the image and its parts, the source in its plane, and what could be found."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from learn.modelling.lens_model import LensModel
from lensphys.caustics import CriticalCurve, critical_curves
from lensphys.fitting.result import FitResult
from lensphys.grid import pixel_grid
from lensphys.lens import ThinLens
from lensphys.mass.base import MassProfile
from lensphys.parameters import parameter_fields

Map = NDArray[np.float64]

#: Units of masses, as FITS writes them.
MASS_UNITS = {"arcsec^2": "arcsec2", "solar masses": "solMass"}
#: Pixels along a side of the map of the source plane, and of the grid that curves are sought on.
_SOURCE_PIXELS, _CURVE_PIXELS = 160, 600
#: Part of the lensed light whose rays end on the map of the source, and the margin around them.
_HELD, _MARGIN = 0.95, 1.25
#: Most that caustics enlarge that map.
_MOST_FOR_CAUSTICS = 2.5
#: Widths of the window of critical curves, in units of the image, until they all lie inside.
_WINDOWS = (1.5, 3.0, 8.0)


@dataclasses.dataclass(frozen=True, eq=False)
class SourceMap:
    """Surface brightness of the source in its own plane.

    Attributes:
        brightness: (n, n), flux per arcsec^2.
        center: position ``(beta_x, beta_y)`` of its middle, arcsec.
        pixel_scale: arcsec.
    """

    brightness: Map
    center: tuple[float, float]
    pixel_scale: float


@dataclasses.dataclass(frozen=True, eq=False)
class LensMaps:
    """Maps (ny, nx) of one lens; those of the image are NaN where a pixel is masked.

    Attributes:
        image, noise: as they were fitted; the noise holds the error of the model too.
        model: blurred, without noise, in masked pixels too.
        residual: image less model, in units of the noise.
        lens_light, lensed_source, sky: blurred parts of the model, 0 where one was not fitted.
        source: in its own plane.
        snr: signal-to-noise ratio of one more mass in each place, or None.
        least_mass: least mass that would be seen at 5 sigma in each place, or None.
        mass_unit: of the latter, as FITS writes it; empty without one.
        curves: critical curves and caustics; none where none was found.
    """

    image: Map
    noise: Map
    model: Map
    residual: Map
    lens_light: Map
    lensed_source: Map
    sky: Map
    source: SourceMap
    snr: Map | None
    least_mass: Map | None
    mass_unit: str
    curves: list[CriticalCurve]


def make_maps(model: LensModel) -> LensMaps:
    """Compute all maps of the model of one lens."""
    result, data = model.result, model.data
    with torch.no_grad():
        weight = _array(result.problem.weight)
        seen = weight > 0
        parts = {name: _array(part) for name, part in result.parts().items()}
        lens = _single(result.lens)
        curves = _find_curves(lens, data.pixel_scale * max(data.image.shape))
        found = model.maps
        return LensMaps(
            image=np.where(seen, data.image, np.nan),
            noise=np.divide(1.0, weight, out=np.full(weight.shape, np.nan), where=seen),
            model=_array(result.model),
            residual=np.where(seen, _array(result.residual), np.nan),
            lens_light=parts["lens_light"],
            lensed_source=parts["source"],
            sky=parts["sky"],
            source=_map_source(result, lens, parts["source"], data.pixel_scale, curves),
            snr=None if found is None else _array(found.snr),
            least_mass=None if found is None else _array(found.least_mass),
            mass_unit="" if found is None else MASS_UNITS[found.unit],
            curves=curves,
        )


def _array(maps: Tensor) -> Map:
    """The only map of a batch."""
    return maps.detach()[0].double().cpu().numpy()


def _single(lens: ThinLens) -> ThinLens:
    """A lens without a batch, in double precision, of a batch of one."""
    return ThinLens([_unbatched(deflector) for deflector in lens.deflectors])


def _unbatched(profile: Any) -> Any:
    if not isinstance(profile, MassProfile):
        return profile
    values = {field.name: getattr(profile, field.name) for field in parameter_fields(profile)}
    single = {
        name: value.detach().reshape(-1)[0].double().cpu() if isinstance(value, Tensor) else value
        for name, value in values.items()
    }
    return dataclasses.replace(profile, **single)


def _find_curves(lens: ThinLens, width: float) -> list[CriticalCurve]:
    """Critical curves of a lens; none for an odd one, whose curves leave every window."""
    for factor in _WINDOWS:
        try:
            return critical_curves(lens, window=factor * width, n_pix=_CURVE_PIXELS)
        except ValueError:
            continue
    return []


def _map_source(
    result: FitResult,
    lens: ThinLens,
    lensed: Map,
    pixel_scale: float,
    curves: Sequence[CriticalCurve],
) -> SourceMap:
    """Map the part of the source plane that the lensed light comes from."""
    x, y = pixel_grid(lensed.shape, pixel_scale, dtype=torch.float64)
    rays = [beta.numpy().ravel() for beta in lens.ray_trace(x, y)]
    light = np.clip(lensed, 0.0, None).ravel()
    largest = 0.5 * pixel_scale * min(lensed.shape)
    if light.sum() > 0:
        middle_x, middle_y = (_quantile(beta, light, 0.5) for beta in rays)
        offset = np.maximum(np.abs(rays[0] - middle_x), np.abs(rays[1] - middle_y))
        half = _MARGIN * _quantile(offset, light, _HELD)
    else:
        middle_x = middle_y = 0.0
        half = largest
    tangential = [curve for curve in curves if curve.kind == "tangential"]
    if tangential:
        longest = tangential[0]
        reach = max(
            float((longest.beta_x - middle_x).abs().max()),
            float((longest.beta_y - middle_y).abs().max()),
        )
        half = max(half, min(1.1 * reach, _MOST_FOR_CAUSTICS * half))
    half = min(max(half, 2 * pixel_scale), largest)
    step = 2 * half / _SOURCE_PIXELS
    model = result.model
    beta_x, beta_y = pixel_grid(_SOURCE_PIXELS, step, dtype=model.dtype, device=model.device)
    beta_x, beta_y = beta_x + middle_x, beta_y + middle_y
    profiles = result.source if isinstance(result.source, Sequence) else (result.source,)
    brightness = np.zeros((_SOURCE_PIXELS, _SOURCE_PIXELS))
    for profile in profiles:
        brightness += _array(profile.surface_brightness(beta_x, beta_y))
    return SourceMap(brightness, (middle_x, middle_y), step)


def _quantile(values: Map, weights: Map, part: float) -> float:
    """The value below which this part of the weights lies."""
    order = np.argsort(values)
    heaped = np.cumsum(weights[order])
    place = int(np.searchsorted(heaped, part * heaped[-1]))
    return float(values[order[min(place, len(order) - 1)]])


def nice_length(width: float) -> float:
    """A round length of about a quarter of a width: 1, 2 or 5 times a power of ten."""
    wanted = width / 4
    power = 10.0 ** math.floor(math.log10(wanted))
    return max(step * power for step in (1.0, 2.0, 5.0) if step * power <= wanted)
