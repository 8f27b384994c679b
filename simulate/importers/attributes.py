"""Attributes of an imported data set, as far as files and options give them."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from lensphys.ground.errors import InputError
from simulate.config import SimulateConfig
from simulate.importers.config import ImportConfig
from simulate.importers.framing import by
from simulate.importers.layouts import Source
from simulate.importers.survey import Form
from simulate.presets import list_models, load_simulate_config, make_prior

#: ``preset`` of a data set that was not made here.
PRESET = "imported"
#: ``model`` and ``unit`` of images where they are not known.
UNKNOWN = "unknown"


def attributes(source: Source, config: ImportConfig, form: Form) -> dict[str, Any]:
    """The attributes of a shard, as far as they are known.

    Raises:
        InputError: for an unknown instrument or model, or an unknown pixel scale.
    """
    model = None if config.model is None else load_simulate_config(config.model)
    name = model.instrument if model else config.instrument
    attrs: dict[str, Any] = {
        "label_names": list(source.label_names),
        "preset": PRESET,
        "model": UNKNOWN if model is None else model.model,
        "unit": config.unit or form.unit or UNKNOWN,
        "pixel_scale": form.pixel_scale or config.pixel_scale or math.nan,
    }
    if name is not None:
        attrs |= _optics(name, attrs["pixel_scale"])
    if model is not None:
        attrs |= _published_attributes(model, config, form)
    if math.isnan(attrs["pixel_scale"]):
        kind = "FITS headers have no WCS that gives" if source.fits else ".npy files do not say"
        raise InputError(
            f"the {kind} the pixel scale; give --pixel-scale ARCSEC, --model {list_models()} "
            "of DeepLense, or --instrument NAME"
        )
    if form.factor:
        attrs["pixel_scale_lr"] = attrs["pixel_scale"] * form.factor
    if source.split_names:
        attrs["split_names"] = list(source.split_names)
    return attrs


def _optics(name: str, pixel_scale: float) -> dict[str, Any]:
    """PSF and noise of an instrument, on pixels of another width where that is known."""
    from simulate.instruments import instrument

    camera = instrument(name)
    if not math.isnan(pixel_scale):
        rms = camera.background_rms
        if rms is not None:  # a pixel collects the sky of its area
            rms *= pixel_scale / camera.pixel_scale
        camera = dataclasses.replace(camera, pixel_scale=pixel_scale, background_rms=rms)
    attrs = {
        "instrument": name,
        "pixel_scale": camera.pixel_scale,
        "psf_fwhm": camera.psf_fwhm,
        "psf_truncation": camera.psf_truncation,
    }
    if camera.psf_beta is not None:
        attrs["psf_beta"] = camera.psf_beta
    if camera.background_sigma > 0:
        attrs["background_sigma"] = camera.background_sigma
    return attrs


def _published_attributes(
    model: SimulateConfig, config: ImportConfig, form: Form
) -> dict[str, Any]:
    from simulate.instruments import instrument
    from simulate.observe import OBSERVATIONS

    side = instrument(model.instrument).n_pix
    shape = form.framing.shape
    if shape != (side, side):
        these = "these differ in size" if shape is None else f"these have {by(shape)}"
        raise InputError(
            f"--model {model.model} has images of {side} x {side} pixels, {these}; give their "
            "--instrument or --pixel-scale instead"
        )
    unit = config.unit or form.unit or OBSERVATIONS[model.observation][1]
    return {"unit": unit, "alpha_scale": make_prior(model).alpha_scale}
