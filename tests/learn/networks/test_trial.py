"""Networks built without memory."""

import pytest
import torch
from torch import nn

from learn.networks.trial import check_network, count_bytes
from lensphys.ground.errors import InputError


def test_bytes_are_those_of_weights_gradients_and_moments_and_of_what_is_frozen() -> None:
    def build() -> nn.Module:
        module = nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5))
        module[0].weight.requires_grad = False
        return module

    trained, buffers = 5 + 5 + 5, 4 * (5 + 5) + 8
    assert count_bytes(build) == 16 * trained + 4 * 15 + buffers


def test_a_network_larger_than_memory_is_refused_and_none_is_built() -> None:
    with pytest.raises(InputError, match=r"these need 160 TB of memory, .* are free; take fewer"):
        check_network(lambda: nn.Linear(10**7, 10**6), "these", "take fewer")


def test_random_numbers_that_follow_are_the_same() -> None:
    torch.manual_seed(0)
    first = torch.rand(3)
    torch.manual_seed(0)
    check_network(lambda: nn.Linear(5, 5), "these", "take fewer")
    assert torch.equal(torch.rand(3), first)


def test_a_network_that_reads_numbers_is_left_to_be_built() -> None:
    def build() -> nn.Module:
        if torch.zeros(1).sum() > 0:
            raise AssertionError
        return nn.Identity()

    assert count_bytes(build) is None
