"""Deflections of a perturber in few terms."""

import pytest
import torch
from torch.nn import functional as F

from lensphys.detection.expansion import expand
from lensphys.detection.perturbers import make_perturbers
from lensphys.products import product

SCALE = 0.1
CPU = torch.device("cpu")


def envelope(reach, factor):
    """A PSF of one pixel (FWHM), with wings."""
    width = factor * (2 * reach + 1)
    r2 = ((torch.arange(width, dtype=torch.float64) - (width - 1) / 2) / factor).square()
    r2 = r2[:, None] + r2
    shares = torch.exp(-r2 / 0.36) + 1e-4 / (1 + r2)
    return tuple((shares / shares.sum()).flatten().tolist())


@pytest.mark.parametrize("profile", ["point_mass", "TNFW", "line"])
@pytest.mark.parametrize(("reach", "factor"), [(2, 1), (2, 2), (4, 1)])
def test_few_terms_hold_the_deflections_around_pixels_at_every_distance(profile, reach, factor):
    shape, shares = (26, 31), envelope(reach, factor)
    perturber = make_perturbers(profile, {}, 3 if profile == "line" else None)[-1]
    (found,) = expand((perturber,), shares, reach, factor, shape, SCALE, CPU)
    width, (near_y, near_x) = factor * (2 * reach + 1), found.near
    boxed = (2 * near_y + 1) * (2 * near_x + 1)
    basis = found.terms[boxed:]
    assert len(basis) < 25
    assert boxed + len(basis) < 350

    offset = (torch.arange(width, dtype=torch.float64) - (width - 1) / 2) / factor
    weights = torch.tensor(shares, dtype=torch.float64)
    for y, x in ((0, 0), (1, -2), (near_y + 1, 0), (-3, near_x + 2), (25, -30), (-20, 19)):
        at_y, at_x = torch.meshgrid((y + offset) * SCALE, (x + offset) * SCALE, indexing="ij")
        alpha = torch.stack(perturber.deflection(at_x, at_y)).flatten(1) * weights
        expected = alpha.flatten()
        if abs(y) <= near_y and abs(x) <= near_x:
            # The last distance comes first.
            term = (near_y - y) * (2 * near_x + 1) + near_x - x
            torch.testing.assert_close(found.terms[term], expected, rtol=1e-9, atol=1e-12)
        else:
            kept = product(product(expected, basis.mT), basis)
            assert (kept - expected).norm() < 3e-5 * expected.norm()


def test_kernels_are_those_of_the_terms():
    (found,) = expand(
        (make_perturbers("TNFW", {}, None)[0],), envelope(2, 1), 2, 1, (9, 8), SCALE, CPU
    )
    rays = torch.rand(2, 13, 12, dtype=torch.float64)
    spectra = (torch.fft.rfft2(rays, s=found.size) * found.kernels).sum(1)
    maps = torch.fft.irfft2(spectra, s=found.size)[:, :9, :8]
    expected = product(found.terms, F.unfold(rays[None], 5)[0]).unflatten(1, (9, 8))
    torch.testing.assert_close(maps, expected, rtol=1e-10, atol=1e-12)


def test_pairs_without_a_product_are_left_out():
    (found,) = expand(
        (make_perturbers("TNFW", {}, None)[0],), envelope(3, 1), 3, 1, (40, 40), SCALE, CPU
    )
    first, second = found.pairs
    count = len(found.terms) - (2 * found.near[0] + 1) * (2 * found.near[1] + 1)
    assert (first <= second).all()
    assert {(k, k) for k in range(3)} <= set(zip(first.tolist(), second.tolist(), strict=True))
    assert len(first) < 0.6 * count * (count + 1) / 2
