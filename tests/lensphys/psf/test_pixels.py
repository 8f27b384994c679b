"""Point-spread functions given by their pixels."""

import math

import numpy as np
import pytest
import torch
from lenstronomy.ImSim.Numerics.convolution import PixelKernelConvolution

from lensphys import PixelPSF
from lensphys.psf.convolution import fft_convolve
from tests.lensphys.psf.point_sources import KERNEL, kernel_of, picture
from tests.lensphys.psf.uses import FIRST_USES


@pytest.mark.parametrize("how", ["fft", "fft_static", "grid"])
@pytest.mark.parametrize("shape", [(16, 16), (15, 22), (31, 8)])
def test_a_pixel_psf_is_lenstronomys_pixel_kernel_convolution(how, shape):
    image, kernel = picture(*shape), kernel_of(7, 7)
    theirs = PixelKernelConvolution(kernel.numpy(), convolution_type=how)
    found = PixelPSF(kernel, 0.1).convolve(image)
    np.testing.assert_allclose(found, theirs.convolution2d(image.numpy()), rtol=0, atol=1e-14)


def test_a_point_source_shows_the_kernel_the_right_way_round():
    image = torch.zeros(9, 12, dtype=torch.float64)
    image[4, 6] = 1.0
    blurred = PixelPSF(KERNEL, 0.1).convolve(image)
    torch.testing.assert_close(blurred[2:7, 5:8], KERNEL, rtol=0, atol=1e-15)
    assert blurred.sum().item() == pytest.approx(1, rel=1e-14)


def test_outside_the_frame_there_is_no_light():
    sky = torch.ones(9, 12, dtype=torch.float64)
    blurred = PixelPSF(torch.full((3, 3), 1 / 9), 0.1).convolve(sky)
    assert blurred[1:-1, 1:-1].min().item() == pytest.approx(1, rel=1e-7)
    assert blurred[0, 0].item() == pytest.approx(4 / 9, rel=1e-7)


@pytest.mark.parametrize(("factor", "normalise"), [(1, False), (1, True), (2, True), (3, False)])
def test_gradients_with_respect_to_the_kernel_are_right(factor, normalise, check_gradients):
    def blurred(p):
        psf = PixelPSF(p["kernel"], 0.1, supersampling=factor, normalise=normalise)
        return psf.convolve(p["image"])

    check_gradients(blurred, {"image": picture(3, 4), "kernel": KERNEL})


def test_forward_derivatives_and_vmap_reach_the_kernel():
    image, kernels = picture(6, 7), torch.stack([KERNEL, KERNEL.flip(0)])

    def blurred(kernel):
        return PixelPSF(kernel, 0.1).convolve(image)

    together = torch.func.vmap(blurred)(kernels)
    torch.testing.assert_close(together, torch.stack([blurred(k) for k in kernels]))
    # The convolution is linear in the kernel.
    _, forward = torch.func.jvp(blurred, (KERNEL,), (kernels[1],))
    torch.testing.assert_close(forward, blurred(kernels[1]))


@pytest.mark.parametrize("factor", [3, 5])
def test_a_kernel_of_finer_pixels_blurs_as_the_finer_image_averaged(factor):
    # Point sources in the central one of the fine pixels that a wide pixel consists of.
    fine, image = kernel_of(2 * factor + 1, 4 * factor + 1), picture(6, 9)
    points = torch.zeros(6 * factor, 9 * factor, dtype=torch.float64)
    points[factor // 2 :: factor, factor // 2 :: factor] = image
    blurred = PixelPSF(fine, 0.1 / factor).convolve(points)
    expected = blurred.unflatten(1, (-1, factor)).unflatten(0, (-1, factor)).sum((1, 3))
    found = PixelPSF(fine, 0.1, supersampling=factor).convolve(image)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)


def test_normalising_makes_the_sum_one():
    image = picture(5, 6)
    found = PixelPSF(7 * KERNEL, 0.1, normalise=True).convolve(image)
    torch.testing.assert_close(found, PixelPSF(KERNEL, 0.1).convolve(image), rtol=1e-13, atol=0)


def test_an_array_is_as_good_as_a_tensor():
    image = picture(5, 6)
    found = PixelPSF(KERNEL.numpy(), 0.1).convolve(image)
    assert torch.equal(found, PixelPSF(KERNEL, 0.1).convolve(image))


@pytest.mark.parametrize(
    ("kernel", "message"),
    [
        (torch.full((3, 3), math.nan), "^kernel must be finite"),
        (torch.full((4, 4), 1 / 16), r"^kernel must be \(ky, kx\) or .* odd sizes, got \(4, 4\)"),
        (torch.full((3, 4), 1 / 12), r"^kernel must be \(ky, kx\) or .* odd sizes, got \(3, 4\)"),
        (torch.full((1, 1, 3, 3), 1 / 9), r"^kernel must be \(ky, kx\) or \(B, ky, kx\)"),
        (torch.empty(0, 3, 3), r"^kernel must be \(ky, kx\) or \(B, ky, kx\)"),
        (torch.stack([KERNEL, 2 * KERNEL]), "^kernel must sum to 1 .* got 2"),
        (torch.ones(3, 3), "^kernel must sum to 1 or be given normalise=True, got 9"),
        ("a.fits", "^kernel must be a tensor or an array, got str"),
    ],
)
def test_a_bad_kernel_is_refused(kernel, message):
    with pytest.raises(ValueError, match=message):
        PixelPSF(kernel, 0.1)


def test_the_kernel_of_pixels_is_copied_unless_it_requires_gradients():
    image, kernel = picture(9, 8), KERNEL.clone()
    psf = PixelPSF(kernel, 0.1)
    before = psf.convolve(image)
    kernel.mul_(0.5)
    assert torch.equal(psf.convolve(image), before)
    linked = KERNEL.clone().requires_grad_()
    psf = PixelPSF(linked, 0.1)
    with torch.no_grad():
        linked.mul_(0.5)
    torch.testing.assert_close(psf.convolve(image), 0.5 * before)


def test_a_kernel_without_light_cannot_be_normalised():
    with pytest.raises(ValueError, match=r"^kernel must have a positive sum, got 0"):
        PixelPSF(torch.zeros(3, 3), 0.1, normalise=True)


@pytest.mark.parametrize("bad", [0.0, -0.1, math.nan])
def test_a_pixel_psf_without_a_pixel_scale_is_refused(bad):
    with pytest.raises(ValueError, match=r"^pixel_scale must be positive and finite"):
        PixelPSF(KERNEL, bad)


#: One kernel for each image of a batch; no two are alike, and none is symmetric.
KERNELS = torch.stack([kernel_of(5, 3), kernel_of(5, 3).flip(0), kernel_of(3, 5).mT.contiguous()])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("settings", [{}, {"supersampling": 3}, {"normalise": True}])
@pytest.mark.parametrize("lead", [(3,), (3, 4), (1, 4), (3, 2, 2), ()])
def test_a_kernel_for_every_image_blurs_as_a_loop_over_the_images(dtype, settings, lead):
    images = picture(*lead, 8, 11).to(dtype)
    found = PixelPSF(KERNELS, 0.1, **settings).convolve(images)
    each = images.expand(3, *images.shape[1:]) if images.ndim > 2 else images.expand(3, -1, -1)
    pairs = zip(KERNELS, each, strict=True)
    single = [PixelPSF(kernel, 0.1, **settings).convolve(image) for kernel, image in pairs]
    assert found.dtype == dtype
    tolerance = 2e-6 if dtype == torch.float32 else 1e-13
    torch.testing.assert_close(found, torch.stack(single), rtol=tolerance, atol=0)


def test_one_kernel_with_an_axis_of_the_batch_blurs_any_number_of_images():
    images = picture(4, 2, 8, 11)
    psf = PixelPSF(KERNELS[:1], 0.1)
    torch.testing.assert_close(psf.convolve(images), PixelPSF(KERNELS[0], 0.1).convolve(images))
    assert psf.take(torch.tensor([3, 1])) is psf


@pytest.mark.parametrize("lead", [(2,), (2, 3), (4, 1)])
def test_images_of_another_number_than_there_are_kernels_are_refused(lead):
    with pytest.raises(ValueError, match=r"^image must be \(3, \.\.\., ny, nx\), .* got \(. *"):
        PixelPSF(KERNELS, 0.1).convolve(picture(*lead, 8, 11))


def test_gradients_with_respect_to_a_kernel_for_every_image_are_right(check_gradients):
    def blurred(p):
        return PixelPSF(p["kernel"], 0.1, normalise=True).convolve(p["image"])

    check_gradients(blurred, {"image": picture(3, 2, 3, 4), "kernel": KERNELS})


@pytest.mark.parametrize("normalise", [False, True])
def test_the_psf_of_some_images_blurs_as_that_of_all(normalise):
    images, index = picture(3, 8, 11), torch.tensor([2, 0, 2])
    psf = PixelPSF(KERNELS, 0.1, normalise=normalise)
    torch.testing.assert_close(psf.take(index).convolve(images[index]), psf.convolve(images)[index])


def test_gradients_reach_the_kernels_of_the_images_that_were_taken():
    kernels = KERNELS.clone().requires_grad_()
    PixelPSF(kernels, 0.1).take(torch.tensor([2, 0])).convolve(picture(2, 8, 11)).sum().backward()
    assert [bool(grad.any()) for grad in kernels.grad] == [True, False, True]


def test_a_psf_follows_a_kernel_that_changes_in_place():
    image, index = picture(3, 9, 8), torch.tensor([2, 0])
    for kernel in (KERNEL.clone(), KERNELS.clone()):
        psf = PixelPSF(kernel, 0.1)
        some = psf.take(index)
        before, taken = psf.convolve(image), some.convolve(image[index])
        psf.kernel.mul_(0.5)
        torch.testing.assert_close(psf.convolve(image), 0.5 * before)
        # Those that were taken before are a copy; a PSF that is the same for all is itself.
        expected = 0.5 * taken if some is psf else taken
        torch.testing.assert_close(some.convolve(image[index]), expected)


@pytest.mark.parametrize("use", FIRST_USES.values(), ids=FIRST_USES)
def test_what_a_psf_remembers_of_its_first_use_serves_every_other(use, check_gradients):
    psf, image = PixelPSF(KERNEL, 0.1), picture(3, 4)
    use(psf.convolve, image)
    torch.testing.assert_close(psf.convolve(image), fft_convolve(image, KERNEL), rtol=0, atol=1e-15)
    check_gradients(lambda p: psf.convolve(p["image"]), {"image": image})
    for other in FIRST_USES.values():
        other(psf.convolve, image)
