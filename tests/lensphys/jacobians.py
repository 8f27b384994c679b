"""Derivatives with respect to parameters, compared with automatic ones."""

import math

import torch
from torch.func import jvp

from lensphys.mass.base import MassProfile

ANGLES = (0.3, 2.5)
CENTRE = {"center_x": 0.07, "center_y": -0.05}


def sie(modulus, angle=0.6, **more):
    e1, e2 = modulus * math.cos(angle), modulus * math.sin(angle)
    return {"theta_E": 1.2, "e1": e1, "e2": e2, **CENTRE, **more}


def sersic(**changes):
    shape = {"amplitude": 3.0, "R_sersic": 0.3, "n_sersic": 1.5, "e1": 0.2, "e2": -0.1}
    return shape | CENTRE | changes


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


def assert_own_grid_for_each_image(profile, x, y):
    """A batch of grids is its members one by one, in value and derivatives."""
    value, jacobian = with_jacobian(profile, torch.stack([x, x + 0.1]), torch.stack([y, 2 * y]))
    alone, alone_jacobian = with_jacobian(profile, x + 0.1, 2 * y)
    torch.testing.assert_close(value.select(-3, 1), alone, rtol=1e-13, atol=1e-14)
    for name, derivative in jacobian.items():
        assert derivative.shape == value.shape, name
        expected = alone_jacobian[name]
        torch.testing.assert_close(derivative.select(-3, 1), expected, rtol=1e-12, atol=1e-13)


def assert_finite_jacobian(profile, x, y):
    """Value and derivatives are finite, in the precision of the grid."""
    value, jacobian = with_jacobian(profile, x, y)
    assert all(torch.isfinite(v).all() and v.dtype == x.dtype for v in (value, *jacobian.values()))
