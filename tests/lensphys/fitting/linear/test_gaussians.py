"""Concentric Gaussians: lenstronomy's, and their means over pixels."""

import numpy as np
import pytest
import torch
from lenstronomy.LightModel.light_model import LightModel

import lensphys as lp
from lensphys.fitting.linear.gaussians import GaussianLight, GaussianSource
from tests.lensphys.fitting.linear.scenes import SCALE, params_of, pixels_of


def test_gaussians_of_a_source_are_lenstronomys():
    pixels, sigma = pixels_of(), [0.1, 0.3]
    source = GaussianSource(torch.tensor(sigma, dtype=torch.float64))
    params = params_of(source.ranges)
    basis = source.evaluate(params, pixels.x, pixels.y).basis
    theirs = LightModel(["MULTI_GAUSSIAN_ELLIPSE"])
    at = pixels.x.numpy().ravel(), pixels.y.numpy().ravel()
    for b in range(2):
        place = {name[7:]: params[name][b].item() for name in params}
        for k in range(2):
            amp = np.eye(2)[k]
            p = {"amp": amp, "sigma": np.array(sigma), **place}
            right = theirs.surface_brightness(*at, [p])
            np.testing.assert_allclose(basis[b, k].flatten(), right, rtol=1e-10, atol=1e-30)


def test_round_gaussians_are_lenstronomys():
    pixels, sigma = pixels_of(), [0.08, 0.2, 0.5]
    source = GaussianSource(torch.tensor(sigma, dtype=torch.float64))
    params = params_of(source.ranges) | {f"source_e{k}": torch.zeros(2).double() for k in (1, 2)}
    found = source.evaluate(params, pixels.x, pixels.y).basis.sum(1)[0].flatten()
    place = {f"center_{axis}": params[f"source_center_{axis}"][0].item() for axis in "xy"}
    theirs = LightModel(["MULTI_GAUSSIAN"])
    at = pixels.x.numpy().ravel(), pixels.y.numpy().ravel()
    right = theirs.surface_brightness(*at, [{"amp": np.ones(3), "sigma": np.array(sigma), **place}])
    np.testing.assert_allclose(found, right, rtol=1e-10, atol=1e-30)


@pytest.mark.parametrize("supersampling", [1, 2])
@pytest.mark.parametrize("shapes", [1, 2])
def test_gaussians_of_lens_light_are_means_over_their_pixels(shapes, supersampling):
    pixels = pixels_of((12, 15), psf=None, supersampling=supersampling)
    light = GaussianLight(pixels, shapes)
    params = params_of(light.ranges)
    found = light.evaluate(params, pixels.x, pixels.y).basis
    means = found.unflatten(-1, (-1, supersampling)).mean(-1)
    means = means.unflatten(-2, (-1, supersampling)).mean(-2)
    fine = lp.rendering.sub_pixels(*pixels.centers, SCALE, 25)
    places = {k: params[f"lens_light_{k}"] for k in ("center_x", "center_y")}
    at = 0
    for sigma, part in zip(light.sigma, ("lens_light_", "lens_light_outer_"), strict=False):
        shape = {k: params[part + k] for k in ("e1", "e2")}
        profile = lp.MultiGaussian(amp=torch.ones_like(sigma), sigma=sigma, **shape, **places)
        basis = profile.basis(*fine).movedim(0, 1) if len(sigma) == 2 else profile.basis(*fine)
        right = basis.reshape(2, len(sigma), 12, 25, 15, 25).mean((-3, -1))
        own = means[:, at : at + len(sigma)]
        off = (own - right).abs().amax((-2, -1)) / right.amax((-2, -1))
        assert off.max() < 3e-3
        at += len(sigma)
    assert at == light.count


def test_widths_of_lens_light_reach_from_half_a_pixel_to_beyond_the_field():
    for shapes in (1, 2):
        light = GaussianLight(pixels_of((32, 40)), shapes)
        sigma = torch.cat(light.sigma)
        assert sigma.min() == pytest.approx(0.5 * SCALE)
        assert sigma.max() == pytest.approx(0.95 * 32 * SCALE)
        assert len(sigma) == light.count
        assert len(light.ranges) == 2 + 2 * shapes


def test_two_ellipses_are_two_profiles_of_one_centre():
    pixels = pixels_of()
    light = GaussianLight(pixels)
    params = params_of(light.ranges)
    amplitudes = torch.rand(2, light.count, generator=torch.Generator().manual_seed(1)).double()
    inner, outer = light.profiles(params, amplitudes)
    assert (inner.center_x == outer.center_x).all()
    assert inner.e1[0] == 0.12
    assert outer.e1[0] == 0.05
    assert inner.amp.shape[1] + outer.amp.shape[1] == light.count
