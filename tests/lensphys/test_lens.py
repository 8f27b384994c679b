"""The thin lens: deflectors in one plane, and what they do to light."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lenstronomy.LensModel.lens_model import LensModel

from lensphys import SIE, PointMass, Population, Shear, ThinLens, pixel_grid
from lensphys.cosmology import (
    FlatLambdaCDM,
    alpha_scale,
    flat_lambda_cdm,
    time_delay_distance,
)

MACRO = {
    "theta_E": 1.2815,
    "e1": 0.1,
    "e2": -0.07,
    "center_x": 0.03,
    "center_y": -0.02,
    "gamma1": 0.05,
    "gamma2": 0.02,
}
CLUMPS = {
    "theta_E": [0.02, 0.05, 0.1],
    "center_x": [0.31, -0.9, 0.5],
    "center_y": [0.95, 0.4, -1.1],
}
NUMBERS = {"alpha_scale": 0.634} | MACRO
QUANTITIES = ["potential", "deflection", "ray_trace", "hessian", "convergence", "shear"]
QUANTITIES += ["jacobian", "fermat_potential"]
each_quantity = pytest.mark.parametrize("quantity", [*QUANTITIES, "magnification"])


def macro_lens(p, *more, alpha_scale=1.0):
    shear = Shear(gamma1=p["gamma1"], gamma2=p["gamma2"])
    sie = SIE(**{k: v for k, v in p.items() if k not in ("gamma1", "gamma2", "alpha_scale")})
    return ThinLens([sie, shear, *more], alpha_scale=p.get("alpha_scale", alpha_scale))


def clumps(**changed):
    tensors = {k: torch.tensor(v, dtype=torch.float64) for k, v in CLUMPS.items()}
    return Population(PointMass(**(tensors | changed)))


def maps(lens, quantity, x, y):
    found = getattr(lens, quantity)(x, y)
    return (found,) if isinstance(found, torch.Tensor) else found


@st.composite
def macro_models(draw):
    modulus, angle = draw(st.just(0.0) | st.floats(0, 0.7)), draw(st.floats(0, 2 * math.pi))
    gamma, phi = draw(st.just(0.0) | st.floats(0, 0.3)), draw(st.floats(0, 2 * math.pi))
    return {
        "theta_E": draw(st.floats(0.05, 3)),
        "e1": modulus * math.cos(angle),
        "e2": modulus * math.sin(angle),
        "center_x": draw(st.floats(-0.5, 0.5)),
        "center_y": draw(st.floats(-0.5, 0.5)),
        "gamma1": gamma * math.cos(phi),
        "gamma2": gamma * math.sin(phi),
    }


def off_centre_points(p):
    """Points at 0.0011 to 6 arcsec from the centre of the SIE."""
    z = np.geomspace(1.1e-3, 6, 12)[:, None] * np.exp(1j * np.arange(9))
    return (torch.from_numpy(part) for part in (p["center_x"] + z.real, p["center_y"] + z.imag))


@settings(max_examples=25, deadline=None)
@given(p=macro_models())
def test_a_thin_lens_agrees_with_lenstronomy(p):
    # The SIE in closed form; lenstronomy's default takes numeric differences for the Hessian.
    theirs = LensModel(["SIE", "SHEAR"], profile_kwargs_list=[{"NIE": False}, {}])
    sie = {k: v for k, v in p.items() if not k.startswith("gamma")}
    keywords = [sie, {"gamma1": p["gamma1"], "gamma2": p["gamma2"]}]
    x, y = off_centre_points(p)
    at, lens = (x.numpy(), y.numpy(), keywords), macro_lens(p)

    def agree(found, expected):
        np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-8)

    agree(lens.potential(x, y), theirs.potential(*at))
    agree(lens.deflection(x, y), theirs.alpha(*at))
    agree(lens.ray_trace(x, y), theirs.ray_shooting(*at))
    xx, xy, _, yy = theirs.hessian(*at)
    agree(lens.hessian(x, y), (xx, xy, yy))
    agree(lens.convergence(x, y), theirs.kappa(*at))
    agree(lens.shear(x, y), theirs.gamma(*at))
    # The inverse, which has no poles on the critical curves.
    agree(1 / lens.magnification(x, y), 1 / theirs.magnification(*at))


@pytest.mark.filterwarnings("ignore:Cosmology is provided")
@pytest.mark.parametrize("z_source", [0.8, 1.0, 2.5, 4.0])
def test_a_scaled_lens_is_lenstronomys_multi_plane_lens_of_one_plane(z_source):
    cosmology = flat_lambda_cdm(69.7, 0.2814, 0.0464)
    theirs = LensModel(
        ["SIE", "SHEAR", *["POINT_MASS"] * 3],
        multi_plane=True,
        z_source=z_source,
        z_source_convention=2.5,
        lens_redshift_list=[0.5] * 5,
        cosmo=cosmology,
        profile_kwargs_list=[{"NIE": False}, {}, {}, {}, {}],
    )
    sie = {k: v for k, v in MACRO.items() if not k.startswith("gamma")}
    shear = {"gamma1": MACRO["gamma1"], "gamma2": MACRO["gamma2"]}
    points = [dict(zip(CLUMPS, row, strict=True)) for row in zip(*CLUMPS.values(), strict=True)]
    x, y = pixel_grid((30, 24), 0.1, dtype=torch.float64)
    expected = theirs.alpha(x.numpy().ravel(), y.numpy().ravel(), [sie, shear, *points])

    scale = alpha_scale(0.5, z_source, 2.5, cosmology)
    found = macro_lens(MACRO, clumps(), alpha_scale=scale).deflection(x, y)
    for ours, alpha in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours.flatten(), alpha, rtol=0, atol=1e-8)


@each_quantity
def test_gradients_are_right(quantity, check_gradients):
    x, y = pixel_grid((2, 3), 0.4, dtype=torch.float64)
    p = NUMBERS | {"x": x, "y": y, "mass": CLUMPS["theta_E"], "at": CLUMPS["center_x"]}

    def evaluate(p):
        population = clumps(theta_E=p["mass"], center_x=p["at"])
        return maps(macro_lens({k: p[k] for k in NUMBERS}, population), quantity, p["x"], p["y"])

    check_gradients(evaluate, p)


@pytest.mark.parametrize(("e1", "e2"), [(0.0, 0.0), (6e-4, -7.99e-4), (6e-4, -8.01e-4)])
def test_gradients_of_the_ray_tracing_are_right_near_q_1(e1, e2, check_gradients):
    x, y = pixel_grid((2, 3), 0.4, dtype=torch.float64)
    p = NUMBERS | {"e1": e1, "e2": e2}
    check_gradients(
        lambda p: macro_lens({k: p[k] for k in NUMBERS}).ray_trace(p["x"], p["y"]),
        p | {"x": x, "y": y},
    )


def test_every_parameter_moves_the_source(grid, gradients):
    found = gradients(lambda p: macro_lens(p).ray_trace(*grid), NUMBERS)
    assert all(gradient.abs() > 1e-6 for gradient in found.values())


def test_deflection_and_hessian_are_derivatives_of_the_potential():
    x, y = pixel_grid((6, 8), 0.37, dtype=torch.float64)
    lens, at = macro_lens(NUMBERS, clumps()), (x.clone().requires_grad_(), y.requires_grad_())
    gradient = torch.autograd.grad(lens.potential(*at).sum(), at)
    alpha_x, alpha_y = lens.deflection(*at)
    torch.testing.assert_close((alpha_x, alpha_y), gradient, rtol=1e-11, atol=1e-11)
    xx, xy = torch.autograd.grad(alpha_x.sum(), at, retain_graph=True)
    yx, yy = torch.autograd.grad(alpha_y.sum(), at)
    torch.testing.assert_close(lens.hessian(*at), (xx, xy, yy), rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(xy, yx, rtol=1e-10, atol=1e-10)


def test_magnification_is_the_inverse_area_distortion_of_the_ray_tracing():
    x, y = pixel_grid((6, 8), 0.37, dtype=torch.float64)
    lens, at = macro_lens(NUMBERS, clumps()), (x.clone().requires_grad_(), y.requires_grad_())
    beta_x, beta_y = lens.ray_trace(*at)
    xx, xy = torch.autograd.grad(beta_x.sum(), at, retain_graph=True)
    yx, yy = torch.autograd.grad(beta_y.sum(), at)
    torch.testing.assert_close(
        1 / lens.magnification(*at), xx * yy - xy * yx, rtol=1e-10, atol=1e-10
    )


def test_an_einstein_ring_is_the_image_of_the_point_behind_the_lens():
    t = torch.linspace(0, 2 * math.pi, 37, dtype=torch.float64)[None]
    x, y = 0.9 * torch.cos(t), 0.9 * torch.sin(t)
    lens = ThinLens([SIE(theta_E=0.9)])
    for beta in lens.ray_trace(x, y):
        torch.testing.assert_close(beta, torch.zeros_like(t), rtol=0, atol=1e-15)
    assert (lens.magnification(x, y).abs() > 1e14).all()
    torch.testing.assert_close(lens.convergence(x, y), torch.full_like(t, 0.5), rtol=1e-14, atol=0)


def test_outside_its_ring_an_sis_magnifies_by_one_over_one_minus_theta_E_over_r():
    r = torch.linspace(1.0, 5, 9, dtype=torch.float64)[None]
    found = ThinLens([SIE(theta_E=0.9)]).magnification(0.6 * r, -0.8 * r)
    torch.testing.assert_close(found, 1 / (1 - 0.9 / r), rtol=1e-12, atol=0)


@pytest.mark.parametrize("e1", [0.0, 0.2])
def test_the_image_at_the_centre_of_an_sie_is_demagnified_to_nothing(e1):
    centre = torch.zeros(1, 1, dtype=torch.float64)
    lens = ThinLens([SIE(theta_E=0.9, e1=e1)])
    assert lens.convergence(centre, centre) > 1e6
    assert lens.magnification(centre, centre).abs() < 1e-6


def test_the_light_of_an_empty_lens_passes_straight(grid):
    lens = ThinLens([SIE(theta_E=0.0), Shear(gamma1=0.0, gamma2=0.0)])
    assert all(torch.equal(a, b) for a, b in zip(lens.ray_trace(*grid), grid, strict=True))
    assert (lens.magnification(*grid) == 1).all()


@pytest.mark.parametrize("quantity", ["potential", "deflection", "hessian", "convergence", "shear"])
def test_deflectors_add_and_scale(quantity, grid):
    parts = [SIE(theta_E=1.1, e1=0.1, center_x=0.05), Shear(gamma1=0.05, gamma2=0.1), clumps()]
    whole = maps(ThinLens(parts, alpha_scale=0.634), quantity, *grid)
    alone = zip(*(maps(ThinLens([part]), quantity, *grid) for part in parts), strict=True)
    for found, components in zip(whole, alone, strict=True):
        torch.testing.assert_close(found, 0.634 * sum(components), rtol=1e-12, atol=1e-13)


@each_quantity
@pytest.mark.parametrize("name", [*NUMBERS, "all", "mass"])
def test_a_batch_of_lenses_is_its_members_one_by_one(name, quantity, grid):
    factors = torch.tensor([0.8, 1.0, 1.1], dtype=torch.float64)
    names = list(NUMBERS) if name == "all" else [name] if name in NUMBERS else []
    masses = torch.tensor([CLUMPS["theta_E"]], dtype=torch.float64) * factors[:, None]
    if name != "mass":
        masses = masses[1]
    batch = {k: factors * NUMBERS[k] for k in names}
    together = maps(macro_lens(NUMBERS | batch, clumps(theta_E=masses)), quantity, *grid)
    for i in range(3):
        one = NUMBERS | {k: v[i].item() for k, v in batch.items()}
        mass = masses[i] if name == "mass" else masses
        alone = maps(macro_lens(one, clumps(theta_E=mass)), quantity, *grid)
        for many, single in zip(together, alone, strict=True):
            assert many.shape == (3, 5, 7)
            assert single.shape == (5, 7)
            torch.testing.assert_close(many[i], single, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", NUMBERS)
def test_forward_derivatives_are_backward_derivatives(name, grid):
    def deflection(value):
        return torch.stack(macro_lens(NUMBERS | {name: value}, clumps()).deflection(*grid))

    value = torch.tensor(NUMBERS[name], dtype=torch.float64)
    _, forward = torch.func.jvp(deflection, (value,), (torch.ones_like(value),))
    backward = torch.autograd.functional.jacobian(deflection, value)
    assert backward.abs().max() > 1e-3
    torch.testing.assert_close(forward, backward, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", NUMBERS)
def test_vmap_over_lenses_is_a_batch_of_them(name, grid):
    values = torch.tensor([0.8, 1.0, 1.1], dtype=torch.float64) * NUMBERS[name]

    def deflection(value):
        return torch.stack(macro_lens(NUMBERS | {name: value}, clumps()).deflection(*grid))

    expected = deflection(values).movedim(1, 0)
    torch.testing.assert_close(
        torch.func.vmap(deflection)(values), expected, rtol=1e-13, atol=1e-13
    )


def test_jacobians_of_a_batch_by_vmap_of_jvp(grid):
    """A batched Gauss-Newton fit needs them."""
    values = torch.tensor([[1.1, 0.1, 0.0], [0.9, 0.0, 0.0]], dtype=torch.float64)

    def deflection(value):
        lens = ThinLens([SIE(theta_E=value[0], e1=value[1], e2=value[2]), clumps()])
        return torch.stack(lens.deflection(*grid))

    found = torch.func.vmap(torch.func.jacfwd(deflection))(values)
    expected = [torch.autograd.functional.jacobian(deflection, value) for value in values]
    torch.testing.assert_close(found, torch.stack(expected), rtol=1e-11, atol=1e-12)


def test_a_lens_without_deflectors_is_refused():
    with pytest.raises(ValueError, match="a lens needs at least one deflector"):
        ThinLens([])


@pytest.mark.parametrize("bad", [SIE(theta_E=1.0), None, [None], [1.0]])
def test_what_is_no_list_of_deflectors_is_refused(bad):
    with pytest.raises(ValueError, match=r"^deflectors? .*must be a (list of )?mass profile"):
        ThinLens(bad)


@pytest.mark.filterwarnings("ignore:Cosmology is provided")
@settings(max_examples=15, deadline=None)
@given(p=macro_models(), z_lens=st.floats(0.1, 1), behind=st.floats(0.2, 2))
def test_the_arrival_time_is_lenstronomys(p, z_lens, behind):
    cosmology, z_source = flat_lambda_cdm(70, 0.3, 0.05), z_lens + behind
    theirs = LensModel(
        ["SIE", "SHEAR"],
        z_lens=z_lens,
        z_source=z_source,
        cosmo=cosmology,
        profile_kwargs_list=[{"NIE": False}, {}],
    )
    sie = {k: v for k, v in p.items() if not k.startswith("gamma")}
    keywords = [sie, {"gamma1": p["gamma1"], "gamma2": p["gamma2"]}]
    x, y = off_centre_points(p)
    at, lens = (x.numpy(), y.numpy(), keywords), macro_lens(p)
    D_dt = time_delay_distance(z_lens, z_source, cosmology)
    source = torch.tensor(0.1, dtype=torch.float64), torch.tensor(-0.2, dtype=torch.float64)
    numbers = {"x_source": 0.1, "y_source": -0.2}

    np.testing.assert_allclose(
        lens.fermat_potential(x, y), theirs.fermat_potential(*at), rtol=1e-10, atol=1e-10
    )
    np.testing.assert_allclose(
        lens.fermat_potential(x, y, *source),
        theirs.fermat_potential(*at, **numbers),
        rtol=1e-10,
        atol=1e-10,
    )
    for found, expected in (
        (lens.arrival_time(x, y, D_dt), theirs.arrival_time(*at)),
        (lens.arrival_time(x, y, D_dt, *source), theirs.arrival_time(*at, **numbers)),
    ):
        scale = np.abs(expected).max()
        np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-9 * scale)


def test_images_are_where_the_arrival_time_is_stationary():
    """Fermat's principle."""
    x, y = pixel_grid((6, 8), 0.37, dtype=torch.float64)
    lens, at = macro_lens(NUMBERS, clumps()), (x.clone().requires_grad_(), y.requires_grad_())
    with torch.no_grad():
        source = lens.ray_trace(*at)
    gradient = torch.autograd.grad(lens.fermat_potential(*at, *source).sum(), at)
    for component in gradient:
        torch.testing.assert_close(component, torch.zeros_like(x), rtol=0, atol=1e-12)


def test_the_delay_between_the_images_of_an_sis_is_twice_theta_E_times_beta():
    beta, lens = torch.tensor(0.3, dtype=torch.float64), ThinLens([SIE(theta_E=0.9)])
    x = torch.tensor([[1.2, -0.6]], dtype=torch.float64)
    near, far = lens.fermat_potential(x, 0 * x, beta, 0 * beta)[0]
    assert (far - near).item() == pytest.approx(2 * 0.9 * 0.3, rel=1e-12)


def test_each_lens_of_a_batch_may_have_a_source_of_its_own():
    x, y = pixel_grid((3, 2), 0.7, dtype=torch.float64)
    theta_E, beta = torch.tensor([[0.9, 1.1], [0.3, -0.2]], dtype=torch.float64)
    together = ThinLens([SIE(theta_E=theta_E)]).fermat_potential(x, y, beta, 0.1)
    for i in range(2):
        alone = ThinLens([SIE(theta_E=theta_E[i])]).fermat_potential(x, y, beta[i], 0.1)
        torch.testing.assert_close(together[i], alone, rtol=1e-14, atol=0)


def test_arrival_times_have_the_right_gradients_in_the_cosmology_too(check_gradients):
    x, y = pixel_grid((2, 3), 0.4, dtype=torch.float64)
    p = {k: NUMBERS[k] for k in ("theta_E", "e1", "gamma1", "alpha_scale")}
    p |= {"H0": 70.0, "Om0": 0.3, "z_lens": 0.5, "z_source": 1.5}

    def evaluate(p):
        cosmology = FlatLambdaCDM(H0=p["H0"], Om0=p["Om0"])
        D_dt = time_delay_distance(p["z_lens"], p["z_source"], cosmology)
        lens = macro_lens(NUMBERS | {k: p[k] for k in p if k in NUMBERS})
        return lens.arrival_time(x, y, D_dt)

    check_gradients(evaluate, p)


def test_a_source_has_two_coordinates(grid):
    with pytest.raises(ValueError, match="beta_x and beta_y must be given together"):
        ThinLens([SIE(theta_E=1.0)]).fermat_potential(*grid, grid[0])


@pytest.mark.parametrize("bad", [0.0, -5.0, math.nan])
def test_a_time_delay_distance_that_is_not_positive_is_refused(bad, grid):
    with pytest.raises(ValueError, match=r"^D_dt must be finite and in "):
        ThinLens([SIE(theta_E=1.0)]).arrival_time(*grid, bad)


@pytest.mark.parametrize("bad", [math.nan, math.inf, torch.tensor([1.0, math.nan])])
def test_a_scale_that_is_not_finite_is_refused(bad):
    with pytest.raises(ValueError, match=r"^alpha_scale must be finite"):
        ThinLens([SIE(theta_E=1.0)], alpha_scale=bad)


@pytest.mark.parametrize("bad", [None, "1", True, [None]])
def test_a_scale_that_is_no_number_is_refused(bad):
    with pytest.raises(ValueError, match=r"^alpha_scale must be a number or a tensor"):
        ThinLens([SIE(theta_E=1.0)], alpha_scale=bad)


def test_batches_that_do_not_go_together_are_refused_by_name():
    sie, shear = SIE(theta_E=torch.ones(2)), Shear(gamma1=torch.zeros(3), gamma2=0.0)
    expected = r"^batches must have one shape, got SIE \(deflector 0\) \(2,\), Shear .* \(3,\)$"
    with pytest.raises(ValueError, match=expected):
        ThinLens([sie, shear])
    with pytest.raises(ValueError, match=r"SIE \(deflector 0\) \(2,\), alpha_scale \(3,\)$"):
        ThinLens([sie], alpha_scale=torch.ones(3))
    masses = torch.ones(3, 4)
    with pytest.raises(ValueError, match=r"Population of PointMass \(deflector 1\) \(3,\)$"):
        ThinLens([sie, Population(PointMass(theta_E=masses))])


@each_quantity
def test_a_grid_of_another_batch_is_refused(quantity):
    lens = ThinLens([SIE(theta_E=torch.ones(2))])
    x, y = (v.expand(3, -1, -1) for v in pixel_grid(4, 0.1))
    expected = r"SIE \(deflector 0\) \(2,\), the grid's x \(3,\), the grid's y \(3,\)$"
    with pytest.raises(ValueError, match=expected):
        getattr(lens, quantity)(x, y)


def test_a_population_as_long_as_the_batch_is_none(grid):
    """Its last axis is summed over, and not one of the batch."""
    lens = ThinLens([SIE(theta_E=torch.ones(2)), clumps()])
    assert lens.deflection(*grid)[0].shape == (2, 5, 7)


def test_a_lens_compiles_in_one_graph(grid):
    def deflection(theta_E, x, y):
        return macro_lens(NUMBERS | {"theta_E": theta_E}).ray_trace(x, y)

    theta_E = torch.tensor([1.0, 1.2], dtype=torch.float64)
    compiled = torch.compile(deflection, backend="eager", fullgraph=True)
    for found, expected in zip(compiled(theta_E, *grid), deflection(theta_E, *grid), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: ThinLens([SIE(theta_E=1.0)]), "deflectors"),
        (lambda: ThinLens([SIE(theta_E=1.0)]), "alpha_scale"),
        (lambda: Population(PointMass(theta_E=torch.ones(3))), "profile"),
        (lambda: Population(PointMass(theta_E=torch.ones(3))), "mask"),
    ],
)
def test_parts_of_a_lens_are_not_replaced_behind_its_back(make, name):
    lens = make()
    with pytest.raises(AttributeError, match=f"{name} of a {type(lens).__name__} cannot be repl"):
        setattr(lens, name, getattr(lens, name))


def test_a_lens_follows_a_scale_that_changes_in_place(grid):
    scale = torch.nn.Parameter(torch.tensor(1.0, dtype=torch.float64))
    lens = ThinLens([SIE(theta_E=1.0, e1=0.1), Shear(gamma1=0.1, gamma2=0.0)], alpha_scale=scale)
    scale.data.fill_(0.5)
    half = ThinLens([SIE(theta_E=0.5, e1=0.1), Shear(gamma1=0.05, gamma2=0.0)])
    torch.testing.assert_close(lens.ray_trace(*grid), half.ray_trace(*grid))
