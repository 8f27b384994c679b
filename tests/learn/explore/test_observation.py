"""The image that lies beside the model."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from learn.explore.observation import Observation, observe
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


def redshifts(found: Observation) -> tuple[float, float]:
    return found.z_lens, found.z_source


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
    with pytest.raises(
        InputError, match="holds 2 lenses; choose one with --index 0 to 1: a_lens, b_lens"
    ):
        observe(tmp_path, settings_of())
    assert observe(tmp_path, settings_of(index=1)).name == "b_lens"
    with pytest.raises(InputError, match="--index goes from 0 to 1"):
        observe(tmp_path, settings_of(index=2))
    with pytest.raises(InputError, match="nothing"):
        observe(tmp_path / "nothing", settings_of())


def test_redshifts_are_those_of_the_catalogue_the_header_or_the_settings(
    settings_of: Callable[..., ExploreSettings], tmp_path: Path
) -> None:
    assert redshifts(observe(None, settings_of())) == (0.5, 1.0)
    folder = save(tmp_path / "a")
    image = folder / "lens.fits"
    assert redshifts(observe(image, settings_of())) == (0.5, 1.0)
    fits.setval(image, "Z_LENS", value=0.25)
    assert redshifts(observe(image, settings_of())) == (0.5, 1.0), "one alone is none"
    fits.setval(image, "Z_SOURCE", value=0.75)
    assert redshifts(observe(image, settings_of())) == (0.25, 0.75)
    assert redshifts(observe(image, settings_of(z_source=2.0))) == (0.25, 2.0)
    catalogue = tmp_path / "lenses.csv"
    files = "a/lens.fits,a/lens_rms.fits,a/lens_psf.fits"
    catalogue.write_text(
        f"name,image,noise,psf,z_lens,z_source\nfirst,{files},0.1,0.3\nsecond,{files},0.2,0.4\n"
    )
    assert redshifts(observe(catalogue, settings_of(index=1))) == (0.2, 0.4)
    with pytest.raises(InputError, match=r"z_source must be above .* 0\.75 and 0\.8;"):
        observe(image, settings_of(z_lens=0.8))


def test_redshifts_of_a_data_set_are_those_of_its_image(
    settings_of: Callable[..., ExploreSettings], model2: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = shards.read(model2)
    lens = data.config["lens"] | {"z_lens": 0.3, "z_source": 0.9}
    of_all = dataclasses.replace(data, config=data.config | {"lens": lens})
    monkeypatch.setattr("learn.explore.observation.shards.read", lambda path: of_all)
    assert redshifts(observe(model2, settings_of(index=1))) == (0.3, 0.9)
    columns = {"z_lens": np.arange(60) / 100, "z_source": np.arange(60) / 50}
    of_each = dataclasses.replace(data, params=data.params | columns)
    monkeypatch.setattr("learn.explore.observation.shards.read", lambda path: of_each)
    assert redshifts(observe(model2, settings_of(index=7))) == (0.07, 0.14)
