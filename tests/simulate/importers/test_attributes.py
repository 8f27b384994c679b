"""Attributes of imported images, as far as files and options give them."""

import dataclasses

import pytest

import lensphys as lp
from tests.simulate.importers.make_files import (
    image,
    refusal,
    save,
)


def test_a_model_brings_its_instrument(deeplensesim, importing, tmp_path):
    for path in deeplensesim.rglob("*.npy"):
        save(path, image(64))
    attrs = importing(deeplensesim, model=2, pixel_scale=None).attrs
    assert (attrs["model"], attrs["preset"], attrs["unit"]) == (2, "imported", "2 e-/s")
    assert (attrs["pixel_scale"], attrs["psf_fwhm"]) == (0.101, 0.16)
    assert attrs["instrument"] == "euclid_vis_published"
    assert attrs["background_sigma"] > 0
    assert "has images of 150 x 150 pixels, these have 64 x 64" in refusal(
        deeplensesim, tmp_path / "other", model=1
    )


def test_an_instrument_brings_psf_and_noise_on_the_pixels_there_are(deeplensesim, importing):
    attrs = importing(deeplensesim, instrument="euclid_vis", pixel_scale=0.2, unit="nJy").attrs
    assert (attrs["pixel_scale"], attrs["unit"], attrs["model"]) == (0.2, "nJy", "unknown")
    assert attrs["psf_fwhm"] > 0
    assert attrs["background_sigma"] > 0


def test_a_pixel_of_another_width_collects_the_sky_of_its_area(deeplensesim, importing, tmp_path):
    def sigma(pixel_scale):
        out = tmp_path / str(pixel_scale)
        data = importing(
            deeplensesim, instrument="deeplense_model1", pixel_scale=pixel_scale, out=out
        )
        return data.attrs["background_sigma"]

    assert sigma(0.05) == pytest.approx(0.01)
    assert sigma(0.1) == pytest.approx(0.02)


def test_what_nobody_said_is_absent(deeplensesim, importing):
    attrs = importing(deeplensesim).attrs
    assert attrs.keys() == {"label_names", "preset", "model", "unit", "pixel_scale"}
    assert (attrs["model"], attrs["unit"], attrs["pixel_scale"]) == ("unknown", "unknown", 0.05)


def test_a_pixel_scale_is_asked_for(deeplensesim, tmp_path):
    message = refusal(deeplensesim, tmp_path / "out", pixel_scale=None)
    assert "the .npy files do not say the pixel scale; give --pixel-scale" in message


def test_a_moffat_camera_brings_its_wings(deeplensesim, importing, monkeypatch):
    moffat = dataclasses.replace(lp.instrument("euclid_vis"), psf_beta=3.0)
    monkeypatch.setattr("simulate.instruments.instrument", lambda name: moffat)
    assert importing(deeplensesim, instrument="euclid_vis").attrs["psf_beta"] == 3.0
