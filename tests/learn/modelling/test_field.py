"""Field that is fitted."""

import numpy as np
import pytest

from learn.modelling.field import FIELDS, choose_field
from tests.learn.modelling.shining_lenses import SCALE, SIGMA, make_data


def test_the_field_holds_the_arcs_and_little_else():
    assert choose_field(make_data((121, 121), theta_E=1.0)) == FIELDS[0]
    assert choose_field(make_data((161, 161), theta_E=3.0)) == FIELDS[1]


def test_a_small_image_is_taken_whole():
    data = make_data((41, 45))
    assert choose_field(data) == pytest.approx(0.5 * 41 * SCALE)


def test_the_field_does_not_depend_on_the_unit():
    data = make_data((121, 121))
    for scale in (1e-20, 1e15):
        other = make_data(
            (121, 121), image=scale * data.image, noise=np.full((121, 121), scale * SIGMA)
        )
        assert choose_field(other) == FIELDS[0]


def test_masked_pixels_may_hold_anything():
    data = make_data((121, 121))
    data.image[:20], data.noise[:20] = 1e3, np.inf
    assert choose_field(data) == FIELDS[0]
