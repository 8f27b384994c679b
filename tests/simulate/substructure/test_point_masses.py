"""Point masses of several images in one table."""

import numpy as np
import pytest
from pydantic import Field

from lensphys.ground.config import Strict
from simulate.substructure.lens_plane import MassScale
from simulate.substructure.point_masses import PointMassDraw


class Section(Strict):
    most: int = Field(gt=0)


class Growing(PointMassDraw[Section]):
    """One mass in the first image, two in the second, and so on."""

    section = Section
    columns = ("first_mass",)

    def __init__(self):
        self.count = 0

    def draw_one(self, section, rng):
        self.count = min(self.count + 1, section.most)
        masses = np.stack(
            [10.0 ** np.arange(self.count), rng.random(self.count), np.ones(self.count)]
        )
        return masses, {"first_mass": masses[0, 0]}


def test_images_with_fewer_masses_are_filled_up_with_such_of_none():
    rngs = [np.random.default_rng(i) for i in range(3)]
    drawn = Growing().draw(Section(most=3), MassScale(0.1), {}, rngs)
    theta_E = drawn.deflectors["theta_E"]
    assert theta_E.shape == (3, 3)
    assert (theta_E > 0).sum(1).tolist() == [1, 2, 3]
    assert theta_E[2] == pytest.approx(0.1 * np.sqrt([1, 10, 100]))
    assert drawn.labels["n_substructure"].tolist() == [1, 2, 3]
    assert drawn.labels["substructure_mass"].tolist() == [1, 11, 111]
    assert drawn.labels["first_mass"].tolist() == [1, 1, 1]
