"""The mass of substructure inside the Einstein ring, whatever its profile."""

import numpy as np
import pytest

from lensphys.ground.errors import InputError
from simulate.substructure import substructure
from simulate.substructure.base import in_einstein_radii, mean_radial_deflection


def deflectors(**values):
    return {name: np.full((1, 1), value) for name, value in values.items()}


LENS = {"theta_E": np.array([1.5]), "center_x": np.array([0.1]), "center_y": np.array([-0.2])}


def test_lengths_are_in_einstein_radii_about_the_lens_and_angles_stay():
    line = deflectors(theta_E=0.3, half_length=0.75, phi=0.4, center_x=0.85, center_y=-0.2)
    scaled = in_einstein_radii("UniformLine", line, LENS)
    found = {name: values.item() for name, values in scaled.items()}
    expected = {"theta_E": 0.2, "half_length": 0.5, "phi": 0.4, "center_x": 0.5, "center_y": 0.0}
    assert found == pytest.approx(expected)


@pytest.mark.parametrize(("radius", "share"), [(0.0, 0.04), (0.8, 0.04), (1.3, 0.0)])
def test_a_point_mass_counts_where_it_is_inside(radius, share):
    point = deflectors(theta_E=0.2, center_x=radius, center_y=0.0)
    assert mean_radial_deflection("PointMass", point) == pytest.approx(share, abs=1e-6)


def test_masses_add_up():
    many = {
        "theta_E": np.full((2, 3), 0.1),
        "center_x": np.zeros((2, 3)),
        "center_y": np.zeros((2, 3)),
    }
    assert mean_radial_deflection("PointMass", many) == pytest.approx([0.03, 0.03], abs=1e-6)


def test_a_preset_that_a_class_is_not_drawn_in_is_refused():
    with pytest.raises(InputError, match="'cdm' has no substructure for preset other; it has one"):
        substructure("cdm").drawn_in("other")
