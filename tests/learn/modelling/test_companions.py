"""Companions that a model takes for images of its source."""

import dataclasses

import numpy as np
import pytest
import torch

import lensphys as lp
from learn.modelling.companions import find_companions, is_better, mask_pixels
from tests.learn.modelling.shining_lenses import SCALE, make_data

KIND = {"pixel_scale": SCALE, "lens_light": "mge", "source": "shapelets", "source_order": 6}
PLACE = 1.3


def fit(data, **options):
    return lp.fit(data.image, data.noise, psf=data.psf, **{**KIND, **options})


@pytest.fixture(scope="module")
def beside():
    """A lens with a companion, and a model of it that knows of none."""
    blob = lp.Sersic(amplitude=6.0, R_sersic=0.12, n_sersic=1.0, center_x=PLACE, center_y=PLACE)
    data = make_data((51, 51), extra=[blob])
    return data, fit(data)


def distance_from(place, shape):
    y, x = (SCALE * (np.arange(n) - (n - 1) / 2) - place for n in shape)
    return np.hypot(x, y[:, None])


def test_a_companion_is_found_and_the_ring_is_not(beside):
    data, result = beside
    mask = find_companions(result, data)
    assert mask[distance_from(PLACE, mask.shape) < 0.15].all()
    assert not mask[distance_from(0.0, mask.shape) < 1.05].any()


def test_without_light_far_from_the_lens_there_is_no_companion(beside):
    data, result = beside
    large = {**result.params, "theta_E": torch.tensor([1.9], dtype=torch.float64)}
    assert find_companions(dataclasses.replace(result, params=large), data) is None


def test_arcs_that_hold_most_of_the_light_are_not_masked(beside):
    data, result = beside
    # A lens so small that the whole ring is far from it.
    small = {**result.params, "theta_E": torch.tensor([0.4], dtype=torch.float64)}
    assert find_companions(dataclasses.replace(result, params=small), data) is None


def test_masked_pixels_do_not_count(beside):
    data, _ = beside
    mask = distance_from(PLACE, data.image.shape) < 0.5
    without = mask_pixels(data, mask)
    assert np.isinf(without.noise[mask]).all()
    assert (without.image[mask] == 0).all()
    assert np.array_equal(without.image[~mask], data.image[~mask])
    assert np.isfinite(data.noise).all()


def test_a_model_is_better_for_what_it_explains_and_not_for_what_it_leaves_out(beside):
    data, result = beside
    mask = find_companions(result, data)
    without = mask_pixels(data, mask)
    # The companion is all that is left unexplained, and it is masked.
    same = fit(without)
    assert not is_better(same, result, mask)
    wrong = fit(data, fixed={"theta_E": 1.1})
    assert is_better(same, wrong, mask)
