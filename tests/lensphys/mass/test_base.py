"""The interface of mass profiles: agreement with lenstronomy, derivatives, batches, symmetries."""

import functools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lensphys import (
    EPL,
    NIE,
    SIE,
    SIS,
    Multipole,
    PointMass,
    Shear,
    pixel_grid,
)
from lensphys.mass.base import MassProfile
from tests.lensphys import jacobians
from tests.lensphys.jacobians import (
    CENTRE,
    assert_finite_jacobian,
    assert_jacobian,
    assert_own_grid_for_each_image,
    backward,
)
from tests.lensphys.mass.profiles import (
    DTYPES,
    PROFILES,
    each_compared_profile,
    each_method,
    each_profile,
    each_random_profile,
    each_single_profile,
    maps,
    points_around,
)
from tests.lensphys.mass.rays import assert_relative, lens, tensors


@each_compared_profile
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_a_profile_agrees_with_lenstronomy(cls, strategy, theirs, data):
    parameters = data.draw(strategy)
    profile, (x, y) = cls(**parameters), points_around(parameters)
    grid = x.numpy(), y.numpy()

    # Potentials are defined up to a constant.
    potential, expected = profile.potential(x, y).numpy(), theirs.function(*grid, **parameters)
    np.testing.assert_allclose(potential - potential[0, 0], expected - expected[0, 0], 1e-11, 1e-10)
    for ours, alpha in zip(
        profile.deflection(x, y), theirs.derivatives(*grid, **parameters), strict=True
    ):
        # At an axis ratio of 0.05 the two series of an EPL agree to 1e-11.
        np.testing.assert_allclose(ours, alpha, rtol=2e-11, atol=2e-11)
    xx, xy, _, yy = theirs.hessian(*grid, **parameters)
    for ours, psi in zip(profile.hessian(x, y), (xx, xy, yy), strict=True):
        np.testing.assert_allclose(ours, np.broadcast_to(psi, x.shape), rtol=1e-10, atol=1e-9)


@pytest.mark.parametrize("name", ["NIE", "EPL", "TNFW", "uniform line", "population"])
def test_a_profile_compiles_in_one_graph(name, grid):
    build, parameters = PROFILES[name]
    profile = build(**{k: torch.tensor(v, dtype=torch.float64) for k, v in parameters.items()})
    torch._dynamo.reset()
    compiled = torch.compile(profile.deflection, backend="eager", fullgraph=True)
    expected = profile.deflection(*grid)
    torch.testing.assert_close(compiled(*grid), expected, rtol=1e-13, atol=1e-13)


@each_profile
def test_gradients_do_not_depend_on_how_points_are_laid_out(build, parameters, grid):
    """A list of points serves as well as a grid of them."""
    leaves = {
        k: torch.tensor(v, dtype=torch.float64, requires_grad=True) for k, v in parameters.items()
    }
    lists = [v.flatten() for v in grid]
    gradients = [
        torch.autograd.grad(
            sum(v.square().sum() for v in build(**leaves).deflection(*at)),
            tuple(leaves.values()),
            allow_unused=True,
        )
        for at in (grid, lists)
    ]
    torch.testing.assert_close(*gradients, rtol=1e-10, atol=1e-10)


@each_random_profile
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_deflection_and_hessian_are_derivatives_of_the_potential(cls, strategy, theirs, data):
    parameters = data.draw(strategy)
    assert_derivatives_of_the_potential(cls(**parameters), *points_around(parameters))


@each_profile
def test_deflection_and_hessian_are_derivatives_of_the_potential_in_every_case(
    build, parameters, grid
):
    tensors = {k: torch.tensor(v, dtype=torch.float64) for k, v in parameters.items()}
    assert_derivatives_of_the_potential(build(**tensors), *grid)


def assert_derivatives_of_the_potential(profile, x, y):
    at = x.clone().requires_grad_(), y.clone().requires_grad_()
    alpha = torch.autograd.grad(profile.potential(*at).sum(), at)
    torch.testing.assert_close(profile.deflection(x, y), alpha, rtol=1e-9, atol=1e-10)
    alpha_x, alpha_y = profile.deflection(*at)
    xx, xy = torch.autograd.grad(alpha_x.sum(), at, retain_graph=True)
    yx, yy = torch.autograd.grad(alpha_y.sum(), at)
    # Relative to the size of the Hessian, whose components cancel on the axes of a profile.
    size = (xx * xx + xy * xy + yx * yx + yy * yy).sqrt() + 0.01
    for found, derivative in zip(profile.hessian(x, y), (xx, xy, yy), strict=True):
        assert ((found - derivative).abs() / size).max() < 1e-9
    assert ((yx - xy).abs() / size).max() < 1e-9


@each_method
@each_profile
def test_gradients_are_right(build, parameters, method, check_gradients):
    x, y = pixel_grid((3, 2), 0.31, dtype=torch.float64)

    def evaluate(p):
        return maps(build(**{k: p[k] for k in parameters}), method, p["x"], p["y"])

    check_gradients(evaluate, parameters | {"x": x, "y": y})


@each_profile
def test_every_parameter_has_a_gradient(build, parameters, grid, gradients):
    found = gradients(lambda p: build(**p).deflection(*grid), parameters)
    assert all(gradient is not None for gradient in found.values())
    assert all((gradient.abs() > 1e-6).all() for gradient in found.values())


@pytest.mark.parametrize("offset", [0.0, 1e-20, 1e-14, 2e-10, 1e-6])
@pytest.mark.parametrize("dtype", DTYPES)
@each_method
@each_single_profile
def test_values_and_gradients_are_finite_at_the_centre_and_on_the_axes(
    build, parameters, method, dtype, offset, gradients
):
    x, y = pixel_grid((3, 5), 0.05, dtype=dtype)
    at = {k: offset for k in parameters if k in ("center_x", "ra_0")}
    at |= {k: 0.0 for k in parameters if k in ("center_y", "dec_0")}

    def evaluate(p):
        return maps(build(**{k: p[k] for k in parameters}), method, p["x"], p["y"])

    found = gradients(evaluate, parameters | at | {"x": x, "y": y}, dtype)
    broken = [k for k, v in found.items() if v is not None and not torch.isfinite(v).all()]
    assert not broken


@each_method
@each_single_profile
@pytest.mark.parametrize("batched", ["all", "one by one"])
def test_a_batch_is_its_members_one_by_one(build, parameters, method, batched, grid):
    factors = torch.tensor([0.8, 1.0, 1.1], dtype=torch.float64)
    names = [tuple(parameters)] if batched == "all" else [(name,) for name in parameters]
    for chosen in names:
        batch = {name: factors * parameters[name] for name in chosen}
        together = maps(build(**(parameters | batch)), method, *grid)
        for image, members in enumerate(zip(*batch.values(), strict=True)):
            one = parameters | {k: v.item() for k, v in zip(batch, members, strict=True)}
            alone = maps(build(**one), method, *grid)
            for many, single in zip(together, alone, strict=True):
                assert many.shape == (3, 5, 7), f"{method} with a batch of {chosen}"
                assert single.shape == (5, 7)
                torch.testing.assert_close(many[image], single, rtol=1e-13, atol=1e-14)


@each_method
@each_single_profile
def test_every_image_of_a_batch_may_have_its_own_grid(build, parameters, method, grid):
    x, y = grid
    grids = torch.stack([x, x + 0.1, 2 * x]), torch.stack([y, y - 0.2, 2 * y])
    together = maps(build(**parameters), method, *grids)
    for image in range(3):
        alone = maps(build(**parameters), method, grids[0][image], grids[1][image])
        for many, single in zip(together, alone, strict=True):
            torch.testing.assert_close(many[image], single, rtol=1e-13, atol=1e-14)


@each_method
@each_single_profile
def test_float32_keeps_its_six_digits(build, parameters, method):
    x, y = pixel_grid((12, 17), 0.23, dtype=torch.float32)
    # Rounded first, so that only the arithmetic differs.
    tensors = {k: torch.tensor(v, dtype=torch.float32) for k, v in parameters.items()}
    exact = {k: v.double() for k, v in tensors.items()}
    narrow = maps(build(**tensors), method, x, y)
    wide = maps(build(**exact), method, x.double(), y.double())
    for found, expected in zip(narrow, wide, strict=True):
        assert found.dtype == torch.float32
        torch.testing.assert_close(found.double(), expected, rtol=5e-6, atol=5e-6)


def rotated(parameters, phi):
    """The parameters of a profile that is turned by ``phi`` about the origin."""
    turned = dict(parameters)
    spins = [("center_x", "center_y", 1), ("ra_0", "dec_0", 1), ("e1", "e2", 2)]
    for first, second, spin in [*spins, ("gamma1", "gamma2", 2)]:
        if first in turned:
            value = complex(turned[first], turned[second]) * np.exp(1j * spin * phi)
            turned[first], turned[second] = value.real, value.imag
    for angle in ("phi", "phi_m"):
        if angle in turned:
            turned[angle] += phi
    return turned


@each_random_profile
@settings(max_examples=25, deadline=None)
@given(data=st.data(), phi=st.floats(0, 2 * math.pi))
def test_turning_lens_and_sky_turns_deflection_and_shear(cls, strategy, theirs, data, phi):
    parameters = data.draw(strategy)
    (x, y), profile = points_around(parameters), cls(**parameters)
    x, y = x[4:], y[4:]  # at 0.03 arcsec and beyond, where rounding x costs no digits
    cos, sin = math.cos(phi), math.sin(phi)
    turned = cls(**rotated(parameters, phi))
    sky = x * cos - y * sin, x * sin + y * cos

    torch.testing.assert_close(
        turned.potential(*sky), profile.potential(x, y), rtol=1e-11, atol=1e-11
    )
    alpha_x, alpha_y = profile.deflection(x, y)
    expected = alpha_x * cos - alpha_y * sin, alpha_x * sin + alpha_y * cos
    torch.testing.assert_close(turned.deflection(*sky), expected, rtol=1e-10, atol=1e-10)
    xx, xy, yy = profile.hessian(x, y)
    kappa, gamma1, gamma2 = (xx + yy) / 2, (xx - yy) / 2, xy
    cos2, sin2 = math.cos(2 * phi), math.sin(2 * phi)
    gamma1, gamma2 = gamma1 * cos2 - gamma2 * sin2, gamma1 * sin2 + gamma2 * cos2
    expected = kappa + gamma1, gamma2, kappa - gamma1
    torch.testing.assert_close(turned.hessian(*sky), expected, rtol=1e-9, atol=1e-9)


@each_method
@pytest.mark.parametrize(
    "cls",
    [
        SIS,
        SIE,
        PointMass,
        functools.partial(NIE, s_scale=0.1),
        functools.partial(EPL, gamma=2.3),
        functools.partial(EPL, gamma=1.5),
    ],
)
def test_a_lens_without_mass_does_nothing(cls, method, grid):
    for found in maps(cls(theta_E=0.0, center_x=0.31), method, *grid):
        assert (found == 0).all()


def multipole(**parameters):
    return Multipole(m=3, **parameters)


#: Profiles with the method that all inherit.
INHERITED = {
    "SIS": (SIS, {"theta_E": 1.2, **CENTRE}),
    "NIE": (NIE, jacobians.sie(0.3, s_scale=0.2)),
    "point mass": (PointMass, {"theta_E": 0.3, **CENTRE}),
    "multipole": (multipole, {"a_m": 0.1, "phi_m": 0.7, **CENTRE}),
}


@pytest.mark.parametrize(("build", "parameters"), INHERITED.values(), ids=INHERITED)
def test_the_jacobian_that_all_profiles_inherit_is_the_backward_derivative(build, parameters, grid):
    assert_jacobian(build, parameters, *grid, backward)


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


def test_closed_forms_agree_with_the_method_they_override(grid):
    profile = SIE(**jacobians.sie(0.2))
    closed, inherited = (
        profile.deflection_jacobian(*grid),
        MassProfile.deflection_jacobian(profile, *grid),
    )
    torch.testing.assert_close(closed, inherited, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    "profile",
    [
        SIE(**jacobians.sie(0.2)),
        EPL(**jacobians.sie(0.2, gamma=1.9)),
        Shear(gamma1=0.1, gamma2=0.05),
    ],
    ids=lambda p: type(p).__name__,
)
def test_derivatives_on_a_grid_of_each_image_are_those_of_the_image_alone(profile, grid):
    assert_own_grid_for_each_image(profile, *grid)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("modulus", [0.0, 1e-20, 1e-3, 0.03, 0.5])
def test_jacobians_are_finite_at_the_centre(modulus, dtype):
    centred = {"center_x": 0.0, "center_y": 0.0}
    for profile in (
        SIE(**jacobians.sie(modulus) | centred),
        EPL(**jacobians.sie(modulus, gamma=2.1) | centred),
    ):
        assert_finite_jacobian(profile, *pixel_grid((3, 5), 0.05, dtype=dtype))
