"""Point-spread functions: Gaussian, Moffat and given by pixels."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lenstronomy.ImSim.Numerics.convolution import PixelKernelConvolution
from lenstronomy.Util import kernel_util
from scipy.ndimage import gaussian_filter
from scipy.signal import fftconvolve

from lensphys import GaussianPSF, MoffatPSF, PixelPSF
from lensphys.psf import FWHM_PER_SIGMA, degrade, fft_convolve

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


def under_inference_mode(convolve, image):
    with torch.inference_mode():
        return convolve(image)


FIRST_USES = {
    "inference mode": under_inference_mode,
    "forward derivatives": lambda f, image: torch.func.jvp(f, (image,), (image,)),
    "backward derivatives": lambda f, image: torch.func.grad(lambda i: f(i).sum())(image),
    "vmap": lambda f, image: torch.func.vmap(f)(image.expand(2, -1, -1)),
    "vmap of forward derivatives": lambda f, image: torch.func.vmap(
        lambda i: torch.func.jvp(f, (i,), (i,))
    )(image.expand(2, -1, -1)),
}


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


def picture(*shape, seed=3):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(shape, generator=generator, dtype=torch.float64)


def kernel_of(*shape):
    kernel = picture(*shape, seed=8)
    return kernel / kernel.sum()


KERNEL = kernel_of(5, 3)

PSFS = {
    "gaussian": GaussianPSF(0.16, 0.1),
    "moffat": MoffatPSF(0.16, 3.0, 0.1, truncation=3.0),
    "pixels": PixelPSF(KERNEL, 0.1),
}

odd = st.integers(0, 6).map(lambda k: 2 * k + 1)


@settings(max_examples=40, deadline=None)
@given(ny=st.integers(1, 17), nx=st.integers(1, 17), ky=odd, kx=odd)
def test_fourier_convolution_is_scipys_for_every_shape(ny, nx, ky, kx):
    image, kernel = picture(ny, nx), kernel_of(ky, kx)
    expected = fftconvolve(image.numpy(), kernel.numpy(), mode="same")
    found = fft_convolve(image, kernel)
    assert found.shape == (ny, nx)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-14)


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


@settings(max_examples=25, deadline=None)
@given(fwhm=st.floats(0.05, 0.5), beta=st.floats(1.5, 6), scale=st.floats(0.05, 0.2))
def test_a_moffat_kernel_is_lenstronomys(fwhm, beta, scale):
    kernel = MoffatPSF(fwhm, beta, scale).kernel()
    theirs = kernel_util.kernel_moffat(len(kernel), scale, fwhm, beta).reshape(kernel.shape)
    np.testing.assert_allclose(kernel, theirs, rtol=0, atol=1e-14)


def test_a_moffat_has_half_its_maximum_at_half_its_width():
    kernel = MoffatPSF(fwhm=1.0, beta=2.5, pixel_scale=0.05).kernel()
    middle = len(kernel) // 2
    assert (kernel[middle, middle + 10] / kernel[middle, middle]).item() == pytest.approx(0.5)


def test_a_moffat_of_steep_wings_is_a_gaussian():
    moffat = MoffatPSF(fwhm=0.5, beta=1e5, pixel_scale=0.1).kernel()
    gaussian = GaussianPSF(fwhm=0.5, pixel_scale=0.1, truncation=30).kernel()
    middle, reach = len(moffat) // 2, 8
    window = slice(middle - reach, middle + reach + 1)
    g = gaussian[len(gaussian) // 2 - reach : len(gaussian) // 2 + reach + 1]
    torch.testing.assert_close(moffat[window, window], g[:, None] * g, rtol=0, atol=1e-5)


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


@pytest.mark.parametrize("factor", [8, 9])
@pytest.mark.parametrize("make", [GaussianPSF, lambda f, p, **k: MoffatPSF(f, 3.0, p, 5, **k)])
def test_a_supersampled_kernel_is_the_mean_over_the_pixel(make, factor):
    # A PSF as wide as a pixel: its value in the middle is far above its mean.
    coarse, fine = (make(0.1, 0.1, supersampling=s).kernel() for s in (1, factor))
    finer = make(0.1, 0.1, supersampling=4 * factor + 1).kernel()
    peaks = [k.max().item() for k in (coarse, fine, finer)]
    assert peaks[1] == pytest.approx(peaks[2], rel=1e-2)
    assert peaks[0] > 1.1 * peaks[2]


def test_the_pixel_mean_of_a_gaussian_is_an_error_function():
    kernel = GaussianPSF(0.1, 0.1, supersampling=101).kernel()
    sigma = 0.1 / 2.354820045
    expected = math.erf(0.05 / (math.sqrt(2) * sigma))
    assert kernel.max().item() == pytest.approx(expected, rel=2e-4)


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


def test_an_image_of_whole_numbers_or_half_precision_is_blurred_as_floats():
    image = (20 * picture(30, 31)).floor()
    for psf in (GaussianPSF(0.2, 0.1), GaussianPSF(1.5, 0.1), *PSFS.values()):
        expected = psf.convolve(image)
        for other in (image.to(torch.uint8), image.half(), image.numpy().astype(">f4")):
            torch.testing.assert_close(psf.convolve(other).double(), expected, rtol=1e-5, atol=1e-5)


def test_a_kernel_without_light_cannot_be_normalised():
    with pytest.raises(ValueError, match=r"^kernel must have a positive sum, got 0"):
        PixelPSF(torch.zeros(3, 3), 0.1, normalise=True)


@pytest.mark.parametrize("bad", [0.0, -0.1, math.nan, math.inf])
@pytest.mark.parametrize("name", ["fwhm", "pixel_scale", "truncation", "beta"])
def test_a_moffat_out_of_range_is_refused_by_name(name, bad):
    values = {"fwhm": 0.16, "beta": 3.0, "pixel_scale": 0.1, "truncation": 5.0} | {name: bad}
    with pytest.raises(ValueError, match=f"^{name} must be "):
        MoffatPSF(**values)


def test_wings_of_infinite_flux_are_refused():
    with pytest.raises(ValueError, match=r"^beta must be finite and above 1, got 1"):
        MoffatPSF(0.16, 1.0, 0.1)


@pytest.mark.parametrize("bad", [0, -1, 1.5, True])
def test_a_supersampling_that_is_no_count_is_refused(bad):
    for make in (
        lambda s: GaussianPSF(0.16, 0.1, supersampling=s),
        lambda s: MoffatPSF(0.16, 3.0, 0.1, supersampling=s),
        lambda s: PixelPSF(KERNEL, 0.1, supersampling=s),
    ):
        with pytest.raises(ValueError, match=r"^supersampling must be a whole number from 1 on"):
            make(bad)


@pytest.mark.parametrize("bad", [0.0, -0.1, math.nan])
def test_a_pixel_psf_without_a_pixel_scale_is_refused(bad):
    with pytest.raises(ValueError, match=r"^pixel_scale must be positive and finite"):
        PixelPSF(KERNEL, bad)


@pytest.mark.parametrize("bad", [None, "0.1", [0.1]])
@pytest.mark.parametrize("name", ["fwhm", "pixel_scale", "truncation"])
def test_a_width_that_is_no_number_is_refused_by_name(name, bad):
    with pytest.raises(ValueError, match=f"^{name} must be positive and finite"):
        GaussianPSF(**({"fwhm": 0.1, "pixel_scale": 0.05} | {name: bad}))


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


@pytest.mark.parametrize("psf", PSFS.values(), ids=PSFS)
def test_a_psf_that_is_the_same_for_all_images_is_that_of_some(psf):
    assert psf.take(torch.tensor([1, 0])) is psf
