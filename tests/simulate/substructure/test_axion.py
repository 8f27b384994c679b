"""A vortex is as long as a de Broglie wave, and weighs by its length inside the ring."""

import numpy as np
import pytest
from scipy import stats

from simulate.substructure.axion import PointVortex, Vortex
from simulate.substructure.lens_plane import de_broglie_wavelength
from tests.simulate.substructure.lenses import PLANE, N, P, params, rngs


@pytest.fixture(scope="module")
def config(configure):
    return configure(2, preset="physical")


def test_a_vortex_lies_near_the_ring_and_is_as_long_as_its_wave(config):
    drawn, labels = Vortex().draw(config.axion, PLANE, params(), rngs())
    distance = np.hypot(labels["vortex_center_x"] - 0.1, labels["vortex_center_y"] + 0.2) / 1.2
    assert stats.kstest(distance, stats.uniform(0.8, 0.4).cdf).pvalue > P
    assert stats.kstest(labels["vortex_angle"], stats.uniform(0, np.pi).cdf).pvalue > P
    sigma = PLANE.velocity_dispersion(np.array(1.2))
    wave = de_broglie_wavelength(labels["axion_mass"], sigma) / PLANE.kpc_per_arcsec
    assert 2 * labels["vortex_half_length"] == pytest.approx(wave)
    assert drawn["theta_E"][:, 0] == pytest.approx(np.full(N, 1.2 * np.sqrt(0.3 * 0.05)))
    inside = np.pi * 1.2**2 * PLANE.sigma_critical
    assert labels["substructure_mass"] == pytest.approx(np.full(N, 0.3 * 0.05 * inside))


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


@pytest.mark.parametrize(
    ("half_length", "phi", "center_x", "share"),
    [
        (0.1, 0.0, 0.3, 1.0),  # inside
        (0.1, 0.0, 1.2, 0.0),  # outside
        (0.1, 0.0, 1.0, 0.5),  # across the ring
        (0.2, 0.0, 0.9, 0.75),
        (4.0, 0.5 * np.pi, 0.0, 0.25),  # through the whole lens
        (0.5, 0.5 * np.pi, 0.6, 1.0),  # beside the middle, along the chord
    ],
)
def test_a_line_weighs_by_its_length_inside_the_ring(half_length, phi, center_x, share):
    lens = {"theta_E": 1.5, "center_x": 0.1, "center_y": 0.0}
    line = {"theta_E": 0.3, "half_length": 1.5 * half_length, "phi": phi}
    line |= {"center_x": 0.1 + 1.5 * center_x, "center_y": 0.0}
    deflectors = {name: np.full((1, 1), value) for name, value in line.items()}
    params = {name: np.full(1, value) for name, value in lens.items()}
    found = Vortex().share_inside_ring(deflectors, params)
    assert found == pytest.approx(share * (0.3 / 1.5) ** 2, abs=1e-12)
