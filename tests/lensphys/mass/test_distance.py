"""Positions farther away than formulas are written for."""

import pytest
import torch

import lensphys as lp
from lensphys.mass.distance import is_far


def test_positions_on_the_sky_are_not_far():
    x, y = lp.pixel_grid(64, 0.05)
    assert not is_far(x, y)
    assert not is_far(x + 3e5, y - 3e5)
    assert is_far(1e20 * x, y)
    assert is_far(x, 1e20 * y)


def test_what_is_no_map_of_numbers_is_left_to_the_checks_of_a_profile():
    x, y = lp.pixel_grid(3, 1.0)
    assert not is_far([1e30], y)
    assert not is_far(x.long(), y)
    with pytest.raises(ValueError, match="x must be a tensor of floating-point numbers"):
        lp.SIS(theta_E=1.0).deflection(x.long(), y)


def test_far_positions_of_one_ray_are_evaluated_in_double_precision_and_come_back_in_single():
    at = torch.tensor([[0.3, 1e19, 3e38]])
    alpha_x, alpha_y = lp.SIS(theta_E=1.3).deflection(at, 0 * at)
    assert alpha_x.dtype == torch.float32
    torch.testing.assert_close(alpha_x, torch.full_like(at, 1.3))
    assert (alpha_y == 0).all()


@pytest.mark.parametrize("method", ["potential", "deflection", "hessian"])
def test_positions_beyond_the_range_of_double_precision_are_refused(method):
    at = torch.tensor([[0.3, 1e200]], dtype=torch.float64)
    with pytest.raises(ValueError, match="x and y must lie within 1e\\+140 arcsec"):
        getattr(lp.SIS(theta_E=1.0), method)(at, 0 * at)


def test_a_ray_that_is_lost_does_not_stop_the_others():
    at = torch.tensor([[0.3, torch.inf, torch.nan]], dtype=torch.float64)
    alpha_x, _ = lp.SIS(theta_E=1.0).deflection(at, 0 * at)
    assert alpha_x[0, 0] == 1
    assert not torch.isfinite(alpha_x[0, 1:]).any()


def test_gradients_reach_far_positions():
    x = torch.tensor([[3e24]], requires_grad=True)
    y = torch.tensor([[4e24]], requires_grad=True)
    found = torch.autograd.grad(lp.SIS(theta_E=2.0).potential(x, y).sum(), (x, y))
    torch.testing.assert_close(found, (torch.tensor([[1.2]]), torch.tensor([[1.6]])))
