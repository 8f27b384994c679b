"""Images that do not go together are refused before any is imported."""

import numpy as np
import pytest
from astropy.io import fits

from simulate.dataset.padding import read_padding
from tests.simulate.importers.make_files import (
    MASS,
    object_array,
    refusal,
    save,
    save_fits,
    wcs_header,
)


@pytest.mark.parametrize("shape", [(5, 5), (12, 12), (6, 4)])
def test_resolutions_that_do_not_divide_are_refused(pairs, shape, tmp_path):
    for path in (pairs / "LR").iterdir():
        save(path, np.ones(shape))
    assert "must be one multiple" in refusal(pairs, tmp_path / "out")


def test_a_missing_wcs_asks_for_the_pixel_scale(tmp_path, importing):
    save_fits(tmp_path / "cut" / "1.fits", None, fits.Header())
    message = refusal(tmp_path / "cut", tmp_path / "out", pixel_scale=None)
    assert "no WCS that gives the pixel scale; give --pixel-scale" in message
    assert importing(tmp_path / "cut", pixel_scale=0.3).attrs["pixel_scale"] == 0.3


@pytest.mark.parametrize(
    ("header", "changes", "message"),
    [
        (wcs_header(0.2), {}, "differ in pixel scale: 1.fits has 0.1 arcsec, 2.fits 0.2"),
        (wcs_header(0.1, 1.1), {}, "2.fits has pixels of 0.1 x 0.11 arcsec; resample"),
        (fits.Header(), {}, "2.fits has no WCS that gives its pixel scale; give --pixel-scale"),
        (wcs_header(), {"pixel_scale": 0.3}, "--pixel-scale 0.3: the WCS of 1.fits gives 0.1"),
        (wcs_header(unit="nJy"), {}, "differ in unit (BUNIT): 1.fits has None, 2.fits nJy"),
    ],
)
def test_cutouts_that_do_not_go_together_are_refused(header, changes, message, tmp_path):
    save_fits(tmp_path / "cut" / "1.fits")
    save_fits(tmp_path / "cut" / "2.fits", None, header)
    changes = {"pixel_scale": None} | changes
    assert message in refusal(tmp_path / "cut", tmp_path / "out", **changes)


def test_an_array_that_differs_from_its_like_is_framed_and_counted(deeplensesim, importing):
    """Files of the same size in bytes are told apart by their headers."""
    odd, like = (deeplensesim / "cdm" / f"cdm_sim_{i}.npy" for i in (1, 0))
    save(odd, np.ones((4, 16)))
    assert odd.stat().st_size == like.stat().st_size
    data = importing(deeplensesim)
    assert "8 x 8 for all, 1 cropped and padded, 8 as they are" in importing.lines[0]
    assert len(data) == 9
    assert np.array_equal(read_padding(data.params)[4], [0, 0, 2, 2])


@pytest.mark.parametrize("padded", [False, True])
def test_an_object_array_that_differs_from_its_like_is_broken(padded, deeplensesim, importing):
    odd, like = (deeplensesim / "axion" / f"axion_sim_{i}.npy" for i in (1, 0))
    for path, shape in ((odd, (4, 16)), (like, (8, 8))):
        save(path, object_array(np.ones(shape), MASS))
    assert odd.stat().st_size == like.stat().st_size
    if padded:
        save(deeplensesim / "cdm" / "cdm_sim_1.npy", np.ones((6, 6)))
    assert len(importing(deeplensesim)) == 8
    why = "as none of the others has" if padded else "the others 8 x 8"
    assert any(f"it has 4 x 16 pixels, {why}" in line for line in importing.lines)


def pair(folder, high, low):
    save_fits(folder / "HR" / "1.fits", np.ones((12, 12)), high)
    save_fits(folder / "LR" / "1.fits", np.ones((6, 6)), low)


@pytest.mark.parametrize(
    ("low", "reason"),
    [
        (wcs_header(0.2, unit="nJy"), "its partner has another unit (BUNIT): MJy/sr and nJy"),
        (wcs_header(0.1, unit="MJy/sr"), "are 1 times as wide by their WCS, 2 times by their"),
    ],
)
def test_pairs_of_other_units_or_scales_are_refused(low, reason, tmp_path, importing):
    pair(tmp_path / "set", wcs_header(0.1, unit="MJy/sr"), low)
    assert reason in refusal(tmp_path / "set", tmp_path / "out", pixel_scale=None)
    pair(tmp_path / "good", wcs_header(0.1, unit="MJy/sr"), wcs_header(0.2, unit="MJy/sr"))
    attrs = importing(tmp_path / "good", pixel_scale=None).attrs
    assert attrs["unit"] == "MJy/sr"
    assert attrs["pixel_scale_lr"] == pytest.approx(0.2)
