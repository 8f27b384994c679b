"""Critical curves and caustics."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lensphys import NIE, SIE, MultiPlane, PointMass, Shear, ThinLens, critical_curves
from lensphys.cosmology import flat_lambda_cdm


class CoredMass:
    """``alpha = b^2 r / (r^2 + core^2)``: a lens without a singularity.

    Has a radial critical curve and a central image.
    """

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


def determinant(lens, curve):
    return 1 / lens.magnification(curve.x[None], curve.y[None])[0]


ellipticities = st.tuples(st.floats(0, 0.6), st.floats(0, 2 * math.pi))


@settings(max_examples=10, deadline=None)
@given(theta_E=st.floats(0.3, 1.5), ellipticity=ellipticities, center=st.floats(-0.3, 0.3))
def test_the_critical_curve_of_an_sie_is_an_ellipse(theta_E, ellipticity, center):
    """It lies at kappa = 1/2, and is the only one (Kormann et al. 1994, sect. 3)."""
    modulus, angle = ellipticity
    e1, e2 = modulus * math.cos(angle), modulus * math.sin(angle)
    lens = ThinLens([SIE(theta_E=theta_E, e1=e1, e2=e2, center_x=center, center_y=-0.1)])
    (curve,) = critical_curves(lens, window=8.0)
    assert curve.kind == "tangential"
    assert (determinant(lens, curve).abs() < 1e-10).all()
    q, phi = (1 - modulus) / (1 + modulus), angle / 2
    x, y = curve.x - center, curve.y + 0.1
    along, across = x * math.cos(phi) + y * math.sin(phi), y * math.cos(phi) - x * math.sin(phi)
    radius = torch.sqrt(q * along**2 + across**2 / q)
    torch.testing.assert_close(radius, torch.full_like(radius, theta_E), rtol=1e-9, atol=0)
    assert curve.area() == pytest.approx(math.pi * theta_E**2, rel=5e-3)
    assert curve.x[0] == curve.x[-1]
    assert curve.y[0] == curve.y[-1]


@pytest.mark.parametrize("q", [0.3, 0.6, 0.9])
def test_the_caustic_of_an_sie_is_that_of_kormann(q):
    """Kormann, Schneider & Bartelmann 1994, sect. 4: the cusps on the axes of the ellipse."""
    e1 = (1 - q) / (1 + q)
    (curve,) = critical_curves(ThinLens([SIE(theta_E=1.0, e1=e1)]), window=6.0, n_pix=400)
    f = math.sqrt(1 - q * q)
    cusp_x = math.sqrt(1 / q) - math.sqrt(q) / f * math.asin(f)
    cusp_y = math.sqrt(q) - math.sqrt(q) / f * math.asinh(f / q)
    assert curve.beta_x.max().item() == pytest.approx(abs(cusp_x), abs=2e-3)
    assert curve.beta_x.min().item() == pytest.approx(-abs(cusp_x), abs=2e-3)
    assert curve.beta_y.max().item() == pytest.approx(abs(cusp_y), abs=2e-3)


@pytest.mark.parametrize("gamma", [0.05, 0.2])
def test_the_critical_curve_of_an_sis_in_a_shear(gamma):
    """``r = theta_E (1 - gamma cos 2 phi) / (1 - gamma^2)``, and an astroid of a caustic."""
    lens = ThinLens([SIE(theta_E=1.1), Shear(gamma1=gamma, gamma2=0.0)])
    (curve,) = critical_curves(lens, window=6.0)
    r, phi = torch.hypot(curve.x, curve.y), torch.atan2(curve.y, curve.x)
    expected = 1.1 * (1 - gamma * torch.cos(2 * phi)) / (1 - gamma**2)
    torch.testing.assert_close(r, expected, rtol=1e-10, atol=0)
    astroid_x = -2 * 1.1 * gamma / (1 + gamma) * torch.cos(phi) ** 3
    torch.testing.assert_close(curve.beta_x, astroid_x, rtol=0, atol=1e-9)


def test_the_critical_curve_of_a_point_mass_is_its_einstein_ring():
    lens = ThinLens([PointMass(theta_E=0.9, center_x=0.2)])
    (curve,) = critical_curves(lens, window=4.0)
    r = torch.hypot(curve.x - 0.2, curve.y)
    torch.testing.assert_close(r, torch.full_like(r, 0.9), rtol=1e-10, atol=0)
    assert (torch.hypot(curve.beta_x - 0.2, curve.beta_y) < 1e-9).all()


def test_a_cored_lens_has_a_radial_critical_curve_too():
    b, core = 1.2, 0.3
    tangential, radial = critical_curves(ThinLens([CoredMass(b, core)]), window=4.0)
    assert [tangential.kind, radial.kind] == ["tangential", "radial"]
    r = torch.hypot(tangential.x, tangential.y)
    torch.testing.assert_close(r, torch.full_like(r, math.sqrt(b * b - core * core)))
    # 1 - d alpha / dr = 0.
    r2 = (radial.x**2 + radial.y**2).mean().item()
    assert b * b * (core**2 - r2) / (core**2 + r2) ** 2 == pytest.approx(1, rel=1e-9)
    # Its caustic is the circle inside which a source has three images.
    beta = torch.hypot(radial.beta_x, radial.beta_y)
    torch.testing.assert_close(beta, beta[0].expand_as(beta), rtol=1e-8, atol=0)
    r = math.sqrt(r2)
    assert beta[0].item() == pytest.approx(abs(r - b * b * r / (r2 + core**2)), rel=1e-9)
    assert radial.caustic_area() == pytest.approx(math.pi * beta[0].item() ** 2, rel=1e-2)


def test_a_strong_shear_makes_a_chang_refsdal_lens_split():
    """Beyond a shear of 1 its critical curves are two, on either side of the mass."""
    weak, strong = (
        critical_curves(
            ThinLens([PointMass(theta_E=1.0), Shear(gamma1=gamma, gamma2=0.0)]), window=8.0
        )
        for gamma in (0.3, 1.4)
    )
    assert [len(weak), len(strong)] == [1, 2]


@pytest.mark.parametrize("n_pix", [50, 60, 100, 101, 150])
@pytest.mark.parametrize("center", [0.0, 0.02, 0.1])
def test_no_curve_is_made_up_at_a_singular_centre(n_pix, center):
    lens = ThinLens([SIE(theta_E=0.25, e1=0.1, center_x=center, center_y=center)])
    (curve,) = critical_curves(lens, window=4.0, n_pix=n_pix)
    assert curve.area() == pytest.approx(math.pi * 0.25**2, rel=0.1)


def test_a_lens_that_is_too_weak_has_none():
    assert critical_curves(ThinLens([Shear(gamma1=0.1, gamma2=0.0)]), window=4.0) == []
    assert critical_curves(ThinLens([CoredMass(0.2, 0.5)]), window=4.0) == []


def test_the_curves_of_two_planes():
    cosmology = flat_lambda_cdm(70, 0.3, 0.05)
    parts = [SIE(theta_E=1.0), SIE(theta_E=0.3, center_x=0.8, center_y=0.3)]
    lens = MultiPlane(parts, [0.3, 0.6], z_source=1.5, cosmology=cosmology)
    curves = critical_curves(lens, window=6.0)
    assert curves
    for curve in curves:
        assert (determinant(lens, curve).abs() < 1e-10).all()
        beta = lens.ray_trace(curve.x[None], curve.y[None])
        np.testing.assert_array_equal(torch.stack(beta)[:, 0], [curve.beta_x, curve.beta_y])


def test_a_curve_that_leaves_the_window_is_refused():
    with pytest.raises(ValueError, match=r"leaves the window of 2 arcsec .* enlarge it"):
        critical_curves(ThinLens([SIE(theta_E=1.0, center_x=0.5)]), window=2.0)


def test_bad_requests_are_refused():
    lens = ThinLens([SIE(theta_E=torch.ones(2))])
    with pytest.raises(ValueError, match=r"critical curves are those of one lens, got a batch"):
        critical_curves(lens, window=4.0)
    for bad in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match=r"^window must be positive and finite"):
            critical_curves(lens, window=bad)
    with pytest.raises(ValueError, match=r"^n_pix must be at least 4"):
        critical_curves(lens, window=4.0, n_pix=3)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_the_curves_are_the_same_where_no_gradients_are_wanted(mode):
    lens = ThinLens([SIE(theta_E=1.0, e1=0.1), Shear(gamma1=0.05, gamma2=0.0)])
    with mode():
        found = critical_curves(lens, window=4.0)
    for ours, expected in zip(found, critical_curves(lens, window=4.0), strict=True):
        torch.testing.assert_close(ours.x, expected.x, rtol=0, atol=0)


@pytest.mark.parametrize("bad", [math.nan, math.inf, None, "0"])
def test_the_middle_of_the_window_is_finite(bad):
    with pytest.raises(ValueError, match=r"^center_y must be a finite number"):
        critical_curves(ThinLens([SIE(theta_E=1.0)]), window=4.0, center_y=bad)


@pytest.mark.parametrize("centre", [(3600.123, -1800.7), (-6.5e5, 3.2e5)])
def test_curves_at_survey_coordinates_are_those_at_the_origin(centre):
    def curves(x, y):
        clumps = PointMass(theta_E=0.15, center_x=x + 1.15, center_y=y + 0.2)
        core = NIE(theta_E=1.2, e1=0.15, e2=-0.1, s_scale=0.03, center_x=x, center_y=y)
        lens = ThinLens([core, clumps])
        return critical_curves(lens, window=6.0, n_pix=150, center_x=x, center_y=y)

    # Centres are rounded to 1e-10 arcsec, and magnified where the curves are steep.
    there, here = curves(*centre), curves(0.0, 0.0)
    assert [(c.kind, len(c.x)) for c in there] == [(c.kind, len(c.x)) for c in here]
    for far, near in zip(there, here, strict=True):
        assert far.area() == pytest.approx(near.area(), abs=1e-7)
        assert far.caustic_area() == pytest.approx(near.caustic_area(), abs=1e-7)
        x, y = far.x - centre[0], far.y - centre[1]
        torch.testing.assert_close((x, y), (near.x, near.y), rtol=0, atol=1e-7)
