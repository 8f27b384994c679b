"""Subhaloes obey the relations that they cite."""

import numpy as np
import pytest
import torch
from astropy.cosmology import FlatLambdaCDM, Planck18
from lenstronomy.Cosmo.lens_cosmo import LensCosmo
from scipy import stats

import lensphys as lp
from lensphys.ground.errors import InputError
from simulate.distributions import power_law
from simulate.substructure import cdm
from simulate.substructure.cdm import PointSubhalos, Subhalos
from tests.simulate.substructure.lenses import PLANE, N, P, params, rngs


@pytest.fixture(scope="module")
def config(configure):
    return configure(2, preset="physical")


def test_angles_of_a_halo_are_lenstronomys():
    """Its constants of nature differ by 3e-4."""
    cosmo = LensCosmo(0.5, 1.0, cosmo=Planck18)
    mass, c = np.array([1e8, 1e9, 1e10]), np.array([20.0, 12.0, 8.0])
    Rs, alpha_Rs = cdm.nfw_angles(mass, c, PLANE)
    for i in range(3):
        theirs = cosmo.nfw_physical2angle(mass[i], c[i])
        assert (Rs[i], alpha_Rs[i]) == pytest.approx(theirs, rel=2e-3)


def test_the_deflection_far_outside_is_that_of_the_mass():
    """Far away a truncated halo is a point of its total mass, which the truncation makes finite."""
    mass, c = np.array([1e9]), np.array([10.0])
    Rs, alpha_Rs = cdm.nfw_angles(mass, c, PLANE)
    # The total mass of a truncated halo at tau = 10, Baltz et al. 2009, eq. A4 of n = 1.
    tau = 10.0
    factor = tau**2 / (tau**2 + 1) ** 2
    factor *= (tau**2 - 1) * np.log(tau) + tau * np.pi - (tau**2 + 1)
    total = 1e9 * factor / (np.log(11) - 10 / 11)
    theta_E = np.sqrt(total / (np.pi * PLANE.sigma_critical))
    halo = lp.TNFW(Rs=Rs[0], alpha_Rs=alpha_Rs[0], r_trunc=tau * Rs[0])
    x = torch.tensor([[1e4 * Rs[0]]], dtype=torch.float64)
    alpha_x, _ = halo.deflection(x, torch.zeros_like(x))
    assert alpha_x.item() == pytest.approx(theta_E**2 / x.item(), rel=1e-3)


def test_concentration_at_the_pivot_mass():
    flat = FlatLambdaCDM(H0=100, Om0=0.3)
    assert cdm.concentration(np.array(2e12), 0.0, flat) == pytest.approx(5.71)
    assert cdm.concentration(np.array(2e12), 1.0, flat) == pytest.approx(5.71 * 2**-0.47)


@pytest.fixture(scope="module")
def subhalos(config):
    return Subhalos().draw(config.cdm, PLANE, params(), rngs())


def test_numbers_are_poisson_about_the_mass_fraction(config, subhalos):
    _, labels = subhalos
    count, mass = labels["n_substructure"], labels["substructure_infall_mass"]
    inside = np.pi * 1.2**2 * PLANE.sigma_critical * config.cdm.disc_radius
    expected = 0.05 * inside / cdm.mean_mass(config.cdm)
    assert count.mean() == pytest.approx(expected, abs=4 * np.sqrt(expected / N))
    assert mass.mean() == pytest.approx(0.05 * inside, rel=0.06)
    # Of a Poisson distribution the variance is the mean.
    assert count.var() / count.mean() == pytest.approx(1, abs=4 * np.sqrt(2 / N))


def test_the_mass_that_is_left_is_that_far_outside(config, subhalos):
    drawn, labels = subhalos
    some = {name: torch.from_numpy(values[:5]) for name, values in drawn.items()}
    x = torch.full((5, 1, 1), 1e4, dtype=torch.float64)
    alpha_x, _ = lp.Population(lp.TNFW(**some)).deflection(x, torch.zeros_like(x))
    mass = alpha_x.flatten().numpy() * 1e4 * np.pi * PLANE.sigma_critical
    assert labels["substructure_mass"][:5] == pytest.approx(mass, rel=3e-3)
    left = labels["substructure_mass"].sum() / labels["substructure_infall_mass"].sum()
    assert 0.5 < left < 0.7


def test_the_heaviest_subhalo_is_the_one_that_deflects_most(config, subhalos):
    """At a given concentration M200 alone sets the deflection; the mass follows from it."""
    plain = config.cdm.model_copy(update={"concentration_dex": 0.0})
    drawn, labels = Subhalos().draw(plain, PLANE, params(), rngs())
    heaviest = labels["heaviest_subhalo_mass"]
    c = cdm.concentration(heaviest, PLANE.z_lens, PLANE.cosmology)
    _, alpha_Rs = cdm.nfw_angles(heaviest, c, PLANE)
    assert drawn["alpha_Rs"].max(1) == pytest.approx(alpha_Rs, rel=1e-9)
    assert heaviest == pytest.approx(subhalos[1]["heaviest_subhalo_mass"]), "as with scatter"


def test_the_heaviest_of_many_follows_the_largest_value_of_the_mass_function(config, subhalos):
    """Of a Poisson number, none is above m with probability exp(-mean P(> m))."""
    low, high = 1e8**-0.9, 1e10**-0.9
    mean = subhalos[1]["n_substructure"].mean()
    expected = np.exp(-mean * (1e9**-0.9 - high) / (low - high))
    found = (subhalos[1]["heaviest_subhalo_mass"] < 1e9).mean()
    assert found == pytest.approx(expected, abs=4 * np.sqrt(expected * (1 - expected) / N))


def test_without_subhaloes_the_heaviest_has_no_mass(config):
    none = params() | {"substructure_fraction": np.full(N, 1e-12)}
    _, labels = Subhalos().draw(config.cdm, PLANE, none, rngs())
    assert (labels["n_substructure"] == 0).all()
    assert (labels["heaviest_subhalo_mass"] == 0).all()


def test_masses_follow_the_mass_function(config):
    drawn = power_law(np.random.default_rng(0).random(20_000), 1e8, 1e10, -1.9)
    low, high = 1e8**-0.9, 1e10**-0.9
    assert stats.kstest(drawn, lambda m: (m**-0.9 - low) / (high - low)).pvalue > P
    assert drawn.mean() == pytest.approx(cdm.mean_mass(config.cdm), rel=0.03)


def test_subhaloes_lie_uniformly_over_the_disc_about_the_lens(config, subhalos):
    drawn, _ = subhalos
    there = drawn["alpha_Rs"] > 0
    x, y = drawn["center_x"][there] - 0.1, drawn["center_y"][there] + 0.2
    edge = config.cdm.disc_radius * 1.2
    assert stats.kstest((x**2 + y**2) / edge**2, "uniform").pvalue > P
    assert stats.kstest(np.arctan2(y, x), stats.uniform(-np.pi, 2 * np.pi).cdf).pvalue > P


def test_a_subhalo_is_truncated_deeper_near_the_centre_of_its_host():
    mass = np.array([1e7, 1e7, 1e10])
    radius = cdm.tidal_radius(mass, np.array([50.0, 400.0, 50.0]))
    assert radius == pytest.approx([1.4, 5.6, 14.0])


def test_depths_follow_the_density_of_the_host():
    R, core, edge = 8.0, 100.0, 300.0
    u = np.random.default_rng(2).random(20_000)
    z = cdm.line_of_sight_distance(u, np.full(u.shape, R), core, edge)
    assert np.hypot(R, z).max() <= edge
    grid = np.linspace(0, np.sqrt(edge**2 - R**2), 100_001)
    density = (1 + (R**2 + grid**2) / core**2) ** -1.5
    cumulative = np.cumsum(density) / density.sum()
    assert stats.kstest(z, lambda v: np.interp(v, grid, cumulative)).pvalue > P


def test_more_subhaloes_than_a_computer_can_hold_are_refused(config):
    light = config.cdm.model_copy(update={"mass_min": 1.0})
    with pytest.raises(InputError, match=r"cdm: .* subhaloes an image are too many"):
        Subhalos().draw(light, PLANE, params(), rngs())


@pytest.fixture(scope="module")
def point_subhalos(configure):
    """Mass, x and y of 25 subhaloes in each of 400 draws, (3, 10000)."""
    rng = np.random.default_rng(3)
    draws = [PointSubhalos().draw_one(configure().cdm, rng)[0] for _ in range(400)]
    assert all(draw.shape == (3, 25) for draw in draws)
    return np.concatenate(draws, axis=1)


def test_subhalo_masses_follow_the_power_law(point_subhalos):
    """dN/dm ~ m^-0.9 between 1e6 and 1e10: the cumulative distribution goes as m^0.1."""
    mass = point_subhalos[0]
    assert 1e6 <= mass.min() < mass.max() <= 1e10
    low, high = 1e6**0.1, 1e10**0.1
    assert stats.kstest(mass, lambda m: (m**0.1 - low) / (high - low)).pvalue > P


def test_published_subhaloes_are_far_heavier_than_a_slope_of_1_9_makes_them(
    configure, point_subhalos
):
    rng = np.random.default_rng(3)
    steep = configure(2, "cdm.mass_slope=-1.9")
    mass = np.concatenate([PointSubhalos().draw_one(steep.cdm, rng)[0][0] for _ in range(400)])
    assert point_subhalos[0].mean() / mass.mean() == pytest.approx(110, rel=0.2)


def test_a_slope_of_minus_one_is_log_uniform(configure):
    rng = np.random.default_rng(4)
    config = configure(2, "cdm.mass_slope=-1")
    mass = np.concatenate([PointSubhalos().draw_one(config.cdm, rng)[0][0] for _ in range(100)])
    assert stats.kstest(np.log10(mass), stats.uniform(6, 4).cdf).pvalue > P


def test_subhaloes_are_uniform_in_radius_and_angle(point_subhalos):
    _, x, y = point_subhalos
    assert stats.kstest(np.hypot(x, y), stats.uniform(0.25, 1.75).cdf).pvalue > P
    assert stats.kstest(np.arctan2(y, x), stats.uniform(-np.pi, 2 * np.pi).cdf).pvalue > P


def test_mass_and_place_of_a_subhalo_are_independent(point_subhalos):
    mass, x, y = point_subhalos
    assert stats.spearmanr(mass, np.hypot(x, y)).pvalue > P
