"""Loop of maps times a number."""

import pytest
import torch

from lensphys.kernels import launch


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_maps_are_multiplied_as_by_torch(dtype, by_torch):
    maps = torch.rand(2, 3, 5, 7, generator=torch.Generator().manual_seed(0)).to(dtype)
    found = launch.scale(maps, 0.0064)
    assert found.dtype == dtype
    assert torch.equal(found, by_torch(lambda: launch.scale(maps, 0.0064)))
    maps.requires_grad_()
    (gradient,) = torch.autograd.grad(launch.scale(maps, 0.0064).sum(), maps)
    assert torch.equal(gradient, torch.full_like(maps, 0.0064))
