"""Correlations of maps with kernels."""

import pytest
import torch

from lensphys.detection import correlation
from lensphys.detection.correlation import Correlator


@pytest.mark.parametrize("block", [1, 1 << 18])
def test_it_is_the_sum_over_pixels_of_maps_times_shifted_kernels(block, monkeypatch):
    monkeypatch.setitem(correlation._BLOCK, "cpu", block)
    ny, nx = 4, 7
    generator = torch.Generator().manual_seed(2)
    maps = torch.randn(2, 3, 5, ny, nx, generator=generator, dtype=torch.float64)
    kernels = torch.randn(2, 5, 2 * ny - 1, 2 * nx - 1, generator=generator, dtype=torch.float64)
    correlator = Correlator((ny, nx))
    found = correlator.correlate(maps, [correlator.spectrum(kernel) for kernel in kernels])
    for kernel, sums in zip(kernels, found, strict=True):
        expected = torch.zeros(2, 3, ny, nx, dtype=torch.float64)
        for y in range(ny):
            for x in range(nx):
                shifted = kernel[:, ny - 1 - y : 2 * ny - 1 - y, nx - 1 - x : 2 * nx - 1 - x]
                expected[..., y, x] = (maps * shifted).sum((-3, -2, -1))
        torch.testing.assert_close(sums, expected, rtol=1e-12, atol=1e-12)
