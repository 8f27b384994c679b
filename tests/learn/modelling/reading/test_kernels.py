"""PSFs: centred, on the pixels of the image, and not larger than it."""

import numpy as np
import pytest

from learn.modelling.reading.kernels import make_kernel
from learn.modelling.reading.planes import Plane
from simulate.importers.errors import BrokenFileError
from tests.learn.modelling.make_lenses import SCALE, kernel


def make(values, scale=None, shape=(24, 24)):
    return make_kernel(Plane(values, "psf.fits", "psf.fits", None, scale), shape, SCALE)


def peak(psf):
    return tuple(int(i) for i in np.unravel_index(psf.argmax(), psf.shape))


def test_a_good_psf_is_only_normalised():
    psf, notes = make(7 * kernel(9))
    np.testing.assert_allclose(psf, kernel(9), rtol=1e-12)
    assert not notes


@pytest.mark.parametrize("values", [kernel(8, shift=(0.5, 0.5)), kernel(9, shift=(2, -1))])
def test_even_sizes_and_shifted_peaks_are_put_right_and_noted(values):
    psf, notes = make(values)
    assert all(n % 2 for n in psf.shape)
    assert peak(psf) == tuple(n // 2 for n in psf.shape)
    assert psf.sum() == pytest.approx(1, abs=1e-12)
    assert len(notes) == 1
    assert notes[0].startswith("PSF psf.fits: ")


@pytest.mark.parametrize("value", [np.nan, 0.0, -1.0])
def test_a_psf_without_a_peak_is_refused(value):
    with pytest.raises(BrokenFileError, match=r"its PSF \(psf.fits\) cannot be used: "):
        make(np.full((5, 5), value))


def test_a_psf_larger_than_the_image_is_cropped_and_noted():
    psf, notes = make(kernel(41), shape=(24, 30))
    assert psf.shape == (23, 29)
    assert peak(psf) == (11, 14)
    assert psf.sum() == pytest.approx(1)
    assert "of 41 x 41 pixels cropped to 23 x 29" in notes[0]


def test_a_finer_psf_is_summed_into_the_pixels_of_the_image():
    psf, notes = make(kernel(21, width=3.0), scale=SCALE / 3)
    # Light in a pixel three times as wide: the sum over three by three.
    wide = kernel(21, width=3.0).reshape(7, 3, 7, 3).sum((1, 3))
    np.testing.assert_allclose(psf, wide, rtol=1e-6)
    assert "summed from pixels of 0.01667 arcsec" in notes[0]


@pytest.mark.parametrize("factor", [1.5, 2.0, 1 / 2.5])
def test_a_psf_on_other_pixels_is_refused(factor):
    with pytest.raises(BrokenFileError, match=r"arcsec, the image of 0.05; resample the PSF"):
        make(kernel(9), scale=SCALE * factor)


def test_a_scale_that_differs_in_the_last_digits_is_the_same():
    assert not make(kernel(9), scale=SCALE * 1.002)[1]
