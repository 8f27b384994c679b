"""Elliptical power law."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lenstronomy.LensModel.Profiles import epl as their_epl

from lensphys import EPL, SIE, Population, pixel_grid
from lensphys.mass.epl import epl_deflection, series_terms
from tests.lensphys import jacobians
from tests.lensphys.jacobians import assert_jacobian, forward
from tests.lensphys.mass.rays import (
    DTYPES,
    SLOPES,
    angles,
    assert_relative,
    each_modulus,
    each_slope,
    lens,
    maps_of,
    moduli,
    rays,
    tensors,
)


@each_slope
@each_modulus
def test_an_epl_of_any_slope_and_flatness_agrees_with_lenstronomy(modulus, gamma):
    parameters, theirs = lens(modulus, gamma=gamma), their_epl.EPL()
    profile, (x, y) = EPL(**parameters), rays(parameters)
    grid = x.numpy(), y.numpy()
    assert_relative(profile.deflection(x, y), theirs.derivatives(*grid, **parameters), 1e-11)
    xx, xy, _, yy = theirs.hessian(*grid, **parameters)
    assert_relative(profile.hessian(x, y), (xx, xy, yy), 1e-11)
    assert_relative([profile.potential(x, y)], [theirs.function(*grid, **parameters)], 1e-11)


@pytest.mark.parametrize("gamma", [1.5, 2.0, 2.5])
@pytest.mark.parametrize("modulus", [0.998, 0.9998])
def test_an_epl_that_is_all_but_a_needle_agrees_with_lenstronomy(modulus, gamma):
    parameters = lens(modulus, gamma=gamma)
    x, y = rays(parameters)
    theirs = their_epl.EPL().derivatives(x.numpy(), y.numpy(), **parameters)
    assert_relative(EPL(**parameters).deflection(x, y), theirs, 1e-11)


@settings(max_examples=25, deadline=None)
@given(modulus=moduli, angle=angles)
def test_an_isothermal_epl_is_an_sie(modulus, angle):
    parameters = lens(modulus, angle)
    x, y = rays(parameters)
    power_law, isothermal = EPL(gamma=2.0, **parameters), SIE(**parameters)
    assert_relative(power_law.deflection(x, y), isothermal.deflection(x, y), 1e-12)
    assert_relative(power_law.hessian(x, y), isothermal.hessian(x, y), 1e-12)
    assert_relative([power_law.potential(x, y)], [isothermal.potential(x, y)], 1e-12)


@each_slope
def test_an_epl_at_q_1_deflects_by_a_power_of_the_distance(gamma, grid):
    x, y = grid[0] - 0.2, grid[1] + 0.1
    profile = EPL(theta_E=1.3, gamma=gamma, center_x=0.2, center_y=-0.1)
    r = torch.hypot(x, y)
    alpha = 1.3 * (1.3 / r) ** (gamma - 2)
    assert_relative(profile.deflection(*grid), (alpha * x / r, alpha * y / r), 1e-14)
    assert_relative([profile.potential(*grid)], [alpha * r / (3 - gamma)], 1e-14)


@settings(max_examples=25, deadline=None)
@given(modulus=moduli, angle=angles, gamma=st.floats(1.05, 2.95))
def test_the_convergence_of_an_epl_is_a_power_of_the_elliptical_radius(modulus, angle, gamma):
    parameters = lens(modulus, angle, gamma=gamma)
    x, y = rays(parameters)
    z = np.exp(-0.5j * angle) * ((x - 0.07) + 1j * (y + 0.05)).numpy()
    q = (1 - modulus) / (1 + modulus)
    radius = np.sqrt(q * z.real**2 + z.imag**2 / q)
    xx, _, yy = EPL(**parameters).hessian(x, y)
    assert_relative([(xx + yy) / 2], [(3 - gamma) / 2 * (1.2 / radius) ** (gamma - 1)], 1e-11)


@each_slope
@pytest.mark.parametrize("modulus", [0.0, 1e-4, 0.3, 0.9])
def test_the_mass_inside_the_einstein_ellipse_is_that_of_a_round_lens(modulus, gamma):
    # Gauss's theorem around the isodensity contour R = theta_E: pi theta_E^2.
    t = torch.arange(4096, dtype=torch.float64) * (2 * math.pi / 4096)
    root_q = math.sqrt((1 - modulus) / (1 + modulus))
    x, y = 1.2 / root_q * torch.cos(t), 1.2 * root_q * torch.sin(t)
    dx, dy = -1.2 / root_q * torch.sin(t), 1.2 * root_q * torch.cos(t)
    profile = EPL(theta_E=1.2, gamma=gamma, e1=modulus)
    alpha_x, alpha_y = (a[0] for a in profile.deflection(x[None], y[None]))
    outflow = (alpha_x * dy - alpha_y * dx).mean().item() * 2 * math.pi
    assert outflow / 2 == pytest.approx(math.pi * 1.2**2, rel=1e-10)


@each_slope
@pytest.mark.parametrize("modulus", [0.0, 0.4])
def test_the_deflection_of_an_epl_is_homogeneous_of_degree_2_minus_gamma(modulus, gamma, grid):
    profile = EPL(theta_E=1.2, gamma=gamma, e1=modulus, center_x=0, center_y=0)
    x, y = grid[0] + 0.1, grid[1]
    near, far = profile.deflection(x, y), profile.deflection(3 * x, 3 * y)
    assert_relative(far, [3 ** (2 - gamma) * alpha for alpha in near], 1e-13)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("modulus", [0.0, 0.3, 0.9])
@pytest.mark.parametrize("gamma", [1.05, 2.0, 2.95])
def test_an_epl_of_any_slope_is_finite_at_its_centre(gamma, modulus, dtype, gradients):
    x, y = pixel_grid((3, 5), 0.05, dtype=dtype)
    offsets = [0.0, 1e-20, 1e-14, 0.9e-9, 2e-9, 1e-6]
    parameters = lens(modulus, gamma=gamma) | {"center_x": offsets, "center_y": 0.0}
    for method in ("potential", "deflection", "hessian"):
        found = gradients(lambda p, f=method: maps_of(EPL(**p), f, x, y), parameters, dtype)
        assert all(torch.isfinite(gradient).all() for gradient in found.values())
    alpha, jacobian = EPL(**tensors(parameters, dtype)).deflection_jacobian(x, y)
    assert all(torch.isfinite(one).all() for pair in jacobian.values() for one in (*pair, *alpha))


@each_modulus
@pytest.mark.parametrize(("dtype", "precision"), [(torch.float32, 3e-5), (torch.float64, 1e-13)])
def test_more_terms_than_the_ellipticity_asks_for_change_nothing(modulus, dtype, precision):
    angle = torch.linspace(0, math.pi, 40, dtype=dtype)[None]
    x, y = torch.cos(angle), torch.sin(angle)
    shape = tensors({"theta_E": 1.0, "gamma": 1.9, "e1": modulus, "e2": 0.0}, dtype).values()
    terms = series_terms(modulus, dtype)
    enough, plenty = (epl_deflection(x, y, *shape, terms=n) for n in (terms, 2 * terms + 5))
    assert_relative(enough, plenty, precision if modulus > 0.9 else precision / 30)


def test_the_series_is_short():
    lengths = [series_terms(f, torch.float64) for f in (0.0, 0.3, 0.6, 0.9)]
    assert lengths == [4, 16, 25, 58]
    assert [series_terms(f, torch.float32) for f in (0.0, 0.3, 0.6, 0.9)] == [2, 7, 12, 28]


@pytest.mark.parametrize(("modulus", "precision"), [(0.0, 1e-14), (0.9, 1e-13), (0.95, 2e-9)])
@each_slope
def test_an_ellipticity_that_cannot_be_looked_at_is_summed_for_a_flat_lens(
    gamma, modulus, precision, grid
):
    parameters = lens(modulus, gamma=gamma)
    batch = {name: value.expand(3) for name, value in tensors(parameters).items()}

    def deflection(*values):
        return torch.stack(EPL(**dict(zip(batch, values, strict=True))).deflection(*grid))

    mapped = torch.func.vmap(deflection)(*batch.values())
    assert_relative(mapped[1], EPL(**parameters).deflection(*grid), precision)


def test_the_flattest_lens_of_a_batch_sets_the_length_for_all(grid):
    batch = torch.tensor([0.0, 0.97, 0.2], dtype=torch.float64)
    together = EPL(theta_E=1.2, gamma=2.2, e1=batch, center_x=0.1).deflection(*grid)
    for image, modulus in enumerate(batch.tolist()):
        alone = EPL(theta_E=1.2, gamma=2.2, e1=modulus, center_x=0.1).deflection(*grid)
        assert_relative([a[image] for a in together], alone, 1e-13)


@pytest.mark.parametrize("modulus", [0.0, 1e-8, 1e-3, 0.3, 0.6, 0.9])
def test_the_jacobian_of_the_deflection_is_its_forward_derivative(modulus, grid):
    parameters = tensors(lens(modulus, gamma=SLOPES))
    alpha, jacobian = EPL(**parameters).deflection_jacobian(*grid)
    # Sums of the same terms, which wider vector units round in another order.
    assert_relative(alpha, EPL(**parameters).deflection(*grid), 1e-14)
    assert set(jacobian) == {field.name for field in dataclasses.fields(EPL)}
    for name, value in parameters.items():
        _, forward = torch.func.jvp(
            lambda v, name=name: torch.stack(EPL(**(parameters | {name: v})).deflection(*grid)),
            (value,),
            (torch.ones_like(value),),
        )
        torch.testing.assert_close(torch.stack(jacobian[name]), forward, rtol=1e-9, atol=1e-11)


def test_the_jacobian_has_the_shape_of_the_whole_batch(grid):
    parameters = lens(0.3, gamma=2.1)
    for name, value in parameters.items():
        batch = {name: torch.tensor([0.9, 1.0], dtype=torch.float64) * value}
        alpha, jacobian = EPL(**(parameters | batch)).deflection_jacobian(*grid)
        _, alone = EPL(**parameters).deflection_jacobian(*grid)
        for pair in (alpha, *jacobian.values()):
            assert all(component.shape == (2, 5, 7) for component in pair)
        for key, pair in jacobian.items():
            assert_relative([component[1] for component in pair], alone[key], 1e-13)


@pytest.mark.parametrize("modulus", [0.0, 0.3, 0.6])
def test_the_jacobian_keeps_six_digits_in_float32(modulus):
    x, y = pixel_grid((12, 17), 0.23, dtype=torch.float32)
    narrow = tensors(lens(modulus, gamma=2.2), torch.float32)
    wide = {name: value.double() for name, value in narrow.items()}
    alpha, jacobian = EPL(**narrow).deflection_jacobian(x, y)
    exact_alpha, exact = EPL(**wide).deflection_jacobian(x.double(), y.double())
    for found, expected in [(alpha, exact_alpha), *((jacobian[k], exact[k]) for k in exact)]:
        for component, true in zip(found, expected, strict=True):
            assert component.dtype == torch.float32
            torch.testing.assert_close(component.double(), true, rtol=5e-6, atol=5e-6)


def test_a_lens_without_mass_has_a_finite_jacobian(grid):
    light, heavy = (
        EPL(theta_E=theta_E, gamma=2.0, e1=0.1, center_x=0.1).deflection_jacobian(*grid)[1]
        for theta_E in (0.0, 1.0)
    )
    # The deflection of an isothermal lens is proportional to theta_E.
    assert_relative(light["theta_E"], heavy["theta_E"], 1e-13)
    assert all((component == 0).all() for name in ("e1", "gamma") for component in light[name])


JACOBIANS = {
    "round EPL": jacobians.sie(0.0, gamma=1.8),
    "flat EPL": jacobians.sie(0.85, 2.0, gamma=2.3),
}


@pytest.mark.parametrize("parameters", JACOBIANS.values(), ids=JACOBIANS)
def test_the_jacobian_of_a_deflection_is_that_by_forward_differentiation(parameters, grid):
    assert_jacobian(EPL, parameters, *grid, forward)


def _by_optimiser(e1, to):
    optimiser = torch.optim.SGD([e1], lr=1.0)
    e1.grad = e1.detach() - to
    optimiser.step()


def _by_state(e1, to):
    e1.requires_grad_(False).copy_(torch.full_like(e1, to))


def _by_data(e1, to):
    e1.data = torch.full_like(e1, to)


@pytest.mark.parametrize("change", [_by_optimiser, _by_state, _by_data])
@pytest.mark.parametrize("shape", [(), (3,)])
def test_an_epl_follows_an_ellipticity_that_changes_in_place(change, shape, grid):
    e1 = torch.nn.Parameter(torch.zeros(shape, dtype=torch.float64))
    profile = EPL(theta_E=1.0, gamma=1.7, e1=e1)
    population = Population(EPL(theta_E=torch.ones(2), gamma=1.7, e1=e1[:2])) if shape else None
    change(e1, 0.97)
    fresh = EPL(theta_E=1.0, gamma=1.7, e1=e1.detach().clone())
    for deflection in (torch.no_grad()(profile.deflection), profile.deflection):
        torch.testing.assert_close(
            list(deflection(*grid)), list(fresh.deflection(*grid)), rtol=1e-12, atol=1e-12
        )
    torch.testing.assert_close(
        profile.deflection_jacobian(*grid)[1]["gamma"],
        fresh.deflection_jacobian(*grid)[1]["gamma"],
        rtol=1e-12,
        atol=1e-12,
    )
    if population is not None and change is not _by_data:
        one = fresh.deflection(*grid)[0][0]
        torch.testing.assert_close(population.deflection(*grid)[0], 2 * one, rtol=1e-12, atol=1e-12)


def test_an_ellipticity_that_is_none_any_more_gives_no_number(grid):
    e1 = torch.nn.Parameter(torch.tensor(0.1, dtype=torch.float64))
    profile = EPL(theta_E=1.0, gamma=1.7, e1=e1)
    e1.data.fill_(1.2)
    assert torch.isnan(profile.deflection(*grid)[0]).all()
