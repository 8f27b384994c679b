"""MoCo v3."""

import math

import torch

from learn.methods.moco import contrast


def test_mocos_contrast_is_least_where_queries_meet_their_own_keys() -> None:
    key = torch.nn.functional.normalize(torch.randn(8, 16), dim=1)
    own, other = contrast(key, key, 0.2), contrast(key.roll(1, 0), key, 0.2)
    assert own < 0.4 * math.log(8) < other
