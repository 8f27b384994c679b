"""External shear."""

import pytest
import torch

from lensphys import Shear
from tests.lensphys.jacobians import assert_jacobian, forward


def test_shear_neither_deflects_its_origin_nor_converges(grid):
    profile = Shear(gamma1=0.05, gamma2=-0.03, ra_0=0.31, dec_0=-0.31)
    alpha_x, alpha_y = profile.deflection(*grid)
    assert alpha_x[1, 4].item() == pytest.approx(0, abs=1e-17)
    assert alpha_y[1, 4].item() == pytest.approx(0, abs=1e-17)
    psi_xx, _, psi_yy = profile.hessian(*grid)
    assert torch.equal(psi_xx, -psi_yy)


JACOBIANS = {
    "shear": {"gamma1": 0.05, "gamma2": -0.03, "ra_0": 0.1, "dec_0": 0.2},
    "no shear": {"gamma1": 0.0, "gamma2": 0.0},
}


@pytest.mark.parametrize("parameters", JACOBIANS.values(), ids=JACOBIANS)
def test_the_jacobian_of_a_deflection_is_its_forward_derivative(parameters, grid):
    assert_jacobian(Shear, parameters, *grid, forward)
