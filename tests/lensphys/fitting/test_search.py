"""Search for the best fit: from what is known, beside the light of a lens, and by retries."""

import pytest
import torch

from lensphys import SIE, Fitter, GaussianPSF, Sersic, Shear, ThinLens, fit, pixel_grid, render
from lensphys.fitting.scene import LensScene
from tests.lensphys.fitting.mocks import KIND, draw, image_of, noise_like

SCALE = 0.05

PSF = GaussianPSF(fwhm=0.1, pixel_scale=SCALE)

LENS = ThinLens([SIE(theta_E=1.2, e1=0.08, e2=-0.05), Shear(gamma1=0.02, gamma2=0.02)])

SOURCE = {"R_sersic": 0.12, "n_sersic": 1.0, "e1": 0.1, "e2": 0.1}

LIGHT = {"amplitude": 90.0, "R_sersic": 0.9, "n_sersic": 4.0, "e1": 0.05, "e2": -0.04}


def observe(*lights, lens=LENS, at=(0.12, -0.06), brightness=15.0, seed=3):
    """Image of 5 arcsec of a shining lens, and its noise."""
    x, y = pixel_grid(101, SCALE)
    source = Sersic(amplitude=brightness, center_x=at[0], center_y=at[1], **SOURCE)
    light = [Sersic(**{**LIGHT, **changes}) for changes in lights or ({},)]
    image = render(lens, source, x, y, psf=PSF, lens_light=light)
    sigma = torch.sqrt(0.004**2 + image / 2000.0)
    noise = torch.randn(image.shape, generator=torch.Generator().manual_seed(seed))
    return image + sigma * noise, sigma


@pytest.fixture(scope="module")
def model():
    """Fitter of shining lenses; its templates are made once."""
    return Fitter(pixel_scale=SCALE, psf=PSF, lens_light=True)


STARTS = {
    "nothing": None,
    "the radius": {"theta_E": 1.2},
    "nearly the radius": {"theta_E": 1.3},
    "the light": {"lens_light_R_sersic": 0.9, "lens_light_n_sersic": 4.0},
    "the source": {"source_R_sersic": 0.12, "source_center_x": 0.12, "source_center_y": -0.06},
}


@pytest.mark.parametrize("start", STARTS.values(), ids=STARTS)
def test_what_is_known_of_a_shining_lens_helps(start, model):
    image, sigma = observe()
    result = model(image, sigma, start=start)
    assert result.params["theta_E"].item() == pytest.approx(1.2, rel=0.02)
    assert result.chi2_dof.item() < 1.1
    assert result.converged.item()


LENSES = {
    "a small ring": {"lens": ThinLens([SIE(theta_E=0.8, e1=0.08, e2=-0.05)]), "at": (0.2, 0.1)},
    "a faint source": {"brightness": 5.0},
    "a compact lens": {"lights": ({"R_sersic": 0.3, "amplitude": 300.0},)},
    "a disc": {"lights": ({"n_sersic": 1.0},)},
}


@pytest.mark.parametrize("changes", LENSES.values(), ids=LENSES)
def test_a_shining_lens_is_found_without_a_start(changes, model):
    changes = dict(changes)
    image, sigma = observe(*changes.pop("lights", ()), **changes)
    result = model(image, sigma)
    truth = 0.8 if "lens" in changes else 1.2
    assert result.params["theta_E"].item() == pytest.approx(truth, rel=0.02)
    assert result.chi2_dof.item() < 1.1


def test_the_source_does_not_take_up_the_halo_of_the_lens(model):
    halo = {"amplitude": 5.0, "R_sersic": 2.5, "n_sersic": 1.0, "e1": -0.1}
    image, sigma = observe({"R_sersic": 0.5}, halo, brightness=4.0)
    result = model(image, sigma)
    assert result.params["source_R_sersic"].item() < 1.2 * result.params["theta_E"].item()
    bounds = {"source_R_sersic": (0.01, 4.0)}
    given = {"pixel_scale": SCALE, "psf": PSF, "lens_light": True, "max_steps": 2, "n_starts": 1}
    wide = fit(image, sigma, bounds=bounds, **given)
    assert wide.problem.bounds.high[0, wide.names.index("source_R_sersic")].item() == 4.0


def test_a_dark_lens_is_found_from_its_radius_alone():
    truth = draw(16, seed=71)
    clean = image_of(truth)
    noise = noise_like(clean, 72)
    sigma = clean.amax((1, 2)) / 30
    images = clean + sigma[:, None, None] * noise
    result = fit(images, sigma, **KIND, start={"theta_E": truth["theta_E"]})
    dof = 32 * 32 - 14
    good = result.chi2_dof * dof < 1.02 * noise.square().sum((1, 2))
    assert good.double().mean() > 0.95


def test_the_lens_is_on_the_side_of_its_source_where_its_light_is():
    scene = LensScene(lens_light=True)
    truth = draw(8, seed=73, scene=scene)
    for name in ("gamma1", "gamma2", "e1", "e2"):
        truth[name] *= 0.1
    for name in ("center_x", "center_y"):
        truth[f"lens_light_{name}"] = truth[name]
    clean = image_of(truth, scene=scene)
    sigma = clean.amax((1, 2)) / 100
    images = clean + sigma[:, None, None] * noise_like(clean, 74)
    result = fit(images, sigma, **KIND, lens_light=True)
    for name in ("center_x", "center_y"):
        assert (result.params[name] - truth[name]).abs().max() < 0.05
