"""Light of a lens that is fitted before the arcs are known."""

import pytest
import torch

from lensphys import pixel_grid
from lensphys.fitting.bounds import Bounds
from lensphys.fitting.light_first import fit_light, soften
from lensphys.fitting.priors import Priors
from lensphys.fitting.problem import SersicProblem
from lensphys.fitting.scene import LensScene
from lensphys.rendering import Pixels
from tests.lensphys.fitting.mocks import PIXEL, PSF, draw, image_of, noise_like

SCENE = LensScene(lens_light=True)


def make_problem(images, sigma, supersampling=1):
    x, y = pixel_grid(images.shape[-2:], PIXEL, dtype=torch.float64)
    pixels = Pixels(x, y, psf=PSF, supersampling=supersampling)
    peak = images.amax((1, 2)) / PIXEL**2
    half_field = 0.5 * PIXEL * min(images.shape[-2:])
    bounds = Bounds(SCENE.ranges, half_field, torch.where(peak > 0, peak, 1.0), {}, {})
    priors = Priors.read({}, SCENE.names, peak)
    return SersicProblem(SCENE, pixels, bounds, priors, images, torch.full_like(images, 1 / sigma))


@pytest.fixture(scope="module")
def mock():
    """Four lenses, some off the middle of the image, and arcs."""
    truth = draw(4, seed=81, scene=SCENE)
    truth["lens_light_center_x"] = torch.tensor([0.3, -0.3, 0.0, 0.0]).double()
    truth["center_x"] = truth["lens_light_center_x"]
    truth["source_center_x"] += truth["center_x"]
    truth["source_amplitude"] *= 0.4
    images = image_of(truth, (40, 40), SCENE)
    return truth, images + 0.02 * noise_like(images, 82)


@pytest.mark.parametrize("supersampling", [1, 2])
def test_the_light_is_found_beside_the_arcs(supersampling, mock):
    truth, images = mock
    problem = make_problem(images, 0.02, supersampling)
    light = fit_light(problem, {})
    for axis in "xy":
        name = f"lens_light_center_{axis}"
        assert (light.params[name] - truth[name]).abs().max() < 0.5 * PIXEL
    profile = SCENE.light(truth)
    own = problem.pixels.collect(problem.pixels.brightness(profile))
    # Without it, most of the light of the lens would be left over.
    source = image_of(truth, (40, 40), SCENE) - own
    left = (light.arcs - source).abs().sum((1, 2)) / own.sum((1, 2))
    assert left.max() < 0.8
    torch.testing.assert_close(light.take(torch.tensor([2])).arcs[0], light.arcs[2])


def test_light_without_arcs_is_found_to_the_noise(mock):
    truth, _ = mock
    dark = {**truth, "source_amplitude": torch.zeros(4).double()}
    images = image_of(dark, (40, 40), SCENE) + 0.02 * noise_like(torch.empty(4, 40, 40), 83)
    light = fit_light(make_problem(images, 0.02), {})
    for name in ("R_sersic", "n_sersic", "amplitude"):
        name = f"lens_light_{name}"
        torch.testing.assert_close(light.params[name], truth[name], rtol=0.15, atol=0)
    assert (light.arcs / 0.02).square().mean().item() == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("level", [0.0, -1.0, 1.0])
def test_an_image_without_light_gives_numbers_all_the_same(level):
    images = torch.full((1, 24, 24), level, dtype=torch.float64)
    light = fit_light(make_problem(images, 1.0), {})
    assert all(value.isfinite().all() for value in light.params.values())
    assert light.arcs.isfinite().all()
    assert light.weight.isfinite().all()


def test_errors_add_in_quadrature_and_masks_stay():
    weight = torch.tensor([0.0, 0.5, 2.0])
    found = soften(weight, torch.tensor([3.0, 1.5, -1.0]))
    torch.testing.assert_close(found, torch.tensor([0.0, 1 / 2.5, 2.0]))
