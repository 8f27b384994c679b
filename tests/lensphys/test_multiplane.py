"""Deflectors at several redshifts."""

import math

import numpy as np
import pytest
import torch
from astropy.cosmology import LambdaCDM, Planck18
from hypothesis import given, settings
from hypothesis import strategies as st
from lenstronomy.LensModel.lens_model import LensModel

from lensphys import (
    SIE,
    FlatLambdaCDM,
    MultiPlane,
    PointMass,
    Population,
    Sersic,
    Shear,
    ThinLens,
    pixel_grid,
    render,
)
from lensphys.cosmology import (
    DAYS,
    alpha_scale,
    flat_lambda_cdm,
    lensing_efficiency,
    time_delay_distance,
    transverse_comoving_distance,
)

COSMOLOGY = flat_lambda_cdm(70, 0.3, 0.05)
KINDS = [("SIE", SIE), ("POINT_MASS", PointMass), ("SIE", SIE), ("SHEAR", Shear)]
KINDS += [("POINT_MASS", PointMass)]
PARAMETERS = [
    {"theta_E": 1.1, "e1": 0.1, "e2": -0.07, "center_x": 0.03, "center_y": -0.02},
    {"theta_E": 0.1, "center_x": 0.41, "center_y": 0.83},
    {"theta_E": 0.4, "e1": -0.2, "e2": 0.1, "center_x": -0.51, "center_y": 0.32},
    {"gamma1": 0.05, "gamma2": 0.02, "ra_0": 0.0, "dec_0": 0.0},
    {"theta_E": 0.2, "center_x": -0.93, "center_y": -0.64},
]
#: Not in order, and two deflectors in one plane.
REDSHIFTS = [0.5, 0.3, 0.9, 0.5, 1.3]
QUANTITIES = ["ray_trace", "deflection", "jacobian", "hessian", "convergence", "shear"]
QUANTITIES += ["magnification", "arrival_time", "fermat_potential"]
each_quantity = pytest.mark.parametrize("quantity", QUANTITIES)


def deflectors(changed=None):
    """The five deflectors; ``changed`` maps ``(index, name)`` to another value."""
    parameters = [dict(p) for p in PARAMETERS]
    for (i, name), value in (changed or {}).items():
        parameters[i][name] = value
    return [cls(**p) for (_, cls), p in zip(KINDS, parameters, strict=True)]


def lens(changed=None, **keywords):
    given = {"z_source": 2.0, "z_source_convention": 3.0, "cosmology": COSMOLOGY} | keywords
    return MultiPlane(deflectors(changed), given.pop("redshifts", REDSHIFTS), **given)


def lenstronomy_lens(redshifts=REDSHIFTS, z_source=2.0, z_source_convention=3.0, cosmo=COSMOLOGY):
    return LensModel(
        [name for name, _ in KINDS],
        multi_plane=True,
        z_source=z_source,
        z_source_convention=z_source_convention,
        lens_redshift_list=list(redshifts),
        cosmo=cosmo,
        profile_kwargs_list=[{"NIE": False} if name == "SIE" else {} for name, _ in KINDS],
    )


def maps(lens, quantity, x, y):
    found = getattr(lens, quantity)(x, y)
    return (found,) if isinstance(found, torch.Tensor) else found


@pytest.mark.filterwarnings("ignore:Cosmology is provided")
@pytest.mark.parametrize("cosmology", [COSMOLOGY, Planck18], ids=["70, 0.3", "Planck18"])
@settings(max_examples=8, deadline=None)
@given(redshifts=st.lists(st.sampled_from([0.1, 0.3, 0.5, 0.9, 1.3]), min_size=5, max_size=5))
@pytest.mark.parametrize("z_source", [1.5, 3.0])
def test_rays_and_arrival_times_are_lenstronomys(cosmology, z_source, redshifts):
    theirs = lenstronomy_lens(redshifts, z_source=z_source, cosmo=cosmology)
    ours = lens(redshifts=redshifts, z_source=z_source, cosmology=cosmology)
    x, y = pixel_grid((12, 14), 0.31, dtype=torch.float64)
    at = x.numpy().ravel(), y.numpy().ravel(), PARAMETERS
    for found, expected in zip(ours.ray_trace(x, y), theirs.ray_shooting(*at), strict=True):
        np.testing.assert_allclose(found.flatten(), expected, rtol=0, atol=1e-11)
    for found, expected in zip(ours.deflection(x, y), theirs.alpha(*at), strict=True):
        np.testing.assert_allclose(found.flatten(), expected, rtol=0, atol=1e-11)
    expected = theirs.arrival_time(*at)
    found = ours.arrival_time(x, y).flatten()
    # Their megaparsec is 5e-10 larger.
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9 * np.abs(expected).max())


@pytest.mark.filterwarnings("ignore:Cosmology is provided")
def test_the_distortion_is_lenstronomys_difference_quotient():
    theirs, ours = lenstronomy_lens(), lens()
    x, y = pixel_grid((12, 14), 0.31, dtype=torch.float64)
    at = x.numpy().ravel(), y.numpy().ravel(), PARAMETERS
    f_xx, f_xy, f_yx, f_yy = theirs.hessian(*at, diff=1e-6)
    expected = (1 - f_xx, -f_xy, -f_yx, 1 - f_yy)
    for found, difference in zip(ours.jacobian(x, y), expected, strict=True):
        np.testing.assert_allclose(found.flatten(), difference, rtol=0, atol=1e-4)
        assert np.median(np.abs(found.flatten() - difference)) < 1e-8
    symmetric = (f_xx, 0.5 * (f_xy + f_yx), f_yy)
    for found, difference in zip(ours.hessian(x, y), symmetric, strict=True):
        np.testing.assert_allclose(found.flatten(), difference, rtol=0, atol=1e-4)


def test_the_jacobian_is_that_of_the_ray_tracing_and_rotates():
    x, y = (v.clone().requires_grad_() for v in pixel_grid((6, 8), 0.37, dtype=torch.float64))
    beta_x, beta_y = lens().ray_trace(x, y)
    xx, xy = torch.autograd.grad(beta_x.sum(), (x, y), retain_graph=True)
    yx, yy = torch.autograd.grad(beta_y.sum(), (x, y))
    found = lens().jacobian(x, y)
    torch.testing.assert_close(found, (xx, xy, yx, yy), rtol=1e-10, atol=1e-10)
    assert (found[1] - found[2]).abs().max() > 1e-2
    torch.testing.assert_close(
        1 / lens().magnification(x, y), xx * yy - xy * yx, rtol=1e-10, atol=1e-10
    )
    torch.testing.assert_close(
        lens().convergence(x, y), 1 - 0.5 * (xx + yy), rtol=1e-10, atol=1e-10
    )


def test_in_one_plane_a_lens_is_thin():
    x, y = pixel_grid((6, 8), 0.37, dtype=torch.float64)
    thick = lens(redshifts=[0.5] * 5)
    thin = ThinLens(deflectors(), alpha_scale=alpha_scale(0.5, 2.0, 3.0, COSMOLOGY))
    for quantity in ("ray_trace", "deflection", "jacobian", "hessian", "convergence", "shear"):
        for found, expected in zip(
            maps(thick, quantity, x, y), maps(thin, quantity, x, y), strict=True
        ):
            torch.testing.assert_close(found, expected, rtol=1e-14, atol=1e-15)
    torch.testing.assert_close(
        thick.fermat_potential(x, y), thin.fermat_potential(x, y), rtol=1e-13, atol=1e-14
    )
    D_dt = time_delay_distance(0.5, 2.0, COSMOLOGY)
    torch.testing.assert_close(
        thick.arrival_time(x, y), thin.arrival_time(x, y, D_dt), rtol=1e-13, atol=1e-12
    )


def test_planes_next_to_each_other_are_one():
    """No digits are lost between close planes, in single precision either."""
    near = [0.5, 0.5 + 1e-7, 0.5 + 2e-7, 0.5 + 3e-7, 0.5 + 4e-7]
    x, y = pixel_grid((6, 8), 0.37, dtype=torch.float64)
    together = lens(redshifts=[0.5] * 5).ray_trace(x, y)
    for found, expected in zip(lens(redshifts=near).ray_trace(x, y), together, strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    single = lens(redshifts=near).ray_trace(x.float(), y.float())
    for found, expected in zip(single, lens(redshifts=near).ray_trace(x, y), strict=True):
        assert found.dtype == torch.float32
        torch.testing.assert_close(found.double(), expected, rtol=0, atol=2e-6)


def test_in_curved_space_rays_obey_the_sum_over_planes():
    """Schneider, Ehlers & Falco 1992, eq. 9.7, with the distances between all pairs of planes.

    lenstronomy's recursion holds in flat space only.
    """
    curved = LambdaCDM(70, 0.3, 0.2)
    x, y = pixel_grid((6, 8), 0.37, dtype=torch.float64)
    order = sorted(range(5), key=REDSHIFTS.__getitem__)
    parts, stops = deflectors(), [REDSHIFTS[i] for i in order] + [2.0]
    bends, beta = [], (x, y)
    for k, z in enumerate(stops):
        beta = [x, y]
        d_k = curved.angular_diameter_distance(z).value
        for z_i, bend in bends:
            ratio = curved.angular_diameter_distance(z_i, z).value / d_k if z > z_i else 0.0
            beta = [b - ratio * part for b, part in zip(beta, bend, strict=True)]
        if k < 5:
            physical = curved.angular_diameter_distance(3.0).value
            physical /= curved.angular_diameter_distance(z, 3.0).value
            alpha = parts[order[k]].deflection(*beta)
            bends.append((z, [physical * part for part in alpha]))
    for found, expected in zip(lens(cosmology=curved).ray_trace(x, y), beta, strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_between_fixed_ends_rays_take_stationary_times():
    """Fermat's principle: a moved ray gains time only through where and how it ends."""
    x, y = (v.clone().requires_grad_() for v in pixel_grid((4, 5), 0.61, dtype=torch.float64))
    gradient = torch.autograd.grad(lens().arrival_time(x, y).sum(), (x, y))
    with torch.no_grad():
        source, (xx, xy, yx, yy) = lens().ray_trace(x, y), lens().jacobian(x, y)
        # Where the ray meets the last plane, as a source in that plane would.
        nearer = MultiPlane(
            deflectors()[:4],
            REDSHIFTS[:4],
            z_source=1.3,
            z_source_convention=3.0,
            cosmology=COSMOLOGY,
        ).ray_trace(x, y)
    efficiency = lensing_efficiency(1.3, 2.0, COSMOLOGY)
    a, b = ((s - n) / efficiency for s, n in zip(source, nearer, strict=True))
    scale = DAYS * transverse_comoving_distance(0.0, 1.3, COSMOLOGY)
    expected = scale * (a * xx + b * yx), scale * (a * xy + b * yy)
    torch.testing.assert_close(gradient, expected, rtol=1e-9, atol=1e-8)


@each_quantity
def test_gradients_are_right_in_the_cosmology_too(quantity, check_gradients):
    x, y = pixel_grid((2, 3), 0.43, dtype=torch.float64)
    p = {"H0": 70.0, "Om0": 0.3, "z_source": 2.0, "z0": 0.3, "z1": 0.5, "z2": 1.1}
    p |= {"convention": 3.0, "theta_E": 1.1, "e1": 0.1, "gamma1": 0.05, "mass": 0.1, "x": x, "y": y}

    def evaluate(p):
        changed = {(0, "theta_E"): p["theta_E"], (0, "e1"): p["e1"]}
        changed |= {(3, "gamma1"): p["gamma1"], (1, "theta_E"): p["mass"]}
        sie, point, other, shear, _ = deflectors(changed)
        thick = MultiPlane(
            [point, sie, shear, other],
            [p["z0"], p["z1"], p["z1"], p["z2"]],
            z_source=p["z_source"],
            z_source_convention=p["convention"],
            cosmology=FlatLambdaCDM(H0=p["H0"], Om0=p["Om0"]),
        )
        # Angles do not depend on H0.
        return [0 * p["H0"] + v for v in maps(thick, quantity, p["x"], p["y"])]

    check_gradients(evaluate, p)


def test_one_lens_serves_several_backward_passes(grid):
    H0 = torch.tensor(70.0, dtype=torch.float64, requires_grad=True)
    thick = lens(cosmology=FlatLambdaCDM(H0=H0, Om0=0.3))
    gradients = [torch.autograd.grad(thick.arrival_time(*grid).sum(), H0)[0] for _ in range(2)]
    assert gradients[0] == gradients[1] != 0


@each_quantity
@pytest.mark.parametrize("name", ["theta_E", "mass", "H0", "z_source", "all"])
def test_a_batch_of_lenses_is_its_members_one_by_one(name, quantity, grid):
    values = {"theta_E": 1.1, "mass": 0.1, "H0": 70.0, "z_source": 2.0}
    factors = torch.tensor([0.8, 1.0, 1.1], dtype=torch.float64)

    def build(p):
        return lens(
            {(0, "theta_E"): p["theta_E"], (1, "theta_E"): p["mass"]},
            z_source=p["z_source"],
            cosmology=FlatLambdaCDM(H0=p["H0"], Om0=0.3),
        )

    chosen = values if name == "all" else [name]
    batch = {k: factors * values[k] for k in chosen}
    together = maps(build(values | batch), quantity, *grid)
    for i in range(3):
        alone = maps(build(values | {k: v[i].item() for k, v in batch.items()}), quantity, *grid)
        for many, single in zip(together, alone, strict=True):
            # Distances do not enter angles but as ratios, in which H0 cancels.
            if name != "H0" or quantity == "arrival_time":
                assert many.shape == (3, 5, 7)
            torch.testing.assert_close(
                many.expand(3, 5, 7)[i], single, rtol=1e-10, atol=1e-11 * single.abs().max()
            )


def test_vmap_over_cosmologies_is_a_batch_of_them(grid):
    H0 = torch.tensor([67.0, 73.0], dtype=torch.float64)

    def time(H0):
        return lens(cosmology=FlatLambdaCDM(H0=H0, Om0=0.3)).arrival_time(*grid)

    torch.testing.assert_close(torch.func.vmap(time)(H0), time(H0), rtol=1e-12, atol=1e-10)


def test_vmap_and_forward_derivatives_in_a_deflector(grid):
    def source(theta_E):
        return torch.stack(lens({(0, "theta_E"): theta_E}).ray_trace(*grid))

    theta_E = torch.tensor([1.0, 1.2], dtype=torch.float64)
    found = torch.func.vmap(torch.func.jacfwd(source))(theta_E)
    expected = [torch.autograd.functional.jacobian(source, value) for value in theta_E]
    torch.testing.assert_close(found, torch.stack(expected), rtol=1e-11, atol=1e-12)


def test_it_compiles_in_one_graph(grid):
    def source(theta_E, H0, x, y):
        cosmology = FlatLambdaCDM(H0=H0, Om0=0.3)
        return lens({(0, "theta_E"): theta_E}, cosmology=cosmology).ray_trace(x, y)

    given = torch.tensor([1.0, 1.2], dtype=torch.float64), torch.tensor(70.0), *grid
    found = torch.compile(source, backend="eager", fullgraph=True)(*given)
    torch.testing.assert_close(found, source(*given), rtol=1e-13, atol=1e-13)


def test_an_image_is_rendered_through_many_planes(grid):
    source = Sersic(amplitude=1.0, R_sersic=0.3, n_sersic=1.0)
    masses = torch.tensor([[0.1, 0.2], [0.0, 0.0]], dtype=torch.float64)
    halo = Population(PointMass(theta_E=masses, center_x=torch.tensor([0.3, -0.4])))
    thick = MultiPlane([SIE(theta_E=0.8), halo], [0.5, 0.2], z_source=1.0, cosmology=COSMOLOGY)
    image = render(thick, source, *grid)
    assert image.shape == (2, 5, 7)
    thin = render(ThinLens([SIE(theta_E=0.8)]), source, *grid)
    torch.testing.assert_close(image[1], thin, rtol=1e-12, atol=0)
    assert (image[0] - thin).abs().max() > 1e-4


@pytest.mark.parametrize("z", [2.0, 2.5])
def test_a_deflector_behind_the_source_is_refused(z):
    with pytest.raises(ValueError, match=r"z_source must lie behind .* redshifts\[2\] 2"):
        lens(redshifts=[0.5, 0.3, z, 0.5, 1.3])


def test_a_deflector_behind_the_conventional_source_is_refused():
    message = r"z_source_convention must lie behind .* redshifts\[4\] 1.3"
    with pytest.raises(ValueError, match=message):
        lens(z_source_convention=1.2)


@pytest.mark.parametrize("z", [0.0, -0.3])
def test_a_deflector_in_front_of_the_observer_is_refused(z):
    with pytest.raises(ValueError, match=r"0 < redshifts\[1\] < z_source"):
        lens(redshifts=[0.5, z, 0.9, 0.5, 1.3])


@pytest.mark.parametrize("bad", [math.nan, math.inf, None, "0.5", True])
def test_a_redshift_that_is_no_number_is_refused_by_name(bad):
    with pytest.raises(ValueError, match=r"^redshifts\[1\] must be "):
        lens(redshifts=[0.5, bad, 0.9, 0.5, 1.3])
    with pytest.raises(ValueError, match=r"^z_source must be "):
        lens(z_source=bad)


def test_every_deflector_has_a_redshift():
    with pytest.raises(ValueError, match="redshifts must be one for each deflector, got 4 for 5"):
        lens(redshifts=REDSHIFTS[:4])
    with pytest.raises(ValueError, match="a lens needs at least one deflector"):
        MultiPlane([], [], z_source=1.0, cosmology=COSMOLOGY)


def test_redshifts_that_are_tensors_come_in_order():
    z = [torch.tensor(v) for v in (0.3, 0.5, 0.5, 0.9, 1.3)]
    cosmology = FlatLambdaCDM(H0=70.0, Om0=0.3)
    for wrong in (z, [z[1], z[0], z[3], 1.0, 1.1]):
        with pytest.raises(ValueError, match="must grow from plane to plane"):
            lens(redshifts=wrong, cosmology=cosmology)
    lens(redshifts=[z[0], z[1], z[1], z[3], z[4]], cosmology=cosmology)
    with pytest.raises(ValueError, match=r"needs lensphys\.cosmology\.FlatLambdaCDM"):
        lens(redshifts=[z[0], z[1], z[1], z[3], z[4]]).ray_trace(*pixel_grid(3, 0.1))


def test_batches_that_do_not_go_together_are_refused_by_name():
    H0 = torch.tensor([67.0, 70.0, 73.0])
    message = r"SIE \(deflector 0\) \(2,\), H0 \(3,\)$"
    with pytest.raises(ValueError, match=message):
        lens({(0, "theta_E"): torch.ones(2)}, cosmology=FlatLambdaCDM(H0=H0, Om0=0.3))


def test_redshifts_and_cosmology_are_followed_in_place_and_not_replaced(grid):
    z = torch.nn.Parameter(torch.tensor(0.3, dtype=torch.float64))
    H0 = torch.nn.Parameter(torch.tensor(70.0, dtype=torch.float64))

    def build(z, H0):
        behind, front = SIE(theta_E=0.4, center_x=0.2), SIE(theta_E=1.0, e1=0.1)
        cosmology = FlatLambdaCDM(H0=H0, Om0=0.3)
        return MultiPlane([front, behind], [z, z + 0.4], z_source=2.0, cosmology=cosmology)

    kept = MultiPlane(
        [SIE(theta_E=1.0, e1=0.1)], [z], z_source=2.0, cosmology=FlatLambdaCDM(H0=H0, Om0=0.3)
    )
    z.data.fill_(0.6)
    H0.data.fill_(50.0)
    fresh = MultiPlane(
        [SIE(theta_E=1.0, e1=0.1)], [0.6], z_source=2.0, cosmology=FlatLambdaCDM(H0=50.0, Om0=0.3)
    )
    torch.testing.assert_close(
        kept.arrival_time(*grid).detach(), fresh.arrival_time(*grid), rtol=1e-12, atol=1e-12
    )
    z.data.fill_(2.5)
    with pytest.raises(ValueError, match="must lie behind the lens"):
        kept.ray_trace(*grid)
    lens = build(0.3, 70.0)
    for name in ("redshifts", "z_source", "cosmology", "z_source_convention"):
        with pytest.raises(AttributeError, match=f"{name} of a MultiPlane cannot be replaced"):
            setattr(lens, name, getattr(lens, name))
