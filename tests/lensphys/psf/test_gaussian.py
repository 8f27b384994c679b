"""Gaussian point-spread functions."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from lensphys import GaussianPSF
from lensphys.psf import FWHM_PER_SIGMA
from tests.lensphys.psf.uses import FIRST_USES

#: fwhm, pixel_scale (arcsec) and truncation of the three instruments of the published data sets.
INSTRUMENTS = {
    "Model 1": (0.087, 0.05, 3.0),
    "Euclid VIS": (0.16, 0.101, 5.0),
    "HST WFC3 F160W": (0.08, 0.08, 5.0),
}


def random_image(*shape):
    return torch.rand(shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


@settings(max_examples=25, deadline=None)
@given(
    fwhm=st.floats(0.02, 1.2),
    scale=st.floats(0.03, 0.2),
    truncation=st.floats(0.5, 6),
    ny=st.integers(1, 20),
    nx=st.integers(1, 20),
)
def test_the_psf_is_scipys_gaussian_filter(fwhm, scale, truncation, ny, nx):
    image = random_image(ny, nx)
    expected = gaussian_filter(
        image.numpy(), fwhm / FWHM_PER_SIGMA / scale, mode="nearest", truncate=truncation
    )
    found = GaussianPSF(fwhm, scale, truncation).convolve(image)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("fwhm", "scale", "truncation"), INSTRUMENTS.values(), ids=INSTRUMENTS)
def test_the_psf_of_an_instrument_is_scipys_gaussian_filter(fwhm, scale, truncation):
    image = random_image(31, 42)
    expected = gaussian_filter(
        image.numpy(), fwhm / 2.354820045 / scale, mode="nearest", truncate=truncation
    )
    found = GaussianPSF(fwhm, scale, truncation).convolve(image)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


def test_fwhm_is_the_full_width_at_half_maximum():
    assert math.exp(-0.5 * (FWHM_PER_SIGMA / 2) ** 2) == pytest.approx(0.5, rel=1e-15)


@pytest.mark.parametrize(("fwhm", "scale", "truncation"), INSTRUMENTS.values(), ids=INSTRUMENTS)
def test_the_kernel_is_odd_symmetric_and_normalised(fwhm, scale, truncation):
    kernel = GaussianPSF(fwhm, scale, truncation).kernel()
    assert kernel.numel() % 2 == 1
    assert torch.equal(kernel, kernel.flip(0))
    assert kernel.sum().item() == pytest.approx(1, abs=1e-15)


@pytest.mark.parametrize(("fwhm", "scale", "truncation"), INSTRUMENTS.values(), ids=INSTRUMENTS)
def test_the_flux_of_a_source_well_inside_the_frame_is_conserved(fwhm, scale, truncation):
    image = torch.zeros(31, 42, dtype=torch.float64)
    image[12:19, 17:25] = random_image(7, 8)
    blurred = GaussianPSF(fwhm, scale, truncation).convolve(image)
    assert blurred.sum().item() == pytest.approx(image.sum().item(), rel=1e-14)
    assert blurred.max() < image.max()


def test_a_uniform_sky_stays_uniform():
    sky = torch.full((6, 9), 2.5, dtype=torch.float64)
    torch.testing.assert_close(GaussianPSF(0.5, 0.1).convolve(sky), sky, rtol=1e-14, atol=0)


def test_a_psf_much_narrower_than_a_pixel_changes_nothing():
    image = random_image(6, 9)
    assert torch.equal(GaussianPSF(1e-3, 0.1).convolve(image), image)


def test_every_image_of_a_stack_is_blurred_alone():
    psf, stack = GaussianPSF(0.16, 0.101), random_image(2, 3, 8, 11)
    single = torch.stack([torch.stack([psf.convolve(image) for image in row]) for row in stack])
    torch.testing.assert_close(psf.convolve(stack), single, rtol=1e-14, atol=0)


def test_the_psf_keeps_float32():
    image = random_image(8, 11)
    psf = GaussianPSF(0.16, 0.101)
    blurred = psf.convolve(image.float())
    assert blurred.dtype == torch.float32
    torch.testing.assert_close(blurred.double(), psf.convolve(image), rtol=1e-6, atol=0)


@pytest.mark.parametrize("use", FIRST_USES.values(), ids=FIRST_USES)
def test_what_a_psf_remembers_of_its_first_use_serves_every_other(use, check_gradients):
    # A width of its own, since a kernel may be kept from an earlier test.
    psf = GaussianPSF(0.16 + 1e-3 * list(FIRST_USES.values()).index(use), 0.101)
    image = random_image(3, 4)
    use(psf.convolve, image)
    sigma = psf.fwhm / FWHM_PER_SIGMA / psf.pixel_scale
    expected = gaussian_filter(image.numpy(), sigma, mode="nearest", truncate=psf.truncation)
    np.testing.assert_allclose(psf.convolve(image), expected, rtol=0, atol=1e-12)
    check_gradients(lambda p: psf.convolve(p["image"]), {"image": image})
    for other in FIRST_USES.values():
        other(psf.convolve, image)


def test_gradients_through_the_psf_are_right(check_gradients):
    psf = GaussianPSF(0.16, 0.101)
    check_gradients(lambda p: psf.convolve(p["image"]), {"image": random_image(2, 3, 4)})


@pytest.mark.parametrize("bad", [0.0, -0.1, math.nan, math.inf])
@pytest.mark.parametrize("name", ["fwhm", "pixel_scale", "truncation"])
def test_a_psf_without_a_width_is_refused_by_name(name, bad):
    with pytest.raises(ValueError, match=f"^{name} must be positive and finite"):
        GaussianPSF(**({"fwhm": 0.16, "pixel_scale": 0.1, "truncation": 5.0} | {name: bad}))


def test_the_pixel_mean_of_a_gaussian_is_an_error_function():
    kernel = GaussianPSF(0.1, 0.1, supersampling=101).kernel()
    sigma = 0.1 / 2.354820045
    expected = math.erf(0.05 / (math.sqrt(2) * sigma))
    assert kernel.max().item() == pytest.approx(expected, rel=2e-4)
