"""The interface of light profiles: derivatives by every parameter, batches, precision."""

import math

import pytest
import torch

from lensphys import (
    Gaussian,
    PixelatedSource,
    Ring,
    Sersic,
    Spiral,
    pixel_grid,
)
from lensphys.light.base import LightProfile
from tests.lensphys.jacobians import (
    CENTRE,
    assert_finite_jacobian,
    assert_jacobian,
    assert_own_grid_for_each_image,
    backward,
    sersic,
)
from tests.lensphys.light.profiles import PROFILES, RING, SHAPES, SPIRAL


@pytest.mark.parametrize(("cls", "p"), PROFILES)
@pytest.mark.parametrize(("e1", "e2"), SHAPES)
def test_gradients_are_right(e1, e2, cls, p, check_gradients):
    x, y = pixel_grid((2, 3), 0.31, dtype=torch.float64)
    p = p | {"e1": e1, "e2": e2}
    check_gradients(
        lambda v: cls(**{k: v[k] for k in p}).surface_brightness(v["x"], v["y"]),
        p | {"x": x, "y": y},
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("cls", "p"), PROFILES)
@pytest.mark.parametrize("extreme", [{}, {"arm_contrast": 20.0}, {"arm_contrast": 0.0}])
def test_values_and_gradients_are_finite_at_the_centre(extreme, cls, p, dtype, gradients):
    x, y = pixel_grid((5, 7), 0.1, dtype=dtype)
    p = p | dict.fromkeys(("e1", "e2", "center_x", "center_y"), 0.0)
    p |= extreme if cls is Spiral else {"R_ring": 0.0}
    found = gradients(lambda v: cls(**{k: v[k] for k in p}).surface_brightness(x, y), p, dtype)
    assert all(torch.isfinite(gradient).all() for gradient in found.values())


@pytest.mark.parametrize(("cls", "p"), PROFILES)
def test_every_parameter_has_a_gradient(cls, p, grid, gradients):
    found = gradients(lambda v: cls(**v).surface_brightness(*grid), p)
    assert all(gradient.abs() > 1e-6 for gradient in found.values())


@pytest.mark.parametrize(("cls", "p"), PROFILES)
def test_a_batch_is_its_members_one_by_one(cls, p, grid):
    for name in p:
        batch = torch.tensor([0.9, 1.0, 1.1], dtype=torch.float64) * p[name]
        together = cls(**(p | {name: batch})).surface_brightness(*grid)
        single = [cls(**(p | {name: v.item()})).surface_brightness(*grid) for v in batch]
        torch.testing.assert_close(together, torch.stack(single), rtol=1e-13, atol=0)


@pytest.mark.parametrize(("cls", "p"), PROFILES)
def test_float32_is_float64_to_five_digits(cls, p):
    x, y = pixel_grid(40, 0.1)
    narrow = cls(**p).surface_brightness(x, y)
    assert narrow.dtype == torch.float32
    wide = cls(**p).surface_brightness(x.double(), y.double())
    assert (narrow - wide).abs().max() < 1e-5 * wide.max()


@pytest.mark.parametrize(
    ("cls", "p", "name", "bad"),
    [
        (Ring, RING, "amp", -1.0),
        (Ring, RING, "R_ring", -0.1),
        (Ring, RING, "sigma", 0.0),
        (Spiral, SPIRAL, "amplitude", -1.0),
        (Spiral, SPIRAL, "arm_contrast", -0.1),
        (Spiral, SPIRAL, "arm_contrast", 21.0),
        (Spiral, SPIRAL, "pitch", 0.0),
        (Spiral, SPIRAL, "pitch", math.pi),
        (Spiral, SPIRAL, "R_core", 0.0),
        (Spiral, SPIRAL, "phi_arm", math.nan),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(cls, p, name, bad):
    with pytest.raises(ValueError, match=f"^{name} must be finite"):
        cls(**(p | {name: bad}))


def pixelated(**parameters):
    x, y = pixel_grid((6, 7), 1.0, dtype=torch.float64)
    return PixelatedSource(image=torch.exp(-0.1 * (x * x + y * y)), **parameters)


#: Profiles with the method that all inherit.
INHERITED = {
    "Gaussian": (Gaussian, {"amp": 2.0, "sigma": 0.3, "e1": 0.2, "e2": -0.1, **CENTRE}),
    "pixels": (pixelated, {"pixel_scale": 0.4, "amp": 2.0, "phi_G": 0.3, **CENTRE}),
}


@pytest.mark.parametrize(("build", "parameters"), INHERITED.values(), ids=INHERITED)
def test_the_jacobian_that_all_profiles_inherit_is_the_backward_derivative(build, parameters, grid):
    assert_jacobian(build, parameters, *grid, backward)


def test_closed_forms_agree_with_the_method_they_override(grid):
    profile = Sersic(**sersic())
    closed = profile.surface_brightness_jacobian(*grid)
    inherited = LightProfile.surface_brightness_jacobian(profile, *grid)
    torch.testing.assert_close(closed, inherited, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    "profile", [Sersic(**sersic()), Gaussian(amp=2.0, sigma=0.3)], ids=lambda p: type(p).__name__
)
def test_every_image_of_a_batch_may_have_its_own_grid(profile, grid):
    assert_own_grid_for_each_image(profile, *grid)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_jacobians_are_finite_at_the_centre(dtype):
    profile = Sersic(**sersic(n_sersic=4.0, center_x=0.0, center_y=0.0))
    assert_finite_jacobian(profile, *pixel_grid((3, 5), 0.05, dtype=dtype))


def sharp(value, **shape):
    """One of each profile, whose lengths are this."""
    steep = {"R_sersic": value, "n_sersic": 4.0}
    core = {"arm_contrast": 1.0, "pitch": 0.3, "R_core": value}
    return {
        "Sersic": (Sersic, {"amplitude": 2.0, **steep, **shape}),
        "Gaussian": (Gaussian, {"amp": 2.0, "sigma": value, **shape}),
        "Ring": (Ring, {"amp": 2.0, "R_ring": value, "sigma": value, **shape}),
        "Spiral": (Spiral, {"amplitude": 2.0, **steep, **core, **shape}),
        "pixels": (pixelated, {"pixel_scale": value, "amp": 2.0, "phi_G": 0.3}),
    }


@pytest.mark.parametrize("name", sharp(1.0))
@pytest.mark.parametrize("value", [1e-6, 1.0, 1e5])
@pytest.mark.parametrize("modulus", [0.0, 0.7, 0.9998])
@pytest.mark.parametrize("n", [0.5, 10.0])
def test_values_and_gradients_stay_finite_at_every_radius(name, value, modulus, n):
    cls, parameters = sharp(value, e1=0.6 * modulus, e2=-0.8 * modulus)[name]
    parameters |= {"n_sersic": n} if "n_sersic" in parameters else {}
    parameters |= {"center_x": 0.0, "center_y": 0.0}
    expected = None
    for dtype in (torch.float64, torch.float32):
        radii = [0.0, 1e-38, 1e-10, 1e-4, 1.0, 1e5, 1e19, 2e19, torch.finfo(dtype).max]
        r = torch.tensor([*radii, *(-r for r in radii)], dtype=dtype)
        x, y = torch.stack([r, r, 0 * r]).requires_grad_(), torch.stack([0 * r, r, r])
        leaves = {
            k: torch.tensor(v, dtype=dtype, requires_grad=True) for k, v in parameters.items()
        }
        image = cls(**leaves).surface_brightness(x, y)
        assert torch.isfinite(image).all()
        gradients = torch.autograd.grad(image.sum(), (x, *leaves.values()))
        assert all(torch.isfinite(each).all() for each in gradients)
        plain = cls(**parameters).surface_brightness(x.detach(), y)
        torch.testing.assert_close(plain, image.detach(), rtol=1e-4, atol=0)
        expected = image.detach()[:, :-1] if expected is None else expected
        moderate = torch.isclose(x.detach().double(), r.double())[:, :-1] & (name != "pixels")
        difference = (image.detach().double()[:, :-1] - expected).abs()[moderate]
        assert difference.numel() == 0 or difference.max() <= 1e-3 * expected.max()


@pytest.mark.parametrize("name", sharp(1.0))
@pytest.mark.parametrize("value", [0.0, 1e-7, 1e6])
def test_lengths_beyond_the_sky_are_refused(name, value):
    cls, parameters = sharp(value)[name]
    with pytest.raises(ValueError, match=r"must be finite and in \[(1e-06|0), 100000\]"):
        cls(**parameters)


@pytest.mark.parametrize("name", sharp(1.0))
def test_means_over_pixels_are_those_of_many_rays(name):
    width, many = 0.1, 15
    shape = {"e1": 0.2, "e2": -0.1, "center_x": 0.013, "center_y": -0.021}
    cls, parameters = sharp(0.4, **shape)[name]
    parameters |= {"sigma": 0.05} if "sigma" in parameters else {}
    parameters |= {"n_sersic": 1.0} if "n_sersic" in parameters else {}
    x, y = pixel_grid(13, width, dtype=torch.float64)
    fine = pixel_grid(13 * many, width / many, dtype=torch.float64)
    profile = cls(**parameters)
    rays = profile.surface_brightness(*fine).unflatten(1, (-1, many)).unflatten(0, (-1, many))
    expected, found = rays.mean((1, 3)), profile.mean_brightness(x, y, width)
    assert (found - expected).abs().max() < 3e-3 * expected.max()
