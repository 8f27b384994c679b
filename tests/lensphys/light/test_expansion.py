"""Light that is a sum of basis functions."""

import numpy as np
import pytest
import torch

from lensphys import MultiGaussian, Shapelets, pixel_grid

EXPANSIONS = [
    lambda amp: Shapelets(amp=amp, n_max=1, beta=0.3),
    lambda amp: MultiGaussian(amp=amp, sigma=[0.1, 0.2, 0.5], e1=0.1),
]
each = pytest.mark.parametrize("make", EXPANSIONS, ids=["Shapelets", "MultiGaussian"])


@each
def test_the_light_is_linear_in_the_amplitudes(make):
    x, y = pixel_grid((5, 6), 0.2, dtype=torch.float64)
    a, b = torch.rand(2, 3, dtype=torch.float64)
    together = make(2 * a - b).surface_brightness(x, y)
    parts = 2 * make(a).surface_brightness(x, y) - make(b).surface_brightness(x, y)
    torch.testing.assert_close(together, parts)


@each
def test_the_caller_keeps_no_hold_on_the_amplitudes_but_by_gradients(make):
    x, y = pixel_grid(4, 0.2, dtype=torch.float64)
    amp = torch.ones(3, dtype=torch.float64)
    light = make(amp)
    before = light.surface_brightness(x, y)
    amp.mul_(2)
    assert torch.equal(light.surface_brightness(x, y), before)
    amp.requires_grad_()
    light = make(amp)
    light.surface_brightness(x, y).sum().backward()
    torch.testing.assert_close(amp.grad, light.basis(x, y).sum((-2, -1)))


@each
def test_arrays_and_lists_are_amplitudes_too(make):
    x, y = pixel_grid(4, 0.2, dtype=torch.float64)
    right = make(torch.tensor([1.0, 2.0, 3.0])).surface_brightness(x, y)
    for amp in ([1, 2, 3], np.array([1.0, 2.0, 3.0], dtype=">f8"), np.array([3.0, 2.0, 1.0])[::-1]):
        assert torch.equal(make(amp).surface_brightness(x, y), right)
