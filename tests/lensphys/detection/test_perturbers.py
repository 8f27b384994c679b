"""Perturbers of unit mass that are searched for."""

import math

import pytest
import torch

from lensphys.detection.perturbers import ANGLES, SHAPES, Perturber, make_perturbers


@pytest.mark.parametrize("profile", SHAPES)
def test_every_perturber_has_the_mass_of_an_einstein_radius_of_one_arcsec(profile):
    """Far away each deflects as a point mass does."""
    far = torch.tensor([[3e4]], dtype=torch.float64)
    for perturber in make_perturbers(profile, {}, None):
        alpha_x, alpha_y = perturber.deflection(far, 0.5 * far)
        r2 = far * far * 1.25
        # What is left of a halo outside of 3e4 arcsec falls with 1 / r.
        torch.testing.assert_close(alpha_x, far / r2, rtol=3e-5, atol=0)
        torch.testing.assert_close(alpha_y, 0.5 * far / r2, rtol=3e-5, atol=0)


def test_lines_are_spread_evenly_over_half_a_turn():
    lines = make_perturbers("line", {"half_length": 0.5}, 4)
    assert [line.phi for line in lines] == pytest.approx([0, math.pi / 4, math.pi / 2, 2.3561945])
    assert lines[0].extent == (0.5, 0.0)
    assert lines[2].extent == pytest.approx((0.0, 0.5))
    assert len(make_perturbers("line", {}, None)) == ANGLES


def test_sizes_have_defaults():
    assert make_perturbers("TNFW", {"Rs": 0.2}, None) == [
        Perturber("TNFW", (("Rs", 0.2), ("r_trunc", 0.5)))
    ]


@pytest.mark.parametrize(
    ("profile", "given", "angles", "message"),
    [
        ("NFW", {}, None, "profile must be one of point_mass, TNFW, line, got 'NFW'"),
        (
            "point_mass",
            {"Rs": 0.1},
            None,
            "Rs is a size of the profile 'TNFW', not of 'point_mass'",
        ),
        ("TNFW", {"Rs": -0.1}, None, "Rs must be finite and in"),
        ("TNFW", {"r_trunc": "wide"}, None, "r_trunc must be a number"),
        ("TNFW", {}, 3, "angles are those of the profile 'line', not of 'TNFW'"),
        ("line", {}, 0, "angles must be a whole number from 1 on, got 0"),
    ],
)
def test_what_is_no_perturber_is_refused(profile, given, angles, message):
    with pytest.raises(ValueError, match=message):
        make_perturbers(profile, given, angles)
