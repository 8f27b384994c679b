"""Subhaloes and vortices obey the relations that they cite."""

import dataclasses

import numpy as np
import pytest
import torch
from astropy import units
from astropy.cosmology import FlatLambdaCDM, Planck18
from lenstronomy.Cosmo.lens_cosmo import LensCosmo
from scipy import stats

import lensphys as lp
from lensphys.ground.errors import InputError
from simulate.distributions import power_law
from simulate.substructure import cdm
from simulate.substructure.axion import Vortex
from simulate.substructure.cdm import Subhalos
from simulate.substructure.lens_plane import LensPlane, de_broglie_wavelength

PLANE = LensPlane(0.5, 1.0, Planck18)
P = 1e-3
N = 300


@pytest.fixture(scope="module")
def config(configure):
    return configure(2, preset="physical")


def params(fraction=0.05, theta_E=1.2, gamma=2.0, n=N):
    values = {"theta_E": theta_E, "gamma": gamma, "substructure_fraction": fraction}
    values |= {"center_x": 0.1, "center_y": -0.2}
    return {name: np.full(n, value) for name, value in values.items()}


def rngs(n=N):
    return [np.random.default_rng([1, i]) for i in range(n)]


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


def test_a_wave_of_1e_22_ev_at_300_km_s_measures_0_4_kpc():
    length = de_broglie_wavelength(np.array(1e-22), np.array(300.0))
    assert length == pytest.approx(0.4018, rel=1e-3)
    reference = 4.135667696e-15 * 2.99792458e8**2 / (1e-22 * 3e5) * units.m
    assert length == pytest.approx(reference.to_value("kpc"), rel=1e-9)


def test_velocity_dispersion_is_that_of_the_isothermal_sphere():
    sigma = LensCosmo(0.5, 1.0, cosmo=Planck18).sis_theta_E2sigma_v(1.2)
    assert PLANE.velocity_dispersion(np.array([1.2]))[0] == pytest.approx(sigma, rel=1e-6)


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


def test_more_subhaloes_than_a_computer_can_hold_are_refused(config):
    light = config.cdm.model_copy(update={"mass_min": 1.0})
    with pytest.raises(InputError, match=r"cdm: .* subhaloes an image are too many"):
        Subhalos().draw(light, PLANE, params(), rngs())


def test_a_source_in_front_of_the_lens_is_refused():
    with pytest.raises(ValueError, match="behind the lens"):
        dataclasses.replace(PLANE, z_source=0.3)
