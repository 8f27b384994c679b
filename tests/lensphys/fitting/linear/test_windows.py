"""Windows: the smallest rectangles that hold light, cut out and placed again."""

import pytest
import torch

import lensphys as lp
from lensphys.fitting.linear.windows import Window, enclose, find_window, may_have_window
from lensphys.rendering import Pixels

SHAPE = (90, 100)


def large(psf=None, supersampling=1):
    x, y = lp.pixel_grid(SHAPE, 0.05, dtype=torch.float64)
    return Pixels(x, y, psf=psf, supersampling=supersampling)


def lit_at(rows, columns, shape=SHAPE):
    lit = torch.zeros(shape, dtype=torch.bool)
    lit[rows, columns] = True
    return lit


def test_what_is_cut_out_and_placed_again_is_zero_elsewhere():
    window = Window(slice(2, 7), slice(3, 5), (9, 8))
    maps = torch.rand(2, 9, 8)
    again = window.place(window.cut(maps))
    assert torch.equal(window.cut(again), window.cut(maps))
    assert again.count_nonzero() == 2 * 5 * 2
    whole = Window.whole((9, 8))
    assert whole.is_whole
    assert not window.is_whole
    assert whole.cut(maps) is maps


def test_rays_of_a_window_are_finer_than_its_pixels():
    fine = Window(slice(2, 7), slice(3, 5), (9, 8)).refine(3)
    assert (fine.rows, fine.columns, fine.shape) == (slice(6, 21), slice(9, 15), (27, 24))


@pytest.mark.parametrize("at", [(slice(40, 50), slice(20, 41)), (slice(0, 3), slice(97, 100))])
def test_a_window_holds_all_that_is_lit_in_any_image(at):
    lit = torch.stack([lit_at(*at), lit_at(slice(44, 45), slice(30, 31))])
    window = enclose(lit)
    assert lit[..., window.rows, window.columns].sum() == lit.sum()
    for side, n in zip((window.rows, window.columns), SHAPE, strict=True):
        assert 0 <= side.start < side.stop <= n
        assert (side.stop - side.start) % 8 == 0


def test_nothing_that_is_lit_leaves_a_window_of_some_pixels():
    window = enclose(torch.zeros(SHAPE, dtype=torch.bool))
    assert window.rows.stop > window.rows.start


@pytest.mark.parametrize("supersampling", [1, 2])
@pytest.mark.parametrize("own", [False, True], ids=["psf of the pixels", "psf of the rays"])
def test_a_window_collects_all_of_the_light(supersampling, own):
    if own and supersampling == 1:
        pytest.skip("the rays are the pixels")
    scale = 0.05 / (supersampling if own else 1)
    kernel = torch.rand(11, 7, generator=torch.Generator().manual_seed(0)).double()
    for psf in (
        lp.PixelPSF(kernel, pixel_scale=scale, normalise=True),
        lp.GaussianPSF(fwhm=0.12, pixel_scale=scale),
        lp.MoffatPSF(fwhm=0.08, beta=3.0, pixel_scale=scale, truncation=2.0),
    ):
        pixels = large(psf, supersampling)
        light = torch.zeros(pixels.x.shape, dtype=torch.float64)
        place = slice(20 * supersampling + 1, 31 * supersampling), slice(0, 33 * supersampling)
        light[place] = 1.0
        window = find_window(light > 0, pixels)
        assert not window.is_whole
        part = pixels.crop(window.rows, window.columns)
        found = window.place(part.collect(window.refine(supersampling).cut(light)))
        torch.testing.assert_close(found, pixels.collect(light), rtol=0, atol=1e-15)
        assert torch.equal(part.x, window.refine(supersampling).cut(pixels.x))
        assert part.shape == window.cut(pixels.centers[0]).shape


def test_light_all_over_has_no_window():
    pixels = large()
    assert find_window(torch.ones(SHAPE, dtype=torch.bool), pixels).is_whole


def test_small_images_and_an_unknown_psf_have_no_window():
    class Unknown:
        pixel_scale = 0.05

        def convolve(self, image):
            return image

        def take(self, index):
            return self

    assert may_have_window(large())
    pixels = large(Unknown())
    assert pixels.reach is None
    assert find_window(lit_at(slice(4, 5), slice(4, 5)), pixels).is_whole
    x, y = lp.pixel_grid(40, 0.05)
    assert not may_have_window(Pixels(x, y))
