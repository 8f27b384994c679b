"""A new mass profile is one class and one line: it then traces rays, renders, and is fitted."""

import dataclasses
import importlib
from typing import ClassVar

import pytest
import torch

import lensphys as lp
from lensphys import fit_range
from lensphys.fit_range import FitRange
from lensphys.light import LIGHTS
from lensphys.mass import MASSES
from lensphys.mass.base import MassProfile
from lensphys.parameters import Parameter, parameter

PIXEL = 0.08
KIND = {"pixel_scale": PIXEL, "psf": lp.GaussianPSF(fwhm=0.1, pixel_scale=PIXEL)}
CENTRE = {"center_x": -0.02, "center_y": 0.03}
TRUTH = {"theta_E": 1.1, "e1": 0.08, "e2": -0.05, "core": 0.12} | CENTRE


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class SoftEllipse(MassProfile):
    """Isothermal potential with a core whose contours are ellipses.

    Kassiola & Kovner 1993 (ApJ 417, 450), sect. 2.
    """

    ellipticity: ClassVar = ("e1", "e2")

    theta_E: Parameter = parameter(unit="arcsec", low=0.0, fit=fit_range.EINSTEIN_RADIUS)
    e1: Parameter = parameter(0.0, fit=fit_range.E1)
    e2: Parameter = parameter(0.0, fit=fit_range.E2)
    core: Parameter = parameter(
        unit="arcsec",
        low=0.0,
        open_low=True,
        fit=FitRange(low=1e-3, high=0.4, start=0.02, unit="half field", log=True),
    )
    center_x: Parameter = parameter(0.0, unit="arcsec", fit=fit_range.CENTER_X)
    center_y: Parameter = parameter(0.0, unit="arcsec", fit=fit_range.CENTER_Y)

    def potential(self, x, y):
        p, u, v = self._stretch(x, y)
        x, y = x - p["center_x"], y - p["center_y"]
        return p["theta_E"] * torch.sqrt(p["core"] ** 2 + x * u + y * v)

    def deflection(self, x, y):
        p, u, v = self._stretch(x, y)
        w = p["theta_E"] ** 2 / self.potential(x, y)
        return w * u, w * v

    def hessian(self, x, y):
        p, u, v = self._stretch(x, y)
        psi = self.potential(x, y)
        w, w3 = p["theta_E"] ** 2 / psi, p["theta_E"] ** 4 / psi**3
        e1, e2 = p["e1"], p["e2"]
        return w * (1 - e1) - w3 * u * u, -w * e2 - w3 * u * v, w * (1 + e1) - w3 * v * v

    def _stretch(self, x, y):
        p = self.align(x)
        x, y = x - p["center_x"], y - p["center_y"]
        return p, (1 - p["e1"]) * x - p["e2"] * y, (1 + p["e1"]) * y - p["e2"] * x


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    monkeypatch.setitem(MASSES, "SoftEllipse", f"{__name__}:SoftEllipse")


def lens(**changed):
    shear = lp.Shear(gamma1=0.03, gamma2=-0.02)
    return lp.ThinLens([SoftEllipse(**TRUTH | changed), shear])


def source(shift=0.0):
    return lp.Sersic(
        amplitude=80.0, R_sersic=0.2, n_sersic=1.2, e1=0.1, e2=-0.1, center_x=0.08 + shift
    )


def mock(dtype=torch.float64, number=3):
    """Images of one lens in front of sources at several places, and the noise."""
    x, y = lp.pixel_grid(48, PIXEL, dtype=dtype)
    shift = 0.08 * torch.arange(number, dtype=dtype)
    image = lp.render(lens(), source(shift), x, y, psf=KIND["psf"])
    sigma = image.amax((1, 2)) / 50
    noise = torch.randn(image.shape, generator=torch.Generator().manual_seed(0), dtype=dtype)
    return image + sigma[:, None, None] * noise, sigma


def test_a_new_profile_is_refused_out_of_the_range_that_it_declares():
    with pytest.raises(ValueError, match=r"core must be finite and in \(0, inf"):
        SoftEllipse(theta_E=1.0, core=0.0)
    with pytest.raises(ValueError, match=r"e1\^2 \+ e2\^2 must be"):
        SoftEllipse(theta_E=1.0, core=0.1, e1=0.9, e2=0.9)


def test_a_new_profile_traces_rays_with_derivatives(check_gradients):
    x, y = lp.pixel_grid((3, 4), 0.31, dtype=torch.float64)
    beta_x, beta_y = lens().ray_trace(x, y)
    alpha = SoftEllipse(**TRUTH).deflection(x, y)
    torch.testing.assert_close(beta_x, x - alpha[0] - 0.03 * x + 0.02 * y)
    torch.testing.assert_close(beta_y, y - alpha[1] + 0.02 * x + 0.03 * y)
    check_gradients(lambda p: SoftEllipse(**p).deflection(x, y), TRUTH)
    at = x.clone().requires_grad_(), y.clone().requires_grad_()
    slope = torch.autograd.grad(SoftEllipse(**TRUTH).potential(*at).sum(), at)
    torch.testing.assert_close(SoftEllipse(**TRUTH).deflection(x, y), slope)


def test_a_new_profile_is_rendered_with_gradients(check_gradients):
    x, y = lp.pixel_grid((6, 5), 0.31, dtype=torch.float64)
    check_gradients(lambda p: lp.render(lens(**p), source(), x, y), TRUTH)


def test_a_new_profile_is_fitted_by_its_name():
    images, sigma = mock()
    result = lp.fit(images, sigma, mass="SoftEllipse", **KIND)
    assert result.converged.all()
    assert (result.chi2_dof - 1).abs().max() < 0.1
    assert isinstance(result.lens.deflectors[0], SoftEllipse)
    for name, value in (TRUTH | {"gamma1": 0.03, "gamma2": -0.02}).items():
        off = (result.params[name] - value).abs()
        assert (off < 4 * result.errors[name]).all(), name
        assert (result.errors[name] < (0.02 if "center" not in name else 0.05)).all(), name


def test_what_is_fitted_of_a_new_profile_has_gradients_by_the_image():
    images, sigma = mock(number=1)
    images.requires_grad_()
    start = TRUTH | {"source_amplitude": 80.0, "source_R_sersic": 0.2, "source_center_x": 0.08}
    result = lp.fit(images, sigma, mass="SoftEllipse", start=start, tolerance=1e-10, **KIND)
    (slope,) = torch.autograd.grad(result.params["core"].sum(), images)
    assert result.converged.all()
    step = 1e-3 * sigma * torch.sign(slope)
    cores = [
        lp.fit(
            images.detach() + side * step,
            sigma,
            mass="SoftEllipse",
            tolerance=1e-10,
            start={name: v.detach() for name, v in result.params.items()},
            **KIND,
        ).params["core"]
        for side in (-1, 1)
    ]
    expected = (slope * step).sum((1, 2)) * 2
    torch.testing.assert_close(cores[1] - cores[0], expected, rtol=1e-2, atol=0)


def test_the_fit_range_of_a_new_profile_can_be_changed_and_its_parameters_fixed():
    images, sigma = mock(torch.float32, 1)
    given = {"mass": "SoftEllipse", "max_steps": 10, **KIND}
    bounds = {"core": (0.2, 0.3)}
    found = lp.fit(images, sigma, bounds=bounds, fixed={"e2": -0.05}, **given).params
    assert 0.2 < found["core"].item() < 0.3
    assert found["e2"].item() == pytest.approx(-0.05)
    with pytest.raises(ValueError, match="bounds of core must be positive"):
        lp.fit(images, sigma, bounds={"core": (-0.1, 0.3)}, **given)
    with pytest.raises(ValueError, match=r"bounds of e1 must lie within -0\.7 and 0\.7"):
        lp.fit(images, sigma, bounds={"e1": (-0.9, 0.3)}, **given)


def test_a_name_that_is_not_registered_is_refused_with_those_that_are(monkeypatch):
    monkeypatch.delitem(MASSES, "SoftEllipse")
    images, sigma = mock(torch.float32, 1)
    with pytest.raises(ValueError, match="got 'SoftEllipse'") as refused:
        lp.fit(images, sigma, mass="SoftEllipse", **KIND)
    assert str(refused.value) == "mass must be one of SIE, EPL, got 'SoftEllipse'"


@pytest.mark.parametrize("registry", [MASSES, LIGHTS], ids=["mass", "light"])
def test_every_line_of_a_registry_is_a_public_class_of_that_name(registry):
    for name, line in registry.items():
        module, _, attribute = line.partition(":")
        assert attribute == name
        if name != "SoftEllipse":
            assert getattr(importlib.import_module(module), name) is getattr(lp, name)


def test_a_profile_without_fit_ranges_says_what_it_lacks():
    with pytest.raises(ValueError, match=r"'NFW', which has no fit range of theta_E, .* alpha_Rs"):
        lp.Fitter(pixel_scale=PIXEL, mass="NFW")
