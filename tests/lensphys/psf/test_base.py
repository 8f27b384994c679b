"""All point-spread functions alike."""

import pytest
import torch

from lensphys import GaussianPSF, MoffatPSF, PixelPSF
from tests.lensphys.psf.point_sources import KERNEL, picture

PSFS = {
    "gaussian": GaussianPSF(0.16, 0.1),
    "moffat": MoffatPSF(0.16, 3.0, 0.1, truncation=3.0),
    "pixels": PixelPSF(KERNEL, 0.1),
}


@pytest.mark.parametrize("psf", PSFS.values(), ids=PSFS)
def test_flux_well_inside_the_frame_is_conserved(psf):
    image = torch.zeros(31, 42, dtype=torch.float64)
    image[12:19, 17:25] = picture(7, 8)
    assert psf.convolve(image).sum().item() == pytest.approx(image.sum().item(), rel=1e-13)


@pytest.mark.parametrize("psf", PSFS.values(), ids=PSFS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_stack_is_blurred_image_by_image_in_its_own_dtype(psf, dtype):
    stack = picture(2, 3, 8, 11).to(dtype)
    blurred = psf.convolve(stack)
    assert blurred.dtype == dtype
    single = torch.stack([torch.stack([psf.convolve(image) for image in row]) for row in stack])
    torch.testing.assert_close(
        blurred, single, rtol=2e-6 if dtype == torch.float32 else 1e-13, atol=0
    )
    torch.testing.assert_close(blurred.double(), psf.convolve(stack.double()), rtol=3e-6, atol=0)


@pytest.mark.parametrize("psf", PSFS.values(), ids=PSFS)
def test_gradients_through_a_psf_are_right(psf, check_gradients):
    check_gradients(lambda p: psf.convolve(p["image"]), {"image": picture(2, 3, 4)})


@pytest.mark.parametrize("factor", [8, 9])
@pytest.mark.parametrize("make", [GaussianPSF, lambda f, p, **k: MoffatPSF(f, 3.0, p, 5, **k)])
def test_a_supersampled_kernel_is_the_mean_over_the_pixel(make, factor):
    # A PSF as wide as a pixel: its value in the middle is far above its mean.
    coarse, fine = (make(0.1, 0.1, supersampling=s).kernel() for s in (1, factor))
    finer = make(0.1, 0.1, supersampling=4 * factor + 1).kernel()
    peaks = [k.max().item() for k in (coarse, fine, finer)]
    assert peaks[1] == pytest.approx(peaks[2], rel=1e-2)
    assert peaks[0] > 1.1 * peaks[2]


@pytest.mark.parametrize("width", ["tensor", "parameter", "tensor of one axis"])
@pytest.mark.parametrize("size", [12, 40])
def test_a_psf_follows_a_width_that_is_a_tensor(width, size):
    fwhm = torch.tensor([0.2] if width == "tensor of one axis" else 0.2, dtype=torch.float64)
    fwhm = torch.nn.Parameter(fwhm) if width == "parameter" else fwhm
    beta = torch.tensor(3.0, dtype=torch.float64)
    gaussian, moffat = GaussianPSF(fwhm, 0.1), MoffatPSF(fwhm, beta, 0.1, truncation=3.0)
    image = picture(size, size)
    for value, slope in ((0.2, 3.0), (0.5, 2.5), (0.3, 4.0)):
        with torch.no_grad():
            fwhm.fill_(value)
            beta.fill_(slope)
        for found, fixed in (
            (gaussian.convolve(image), GaussianPSF(value, 0.1)),
            (moffat.convolve(image), MoffatPSF(value, slope, 0.1, truncation=3.0)),
        ):
            torch.testing.assert_close(found, fixed.convolve(image), rtol=1e-12, atol=1e-15)
    with torch.no_grad():
        fwhm.fill_(-1.0)
        with pytest.raises(ValueError, match=r"^fwhm must be positive and finite, got -1"):
            gaussian.convolve(image)


def test_gradients_by_the_width_and_the_slope_are_right(check_gradients):
    image = picture(9, 8)
    check_gradients(
        lambda p: GaussianPSF(p["fwhm"], 0.1, supersampling=2).convolve(image), {"fwhm": 0.23}
    )
    check_gradients(
        lambda p: MoffatPSF(p["fwhm"], p["beta"], 0.1, truncation=2.0).convolve(image),
        {"fwhm": 0.23, "beta": 3.1},
    )


def test_a_setting_that_would_lose_its_gradient_is_refused():
    scale = torch.tensor(0.1, requires_grad=True)
    with pytest.raises(ValueError, match=r"^pixel_scale must be a number without gradients"):
        GaussianPSF(0.2, scale)
    assert GaussianPSF(0.2, scale.detach()).pixel_scale == pytest.approx(0.1)


def test_an_image_of_whole_numbers_or_half_precision_is_blurred_as_floats():
    image = (20 * picture(30, 31)).floor()
    for psf in (GaussianPSF(0.2, 0.1), GaussianPSF(1.5, 0.1), *PSFS.values()):
        expected = psf.convolve(image)
        for other in (image.to(torch.uint8), image.half(), image.numpy().astype(">f4")):
            torch.testing.assert_close(psf.convolve(other).double(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("bad", [0, -1, 1.5, True])
def test_a_supersampling_that_is_no_count_is_refused(bad):
    for make in (
        lambda s: GaussianPSF(0.16, 0.1, supersampling=s),
        lambda s: MoffatPSF(0.16, 3.0, 0.1, supersampling=s),
        lambda s: PixelPSF(KERNEL, 0.1, supersampling=s),
    ):
        with pytest.raises(ValueError, match=r"^supersampling must be a whole number from 1 on"):
            make(bad)


@pytest.mark.parametrize("bad", [None, "0.1", [0.1]])
@pytest.mark.parametrize("name", ["fwhm", "pixel_scale", "truncation"])
def test_a_width_that_is_no_number_is_refused_by_name(name, bad):
    with pytest.raises(ValueError, match=f"^{name} must be positive and finite"):
        GaussianPSF(**({"fwhm": 0.1, "pixel_scale": 0.05} | {name: bad}))


@pytest.mark.parametrize("psf", PSFS.values(), ids=PSFS)
def test_a_psf_that_is_the_same_for_all_images_is_that_of_some(psf):
    assert psf.take(torch.tensor([1, 0])) is psf
