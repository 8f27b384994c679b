"""Model of one lens: the field that is fitted, the fit, its warnings and its dark-matter map."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import torch

import lensphys as lp
from learn.modelling.companions import find_companions, is_better, mask_pixels
from learn.modelling.field import choose_field
from learn.modelling.flags import COMPANION, DOUBTFUL, find_flags
from learn.modelling.lens_data import LensData
from learn.modelling.settings import ModelSettings
from lensphys.fitting.bounds import check_names
from lensphys.ground.errors import InputError
from lensphys.threads import side_by_side

#: Noise of a pixel outside of which squares of fluxes leave the range of single precision.
_FAINTEST, _BRIGHTEST = 1e-12, 1e12


@dataclasses.dataclass(frozen=True, eq=False)
class LensModel:
    """Model of one lens.

    Attributes:
        data: what was fitted, cut to the field.
        result: of the fit, a batch of one.
        flags: warnings in words, none for a model that nothing speaks against.
        maps: dark-matter maps; None if none were wanted, or no lens was found.
        seconds: that it took.
    """

    data: LensData
    result: lp.FitResult
    flags: list[str]
    maps: lp.DetectionMaps | None
    seconds: float


def check_priors(settings: ModelSettings) -> None:
    """Refuse priors of parameters that the fit does not have, before anything is modelled.

    Raises:
        InputError: for one, with the names that are near, or all of them.
    """
    options = {name: v for name, v in settings.fit_options().items() if name != "priors"}
    names = lp.Fitter(pixel_scale=1.0, **options).names
    try:
        check_names("priors", settings.priors or {}, names)
    except ValueError as error:
        raise InputError(str(error)) from None


@side_by_side()
def model_lens(data: LensData, settings: ModelSettings) -> LensModel:
    """Model one lens from its data alone.

    Args:
        data: image, noise and PSF, of any size.
        settings: of the model.

    Raises:
        ValueError: for data that cannot be fitted, such as too few pixels.
    """
    began = time.monotonic()
    data = data.within(settings.field or choose_field(data))
    result = _fit(data, settings)
    flags = find_flags(result, data)
    if DOUBTFUL.intersection(flags):
        data, result, flags = _look_again(data, settings, result, flags)
    maps = None
    if settings.detect != "none":
        redshifts: dict[str, Any] = {"z_lens": data.z_lens, "z_source": data.z_source}
        known = None not in redshifts.values()
        maps = lp.detect(result, profile=settings.detect, **(redshifts if known else {}))
    return LensModel(data, result, flags, maps, time.monotonic() - began)


def _fit(data: LensData, settings: ModelSettings) -> lp.FitResult:
    device, precision = torch.device(settings.device), _choose_precision(data)
    image, noise, psf = (
        torch.from_numpy(maps).to(device, precision) for maps in (data.image, data.noise, data.psf)
    )
    options = {name: value for name, value in settings.fit_options().items() if value is not None}
    return lp.fit(image, noise, pixel_scale=data.pixel_scale, psf=psf, **options)


def _look_again(
    data: LensData, settings: ModelSettings, result: lp.FitResult, flags: list[str]
) -> tuple[LensData, lp.FitResult, list[str]]:
    """Fit a lens whose model is in doubt without its companions, and keep the better model."""
    mask = find_companions(result, data)
    if mask is None:
        return data, result, flags
    without = mask_pixels(data, mask)
    second = _fit(without, settings)
    found = find_flags(second, without)
    if DOUBTFUL.intersection(found) or not is_better(second, result, mask):
        return data, result, flags
    return without, second, [*found, COMPANION]


def _choose_precision(data: LensData) -> torch.dtype:
    """Single precision, or double for units in which numbers are very small or large."""
    noise = torch.from_numpy(data.noise)
    usual = float(noise[noise.isfinite()].median())
    return torch.float32 if _FAINTEST < usual < _BRIGHTEST else torch.float64
