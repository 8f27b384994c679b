"""Images, noise and PSF as a fit takes them: arrays of every kind, and masks."""

import math

import numpy as np
import pytest
import torch

from lensphys import GaussianPSF, PixelPSF, fit
from lensphys.fitting.observations import check_images, take_psf
from tests.lensphys.fitting.mocks import KIND, PIXEL, draw, image_of, noise_like, stacked

MAPS = np.random.default_rng(1).normal(10.0, 3.0, (2, 9, 8))


def read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


LAYOUTS = {
    "big endian, double": (MAPS.astype(">f8"), torch.float64),
    "big endian, single": (MAPS.astype(">f4"), torch.float32),
    "big endian, whole": (MAPS.astype(">i2"), torch.float64),
    "columns first": (np.asfortranarray(MAPS), torch.float64),
    "backwards": (MAPS[::-1, ::-1, ::-1], torch.float64),
    "every other": (np.repeat(MAPS, 2, axis=2)[:, :, ::2], torch.float64),
    "half precision": (MAPS.astype(np.float16), torch.float32),
    "bytes": (MAPS.astype(np.uint8), torch.float64),
    "read only": (read_only(MAPS), torch.float64),
    "list of arrays": (list(MAPS.astype(">f4")), torch.float32),
    "list of tensors": (list(torch.from_numpy(MAPS)), torch.float64),
    "mixed list": ([MAPS[0].astype(np.float32), torch.from_numpy(MAPS[1])], torch.float64),
    "lists of numbers": (MAPS.tolist(), torch.float64),
    "half a tensor": (torch.from_numpy(MAPS).half(), torch.float32),
    "whole tensor": (torch.from_numpy(MAPS).long(), torch.float64),
}


@pytest.mark.parametrize(("given", "dtype"), LAYOUTS.values(), ids=LAYOUTS)
def test_maps_of_every_layout_are_taken_as_they_are(given, dtype):
    if isinstance(given, list):
        expected = np.stack([np.asarray(part, dtype=np.float64) for part in given])
    else:
        expected = np.asarray(given, dtype=np.float64)
    images, weight = check_images(given, 1.0)
    assert images.dtype == weight.dtype == dtype
    torch.testing.assert_close(images.double(), torch.from_numpy(expected.copy()))
    # All of them are positive, and so may be noise.
    _, weight = check_images(given, given)
    torch.testing.assert_close(weight, 1 / images)


@pytest.mark.parametrize("noise", [3e4, 1e8, 1e16, math.inf])
@pytest.mark.parametrize("share", [0.01, 0.4, 0.9])
def test_absurd_noise_marks_a_pixel_without_data(noise, share):
    rows = torch.arange(400).reshape(20, 20)
    hidden = (rows * 37) % 400 < 400 * share
    sigma = torch.where(hidden, noise, 1.0 + 0.01 * torch.arange(20.0))
    images = torch.where(hidden, math.nan, 1.0)
    seen, weight = check_images(images, sigma)
    assert torch.equal(weight[0] == 0, hidden)
    assert (seen[0, hidden] == 0).all()
    # The level is that of each image: a second one a million times as noisy has the same mask.
    both = check_images(torch.stack([images, images]), torch.stack([sigma, 1e6 * sigma]))
    assert torch.equal(both[1][1] == 0, hidden)


def test_noise_that_differs_by_less_than_four_decades_is_noise():
    sigma = torch.logspace(0, 3.9, 400).reshape(20, 20)
    _, weight = check_images(torch.ones(20, 20), sigma)
    torch.testing.assert_close(weight[0], 1 / sigma)


def test_a_fit_leaves_out_pixels_of_absurd_noise():
    truth = draw(1, seed=61)
    clean = image_of(truth, (24, 24))
    image = clean + 0.3 * noise_like(clean, 62)
    image[:, :4] = 1e4
    results = []
    for noise in (math.inf, 1e8, 1e16):
        sigma = torch.full((24, 24), 0.3).double()
        sigma[:4] = noise
        results.append(fit(image, sigma, **KIND, start=truth))
    for other in results[1:]:
        assert torch.equal(stacked(other.params), stacked(results[0].params))
        assert torch.equal(other.chi2_dof, results[0].chi2_dof)


@pytest.mark.parametrize("value", [0.0, -0.1, np.nan])
def test_noise_that_is_not_positive_is_refused_and_not_masked(value):
    part = np.ones((9, 8))
    part[2, 3] = value
    for sigma in (value, np.full((9, 8), value), part):
        with pytest.raises(ValueError, match="sigma must be positive"):
            check_images(np.ones((9, 8)), sigma)


@pytest.mark.parametrize(("dtype", "sigma"), [("f4", 1e-20), ("f4", 1e20), ("f8", 1e-200)])
def test_noise_out_of_the_range_of_a_precision_is_refused(dtype, sigma):
    with pytest.raises(ValueError, match="is out of range; give images and sigma in another unit"):
        check_images(np.ones((9, 8), dtype), sigma)


def test_images_of_several_shapes_are_refused_with_what_works():
    message = r"one shape, got \(9, 8\) and \(9, 9\); pad them to one, with an infinite sigma"
    with pytest.raises(ValueError, match=message):
        check_images([np.ones((9, 8)), np.ones((9, 9))], 1.0)
    padded = np.ones((2, 9, 9))
    sigma = np.ones((2, 9, 9))
    sigma[0, :, 8] = np.inf
    _, weight = check_images(padded, sigma)
    assert (weight > 0).sum((1, 2)).tolist() == [72, 81]


def kernel():
    offset = np.arange(-3, 4)
    return np.exp(-0.5 * (offset[:, None] ** 2 + (offset - 0.3) ** 2))


@pytest.mark.parametrize("layout", [np.asarray, torch.from_numpy, np.asfortranarray])
def test_a_bare_kernel_is_a_psf(layout):
    psf = take_psf(layout(kernel()), PIXEL)
    expected = PixelPSF(kernel() / kernel().sum(), pixel_scale=PIXEL)
    image = torch.rand(9, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    torch.testing.assert_close(psf.convolve(image), expected.convolve(image))
    given = GaussianPSF(0.1, PIXEL)
    assert take_psf(given, PIXEL) is given
    assert take_psf(None, PIXEL) is None


def test_a_fit_takes_a_kernel_of_a_file():
    truth = draw(1, seed=61)
    settings = {"pixel_scale": PIXEL, "start": truth, "max_steps": 2}
    image = image_of(truth, (16, 16))
    bare = fit(image, 0.3, psf=kernel().astype(">f4"), **settings)
    psf = PixelPSF(kernel(), pixel_scale=PIXEL, normalise=True)
    expected = fit(image, 0.3, psf=psf, **settings)
    torch.testing.assert_close(bare.model, expected.model, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("gaussian", "psf must be a tensor or an array, got str"),
        (np.eye(5)[[0, 0, 2]], "peak in row 0 and column 0 of 3 x 5 pixels.*lp.centre_kernel"),
        (np.roll(kernel()[None], 1, 2), "peak in row 3 and column 4 of 7 x 7 pixels"),
        (np.ones((4, 4)), r"kernel must be .* odd sizes, got \(4, 4\)"),
        (-np.ones((3, 3)), "kernel must have a positive sum"),
        (np.full((3, 3), np.nan), "kernel must be finite"),
    ],
    ids=["word", "at the border", "beside", "even", "negative", "NaN"],
)
def test_a_kernel_that_is_none_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        take_psf(given, PIXEL)
