"""Calls of loops: on threads, with masked members."""

import math

import torch

import lensphys as lp
from tests.lensphys.kernels.loops import SIE, members


def test_masked_members_may_hold_anything():
    x, y = lp.pixel_grid(8, 0.1)
    named = {key: value[0, :3].clone() for key, value in members("TNFW", torch.float32).items()}
    profile = lp.TNFW(**named)
    named["Rs"][1] = math.nan
    found = lp.Population(profile, mask=torch.tensor([True, False, True])).deflection(x, y)
    expected = lp.Population(lp.TNFW(**{k: v[[0, 2]] for k, v in named.items()})).deflection(x, y)
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_threads_change_no_bit():
    x, y = lp.pixel_grid(64, 0.08)
    sie = lp.SIE(**{key: value.float() for key, value in SIE.items()})
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = torch.stack(sie.deflection(x, y))
        torch.set_num_threads(3)
        several = torch.stack(sie.deflection(x, y))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(one, several)
