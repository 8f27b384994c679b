"""The row of a lens: parameters with errors, angles on the sky, and the mass inside the ring."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from astropy.constants import G, M_sun, c
from astropy.cosmology import Planck18

import lensphys as lp
from learn.modelling.tables.rows import make_row, with_error
from lensphys.fitting.linear.settings import LinearModel
from tests.learn.modelling.lenses import SCALE, SHAPE, TRUTH, make_wcs, modelled
from tests.lensphys.fitting.linear.scenes import pixels_of


def test_every_parameter_has_its_value_error_and_unit():
    model = modelled()
    row = make_row(model)
    for name in model.result.names:
        assert row.values[name] == pytest.approx(float(model.result.params[name][0]))
        assert row.values[f"{name}_error"] == pytest.approx(float(model.result.errors[name][0]))
    for name, truth in TRUTH.items():
        assert abs(row.values[name] - truth) < 4 * row.values[f"{name}_error"]
    assert row.units["theta_E"] == row.units["theta_E_error"] == "arcsec"
    assert row.units["source_amplitude"] == "adu / arcsec2"
    assert "e1" not in row.units
    assert row.values["chi2_dof"] == pytest.approx(1.0, abs=0.15)
    assert (row.values["converged"], row.values["seconds"]) == (True, 1.5)
    assert row.notes == ["image.fits: extension 1, SCI"]


def test_axis_ratios_and_angles_are_those_of_the_lens():
    values = make_row(modelled()).values
    modulus = math.hypot(TRUTH["e1"], TRUTH["e2"])
    assert values["mass_q"] == pytest.approx((1 - modulus) / (1 + modulus), abs=0.03)
    phi = math.degrees(0.5 * math.atan2(TRUTH["e2"], TRUTH["e1"])) % 180
    assert abs(values["mass_phi"] - phi) < 4 * values["mass_phi_error"] < 20
    assert values["shear"] == pytest.approx(math.hypot(values["gamma1"], values["gamma2"]))
    # North is up and East to the left: from +y counter-clockwise, phi is from +x.
    for body in ("mass", "lens_light", "shear"):
        turned = (values[f"{body}_phi"] - 90) % 180
        assert values[f"{body}_pa"] == pytest.approx(turned, abs=1e-3)
        assert values[f"{body}_pa_error"] == values[f"{body}_phi_error"]
    assert "source_pa" not in values


def test_a_turned_frame_turns_the_sky_and_not_the_image():
    straight = make_row(modelled()).values
    turned = make_row(modelled(wcs=make_wcs(angle=30.0))).values
    assert turned["mass_phi"] == straight["mass_phi"]
    difference = (straight["mass_pa"] - turned["mass_pa"]) % 180
    assert difference == pytest.approx(30.0, abs=1e-3)


def test_places_come_from_the_catalogue_or_else_from_the_wcs():
    values = make_row(modelled()).values
    assert (values["ra"], values["dec"]) == pytest.approx((150.0, 60.0))
    values = make_row(modelled(ra=10.0, dec=-5.0)).values
    assert (values["ra"], values["dec"]) == (10.0, -5.0)
    values = make_row(modelled(wcs=None)).values
    assert (values["ra"], values["dec"]) == (None, None)
    assert "mass_pa" not in values
    assert "mass_phi" in values


def test_the_mass_inside_the_ring_is_that_of_a_point_mass():
    values = make_row(modelled()).values
    d_l, d_s = (Planck18.angular_diameter_distance(z) for z in (0.3, 1.0))
    d_ls = Planck18.angular_diameter_distance_z1z2(0.3, 1.0)
    theta_E = math.radians(values["theta_E"] / 3600)
    mass = (theta_E**2 * c**2 / (4 * G) * d_l * d_s / d_ls / M_sun).to_value("")
    assert values["einstein_mass"] == pytest.approx(mass, rel=1e-3)
    relative = values["einstein_mass_error"] / mass
    assert relative == pytest.approx(2 * values["theta_E_error"] / values["theta_E"], rel=1e-3)
    assert "einstein_mass" not in make_row(modelled(z_source=None)).values


def test_parts_of_the_light_are_summed():
    model = modelled()
    values = make_row(model).values
    total = values["lensed_flux"] + values["lens_light_flux"]
    assert total + values["sky"] * np.prod(SHAPE) == pytest.approx(
        float(model.result.model.sum()), rel=1e-4
    )


def test_the_search_gives_its_highest_place():
    row = make_row(modelled())
    ny, nx = SHAPE
    assert row.values["search_snr"] == nx - 1
    # The highest column, and of its pixels the first that is not masked.
    assert row.values["search_x"] == pytest.approx(SCALE * (nx - 1) / 2, rel=1e-5)
    assert row.values["search_y"] == pytest.approx(-SCALE * (ny - 1) / 2, rel=1e-5)
    assert row.values["search_mass"] == pytest.approx((nx - 1) * 2e7, rel=1e-5)
    assert row.values["search_mass_error"] == pytest.approx(2e7, rel=1e-5)
    assert row.values["least_mass"] == pytest.approx(1e8)
    assert row.units["search_mass"] == row.units["least_mass"] == "solMass"
    assert "search_snr" not in make_row(modelled(searched=False)).values


def test_what_is_not_constrained_is_not_known():
    result = modelled().result
    errors = result.errors | {"gamma1": torch.tensor([torch.inf])}
    covariance = result.covariance.clone()
    place = result.names.index("gamma1")
    covariance[:, place] = covariance[:, :, place] = torch.inf
    loose = dataclasses.replace(result, errors=errors, covariance=covariance)
    values = make_row(modelled(result=loose)).values
    assert values["gamma1_error"] is None
    assert values["shear_error"] is None
    assert values["mass_q_error"] is not None


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (1.23456, 0.00987, "1.2346 ± 0.0099"),
        (52.24, 1.66, "52.2 ± 1.7"),
        (162.0, 45.0, "162 ± 45"),
        (9.8467e10, 4.46e8, "(9.847 ± 0.045) × 10^10"),
        (1.5, None, "1.5 ± ?"),
        (0.25, 0.0, "0.25"),
        (None, None, "–"),
    ],
)
def test_numbers_have_the_digits_of_their_errors(value, error, text):
    assert with_error(value, error) == text


def test_each_of_several_profiles_has_its_axes():
    names = LinearModel(source=("sersic",) * 2, lens_light=("sersic",) * 2).scene(pixels_of()).names
    start = dict.fromkeys(names, 0.1) | {name: 1.0 for name in names if "sersic" in name}
    start |= {"theta_E": 1.0, "source_2_e1": -0.2}
    kind = {"source": ("sersic",) * 2, "lens_light": ("sersic",) * 2, "max_steps": 0}
    result = lp.fit(torch.ones(20, 20), 1.0, pixel_scale=0.1, start=start, **kind)
    row = make_row(dataclasses.replace(modelled(searched=False), result=result))
    assert row.values["source_2_q"] < row.values["source_q"] < 1
    assert row.values["lens_light_2_pa"] is not None
    assert "source_2_pa" not in row.values
    assert row.units["source_2_R_sersic"] == "arcsec"
