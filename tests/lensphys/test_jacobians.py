"""Derivatives with respect to parameters, in closed form and by forward differentiation."""

import math

import pytest
import torch
from torch.func import jvp

from lensphys import (
    EPL,
    NIE,
    SIE,
    SIS,
    Gaussian,
    GaussianPSF,
    Multipole,
    PixelatedSource,
    PointMass,
    Sersic,
    Shear,
    pixel_grid,
)
from lensphys.fitting.scene import LensScene
from lensphys.light.base import LightProfile
from lensphys.mass.base import MassProfile
from lensphys.rendering import Pixels

CENTRE = {"center_x": 0.07, "center_y": -0.05}
ANGLES = (0.3, 2.5)


def sie(modulus, angle=0.6, **more):
    e1, e2 = modulus * math.cos(angle), modulus * math.sin(angle)
    return {"theta_E": 1.2, "e1": e1, "e2": e2, **CENTRE, **more}


def sersic(**changes):
    shape = {"amplitude": 3.0, "R_sersic": 0.3, "n_sersic": 1.5, "e1": 0.2, "e2": -0.1}
    return shape | CENTRE | changes


#: Closed forms: SIE changes to power series below ellipticities of 1e-3 and 0.03.
DEFLECTORS = {
    "round SIE": (SIE, sie(0.0)),
    "almost round SIE": (SIE, sie(1e-7)),
    **{
        f"SIE of ellipticity {modulus} at angle {angle}": (SIE, sie(modulus, angle))
        for modulus in (0.999e-3, 1.001e-3, 0.02999, 0.03001, 0.3, 0.9)
        for angle in ANGLES
    },
    "SIE along x": (SIE, sie(0.3, 0.0, center_y=0.0)),
    "SIE along y": (SIE, sie(0.3, math.pi, center_x=0.0)),
    "SIE without mass": (SIE, sie(0.3) | {"theta_E": 0.0}),
    "round EPL": (EPL, sie(0.0, gamma=1.8)),
    "flat EPL": (EPL, sie(0.85, 2.0, gamma=2.3)),
    "shear": (Shear, {"gamma1": 0.05, "gamma2": -0.03, "ra_0": 0.1, "dec_0": 0.2}),
    "no shear": (Shear, {"gamma1": 0.0, "gamma2": 0.0}),
}


def multipole(**parameters):
    return Multipole(m=3, **parameters)


def pixelated(**parameters):
    x, y = pixel_grid((6, 7), 1.0, dtype=torch.float64)
    return PixelatedSource(image=torch.exp(-0.1 * (x * x + y * y)), **parameters)


#: Profiles with the method that all inherit.
INHERITED = {
    "SIS": (SIS, {"theta_E": 1.2, **CENTRE}),
    "NIE": (NIE, sie(0.3, s_scale=0.2)),
    "point mass": (PointMass, {"theta_E": 0.3, **CENTRE}),
    "multipole": (multipole, {"a_m": 0.1, "phi_m": 0.7, **CENTRE}),
    "Gaussian": (Gaussian, {"amp": 2.0, "sigma": 0.3, "e1": 0.2, "e2": -0.1, **CENTRE}),
    "pixels": (pixelated, {"pixel_scale": 0.4, "amp": 2.0, "phi_G": 0.3, **CENTRE}),
}
LIGHTS = {
    "disk": sersic(n_sersic=1.0),
    "cusp": sersic(n_sersic=4.0),
    "faint core": sersic(n_sersic=0.4),
    "round Sersic": sersic(e1=0.0, e2=0.0),
    # A pixel sits at the origin: here in the flat core.
    "in the flat core": sersic(center_x=3e-5, center_y=-2e-5),
    "at the very centre": sersic(center_x=0.0, center_y=0.0),
    "no light": sersic(amplitude=0.0),
}


def plain(profile, x, y):
    """The deflection or the surface brightness, stacked."""
    if isinstance(profile, MassProfile):
        return torch.stack(profile.deflection(x, y))
    return profile.surface_brightness(x, y)


def with_jacobian(profile, x, y):
    if isinstance(profile, MassProfile):
        alpha, jacobian = profile.deflection_jacobian(x, y)
        return torch.stack(alpha), {k: torch.stack(v) for k, v in jacobian.items()}
    return profile.surface_brightness_jacobian(x, y)


def forward(evaluate, parameters, name):
    """The derivative of ``evaluate(parameters)`` with respect to one of them, image by image."""
    value = torch.as_tensor(parameters[name], dtype=torch.float64)
    return jvp(lambda v: evaluate(parameters | {name: v}), (value,), (torch.ones_like(value),))[1]


def backward(evaluate, parameters, name):
    """The same by reverse differentiation."""
    value = torch.as_tensor(parameters[name], dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(
        lambda v: evaluate(parameters | {name: v}), value, vectorize=True
    )
    return jacobian.sum(-1) if value.ndim else jacobian


def assert_jacobian(build, parameters, x, y, derivative):
    factors = torch.tensor([0.9, 1.0, 1.05], dtype=torch.float64)
    for given in (parameters, {name: factors * value for name, value in parameters.items()}):
        profile = build(**given)
        value, jacobian = with_jacobian(profile, x, y)
        torch.testing.assert_close(value, plain(profile, x, y), rtol=1e-13, atol=1e-14)
        assert tuple(jacobian) == type(profile).parameter_names()
        for name in given:
            expected = derivative(lambda p: plain(build(**p), x, y), given, name)
            scale = max(expected.abs().max().item(), 1.0)
            assert (jacobian[name] - expected).abs().max().item() < 1e-9 * scale, name

    # Where one parameter alone has a batch, all maps have it.
    _, alone = with_jacobian(build(**parameters), x, y)
    for name, value in parameters.items():
        value, jacobian = with_jacobian(build(**parameters | {name: factors * value}), x, y)
        for other in alone:
            assert jacobian[other].shape == value.shape, f"by {other} for a batch of {name}"
            middle = jacobian[other].select(-3, 1)
            torch.testing.assert_close(middle, alone[other], rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize(("build", "parameters"), DEFLECTORS.values(), ids=DEFLECTORS)
def test_the_jacobian_of_a_deflection_is_its_forward_derivative(build, parameters, grid):
    assert_jacobian(build, parameters, *grid, forward)


@pytest.mark.parametrize("parameters", LIGHTS.values(), ids=LIGHTS)
def test_the_jacobian_of_light_is_its_forward_derivative(parameters, grid):
    assert_jacobian(Sersic, parameters, *grid, forward)


@pytest.mark.parametrize(("build", "parameters"), INHERITED.values(), ids=INHERITED)
def test_the_jacobian_that_all_profiles_inherit_is_the_backward_derivative(build, parameters, grid):
    assert_jacobian(build, parameters, *grid, backward)


@pytest.mark.parametrize(
    ("profile", "base"),
    [(SIE(**sie(0.2)), MassProfile), (Sersic(**sersic()), LightProfile)],
    ids=["mass", "light"],
)
def test_closed_forms_agree_with_the_method_they_override(profile, base, grid):
    method = "deflection_jacobian" if base is MassProfile else "surface_brightness_jacobian"
    closed, inherited = getattr(profile, method)(*grid), getattr(base, method)(profile, *grid)
    torch.testing.assert_close(closed, inherited, rtol=1e-10, atol=1e-12)


OTHERS = [EPL(**sie(0.2, gamma=1.9)), Shear(gamma1=0.1, gamma2=0.05), Gaussian(amp=2.0, sigma=0.3)]


@pytest.mark.parametrize(
    "profile", [SIE(**sie(0.2)), Sersic(**sersic()), *OTHERS], ids=lambda p: type(p).__name__
)
def test_every_image_of_a_batch_may_have_its_own_grid(profile, grid):
    x, y = grid
    value, jacobian = with_jacobian(profile, torch.stack([x, x + 0.1]), torch.stack([y, 2 * y]))
    alone, alone_jacobian = with_jacobian(profile, x + 0.1, 2 * y)
    torch.testing.assert_close(value.select(-3, 1), alone, rtol=1e-13, atol=1e-14)
    for name, derivative in jacobian.items():
        assert derivative.shape == value.shape, name
        expected = alone_jacobian[name]
        torch.testing.assert_close(derivative.select(-3, 1), expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("modulus", [0.0, 1e-20, 1e-3, 0.03, 0.5])
def test_jacobians_are_finite_at_the_centre(modulus, dtype):
    x, y = pixel_grid((3, 5), 0.05, dtype=dtype)
    centred = {"center_x": 0.0, "center_y": 0.0}
    profiles = [
        SIE(**sie(modulus) | centred),
        EPL(**sie(modulus, gamma=2.1) | centred),
        Sersic(**sersic(n_sersic=4.0) | centred),
    ]
    for profile in profiles:
        value, jacobian = with_jacobian(profile, x, y)
        assert all(
            torch.isfinite(v).all() and v.dtype == dtype for v in (value, *jacobian.values())
        )


def scene_parameters(scene, size):
    """Parameters of a scene, each of shape (size,), no two images alike."""
    typical = {
        **sie(0.2, gamma=2.1),
        "gamma1": 0.05,
        "gamma2": -0.04,
        **{f"source_{k}": v for k, v in sersic(R_sersic=0.2, n_sersic=1.2).items()},
        **{f"lens_light_{k}": v for k, v in sersic(n_sersic=3.0, e1=-0.1).items()},
    }
    factors = torch.linspace(0.9, 1.1, size, dtype=torch.float64)
    return {name: typical[name] * factors for name in scene.names}


BLURRED = GaussianPSF(0.2, 0.2), 1
AVERAGED = GaussianPSF(0.2, 0.2), 2
FINER = GaussianPSF(0.2, 0.1), 2


@pytest.mark.parametrize(
    ("mass", "lens_light", "psf", "supersampling"),
    [
        ("SIE", False, None, 1),
        ("SIE", False, *BLURRED),
        ("SIE", True, *FINER),
        ("EPL", True, *AVERAGED),
    ],
    ids=["sharp", "blurred", "of a shining lens, blurred on sub-pixels", "of all there is"],
)
def test_the_jacobian_of_an_image_is_its_forward_derivative(mass, lens_light, psf, supersampling):
    scene = LensScene(mass, lens_light=lens_light)
    x, y = pixel_grid((9, 10), 0.2, dtype=torch.float64)
    pixels = Pixels(x, y, psf=psf, supersampling=supersampling)
    parameters = scene_parameters(scene, 2)
    maps = scene.image_and_jacobian(parameters, pixels)
    assert maps.shape == (2, 1 + len(scene.names), 9, 10)
    torch.testing.assert_close(maps[:, 0], scene.image(parameters, pixels), rtol=1e-12, atol=1e-13)
    for found, name in zip(maps[:, 1:].unbind(1), scene.names, strict=True):
        expected = forward(lambda p: scene.image(p, pixels), parameters, name)
        scale = expected.abs().max()
        assert scale > 0, name
        assert (found - expected).abs().max() < 1e-9 * scale, name
