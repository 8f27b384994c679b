"""Warnings about models."""

import dataclasses

import numpy as np
import pytest
import torch

import lensphys as lp
from learn.modelling.flags import (
    AT_EDGE,
    NEGATIVE,
    NEIGHBOUR,
    NO_LENS,
    NOISE,
    NOT_CONVERGED,
    POINT_SOURCE,
    POOR,
    SHEAR,
    find_flags,
)
from tests.learn.modelling.shining_lenses import SCALE, make_data

KIND = {"pixel_scale": SCALE, "lens_light": "mge", "source": "shapelets", "source_order": 8}


def fit(data, **options):
    return lp.fit(data.image, data.noise, psf=data.psf, **{**KIND, **options})


@pytest.fixture(scope="module")
def good():
    data = make_data((51, 51))
    return fit(data), data


def test_nothing_speaks_against_a_good_model(good):
    assert find_flags(*good) == []


def test_a_galaxy_alone_has_no_lens():
    data = make_data(strength=0.0, seed=3)
    assert NO_LENS in find_flags(fit(data), data)


def test_a_fit_that_was_cut_short_has_not_converged(good):
    result, data = good
    short = dataclasses.replace(result, converged=torch.zeros(1, dtype=torch.bool))
    assert find_flags(short, data) == [NOT_CONVERGED]


def test_a_wrong_model_of_the_ring_is_poor(good):
    _, data = good
    wrong = fit(data, fixed={"theta_E": 0.9})
    assert POOR in find_flags(wrong, data)


def test_wrong_noise_maps_make_no_model_poor(good):
    result, data = good
    for factor in (0.6, 1.7):
        louder = dataclasses.replace(result, residual=factor * result.residual)
        assert POOR not in find_flags(louder, data)


def test_a_noise_map_that_is_too_large_by_far_is_named(good):
    result, data = good
    assert NOISE in find_flags(dataclasses.replace(result, chi2_dof=torch.tensor([0.05])), data)
    # Public maps that are too large by 1.4 are usual.
    assert NOISE not in find_flags(dataclasses.replace(result, chi2_dof=torch.tensor([0.4])), data)


def test_a_negative_image_is_named(good):
    result, data = good
    negative = dataclasses.replace(data, image=-data.image)
    assert NEGATIVE in find_flags(result, negative)
    # An error of the sky is none.
    lower = dataclasses.replace(data, image=data.image - 2 * data.noise)
    assert NEGATIVE not in find_flags(result, lower)


def test_strong_shear_is_named(good):
    result, data = good
    params = {**result.params, "gamma1": torch.tensor([0.1]), "gamma2": torch.tensor([-0.1])}
    assert SHEAR in find_flags(dataclasses.replace(result, params=params), data)


def test_a_neighbour_is_named():
    place = {"center_x": 1.6, "center_y": 1.5}
    blob = lp.Sersic(amplitude=6.0, R_sersic=0.15, n_sersic=1.0, **place)
    data = make_data((51, 51), extra=[blob])
    assert NEIGHBOUR in find_flags(fit(data), data)


def test_a_ring_as_large_as_the_image_is_at_its_edge(good):
    result, data = good
    params = {**result.params, "theta_E": torch.tensor([1.8], dtype=torch.float64)}
    assert AT_EDGE in find_flags(dataclasses.replace(result, params=params), data)


def test_images_as_narrow_as_the_psf_are_a_point_source():
    data = make_data((51, 51))
    for row, column in ((12, 25), (38, 27)):
        data.image[row - 5 : row + 6, column - 5 : column + 6] += 8 * data.psf
    assert POINT_SOURCE in find_flags(fit(data), data)


def test_an_image_without_far_pixels_has_flags_too():
    data = make_data((33, 33))
    data.noise[:8] = np.inf
    assert isinstance(find_flags(fit(data), data), list)
