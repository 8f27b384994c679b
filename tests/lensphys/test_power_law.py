"""Power-law lenses beyond what every mass profile is asked: slopes, cores, flatness, multipoles."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lenstronomy.LensModel.Profiles import epl as their_epl
from lenstronomy.LensModel.Profiles import nie as their_nie

from lensphys import EPL, NIE, SIE, SIS, Multipole, pixel_grid
from lensphys.mass.epl import epl_deflection, series_terms

DTYPES = [torch.float32, torch.float64]
SLOPES = [1.05, 1.1, 1.7, 2.0, 2.3, 2.9, 2.95]
each_slope = pytest.mark.parametrize("gamma", SLOPES)
each_modulus = pytest.mark.parametrize("modulus", [0.0, 1e-8, 1e-3, 0.3, 0.6, 0.9, 0.99])

angles = st.floats(0, 2 * math.pi)
moduli = st.sampled_from([0.0, 1e-8, 1e-3, 0.9]) | st.floats(0, 0.9)


def lens(modulus, angle=0.6, **more):
    e = modulus * np.exp(1j * angle)
    return {"theta_E": 1.2, "e1": e.real, "e2": e.imag, "center_x": 0.07, "center_y": -0.05, **more}


def tensors(parameters, dtype=torch.float64):
    return {name: torch.tensor(value, dtype=dtype) for name, value in parameters.items()}


def rays(parameters, low=1.1e-3, high=10.0):
    """Points on rays from the centre, some of them on its axes."""
    directions = np.append(np.exp(1j * np.array([0.3, 0.4, 1.9, 3.3, 5.0, 5.9])), [1, 1j, -1, -1j])
    z = np.geomspace(low, high, 12)[:, None] * directions
    z = z + complex(parameters["center_x"], parameters["center_y"])
    return torch.from_numpy(z.real.copy()), torch.from_numpy(z.imag.copy())


def assert_relative(found, expected, precision):
    """Each point to a precision relative to the size of all components there."""
    found, expected = (
        torch.stack([torch.as_tensor(f) for f in maps]) for maps in (found, expected)
    )
    error = (found - expected).norm(dim=0) / expected.norm(dim=0)
    assert error.max() < precision


# Against lenstronomy, and each other


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


@settings(max_examples=25, deadline=None)
@given(modulus=moduli, angle=angles)
def test_an_nie_of_a_vanishing_core_approaches_an_sie(modulus, angle):
    parameters = lens(modulus, angle)
    x, y = rays(parameters, low=0.1)
    isothermal = SIE(**parameters).deflection(x, y)
    q = (1 - modulus) / (1 + modulus)
    for s_scale in (1e-4, 1e-6, 1e-9):
        # At first order in s_scale / R, whose smallest value is on the major axis.
        softened = NIE(s_scale=s_scale, **parameters).deflection(x, y)
        assert_relative(softened, isothermal, 3 * s_scale / (0.1 * math.sqrt(q)) + 1e-12)
    sharp = NIE(s_scale=1e-12, **parameters)
    assert_relative(sharp.hessian(x, y), SIE(**parameters).hessian(x, y), 1e-9)


@settings(max_examples=25, deadline=None)
@given(modulus=st.floats(1e-3, 0.9), angle=angles, s_scale=st.floats(1e-3, 3))
def test_the_convergence_of_an_nie_is_lenstronomys(modulus, angle, s_scale):
    parameters = lens(modulus, angle, s_scale=s_scale)
    x, y = rays(parameters)
    b, s, q, phi = their_nie.NIE().param_conv(1.2, parameters["e1"], parameters["e2"], s_scale)
    turned = np.exp(-1j * phi) * ((x - 0.07) + 1j * (y + 0.05)).numpy()
    kappa = their_nie.NIEMajorAxis.kappa(turned.real, turned.imag, b, s, q)
    xx, _, yy = NIE(**parameters).hessian(x, y)
    assert_relative([(xx + yy) / 2], [kappa], 1e-12)


# What the profiles are, in words


def test_an_sis_is_an_sie_of_q_1(grid):
    round_lens = {"theta_E": 1.3, "center_x": 0.2, "center_y": -0.1}
    sphere, ellipsoid = SIS(**round_lens), SIE(**round_lens)
    for method in ("potential", "deflection", "hessian"):
        found, expected = getattr(sphere, method)(*grid), getattr(ellipsoid, method)(*grid)
        torch.testing.assert_close(found, expected, rtol=1e-14, atol=1e-14)


@each_slope
def test_an_epl_at_q_1_deflects_by_a_power_of_the_distance(gamma, grid):
    x, y = grid[0] - 0.2, grid[1] + 0.1
    profile = EPL(theta_E=1.3, gamma=gamma, center_x=0.2, center_y=-0.1)
    r = torch.hypot(x, y)
    alpha = 1.3 * (1.3 / r) ** (gamma - 2)
    assert_relative(profile.deflection(*grid), (alpha * x / r, alpha * y / r), 1e-14)
    assert_relative([profile.potential(*grid)], [alpha * r / (3 - gamma)], 1e-14)


def test_an_nie_at_q_1_has_the_deflection_of_a_softened_sphere(grid):
    x, y = grid[0] - 0.2, grid[1] + 0.1
    profile = NIE(theta_E=1.3, s_scale=0.4, center_x=0.2, center_y=-0.1)
    r2 = x**2 + y**2
    factor = 1.3 * (torch.sqrt(0.4**2 + r2) - 0.4) / r2
    assert_relative(profile.deflection(*grid), (factor * x, factor * y), 1e-13)


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


@pytest.mark.parametrize(
    ("cls", "shape"),
    [(EPL, {"gamma": 2.4}), (NIE, {"s_scale": 0.2}), (SIS, {}), (Multipole, {"phi_m": 0.3})],
)
def test_a_lens_twice_as_large_in_every_length_deflects_twice_as_much(cls, shape, grid):
    lengths = {"center_x": 0.07, "center_y": -0.05}
    lengths |= {"a_m": 0.1, "r_E": 1.3} if cls is Multipole else {"theta_E": 1.2}
    if "s_scale" in shape:
        lengths, shape = lengths | shape, {}
    shape = shape | ({"m": 1} if cls is Multipole else {})
    small = cls(**lengths, **shape)
    large = cls(**{name: 2 * value for name, value in lengths.items()}, **shape)
    doubled = [2 * alpha for alpha in small.deflection(*grid)]
    assert_relative(large.deflection(2 * grid[0], 2 * grid[1]), doubled, 1e-14)


@pytest.mark.parametrize("m", [2, 3, 4, 7])
def test_a_multipole_is_symmetric_under_a_turn_by_its_order(m):
    x, y = pixel_grid((5, 6), 0.3, dtype=torch.float64)
    profile, turn = Multipole(m=m, a_m=0.1, phi_m=0.4), 2 * math.pi / m
    sky = x * math.cos(turn) - y * math.sin(turn), x * math.sin(turn) + y * math.cos(turn)
    torch.testing.assert_close(
        profile.potential(*sky), profile.potential(x, y), rtol=1e-13, atol=1e-15
    )


@pytest.mark.parametrize("m", [2, 3, 4])
def test_a_multipole_has_its_amplitude_in_the_direction_of_its_angle(m):
    x, y = (
        torch.tensor([[2 * math.cos(0.4)]]).double(),
        torch.tensor([[2 * math.sin(0.4)]]).double(),
    )
    xx, _, yy = Multipole(m=m, a_m=0.1, phi_m=math.atan2(y.item(), x.item())).hessian(x, y)
    assert ((xx + yy) / 2).item() == pytest.approx(0.1 / (2 * 2), rel=1e-7)


def test_the_radius_of_a_multipole_matters_for_the_dipole_alone(grid):
    def deflection(m, r_E):
        return torch.stack(Multipole(m=m, a_m=0.1, phi_m=0.4, r_E=r_E).deflection(*grid))

    assert torch.equal(deflection(3, 1.0), deflection(3, 2.0))
    difference = deflection(1, 1.0) - deflection(1, math.e)
    direction = torch.tensor([math.cos(0.4), math.sin(0.4)], dtype=torch.float64)
    expected = (0.05 * direction)[:, None, None].expand_as(difference)
    torch.testing.assert_close(difference, expected, rtol=0, atol=1e-15)


def test_no_multipole_deflects_its_very_centre():
    centre = torch.full((1, 1), 0.25, dtype=torch.float64)
    for m in (2, 3, 4):
        profile = Multipole(m=m, a_m=0.1, phi_m=0.3, center_x=0.25, center_y=0.25)
        assert profile.deflection(centre, centre) == (0, 0)


# Numerics


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


def maps_of(profile, method, x, y):
    found = getattr(profile, method)(x, y)
    return (found,) if isinstance(found, torch.Tensor) else found


@pytest.mark.parametrize("method", ["deflection", "hessian"])
@pytest.mark.parametrize(
    ("cls", "more"), [(EPL, {"gamma": 2.2}), (NIE, {"s_scale": 0.1}), (EPL, {"gamma": 2.0})]
)
def test_forward_and_backward_gradients_are_right_at_q_1(cls, more, method):
    x, y = pixel_grid((2, 3), 0.31, dtype=torch.float64)
    parameters = tensors(lens(0.0, **more))

    def evaluate(*values):
        return getattr(cls(**dict(zip(parameters, values, strict=True))), method)(x, y)

    leaves = tuple(value.requires_grad_() for value in parameters.values())
    assert torch.autograd.gradcheck(
        evaluate, leaves, atol=1e-7, rtol=1e-6, check_forward_ad=True, check_backward_ad=True
    )


@pytest.mark.parametrize("profile", [EPL, NIE])
def test_no_gradient_with_respect_to_the_ellipticity_vanishes_at_q_1(profile, gradients, grid):
    more = {"gamma": 2.2} if profile is EPL else {"s_scale": 0.1}
    found = gradients(lambda p: profile(**p).deflection(*grid), lens(0.0, **more))
    assert found["e1"].abs() > 0.01
    assert found["e2"].abs() > 0.01


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


# Derivatives of the deflection in closed form


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
