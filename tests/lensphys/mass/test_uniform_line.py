"""The uniform line of mass: many point masses, one point mass from afar, and its two sides."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lenstronomy.LensModel.Profiles.point_mass import PointMass as TheirPointMass

from lensphys import PointMass, Population, UniformLine

CENTRE = {"center_x": 0.2, "center_y": -0.1}


def line(half_length, phi=0.6, **changed):
    return UniformLine(**({"theta_E": 0.7, "half_length": half_length, "phi": phi} | changed))


def ring(radius, n=16):
    t = torch.arange(n, dtype=torch.float64)[None] * (2 * math.pi / n) + 0.1
    return radius * torch.cos(t) + CENTRE["center_x"], radius * torch.sin(t) + CENTRE["center_y"]


def as_tuple(maps):
    return (maps,) if isinstance(maps, torch.Tensor) else maps


def points(half_length, phi, n):
    """The line as ``n`` equal point masses, in the middle of equal pieces (midpoint rule)."""
    t = (torch.arange(n, dtype=torch.float64) + 0.5) / n * 2 * half_length - half_length
    x, y = CENTRE["center_x"] + t * math.cos(phi), CENTRE["center_y"] + t * math.sin(phi)
    return {"theta_E": torch.full((n,), 0.7 / math.sqrt(n)).double(), "center_x": x, "center_y": y}


@settings(max_examples=25, deadline=None)
@given(half_length=st.floats(1e-3, 0.5), phi=st.floats(0, math.pi))
def test_a_line_is_the_limit_of_many_point_masses(half_length, phi):
    x, y = ring(0.8)
    profile = line(half_length, phi, **CENTRE)
    coarse, fine = (Population(PointMass(**points(half_length, phi, n))) for n in (100, 200))
    for method in ("potential", "deflection", "hessian"):
        found = as_tuple(getattr(profile, method)(x, y))
        sums = (as_tuple(getattr(chain, method)(x, y)) for chain in (coarse, fine))
        for ours, few, many in zip(found, *sums, strict=True):
            assert (ours - many).abs().max() < 2e-4
            # The midpoint rule is of second order, and of fourth once extrapolated.
            torch.testing.assert_close(ours, (4 * many - few) / 3, rtol=0, atol=2e-7)


def test_a_line_is_a_hundred_of_lenstronomys_point_masses_to_the_order_of_their_spacing():
    x, y = ring(2.0)
    chain = points(0.5, 0.6, 100)
    found = np.array([alpha.numpy() for alpha in line(0.5, **CENTRE).deflection(x, y)])
    each = zip(*(v.tolist() for v in chain.values()), strict=True)
    theirs = sum(np.array(TheirPointMass().derivatives(x.numpy(), y.numpy(), *p)) for p in each)
    np.testing.assert_allclose(found, theirs, rtol=0, atol=1e-6)


@pytest.mark.parametrize("method", ["potential", "deflection", "hessian"])
@pytest.mark.parametrize("half_length", [0.0, 1e-12, 1e-6])
def test_a_line_without_length_is_a_point_mass(half_length, method, grid):
    point = PointMass(theta_E=0.7, **CENTRE)
    found = getattr(line(half_length, **CENTRE), method)(*grid)
    torch.testing.assert_close(found, getattr(point, method)(*grid), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("half_length", [0.0, 1e-12, 1e-9, 1e-8, 3e-8, 1e-4, 0.31])
@pytest.mark.parametrize("method", ["potential", "deflection", "hessian"])
def test_values_and_gradients_are_finite_on_the_line_and_at_its_ends(
    method, half_length, dtype, gradients
):
    at = torch.tensor([-0.31, -1e-8, 0.0, 1e-20, 1e-8, 1e-4, 0.31, 0.62], dtype=dtype)
    x, y = torch.meshgrid(at, at, indexing="xy")
    parameters = {"theta_E": 0.7, "half_length": half_length, "phi": 0.0}
    parameters |= {"center_x": 0.0, "center_y": 0.0}

    def evaluate(p):
        profile = UniformLine(**{k: p[k] for k in parameters})
        return getattr(profile, method)(p["x"], p["y"])

    for name, gradient in gradients(evaluate, parameters | {"x": x, "y": y}, dtype).items():
        assert torch.isfinite(gradient).all(), name


def test_the_gradients_pass_smoothly_from_the_series_to_the_closed_form(gradients):
    # The series takes over where half_length / r = 0.2.
    x, y = ring(1.0)
    below, above = (
        gradients(
            lambda p: line(**p, **CENTRE).deflection(x, y),
            {"theta_E": 0.7, "half_length": 0.2 * factor, "phi": 0.6},
        )
        for factor in (1 - 1e-9, 1 + 1e-9)
    )
    for name in below:
        torch.testing.assert_close(below[name], above[name], rtol=1e-8, atol=1e-10)


def test_the_deflection_jumps_across_the_line_by_its_mass_and_not_beyond_its_ends():
    x = torch.tensor([[-0.39, 0.0, 0.1, 0.41, -2.0]], dtype=torch.float64)
    above, on, below = (
        line(0.4, 0.0).deflection(x, torch.full_like(x, y))[1][0] for y in (1e-12, 0.0, -1e-12)
    )
    # Gauss's theorem for a flat box around a piece of the line: 2 pi times the mass inside.
    expected = torch.tensor([1, 1, 1, 0, 0], dtype=torch.float64) * math.pi * 0.7**2 / 0.4
    torch.testing.assert_close(above - below, expected, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(on, torch.zeros_like(on), rtol=0, atol=1e-15)


@settings(max_examples=25, deadline=None)
@given(half_length=st.floats(0, 0.9), phi=st.floats(0, math.pi))
def test_a_circle_around_the_line_holds_all_of_its_mass(half_length, phi):
    x, y = ring(1.0, 512)
    alpha_x, alpha_y = line(half_length, phi, **CENTRE).deflection(x, y)
    outflow = alpha_x * (x - CENTRE["center_x"]) + alpha_y * (y - CENTRE["center_y"])
    assert outflow.mean().item() == pytest.approx(0.7**2, rel=1e-10)


def test_a_line_has_no_convergence_beside_it(grid):
    psi_xx, _, psi_yy = line(0.4, 0.6, **CENTRE).hessian(*grid)
    assert torch.equal(psi_xx, -psi_yy)


@pytest.mark.parametrize(("name", "bad"), [("half_length", -0.1), ("theta_E", -1.0)])
def test_a_line_of_negative_length_or_mass_is_refused(name, bad):
    with pytest.raises(ValueError, match=f"^{name} must be finite and in "):
        line(**({"half_length": 0.1} | {name: bad}))
