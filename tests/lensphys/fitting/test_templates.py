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


@pytest.fixture(scope="module")
def templates():
    x, y = pixel_grid(32, PIXEL, dtype=torch.float64)
    return Templates(LensScene(), Pixels(x, y))


@pytest.mark.parametrize("distinct", [False, True])
def test_templates_agree_with_what_is_known(distinct, templates):
    truth = draw(3, seed=91)
    images = image_of(truth)
    weight = torch.full_like(images, 10.0)
    names = ("theta_E", "e1", "source_R_sersic", "source_center_x")
    known = {name: truth[name] for name in names}
    chosen = templates.best(images, weight, 4, distinct=distinct, known=known)
    named = LensScene().named(chosen)
    for name in names:
        # What is known is filled in.
        assert torch.equal(named[name], truth[name][:, None].expand(3, 4))
    one = {"theta_E": truth["theta_E"]}
    off = LensScene().named(templates.best(images, weight, 4, known=one))
    free = LensScene().named(templates.best(images, weight, 4))
    assert torch.equal(off["theta_E"], one["theta_E"][:, None].expand(3, 4))
    assert not torch.equal(free["theta_E"], off["theta_E"])


def test_the_nearest_templates_come_first_where_none_agrees(templates):
    images = image_of(draw(1, seed=91))
    far = {"theta_E": torch.tensor([50.0]).double()}
    differ = templates._differ(far)[0]
    assert (differ > 1).all()
    chosen = LensScene().named(templates.best(images, torch.ones_like(images), 1, known=far))
    largest = templates.params[differ.argmin()]
    found = torch.stack([chosen[k][0, 0] for k in ("source_center_x", "source_R_sersic")])
    names = LensScene().names
    at = [names.index(k) for k in ("source_center_x", "source_R_sersic")]
    assert torch.equal(found, largest[at])


def test_sources_of_templates_move_with_a_lens_that_is_off_the_middle(templates):
    images = image_of(draw(1, seed=91))
    centre = {"center_x": torch.tensor([0.4]).double()}
    weight = torch.ones_like(images)
    moved = LensScene().named(templates.best(images, weight, 2, known=centre))
    middle = LensScene().named(templates.best(images, weight, 2))
    torch.testing.assert_close(moved["source_center_x"], middle["source_center_x"] + 0.4)
