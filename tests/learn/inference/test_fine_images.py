"""Super-resolved images as files."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from astropy.io import fits

from learn.inference.fine_images import write_images
from learn.inference.outputs import is_image
from learn.inference.tables import Predicted
from learn.tasks.outliers import Resemblance
from lensphys.ground.errors import InputError

SIZE, FACTOR = 8, 2


def model(*, surface_brightness: bool = False) -> Any:
    return SimpleNamespace(size=SIZE, pixel_scale=0.2, surface_brightness=surface_brightness)


def cutout(
    name: str = "a.fits", unit: str | None = None, *, surface_brightness: bool = False
) -> Any:
    frame = SimpleNamespace(rows=slice(1, 7), columns=slice(0, 8), corner=(1.0, 0.0), step=1.0)
    return SimpleNamespace(
        path=Path(name),
        index=0,
        count=1,
        frame=frame,
        bad=3,
        unit=unit,
        surface_brightness=surface_brightness,
        wcs=None,
        header=None,
    )


def batch(*cutouts: Any, value: float = 1.0, known: bool = True, judged: Any = None) -> Any:
    images = torch.full((len(cutouts), 1, FACTOR * SIZE, FACTOR * SIZE), value)
    return Predicted(list(cutouts), images, np.full(len(cutouts), known), judged)


@pytest.mark.parametrize(
    ("given", "trained", "value"),
    [(False, False, 1.0), (True, True, 1.0), (True, False, 4.0), (False, True, 0.25)],
)
def test_pixels_hold_what_the_image_held(
    tmp_path: Path, given: bool, trained: bool, value: float
) -> None:
    images = [batch(cutout(surface_brightness=given))]
    write_images(tmp_path, images, model(surface_brightness=trained), overwrite=False)
    pixels, header = fits.getdata(tmp_path / "a_x2.fits", header=True)
    assert pixels.shape == (12, 16), "without padding"
    assert np.unique(pixels).tolist() == [value]
    assert (header["PIXSCALE"], header["NBADPIX"], header["FLAG"]) == (0.1, 3, "")
    assert is_image(tmp_path / "a_x2.fits")


def test_an_image_that_could_not_be_computed_is_flagged(tmp_path: Path) -> None:
    images = [batch(cutout(), value=float("nan"), known=False)]
    write_images(tmp_path, images, model(), overwrite=False)
    pixels, header = fits.getdata(tmp_path / "a_x2.fits", header=True)
    assert np.isnan(pixels).all()
    assert header["FLAG"] == "not computed"


def test_an_image_unlike_the_training_is_flagged_in_words(tmp_path: Path) -> None:
    flags = np.array(["poor fit; unlike training"])
    judged = Resemblance({"chi2_dof": np.array([np.inf]), "distance": np.array([3.5])}, flags)
    write_images(tmp_path, [batch(cutout(), judged=judged)], model(), overwrite=False)
    header = fits.getheader(tmp_path / "a_x2.fits")
    assert (header["FLAG"], header["CHI2DOF"], header["DISTANCE"]) == (flags[0], "inf", 3.5)


@pytest.mark.parametrize("name", ["é.fits", "\x1b[31m\n.fits", "n" * 240 + ".fits", "\udcff.npy"])
def test_any_name_and_unit_can_be_written(tmp_path: Path, name: str) -> None:
    images = [batch(cutout(name, "\N{MICRO SIGN}Jy\n"))]
    assert write_images(tmp_path, images, model(), overwrite=False) == 1
    (path,) = tmp_path.iterdir()
    header = fits.getheader(path)
    assert header["BUNIT"] == r"\xb5Jy\n"
    assert header["ORIGFILE"].isascii()


def test_images_replace_those_of_an_earlier_run_and_no_others(tmp_path: Path) -> None:
    write_images(tmp_path, [batch(cutout())], model(), overwrite=False)
    write_images(tmp_path, [batch(cutout(), value=2.0)], model(), overwrite=False)
    assert fits.getdata(tmp_path / "a_x2.fits").max() == 2.0
    mine = tmp_path / "b_x2.fits"
    mine.write_text("mine")
    with pytest.raises(InputError, match="is no super-resolved image"):
        write_images(tmp_path, [batch(cutout("b.fits"))], model(), overwrite=False)
    assert mine.read_text() == "mine"
    write_images(tmp_path, [batch(cutout("b.fits"))], model(), overwrite=True)
    assert is_image(mine)


def test_a_folder_made_for_no_image_is_removed(tmp_path: Path) -> None:
    assert write_images(tmp_path / "out", [], model(), overwrite=False) == 0
    assert list(tmp_path.iterdir()) == []
