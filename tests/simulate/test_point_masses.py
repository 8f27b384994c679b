"""Masses and places of the substructure."""

import numpy as np
import pytest
from scipy import stats

from simulate.presets import known_presets, make_prior
from simulate.substructure import known_classes, substructure
from simulate.substructure.axion import PointVortex
from simulate.substructure.cdm import PointSubhalos
from simulate.substructure.no_sub import NO_SUB

P = 1e-3


@pytest.fixture(scope="module")
def subhalos(configure):
    """Mass, x and y of 25 subhaloes in each of 400 draws, (3, 10000)."""
    rng = np.random.default_rng(3)
    draws = [PointSubhalos().draw_one(configure().cdm, rng)[0] for _ in range(400)]
    assert all(draw.shape == (3, 25) for draw in draws)
    return np.concatenate(draws, axis=1)


@pytest.mark.parametrize("preset", known_presets())
def test_every_class_has_its_draw(preset):
    assert set(known_classes()) == {"no_sub", "cdm", "axion"}
    drawn = {name for name in known_classes() if substructure(name).drawn_in(preset)}
    assert drawn == {"cdm", "axion"}


@pytest.mark.parametrize("preset", known_presets())
def test_no_sub_has_no_masses(configure, preset):
    assert NO_SUB.drawn_in(preset) is None
    scene = make_prior(configure(2, preset=preset, classes=["no_sub"])).draw(0, 3)
    assert scene.substructure == ()
    for name in ("substructure_mass", "n_substructure"):
        assert not scene.params[name].any()


def test_subhalo_masses_follow_the_power_law(subhalos):
    """dN/dm ~ m^-0.9 between 1e6 and 1e10: the cumulative distribution goes as m^0.1."""
    mass = subhalos[0]
    assert 1e6 <= mass.min() < mass.max() <= 1e10
    low, high = 1e6**0.1, 1e10**0.1
    assert stats.kstest(mass, lambda m: (m**0.1 - low) / (high - low)).pvalue > P


def test_published_subhaloes_are_far_heavier_than_a_slope_of_1_9_makes_them(configure, subhalos):
    rng = np.random.default_rng(3)
    steep = configure(2, "cdm.mass_slope=-1.9")
    mass = np.concatenate([PointSubhalos().draw_one(steep.cdm, rng)[0][0] for _ in range(400)])
    assert subhalos[0].mean() / mass.mean() == pytest.approx(110, rel=0.2)


def test_a_slope_of_minus_one_is_log_uniform(configure):
    rng = np.random.default_rng(4)
    config = configure(2, "cdm.mass_slope=-1")
    mass = np.concatenate([PointSubhalos().draw_one(config.cdm, rng)[0][0] for _ in range(100)])
    assert stats.kstest(np.log10(mass), stats.uniform(6, 4).cdf).pvalue > P


def test_subhaloes_are_uniform_in_radius_and_angle(subhalos):
    _, x, y = subhalos
    assert stats.kstest(np.hypot(x, y), stats.uniform(0.25, 1.75).cdf).pvalue > P
    assert stats.kstest(np.arctan2(y, x), stats.uniform(-np.pi, 2 * np.pi).cdf).pvalue > P


def test_mass_and_place_of_a_subhalo_are_independent(subhalos):
    mass, x, y = subhalos
    assert stats.spearmanr(mass, np.hypot(x, y)).pvalue > P


def test_a_vortex_is_evenly_spaced_and_symmetric_about_the_centre(configure):
    (mass, x, y), labels = PointVortex().draw_one(configure().axion, np.random.default_rng(5))
    assert mass == pytest.approx(np.full(100, 3e8))
    for along in (x, y):
        assert along == pytest.approx(-along[::-1], abs=1e-12)
    step = 2 * labels["vortex_half_length"] / 99
    assert np.hypot(np.diff(x), np.diff(y)) == pytest.approx(np.full(99, step))


@pytest.mark.parametrize(("log10_mass", "half_length"), [(-22, 0.03), (-23, 0.3), (-24, 3.0)])
def test_a_vortex_is_sub_pixel_at_1e_22_and_longer_than_the_image_at_1e_24(
    configure, log10_mass, half_length
):
    sets = [f"axion.log10_mass_{end}={log10_mass}" for end in ("min", "max")]
    config = configure(2, *sets)
    _, labels = PointVortex().draw_one(config.axion, np.random.default_rng(6))
    assert labels["vortex_half_length"] == pytest.approx(half_length)
    assert labels["axion_mass"] == pytest.approx(10.0**log10_mass)
