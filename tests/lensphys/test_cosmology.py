"""Distances and the angular scales that follow from them."""

import math

import pytest
from astropy import constants, units
from astropy.cosmology import FlatLambdaCDM, Planck18
from hypothesis import given, settings
from hypothesis import strategies as st

from lensphys.cosmology import ARCSEC, alpha_scale, flat_lambda_cdm, theta_E_of_mass

COSMOLOGIES = {"70, 0.3": FlatLambdaCDM(70, 0.3, Ob0=0.05), "Planck18": Planck18}


@pytest.fixture(params=COSMOLOGIES, scope="module")
def cosmology(request):
    return COSMOLOGIES[request.param]


def test_a_flat_cosmology_is_astropys():
    ours, theirs = flat_lambda_cdm(69.7, 0.2814, 0.0464), FlatLambdaCDM(69.7, 0.2814, Ob0=0.0464)
    assert ours == theirs
    assert ours.Ob0 == 0.0464


@settings(max_examples=15, deadline=None)
@given(log_mass=st.floats(5, 13), z_lens=st.floats(0.05, 2), behind=st.floats(0.05, 3))
@pytest.mark.parametrize("name", COSMOLOGIES)
def test_the_einstein_radius_is_that_of_schneider_ehlers_and_falco(name, log_mass, z_lens, behind):
    cosmology, mass, z_source = COSMOLOGIES[name], 10**log_mass, z_lens + behind
    d_l, d_s = (cosmology.angular_diameter_distance(z).to_value("m") for z in (z_lens, z_source))
    # In a flat universe comoving distances subtract; a second way to D_ls.
    comoving = [cosmology.comoving_distance(z).to_value("m") for z in (z_lens, z_source)]
    curvature_free = abs(cosmology.Ok0) < 1e-12
    assert curvature_free
    d_ls = (comoving[1] - comoving[0]) / (1 + z_source)
    gm = constants.G.value * mass * constants.M_sun.value
    expected = math.sqrt(4 * gm / constants.c.value**2 * d_ls / (d_l * d_s))
    expected *= units.rad.to("arcsec")
    found = theta_E_of_mass(mass, z_lens, z_source, cosmology)
    assert found == pytest.approx(expected, rel=1e-8)


def test_an_arcsecond_is_astropys():
    assert pytest.approx(units.rad.to("arcsec"), rel=1e-15) == ARCSEC


def test_the_published_lens_has_its_published_einstein_radius():
    cosmology = flat_lambda_cdm(70, 0.3, 0.05)
    published = theta_E_of_mass(1e12, 0.5, 1.0, cosmology, distances="luminosity")
    assert published == pytest.approx(1.28149057, abs=5e-9)


def test_luminosity_distances_make_the_published_lens_too_small():
    cosmology = flat_lambda_cdm(70, 0.3, 0.05)
    assert theta_E_of_mass(1e12, 0.5, 1.0, cosmology) == pytest.approx(1.6645, abs=5e-5)


@pytest.mark.parametrize("distances", ["angular_diameter", "luminosity"])
def test_the_einstein_radius_grows_as_the_root_of_the_mass(cosmology, distances):
    radii = [theta_E_of_mass(m, 0.5, 1.0, cosmology, distances=distances) for m in (1e8, 1e10)]
    assert radii[1] == pytest.approx(10 * radii[0], rel=1e-14)


def test_the_published_deflections_are_scaled_by_their_source_redshift_convention():
    cosmology = flat_lambda_cdm(69.7, 0.2814, 0.0464)
    assert alpha_scale(0.5, 1.0, 2.5, cosmology) == pytest.approx(0.6343147665739448, rel=1e-12)


@settings(max_examples=15, deadline=None)
@given(z_lens=st.floats(0.05, 2), behind=st.floats(0.05, 3), convention=st.floats(0.05, 3))
@pytest.mark.parametrize("name", COSMOLOGIES)
def test_the_scale_is_a_ratio_of_lensing_efficiencies(name, z_lens, behind, convention):
    cosmology = COSMOLOGIES[name]
    z = [z_lens + behind, z_lens + convention]

    def efficiency(z_source):  # D_ls / D_s, in which (1 + z_s) cancels
        lens, source = (cosmology.comoving_distance(v).value for v in (z_lens, z_source))
        return 1 - lens / source

    found = alpha_scale(z_lens, z[0], z[1], cosmology)
    assert found == pytest.approx(efficiency(z[0]) / efficiency(z[1]), rel=1e-8)


def test_a_source_at_the_convention_needs_no_scale(cosmology):
    assert alpha_scale(0.5, 1.0, 1.0, cosmology) == 1


def test_a_nearer_source_is_deflected_less(cosmology):
    assert alpha_scale(0.5, 1.0, 2.5, cosmology) < 1 < alpha_scale(0.5, 2.5, 1.0, cosmology)


@pytest.mark.parametrize(
    ("z_lens", "z_source"),
    [(0.5, 0.4), (0.5, 0.5), (0.0, 1.0), (-0.1, 1.0), (math.nan, 1.0), (0.5, math.nan)],
)
def test_a_source_in_front_of_the_lens_is_refused(z_lens, z_source, cosmology):
    message = f"z_source must lie behind the lens.*z_lens {z_lens} and z_source {z_source}"
    with pytest.raises(ValueError, match=message):
        theta_E_of_mass(1e12, z_lens, z_source, cosmology)
    with pytest.raises(ValueError, match=message):
        alpha_scale(z_lens, z_source, 2.5, cosmology)


def test_a_conventional_source_in_front_of_the_lens_is_refused(cosmology):
    with pytest.raises(ValueError, match="z_source must lie behind the lens"):
        alpha_scale(0.5, 1.0, 0.4, cosmology)


@pytest.mark.parametrize("mass", [0.0, -1e10, math.nan, math.inf])
def test_a_mass_that_is_not_positive_is_refused(mass, cosmology):
    with pytest.raises(ValueError, match="mass must be positive and finite"):
        theta_E_of_mass(mass, 0.5, 1.0, cosmology)
