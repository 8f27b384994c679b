"""Model of one lens, from its data alone."""

import dataclasses

import numpy as np
import pytest
import torch

from learn.modelling import lens_model
from learn.modelling.flags import COMPANION, NO_LENS, SHEAR
from learn.modelling.lens_model import check_priors, model_lens
from lensphys.ground.errors import InputError
from tests.learn.modelling.make_lenses import settings
from tests.learn.modelling.shining_lenses import make_data

FAST = settings(device="cpu", source_order=8, detect="none")


@pytest.fixture(scope="module")
def model():
    return model_lens(make_data((61, 61)), FAST)


def test_a_lens_is_modelled_from_its_data_alone(model):
    assert model.result.params["theta_E"].item() == pytest.approx(1.0, abs=0.01)
    assert not model.flags
    assert model.maps is None
    assert model.seconds > 0
    # The field is cut, and what is outside of it is masked.
    assert model.result.model.shape[1:] == model.data.image.shape
    assert np.isinf(model.data.noise[0, 0])


def test_dark_matter_maps_are_in_solar_masses_where_redshifts_are_known():
    data = make_data((41, 41))
    both = FAST.model_copy(update={"detect": "point_mass"})
    for known, unit in (({}, "arcsec"), ({"z_lens": 0.3, "z_source": 1.0}, "solar mass")):
        maps = model_lens(dataclasses.replace(data, **known), both).maps
        assert unit in maps.unit
        assert maps.snr.shape == (1, 41, 41)
        assert maps.snr.isfinite().any()


@pytest.mark.parametrize("scale", [1e-18, 1e14])
def test_a_model_does_not_depend_on_the_unit_of_the_flux(model, scale):
    data = make_data((61, 61))
    other = dataclasses.replace(data, image=scale * data.image, noise=scale * data.noise)
    found = model_lens(other, FAST)
    assert found.result.model.dtype == torch.float64
    expected = model.result.params["theta_E"].item()
    assert found.result.params["theta_E"].item() == pytest.approx(expected, abs=1e-3)
    assert not found.flags


@pytest.mark.parametrize(
    "image", [0.0, 1.0, -1.0, None], ids=["zero", "constant", "negative", "noise"]
)
def test_an_image_without_a_lens_is_flagged_and_no_fault(image):
    data = make_data((41, 41))
    noise = 0.01 * np.random.default_rng(5).normal(size=(41, 41))
    flat = noise if image is None else np.full((41, 41), image)
    found = model_lens(dataclasses.replace(data, image=flat), FAST)
    assert all(value.isfinite().all() for value in found.result.params.values())
    if image in (0.0, None):
        assert NO_LENS in found.flags


def test_a_galaxy_that_lenses_nothing_is_flagged():
    assert NO_LENS in model_lens(make_data((51, 51), strength=0.0, seed=2), FAST).flags


@pytest.mark.parametrize("better", [True, False])
def test_a_model_in_doubt_is_fitted_again_without_companions(monkeypatch, better):
    mask = np.zeros((41, 41), dtype=bool)
    mask[34:38, 34:38] = True
    doubts = iter([[SHEAR], []])
    monkeypatch.setattr(lens_model, "find_flags", lambda result, data: next(doubts))
    monkeypatch.setattr(lens_model, "find_companions", lambda result, data: mask)
    monkeypatch.setattr(lens_model, "is_better", lambda result, before, mask: better)
    found = model_lens(make_data((41, 41)), FAST)
    assert found.flags == ([COMPANION] if better else [SHEAR])
    assert np.isinf(found.data.noise[mask]).all() == better
    assert bool((found.result.problem.weight[0][mask] == 0).all()) == better


def test_too_few_pixels_are_refused():
    data = make_data((41, 41))
    data.noise[:] = np.inf
    data.noise[20, 18:22] = 0.01
    with pytest.raises(ValueError, match="too few"):
        model_lens(data, FAST)


def test_a_field_may_be_given():
    found = model_lens(make_data((61, 61)), FAST.model_copy(update={"field": 1.6}))
    assert found.data.image.shape == (41, 41)
    assert found.result.params["theta_E"].item() == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"priors": {"gama": (2.0, 0.1)}}, "unknown parameter 'gama'; did you mean gamma"),
        ({"priors": {"x": (2.0, 0.1)}}, "there are theta_E, .*, lens_light_outer_e2"),
        ({"priors": {"source_2_e1": (0.0, 0.1)}}, "unknown parameter 'source_2_e1'"),
    ],
)
def test_priors_of_other_parameters_are_refused_before_any_work(change, message):
    with pytest.raises(InputError, match=message):
        check_priors(settings(**change))


def test_priors_of_the_fit_are_taken():
    check_priors(settings(priors={"gamma": (2.0, 0.1)}, mass="EPL"))
    check_priors(settings(priors={"source_2_e1": (0.0, 0.1)}, source="2xsersic"))
    check_priors(settings())
