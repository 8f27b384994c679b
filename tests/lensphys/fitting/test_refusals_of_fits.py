"""Bad input of fits is refused, with the reason and what works."""

import math

import numpy as np
import pytest
import torch

from lensphys import GaussianPSF, fit

IMAGE = torch.ones(2, 16, 18)

BROKEN = IMAGE.clone()

BROKEN[0, 3, 4], BROKEN[1, 2, 2] = math.nan, math.inf

PIXELS = {"pixel_scale": 0.1}

REFUSED = {
    "NaN": ((BROKEN, 1.0), {}, "images hold 2 pixels that are not finite; mask them"),
    "a word": (("image", 1.0), {}, "images must be a tensor or an array, got str"),
    "booleans": ((IMAGE > 0, 1.0), {}, "images must be .* of real ones, got torch.bool"),
    "masked": (
        (np.ma.masked_array(IMAGE.numpy(), mask=True), 1.0),
        {},
        "images must have no masked values",
    ),
    "channels": (
        (IMAGE[:, None], 1.0),
        {},
        r"images must be \(B, ny, nx\) .* got \(2, 1, 16, 18\)",
    ),
    "no images": ((IMAGE[:0], 1.0), {}, r"images must be .* got \(0, 16, 18\)"),
    "few pixels": ((IMAGE[:, :3, :4], 1.0), {}, "12 pixels that are not masked, too few for 14"),
    "all masked": ((IMAGE, torch.tensor([1.0, math.inf])), {}, "an image has 0 pixels"),
    "one row": ((IMAGE[:, :1], 1.0), {"bounds": {}}, "at least 2 pixels a side"),
    "sigma 0": ((IMAGE, 0.0), {}, "sigma must be positive"),
    "sigma negative": ((IMAGE, torch.tensor([1.0, -1.0])), {}, "sigma must be positive"),
    "sigma NaN": ((IMAGE, math.nan), {}, "sigma must be positive"),
    "sigma of others": ((IMAGE, torch.ones(3)), {}, r"sigma must be a number, \(2,\) .*got \(3,\)"),
    "sigma of a row": ((IMAGE, torch.ones(18)), {}, r"sigma must be .* got \(18,\)"),
    "sigma turned": ((IMAGE, torch.ones(18, 16)), {}, r"sigma must be .* got \(18, 16\)"),
    "mass": ((IMAGE, 1.0), {"mass": "NFW"}, "mass must be one of SIE, EPL, got 'NFW'"),
    "start name": ((IMAGE, 1.0), {"start": {"theta_e": 1.0}}, "'theta_e'; did you mean theta_E?"),
    "slope of SIE": ((IMAGE, 1.0), {"start": {"gamma": 2.0}}, "start names an unknown .* 'gamma'"),
    "light of a dark lens": (
        (IMAGE, 1.0),
        {"start": {"lens_light_amplitude": 1.0}},
        "unknown parameter 'lens_light_amplitude'",
    ),
    "start NaN": ((IMAGE, 1.0), {"start": {"theta_E": math.nan}}, "start of theta_E .* finite"),
    "start shape": (
        (IMAGE, 1.0),
        {"start": {"e1": torch.zeros(3)}},
        r"start of e1 must be a number or of shape \(2,\), got \(3,\)",
    ),
    "bound name": ((IMAGE, 1.0), {"bounds": {"thetaE": (0.1, 1.0)}}, "did you mean theta_E?"),
    "bounds reversed": ((IMAGE, 1.0), {"bounds": {"e1": (0.1, -0.1)}}, "bounds of e1 .*low < high"),
    "no starts": ((IMAGE, 1.0), {"n_starts": 0}, "n_starts must be a whole number from 1 on"),
    "half a start": ((IMAGE, 1.0), {"n_starts": 1.5}, "n_starts must be a whole number"),
    "steps back": ((IMAGE, 1.0), {"max_steps": -1}, "max_steps must be a whole number from 0 on"),
    "retry": ((IMAGE, 1.0), {"retry_above": -1.0}, "retry_above must be a number from 0 on"),
    "retry true": ((IMAGE, 1.0), {"retry_above": True}, "retry_above must be a number from 0 on"),
    "light of a number": ((IMAGE, 1.0), {"lens_light": 2}, "lens_light must be None, .* got 2"),
    "light of one": ((IMAGE, 1.0), {"lens_light": 1}, "lens_light must be None, .* got 1"),
    "light": ((IMAGE, 1.0), {"lens_light": "Sersic"}, "'mge' or .*, got 'Sersic'"),
    "source": ((IMAGE, 1.0), {"source": "sersics"}, "source must be one of sersic, .*'sersics'"),
    "source true": ((IMAGE, 1.0), {"source": True}, "source must be one of sersic, .* got True"),
    "model error": ((IMAGE, 1.0), {"model_error": -0.1}, "model_error must be from 0 to below 1"),
    "pixels true": ((IMAGE, 1.0), {"pixel_scale": True}, "pixel_scale must be positive"),
    "start true": ((IMAGE, 1.0), {"start": {"theta_E": True}}, "start of theta_E must be a number"),
    "fixed true": ((IMAGE, 1.0), {"fixed": {"theta_E": True}}, "fixed theta_E must be a number"),
    "bounds true": ((IMAGE, 1.0), {"bounds": {"theta_E": (True, 2)}}, "theta_E must be two finite"),
    "rays true": ((IMAGE, 1.0), {"supersampling": True}, "supersampling must be a whole number"),
    "prior name": ((IMAGE, 1.0), {"priors": {"gamma": (2.0, 0.1)}}, "priors names an unknown"),
    "kernels": (
        (IMAGE, 1.0),
        {"psf": np.ones((3, 5, 5))},
        "psf must hold one kernel, or one for each of 2 images, got 3",
    ),
    "kernel": ((IMAGE, 1.0), {"psf": np.ones((4, 4))}, "kernel must be .* with odd sizes"),
    "PSF of a word": ((IMAGE, 1.0), {"psf": "hst"}, "psf must be a tensor or an array, got str"),
    "sizes": (([IMAGE[0], IMAGE[0, 1:]], 1.0), {}, "images must have one shape, .* pad them"),
    "true": ((IMAGE, 1.0), {"max_steps": True}, "max_steps must be a whole number"),
    "tolerance": ((IMAGE, 1.0), {"tolerance": 0.0}, "tolerance must be finite and in"),
    "tolerance a word": ((IMAGE, 1.0), {"tolerance": "a"}, "tolerance must be a number"),
    "sigma a word": ((IMAGE, "a"), {}, "sigma must be a number or a tensor, got str"),
    "tolerance NaN": ((IMAGE, 1.0), {"tolerance": math.nan}, "tolerance must be finite and in"),
    "PSF": ((IMAGE, 1.0), {"psf": GaussianPSF(0.1, 0.05)}, r"psf\.pixel_scale is 0\.05 arcsec"),
    "fixed name": ((IMAGE, 1.0), {"fixed": {"gama1": 0.0}}, "fixed names an unknown .* gamma1"),
    "fixed NaN": ((IMAGE, 1.0), {"fixed": {"gamma1": math.nan}}, "fixed gamma1 must be finite"),
    "supersampling": (
        (IMAGE, 1.0),
        {"supersampling": 0},
        "supersampling must be a whole number from 1 on",
    ),
    "pixels": ((IMAGE, 1.0), {"pixel_scale": 0.0}, "pixel_scale must be positive"),
}


@pytest.mark.parametrize(("given", "settings", "message"), REFUSED.values(), ids=REFUSED)
def test_bad_input_is_refused_with_its_reason(given, settings, message):
    with pytest.raises(ValueError, match=message):
        fit(*given, **PIXELS | settings)


@pytest.mark.parametrize("transform", [torch.vmap, torch.func.grad])
def test_a_fit_under_a_transform_is_refused_with_what_works(transform):
    def radius(image):
        return fit(image, 1.0, **PIXELS, max_steps=0).params["theta_E"].sum()

    with pytest.raises(ValueError, match=r"no transform such as vmap .* all images at once"):
        transform(radius)(IMAGE)
