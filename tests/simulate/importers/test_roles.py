"""Roles of files, folders and extensions by their names."""

from pathlib import Path

import pytest

from simulate.importers.roles import (
    Neighbours,
    belongs,
    extension_role,
    file_role,
    folder_role,
    is_fits,
    names_no_object,
    split_extension,
)

NONE = Neighbours(())


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("SCI", None),
        ("VIS_FLUX", None),
        ("", None),
        ("PRIMARY", None),
        ("NORMS", None),
        ("VIS_PSF", "PSF"),
        ("MERPSF_VIS", "PSF"),
        ("MERRMS_VIS", "noise map"),
        ("ERR", "noise map"),
        ("VAR_POISSON", "noise map"),
        ("UNCERT", "noise map"),
        ("WHT", "weight map"),
        ("IVAR", "weight map"),
        ("DQ", "mask"),
        ("MSK", "mask"),
        ("BPM", "mask"),
        ("BPMASK", "mask"),
        ("VISFLAG", "mask"),
        ("3-4-F.FLG", "mask"),
        ("SEGMENTATION", "segmentation map"),
        ("D2IMARR", "background"),
    ],
)
def test_extensions_tell_by_their_names(name, role):
    assert extension_role(name) == role


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("psf.fits", "PSF"),
        ("lens1_psf.fits.gz", "PSF"),
        ("psf_F814W.fits", "PSF"),
        ("noise.fits", "noise map"),
        ("noise_map.fits", "noise map"),
        ("lens1_noise_map.npy", "noise map"),
        ("legacysurvey-1p0-invvar-r.fits.fz", "weight map"),
        ("EUC_MER_MOSAIC-VIS-FLAG_TILE1.fits", "mask"),
        ("EUC_MER_MOSAIC-VIS-RMS_TILE1.fits", "noise map"),
        ("lens1.mask.fits", "mask"),
        ("j1_drz_wht.fits", "weight map"),
        ("seg.fits", "segmentation map"),
        ("image.fits", None),
        ("cdm_sim_17.npy", None),
        ("sigma_Orionis_3.fits", None),
        ("lens_noise.fits", None),
        ("exp12.fits", None),
        ("biased_1.npy", None),
        ("good_quality.fits", None),
    ],
)
def test_files_tell_by_their_names(name, role):
    assert file_role(name, NONE) == role


@pytest.mark.parametrize(
    "names",
    [
        ("l7.fits", "l7_noise.fits"),
        ("l7_data.fits", "l7_noise.fits"),
        ("g_image.fits", "g_err.fits"),
        ("image_1.fits", "noise_1.fits"),
        ("7.npy", "7_sigma.npy"),
    ],
)
def test_a_word_that_may_belong_to_a_name_counts_beside_the_image_itself(names):
    image, noise = names
    assert file_role(noise, Neighbours(names)) == "noise map"
    assert file_role(image, Neighbours(names)) is None
    assert file_role(noise, Neighbours((noise, "other.fits"))) is None


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("psf", "PSF"),
        ("PSFs", "PSF"),
        ("noise_maps", "noise map"),
        ("masks", "mask"),
        ("data", None),
        ("no_sub", None),
        ("lenses", None),
        ("exp", None),
        ("noise_study", None),
    ],
)
def test_folders_tell_by_their_names(name, role):
    assert folder_role(name) == role


def test_a_plane_belongs_to_the_image_of_its_band():
    assert belongs("VIS_RMS", "VIS_FLUX")
    assert belongs("VIS_RMS", "VIS_BGSUB")
    assert not belongs("NIR_Y_PSF", "VIS_BGSUB")
    assert belongs("RMS", "VIS")
    assert not belongs("NIR_Y_RMS", "VIS_FLUX")


def test_names_of_one_lens_alone():
    assert names_no_object("noise_map.fits")
    assert not names_no_object("lens1_psf.fits")


def test_an_extension_in_brackets_is_split_from_the_path(tmp_path):
    assert split_extension(Path("a/b.fits[SCI,2]")) == (Path("a/b.fits"), "SCI,2")
    assert split_extension(Path("a/b.fits")) == (Path("a/b.fits"), None)
    (tmp_path / "x[1]").mkdir()
    assert split_extension(tmp_path / "x[1]") == (tmp_path / "x[1]", None)


@pytest.mark.parametrize(
    ("name", "known"), [("a.fits", 1), ("A.FIT.GZ", 1), ("a.fits.bz2", 1), ("._a.fits", 0)]
)
def test_names_of_fits_files(name, known):
    assert is_fits(name) == bool(known)
