"""Mass profiles, and populations of them."""

import functools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lenstronomy.LensModel.Profiles import convergence as their_convergence
from lenstronomy.LensModel.Profiles import epl as their_epl
from lenstronomy.LensModel.Profiles import multipole as their_multipole
from lenstronomy.LensModel.Profiles import nfw as their_nfw
from lenstronomy.LensModel.Profiles import nie as their_nie
from lenstronomy.LensModel.Profiles import point_mass as their_point_mass
from lenstronomy.LensModel.Profiles import shear as their_shear
from lenstronomy.LensModel.Profiles import sie as their_sie
from lenstronomy.LensModel.Profiles import sis as their_sis

from lensphys import (
    EPL,
    NFW,
    NIE,
    SIE,
    SIS,
    TNFW,
    ConvergenceSheet,
    Multipole,
    PointMass,
    Population,
    Shear,
    UniformLine,
    pixel_grid,
)

METHODS = ["potential", "deflection", "hessian"]
DTYPES = [torch.float32, torch.float64]


def elliptical(modulus, angle=0.6):
    return {"e1": modulus * math.cos(angle), "e2": modulus * math.sin(angle)}


def sie(modulus, angle=0.6):
    return {"theta_E": 1.2, **elliptical(modulus, angle), "center_x": 0.07, "center_y": -0.05}


def nie(modulus, s_scale, angle=0.6):
    return sie(modulus, angle) | {"s_scale": s_scale}


def epl(modulus, gamma, angle=0.6):
    return sie(modulus, angle) | {"gamma": gamma}


def multipole(**parameters):
    return {"a_m": 0.1, "phi_m": 0.7, "center_x": 0.07, "center_y": -0.05, **parameters}


def halo(Rs, **changed):
    """A halo whose deflection is not small; the pixel at the origin is at 0.155 arcsec or near."""
    return {"Rs": Rs, "alpha_Rs": 0.4, "center_x": 0.07, "center_y": -0.05} | changed


def line(half_length, phi=0.6):
    shape = {"half_length": half_length, "phi": phi}
    return {"theta_E": 0.5, **shape, "center_x": 0.07, "center_y": -0.05}


#: Puts the pixel at the origin exactly at the scale radius of a halo, or at its truncation.
ON_A_RADIUS = {"center_x": 0.0, "center_y": 0.155}


def population_of_points(**parameters):
    return Population(PointMass(**parameters), chunk=2)


#: How each profile is built, and with which parameters. SIE and NIE change to a power series below
#: an ellipticity of 1e-3.
PROFILES = {
    "SIE": (SIE, sie(0.25)),
    "SIE of q = 1": (SIE, sie(0.0)),
    "SIE of small ellipticity": (SIE, sie(1e-4)),
    "SIE below the switch": (SIE, sie(0.999e-3)),
    "SIE above the switch": (SIE, sie(1.001e-3)),
    # Pixels of the row y = 0 and of the column x = 0 sit exactly on an axis of the ellipse.
    "SIE along x": (SIE, sie(0.3) | {"e1": 0.3, "e2": 0.0, "center_y": 0.0}),
    "SIE along y": (SIE, sie(0.3) | {"e1": -0.3, "e2": 0.0, "center_x": 0.0}),
    "flat SIE": (SIE, sie(0.9, 2.0)),
    "SIS": (SIS, {"theta_E": 1.2, "center_x": 0.07, "center_y": -0.05}),
    "NIE": (NIE, nie(0.25, 0.1)),
    "NIE of q = 1": (NIE, nie(0.0, 0.1)),
    "NIE above the switch": (NIE, nie(1.001e-3, 0.1)),
    "NIE along x": (NIE, nie(0.3, 0.1) | {"e1": 0.3, "e2": 0.0, "center_y": 0.0}),
    "flat NIE of a tiny core": (NIE, nie(0.9, 1e-4, 2.0)),
    "EPL": (EPL, epl(0.25, 1.8)),
    "EPL of q = 1": (EPL, epl(0.0, 2.2)),
    "flat EPL": (EPL, epl(0.9, 1.9, 2.0)),
    "steep EPL": (EPL, epl(0.3, 2.65)),
    "dipole": (functools.partial(Multipole, m=1), multipole(r_E=1.3)),
    "octupole": (functools.partial(Multipole, m=3), multipole()),
    "shear": (Shear, {"gamma1": 0.05, "gamma2": -0.03, "ra_0": 0.1, "dec_0": 0.2}),
    "point mass": (PointMass, {"theta_E": 0.3, "center_x": 0.07, "center_y": -0.05}),
    "convergence": (ConvergenceSheet, {"kappa": 0.1, "ra_0": 0.1, "dec_0": 0.2}),
    "NFW": (NFW, halo(0.9)),
    "NFW at its scale radius": (NFW, halo(0.155, **ON_A_RADIUS)),
    "compact NFW": (NFW, halo(0.01)),
    "TNFW": (TNFW, halo(0.3, r_trunc=1.1)),
    "TNFW at its scale radius": (TNFW, halo(0.155, r_trunc=0.155, **ON_A_RADIUS)),
    "TNFW truncated inside of its scale radius": (TNFW, halo(0.9, r_trunc=0.155, **ON_A_RADIUS)),
    "TNFW truncated far outside": (TNFW, halo(0.02, r_trunc=3.0)),
    "uniform line": (UniformLine, line(0.4)),
    "short line": (UniformLine, line(0.01)),
    "long line": (UniformLine, line(5.0, 2.0)),
    "population": (
        population_of_points,
        {
            "theta_E": [0.3, 0.05, 0.1],
            "center_x": [0.07, -0.5, 0.7],
            "center_y": [-0.05, 0.4, -0.35],
        },
    ),
}
SINGLE = {name: case for name, case in PROFILES.items() if name != "population"}
each_profile = pytest.mark.parametrize(("build", "parameters"), PROFILES.values(), ids=PROFILES)
each_single_profile = pytest.mark.parametrize(("build", "parameters"), SINGLE.values(), ids=SINGLE)
each_method = pytest.mark.parametrize("method", METHODS)


def maps(profile, method, x, y):
    """What a profile says at ``x, y``, as a tuple of one, two or three maps."""
    found = getattr(profile, method)(x, y)
    return (found,) if isinstance(found, torch.Tensor) else found


centres = st.floats(-1, 1)
angles = st.sampled_from([0.0, math.pi / 2, math.pi, -math.pi / 2]) | st.floats(0, 2 * math.pi)
moduli = st.sampled_from([0.0, 1e-8, 1e-4, 1e-3, 0.02, 0.9]) | st.floats(0, 0.9)


@st.composite
def sies(draw):
    ellipticity = elliptical(draw(moduli), draw(angles))
    centre = {"center_x": draw(centres), "center_y": draw(centres)}
    return {"theta_E": draw(st.floats(0.05, 3)), **ellipticity, **centre}


@st.composite
def nies(draw):
    # lenstronomy's NIE of exactly q = 1 is one of q = 0.99999999.
    ellipticity = elliptical(max(draw(moduli), 1e-8), draw(angles))
    s_scale = draw(st.sampled_from([1e-3, 1.0]) | st.floats(1e-3, 3))
    return draw(sies()) | ellipticity | {"s_scale": s_scale}


@st.composite
def epls(draw):
    return draw(sies()) | {"gamma": draw(st.just(2.0) | st.floats(1.3, 2.7))}


shears = st.fixed_dictionaries(
    {
        "gamma1": st.floats(-0.5, 0.5),
        "gamma2": st.floats(-0.5, 0.5),
        "ra_0": centres,
        "dec_0": centres,
    }
)
point_masses = st.fixed_dictionaries(
    {"theta_E": st.floats(0.05, 3), "center_x": centres, "center_y": centres}
)
multipoles = st.fixed_dictionaries(
    {
        "m": st.integers(1, 6),
        "a_m": st.floats(-0.3, 0.3),
        "phi_m": st.floats(-math.pi, math.pi),
        "center_x": centres,
        "center_y": centres,
        "r_E": st.floats(0.1, 3),
    }
)


class TheirNIE(their_nie.NIE):
    """lenstronomy's NIE with the exact Hessian of its deflection, by complex steps.

    Its own is from one-sided differences of 1e-10 arcsec, good to 1e-6.
    """

    def hessian(self, x, y, **parameters):
        along_x = self.derivatives(x + 1e-30j, y, **parameters)
        along_y = self.derivatives(x, y + 1e-30j, **parameters)
        return tuple(alpha.imag / 1e-30 for alpha in (*along_x, *along_y))


# Halos of lenstronomy lose digits at small radii, truncated ones too many for these tolerances:
# test_halos.py compares with both, and with more digits.
halos = {
    "Rs": st.floats(0.02, 0.1),
    "alpha_Rs": st.floats(0, 0.1),
    "center_x": centres,
    "center_y": centres,
}
lines = st.fixed_dictionaries(
    {
        "theta_E": st.floats(0.05, 3),
        "half_length": st.sampled_from([0.0, 1e-8, 1e-3]) | st.floats(0, 5),
        "phi": st.floats(0.1, 1.4),
        "center_x": centres,
        "center_y": centres,
    }
)
sheets = st.fixed_dictionaries({"kappa": st.floats(-1, 1), "ra_0": centres, "dec_0": centres})
#: Our class, random parameters, and the same profile of lenstronomy: its closed-form SIE, whose
#: default has a core of 1e-10 arcsec and a Hessian from differences that is good to 1e-6 only.
RANDOM = {
    "SIE": (SIE, sies(), their_sie.SIE(NIE=False)),
    "SIS": (SIS, point_masses, their_sis.SIS()),
    "NIE": (NIE, nies(), TheirNIE()),
    "EPL": (EPL, epls(), their_epl.EPL()),
    "multipole": (Multipole, multipoles, their_multipole.Multipole()),
    "shear": (Shear, shears, their_shear.Shear()),
    "point mass": (PointMass, point_masses, their_point_mass.PointMass()),
    "convergence": (ConvergenceSheet, sheets, their_convergence.Convergence()),
    "NFW": (NFW, st.fixed_dictionaries(halos), their_nfw.NFW()),
    "TNFW": (
        TNFW,
        st.fixed_dictionaries(halos | {"r_trunc": st.floats(0.01, 5)}),
        None,
    ),
    "uniform line": (UniformLine, lines, None),
}
COMPARED = {name: case for name, case in RANDOM.items() if case[2] is not None}
each_compared_profile = pytest.mark.parametrize(
    ("cls", "strategy", "theirs"), COMPARED.values(), ids=COMPARED
)
each_random_profile = pytest.mark.parametrize(
    ("cls", "strategy", "theirs"), RANDOM.values(), ids=RANDOM
)


def points_around(parameters):
    """Points from 1.1e-3 to 10 arcsec around the centre of a profile, four rays on its axes."""
    names = ("center_x", "center_y") if "center_x" in parameters else ("ra_0", "dec_0")
    rays = np.append(np.exp(1j * np.array([0.4, 1.9, 3.3, 5.0, 5.9])), [1, 1j, -1, -1j])
    z = np.geomspace(1.1e-3, 10, 12)[:, None] * rays
    x, y = (parameters[k] + part for k, part in zip(names, (z.real, z.imag), strict=True))
    return torch.from_numpy(x), torch.from_numpy(y)


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
        np.testing.assert_allclose(ours, alpha, rtol=1e-12, atol=1e-12)
    xx, xy, _, yy = theirs.hessian(*grid, **parameters)
    for ours, psi in zip(profile.hessian(x, y), (xx, xy, yy), strict=True):
        np.testing.assert_allclose(ours, np.broadcast_to(psi, x.shape), rtol=1e-10, atol=1e-9)


@settings(max_examples=25, deadline=None)
@given(parameters=sies())
def test_an_sie_agrees_with_lenstronomys_default_up_to_its_core(parameters):
    x, y = points_around(parameters)
    r = np.hypot(x - parameters["center_x"], y - parameters["center_y"])
    theirs = their_sie.SIE().derivatives(x.numpy(), y.numpy(), **parameters)
    for ours, alpha in zip(SIE(**parameters).deflection(x, y), theirs, strict=True):
        error = np.abs(ours - alpha) / parameters["theta_E"]
        assert (error < 1e-8 + 1.1e-10 / r).all()


@pytest.mark.parametrize("name", ["NIE", "EPL", "TNFW", "uniform line", "population"])
def test_a_profile_compiles_in_one_graph(name, grid):
    build, parameters = PROFILES[name]
    profile = build(**{k: torch.tensor(v, dtype=torch.float64) for k, v in parameters.items()})
    torch._dynamo.reset()
    compiled = torch.compile(profile.deflection, backend="eager", fullgraph=True)
    expected = profile.deflection(*grid)
    torch.testing.assert_close(compiled(*grid), expected, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("ellipticity", [0.0, 2e-3, 0.01, 0.05, 0.3])
def test_single_precision_serves_the_curvature_of_an_sie(ellipticity):
    """The closed form of the derivatives divides by the ellipticity, once for each order."""
    x, y = pixel_grid(32, 0.1, dtype=torch.float64)
    found = []
    for dtype in (torch.float64, torch.float32):
        e1 = torch.tensor(ellipticity, dtype=dtype, requires_grad=True)
        alpha = SIE(theta_E=1.0, e1=e1, e2=0.0).deflection(x.to(dtype) + 0.01, y.to(dtype))
        total = (alpha[0] * x.to(dtype).sin() + alpha[1] * y.to(dtype)).sum()
        slope = torch.autograd.grad(total, e1, create_graph=True)[0]
        found.append(torch.stack([slope, torch.autograd.grad(slope, e1)[0]]).double())
    torch.testing.assert_close(found[1], found[0], rtol=1e-3, atol=0)


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


def test_gradients_pass_smoothly_from_the_series_to_the_closed_form(grid, gradients):
    below, above = (
        gradients(lambda p: SIE(**p).deflection(*grid), sie(modulus))
        for modulus in (1e-3 * (1 - 1e-9), 1e-3 * (1 + 1e-9))
    )
    for name in below:
        torch.testing.assert_close(below[name], above[name], rtol=1e-9, atol=1e-10)


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


@pytest.mark.parametrize(
    ("modulus", "precision"), [(0.5, 2e-6), (0.9, 5e-6), (0.99, 5e-5), (0.9999**0.5 - 1e-6, 1e-2)]
)
def test_the_rounding_of_float32_is_all_that_a_flat_sie_suffers(modulus, precision):
    x, y = pixel_grid((64, 48), 0.05, dtype=torch.float32)
    angle = torch.linspace(0, 2 * math.pi, 13, dtype=torch.float64)[:-1]
    ellipticity = {"e1": modulus * torch.cos(angle), "e2": modulus * torch.sin(angle)}
    profile = SIE(theta_E=1.0, center_x=0.0117, center_y=-0.0131, **ellipticity)
    narrow, wide = profile.deflection(x, y), profile.deflection(x.double(), y.double())
    for found, expected in zip(narrow, wide, strict=True):
        assert (found.double() - expected).abs().max() < precision


# What the profiles are, in words


def test_an_sie_at_q_1_is_an_sis(grid):
    x, y = grid
    profile = SIE(theta_E=1.3, center_x=0.2, center_y=-0.1)
    r = torch.hypot(x - 0.2, y + 0.1)
    expected = 1.3 * (x - 0.2) / r, 1.3 * (y + 0.1) / r
    torch.testing.assert_close(profile.deflection(x, y), expected, rtol=1e-14, atol=1e-15)
    torch.testing.assert_close(profile.potential(x, y), 1.3 * r, rtol=1e-14, atol=1e-15)


@settings(max_examples=25, deadline=None)
@given(parameters=sies())
def test_the_convergence_of_an_sie_is_half_its_einstein_radius_over_the_elliptical_one(parameters):
    x, y = points_around(parameters)
    modulus = math.hypot(parameters["e1"], parameters["e2"])
    phi, q = math.atan2(parameters["e2"], parameters["e1"]) / 2, (1 - modulus) / (1 + modulus)
    dx, dy = x - parameters["center_x"], y - parameters["center_y"]
    along = dx * math.cos(phi) + dy * math.sin(phi)
    across = dy * math.cos(phi) - dx * math.sin(phi)
    expected = parameters["theta_E"] / (2 * torch.sqrt(q * along**2 + across**2 / q))
    psi_xx, _, psi_yy = SIE(**parameters).hessian(x, y)
    torch.testing.assert_close((psi_xx + psi_yy) / 2, expected, rtol=1e-11, atol=0)


@pytest.mark.parametrize("modulus", [0.0, 1e-4, 0.3, 0.9])
def test_the_mass_inside_the_einstein_ellipse_does_not_depend_on_the_axis_ratio(modulus):
    # Gauss's theorem around the isodensity contour R = theta_E: pi theta_E^2.
    t = torch.arange(4096, dtype=torch.float64) * (2 * math.pi / 4096)
    root_q = math.sqrt((1 - modulus) / (1 + modulus))
    x, y = 1.2 / root_q * torch.cos(t), 1.2 * root_q * torch.sin(t)
    dx, dy = -1.2 / root_q * torch.sin(t), 1.2 * root_q * torch.cos(t)
    alpha_x, alpha_y = (a[0] for a in SIE(theta_E=1.2, e1=modulus).deflection(x[None], y[None]))
    outflow = (alpha_x * dy - alpha_y * dx).mean().item() * 2 * math.pi
    assert outflow / 2 == pytest.approx(math.pi * 1.2**2, rel=1e-10)


def test_a_point_mass_has_no_convergence_but_a_mass(grid):
    profile = PointMass(theta_E=0.7, center_x=0.02, center_y=0.05)
    psi_xx, _, psi_yy = profile.hessian(*grid)
    assert torch.equal(psi_xx, -psi_yy)
    t = torch.arange(256, dtype=torch.float64)[None] * (2 * math.pi / 256)
    alpha_x, alpha_y = profile.deflection(torch.cos(t), torch.sin(t))
    outflow = (alpha_x * torch.cos(t) + alpha_y * torch.sin(t)).mean().item() * 2 * math.pi
    assert outflow / 2 == pytest.approx(math.pi * 0.7**2, rel=1e-12)


def test_a_point_mass_does_not_deflect_at_its_very_centre():
    centre = torch.full((1, 1), 0.25, dtype=torch.float64)
    profile = PointMass(theta_E=0.7, center_x=0.25, center_y=0.25)
    assert profile.deflection(centre, centre) == (0, 0)


def test_shear_neither_deflects_its_origin_nor_converges(grid):
    profile = Shear(gamma1=0.05, gamma2=-0.03, ra_0=0.31, dec_0=-0.31)
    alpha_x, alpha_y = profile.deflection(*grid)
    assert alpha_x[1, 4].item() == pytest.approx(0, abs=1e-17)
    assert alpha_y[1, 4].item() == pytest.approx(0, abs=1e-17)
    psi_xx, _, psi_yy = profile.hessian(*grid)
    assert torch.equal(psi_xx, -psi_yy)


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


# Populations

B, K = 2, 5
#: Shapes of (theta_E, center_x, center_y); None for a number.
SHAPES = {
    "(K,)": ((K,), (K,), (K,)),
    "(B, K)": ((B, K), (B, K), (B, K)),
    "one mass function, positions by image": ((K,), (B, K), (B, K)),
    "masses by image, one set of positions": ((B, K), (K,), (K,)),
    "one mass an image": ((B, 1), (K,), (B, K)),
    "a single deflector an image": ((B, 1), (B, 1), (B, 1)),
    "equal masses": (None, (K,), (K,)),
    "equal masses, positions by image": (None, (B, K), (B, K)),
    "a scalar tensor of mass": ((), (K,), (B, K)),
    "on a line": ((K,), (K,), None),
    "at one place": ((K,), None, None),
}
each_shape = pytest.mark.parametrize("shapes", SHAPES.values(), ids=SHAPES)


def random_parameters(shapes, dtype=torch.float64):
    generator = torch.Generator().manual_seed(11)
    ranges = {"theta_E": (0.01, 0.1), "center_x": (-1, 1), "center_y": (-1, 1)}
    parameters = {}
    for (name, (low, high)), shape in zip(ranges.items(), shapes, strict=True):
        value = torch.rand(shape or (), generator=generator, dtype=torch.float64)
        value = low + (high - low) * value
        parameters[name] = value.item() if shape is None else value.to(dtype)
    return parameters


def sum_of_single_ones(cls, parameters, method, x, y):
    """Every deflector of every image by itself, added up in plain Python."""
    values = [torch.as_tensor(v, dtype=torch.float64) for v in parameters.values()]
    table = torch.stack(torch.broadcast_tensors(*values), dim=-1)

    def image(rows):
        named = (dict(zip(parameters, row.tolist(), strict=True)) for row in rows)
        parts = [maps(cls(**one), method, x, y) for one in named]
        return [sum(components) for components in zip(*parts, strict=True)]

    if table.ndim == 2:
        return image(table)
    return [torch.stack(images) for images in zip(*map(image, table), strict=True)]


def assert_maps_close(found, expected, precision):
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.shape == theirs.shape
        assert (ours.double() - theirs.double()).abs().max() < precision * theirs.abs().max()


@each_method
@each_shape
@pytest.mark.parametrize("chunk", [2, 16])
@pytest.mark.parametrize("cls", [PointMass, SIE])
def test_a_population_is_the_sum_of_its_deflectors(cls, chunk, shapes, method, grid):
    parameters = random_parameters(shapes)
    found = maps(Population(cls(**parameters), chunk=chunk), method, *grid)
    assert_maps_close(found, sum_of_single_ones(cls, parameters, method, *grid), 1e-13)


@each_method
@pytest.mark.parametrize("name", ["gamma1", "gamma2", "ra_0", "dec_0"])
def test_a_population_of_shears_is_the_sum_of_its_shears(name, method, grid):
    parameters = {"gamma1": 0.05, "gamma2": -0.03, "ra_0": 0.1, "dec_0": 0.2}
    parameters[name] = torch.tensor([0.1, -0.2, 0.3], dtype=torch.float64)
    found = maps(Population(Shear(**parameters)), method, *grid)
    assert_maps_close(found, sum_of_single_ones(Shear, parameters, method, *grid), 1e-13)


@each_shape
@pytest.mark.parametrize(("dtype", "precision"), [(torch.float32, 2e-6), (torch.float64, 1e-14)])
@pytest.mark.parametrize("shape", [(37, 41), (3, 5), (1, 1)])
def test_the_fused_sum_is_the_generic_sum(shape, dtype, precision, shapes):
    x, y = pixel_grid(shape, 0.05, dtype=dtype)
    fused = PointMass(**random_parameters(shapes, dtype))
    generic = PointMass(**random_parameters(shapes, dtype))
    x_generic = x.clone().requires_grad_()
    assert fused.sum_deflections(x, y) is not None
    assert generic.sum_deflections(x_generic, y) is None

    found = Population(fused).deflection(x, y)
    expected = Population(generic).deflection(x_generic, y)
    assert all(alpha.dtype == dtype for alpha in found)
    assert_maps_close(found, [alpha.detach() for alpha in expected], precision)


@pytest.mark.parametrize("name", ["theta_E", "center_x", "center_y"])
def test_the_fused_sum_stands_aside_for_the_gradient_of_any_parameter(name, grid):
    parameters = random_parameters(((K,), (K,), (K,)))
    parameters[name].requires_grad_()
    assert PointMass(**parameters).sum_deflections(*grid) is None
    with torch.no_grad():
        fused = Population(PointMass(**parameters)).deflection(*grid)
        assert PointMass(**parameters).sum_deflections(*grid) is not None
    assert_maps_close(fused, Population(PointMass(**parameters)).deflection(*grid), 1e-14)


def test_the_fused_sum_reads_grids_and_parameters_that_are_views(grid):
    parameters = random_parameters(((B, K), (B, K), (B, K)))
    strided = {k: v.repeat_interleave(2, -1)[:, ::2] for k, v in parameters.items()}
    x, y = (v.T.contiguous().T for v in grid)
    assert not x.is_contiguous()
    found = Population(PointMass(**strided)).deflection(x, y)
    assert_maps_close(found, Population(PointMass(**parameters)).deflection(*grid), 1e-15)


@pytest.mark.parametrize("images", [1, 2, 5])
@pytest.mark.parametrize("threads", [1, 2, 4])
def test_the_fused_sum_does_not_depend_on_the_number_of_threads(threads, images, grid):
    parameters = random_parameters(((images, K), (images, K), (images, K)))
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        found = Population(PointMass(**parameters)).deflection(*grid)
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    for image in range(images):
        one = PointMass(**{k: v[image] for k, v in parameters.items()})
        alone = Population(one).deflection(*grid)
        assert all(torch.equal(a[image], b) for a, b in zip(found, alone, strict=True))


def test_the_fused_sum_has_no_deflection_at_the_very_centre_of_a_mass(grid):
    zero = torch.zeros(1)
    on_a_pixel = PointMass(theta_E=torch.tensor([0.3]), center_x=zero, center_y=zero)
    alpha_x, alpha_y = Population(on_a_pixel).deflection(*grid)
    assert (alpha_x[2, 3], alpha_y[2, 3]) == (0, 0)


@pytest.mark.parametrize("name", ["theta_E", "center_x", "center_y"])
@pytest.mark.parametrize("mode", ["torch.func.jvp", "dual numbers"])
def test_forward_derivatives_of_a_population_are_its_backward_ones(mode, name, grid):
    parameters = random_parameters(((K,), (K,), (K,)))
    tangent = torch.linspace(-1, 1, K, dtype=torch.float64)

    def deflection(value):
        return torch.stack(Population(PointMass(**(parameters | {name: value}))).deflection(*grid))

    if mode == "torch.func.jvp":
        _, forward = torch.func.jvp(deflection, (parameters[name],), (tangent,))
    else:
        with torch.autograd.forward_ad.dual_level():
            dual = torch.autograd.forward_ad.make_dual(parameters[name], tangent)
            forward = torch.autograd.forward_ad.unpack_dual(deflection(dual)).tangent
    backward = torch.autograd.functional.jacobian(deflection, parameters[name]) @ tangent
    assert forward is not None
    torch.testing.assert_close(forward, backward, rtol=1e-12, atol=1e-13)


@each_method
def test_vmap_over_populations_is_a_batch_of_them(method, grid):
    parameters = random_parameters(((B, K), (B, K), (B, K)))

    def evaluate(*values):
        one = dict(zip(parameters, values, strict=True))
        return maps(Population(PointMass(**one)), method, *grid)

    found = torch.func.vmap(evaluate)(*parameters.values())
    assert_maps_close(found, maps(Population(PointMass(**parameters)), method, *grid), 1e-13)


@each_method
@pytest.mark.parametrize("shapes", [((K,), (K,), (K,)), ((B, K), (B, K), (B, K))])
def test_deflectors_of_zero_mass_add_nothing(shapes, method, grid):
    parameters = random_parameters(shapes)
    # Padded with masses on the central pixel, where a point mass is singular.
    padded = {k: torch.cat([v, v.new_zeros(*v.shape[:-1], 3)], -1) for k, v in parameters.items()}
    found = maps(Population(PointMass(**padded)), method, *grid)
    assert_maps_close(found, maps(Population(PointMass(**parameters)), method, *grid), 1e-15)


@each_method
@pytest.mark.parametrize(("shape", "expected"), [((0,), (5, 7)), ((B, 0), (B, 5, 7))])
def test_a_population_without_deflectors_does_nothing(shape, expected, method, grid):
    empty = torch.zeros(shape, dtype=torch.float64)
    population = Population(PointMass(theta_E=empty, center_x=empty, center_y=empty))
    for found in maps(population, method, *grid):
        assert found.shape == expected
        assert (found == 0).all()


@each_method
@pytest.mark.parametrize("shapes", [((K,), (K,), (K,)), ((B, K), (B, K), (B, K))])
def test_a_population_is_seen_on_a_grid_of_each_image(shapes, method, grid):
    x, y = grid
    grids = torch.stack([x, 2 * x]), torch.stack([y, y - 0.2])
    parameters = random_parameters(shapes)
    together = maps(Population(PointMass(**parameters), chunk=2), method, *grids)
    for image in range(B):
        alone = maps(Population(PointMass(**parameters)), method, grids[0][image], grids[1][image])
        alone = [a[image] if len(shapes[0]) == 2 else a for a in alone]
        assert_maps_close([found[image] for found in together], alone, 1e-13)


def test_a_population_needs_something_to_sum_over():
    with pytest.raises(ValueError, match=r"parameters of shape \(B, K\) or \(K,\)"):
        Population(PointMass(theta_E=0.1))
    with pytest.raises(ValueError, match=r"parameters of shape \(B, K\) or \(K,\)"):
        Population(PointMass(theta_E=torch.tensor(0.1)))


@pytest.mark.parametrize("chunk", [0, -1])
def test_a_population_is_summed_in_chunks_of_at_least_one(chunk):
    with pytest.raises(ValueError, match="chunk must be at least 1"):
        Population(PointMass(theta_E=torch.ones(3)), chunk=chunk)
