"""Distances and the angular scales that follow from them."""

import math

import pytest
import torch
from astropy import constants, units
from astropy.cosmology import FlatLambdaCDM as AstropyFlatLambdaCDM
from astropy.cosmology import Planck18
from hypothesis import given, settings
from hypothesis import strategies as st
from lenstronomy.Cosmo.lens_cosmo import LensCosmo
from lenstronomy.Util import constants as their_constants

from lensphys.cosmology import (
    ARCSEC,
    FlatDistances,
    FlatLambdaCDM,
    alpha_scale,
    angular_diameter_distance,
    flat_lambda_cdm,
    lensing_efficiency,
    mass_of_theta_E,
    sigma_critical,
    theta_E_of_mass,
    time_delay_distance,
    transverse_comoving_distance,
)

COSMOLOGIES = {"70, 0.3": AstropyFlatLambdaCDM(70, 0.3, Ob0=0.05), "Planck18": Planck18}


@pytest.fixture(params=COSMOLOGIES, scope="module")
def cosmology(request):
    return COSMOLOGIES[request.param]


def test_a_flat_cosmology_is_astropys():
    ours = flat_lambda_cdm(69.7, 0.2814, 0.0464)
    theirs = AstropyFlatLambdaCDM(69.7, 0.2814, Ob0=0.0464)
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
    with pytest.raises(ValueError, match="z_source_convention must lie behind the lens"):
        alpha_scale(0.5, 1.0, 0.4, cosmology)


@pytest.mark.parametrize("mass", [0.0, -1e10, math.nan, math.inf])
def test_a_mass_that_is_not_positive_is_refused(mass, cosmology):
    with pytest.raises(ValueError, match="mass must be positive and finite"):
        theta_E_of_mass(mass, 0.5, 1.0, cosmology)


MEASURES = {
    "sigma_critical": lambda z_l, z_s, c: sigma_critical(z_l, z_s, c),
    "sigma_critical per Mpc^2": lambda z_l, z_s, c: sigma_critical(z_l, z_s, c, per="Mpc^2"),
    "time_delay_distance": time_delay_distance,
    "theta_E_of_mass": lambda z_l, z_s, c: theta_E_of_mass(1e12, z_l, z_s, c),
    "mass_of_theta_E": lambda z_l, z_s, c: mass_of_theta_E(1.3, z_l, z_s, c),
    "alpha_scale": lambda z_l, z_s, c: alpha_scale(z_l, z_s, 3.0, c),
    "lensing_efficiency": lensing_efficiency,
}
each_measure = pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES)


@settings(max_examples=25, deadline=None)
@given(H0=st.floats(40, 100), Om0=st.floats(0.01, 1), z1=st.floats(0, 3), dz=st.floats(0.01, 8))
def test_a_differentiable_distance_is_astropys(H0, Om0, z1, dz):
    theirs = AstropyFlatLambdaCDM(H0, Om0, Tcmb0=0)
    ours, z2 = FlatLambdaCDM(H0=H0, Om0=Om0), z1 + dz
    for measure in (angular_diameter_distance, transverse_comoving_distance):
        found = measure(z1, z2, ours)
        assert isinstance(found, float)
        assert found == pytest.approx(measure(z1, z2, theirs), rel=1e-10)


def test_a_distance_is_exact_to_recombination_and_without_matter_or_lambda():
    for Om0 in (1e-4, 0.3, 1.0):
        theirs = AstropyFlatLambdaCDM(70, Om0, Tcmb0=0).comoving_distance(1100.0).value
        found = FlatLambdaCDM(H0=70.0, Om0=Om0).comoving_distance(0.0, 1100.0)
        assert found == pytest.approx(theirs, rel=1e-11)
    # Einstein-de Sitter and de Sitter have closed forms.
    hubble = constants.c.to_value("km/s") / 70
    flat = FlatLambdaCDM(H0=70.0, Om0=1.0).comoving_distance(0.0, 2.0)
    assert flat == pytest.approx(2 * hubble * (1 - 1 / math.sqrt(3)), rel=1e-13)
    empty = FlatLambdaCDM(H0=70.0, Om0=0.0).comoving_distance(0.5, 2.0)
    assert empty == pytest.approx(1.5 * hubble, rel=1e-13)


@each_measure
def test_both_cosmologies_agree_on_every_measure(measure):
    theirs, ours = AstropyFlatLambdaCDM(70, 0.3, Tcmb0=0), FlatLambdaCDM(H0=70.0, Om0=0.3)
    assert measure(0.5, 1.7, ours) == pytest.approx(measure(0.5, 1.7, theirs), rel=1e-10)


@each_measure
def test_measures_have_the_right_gradients(measure, check_gradients):
    p = {"z_l": [0.3, 0.5], "z_s": [1.0, 1.7], "H0": [67.0, 73.0], "Om0": [0.3, 0.25]}

    def evaluate(p):
        found = measure(p["z_l"], p["z_s"], FlatLambdaCDM(H0=p["H0"], Om0=p["Om0"]))
        # alpha_scale and the efficiency do not depend on H0.
        return torch.log(found) + 0 * p["H0"]

    check_gradients(evaluate, p)


@each_measure
def test_a_batch_of_cosmologies_is_its_members(measure):
    H0, Om0 = torch.tensor([67.0, 73.0]), torch.tensor([0.3, 0.25], dtype=torch.float64)
    found = measure(0.5, 1.7, FlatLambdaCDM(H0=H0, Om0=Om0))
    assert found.dtype == torch.float64
    for i in range(2):
        alone = measure(0.5, 1.7, FlatLambdaCDM(H0=H0[i].item(), Om0=Om0[i].item()))
        assert found.expand(2)[i].item() == pytest.approx(alone, rel=1e-13)


def test_distances_go_through_vmap():
    H0 = torch.tensor([67.0, 73.0], dtype=torch.float64)
    found = torch.func.vmap(lambda h: time_delay_distance(0.5, 1.0, FlatLambdaCDM(H0=h, Om0=0.3)))(
        H0
    )
    torch.testing.assert_close(
        found, time_delay_distance(0.5, 1.0, FlatLambdaCDM(H0=H0, Om0=0.3)), rtol=1e-14, atol=0
    )


def test_the_time_delay_distance_is_lenstronomys(cosmology):
    theirs = LensCosmo(0.5, 1.7, cosmo=cosmology)
    assert time_delay_distance(0.5, 1.7, cosmology) == pytest.approx(theirs.ddt, rel=1e-12)
    # Its G M_sun is 2.7e-4 larger than the nominal one.
    ratio = 1.3271244e20 / (their_constants.G * their_constants.M_sun)
    found = sigma_critical(0.5, 1.7, cosmology) * ratio
    assert found == pytest.approx(theirs.sigma_crit_angle, rel=2e-9)
    found = sigma_critical(0.5, 1.7, cosmology, per="Mpc^2") * ratio
    assert found == pytest.approx(theirs.sigma_crit, rel=2e-9)


def test_the_time_delay_distance_falls_as_one_over_H0():
    H0 = torch.tensor(70.0, dtype=torch.float64, requires_grad=True)
    distance = time_delay_distance(0.5, 1.7, FlatLambdaCDM(H0=H0, Om0=0.3))
    distance.backward()
    assert H0.grad.item() == pytest.approx(-distance.item() / 70, rel=1e-13)


def test_mass_and_einstein_radius_are_each_others_inverse(cosmology):
    radius = theta_E_of_mass(3e11, 0.5, 1.7, cosmology)
    assert mass_of_theta_E(radius, 0.5, 1.7, cosmology) == pytest.approx(3e11, rel=1e-12)


def test_a_tensor_needs_a_differentiable_cosmology(cosmology):
    with pytest.raises(ValueError, match=r"needs lensphys\.cosmology\.FlatLambdaCDM, got FlatL"):
        time_delay_distance(torch.tensor(0.5), 1.0, cosmology)


def test_tensors_of_redshifts_out_of_order_are_refused():
    ours = FlatLambdaCDM(H0=70.0, Om0=0.3)
    with pytest.raises(ValueError, match=r"z_source must lie behind .* got z_lens a tensor"):
        time_delay_distance(torch.tensor([0.5, 1.5]), 1.0, ours)
    with pytest.raises(ValueError, match="mass must be positive and finite"):
        theta_E_of_mass(torch.tensor([1e10, -1.0]), 0.5, 1.0, ours)
    with pytest.raises(ValueError, match=r"^per must be"):
        sigma_critical(0.5, 1.0, ours, per="kpc^2")


@pytest.mark.parametrize(("name", "bad"), [("H0", 0.0), ("H0", -70.0), ("Om0", -0.1), ("Om0", 1.1)])
def test_a_cosmology_out_of_range_is_refused_by_name(name, bad):
    with pytest.raises(ValueError, match=f"^{name} must be finite and in "):
        FlatLambdaCDM(**({"H0": 70.0, "Om0": 0.3} | {name: bad}))


@pytest.mark.parametrize("bad", [None, "0.5", {0.5}])
def test_a_redshift_that_is_no_number_is_refused_by_name(bad):
    with pytest.raises(ValueError, match=r"^z_source must be a number or a tensor, got "):
        theta_E_of_mass(1e12, 0.5, bad, FlatLambdaCDM(H0=70.0, Om0=0.3))


def test_a_source_at_infinity_and_unknown_distances_are_refused():
    cosmology = FlatLambdaCDM(H0=70.0, Om0=0.3)
    with pytest.raises(ValueError, match="z_source must lie behind the lens"):
        theta_E_of_mass(1e12, 0.5, math.inf, cosmology)
    with pytest.raises(ValueError, match="distances must be 'angular_diameter' or 'luminosity'"):
        theta_E_of_mass(1e12, 0.5, 1.0, cosmology, distances="comoving")


@pytest.mark.parametrize(("H0", "Om0"), [(70.0, 0.3), (69.7, 0.2814), (55.5, 0.05), (90.0, 0.97)])
@pytest.mark.parametrize(("z1", "z2"), [(0.0, 0.5), (0.0, 2.0), (0.5, 1.0), (0.31, 7.5)])
def test_distances_in_closed_form_are_those_of_astropy_to_the_last_digit(H0, Om0, z1, z2):
    theirs = flat_lambda_cdm(H0, Om0, 0.05 * Om0).angular_diameter_distance(z1, z2).value
    assert FlatDistances(H0, Om0).angular_diameter_distance(z1, z2) == theirs
