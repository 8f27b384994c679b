"""The image that lies beside the model."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from learn.explore.observation import observe
from learn.explore.settings import ExploreSettings
from lensphys.ground.errors import InputError
from simulate import shards


def save(folder: Path, size: int = 24) -> Path:
    """An image with its noise map and PSF."""
    folder.mkdir(exist_ok=True)
    header = fits.Header({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRPIX1": 1.0, "CRPIX2": 1.0})
    header.update({"CRVAL1": 10.0, "CRVAL2": 2.0, "CDELT1": -0.1 / 3600, "CDELT2": 0.1 / 3600})
    image = np.random.default_rng(0).normal(size=(size, size))
    image[size // 2, size // 2] = 50.0
    fits.writeto(folder / "lens.fits", image, header)
    fits.writeto(folder / "lens_rms.fits", np.ones((size, size)), header)
    fits.writeto(folder / "lens_psf.fits", np.outer([1, 2, 4, 2, 1], [1, 2, 4, 2, 1]) / 100.0)
    return folder


def test_a_lens_of_files_comes_with_noise_and_psf(
    settings_of: Callable[..., ExploreSettings], tmp_path: Path
) -> None:
    found = observe(save(tmp_path / "a"), settings_of())
    assert found.shape == (24, 24)
    assert found.pixel_scale == pytest.approx(0.1)
    assert found.noise is not None
    assert found.noise.mean() == 1.0
    assert found.psf is not None
    assert found.level[1] == 1.0
    wide = observe(save(tmp_path / "b", 150), settings_of())
    assert max(wide.shape) <= 130


def test_an_image_of_a_data_set_comes_in_electrons_a_second(
    settings_of: Callable[..., ExploreSettings], model2: Path
) -> None:
    found = observe(model2, settings_of(index=3))
    assert found.image is not None
    np.testing.assert_allclose(found.image, shards.read(model2).image[3, 0] / 2, rtol=1e-6)
    with pytest.raises(InputError, match="has 60 images; --index goes from 0 to 59"):
        observe(model2, settings_of(index=60))


def test_several_lenses_and_files_that_are_none_are_refused(
    settings_of: Callable[..., ExploreSettings], tmp_path: Path
) -> None:
    for name in ("a", "b"):
        save(tmp_path / name)
    with pytest.raises(InputError, match="holds 2 lenses; give one of them: a_lens, b_lens"):
        observe(tmp_path, settings_of())
    with pytest.raises(InputError, match="nothing"):
        observe(tmp_path / "nothing", settings_of())
