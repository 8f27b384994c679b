"""What the lens equation says of an image before a network sees it.

Every image is fitted once with a smooth lens (:func:`lensphys.fit`), without labels. What that
leaves travels beside the image as channels, in files beside the shards of its data set.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

import lensphys as lp
from learn.config import PriorConfig
from lensphys.fit import FitResult
from lensphys.render import Pixels
from simulate.errors import InputError
from simulate.photometry import Photometry
from simulate.shards import DataSet, replacing

Array = NDArray[Any]

#: What travels beside an image, in this order: the residual; the response, which is the change of
#: the image with a deflection along x and along y; the place in the source plane; and the noise.
CHANNELS = ("residual", "response_x", "response_y", "beta_x", "beta_y", "sigma")
#: Pairs of channels that are vectors, and turn with the image.
VECTORS = ((1, 2), (3, 4))
#: Changes with the meaning of what is in the files.
_VERSION = 2
#: Images in a file, and images fitted at once.
_PART, _BLOCK = 1024, 128
#: chi^2 beyond that of noise from which a fit is tried again: the square of a S/N of 45.
_POOR = 2000.0
#: Pixels on a side from which a first lens is looked for in coarser ones.
_LARGE = 128
#: Pixels on a side of the box whose mean a high-pass channel lacks.
_BOX = 5
#: Of half precision.
_LARGEST = 6e4


@dataclasses.dataclass(frozen=True, eq=False)
class LensPrior:
    """The smooth lens behind each of N images.

    Attributes:
        names: of the P parameters, those of :func:`lensphys.fit`.
        params: (N, P) best fits.
        covariance: (N, P, P) of them.
        chi2_dof: (N,) chi^2 over the degrees of freedom.
        converged: (N,) whether the fit has found a minimum.
        channels: (N, 6, H, W), half precision: :data:`CHANNELS`. The residual is in units of the
            noise, the response in units of the noise per arcsec, the place in the source plane in
            half-light radii from the centre of the source, and the noise in units of the image.
    """

    names: tuple[str, ...]
    params: NDArray[np.float32]
    covariance: NDArray[np.float32]
    chi2_dof: NDArray[np.float32]
    converged: NDArray[np.bool_]
    channels: NDArray[np.float16]

    def column(self, name: str) -> NDArray[np.float32]:
        """One parameter (N,) by its name."""
        return self.params[:, self.names.index(name)]


def lens_prior(
    data: DataSet, config: PriorConfig, column: str = "image", device: str = "cpu"
) -> LensPrior:
    """The smooth lens behind each image of a data set, fitted where it has not been.

    Files are found by what they are of: an image that has changed is fitted again, and one that is
    in another selection of the same data set is not.

    Args:
        data: the images, and the folder beside whose shards the files lie.
        config: of the fit.
        column: ``image`` or ``image_lr``.
        device: to fit on.

    Raises:
        InputError: for a data set that does not say its pixel scale, PSF or noise, and where
            nothing can be written beside it.
    """
    images = data.image if column == "image" else data.image_lr
    assert images is not None
    photometry = Photometry.of(data, column)
    lens_light = shines(data.config)
    folder = data.path / f"lens-prior-{_name(photometry, config, lens_light)}"
    keys = _keys(images, photometry)
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise InputError(
            f"cannot write the lenses of {data.path} beside its shards: {error.strerror}; copy it "
            "to where you can write"
        ) from None
    known = _stored(folder)
    missing = np.array([i for i, key in enumerate(keys) if key not in known], np.int64)
    with _bar(len(missing)) as bar:
        for start in range(0, len(missing), _PART):
            rows = missing[start : start + _PART]
            part = _fitted(images[rows], photometry.select(rows), config, lens_light, device, bar)
            part["key"] = np.stack([np.frombuffer(keys[i], np.uint8) for i in rows])
            _write(folder, part, _fitters(photometry, config, lens_light)[-1].scene.names)
    return _gathered(folder, keys)


def seen_by(
    encoder: BaseModel,
    data: DataSet,
    *,
    column: str = "image",
    device: str = "cpu",
) -> LensPrior | None:
    """The lens prior that an encoder of this configuration wants to see; None where it wants none.

    Raises:
        InputError: as :func:`lens_prior`.
    """
    config: PriorConfig | None = getattr(encoder, "prior", None)
    return None if config is None else lens_prior(data, config, column, device)


def prior_of_images(
    images: Tensor, photometry: Photometry, config: PriorConfig, *, lens_light: bool
) -> Tensor:
    """The channels (B, 6, H, W) of images (B, 1, H, W) that belong to no data set."""
    part = _fit(images[:, 0], photometry, config, lens_light)
    return torch.from_numpy(part["channels"]).to(images)


def network_input(image: Tensor, channels: Tensor) -> Tensor:
    """Flux and channels as one stack (B, 7, H, W)."""
    return torch.cat([image, channels.to(image)], 1)


def shines(config: dict[str, Any]) -> bool:
    """Whether the lenses of a data set with this configuration shine."""
    enabled = config.get("lens_light", {}).get("enabled", False)
    return bool(enabled or config.get("non_lens", {}).get("fraction", 0) > 0)


def _name(photometry: Photometry, config: PriorConfig, lens_light: bool) -> str:
    """A digest of all that the fit of an image follows from, but the image."""
    optics = dataclasses.asdict(photometry)
    del optics["rate"], optics["exposure"]
    of = {"steps": config.steps, "high_pass": config.residual == "high-pass"}
    how = [_VERSION, _POOR, _LARGE, _BOX]
    text = json.dumps([how, optics, of, lens_light], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _keys(images: NDArray[np.float32], photometry: Photometry) -> list[bytes]:
    """A digest of each image and of how its counts are read."""
    readings = np.stack([photometry.rate, photometry.exposure], 1)
    return [
        hashlib.blake2b(image.tobytes() + reading.tobytes(), digest_size=16).digest()
        for image, reading in zip(images, readings, strict=True)
    ]


def _stored(folder: Path) -> set[bytes]:
    """The keys of all images in the files of a folder."""
    return {key for path in _files(folder) for key in _keys_in(path)}


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("part-*.h5"))


def _keys_in(path: Path) -> Iterator[bytes]:
    try:
        with h5py.File(path, "r") as file:
            yield from (key.tobytes() for key in file["key"][()])
    except (OSError, KeyError, RuntimeError):
        raise InputError(f"{path} is damaged; delete it to have its lenses fitted again") from None


def _gathered(folder: Path, keys: list[bytes]) -> LensPrior:
    """What is in the files of a folder about these images, in their order."""
    places: dict[bytes, list[int]] = {}
    for place, key in enumerate(keys):
        places.setdefault(key, []).append(place)
    arrays: dict[str, Array] = {}
    names: tuple[str, ...] = ()
    missing = np.ones(len(keys), bool)
    for path in _files(folder):
        own = [(i, place) for i, key in enumerate(_keys_in(path)) for place in places.get(key, ())]
        if not own:
            continue
        there, here = (np.array(side) for side in zip(*own, strict=True))
        with h5py.File(path, "r") as file:
            names = tuple(str(name) for name in file.attrs["names"])
            for name in ("params", "covariance", "chi2_dof", "converged", "channels"):
                values = file[name][()]
                if name not in arrays:
                    arrays[name] = np.empty((len(keys), *values.shape[1:]), values.dtype)
                arrays[name][here] = values[there]
        missing[here] = False
    if missing.any():
        raise InputError(f"files in {folder} are gone; run the same command again to go on")
    return LensPrior(names, **arrays)


def _write(folder: Path, part: dict[str, Array], names: tuple[str, ...]) -> None:
    """Write one file, named after what is in it: two processes may write it at once."""
    digest = hashlib.sha256(part["key"].tobytes()).hexdigest()[:16]
    path = folder / f"part-{digest}.h5"
    try:
        with replacing(path) as temporary, h5py.File(temporary, "w") as file:
            for name, values in part.items():
                file.create_dataset(name, data=values)
            file.attrs["names"] = list(names)
    except (OSError, RuntimeError) as error:
        raise InputError(
            f"cannot write {path}: {error}; make room and run the same command again to go on"
        ) from None


def _bar(count: int) -> Any:
    pause = 0.1 if sys.stderr.isatty() else 30.0
    return tqdm(
        total=count, desc="fitting lenses", unit="img", disable=not count, mininterval=pause
    )


def _fitted(
    images: NDArray[np.float32],
    photometry: Photometry,
    config: PriorConfig,
    lens_light: bool,
    device: str,
    bar: Any,
) -> dict[str, Array]:
    """:func:`_fit` in blocks."""
    parts = []
    for start in range(0, len(images), _BLOCK):
        rows = slice(start, start + _BLOCK)
        flux = torch.from_numpy(images[rows, 0]).to(device)
        parts.append(_fit(flux, photometry.select(rows), config, lens_light))
        bar.update(len(flux))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


@torch.no_grad()
def _fit(
    images: Tensor, photometry: Photometry, config: PriorConfig, lens_light: bool
) -> dict[str, Array]:
    """Fit images (B, H, W), and describe what that leaves."""
    flux = images * torch.from_numpy(photometry.rate).to(images)[:, None, None]
    first, patient, last = _fitters(photometry, config, lens_light, _coarser(flux))
    pixels = photometry.pixels((flux.shape[-2], flux.shape[-1]), flux)

    def described(rows: Tensor, start: dict[str, Tensor] | None) -> dict[str, Array]:
        own, known = flux[rows], photometry.select(rows.cpu().numpy())
        sigma = known.mean_and_sigma(own)[1]
        result = None
        # The noise follows from the model, once there is one: a dark pixel that has counted too
        # little would weigh too much. And again from the power law, which may differ by more than
        # the noise where light is bright.
        for _ in range(1 if start is None else 2):
            if start is not None:
                model = last.scene.image(start, pixels)
                mean, sigma = known.mean_and_sigma(model)
                own = flux[rows] - (mean - model)
            result = last(own, sigma, start=start)
            start = result.params
        assert result is not None
        return _description(own, sigma, result, pixels, known, config)

    everything = torch.arange(len(flux), device=flux.device)
    if not config.steps:
        return described(everything, None)
    binned = _binned(flux, photometry.mean_and_sigma(flux)[1], _coarser(flux))
    found = described(everything, _as_power_law(first(*binned).params))
    dof = flux[0].numel() - len(last.scene.names)
    excess = (found["chi2_dof"] - float(photometry.noisy)) * dof
    poor = np.flatnonzero(~(excess < _POOR))
    if len(poor):
        rows = torch.from_numpy(poor).to(flux.device)
        again = described(rows, _as_power_law(patient(*(v[rows] for v in binned)).params))
        better = ~(again["chi2_dof"] >= found["chi2_dof"][poor])
        for name, values in found.items():
            values[poor[better]] = again[name][better]
    return found


def _description(
    flux: Tensor,
    sigma: Tensor,
    result: FitResult,
    pixels: Pixels,
    photometry: Photometry,
    config: PriorConfig,
) -> dict[str, Array]:
    """What is kept of a fit."""
    channels = _channels(flux, sigma, result, pixels, photometry, config)
    finite = channels.isfinite().flatten(1).all(1)
    return {
        "params": torch.stack(list(result.params.values()), 1).cpu().numpy(),
        "covariance": result.covariance.float().cpu().numpy(),
        "chi2_dof": result.chi2_dof.cpu().numpy(),
        "converged": (result.converged & finite).cpu().numpy(),
        "channels": channels.nan_to_num(0.0).clamp(-_LARGEST, _LARGEST).half().cpu().numpy(),
    }


def _coarser(images: Tensor) -> int:
    """By how much images (B, H, W) are binned to find a first lens: large ones by two."""
    sides = images.shape[-2:]
    return 2 if min(sides) >= _LARGE and not any(n % 2 for n in sides) else 1


def _binned(flux: Tensor, sigma: Tensor, factor: int) -> tuple[Tensor, Tensor]:
    """Sums of fluxes (B, H, W) over blocks of pixels, and their noise."""
    if factor == 1:
        return flux, sigma
    variance = F.avg_pool2d(sigma.square(), factor) * factor**2
    return F.avg_pool2d(flux, factor) * factor**2, variance.sqrt()


def _as_power_law(isothermal: dict[str, Tensor]) -> dict[str, Tensor]:
    return {**isothermal, "gamma": torch.full_like(isothermal["theta_E"], 2.0)}


def _fitters(
    photometry: Photometry, config: PriorConfig, lens_light: bool, coarser: int = 1
) -> tuple[lp.Fitter, lp.Fitter, lp.Fitter]:
    optics = photometry.pixel_scale, photometry.psf_fwhm, photometry.psf_truncation
    return _fitters_of(*optics, photometry.rays, config.steps, lens_light, coarser)


@functools.lru_cache(maxsize=4)  # each renders thousands of templates
def _fitters_of(
    pixel_scale: float,
    fwhm: float,
    truncation: float,
    rays: int,
    steps: int,
    lens_light: bool,
    coarser: int,
) -> tuple[lp.Fitter, lp.Fitter, lp.Fitter]:
    """A quick search for an isothermal lens, a patient one, and what makes a power law of it.

    An isothermal lens is found in a third of the time, and from there the slope is a small step.
    Most lenses are found at once.
    """

    def fitter(mass: str, scale: float, retry_above: float, n_starts: int = 3) -> lp.Fitter:
        return lp.Fitter(
            pixel_scale=scale,
            psf=lp.GaussianPSF(fwhm=fwhm, pixel_scale=scale, truncation=truncation),
            mass=mass,
            lens_light=lens_light,
            supersampling=rays,
            n_starts=n_starts,
            retry_above=retry_above,
            max_steps=steps,
        )

    wide = coarser * pixel_scale
    quick, patient = fitter("SIE", wide, math.inf), fitter("SIE", wide, 0.0)
    return quick, patient, fitter("EPL", pixel_scale, math.inf, n_starts=1)


def _channels(
    flux: Tensor,
    sigma: Tensor,
    result: FitResult,
    pixels: Pixels,
    photometry: Photometry,
    config: PriorConfig,
) -> Tensor:
    """The channels (B, 6, H, W) of fitted images."""
    names = result.names
    along = [1 + names.index(f"source_center_{axis}") for axis in "xy"]
    maps = result.scene.image_and_jacobian(result.params, pixels)
    # Light that is deflected by d and a source that moves by d look the same.
    response = maps[:, along] / sigma[:, None]
    residual = result.residual
    if config.residual == "high-pass":
        residual = high_passed(flux) / sigma
    shape = (flux.shape[-2], flux.shape[-1])
    centres = lp.pixel_grid(shape, photometry.pixel_scale, dtype=flux.dtype, device=flux.device)
    beta = result.lens.ray_trace(*centres)
    size = result.params["source_R_sersic"][:, None, None]
    centred = [
        (place - result.params[f"source_center_{axis}"][:, None, None]) / size
        for axis, place in zip("xy", beta, strict=True)
    ]
    rate = torch.from_numpy(photometry.rate).to(sigma)[:, None, None]
    return torch.stack([residual, *response.unbind(1), *centred, sigma / rate], 1)


def high_passed(maps: Tensor) -> Tensor:
    """Maps (..., H, W) less their means over boxes of a few pixels."""
    flat = maps.reshape(-1, 1, *maps.shape[-2:])
    smooth = F.avg_pool2d(flat, _BOX, 1, _BOX // 2, count_include_pad=False)
    return (flat - smooth).view_as(maps)
