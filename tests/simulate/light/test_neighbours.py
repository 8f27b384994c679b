"""Galaxies beside a lens: their place, their mass and their light."""

import math

import numpy as np
import pytest

import lensphys as lp
from simulate.light.neighbours import DRAWS, NEIGHBOUR_LABELS, draw_neighbours, neighbour_light
from simulate.presets import load_simulate_config
from tests.simulate.light.draws import LENS_LIGHT, VIS

N = 2000


@pytest.fixture(scope="module")
def config():
    return load_simulate_config(2, "realistic").neighbours


@pytest.fixture(scope="module")
def columns(config):
    lens = {"theta_E": np.full(N, 1.2), "center_x": np.full(N, 0.1), "center_y": np.full(N, -0.1)}
    u = np.random.default_rng(1).random((DRAWS, N))
    return draw_neighbours(config, LENS_LIGHT.brightness, VIS, lens, u)


def test_a_fraction_of_the_images_has_one(config, columns):
    assert set(columns) == set(NEIGHBOUR_LABELS)
    there = ~np.isnan(columns["neighbour_flux"])
    assert there.mean() == pytest.approx(config.fraction, abs=4 * 0.5 / math.sqrt(N))
    assert all(np.array_equal(~np.isnan(values), there) for values in columns.values())


def test_they_lie_outside_of_the_ring_with_one_density(config, columns):
    x, y = columns["neighbour_center_x"] - 0.1, columns["neighbour_center_y"] + 0.1
    distance = np.hypot(x, y)
    distance = distance[~np.isnan(distance)] / 1.2
    low, high = config.distance
    assert low <= distance.min() < distance.max() <= high
    area = (distance**2 - low**2) / (high**2 - low**2)
    assert area.mean() == pytest.approx(0.5, abs=0.05)


def test_light_goes_as_the_square_of_the_einstein_radius(columns):
    """As of lenses: L ~ sigma^4 and theta_E ~ sigma^2."""
    there = ~np.isnan(columns["neighbour_flux"])
    unit = LENS_LIGHT.brightness.flux_at_one_arcsec(VIS)
    ratio = columns["neighbour_flux"][there] / (unit * columns["neighbour_theta_E"][there] ** 2)
    assert np.median(ratio) == pytest.approx(1, abs=0.1)
    assert (2.5 * np.log10(ratio)).std() == pytest.approx(LENS_LIGHT.brightness.scatter, rel=0.1)


def test_the_light_of_a_neighbour_has_the_flux_of_its_label(columns):
    row = int(np.flatnonzero(~np.isnan(columns["neighbour_flux"]))[0])
    one = {name: float(values[row]) for name, values in columns.items()}
    ((kind, p),) = neighbour_light(one)
    assert kind == "sersic"
    total = lp.sersic_total_flux(p["amplitude"], p["R_sersic"], p["n_sersic"])
    assert total == pytest.approx(one["neighbour_flux"], rel=1e-12)
    assert neighbour_light(dict.fromkeys(NEIGHBOUR_LABELS, math.nan)) == ()
