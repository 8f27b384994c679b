"""Starting points of fits: templates of lensed sources, and values that are given."""

import pytest
import torch

from lensphys import fit, pixel_grid
from lensphys.fitting.scene import LensScene
from lensphys.fitting.templates import Templates
from lensphys.rendering import Pixels
from tests.lensphys.fitting.mocks import KIND, PIXEL, draw, image_of, stacked


@pytest.mark.parametrize("size", [32, 37])
def test_templates_show_the_lenses_that_they_are_labelled_with(size):
    scene = LensScene()
    x, y = pixel_grid(size, PIXEL, dtype=torch.float64)
    templates = Templates(scene, Pixels(x, y))
    chosen = torch.arange(0, len(templates.params), 997)
    params = scene.named(templates.params[chosen])
    shown = scene.image(params, Pixels(x, y))
    best = templates.best(shown, torch.ones_like(shown), 1)[:, 0]
    found, wanted = scene.named(best), params
    for name in ("theta_E", "e1", "e2", "source_center_x", "source_center_y"):
        torch.testing.assert_close(found[name], wanted[name], rtol=0, atol=1e-12)


def test_a_start_that_wants_gradients_is_only_a_start():
    truth = {k: v.requires_grad_() for k, v in draw(1, seed=1).items()}
    images = image_of({k: v.detach() for k, v in truth.items()})
    result = fit(images, 0.01, **KIND, start=truth)
    assert not result.params["theta_E"].requires_grad


def test_a_start_may_name_some_parameters_as_numbers_or_one_an_image(sample):
    truth, images, sigma, _, _ = sample
    some = {k: truth[k][:2] for k in ("theta_E", "source_center_x", "source_center_y")}
    result = fit(images[:2], sigma[:2], **KIND, start={**some, "source_n_sersic": 1.3})
    assert (result.chi2_dof < 1.15).all()


@pytest.mark.parametrize("far", [-1e6, 0.0, 1e6])
def test_a_start_out_of_bounds_is_moved_inside(far, sample):
    truth, images, sigma, _, _ = sample
    start = {k: v[:1] for k, v in truth.items()} | {"source_R_sersic": far}
    result = fit(images[:1], sigma[:1], **KIND, start=start)
    assert torch.isfinite(stacked(result.params)).all()
