"""All images of a point source."""

import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from lenstronomy.LensModel.lens_model import LensModel
from lenstronomy.LensModel.Solver.lens_equation_solver import LensEquationSolver

from lensphys import (
    EPL,
    SIE,
    FlatLambdaCDM,
    MultiPlane,
    PixelatedConvergence,
    PointMass,
    Population,
    Shear,
    ThinLens,
    critical_curves,
    image_positions,
)

MACRO = {"theta_E": 1.2, "e1": 0.15, "e2": -0.1, "center_x": 0.04, "center_y": -0.02}

SHEAR = {"gamma1": 0.05, "gamma2": 0.03}

WINDOW = 8.0


class CoredMass:
    """``alpha = b^2 r / (r^2 + core^2)``: a lens without a singularity."""

    def __init__(self, b, core, x=0.0, y=0.0):
        self.b, self.core, self.center_x, self.center_y = b, core, x, y

    def _geometry(self, x, y):
        x, y = x - self.center_x, y - self.center_y
        return x, y, x * x + y * y + self.core**2

    def potential(self, x, y):
        return 0.5 * self.b**2 * torch.log(self._geometry(x, y)[2])

    def deflection(self, x, y):
        x, y, s = self._geometry(x, y)
        return self.b**2 * x / s, self.b**2 * y / s

    def hessian(self, x, y):
        x, y, s = self._geometry(x, y)
        w = self.b**2 / s
        return w - 2 * w * x * x / s, -2 * w * x * y / s, w - 2 * w * y * y / s


def macro_lens(**changed):
    p = MACRO | SHEAR | changed
    shear = Shear(**{k: p.pop(k) for k in SHEAR})
    return ThinLens([SIE(**p), shear])


def images(lens, beta_x, beta_y, **keywords):
    return image_positions(lens, beta_x, beta_y, **({"window": WINDOW} | keywords))


def assert_images_solve_the_lens_equation(lens, found, beta_x, beta_y):
    x, y = found.x[found.mask][None], found.y[found.mask][None]
    for beta, expected in zip(lens.ray_trace(x, y), (beta_x, beta_y), strict=True):
        torch.testing.assert_close(beta, torch.full_like(beta, expected), rtol=0, atol=1e-12)
    torch.testing.assert_close(found.magnification[found.mask], lens.magnification(x, y)[0])


@settings(max_examples=12, deadline=None)
@given(
    theta_E=st.floats(0.5, 1.5),
    modulus=st.floats(0, 0.4),
    angle=st.floats(0, 2 * math.pi),
    gamma1=st.floats(-0.1, 0.1),
    gamma2=st.floats(-0.1, 0.1),
    beta_x=st.floats(-0.5, 0.5),
    beta_y=st.floats(-0.5, 0.5),
)
def test_images_are_those_of_lenstronomy(theta_E, modulus, angle, gamma1, gamma2, beta_x, beta_y):
    e1, e2 = modulus * math.cos(angle), modulus * math.sin(angle)
    p = {"theta_E": theta_E, "e1": e1, "e2": e2, "center_x": 0.04, "center_y": -0.02}
    found = images(macro_lens(**p, gamma1=gamma1, gamma2=gamma2), beta_x, beta_y)
    # Away from caustics, where their solver finds every image.
    assume((found.magnification.abs() < 50).all() and (found.magnification.abs() > 0.02).all())
    theirs = LensEquationSolver(
        LensModel(["SIE", "SHEAR"], profile_kwargs_list=[{"NIE": False}, {}])
    )
    x, y = theirs.image_position_from_source(
        beta_x,
        beta_y,
        [p, {"gamma1": gamma1, "gamma2": gamma2}],
        search_window=WINDOW,
        min_distance=0.04,
        precision_limit=1e-13,
        num_iter_max=100,
    )
    assert found.mask.all()
    assert len(x) == len(found.x)
    distance = np.hypot(found.x.numpy()[:, None] - x, found.y.numpy()[:, None] - y)
    assert (distance.min(0) < 1e-8).all()
    assert (distance.min(1) < 1e-8).all()


@settings(max_examples=8, deadline=None)
@given(turn=st.floats(0, 2 * math.pi), depth=st.sampled_from([1e-2, 1e-4, 1e-6]))
def test_two_images_more_inside_a_caustic(turn, depth):
    """A fold: they merge at its inner side, and are gone at the outer."""
    lens = macro_lens()
    (curve,) = critical_curves(lens, window=WINDOW, n_pix=100)
    k = int(turn / (2 * math.pi) * (curve.x.numel() - 1))
    x, y = (v[k].reshape(1, 1).clone().requires_grad_() for v in (curve.x, curve.y))
    (det,) = (1 / lens.magnification(x, y),)
    slope = torch.cat([g.flatten() for g in torch.autograd.grad(det.sum(), (x, y))])
    xx, xy, yx, yy = (v.detach().item() for v in lens.jacobian(x, y))
    # The caustic's normal is the left null vector of A; it points inside where the second
    # derivative of the mapping along the right null vector does.
    null = np.array([-xy, xx]) if abs(xx) + abs(xy) > abs(yx) + abs(yy) else np.array([yy, -yx])
    normal = np.array([-yx, xx]) if abs(xx) + abs(yx) > abs(xy) + abs(yy) else np.array([yy, -xy])
    null, normal = null / np.hypot(*null), normal / np.hypot(*normal)
    # Away from cusps, where the null vector is along the critical curve.
    assume(abs(slope.numpy() @ null) > 0.2 * slope.norm().item())
    h, points = 1e-3, []
    for t in (-1, 0, 1):
        at = (x.detach() + t * h * null[0], y.detach() + t * h * null[1])
        points.append(np.array([v.item() for v in lens.ray_trace(*at)]))
    bend = (points[0] - 2 * points[1] + points[2]) @ normal
    inside = np.sign(bend) * normal
    counts = [len(images(lens, *(points[1] + side * depth * inside)).x) for side in (1, -1)]
    assert counts[0] == counts[1] + 2
    assert counts[0] == 4


def test_an_sis_has_two_images_up_to_its_einstein_radius_and_one_beyond():
    lens = ThinLens([SIE(theta_E=1.0)])
    for beta in (1e-6, 0.3, 0.99):
        found = images(lens, beta, 0.0)
        torch.testing.assert_close(
            found.x, torch.tensor([beta + 1, beta - 1], dtype=torch.float64), rtol=0, atol=1e-12
        )
        expected = torch.tensor([1 + 1 / beta, 1 - 1 / beta], dtype=torch.float64)
        torch.testing.assert_close(found.magnification, expected, rtol=1e-8, atol=0)
    for beta in (1.01, 2.0):
        assert images(lens, beta, 0.0).x.tolist() == pytest.approx([beta + 1], abs=1e-12)


@pytest.mark.parametrize("beta", [0.05, 0.5, 3.0])
@pytest.mark.parametrize("theta_E", [0.01, 0.3, 1.0])
def test_a_point_mass_has_two_images_however_faint(theta_E, beta):
    root = math.sqrt(beta**2 / 4 + theta_E**2)
    lens = ThinLens([PointMass(theta_E=theta_E, center_x=0.1)])
    found = images(lens, 0.1 + beta, 0.0)
    expected = torch.tensor([beta / 2 + root, beta / 2 - root], dtype=torch.float64)
    torch.testing.assert_close(found.x - 0.1, expected, rtol=0, atol=1e-10)
    torch.testing.assert_close(
        found.y.abs(), torch.zeros(2, dtype=torch.float64), rtol=0, atol=1e-10
    )
    u = beta / theta_E
    total = (u * u + 2) / (u * math.sqrt(u * u + 4))
    assert found.magnification.abs().sum().item() == pytest.approx(total, rel=1e-9)
    assert found.magnification.sum().item() == pytest.approx(1, rel=1e-9)


@pytest.mark.parametrize("core", [0.3, 1e-2])
def test_a_cored_lens_has_a_central_image(core):
    b, beta = 1.2, 0.05
    found = images(ThinLens([CoredMass(b, core)]), beta, 0.0)
    # r^3 - beta r^2 + (core^2 - b^2) r - beta core^2 = 0 on the axis.
    roots = np.roots([1, -beta, core**2 - b**2, -beta * core**2])
    np.testing.assert_allclose(np.sort(found.x.numpy()), np.sort(roots.real), rtol=0, atol=1e-10)
    assert (found.magnification[[0, 2]] > 0).all()
    assert found.magnification[1] < 0


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10**6), masses=st.integers(1, 20), gamma1=st.floats(-0.3, 0.3))
def test_no_image_of_point_masses_is_missed(seed, masses, gamma1):
    """Minima and maxima less saddle points are ``1 - n`` behind ``n`` point masses.

    Schneider, Ehlers & Falco 1992, Gravitational Lenses, sect. 5.4, with a pole for each mass. The
    faintest image here has a magnification of 1e-9.
    """
    draw = torch.Generator().manual_seed(seed)
    x, y, log = torch.rand(3, masses, dtype=torch.float64, generator=draw)
    points = PointMass(theta_E=10 ** (1.5 * log - 2), center_x=3 * x - 1.5, center_y=3 * y - 1.5)
    lens = ThinLens([Population(points), Shear(gamma1=gamma1, gamma2=0.0)])
    found = images(lens, 0.21, -0.13, window=20.0)
    assert found.magnification.sign().sum().item() == 1 - masses


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10**6), clumps=st.integers(0, 4), core=st.sampled_from([1e-3, 0.1]))
def test_a_lens_without_singularity_has_an_odd_number_of_images(seed, clumps, core):
    """Burke 1981 (ApJ 244, L1): one more of even parity than of odd."""
    rows = torch.rand(clumps, 3, generator=torch.Generator().manual_seed(seed)).double().tolist()
    parts = [CoredMass(10 ** (b - 1.5), core, 2 * x - 1, 2 * y - 1) for b, x, y in rows]
    lens = ThinLens([CoredMass(1.1, core), Shear(gamma1=0.1, gamma2=-0.05), *parts])
    found = images(lens, 0.12, 0.07, window=16.0)
    assert found.magnification.sign().sum().item() == 1


def test_every_subhalo_of_points_has_an_image_of_its_own():
    """Each of n point masses on a smooth lens adds at least one image (Petters 1992)."""
    at = torch.tensor([[0.9, 0.5], [-0.8, -0.9], [0.3, -0.4]], dtype=torch.float64)
    points = PointMass(theta_E=torch.full((3,), 0.02), center_x=at[:, 0], center_y=at[:, 1])
    lens = ThinLens([SIE(**MACRO), Population(points)])
    found = images(lens, 0.05, 0.02)
    assert len(found.x) >= 4 + 3
    assert_images_solve_the_lens_equation(lens, found, 0.05, 0.02)
    near = torch.hypot(found.x[:, None] - at[:, 0], found.y[:, None] - at[:, 1]).amin(0)
    assert (near < 1e-2).all()


def test_images_come_in_the_order_of_their_arrival_or_of_their_brightness():
    lens = macro_lens()
    found = images(lens, 0.05, 0.03)
    assert len(found.x) == 4
    assert_images_solve_the_lens_equation(lens, found, 0.05, 0.03)
    time = lens.fermat_potential(found.x[None], found.y[None])[0]
    assert (time.diff() > 0).all()
    # Two minima before two saddle points.
    assert found.magnification.sign().tolist() == [1, 1, -1, -1]
    found = images(lens, 0.05, 0.03, order="magnification")
    assert (found.magnification.abs().diff() < 0).all()


def test_a_batch_of_sources_is_padded():
    lens = macro_lens()
    beta_x = torch.tensor([0.05, 0.4, 2.5], dtype=torch.float64)
    beta_y = torch.tensor([0.03, 0.1, 0.0])
    found = images(lens, beta_x, beta_y)
    assert found.mask.sum(-1).tolist() == [4, 2, 1]
    assert found.x.shape == found.magnification.shape == (3, 4)
    for i in range(3):
        alone, mask = images(lens, beta_x[i].item(), beta_y[i].item()), found.mask[i]
        for name in ("x", "y", "magnification"):
            many = getattr(found, name)[i]
            torch.testing.assert_close(many[mask], getattr(alone, name), rtol=1e-9, atol=1e-11)
            assert (many[~mask] == 0).all()


def test_a_batch_of_lenses():
    theta_E = torch.tensor([0.7, 1.2, 1.4], dtype=torch.float64)
    together = images(macro_lens(theta_E=theta_E), 0.05, 0.3)
    for i in range(3):
        alone = images(macro_lens(theta_E=theta_E[i].item()), 0.05, 0.3)
        mask = together.mask[i]
        torch.testing.assert_close(together.x[i][mask], alone.x, rtol=0, atol=1e-11)


def test_a_source_that_is_not_seen_has_no_images():
    found = images(macro_lens(), 0.0, 3.5, window=2.0)
    assert found.x.shape == found.mask.shape == (0,) or not found.mask.any()
    found = images(macro_lens(), torch.tensor([0.05, 9.0]), torch.tensor([0.03, 9.0]), window=3.0)
    assert found.mask.sum(-1).tolist() == [4, 0]


def test_a_ring_is_no_list_of_images():
    with pytest.raises(ValueError, match="point caustic, and its image is a ring"):
        images(ThinLens([SIE(theta_E=1.0)]), 0.0, 0.0)


GRADIENT = {"theta_E": 1.2, "e1": 0.15, "gamma2": 0.03, "center_x": 0.04}

GRADIENT |= {"beta_x": 0.05, "beta_y": 0.03}


@pytest.mark.parametrize("name", ["x", "y", "magnification"])
def test_gradients_in_lens_and_source_are_right(name, check_gradients):
    def evaluate(p):
        lens = macro_lens(**{k: p[k] for k in ("theta_E", "e1", "gamma2", "center_x")})
        return getattr(images(lens, p["beta_x"], p["beta_y"]), name)

    check_gradients(evaluate, GRADIENT)


def test_gradients_are_finite_where_the_list_is_padded():
    theta_E = torch.tensor(1.2, dtype=torch.float64, requires_grad=True)
    lens = macro_lens(theta_E=theta_E)
    beta_x = torch.tensor([0.05, 20.0], dtype=torch.float64, requires_grad=True)
    found = images(lens, beta_x, 0.02, window=4.0)
    assert not found.mask[1].any()
    (found.x + found.y + found.magnification).sum().backward()
    assert torch.isfinite(theta_E.grad)
    assert torch.isfinite(beta_x.grad).all()
    assert beta_x.grad[1] == 0


def test_a_source_moves_its_image_by_the_magnification_matrix():
    beta = torch.tensor([0.3, 0.1], dtype=torch.float64)
    lens = macro_lens()
    jacobian = torch.autograd.functional.jacobian(
        lambda b: torch.stack([images(lens, b[0], b[1]).x, images(lens, b[0], b[1]).y]), beta
    )
    found = images(lens, 0.3, 0.1)
    det = jacobian[0, :, 0] * jacobian[1, :, 1] - jacobian[0, :, 1] * jacobian[1, :, 0]
    torch.testing.assert_close(det, found.magnification, rtol=1e-9, atol=0)


def test_images_behind_two_planes():
    H0 = torch.tensor(70.0, dtype=torch.float64, requires_grad=True)
    parts = [SIE(**MACRO), SIE(theta_E=0.2, center_x=0.9, center_y=0.7)]
    lens = MultiPlane(parts, [0.3, 0.6], z_source=1.5, cosmology=FlatLambdaCDM(H0=H0, Om0=0.3))
    found = images(lens, 0.05, 0.03)
    assert len(found.x) >= 2
    assert_images_solve_the_lens_equation(lens, found, 0.05, 0.03)
    time = lens.arrival_time(found.x[None], found.y[None])[0]
    assert (time.diff() > 0).all()
    # All distances, and with them all delays, go as 1 / H0.
    (gradient,) = torch.autograd.grad(time[1] - time[0], H0)
    assert gradient.item() == pytest.approx(-(time[1] - time[0]).item() / 70, rel=1e-9)


def test_bad_requests_are_refused():
    lens = macro_lens()
    for bad in (0.0, -1.0, math.nan):
        with pytest.raises(ValueError, match=r"^window must be positive and finite"):
            images(lens, 0.0, 0.0, window=bad)
    with pytest.raises(ValueError, match=r"^n_pix must be at least 4"):
        images(lens, 0.0, 0.0, n_pix=2)
    with pytest.raises(ValueError, match=r"^order must be 'arrival' or 'magnification'"):
        images(lens, 0.0, 0.0, order="redshift")
    with pytest.raises(ValueError, match=r"batches must have one shape, got beta_x \(2,\), beta_y"):
        images(lens, torch.zeros(2), torch.zeros(3))
    with pytest.raises(ValueError, match=r"of shape \(B,\), got batch \(2, 3\)"):
        images(lens, torch.zeros(2, 3), 0.0)


@pytest.mark.parametrize("bad", [math.nan, torch.tensor([0.1, math.inf]), None, "0.1", [None]])
def test_a_source_is_at_a_finite_position(bad):
    with pytest.raises(ValueError, match=r"^beta_y must be "):
        image_positions(ThinLens([SIE(theta_E=1.0)]), 0.0, bad, window=4.0)


def test_the_batch_may_be_that_of_a_convergence_map():
    """No parameter of this deflector carries the batch."""
    y, x = torch.meshgrid(*[torch.linspace(-2, 2, 41, dtype=torch.float64)] * 2, indexing="ij")
    kappa = torch.stack([s * torch.exp(-(x**2 + y**2)) for s in (1.2, 1.6)])
    maps = PixelatedConvergence(kappa=kappa, pixel_scale=0.1)
    found = image_positions(ThinLens([maps]), 0.1, 0.05, window=3.5)
    for i in range(2):
        one = ThinLens([PixelatedConvergence(kappa=kappa[i], pixel_scale=0.1)])
        alone = image_positions(one, 0.1, 0.05, window=3.5)
        torch.testing.assert_close(found.x[i][found.mask[i]], alone.x, rtol=0, atol=1e-9)


@pytest.mark.parametrize("centre", [(3600.123, -1800.7), (-6.5e5, 3.2e5)])
def test_images_and_delays_at_survey_coordinates_are_lenstronomys_at_the_origin(centre):
    epl = {"theta_E": 1.2, "gamma": 2.1, "e1": 0.15, "e2": -0.1}
    at, shear = {"center_x": 0.03, "center_y": -0.02}, {"gamma1": 0.04, "gamma2": -0.03}
    source = 0.08, 0.05
    theirs = LensModel(["EPL", "SHEAR"])
    solver = LensEquationSolver(theirs)
    expected = np.array(
        solver.image_position_from_source(
            *source, [epl | at, shear], min_distance=0.05, search_window=6, precision_limit=1e-12
        )
    )
    fermat = theirs.fermat_potential(*expected, [epl | at, shear], *source)
    order = np.argsort(fermat)
    x, y = centre
    lens = ThinLens(
        [
            EPL(**epl, center_x=x + 0.03, center_y=y - 0.02),
            Shear(**shear, ra_0=x, dec_0=y),
        ]
    )
    beta = x + source[0], y + source[1]
    images = image_positions(lens, *beta, window=6.0, center_x=x, center_y=y)
    found = torch.stack([images.x - x, images.y - y]).numpy()
    np.testing.assert_allclose(found, expected[:, order], rtol=0, atol=2e-9)
    potential = lens.fermat_potential(images.x[None], images.y[None], *beta)[0].numpy()
    differences = potential - potential[0], fermat[order] - fermat[order][0]
    np.testing.assert_allclose(*differences, rtol=0, atol=1e-9)
