"""Singular isothermal sphere."""

import torch

from lensphys import SIE, SIS


def test_an_sis_is_an_sie_of_q_1(grid):
    round_lens = {"theta_E": 1.3, "center_x": 0.2, "center_y": -0.1}
    sphere, ellipsoid = SIS(**round_lens), SIE(**round_lens)
    for method in ("potential", "deflection", "hessian"):
        found, expected = getattr(sphere, method)(*grid), getattr(ellipsoid, method)(*grid)
        torch.testing.assert_close(found, expected, rtol=1e-14, atol=1e-14)
