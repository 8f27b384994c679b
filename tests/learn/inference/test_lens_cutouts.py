"""Real lenses, with noise maps and PSFs of their own."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from astropy.io import fits

import lensphys as lp
from learn.config import PredictConfig
from learn.data_description import describe
from learn.inference.cutouts import Cutout, CutoutRemarks, find_optics
from learn.inference.lens_cutouts import read_lens_cutouts
from learn.inference.model import Model, load_model
from learn.modelling.reading.lens_files import Given, find_lenses
from lensphys.ground.config import load_config, shipped_config
from lensphys.ground.errors import InputError
from simulate import shards
from tests.learn.conftest import LENS_FIT

#: Pixels of the network, and finer ones; the wider PSF of the lens, arcsec; its noise.
SCALE, FINE, FWHM, SIGMA = 0.08, 0.05, 0.25, 0.03
SHAPE = (110, 104)


@pytest.fixture
def model(smooth: shards.DataSet, untrained_task: Any) -> Model:
    """A network that knows another PSF, of 0.08 arcsec."""
    names = {"label_names": ["no_sub", "cdm"]}
    data = dataclasses.replace(smooth, attrs=smooth.attrs | names)
    task, _ = untrained_task("classify", data, LENS_FIT)
    return Model(task, describe(data), Path("run"))


def write_lens(folder: Path, pixel_scale: float, unit: float = 1.0) -> Path:
    """A lens with a wide PSF in a folder, its noise map and PSF beside it, in any unit."""
    x, y = lp.pixel_grid(SHAPE, pixel_scale, dtype=torch.float64)
    psf = lp.GaussianPSF(FWHM, pixel_scale)
    lens = lp.ThinLens([lp.SIE(theta_E=1.1, e1=0.1, e2=-0.05), lp.Shear(gamma1=0.02, gamma2=0.03)])
    source = lp.Sersic(amplitude=300.0, R_sersic=0.25, n_sersic=1.2, center_x=0.1, center_y=0.08)
    image = lp.render(lens, source, x, y, psf=psf, supersampling=2).numpy()
    image = image + np.random.default_rng(2).normal(0, SIGMA, SHAPE)
    noise = np.full(SHAPE, SIGMA)
    image[:9, :9], noise[:9, :9] = 1e3, 1e8  # masked
    spot = torch.zeros(1, 41, 41, dtype=torch.float64)
    spot[0, 20, 20] = 1.0
    folder.mkdir()
    header = fits.Header({"PIXSCALE": pixel_scale})
    for name, values in (("image", image), ("noise", noise)):
        fits.writeto(folder / f"{name}.fits", unit * values, header)
    fits.writeto(folder / "psf.fits", psf.convolve(spot)[0].numpy(), header)
    return folder


def read(folder: Path, model: Model, **options: Any) -> tuple[list[Cutout], CutoutRemarks]:
    shipped = shipped_config("predict", "predict", "command")
    config = load_config(PredictConfig, shipped, **options)
    remarks = CutoutRemarks()
    lenses = find_lenses([folder], Given())
    found = read_lens_cutouts(lenses, model, config, remarks, lambda path, part: None)
    return list(found), remarks


@pytest.mark.parametrize("pixel_scale", [SCALE, FINE])
def test_a_lens_is_fitted_with_its_own_psf_and_noise(
    tmp_path: Path, model: Model, pixel_scale: float
) -> None:
    cutouts, _ = read(write_lens(tmp_path / "J0001", pixel_scale, unit=37.0), model)
    (cutout,) = cutouts
    pixels = cutout.frame.pixels[None].astype(np.float32)
    batch = model.prepare(pixels, np.array([cutout.exposure_time]), find_optics(cutouts))
    assert batch.fits is not None
    assert batch.fits.chi2_dof.item() == pytest.approx(1, abs=0.12)
    assert batch.fits.params["theta_E"].item() == pytest.approx(1.1, abs=0.01)
    if pixel_scale == SCALE:
        usual = model.prepare(pixels, np.array([cutout.exposure_time]))
        assert usual.fits is not None
        assert usual.fits.chi2_dof.item() > 1.25, "with the PSF and noise of the training"


def test_the_unit_of_an_image_does_not_count(tmp_path: Path, model: Model) -> None:
    (one,), remarks = read(write_lens(tmp_path / "a", SCALE), model)
    (other,), _ = read(write_lens(tmp_path / "b", SCALE, unit=1e-3), model)
    np.testing.assert_allclose(one.frame.pixels, other.frame.pixels, rtol=1e-5)
    assert one.optics is not None
    assert other.optics is not None
    np.testing.assert_allclose(one.optics.noise, other.optics.noise, rtol=1e-5)
    known = float(model.data.attrs["background_sigma"])
    assert np.median(one.optics.noise) == pytest.approx(known, rel=1e-6)
    assert one.bad == 81
    lines = list(remarks.lines(1))
    assert "1 image scaled to the background noise of the training" in lines
    assert "1 image cropped from 110 x 104 to 64 x 64 pixels" in lines


def test_masked_pixels_have_no_say(tmp_path: Path, model: Model) -> None:
    folder = write_lens(tmp_path / "a", SCALE)
    for name, value in (("image", -1e4), ("noise", 1e8)):
        with fits.open(folder / f"{name}.fits", mode="update") as file:
            file[0].data[50:54, 30:34] = value
    (cutout,), _ = read(folder, model)
    assert cutout.optics is not None
    masked = cutout.optics.noise > 500 * np.median(cutout.optics.noise)
    assert masked.sum() == 16
    assert np.abs(cutout.frame.pixels[masked]).max() < np.abs(cutout.frame.pixels).max()


def test_what_cannot_be_read_is_left_out(tmp_path: Path, model: Model) -> None:
    folder = write_lens(tmp_path / "a", SCALE)
    (folder / "psf.fits").unlink()
    cutouts, remarks = read(folder, model)
    assert not cutouts
    assert "holds no PSF" in remarks.broken[0]


def test_a_network_that_fits_no_lens_is_refused(
    tmp_path: Path, classifier: Path, superresolver: Path
) -> None:
    folder = write_lens(tmp_path / "a", SCALE)
    for run, why in ((classifier, "fits no lens"), (superresolver, "makes images")):
        with pytest.raises(InputError, match=rf"{why}.*leave out --own-optics"):
            read(folder, load_model(run))
