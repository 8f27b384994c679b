"""Multi-Gaussian expansion."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lenstronomy.LightModel.light_model import LightModel

from lensphys import SIE, Gaussian, MultiGaussian, Sersic, ThinLens, pixel_grid, render
from lensphys.light.base import LightProfile

SHAPE = {"e1": -0.1, "e2": 0.15, "center_x": 0.1, "center_y": -0.2}


@settings(max_examples=20, deadline=None)
@given(
    modulus=st.sampled_from([0.0, 1e-4]) | st.floats(0, 0.95),
    angle=st.floats(0, 2 * math.pi),
    widest=st.floats(0.02, 3),
)
def test_it_is_lenstronomys_multi_gaussian_ellipse(modulus, angle, widest):
    x, y = pixel_grid((11, 14), 0.31, dtype=torch.float64)
    e1, e2 = modulus * math.cos(angle), modulus * math.sin(angle)
    p = {"amp": np.array([1.0, 0.0, 3.0]), "sigma": widest * np.array([0.1, 0.4, 1.0])}
    p |= {"e1": e1, "e2": e2, "center_x": 0.2, "center_y": 0.1}
    found = MultiGaussian(**p).surface_brightness(x, y).flatten()
    theirs = LightModel(["MULTI_GAUSSIAN_ELLIPSE"])
    right = theirs.surface_brightness(x.numpy().ravel(), y.numpy().ravel(), [p])
    np.testing.assert_allclose(found, right, 1e-10, 1e-30)


def test_it_is_the_sum_of_its_gaussians_and_holds_their_flux():
    x, y = pixel_grid(120, 0.05, dtype=torch.float64)
    amp, sigma = torch.tensor([1.0, 2.0]).double(), torch.tensor([0.15, 0.4]).double()
    light = MultiGaussian(amp=amp, sigma=sigma, **SHAPE).surface_brightness(x, y)
    parts = [Gaussian(amp=a, sigma=s, **SHAPE) for a, s in zip(amp, sigma, strict=True)]
    total = sum(part.surface_brightness(x, y) for part in parts)
    torch.testing.assert_close(light, total)
    assert light.sum().item() * 0.05**2 == pytest.approx(3.0, rel=1e-9)


def test_twenty_gaussians_follow_a_sersic_profile_to_a_per_cent():
    R = torch.logspace(-1.5, 0.7, 200, dtype=torch.float64)[None]
    zero = torch.zeros_like(R)
    right = Sersic(amplitude=1.0, R_sersic=0.8, n_sersic=4.0).surface_brightness(R, zero)
    sigma = np.geomspace(0.01, 20, 20)
    basis = MultiGaussian(amp=np.ones(20), sigma=sigma).basis(R, zero)[:, 0].T / right.T
    amp = np.linalg.lstsq(basis.numpy(), np.ones(200), rcond=1e-12)[0]
    assert np.abs(basis.numpy() @ amp - 1).max() < 0.01


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_its_mean_over_a_pixel_is_that_of_each_gaussian(dtype):
    x, y = pixel_grid(9, 0.1, dtype=dtype)
    sigma, amp = [0.3, 0.004, 0.05, 1.0, 0.02], torch.rand(2, 5, dtype=torch.float64)
    shape = {"e1": torch.tensor([0.2, -0.4]).double(), "e2": 0.1, "center_x": 0.03}
    found = MultiGaussian(amp=amp, sigma=sigma, **shape).mean_brightness(x, y, 0.1)
    each = [Gaussian(amp=a, sigma=s, **shape) for a, s in zip(amp.mT, sigma, strict=True)]
    right = sum(light.mean_brightness(x.double(), y.double(), 0.1) for light in each)
    assert found.dtype == dtype
    assert (found - right).abs().max() < 1e-6 * right.max()


@pytest.mark.parametrize("far", [0.0, 1e3, 1e30])
def test_jacobians_in_closed_form_are_those_of_automatic_derivatives(far):
    x, y = pixel_grid((6, 5), 0.1, dtype=torch.float64)
    x = x + far
    amp, sigma = torch.rand(3, 4, dtype=torch.float64), torch.tensor([0.3, 0.01, 0.06, 2.0])
    batch = torch.tensor([-0.3, 0.1, 0.2]).double()
    for changed in ({}, {"e1": batch}, {"center_x": batch, "amp": amp[0]}, {"sigma": sigma * amp}):
        light = MultiGaussian(**(SHAPE | {"amp": amp, "sigma": sigma} | changed))
        value, jacobian = light.surface_brightness_jacobian(x, y)
        right, expected = LightProfile.surface_brightness_jacobian(light, x, y)
        torch.testing.assert_close(value, right, rtol=1e-10, atol=1e-30)
        assert list(jacobian) == list(expected) == ["e1", "e2", "center_x", "center_y"]
        for name, slope in expected.items():
            torch.testing.assert_close(jacobian[name], slope, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("e1", [-0.1, 0.0])
def test_the_jacobian_of_its_mean_is_that_of_finite_differences(e1):
    x, y = pixel_grid(7, 0.1, dtype=torch.float64)
    rows = {"amp": [1.0, 2.0, 0.5], "sigma": [0.02, 0.1, 0.4]}
    shape = {"e1": e1, "e2": 0.15, "center_x": 0.03, "center_y": -0.02}
    mean, jacobian = MultiGaussian(**rows, **shape).mean_brightness_jacobian(x, y, 0.1)
    assert torch.equal(mean, MultiGaussian(**rows, **shape).mean_brightness(x, y, 0.1))
    for name, value in shape.items():
        ahead, behind = (
            MultiGaussian(**rows, **shape | {name: value + step}).mean_brightness(x, y, 0.1)
            for step in (1e-4, -1e-4)
        )
        expected = (ahead - behind) / 2e-4
        assert (jacobian[name] - expected).abs().max() < 5e-4 * expected.abs().max()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_lens_light_of_gaussians_narrower_than_a_pixel_has_their_flux(dtype):
    x, y = pixel_grid(16, 0.1, dtype=dtype)
    lens = ThinLens([SIE(theta_E=0.5)])
    dark = Gaussian(amp=0.0, sigma=0.1)
    light = MultiGaussian(amp=[1.0, 2.0], sigma=[0.005, 0.03], e1=0.3, center_x=0.03)
    image = render(lens, dark, x, y, lens_light=light)
    assert image.sum().item() == pytest.approx(3.0, rel=2e-6)
    rays = render(lens, dark, x, y, lens_light=light, integrate_cores=False)
    assert abs(rays.sum().item() - 3.0) > 0.5


def test_multi_gaussian_gradients_are_right(check_gradients):
    x, y = pixel_grid((2, 3), 0.31, dtype=torch.float64)
    rows = {"amp": torch.tensor([1.0, 2.0]).double(), "sigma": torch.tensor([0.2, 0.5]).double()}

    def brightness(p):
        light = MultiGaussian(**{name: p[name] for name in (*rows, *SHAPE)})
        return light.surface_brightness(p["x"], p["y"])

    check_gradients(brightness, SHAPE | rows | {"x": x, "y": y})


def test_a_batch_holds_the_maps_of_its_members():
    x, y = pixel_grid((5, 6), 0.2, dtype=torch.float64)
    amp, e1 = torch.rand(3, 4, dtype=torch.float64), torch.tensor([0.0, 0.1, -0.3]).double()
    sigma = [0.1, 0.2, 0.4, 0.8]
    together = MultiGaussian(amp=amp, sigma=sigma, e1=e1)
    assert together.batch_shape == (3,)
    assert together.basis(x, y).shape == (3, 4, 5, 6)
    for k in range(3):
        alone = MultiGaussian(amp=amp[k], sigma=sigma, e1=e1[k]).surface_brightness(x, y)
        torch.testing.assert_close(together.surface_brightness(x, y)[k], alone)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"sigma": [0.1, 0.0]}, "sigma must be finite and in "),
        ({"sigma": [0.1]}, "amp must hold 1 values, got 2"),
        ({"amp": [[[1.0, 2.0]]]}, r"amp must be \(K,\) or \(B, K\)"),
        ({"amp": []}, r"amp must be \(K,\) or \(B, K\)"),
        ({"e1": 1.0}, r"e1\^2 \+ e2\^2 must be finite and in "),
    ],
)
def test_a_bad_expansion_is_refused_by_name(bad, message):
    with pytest.raises(ValueError, match=message):
        MultiGaussian(**({"amp": [1.0, 2.0], "sigma": [0.1, 0.3]} | bad))
