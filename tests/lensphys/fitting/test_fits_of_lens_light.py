"""Fits of the light of a lens with a steep core."""

import pytest
import torch

from lensphys import SIE, GaussianPSF, Sersic, Shear, ThinLens, fit, pixel_grid, render


def test_the_light_of_a_lens_with_a_steep_core_is_fitted_with_one_ray_a_pixel():
    x, y = pixel_grid(40, 0.08, dtype=torch.float64)
    psf = GaussianPSF(fwhm=0.12, pixel_scale=0.08)
    lens = ThinLens(
        [SIE(theta_E=0.9, e1=0.1, e2=0.0, center_x=0.02), Shear(gamma1=0.02, gamma2=0.0)]
    )
    source = Sersic(amplitude=20.0, R_sersic=0.15, n_sersic=1.0, center_x=0.05, center_y=0.08)
    shape = {"e1": 0.1, "e2": 0.05, "center_x": 0.01, "center_y": -0.02}
    light = Sersic(amplitude=20.0, R_sersic=0.6, n_sersic=4.0, **shape)
    dark = Sersic(amplitude=0.0, R_sersic=0.1, n_sersic=1.0)
    image = render(lens, source, x, y, psf=psf)
    # Rays enough for the core, which the fit integrates.
    rays = {"supersampling": 21, "integrate_cores": False}
    image = image + render(lens, dark, x, y, psf=psf, lens_light=light, **rays)
    start = {"theta_E": 0.9, "source_R_sersic": 0.15, "lens_light_n_sersic": 3.0}
    result = fit(image, 0.02, pixel_scale=0.08, psf=psf, lens_light=True, start=start)
    assert result.chi2_dof.item() < 0.05
    assert result.params["lens_light_n_sersic"].item() == pytest.approx(4.0, rel=0.01)
    assert result.params["theta_E"].item() == pytest.approx(0.9, rel=1e-3)


@pytest.mark.parametrize("n_sersic", [4.0, 6.0])
def test_the_core_of_a_cuspy_lens_is_fitted_down_to_the_noise_by_default(n_sersic):
    x, y = pixel_grid(40, 0.08, dtype=torch.float64)
    psf = GaussianPSF(fwhm=0.12, pixel_scale=0.08)
    lens = ThinLens([SIE(theta_E=0.9, e1=0.1, e2=0.0), Shear(gamma1=0.02, gamma2=0.0)])
    source = Sersic(amplitude=20.0, R_sersic=0.15, n_sersic=1.0, center_x=0.05, center_y=0.08)
    light = Sersic(amplitude=20.0, R_sersic=0.6, n_sersic=n_sersic, center_x=0.02, center_y=-0.03)
    dark = Sersic(amplitude=0.0, R_sersic=0.1, n_sersic=1.0)
    clean = render(lens, source, x, y, psf=psf, supersampling=3)
    rays = {"supersampling": 41, "integrate_cores": False}
    clean = clean + render(lens, dark, x, y, psf=psf, lens_light=light, **rays)
    sigma = torch.sqrt(0.01**2 + clean / 2000.0)
    generator = torch.Generator().manual_seed(4)
    image = clean + sigma * torch.randn(clean.shape, generator=generator, dtype=clean.dtype)
    result = fit(image, sigma, pixel_scale=0.08, psf=psf, lens_light=True)
    core = torch.hypot(x, y) < 0.3
    per_pixel = result.residual[0][core].square().mean().item()
    # 44 pixels: chi^2 per pixel scatters by 0.2.
    assert per_pixel < 1.6
    assert result.params["theta_E"].item() == pytest.approx(0.9, rel=0.01)
