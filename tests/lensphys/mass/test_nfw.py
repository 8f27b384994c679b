"""Spherical halo of Navarro, Frenk & White."""

import math

import pytest
import torch

from lensphys import NFW
from tests.lensphys.mass.halos import (
    assert_all_digits,
    assert_cut_off_at_the_centre,
    assert_gradients_around_the_scale_radius,
)


def test_alpha_Rs_is_the_deflection_at_the_scale_radius():
    at = torch.full((1, 1), 0.7, dtype=torch.float64)
    alpha_x, alpha_y = NFW(Rs=0.7, alpha_Rs=0.2).deflection(at, 0 * at)
    assert alpha_x.item() == pytest.approx(0.2, rel=1e-14)
    assert alpha_y.item() == 0


@pytest.mark.parametrize(("dtype", "precision"), [(torch.float64, 2e-14), (torch.float32, 5e-6)])
def test_a_halo_has_all_its_digits_at_every_radius(dtype, precision):
    assert_all_digits(math.inf, dtype, precision)


def test_the_gradients_of_a_halo_are_good_to_1e_10_around_its_scale_radius():
    assert_gradients_around_the_scale_radius(math.inf)


def test_the_convergence_of_a_halo_is_cut_off_at_the_very_centre():
    assert_cut_off_at_the_centre(math.inf)
