"""Images of real galaxies as sources: read, cleaned, centred, and brought to unit flux."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from astropy.io import fits
from astropy.stats import sigma_clipped_stats
from numpy.typing import NDArray
from pydantic import Field, field_validator
from scipy import ndimage
from skimage.morphology import h_maxima
from skimage.segmentation import watershed
from torch import Tensor

import lensphys as lp
from lensphys.parameters import Parameter
from simulate.config import Strict
from simulate.errors import InputError
from simulate.shards import replacing, sha256

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
#: How many times as bright as the saddle between them the peak of a neighbour is.
_SADDLE = 2.5
#: How far from the middle of the image the galaxy may be, as a fraction of the side.
_CENTRAL = 0.1
#: By how many smoothing lengths a galaxy is taken to be larger than what is detected of it.
_MARGIN = 2.0
#: Fewest pixels of a detection.
_MIN_AREA = 12
#: Largest part of the half-width of a stamp that a galaxy takes up; light fades out in the rest.
_FILL = 0.85
_FITS_ENDINGS = (".fits", ".fit", ".fits.gz", ".fit.gz", ".fits.fz")
_HDF5_ENDINGS = (".h5", ".hdf5", ".hdf")

Image = NDArray[np.float64]


class GalaxyImagesConfig(Strict):
    """Which galaxies are taken from which file, and how."""

    path: Path | None = Field(
        description="HDF5 (`images`, `ans`), FITS, or folder of FITS; null: sources are smooth"
    )
    size: int = Field(ge=16, le=512, description="pixels on a side of a stamp")
    max_images: int | None = Field(
        gt=0, description="look at so many, evenly spaced through the file; null: at all"
    )
    rgb_weights: tuple[float, float, float] = Field(description="of the channels of a colour image")
    threshold: float = Field(gt=0, description="of a detection, in sigma of the background")
    max_saturated: float = Field(ge=0, le=1, description="fraction of the pixels of a galaxy")
    min_half_light_radius: float = Field(ge=1, description="pixels of the image as it is given")

    @field_validator("rgb_weights")
    @classmethod
    def _sum_to_one(cls, weights: tuple[float, float, float]) -> tuple[float, float, float]:
        if min(weights) < 0 or not np.isclose(sum(weights), 1):
            raise ValueError("the weights must not be negative, and sum to 1")
        return weights

    def identity(self) -> dict[str, Any]:
        """What the stamps depend on: the settings and the digest of the file, not where it lies.

        Raises:
            InputError: where there is no such file.
        """
        settings = self.model_dump(mode="json", exclude={"path"})
        if self.path is None:
            return settings
        return settings | {"file": self.path.name, "sha256": digest(self.path)}


@dataclasses.dataclass(frozen=True, eq=False)
class GalaxyImages:
    """Stamps of N galaxies, to be put behind a lens."""

    stamps: NDArray[np.float32]
    """(N, size, size), each of a sum of 1, with its centroid in the middle and dark edges"""
    half_light_radius: NDArray[np.float64]
    """(N,) radius of the circle about the middle that holds half of the light, pixels"""
    number: NDArray[np.int64]
    """(N,) which image of the file each one is, from 0 on"""
    label: NDArray[np.int64]
    """(N,) class as given in the file (`ans`); -1 where there is none"""
    rejected: dict[str, int]
    """how many images of the file were not used, by reason (:data:`REASONS`)"""

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
    return _loaded(config, _state(_given(config)))


def _given(config: GalaxyImagesConfig) -> Path:
    if config.path is None:
        raise InputError("galaxies.path is not given")
    return config.path


@functools.lru_cache(maxsize=4)
def _loaded(config: GalaxyImagesConfig, state: tuple[Any, ...]) -> GalaxyImages:
    stamps, radii, numbers, labels = [], [], [], []
    rejected = dict.fromkeys(REASONS, 0)
    for number, label, image in _images(config):
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
    # What is faint beside the noise of a pixel is shown smoothed: a lens magnifies specks too.
    clear = smooth**2 / (smooth**2 + (_CLEAR * sigma) ** 2)
    mask = _soft_mask(galaxy, others)
    light = ((clear * light + (1 - clear) * smooth) * mask).clip(min=0)
    centre = ndimage.center_of_mass(light)
    if half_light_radius(light, centre) < config.min_half_light_radius:
        return "unresolved"
    stamp = _centred(light, centre, _extent(mask, centre), config.size)
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


def digest(path: Path) -> str:
    """SHA-256 of a file, or of the names and digests of the FITS files of a folder.

    Raises:
        InputError: where there is nothing.
    """
    return _digest(path, _state(path))


@functools.lru_cache(maxsize=4)
def _digest(path: Path, state: tuple[Any, ...]) -> str:
    if not path.is_dir():
        return sha256(path)
    lines = "".join(f"{sha256(file)}  {file.name}\n" for file in _fits_files(path))
    return hashlib.sha256(lines.encode()).hexdigest()


def _state(path: Path) -> tuple[Any, ...]:
    """What changes with the contents of a file, or of a folder."""
    if not path.exists():
        raise InputError(f"there are no galaxy images at {path}; give an HDF5 or FITS file")
    files = _fits_files(path) if path.is_dir() else [path]
    return tuple((file.name, (s := file.stat()).st_size, s.st_mtime_ns) for file in files)


def _images(config: GalaxyImagesConfig) -> Iterator[tuple[int, int, NDArray[Any] | None]]:
    """Number, label and pixels of each image to look at; None for a file of many that is broken."""
    path = _given(config)
    if path.is_dir():
        files = _fits_files(path)
        if not files:
            raise InputError(f"{path} holds no FITS file")
        for number in _chosen(len(files), config.max_images):
            try:
                yield number, -1, _fits_image(files[number])
            except InputError:
                yield number, -1, None
    elif path.name.endswith(_HDF5_ENDINGS):
        yield from _hdf5_images(path, config.max_images)
    elif path.name.endswith(_FITS_ENDINGS):
        yield from _fits_cube(path, config.max_images)
    else:
        raise InputError(f"{path} is neither an HDF5 file (.h5) nor a FITS file (.fits)")


def _chosen(n: int, most: int | None) -> list[int]:
    """Evenly spaced, since files are often sorted by class."""
    count = n if most is None else min(n, most)
    return [i * n // count for i in range(count)]


def _hdf5_images(path: Path, most: int | None) -> Iterator[tuple[int, int, NDArray[Any]]]:
    with _readable(path), h5py.File(path, "r", rdcc_nbytes=64 * 2**20) as file:
        if "images" not in file or not isinstance(file["images"], h5py.Dataset):
            found = ", ".join(file) or "nothing"
            raise InputError(
                f"{path} has no dataset 'images' (N, H, W, 3) or (N, H, W); it has {found}"
            )
        images = file["images"]
        colour = images.ndim == 4 and images.shape[3] == 3
        numbers = images.dtype.kind in "uif" and images.size > 0
        if not numbers or not (images.ndim == 3 or colour):
            raise InputError(
                f"{path}: 'images' must be numbers of shape (N, H, W, 3) or (N, H, W), got "
                f"{images.dtype} of shape {images.shape}"
            )
        labels = np.asarray(file["ans"]) if "ans" in file else np.full(len(images), -1)
        if labels.shape != (len(images),) or labels.dtype.kind not in "ui":
            raise InputError(
                f"{path}: 'ans' must be whole numbers of shape ({len(images)},), got "
                f"{labels.dtype} of shape {labels.shape}"
            )
        for number in _chosen(len(images), most):
            yield number, int(labels[number]), images[number]


def _fits_files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.name.endswith(_FITS_ENDINGS))


def _fits_image(path: Path) -> NDArray[Any]:
    """The image of a cutout."""
    with _readable(path), fits.open(path) as file:
        image = _first_image(path, file)
        if image.ndim == 3 and len(image) == 3:
            image = np.moveaxis(image, 0, -1)
        elif image.ndim != 2:
            raise InputError(
                f"{path}: a cutout must be (H, W), or (3, H, W) in colour, got {image.shape}"
            )
        return _native(image)


def _fits_cube(path: Path, most: int | None) -> Iterator[tuple[int, int, NDArray[Any]]]:
    """The planes of a cube, or the one image of a file."""
    with _readable(path), fits.open(path, memmap=True) as file:
        cube = _first_image(path, file)
        cube = cube[None] if cube.ndim == 2 else cube
        if cube.ndim != 3:
            raise InputError(f"{path}: a cube must be (N, H, W), got {cube.shape}")
        for number in _chosen(len(cube), most):
            yield number, -1, _native(cube[number])


def _first_image(path: Path, file: fits.HDUList) -> NDArray[Any]:
    for hdu in file:
        if hdu.is_image and hdu.data is not None and hdu.data.ndim >= 2:
            data: NDArray[Any] = hdu.data
            return data
    raise InputError(f"{path} holds no image")


def _native(image: NDArray[Any]) -> NDArray[Any]:
    """In the byte order of this machine, and off the file."""
    return np.array(image, dtype=image.dtype.newbyteorder("="))


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, RuntimeError, ValueError, TypeError) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"cannot read galaxy images from {path}: {first}") from None


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
    inside = np.bincount(objects[near])
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
    """From 1 at 0 to 0 at 1, smoothly at either end."""
    return np.asarray(np.cos(0.5 * np.pi * t.clip(0, 1)) ** 2)


def _extent(mask: Image, centre: tuple[float, ...]) -> float:
    """Distance of the farthest pixel with light, along rows or columns."""
    rows, columns = np.nonzero(mask > 1e-3)
    return float(max(np.abs(rows - centre[0]).max(), np.abs(columns - centre[1]).max()))


def _centred(light: Image, centre: tuple[float, ...], extent: float, size: int) -> Image:
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


#: The file in the folder of a data set that holds its sources, where they are real galaxies.
SOURCES = "sources.h5"


def store_galaxies(config: GalaxyImagesConfig, folder: Path) -> GalaxyImages:
    """Prepare the galaxies once and keep them beside the images; found there, they are read.

    Raises:
        InputError: see :func:`load_galaxies`, and where the file cannot be written.
    """
    identity = json.dumps(config.identity(), sort_keys=True)
    path = folder / SOURCES
    if path.is_file():
        try:
            with h5py.File(path) as file:
                if file.attrs["identity"] == identity and file.attrs["digest"] == _content(file):
                    return stored_galaxies(folder)
        except (OSError, KeyError, RuntimeError, InputError):
            pass  # damaged: made again
    galaxies = load_galaxies(config)
    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        for name in _COLUMNS:
            file.create_dataset(name, data=getattr(galaxies, name))
        file.attrs["rejected"] = json.dumps(galaxies.rejected)
        file.attrs["identity"], file.attrs["digest"] = identity, _content(file)
    return galaxies


def stored_galaxies(folder: Path) -> GalaxyImages:
    """The galaxies that are the sources of a data set.

    Raises:
        InputError: where there are none, or the file is damaged.
    """
    path = folder / SOURCES
    if not path.is_file():
        raise InputError(f"{path} is missing; run the simulate command of the data set again")
    return _stored(path, path.stat().st_mtime_ns)


@functools.lru_cache(maxsize=2)
def _stored(path: Path, changed: int) -> GalaxyImages:
    try:
        with h5py.File(path) as file:
            columns = {name: file[name][()] for name in _COLUMNS}
            return GalaxyImages(**columns, rejected=json.loads(file.attrs["rejected"]))
    except (OSError, KeyError, RuntimeError, ValueError):
        raise InputError(
            f"{path} is damaged; run the simulate command of the data set again"
        ) from None


_COLUMNS = ("stamps", "half_light_radius", "number", "label")


def _content(file: h5py.File) -> str:
    """SHA-256 of the columns."""
    digest = hashlib.sha256()
    for name in _COLUMNS:
        digest.update(np.ascontiguousarray(file[name][()]).tobytes())
    return digest.hexdigest()
