"""Kernels of pixels: centred, and summed into wider pixels."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lenstronomy.Util import kernel_util

from lensphys.psf.pixel_kernels import centre_kernel, degrade
from tests.lensphys.psf.point_sources import kernel_of, odd


@pytest.mark.parametrize("factor", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("n_wide", [3, 5])
def test_a_finer_kernel_is_degraded_as_lenstronomy_does(factor, n_wide):
    n = n_wide * factor - (factor + 1) % 2
    kernel = kernel_of(n, n)
    expected = kernel_util.degrade_kernel(kernel.numpy(), factor)
    np.testing.assert_allclose(degrade(kernel, factor), expected, rtol=0, atol=1e-15)


@settings(max_examples=25, deadline=None)
@given(ky=odd, kx=odd, factor=st.integers(1, 7))
def test_a_degraded_kernel_keeps_its_light_and_its_centre(ky, kx, factor):
    kernel = kernel_of(ky, kx)
    wide = degrade(kernel, factor)
    assert all(n % 2 for n in wide.shape)
    assert wide.sum().item() == pytest.approx(1, rel=1e-13)
    turned = degrade(kernel.flip(0, 1), factor)
    torch.testing.assert_close(turned, wide.flip(0, 1), rtol=0, atol=1e-15)


def star(ny, nx, row, column):
    """A narrow asymmetric star on a faint pedestal of noise, with its peak in one pixel."""
    y, x = torch.arange(ny).double() - row, torch.arange(nx).double() - column
    light = torch.exp(-((x - 0.2) ** 2) / 3 - (y[:, None] + 0.3) ** 2 / 2)
    return light + 1e-3 * (kernel_of(ny, nx) * ny * nx - 1)


@pytest.mark.parametrize(
    ("ny", "nx", "row", "column"),
    [(20, 20, 10, 10), (20, 20, 9, 9), (20, 21, 9, 10), (21, 21, 8, 12), (9, 14, 4, 7)],
)
def test_a_kernel_is_centred_on_its_peak_without_loss_of_light(ny, nx, row, column):
    kernel = star(ny, nx, row, column)
    centred, note = centre_kernel(kernel)
    assert all(n % 2 for n in centred.shape)
    height, width = centred.shape
    assert divmod(int(centred.argmax()), width) == (height // 2, width // 2)
    top, left = height // 2 - row, width // 2 - column
    assert torch.equal(centred[top : top + ny, left : left + nx], kernel)
    assert centred.sum().item() == pytest.approx(kernel.sum().item(), rel=1e-14)
    assert f"{ny} x {nx} pixels had its peak in row {row} and column {column}" in note
    # Each side grows by what the peak was off by, and no more.
    assert (height, width) == tuple(2 * max(p, n - 1 - p) + 1 for p, n in ((row, ny), (column, nx)))


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (9, 11)])
def test_a_centred_kernel_stays_as_it_is(shape):
    kernel = star(*shape, shape[0] // 2, shape[1] // 2)
    centred, note = centre_kernel(kernel.numpy().astype(">f8"))
    assert note is None
    assert torch.equal(centred, kernel)


def test_a_star_between_pixels_moves_by_half_a_pixel():
    kernel = torch.tensor([[1.0, 2.0, 2.0, 1.0]]) * torch.tensor([[1.0], [2.0], [2.0], [1.0]])
    centred, _ = centre_kernel(kernel)
    assert tuple(centred.shape) == (5, 5)
    assert torch.equal(centred[1:, 1:], kernel)


@pytest.mark.parametrize(
    ("kernel", "message"),
    [
        (torch.zeros(5, 5), "^kernel must have a positive sum, got 0"),
        (-torch.ones(5, 5), "^kernel must have a positive sum, got -25"),
        (torch.tensor([[0.0, math.nan, 0.0]]), "^kernel must be finite in every pixel"),
        (torch.tensor([[0.0, math.inf, 0.0]]), "^kernel must be finite in every pixel"),
        (torch.ones(2, 5, 5), r"^kernel must be \(ky, kx\), got \(2, 5, 5\)"),
        (torch.ones(0, 5), r"^kernel must be \(ky, kx\), got \(0, 5\)"),
        (
            star(21, 21, 0, 0),
            "^kernel has its peak at the border, in row 0 and column 0 of 21 x 21",
        ),
        (star(21, 21, 10, 20), "^kernel has its peak at the border, in row 10 and column 20"),
    ],
)
def test_what_is_no_kernel_is_refused(kernel, message):
    with pytest.raises(ValueError, match=message):
        centre_kernel(kernel)
