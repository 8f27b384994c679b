"""The light of lens galaxies follows their mass."""

import math

import numpy as np
import pytest
import torch

import lensphys as lp
from lensphys.ground.errors import InputError
from simulate.instruments import instrument
from simulate.light.lens_light import LENS_LIGHT_LABELS, draw_lens_light
from tests.simulate.light.draws import (
    LENS_LIGHT,
    MASS,
    NON_LENS,
    VIS,
    changed,
    draw_non_lens,
    flux_of,
    lens_lights,
)


def test_a_lens_has_the_flux_of_its_magnitude_and_is_where_its_label_says():
    rng = np.random.default_rng(1)
    one = draw_lens_light(LENS_LIGHT, rng, VIS, **MASS, center_x=0.4)
    assert tuple(one.labels) == LENS_LIGHT_LABELS
    assert flux_of(one) == pytest.approx(VIS.flux(one.labels["lens_light_magnitude"]), rel=1e-12)
    assert one.labels["lens_light_flux"] == pytest.approx(flux_of(one), rel=1e-12)
    (_, p), *_ = one.profiles
    for name in ("R_sersic", "n_sersic", "e1", "e2", "center_x", "center_y"):
        assert p[name] == one.labels[f"lens_light_{name}"]
    assert abs(p["center_x"] - 0.4) < 0.1


def test_light_is_aligned_with_mass_with_the_scatter_of_slacs():
    labels = lens_lights(4000, e1=0.25, e2=0.0).labels
    e1, e2 = labels["lens_light_e1"], labels["lens_light_e2"]
    modulus = torch.hypot(e1, e2)
    angle = torch.rad2deg(0.5 * torch.atan2(e2, e1))
    assert angle.mean().item() == pytest.approx(0, abs=0.6)
    assert angle.std().item() == pytest.approx(10, rel=0.05)
    ratio = 0.6 / ((1 - modulus) / (1 + modulus))
    assert ratio.mean().item() == pytest.approx(0.99, abs=0.01)
    assert ratio.std().item() == pytest.approx(0.11, rel=0.06)


def test_a_round_mass_has_light_that_points_anywhere():
    labels = lens_lights(2000, e1=0.0, e2=0.0).labels
    assert torch.hypot(labels["lens_light_e1"], labels["lens_light_e2"]).max() < 0.3
    for name in ("lens_light_e1", "lens_light_e2"):
        assert labels[name].mean().abs() < 5e-3
        assert labels[name].std().item() == pytest.approx(0.041, rel=0.1)


def test_light_grows_with_the_square_of_the_einstein_radius():
    still = changed(LENS_LIGHT, brightness={"scatter": 0.0}, log10_size_scatter=0.0)
    small, large = (lens_lights(1, still, theta_E=t).labels for t in (0.8, 1.6))
    difference = (small["lens_light_magnitude"] - large["lens_light_magnitude"]).item()
    assert difference == pytest.approx(5 * math.log10(2), rel=1e-12)
    for labels, theta_E in ((small, 0.8), (large, 1.6)):
        assert labels["lens_light_R_sersic"].item() == pytest.approx(theta_E, rel=1e-12)


def test_the_image_of_a_lens_is_that_of_its_sersic():
    light = lens_lights(3)
    x, y = lp.pixel_grid(20, 0.1, dtype=torch.float64)
    table = light.columns["sersic"]
    for i in range(3):
        one = lp.Sersic(**{name: values[i, 0].item() for name, values in table.items()})
        expected = one.surface_brightness(x, y)
        torch.testing.assert_close(light.surface_brightness(x, y)[i], expected, rtol=1e-12, atol=0)


def test_the_same_generator_draws_the_same():
    first, again = (
        [draw_non_lens(NON_LENS, np.random.default_rng(k), VIS) for k in range(20)]
        for _ in range(2)
    )
    assert first == again


def test_an_instrument_without_zero_point_needs_fluxes():
    camera, rng = instrument("deeplense_model1"), np.random.default_rng(0)
    with pytest.raises(InputError, match=r"^lens_light.brightness.magnitude needs an instrument"):
        draw_lens_light(LENS_LIGHT, rng, camera, **MASS)
    with pytest.raises(InputError, match=r"give lens_light.brightness.flux$"):
        draw_non_lens(NON_LENS, rng, camera)
    flux = {"magnitude": None, "flux": 50.0, "scatter": 0.0}
    light = draw_lens_light(changed(LENS_LIGHT, brightness=flux), rng, camera, **MASS)
    assert math.isnan(light.labels["lens_light_magnitude"])
    assert flux_of(light) == pytest.approx(50 * 1.1**2)


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"fractions": {"single": 0.9}}, "fractions: the fractions must sum to 1"),
        ({"magnification": [9, 2]}, "magnification: the first must not be above the second"),
        ({"magnification": [0.0, 6]}, "magnification: both must be positive"),
        ({"ring": {"knots_share": [0.0, 1.2]}}, "ring.knots_share: both must be from 0 to 1"),
        ({"single": {"axis_ratio": [0.05, 1.0]}}, "both must be from 0.1 to 1"),
        ({"spiral": {"pitch": [0.0, 30.0]}}, "spiral: pitch must be from 3 to 90 degrees"),
        ({"blend": {"sep": 1.0}}, "unknown key 'blend.sep'"),
    ],
)
def test_a_bad_section_is_refused_in_one_line(sections, message):
    with pytest.raises(InputError, match=message):
        changed(NON_LENS, **sections)


def test_either_magnitude_or_flux_is_given():
    with pytest.raises(InputError, match="brightness: give either magnitude or flux"):
        changed(LENS_LIGHT, brightness={"flux": 3.0})
