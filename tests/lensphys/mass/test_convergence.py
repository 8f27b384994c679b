"""Uniform sheet of mass."""

import torch

from lensphys import ConvergenceSheet


def test_a_sheet_magnifies_about_its_point_without_deflection(grid):
    x, y = grid
    sheet = ConvergenceSheet(kappa=0.2, ra_0=0.31, dec_0=-0.31)
    alpha_x, alpha_y = sheet.deflection(x, y)
    torch.testing.assert_close(alpha_x, 0.2 * (x - 0.31))
    torch.testing.assert_close(alpha_y, 0.2 * (y + 0.31))
    psi_xx, psi_xy, psi_yy = sheet.hessian(x, y)
    assert torch.equal((psi_xx + psi_yy) / 2, torch.full_like(x, 0.2))
    assert (psi_xy == 0).all()
    assert (psi_xx == psi_yy).all()


def test_a_sheet_may_lack_matter(grid):
    missing, there = (ConvergenceSheet(kappa=k).potential(*grid) for k in (-0.1, 0.1))
    assert torch.equal(missing, -there)
