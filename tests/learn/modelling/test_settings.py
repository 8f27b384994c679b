"""Settings of the command `model`."""

import pytest

from lensphys.ground.errors import InputError
from tests.learn.modelling.make_lenses import settings


def test_a_model_depends_on_all_settings_but_its_place():
    first = settings()
    assert first.identity() == settings(out="elsewhere", device="cpu").identity()
    for change in ({"source_order": 4}, {"seed": 1}, {"priors": {"gamma": [2.0, 0.1]}}):
        assert first.identity() != settings(**change).identity()


def test_arguments_of_the_fit_are_those_of_the_settings():
    options = settings(lens_light="none", multipoles=[3, 4]).fit_options()
    assert options["lens_light"] is None
    assert options["multipoles"] == (3, 4)
    assert settings().fit_options()["lens_light"] == "mge"
    assert settings(model_error=[0.05, 0.0]).fit_options()["model_error"] == (0.05, 0.0)


def test_several_profiles_have_a_number():
    options = settings(source="2xsersic", lens_light="3xsersic").fit_options()
    assert options["source"] == ("sersic",) * 2
    assert options["lens_light"] == ("sersic",) * 3
    assert settings(source="pixels").fit_options()["source"] == "pixels"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mas": "SIE"}, r"unknown key 'mas' \(did you mean 'mass'\?\)"),
        ({"mass": "NFW"}, "mass: Input should be 'SIE' or 'EPL'"),
        ({"multipoles": [2]}, "multipoles.0: "),
        ({"multipoles": [3, 3]}, r"multipoles must be given once each, got \[3, 3\]"),
        ({"model_error": -0.1}, "model_error"),
        ({"model_error": [0.1, 1.0]}, "model_error"),
        ({"field": 0}, "field: "),
        ({"priors": {"gamma": [2.0, 0.0]}}, "standard deviation of gamma must be above 0"),
    ],
)
def test_values_out_of_range_are_refused(change, message):
    with pytest.raises(InputError, match=message):
        settings(**change)
