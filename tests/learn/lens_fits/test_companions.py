"""Companions of several lenses at once, of which one has one."""

import numpy as np
import pytest
import torch

import lensphys as lp
from learn.lens_fits.companions import explain_better, find_companions
from tests.learn.modelling.shining_lenses import SCALE, make_data

KIND = {"pixel_scale": SCALE, "lens_light": "mge", "source": "shapelets", "source_order": 6}
PLACE = 1.3


@pytest.fixture(scope="module")
def pair():
    """Images, noise and fits of a lens alone, and of one with a companion."""
    blob = lp.Sersic(amplitude=6.0, R_sersic=0.12, n_sersic=1.0, center_x=PLACE, center_y=PLACE)
    both = [make_data((51, 51)), make_data((51, 51), extra=[blob])]
    image, noise = (np.stack([getattr(one, name) for one in both]) for name in ("image", "noise"))
    image, noise = torch.from_numpy(image), torch.from_numpy(noise)
    fitter = lp.Fitter(psf=both[0].psf, n_starts=1, **KIND)
    return image, noise, fitter, fitter(image, noise)


def test_the_companion_is_masked_and_the_ring_is_not(pair):
    _, noise, _, result = pair
    beside = find_companions(result, 1 / noise)[1].numpy()
    y, x = SCALE * (np.indices(beside.shape) - (np.array(beside.shape) - 1)[:, None, None] / 2)
    assert beside[np.hypot(x - PLACE, y - PLACE) < 0.15].all()
    assert not beside[np.hypot(x, y) < 1.05].any()


def test_patches_larger_than_a_companion_are_arcs(pair):
    _, noise, _, result = pair
    whole = find_companions(result, 1 / noise)[1].float().mean().item()
    assert find_companions(result, 1 / noise, most=whole)[1].any(), "which is widened after it"
    assert not find_companions(result, 1 / noise, most=1e-4).any()


def test_some_of_the_images_may_be_fitted_again(pair):
    image, noise, fitter, result = pair
    mask = find_companions(result, 1 / noise)
    rows = torch.tensor([1])
    without = noise[rows].masked_fill(mask[rows], torch.inf)
    start = {name: value[rows] for name, value in result.params.items()}
    wrong = {name: value.clone() for name, value in result.params.items()}
    wrong["theta_E"][1] = 1.3 * wrong["theta_E"][1]
    still = lp.fit(image, noise, psf=fitter._psf, start=wrong, max_steps=0, **KIND)
    assert bool(explain_better(fitter(image[rows], without, start=start), still, mask, rows)[0])
