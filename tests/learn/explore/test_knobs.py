"""The parameters that sliders move."""

import math

import pytest

from learn.explore.knobs import Knob, make_knobs, start_of_fit, values_of_fit

GROUPS = make_knobs(2.0, 0.1, 5.0, 0.1, own_psf=False, own_noise=False)
KNOBS = {knob.name: knob for group in GROUPS.values() for knob in group}
VALUES = {name: knob.start for name, knob in KNOBS.items()}


def test_every_slider_starts_within_its_range() -> None:
    for knob in KNOBS.values():
        assert knob.low <= knob.start <= knob.high, knob.name
        assert knob.step < knob.high - knob.low


def test_an_image_with_psf_and_noise_of_its_own_has_no_sliders_for_them() -> None:
    groups = make_knobs(2.0, 0.1, 5.0, 0.1, own_psf=True, own_noise=True)
    assert "telescope" not in groups
    assert [knob.name for knob in GROUPS["telescope"]] == ["fwhm", "noise"]


def test_sliders_become_a_start_of_a_fit_and_back() -> None:
    start = start_of_fit(VALUES, lens_light=False)
    assert start["source_amplitude"] == pytest.approx(10 ** VALUES["log10_source_amplitude"])
    assert not [name for name in start if "lens_light" in name or "subhalo" in name]
    bright = start_of_fit(VALUES, lens_light=True)
    assert bright["lens_light_center_x"] == VALUES["center_x"]
    back = values_of_fit(bright, KNOBS)
    own = {"log10_mass", "subhalo_x", "subhalo_y", "fwhm", "noise"}
    assert back == pytest.approx({k: v for k, v in VALUES.items() if k not in own})


def test_values_beyond_a_slider_stop_at_its_end() -> None:
    knob = Knob("theta_E", "", 0.1, 2.0, 0.1, 1.0)
    assert [knob.clip(v) for v in (-1.0, 0.5, 9.0, math.nan)] == [0.1, 0.5, 2.0, 1.0]
    assert values_of_fit({"theta_E": 9.0}, {"theta_E": knob}) == {"theta_E": 2.0}
