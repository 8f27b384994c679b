"""Maps of a model: parts add up, the source lies where its light is, curves enclose the ring."""

import dataclasses
import math

import numpy as np
import pytest

from learn.modelling.maps.maps import make_maps, nice_length
from tests.learn.modelling.lenses import (
    SCALE,
    SHAPE,
    SIGMA,
    TRUTH,
    make_maps_of_detection,
    modelled,
)

MASKED = np.zeros(SHAPE, bool)
MASKED[:5, :7] = True


def test_parts_add_up_to_the_model_and_the_residual_is_what_is_left():
    model = modelled()
    maps = make_maps(model)
    parts = maps.lens_light + maps.lensed_source + maps.sky
    assert np.allclose(parts, maps.model, atol=1e-5 * maps.model.max())
    expected = (model.data.image - maps.model) / SIGMA
    assert np.allclose(maps.residual[~MASKED], expected[~MASKED], atol=1e-3)


def test_masked_pixels_are_nan_where_there_are_data_and_filled_in_the_model():
    maps = make_maps(modelled())
    for name in ("image", "noise", "residual"):
        assert np.array_equal(np.isnan(getattr(maps, name)), MASKED), name
    assert np.allclose(maps.noise[~MASKED], SIGMA, rtol=1e-5)
    for name in ("model", "lens_light", "lensed_source"):
        assert np.isfinite(getattr(maps, name)).all(), name


def test_the_source_map_holds_the_light_of_the_source():
    maps = make_maps(modelled())
    source = maps.source
    row, column = np.unravel_index(source.brightness.argmax(), source.brightness.shape)
    middle = (len(source.brightness) - 1) / 2
    peak = [
        at + (place - middle) * source.pixel_scale
        for at, place in zip(source.center, (column, row), strict=True)
    ]
    assert peak == pytest.approx((0.1, 0.05), abs=0.02)
    # Total flux of the Sersic profile, Graham & Driver 2005, eq. 2.
    b = 1.9992 - 0.3271
    total = 10.0 * 0.2**2 * 2 * math.pi * math.exp(b) * b**-2 * math.gamma(2)
    flux = source.brightness.sum() * source.pixel_scale**2
    assert 0.75 * total < flux < 1.1 * total


def test_the_critical_curve_encloses_the_mass_of_the_ring():
    curve = make_maps(modelled()).curves[0]
    assert curve.kind == "tangential"
    kappa = 1 / (1 - math.hypot(TRUTH["gamma1"], TRUTH["gamma2"]) ** 2)
    assert curve.area() == pytest.approx(math.pi * TRUTH["theta_E"] ** 2 * kappa, rel=0.05)


def test_maps_of_detection_are_there_if_they_were_made():
    maps = make_maps(modelled())
    assert maps.snr[3, 7] == 7.0
    assert maps.least_mass[3, 7] == pytest.approx(4e8)
    assert maps.mass_unit == "solMass"
    relative = dataclasses.replace(modelled(), maps=make_maps_of_detection("arcsec^2"))
    assert make_maps(relative).mass_unit == "arcsec2"
    without = make_maps(modelled(searched=False))
    assert (without.snr, without.least_mass) == (None, None)


def test_a_model_without_light_behind_the_lens_has_a_dark_source():
    model = modelled()
    params = model.result.params
    dark = params | {"source_amplitude": 0 * params["source_amplitude"]}
    maps = make_maps(modelled(result=dataclasses.replace(model.result, params=dark)))
    assert not maps.source.brightness.any()
    assert maps.source.pixel_scale * len(maps.source.brightness) <= SCALE * min(SHAPE) * 1.001


def test_bars_have_round_lengths():
    assert [nice_length(width) for width in (0.4, 1.0, 3.0, 9.0)] == pytest.approx(
        [0.1, 0.2, 0.5, 2.0]
    )
