"""Images on other pixels, in the frame of a network."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learn.inference.resample import resample, resample_kernel, resample_noise
from simulate.importers.errors import BrokenFileError
from simulate.importers.pixels import frame_pixels


def star(shape: tuple[int, int], y: float, x: float, sigma: float = 2.0) -> np.ndarray:
    """A Gaussian of flux one about (y, x), in pixels from the edge of the first."""
    row, column = (np.arange(n) + 0.5 for n in shape)
    light = np.exp(-((row[:, None] - y) ** 2 + (column - x) ** 2) / (2 * sigma**2))
    return np.asarray(light / (2 * np.pi * sigma**2))


@settings(max_examples=25, deadline=None)
@given(
    size=st.tuples(st.integers(20, 70), st.integers(20, 70)),
    step=st.floats(0.4, 2.2),
    frame=st.integers(16, 80),
)
def test_light_inside_the_frame_keeps_its_flux_and_place(
    size: tuple[int, int], step: float, frame: int
) -> None:
    y, x = size[0] / 2 + 0.7, size[1] / 2 - 1.1
    image = star(size, y, x, sigma=1.0 * max(1.0, step))
    seen = resample(image, frame, 1.0, step)
    inside = seen.pixels[seen.rows, seen.columns]
    reach = min(inside.shape) * seen.step / 2 - 1.5
    if reach > 5 * max(1.0, step):
        assert inside.sum() == pytest.approx(1, abs=1e-4)
    centre_y = (inside.sum(1) * (np.arange(inside.shape[0]) + 0.5)).sum() / inside.sum()
    if reach > 5 * max(1.0, step):
        assert seen.corner[0] + centre_y * seen.step == pytest.approx(y, abs=1e-2)


def test_pixels_twice_as_wide_hold_the_sum_of_four() -> None:
    image = np.random.default_rng(0).random((24, 36))
    seen = resample(image, 20, 0.05, 0.1)
    assert seen.pixels[4:16, 1:19] == pytest.approx(
        image.reshape(12, 2, 18, 2).sum((1, 3)), rel=1e-12
    )
    assert (seen.rows, seen.columns) == (slice(4, 16), slice(1, 19))
    assert seen.notes == (
        "resampled from 0.05 to 0.1 arcsec",
        "padded from 12 x 18 to 20 x 20 pixels",
    )
    assert seen.pixels[0, 0] == pytest.approx(4 * np.median(image))


def test_finer_pixels_follow_the_light_between_the_old_ones() -> None:
    seen = resample(star((40, 40), 20.5, 18.5), 80, 1.0, 0.5)
    truth = star((80, 80), 41.0, 37.0, sigma=4.0)
    assert np.abs(seen.pixels - truth).max() < 0.02 * truth.max()


def test_pixels_of_the_same_width_are_left_alone() -> None:
    image = np.random.default_rng(0).random((30, 41))
    seen = resample(image, 20, 0.1005, 0.1)
    assert np.array_equal(seen.pixels, image[5:25, 10:30])
    assert seen.corner == (5, 10)


def test_an_image_of_a_few_pixels_is_refused() -> None:
    with pytest.raises(BrokenFileError, match="less than 8"):
        resample(np.ones((30, 30)), 20, 0.05, 0.5)


@pytest.mark.parametrize("step", [0.5, 2.0, 1.5])
def test_a_surface_brightness_stays_what_it_is(step: float) -> None:
    image = star((40, 40), 20.5, 18.5, sigma=4.0) + 1
    flux = resample(image, 100, 0.1, 0.1 * step)
    seen = resample(image, 100, 0.1, 0.1 * step, surface_brightness=True)
    np.testing.assert_allclose(seen.pixels * step**2, flux.pixels, rtol=1e-12)
    assert seen.pixels[0, 0] == pytest.approx(np.median(image)), "padding too"
    assert seen.pixels[seen.rows, seen.columns].mean() == pytest.approx(image.mean(), rel=2e-3)


@pytest.mark.parametrize("scale", [1.7, 1e300])
def test_a_few_wide_pixels_are_no_image(scale: float) -> None:
    with pytest.raises(BrokenFileError, match=r"so wide that the 6\.4 arcsec of the network"):
        resample(np.ones((40, 40)), 64, scale, 0.1)


def test_noise_of_resampled_pixels_is_that_of_the_sums_of_independent_ones() -> None:
    noise = np.ones((24, 36))
    frame = resample(np.zeros((24, 36)), 20, 0.05, 0.1)
    found = resample_noise(noise, frame, 99.0)
    np.testing.assert_allclose(found[4:16, 1:19], 2, rtol=1e-12)
    assert (found[0, 0], found[19, 19]) == (99, 99)
    noise[6:8, 10:12] = 3.0
    assert resample_noise(noise, frame, 99.0)[4 + 3, 1 + 5] == pytest.approx(6)


def test_noise_of_resampled_pixels_is_what_images_of_noise_show() -> None:
    rng = np.random.default_rng(0)
    shapes = (40, 40), 20
    images = [resample(rng.normal(size=shapes[0]), shapes[1], 1.0, 1.6).pixels for _ in range(800)]
    frame = resample(np.zeros(shapes[0]), shapes[1], 1.0, 1.6)
    expected = resample_noise(np.ones(shapes[0]), frame, 1.0)
    np.testing.assert_allclose(np.std(images, 0), expected, rtol=0.12)


def test_noise_on_the_same_pixels_is_cropped_as_the_image_is() -> None:
    noise = np.random.default_rng(1).random((30, 41))
    frame = resample(noise, 16, 1.0, 1.0)
    np.testing.assert_allclose(resample_noise(noise, frame, 1.0), frame.pixels)


def test_a_kernel_on_wider_pixels_keeps_its_light_and_its_centre() -> None:
    kernel = star((25, 25), 12.5, 12.5, sigma=2.0)
    wide = resample_kernel(kernel, 1.6)
    assert wide.shape == (15, 15)
    np.testing.assert_allclose(wide, wide[::-1, ::-1], atol=1e-12)
    assert wide.sum() == pytest.approx(kernel.sum(), abs=1e-4)
    middle = star((15, 15), 7.5, 7.5, sigma=2.0 / 1.6)
    assert np.abs(wide - middle).max() < 0.05 * middle.max(), "pixels are wider: a little blur"
    np.testing.assert_array_equal(resample_kernel(kernel, 1.0), kernel)


@pytest.mark.parametrize("shape", [(20, 20), (17, 16), (40, 9)])
def test_an_image_has_the_padding_that_an_import_gives_it(shape: tuple[int, int]) -> None:
    """Sky levels are those of all pixels here, and of those that are shown there."""
    image = np.random.default_rng(0).normal(1.0, 0.1, shape).astype(np.float32)
    frame = resample(image, 16, 0.1, 0.1)
    pixels, _, padding = frame_pixels(image, 16, "median")
    assert frame.padding == padding
    shown = frame.rows, frame.columns
    assert np.array_equal(frame.pixels[shown].astype(np.float32), pixels[shown])
