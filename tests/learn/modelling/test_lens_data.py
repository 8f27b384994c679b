"""The data of a lens, cut to the part that is fitted."""

import numpy as np
import pytest
from astropy.wcs import WCS

from learn.modelling.lens_data import LensData
from tests.learn.modelling.make_lenses import header


def data(shape):
    ny, nx = shape
    image = np.arange(ny * nx, dtype=float).reshape(shape)
    wcs = WCS(header(0.1, n=40))
    return LensData("a", image, np.ones(shape), np.ones((1, 1)), 0.1, wcs=wcs)


@pytest.mark.parametrize("shape", [(41, 41), (40, 40), (40, 31)])
def test_a_field_is_a_circle_about_the_middle(shape):
    whole = data(shape)
    cut = whole.within(1.0)
    ny, nx = cut.image.shape
    assert (ny % 2, nx % 2) == (shape[0] % 2, shape[1] % 2)  # else the middle would move
    y, x = np.arange(ny) - (ny - 1) / 2, np.arange(nx) - (nx - 1) / 2
    inside = np.hypot(y[:, None], x) * 0.1 <= 1.0
    assert np.array_equal(np.isfinite(cut.noise), inside)
    rows, columns = (shape[0] - ny) // 2, (shape[1] - nx) // 2
    same = whole.image[rows : rows + ny, columns : columns + nx]
    assert np.array_equal(cut.image[inside], same[inside])
    # The circle fits in the frame, and the frame is no wider than it has to be.
    assert not inside[0].any() or not inside[1:-1, 1:-1].all()
    assert max(ny, nx) <= 2 * 10 + 2


def test_each_pixel_keeps_its_place_on_the_sky():
    whole = data((40, 40))
    cut = whole.within(1.0)
    y, x = np.argwhere(np.isfinite(cut.noise))[7]
    row, column = divmod(int(cut.image[y, x]), 40)  # the image counts its pixels
    np.testing.assert_allclose(
        cut.wcs.wcs_pix2world(x, y, 0), whole.wcs.wcs_pix2world(column, row, 0), rtol=1e-12
    )


def test_a_field_wider_than_the_image_leaves_it_as_it_is():
    whole = data((20, 30))
    cut = whole.within(100.0)
    assert np.array_equal(cut.image, whole.image)
    assert np.array_equal(cut.noise, whole.noise)
    assert np.array_equal(cut.wcs.wcs.crpix, whole.wcs.wcs.crpix)


def test_masked_pixels_stay_masked_and_the_whole_is_not_changed():
    whole = data((40, 40))
    whole.noise[20, 20] = np.inf
    cut = whole.within(0.5)
    assert np.isinf(cut.noise[cut.image.shape[0] // 2, cut.image.shape[1] // 2])
    assert np.isfinite(whole.noise).sum() == 40 * 40 - 1
