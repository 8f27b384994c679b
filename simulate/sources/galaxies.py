"""Images of real galaxies as sources: read, cleaned, centred, and brought to unit flux."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import Any

import numpy as np
import torch
from astropy.stats import sigma_clipped_stats
from numpy.typing import NDArray
from scipy import ndimage
from skimage.morphology import h_maxima
from skimage.segmentation import watershed
from torch import Tensor

import lensphys as lp
from lensphys.ground.errors import InputError
from lensphys.parameters import Parameter
from simulate.sources.config import GalaxyImagesConfig
from simulate.sources.files import read_images, state

#: Why a galaxy is not used.
REASONS = {
    "unreadable": "that cannot be read",
    "not_finite": "NaN or infinite pixels",
    "saturated": "saturated",
    "empty": "no galaxy at the centre",
    "truncated": "reaches the edge of its image",
    "unresolved": "not resolved",
}

#: Width of the border in which the background is measured, as a fraction of the side.
_BORDER = 0.1
#: Standard deviation of the smoothing before detection, pixels of the image.
_SMOOTHING = 1.5
#: Signal to noise of a pixel from which on detail is kept.
_CLEAR = 3.0
#: Least brightness of the peak of a neighbour over that of the saddle between them.
_SADDLE = 2.5
#: Largest distance of the galaxy from the middle of the image, as a fraction of the side.
_CENTRAL = 0.1
#: By how many smoothing lengths a galaxy is taken to be larger than what is detected of it.
_MARGIN = 2.0
#: Fewest pixels of a detection.
_MIN_AREA = 12
#: Largest part of the half-width of a stamp that a galaxy takes up; light fades out in the rest.
_FILL = 0.85

Image = NDArray[np.float64]


@dataclasses.dataclass(frozen=True, eq=False)
class GalaxyImages:
    """Stamps of N galaxies, to be put behind a lens."""

    stamps: NDArray[np.float32]
    """(N, size, size), each of a sum of 1, with its centroid in the middle and dark edges"""
    half_light_radius: NDArray[np.float64]
    """(N,) radius of the circle about the middle that holds half of the light, pixels"""
    number: NDArray[np.int64]
    """(N,) number of each image in the file, from 0 on"""
    label: NDArray[np.int64]
    """(N,) class as given in the file (`ans`); -1 where there is none"""
    rejected: dict[str, int]
    """number of images of the file that were not used, by reason (:data:`REASONS`)"""

    def __len__(self) -> int:
        return len(self.stamps)

    def report(self) -> str:
        """One line: how many galaxies there are, and why the others are not used."""
        left = ", ".join(f"{n} {REASONS[why]}" for why, n in self.rejected.items() if n)
        total = len(self) + sum(self.rejected.values())
        return f"{len(self)} of {total} galaxies" + (f" (left out: {left})" if left else "")

    def source(
        self,
        chosen: NDArray[np.integer] | Tensor,
        *,
        flux: Parameter,
        R_half: Parameter,
        center_x: Parameter = 0.0,
        center_y: Parameter = 0.0,
        phi_G: Parameter = 0.0,
        device: torch.device | str | None = None,
        dtype: torch.dtype = torch.float64,
    ) -> lp.PixelatedSource:
        """Some of the galaxies as a batch of B sources.

        Args:
            chosen: (B,) which ones, from 0 on.
            flux: total flux; a number or (B,), as everything below.
            R_half: half-light radius on the sky, arcsec.
            center_x, center_y: arcsec.
            phi_G: angle by which each is turned, radians.
            device, dtype: of the stamps.
        """
        rows = np.asarray(chosen)
        radius = torch.from_numpy(self.half_light_radius[rows])
        pixel_scale = torch.as_tensor(R_half, dtype=torch.float64).cpu() / radius
        amp = torch.as_tensor(flux, dtype=torch.float64).cpu() / pixel_scale**2
        return lp.PixelatedSource(
            image=torch.from_numpy(self.stamps[rows]).to(device, dtype),
            pixel_scale=pixel_scale,
            amp=amp,
            center_x=center_x,
            center_y=center_y,
            phi_G=phi_G,
        )


def load_galaxies(config: GalaxyImagesConfig) -> GalaxyImages:
    """Read, clean and select the galaxies of a file; kept in memory for the next call.

    One image after the other is read, so that memory holds the stamps alone.

    Raises:
        InputError: for a path where there is nothing, a file of another layout, or one in which no
            galaxy is usable.
    """
    return _load(config, state(_require_path(config)))


def _require_path(config: GalaxyImagesConfig) -> Path:
    if config.path is None:
        raise InputError("galaxies.path is not given")
    return config.path


@functools.lru_cache(maxsize=4)
def _load(config: GalaxyImagesConfig, contents: tuple[Any, ...]) -> GalaxyImages:
    stamps, radii, numbers, labels = [], [], [], []
    rejected = dict.fromkeys(REASONS, 0)
    for number, label, image in read_images(_require_path(config), config.max_images):
        made = "unreadable" if image is None else prepare(image, config)
        if isinstance(made, str):
            rejected[made] += 1
            continue
        stamps.append(made[0])
        radii.append(made[1])
        numbers.append(number)
        labels.append(label)
    if not stamps:
        reasons = ", ".join(f"{n} {REASONS[why]}" for why, n in rejected.items() if n)
        raise InputError(f"{config.path} has no usable galaxy ({reasons or 'it is empty'})")
    return GalaxyImages(
        np.stack(stamps),
        np.array(radii),
        np.array(numbers, np.int64),
        np.array(labels, np.int64),
        rejected,
    )


def prepare(
    image: NDArray[Any], config: GalaxyImagesConfig
) -> tuple[NDArray[np.float32], float] | str:
    """The stamp of one galaxy and its half-light radius in pixels, or the reason not to use it.

    The sky is the sigma-clipped median of the border. What is connected with the centre, above the
    threshold in the smoothed image, is the galaxy; a margin about it fades into darkness, and
    neighbours, which have peaks of their own, are left out. The stamp is centred on the centroid,
    and a galaxy that is larger than the stamp is made smaller. One that fills its image on all
    sides loses its outskirts to the sky.

    Args:
        image: (H, W), or (H, W, 3) in colour.
        config: how.
    """
    if not np.isfinite(image).all():
        return "not_finite"
    band = _one_band(image, config.rgb_weights)
    light, sigma = _without_sky(band, image)
    smooth = ndimage.gaussian_filter(light, _SMOOTHING)
    galaxy, others = _detect(smooth, sigma, config.threshold)
    if not galaxy.any():
        return "empty"
    if _fraction_saturated(image, galaxy) > config.max_saturated:
        return "saturated"
    if galaxy[[0, -1]].any() or galaxy[:, [0, -1]].any():
        return "truncated"
    # Light that is faint beside the noise of a pixel is smoothed: a lens magnifies specks too.
    clear = smooth**2 / (smooth**2 + (_CLEAR * sigma) ** 2)
    mask = _soft_mask(galaxy, others)
    light = ((clear * light + (1 - clear) * smooth) * mask).clip(min=0)
    centre = ndimage.center_of_mass(light)
    if half_light_radius(light, centre) < config.min_half_light_radius:
        return "unresolved"
    stamp = _centre(light, centre, _extent(mask, centre), config.size)
    middle = (config.size - 1) / 2
    return (stamp / stamp.sum()).astype(np.float32), half_light_radius(stamp, (middle, middle))


def half_light_radius(light: Image, centre: tuple[float, ...]) -> float:
    """Radius in pixels of the circle about a centre (row, column) that holds half of the light.

    A pixel counts by the part of it inside, as if it were cut along a straight line.
    """
    rows, columns = np.indices(light.shape)
    distance = np.hypot(rows - centre[0], columns - centre[1])
    low, high = 0.0, float(distance.max()) + 1
    for _ in range(40):
        radius = 0.5 * (low + high)
        inside = (light * (radius - distance + 0.5).clip(0, 1)).sum()
        low, high = (radius, high) if inside < 0.5 * light.sum() else (low, radius)
    return radius


def _one_band(image: NDArray[Any], weights: tuple[float, float, float]) -> Image:
    band = image.astype(np.float64)
    return band if band.ndim == 2 else band @ np.array(weights)


def _without_sky(band: Image, image: NDArray[Any]) -> tuple[Image, float]:
    """The light above the sky, and the standard deviation of the noise of a pixel."""
    border = np.ones(band.shape, bool)
    wide = [max(2, round(_BORDER * n)) for n in band.shape]
    border[wide[0] : -wide[0], wide[1] : -wide[1]] = False
    _, median, sigma = sigma_clipped_stats(band[border], sigma=3.0, maxiters=10)
    # In whole numbers, noise can hide below the rounding.
    rounding = 1 / np.sqrt(12) if image.dtype.kind in "ui" else 0.0
    floor = 1e-6 * float(np.abs(band).max()) + np.finfo(np.float64).tiny
    return band - median, max(float(sigma), rounding, floor)


def _detect(
    smooth: Image, sigma: float, threshold: float
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """The pixels of the galaxy at the centre, and those of all other objects.

    Of what is connected above the threshold, each peak is an object of its own that is so much
    brighter than the saddle towards the next (``_SADDLE``): a neighbour, but no clump in an arm.
    """
    # White noise, averaged over 4 pi s^2 pixels.
    level = threshold * sigma / np.sqrt(4 * np.pi * _SMOOTHING**2)
    above = smooth > level
    if not above.any():
        return above, above
    depth = np.log(smooth.clip(min=level) / level)
    peaks, _ = ndimage.label(h_maxima(depth, np.log(_SADDLE)), np.ones((3, 3)))
    objects = watershed(-depth, peaks, mask=above)
    rows, columns = np.indices(smooth.shape)
    middle = [(side - 1) / 2 for side in smooth.shape]
    near = np.hypot(rows - middle[0], columns - middle[1]) <= _CENTRAL * min(smooth.shape)
    inside = np.bincount(objects[near], minlength=1)
    inside[0] = 0
    galaxy = (objects == inside.argmax()) & (objects > 0)
    if galaxy.sum() < _MIN_AREA:
        galaxy[:] = False
    return galaxy, above & ~galaxy


def _fraction_saturated(image: NDArray[Any], galaxy: NDArray[np.bool_]) -> float:
    """The part of a galaxy at the largest number of the file's type, in any colour."""
    if image.dtype.kind not in "ui":
        return 0.0
    full = image == np.iinfo(image.dtype).max
    return float((full if full.ndim == 2 else full.any(axis=-1))[galaxy].mean())


def _soft_mask(galaxy: NDArray[np.bool_], others: NDArray[np.bool_]) -> Image:
    """1 on the galaxy, fading to 0 over a margin, and on neighbours."""
    margin = _MARGIN * _SMOOTHING
    mask = _fade(ndimage.distance_transform_edt(~galaxy) / (2 * margin))
    if others.any():
        mask *= 1 - _fade(ndimage.distance_transform_edt(~others) / margin)
    return np.asarray(mask)


def _fade(t: Image) -> Image:
    """Fall from 1 at 0 to 0 at 1, smoothly at either end."""
    return np.asarray(np.cos(0.5 * np.pi * t.clip(0, 1)) ** 2)


def _extent(mask: Image, centre: tuple[float, ...]) -> float:
    """Distance of the farthest pixel with light, along rows or columns."""
    rows, columns = np.nonzero(mask > 1e-3)
    return float(max(np.abs(rows - centre[0]).max(), np.abs(columns - centre[1]).max()))


def _centre(light: Image, centre: tuple[float, ...], extent: float, size: int) -> Image:
    """The galaxy in the middle of a stamp, made smaller where it would not fit."""
    step = max(1.0, extent / (_FILL * (size - 1) / 2))
    if step > 1:  # no detail finer than the pixels to come
        light = ndimage.gaussian_filter(light, 0.5 * np.sqrt(step**2 - 1))
    middle = (size - 1) / 2
    stamp = ndimage.affine_transform(
        light,
        (step, step),
        offset=[c - step * middle for c in centre],
        output_shape=(size, size),
        order=3,
    )
    edge = (np.abs(np.arange(size) - middle) / middle - _FILL) / (1 - _FILL)
    window = _fade(edge.clip(min=0))
    return np.asarray(stamp.clip(min=0) * window[:, None] * window)
