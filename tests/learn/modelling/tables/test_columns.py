"""Every column has its unit and its meaning."""

import pytest

from learn.modelling.tables.columns import describe_column, parameter_unit


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("theta_E", "arcsec"),
        ("center_x", "arcsec"),
        ("gamma", ""),
        ("gamma1", ""),
        ("e2", ""),
        ("a3_cos", "arcsec"),
        ("source_R_sersic", "arcsec"),
        ("source_beta", "arcsec"),
        ("source_size", "arcsec"),
        ("lens_light_n_sersic", ""),
        ("lens_light_amplitude", "adu / arcsec2"),
        ("nothing_known", ""),
    ],
)
def test_a_parameter_has_the_unit_of_its_profile(name, unit):
    assert parameter_unit(name, "adu") == unit


def test_light_of_unknown_unit_has_none():
    assert parameter_unit("source_amplitude") == ""


def test_columns_are_described_in_words():
    assert describe_column("theta_E") == "Einstein radius of the mass, circularised"
    assert describe_column("mass_pa") == "position angle of the mass, East of North on the sky"
    assert describe_column("lens_light_q_error") == "standard error of lens_light_q"
    assert describe_column("lens_light_outer_e1").startswith("ellipticity of the outer lens light")
    assert describe_column("source_center_x") == "centre of the source"
    assert describe_column("shear_phi") == "angle of the shear, from +x towards +y on the image"
    assert describe_column("gamma") != describe_column("gamma1")
    assert describe_column("own_profile_thing") == "parameter of the fit"
