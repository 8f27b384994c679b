"""Published images become a data set, and no file can do anything but be read."""

import contextlib
import functools
import gzip
import io
import json
import operator
import os
import pickle
import shutil
import struct
import tracemalloc
from pathlib import Path

import h5py
import numpy as np
import numpy.lib.format as npy_format
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from hypothesis import given, settings
from hypothesis import strategies as st

from learn.data import split
from learn.tasks import task_class
from lensphys.ground.config import load_config, shipped_config
from lensphys.ground.errors import InputError
from simulate import shards
from simulate.dataset import preview
from simulate.dataset.photometry import Photometry
from simulate.importers import run
from simulate.importers.config import ImportConfig
from simulate.importers.errors import BrokenFileError
from simulate.importers.npy import read_npy
from simulate.importers.run import import_images

RNG = np.random.default_rng(7)
MASS = 3.5e-23


@pytest.fixture(autouse=True)
def _quick_preview(monkeypatch, request):
    """Drawing takes longer than all the rest; one test looks at the picture."""
    if "real_preview" not in request.fixturenames:
        draw = lambda folder: (folder / "preview.png").write_bytes(b"picture")  # noqa: E731
        monkeypatch.setattr(preview, "write_preview", draw)


@pytest.fixture
def real_preview():
    """The picture is drawn."""


def image(n=8):
    return RNG.normal(1.0, 0.1, (n, n))


def object_array(*members):
    array = np.empty(len(members), object)
    array[:] = members
    return array


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, array)
    return path


def npy_of(data, shape=(2,)):
    """An .npy file that says it holds an object array, and then these bytes."""
    file = io.BytesIO()
    npy_format.write_array_header_1_0(file, {"descr": "|O", "fortran_order": False, "shape": shape})
    return file.getvalue() + data


def options(**changes):
    changes = {"pixel_scale": 0.05} | changes
    return load_config(ImportConfig, shipped_config("import", "import", "command"), **changes)


@pytest.fixture
def importing(tmp_path):
    """Imports a folder with options and reads the data set back."""

    def run_import(source, **changes):
        changes.setdefault("out", tmp_path / "out")
        lines = []
        folder, _ = import_images(source, options(**changes), warn=lines.append)
        run_import.lines = lines
        run_import.manifest = shards.read_manifest(folder)
        return shards.read(folder)

    return run_import


def refusal(source, out, **changes):
    with pytest.raises(InputError) as error:
        import_images(source, options(out=out, **changes))
    assert "\n" not in str(error.value)
    assert not out.exists()
    return str(error.value)


@pytest.fixture
def deeplensesim(tmp_path):
    """Three images a class as DeepLenseSim saves them."""
    for name in ("axion", "cdm", "no_sub"):
        for i in range(3):
            pixels = image()
            array = object_array(pixels, np.float64(MASS * (i + 1))) if name == "axion" else pixels
            save(tmp_path / "Model" / name / f"{name}_sim_{i}.npy", array)
    return tmp_path / "Model"


# DeepLenseSim.


def test_deeplensesim_folders_become_labels_in_the_order_of_the_project(deeplensesim, importing):
    data = importing(deeplensesim)
    assert data.label_names == ["no_sub", "cdm", "axion"]
    assert data.label.tolist() == [0, 1, 2] * 3
    assert (data.image.shape, data.image.dtype) == ((9, 1, 8, 8), np.float32)
    for i, (name, label) in enumerate((n, k) for n in range(3) for k in data.label_names):
        stored = np.load(deeplensesim / label / f"{label}_sim_{name}.npy", allow_pickle=True)
        pixels = stored[0] if label == "axion" else stored
        assert np.array_equal(data.image[i, 0], pixels.astype(np.float32))
    assert importing.manifest["counts"] == {"no_sub": 3, "cdm": 3, "axion": 3}
    assert importing.manifest["skipped"] == {"n": 0, "names": []}


def test_axion_masses_are_columns(deeplensesim, importing):
    params = importing(deeplensesim).params
    masses = [np.nan, np.nan, MASS, np.nan, np.nan, 2 * MASS, np.nan, np.nan, 3 * MASS]
    assert np.array_equal(params["axion_mass"], masses, equal_nan=True)
    assert np.allclose(params["log10_axion_mass"], np.log10(masses), 1e-15, 0, equal_nan=True)


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


def test_classes_take_turns_until_one_ends(deeplensesim, importing):
    save(deeplensesim / "cdm" / "more1.npy", image())
    save(deeplensesim / "cdm" / "more2.npy", image())
    assert importing(deeplensesim).label.tolist() == [0, 1, 2] * 3 + [1, 1]


def test_a_class_that_is_not_there_is_no_label(deeplensesim, importing):
    shutil.rmtree(deeplensesim / "cdm")
    assert importing(deeplensesim).label_names == ["no_sub", "axion"]


def test_an_empty_class_is_refused(deeplensesim, tmp_path):
    for path in (deeplensesim / "cdm").iterdir():
        path.unlink()
    assert "has no .npy or FITS files in cdm" in refusal(deeplensesim, tmp_path / "out")


def test_files_of_a_mac_and_other_files_are_passed_over(deeplensesim, importing):
    (deeplensesim / "cdm" / "._cdm_sim_0.npy").write_bytes(b"Mac OS X")
    (deeplensesim / "cdm" / "notes.txt").write_text("notes")
    (deeplensesim / "__MACOSX").mkdir()
    assert len(importing(deeplensesim)) == 9
    assert importing.lines == []


# The DeepLense tests.


@pytest.fixture
def deeplense_tests(tmp_path):
    for part, n in (("train", 3), ("val", 1)):
        for name in ("no", "sphere", "vort"):
            for i in range(n):
                save(tmp_path / "dataset" / part / name / f"{i}.npy", image(12)[None])
    return tmp_path / "dataset"


def test_the_published_split_is_a_column(deeplense_tests, importing):
    data = importing(deeplense_tests)
    assert data.label_names == ["no", "sphere", "vort"]
    assert data.image.shape == (12, 1, 12, 12)
    assert data.attrs["split_names"] == ["train", "val"]
    assert data.params["split"].tolist() == [0] * 9 + [1] * 3
    assert data.label.tolist() == [0, 1, 2] * 4


def test_one_part_alone_is_a_data_set_without_split(deeplense_tests, importing):
    data = importing(deeplense_tests / "val")
    assert len(data) == 3
    assert "split" not in data.params


@pytest.mark.parametrize("add", [(12, 12), (12, 12, 1), (1, 12, 12)])
def test_one_band_may_have_an_axis(add, tmp_path, importing):
    for name in ("no", "vort"):
        save(tmp_path / "set" / name / "1.npy", image(12).reshape(add))
    assert importing(tmp_path / "set").image.shape == (2, 1, 12, 12)


@pytest.mark.parametrize("dtype", ["u1", "<i2", ">i4", "f2", "<f4", ">f8", "?"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_numbers_of_every_kind_are_read(dtype, order, tmp_path, importing):
    pixels = np.asarray(RNG.integers(0, 2, (6, 6)).astype(dtype), order=order)
    save(tmp_path / "set" / "no" / "1.npy", pixels)
    assert np.array_equal(importing(tmp_path / "set").image[0, 0], pixels.astype(np.float32))


def test_class_folders_of_other_names_are_imported_by_name(tmp_path, importing):
    for name in ("lenses", "nonlenses", "rest"):
        save(tmp_path / "set" / name / "1.npy", image())
    data = importing(tmp_path / "set", label_names=["nonlenses", "lenses"])
    assert data.label_names == ["nonlenses", "lenses"]
    assert len(data) == 2
    assert importing.lines == ["left out rest/ (1 image): --label-names does not name it"]
    assert importing.manifest["left_out"] == {"rest": 1}


def test_a_name_without_a_folder_is_refused(tmp_path):
    for name in ("lenses", "nonlenses"):
        save(tmp_path / "set" / name / "1.npy", image())
    save_fits(tmp_path / "cut" / "1.fits")
    message = refusal(tmp_path / "set", tmp_path / "out", label_names=["lenses", "non_lenses"])
    assert "--label-names: there is no folder 'non_lenses' in" in message
    assert message.endswith("its folders are lenses, nonlenses")
    message = refusal(tmp_path / "cut", tmp_path / "out", label_names=["lenses"])
    assert message.endswith("it has no folders")


def test_folders_beside_a_layout_are_named(deeplense_tests, importing):
    for name, n in (("train/rest", 2), ("more", 1), ("no", 1), ("train/notes", 0)):
        (deeplense_tests / name).mkdir()
        for i in range(n):
            save(deeplense_tests / name / f"{i}.npy", image(12))
    (deeplense_tests / "no" / "0.npy").rename(deeplense_tests / "more" / "1.npy")
    assert len(importing(deeplense_tests)) == 12
    assert importing.manifest["left_out"] == {"more": 2, "train/rest": 2}
    assert importing.lines == [
        f"left out {name}/ (2 images): it is not part of the layout deeplense-tests"
        for name in ("more", "train/rest")
    ]


def test_a_class_may_be_in_one_part_alone(tmp_path, importing):
    for name in ("train/a", "val/b"):
        save(tmp_path / "set" / name / "1.npy", image())
    data = importing(tmp_path / "set", label_names=["a", "b"])
    assert (data.label.tolist(), data.params["split"].tolist()) == ([0, 1], [0, 1])


# Pairs.


@pytest.fixture
def pairs(tmp_path):
    for i in range(20):
        high = image(12)
        save(tmp_path / "SR" / "HR" / f"sample{i}.npy", high[None])
        save(tmp_path / "SR" / "LR" / f"sample{i}.npy", high.reshape(6, 2, 6, 2).mean((1, 3))[None])
    return tmp_path / "SR"


def coarse(high):
    return high.reshape(len(high), 1, high.shape[2] // 2, 2, -1, 2).mean((3, 5))


def test_pairs_go_together_by_name(pairs, importing):
    data = importing(pairs)
    assert (data.image.shape, data.image_lr.shape) == ((20, 1, 12, 12), (20, 1, 6, 6))
    assert np.allclose(coarse(data.image), data.image_lr, atol=1e-6)
    assert data.attrs["pixel_scale_lr"] == 2 * data.attrs["pixel_scale"]
    assert data.label_names == ["unlabelled"]
    assert data.config["pairs"] == 2


def test_pairs_may_name_their_resolution(pairs, importing):
    for path in [*pairs.glob("?R/*.npy")]:
        path.rename(path.with_name(f"{path.parent.name}_{path.name}"))
    data = importing(pairs)
    assert np.allclose(coarse(data.image), data.image_lr, atol=1e-6)


def test_a_crop_keeps_pairs_on_one_field(pairs, importing, tmp_path):
    data = importing(pairs, size=8)
    assert (data.image.shape, data.image_lr.shape) == ((20, 1, 8, 8), (20, 1, 4, 4))
    assert np.allclose(coarse(data.image), data.image_lr, atol=1e-6)
    odd = importing(pairs, size=6, out=tmp_path / "odd")
    assert np.allclose(coarse(odd.image), odd.image_lr, atol=1e-6)
    assert "--size 7 cannot be divided by 2" in refusal(pairs, tmp_path / "o", size=7)


def test_an_image_without_partner_is_left_out(pairs, importing):
    (pairs / "LR" / "sample3.npy").unlink()
    (pairs / "HR" / "sample5.npy").unlink()
    assert len(importing(pairs)) == 18
    assert [line.partition(":")[0] for line in importing.lines] == [
        "skipped HR/sample3.npy",
        "skipped LR/sample5.npy",
    ]


@pytest.mark.parametrize("shape", [(5, 5), (12, 12), (6, 4)])
def test_resolutions_that_do_not_divide_are_refused(pairs, shape, tmp_path):
    for path in (pairs / "LR").iterdir():
        save(path, np.ones(shape))
    assert "must be one multiple" in refusal(pairs, tmp_path / "out")


# What learn reads.


def test_a_data_set_serves_classification_and_super_resolution(tmp_path, pairs, importing):
    for name in ("no_sub", "cdm", "axion"):
        for i in range(10):
            save(tmp_path / "set" / name / f"{i}.npy", image())
    data = importing(tmp_path / "set")
    assert task_class("classify").inputs(data).shape == (30, 1, 8, 8)
    parts = split(
        data.label,
        data.label_names,
        validation_fraction=0.2,
        test_fraction=0.2,
        labels_per_class=3,
        seed=0,
    )
    assert [len(part) for part in (parts.train, parts.validation, parts.test)] == [9, 6, 6]
    data = importing(pairs, out=tmp_path / "pairs")
    superres = task_class("superres")
    assert superres.inputs(data).shape == (20, 1, 6, 6)
    assert superres.serves(data.config)


def test_the_picture_shows_every_class(real_preview, deeplensesim, tmp_path):
    folder, _ = import_images(deeplensesim, options(out=tmp_path / "out"))
    assert (folder / "preview.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.filterwarnings("error")
def test_classes_of_one_image_each_are_imported_without_a_word(real_preview, tmp_path, importing):
    bad = image()
    bad[0, 0] = np.nan
    for name, pixels in (("no", image()), ("vort", bad)):
        save(tmp_path / "set" / name / "1.npy", pixels)
    assert importing(tmp_path / "set").params["n_bad_pixels"].tolist() == [0, 1]


# FITS.


def wcs_header(scale=0.1, ratio=1.0, *, rotated=False, unit=None):
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval, wcs.wcs.crpix = ["RA---TAN", "DEC--TAN"], [150.1, 2.2], [4, 4]
    x, y = scale / 3600, ratio * scale / 3600
    if rotated:
        cos, sin = np.cos(0.3), np.sin(0.3)
        wcs.wcs.cd = [[-x * cos, y * sin], [x * sin, y * cos]]
    else:
        wcs.wcs.cdelt = [-x, y]
    header = wcs.to_header()
    if unit:
        header["BUNIT"] = unit
    return header


def save_fits(path, pixels=None, header=None, *others, name="SCI"):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = image().astype(np.float32) if pixels is None else pixels
    sci = fits.ImageHDU(pixels, wcs_header() if header is None else header, name=name)
    fits.HDUList([fits.PrimaryHDU(), *others, sci]).writeto(path)
    return pixels


@pytest.mark.parametrize("rotated", [False, True])
def test_cutouts_bring_their_pixel_scale_and_unit(rotated, tmp_path, importing):
    header = wcs_header(0.0996, rotated=rotated, unit="nJy")
    kept = [save_fits(tmp_path / "cut" / f"{i}.fits", None, header) for i in range(3)]
    data = importing(tmp_path / "cut", pixel_scale=None)
    assert data.attrs["pixel_scale"] == pytest.approx(0.0996, rel=1e-9)
    assert data.attrs["unit"] == "nJy"
    assert data.label_names == ["unlabelled"]
    assert np.array_equal(data.image[:, 0], kept)


def test_cutouts_bring_their_exposure_times(tmp_path, importing):
    """From the header of the image, else from the first of the file; what is no time is unknown."""
    for i, value in enumerate([100.0, 200, "long", -1.0]):
        header = wcs_header()
        header["EXPTIME"] = value
        save_fits(tmp_path / "cut" / f"{i}.fits", None, header)
    save_fits(tmp_path / "cut" / "4.fits")
    fits.setval(tmp_path / "cut" / "4.fits", "EXPTIME", value=300.0)
    data = importing(tmp_path / "cut", pixel_scale=None)
    times = data.params["exposure_time"]
    assert np.array_equal(times, [100, 200, np.nan, np.nan, 300], equal_nan=True)
    told = importing(tmp_path / "cut", pixel_scale=None, exposure_time=50.0, out=tmp_path / "told")
    assert told.params["exposure_time"].tolist() == [50.0] * 5


def test_counts_are_read_with_the_exposure_time_that_was_told(deeplensesim, importing, tmp_path):
    told = {"instrument": "euclid_vis", "unit": "counts"}
    data = importing(deeplensesim, **told)
    assert "exposure_time" not in data.params
    with pytest.raises(InputError, match="import them again with --exposure-time SECONDS"):
        Photometry.of(data)
    data = importing(deeplensesim, **told, exposure_time=500.0, out=tmp_path / "told")
    known = Photometry.of(data)
    assert known.rate.tolist() == [1 / 500] * 9
    assert known.exposure.tolist() == [500.0] * 9


def test_one_cutout(tmp_path, importing):
    pixels = save_fits(tmp_path / "lens.fits")
    assert np.array_equal(importing(tmp_path / "lens.fits", pixel_scale=None).image[0, 0], pixels)


def test_folders_of_cutouts_are_classes(tmp_path, importing):
    for name in ("spiral", "lens"):
        save_fits(tmp_path / "cut" / name / "1.fits")
    assert importing(tmp_path / "cut", pixel_scale=None).label_names == ["lens", "spiral"]


def test_the_image_is_found_beside_weights_and_tables(tmp_path, importing):
    weight = fits.ImageHDU(np.ones((8, 8), np.float32), name="WHT")
    table = fits.BinTableHDU.from_columns([fits.Column("a", "D", array=np.ones(3))])
    pixels = save_fits(tmp_path / "cut" / "1.fits", None, None, table, weight)
    assert np.array_equal(importing(tmp_path / "cut", pixel_scale=None).image[0, 0], pixels)


@pytest.mark.parametrize("kind", ["gz", "fz", "primary"])
def test_compressed_and_simple_files(kind, tmp_path, importing):
    pixels = np.arange(64, dtype=np.int16).reshape(8, 8)
    folder = tmp_path / "cut"
    folder.mkdir()
    if kind == "fz":
        hdu = fits.CompImageHDU(pixels, wcs_header())
        fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(folder / "a.fits.fz")
    else:
        fits.PrimaryHDU(pixels, wcs_header()).writeto(folder / "a.fits")
    if kind == "gz":
        (folder / "a.fits.gz").write_bytes(gzip.compress((folder / "a.fits").read_bytes()))
        (folder / "a.fits").unlink()
    assert np.array_equal(importing(folder, pixel_scale=None).image[0, 0], pixels)


@pytest.mark.parametrize(("fill", "value"), [("median", 5.0), ("zero", 0.0)])
def test_bad_pixels_are_filled_and_counted(fill, value, tmp_path, importing):
    pixels = np.full((8, 8), 5, np.float32)
    pixels[0, 0], pixels[1, 1], pixels[2, 2] = np.nan, np.inf, 100
    mask = np.zeros((8, 8), np.uint8)
    mask[2, 2] = 1
    save_fits(tmp_path / "cut" / "1.fits", pixels, None, fits.ImageHDU(mask, name="MASK"))
    data = importing(tmp_path / "cut", pixel_scale=None, fill=fill)
    assert data.params["n_bad_pixels"].tolist() == [3]
    assert data.image[0, 0, [0, 1, 2], [0, 1, 2]].tolist() == [value] * 3


def test_what_a_mask_detected_is_not_bad(tmp_path, importing):
    """In the masks of Rubin and Subaru the bit DETECTED covers the lens itself."""
    mask = np.full((8, 8), 1 << 5, np.int32)
    mask[3, 3] |= 1 << 0
    planes = fits.ImageHDU(mask, name="MASK")
    planes.header["HIERARCH MP_BAD"], planes.header["HIERARCH MP_DETECTED"] = 0, 5
    save_fits(tmp_path / "cut" / "1.fits", None, None, planes)
    data = importing(tmp_path / "cut", pixel_scale=None)
    assert data.params["n_bad_pixels"].tolist() == [1]


def test_blank_integers_are_bad(tmp_path, importing):
    pixels = np.full((8, 8), 7, np.int16)
    pixels[4, 4] = -999
    hdu = fits.PrimaryHDU(pixels, wcs_header())
    hdu.header["BLANK"] = -999
    (tmp_path / "cut").mkdir()
    hdu.writeto(tmp_path / "cut" / "1.fits")
    data = importing(tmp_path / "cut", pixel_scale=None)
    assert data.params["n_bad_pixels"].tolist() == [1]
    assert (data.image == 7).all()


def test_a_missing_wcs_asks_for_the_pixel_scale(tmp_path, importing):
    save_fits(tmp_path / "cut" / "1.fits", None, fits.Header())
    message = refusal(tmp_path / "cut", tmp_path / "out", pixel_scale=None)
    assert "no WCS that gives the pixel scale; give --pixel-scale" in message
    assert importing(tmp_path / "cut", pixel_scale=0.3).attrs["pixel_scale"] == 0.3


def test_axes_without_a_width_are_no_wcs(tmp_path):
    """The standard's default would be pixels of one degree."""
    header = fits.Header({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN"})
    save_fits(tmp_path / "cut" / "1.fits", None, header)
    assert "give --pixel-scale" in refusal(tmp_path / "cut", tmp_path / "out", pixel_scale=None)


@pytest.mark.parametrize(
    ("header", "changes", "message"),
    [
        (wcs_header(0.2), {}, "differ in pixel scale: 1.fits has 0.1 arcsec, 2.fits 0.2"),
        (wcs_header(0.1, 1.1), {}, "2.fits has pixels of 0.1 x 0.11 arcsec; resample"),
        (fits.Header(), {}, "2.fits has no WCS that gives its pixel scale; give --pixel-scale"),
        (wcs_header(), {"pixel_scale": 0.3}, "--pixel-scale 0.3: the WCS of 1.fits says 0.1"),
        (wcs_header(unit="nJy"), {}, "differ in unit (BUNIT): 1.fits has None, 2.fits nJy"),
    ],
)
def test_cutouts_that_do_not_go_together_are_refused(header, changes, message, tmp_path):
    save_fits(tmp_path / "cut" / "1.fits")
    save_fits(tmp_path / "cut" / "2.fits", None, header)
    changes = {"pixel_scale": None} | changes
    assert message in refusal(tmp_path / "cut", tmp_path / "out", **changes)


def test_sizes_that_differ_are_cropped_about_the_centre(tmp_path, importing):
    large = save_fits(tmp_path / "cut" / "1.fits", image(10))
    save_fits(tmp_path / "cut" / "2.fits", image(8))
    message = refusal(tmp_path / "cut", tmp_path / "none", pixel_scale=None)
    assert (
        "1.fits has 10 x 10 pixels, 2.fits 8 x 8; crop all about their centres with --size 8"
        in (message)
    )
    data = importing(tmp_path / "cut", pixel_scale=None, size=8)
    assert np.array_equal(data.image[0, 0], large[1:9, 1:9].astype(np.float32))
    message = refusal(tmp_path / "cut", tmp_path / "none", pixel_scale=None, size=9)
    assert "--size 9: 2.fits has 8 x 8 pixels; --size 8 serves all images" in message


def test_images_that_are_not_square_are_cropped(tmp_path, importing):
    save_fits(tmp_path / "cut" / "1.fits", RNG.normal(size=(8, 10)))
    message = refusal(tmp_path / "cut", tmp_path / "none", pixel_scale=None)
    assert "not square but have 8 x 10 pixels; crop them about their centres with --size 8" in (
        message
    )
    assert importing(tmp_path / "cut", pixel_scale=None, size=8).image.shape == (1, 1, 8, 8)


# Broken files, and folders that are none.


def cut_short(path):
    path.write_bytes(path.read_bytes()[:-5])


def shortened_fits(path):
    path.write_bytes(path.read_bytes()[:5800])


def claims_a_million_pixels_on_a_side(path):
    head = fits.PrimaryHDU(np.ones((8, 8))).header
    head["NAXIS1"], head["NAXIS2"] = 10**6, 10**6
    path.write_bytes(head.tostring().encode() + bytes(2880))


DAMAGES = {
    "truncated": (cut_short, "damaged or truncated"),
    "empty": (lambda path: path.write_bytes(b""), "it is empty"),
    "text": (lambda path: path.write_text("index,mass\n"), "it is not an .npy file"),
    "magic": (lambda path: path.write_bytes(b"\x93NUMPY"), "no plain array needs"),
    "header": (lambda path: path.write_bytes(b"\x93NUMPY\x01\x00\xff\xff{"), "header is damaged"),
    "vector": (lambda path: save(path, np.ones(5)), "an array of 5, not one image"),
    "colours": (lambda path: save(path, np.ones((3, 8, 8))), "3 x 8 x 8, not one image"),
    "complex": (lambda path: save(path, np.ones((8, 8), complex)), "holds complex128, not numbers"),
    "dark": (lambda path: save(path, np.full((8, 8), np.nan)), "it has no good pixel"),
    "mass": (lambda path: save(path, object_array(image(), -1.0)), "its axion mass is -1 eV"),
    "members": (lambda path: save(path, object_array(image(), 1.0, 2.0)), "shape (3,), not ["),
}


@pytest.mark.parametrize(("damage", "reason"), DAMAGES.values(), ids=DAMAGES)
def test_a_broken_file_among_many_is_skipped(damage, reason, deeplensesim, importing):
    path = deeplensesim / "cdm" / "cdm_sim_1.npy"
    damage(path)
    data = importing(deeplensesim)
    assert data.label.tolist() == [0, 1, 2, 0, 2, 0, 1, 2]
    (line,) = importing.lines
    assert line.startswith("skipped cdm/cdm_sim_1.npy: ")
    assert reason in line
    assert importing.manifest["skipped"] == {"n": 1, "names": ["cdm/cdm_sim_1.npy"]}
    assert importing.manifest["n"] == 8


def test_an_image_of_other_shape_and_the_same_bytes_is_skipped(deeplensesim, importing):
    save(deeplensesim / "cdm" / "cdm_sim_1.npy", np.ones((4, 16)))
    # Its like of the same size is looked at first, and stands for both.
    assert (deeplensesim / "cdm" / "cdm_sim_1.npy").stat().st_size == (
        deeplensesim / "cdm" / "cdm_sim_0.npy"
    ).stat().st_size
    assert len(importing(deeplensesim)) == 8
    assert "it has 4 x 16 pixels, the others 8 x 8" in importing.lines[0]


@pytest.mark.parametrize(
    "damage",
    [
        shortened_fits,
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"SIMPLE  = nonsense" * 400),
        lambda path: fits.PrimaryHDU().writeto(path, overwrite=True),
        claims_a_million_pixels_on_a_side,
        lambda path: fits.PrimaryHDU(np.ones((3, 8, 8))).writeto(path, overwrite=True),
    ],
)
def test_a_broken_cutout_among_many_is_skipped(damage, tmp_path, importing):
    for i in range(3):
        save_fits(tmp_path / "cut" / f"{i}.fits")
    damage(tmp_path / "cut" / "1.fits")
    assert len(importing(tmp_path / "cut", pixel_scale=None)) == 2
    assert [line.partition(":")[0] for line in importing.lines] == ["skipped 1.fits"]


def test_ten_broken_files_are_named_and_the_others_counted(tmp_path, importing):
    for i in range(20):
        path = save(tmp_path / "set" / "no" / f"{i:02d}.npy", image())
        if i % 4:
            path.write_bytes(b"x" * i)
    assert len(importing(tmp_path / "set")) == 5
    assert len(importing.lines) == 11
    assert importing.lines[-1] == "skipped 5 more files; manifest.json names all 15"
    assert importing.manifest["skipped"]["n"] == 15


def test_a_shard_of_broken_files_alone_is_empty(tmp_path, importing):
    for i in range(6):
        path = save(tmp_path / "set" / "no" / f"{i}.npy", image())
        if i < 2:
            cut_short(path)
    data = importing(tmp_path / "set", shard_size=2)
    assert [shard["n"] for shard in importing.manifest["shards"]] == [0, 2, 2]
    assert len(data) == 4


def test_nothing_but_broken_files(deeplensesim, tmp_path):
    for path in deeplensesim.rglob("*.npy"):
        path.write_bytes(b"")
    message = refusal(deeplensesim, tmp_path / "out")
    assert "none of the 9 images in" in message
    assert "can be read; no_sub/no_sub_sim_0.npy: it is empty" in message


def test_nothing_but_images_without_good_pixels(deeplensesim, tmp_path):
    for path in deeplensesim.rglob("*.npy"):
        save(path, np.full((8, 8), np.nan))
    assert "none of the 9 images in" in refusal(deeplensesim, tmp_path / "out")


def test_names_of_files_cannot_write_to_the_terminal(deeplensesim, importing):
    (deeplensesim / "cdm" / "a\x1b[2J\nb.npy").write_bytes(b"")
    importing(deeplensesim)
    assert importing.lines == ["skipped cdm/a\\x1b[2J\\nb.npy: it is empty"]


def mixed_formats(folder):
    save(folder / "no" / "1.npy", image())
    save_fits(folder / "no" / "2.fits")


def mixed_layouts(folder):
    for name in ("no_sub", "no"):
        save(folder / name / "1.npy", image())


def beside_the_split(folder):
    for name in ("train/no", "no"):
        save(folder / name / "1.npy", image())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: folder.mkdir(), "has none of the known layouts: known are no_sub/"),
        (lambda folder: save(folder / "1.npy", image()), "has none of the known layouts"),
        (lambda folder: save(folder / "HR" / "1.npy", image()), "has none of the known layouts"),
        (lambda folder: None, "there is no file or folder"),
        (lambda folder: folder.write_text("text"), "is not a FITS file; import a folder of .npy"),
        (mixed_formats, "mixes .npy and FITS files"),
        (mixed_layouts, "mixes layouts (deeplense-tests, deeplensesim)"),
        (beside_the_split, "mixes layouts (deeplense-tests, deeplense-tests beside train/)"),
    ],
)
def test_folders_that_are_no_data_sets(make, message, tmp_path):
    make(tmp_path / "set")
    assert message in refusal(tmp_path / "set", tmp_path / "out")


# Going on where it stopped.


def test_the_same_command_again_has_nothing_to_do(deeplensesim, tmp_path, contents):
    config = options(out=tmp_path / "out")
    out, made = import_images(deeplensesim, config)
    before = contents(out)
    assert made
    assert import_images(deeplensesim, config) == (out, False)
    assert contents(out) == before


def test_an_interrupted_import_goes_on_to_the_same_bytes(
    deeplensesim, tmp_path, contents, monkeypatch
):
    (deeplensesim / "cdm" / "cdm_sim_1.npy").write_bytes(b"")
    whole, _ = import_images(deeplensesim, options(out=tmp_path / "whole", shard_size=2))
    config = options(out=tmp_path / "part", shard_size=2)
    write, written = run.write_shard, []

    def die_in_the_third(path, *rest):
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(path)
        write(path, *rest)

    monkeypatch.setattr(run, "write_shard", die_in_the_third)
    with pytest.raises(KeyboardInterrupt):
        import_images(deeplensesim, config)
    with pytest.raises(InputError, match="is not finished"):
        shards.read(tmp_path / "part")
    monkeypatch.setattr(run, "write_shard", write)
    done = []

    def progress(total, already):
        done.append((total, already))
        return done.append

    part, made = import_images(deeplensesim, config, progress)
    assert made
    assert done == [(9, 4), 2, 2, 1]
    assert contents(part) == contents(whole)


def test_a_damaged_shard_is_made_again(deeplensesim, tmp_path, contents):
    config = options(out=tmp_path / "out", shard_size=4)
    out, _ = import_images(deeplensesim, config)
    before = contents(out)
    (out / "shard-00001.h5").write_bytes(b"damaged")
    assert import_images(deeplensesim, config) == (out, True)
    assert contents(out) == before


def test_a_damaged_manifest_is_told_how_to_be_mended(deeplensesim, tmp_path):
    config = options(out=tmp_path / "out")
    out, _ = import_images(deeplensesim, config)
    (out / "manifest.json").write_text("{")
    with pytest.raises(InputError, match=r"is damaged; delete .*out and import again"):
        import_images(deeplensesim, config)


def test_another_source_or_option_is_refused(deeplensesim, deeplense_tests, tmp_path, contents):
    out, _ = import_images(deeplensesim, options(out=tmp_path / "out"))
    before = contents(out)
    with pytest.raises(InputError, match="holds a data set with source = Model, not dataset"):
        import_images(deeplense_tests, options(out=out))
    with pytest.raises(InputError, match=r"holds a data set with pixel_scale = 0\.05, not 0\.1"):
        import_images(deeplensesim, options(out=out, pixel_scale=0.1))
    save(deeplensesim / "cdm" / "new.npy", image())
    with pytest.raises(InputError, match=r"are not those that .* was made of"):
        import_images(deeplensesim, options(out=out))
    assert contents(out) == before


def test_a_folder_with_other_things_is_refused(deeplensesim, undisturbed):
    with pytest.raises(InputError, match="holds other files; choose an empty folder"):
        import_images(deeplensesim, options(out=deeplensesim))
    with pytest.raises(InputError, match="holds a data set that was simulated"):
        import_images(deeplensesim, options(out=undisturbed))


# Pickles: nothing is executed.


class Calls:
    """Pickles as a call of a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def pickled(path, *members, protocol=4):
    path.write_bytes(npy_of(pickle.dumps(object_array(*members), protocol=protocol)))
    return path


@pytest.mark.parametrize("protocol", [2, 3, 4])
@pytest.mark.parametrize("mass", [np.float64(MASS), np.float32(MASS), MASS, np.array(MASS)])
@pytest.mark.parametrize("numpy_1", [False, True])
def test_images_with_a_mass_are_read(protocol, mass, numpy_1, tmp_path):
    pixels = image()
    data = pickle.dumps(object_array(pixels, mass), protocol=protocol)
    if numpy_1 and protocol < 4:
        data = data.replace(b"numpy._core.", b"numpy.core.")
    elif numpy_1:  # lengths of the name and of the frame stand before them
        new, old = b"\x16numpy._core.multiarray", b"\x15numpy.core.multiarray"
        assert data.count(new) == 1
        (frame,) = struct.unpack("<Q", data[3:11])
        data = data[:3] + struct.pack("<Q", frame - 1) + data[11:].replace(new, old)
    path = tmp_path / "a.npy"
    path.write_bytes(npy_of(data))
    assert path.read_bytes() == npy_of(data)
    found, found_mass = read_npy(path)
    assert np.array_equal(found, pixels)
    assert found_mass == float(mass)


def test_images_saved_by_python_2_are_read(tmp_path):
    """There bytes are strings of the pickle."""
    data = pickle.dumps(object_array(image().astype("f4"), MASS), protocol=2)
    pixels = b"\0\0\x80\xbf" * 64
    start = data.index(b"\x89h\x03X") + 1  # _codecs.encode(text, 'latin1')
    end = data.index(b"R", data.index(b"h\x05\x86", start)) + 1
    assert data[end : end + 1] == b"q"
    string = b"T" + struct.pack("<i", len(pixels)) + pixels
    (tmp_path / "a.npy").write_bytes(npy_of(data[:start] + string + data[end:]))
    found, mass = read_npy(tmp_path / "a.npy")
    assert (found == -1).all()
    assert mass == MASS


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["<f4", ">f8", "u1"])
def test_the_image_beside_a_mass_may_be_of_any_number(order, dtype, tmp_path):
    pixels = np.asarray((100 * image()).astype(dtype), order=order)
    found, _ = read_npy(pickled(tmp_path / "a.npy", pixels, MASS))
    assert np.array_equal(found, pixels)


def stack_global(module, name):
    parts = b"".join(b"\x8c" + bytes([len(t)]) + t.encode() for t in (module, name))
    return b"\x80\x04" + parts + b"\x93"


HOSTILE = {
    "os.system": lambda canary: Calls(os.system, f"touch {canary}"),
    "eval": lambda canary: Calls(eval, f"open({str(canary)!r}, 'w')"),
    "exec": lambda canary: Calls(exec, f"open({str(canary)!r}, 'w')"),
    "open": lambda canary: Calls(open, str(canary), "w"),
    "getattr": lambda canary: Calls(getattr, np.ndarray, "tofile"),
    "partial": lambda canary: functools.partial(os.system, f"touch {canary}"),
    "operator": lambda canary: operator.attrgetter("f2py.crackfortran"),
    "numpy.load": lambda canary: Calls(np.load, str(canary)),
    "fromfile": lambda canary: Calls(np.fromfile, "/etc/hostname"),
    "memmap": lambda canary: Calls(np.memmap, str(canary), np.uint8, "w+", 0, (4,)),
    "path": lambda canary: canary,
    "lambda": lambda canary: io.BytesIO(b"x"),
    "nested": lambda canary: object_array(Calls(os.system, f"touch {canary}")),
    "object image": lambda canary: object_array(*[1.0] * 64).reshape(8, 8),
    "complex": lambda canary: 1j,
    "dictionary": lambda canary: {"mass": 1.0},
    "text": lambda canary: "1e-23",
    "none": lambda canary: None,
    "structured": lambda canary: np.zeros(1, [("a", "f8")]),
    "dates": lambda canary: np.zeros(1, "M8[s]"),
    "strings": lambda canary: np.array(["1e-23"]),
}


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("member", HOSTILE.values(), ids=HOSTILE)
def test_a_pickle_of_anything_else_is_refused_and_nothing_runs(member, place, tmp_path):
    canary = tmp_path / "canary"
    members = [image(), MASS]
    members[place] = member(canary)
    for protocol in (2, 3, 4):
        with pytest.raises(BrokenFileError) as error:
            read_npy(pickled(tmp_path / "a.npy", *members, protocol=protocol))
        assert str(error.value).isprintable()
        assert not canary.exists()


def test_a_pickle_that_is_a_call_itself_is_refused(tmp_path):
    canary = tmp_path / "canary"
    path = tmp_path / "a.npy"
    path.write_bytes(npy_of(pickle.dumps(Calls(os.system, f"touch {canary}"))))
    with pytest.raises(BrokenFileError, match=r"it names posix\.system"):
        read_npy(path)
    assert not canary.exists()


NUMPY_2 = "numpy._core.multiarray"
OPCODES = {
    "extension": b"\x80\x02\x82\x01.",
    "persistent text": b"Pid\n.",
    "persistent": b"\x80\x02K\x01Q.",
    "instance": b"(S'touch canary'\nios\nsystem\n.",
    "object": b"(cos\nsystem\nX\x01\0\0\0ao.",
    "new object": stack_global("numpy", "ndarray") + b"K\x08\x85\x81.",
    "buffers": b"\x80\x05\x97.",
    "dotted": stack_global("numpy", "dtype.__class__") + b")R.",
    "dotted module": stack_global("numpy", "core.multiarray._reconstruct") + b")R.",
    "dotted text": b"cnumpy\ndtype.__reduce__\n)R.",
    "other numpy": stack_global(NUMPY_2, "fromfile") + b")R.",
    "f2py": stack_global("numpy.f2py.crackfortran", "getlincoef") + b")R.",
    "distutils": b"cnumpy.distutils.exec_command\nexec_command\n)R.",
    "runstring": b"cnumpy.testing._private.utils\nrunstring\n)R.",
    "other codec": stack_global("_codecs", "encode") + b"\x8c\x01a\x8c\x03rot\x86R.",
    "decode": stack_global("_codecs", "decode") + b")R.",
    "change of a stand-in": stack_global("numpy", "dtype") + b"}\x8c\x01aK\x01sb.",
    "state of a stand-in": stack_global(NUMPY_2, "scalar") + b"N}\x8c\x08__call__Ns\x86b.",
    "tuple as state": stack_global("numpy", "ndarray") + b"K\x01\x85b.",
    "subclass": stack_global(NUMPY_2, "_reconstruct") + b"\x8c\x01aK\0\x85C\x01b\x87R.",
    "a number": b"\x80\x04K\x01.",
    "nothing": b"",
    "no stop": b"\x80\x04K\x01",
    "empty stack": b"\x80\x04.",
    "two pickles": b"\x80\x04K\x01.\x80\x04K\x01.",
    "unknown opcode": b"\x80\x04\xff.",
    "unknown protocol": b"\x80\xfeK\x01.",
    "a place never filled": b"\x80\x04h\x09.",
    "terminal": b"cos\x1b[2J\nsystem\n.",
}


@pytest.mark.parametrize("data", OPCODES.values(), ids=OPCODES)
def test_every_trick_of_a_pickle_is_refused(data, tmp_path):
    (tmp_path / "a.npy").write_bytes(npy_of(data))
    with pytest.raises(BrokenFileError) as error:
        read_npy(tmp_path / "a.npy")
    assert str(error.value).isprintable()
    assert [path.name for path in tmp_path.iterdir()] == ["a.npy"]
    # One pickle leaves nothing behind for the next.
    pixels = image()
    assert np.array_equal(read_npy(pickled(tmp_path / "b.npy", pixels, MASS))[0], pixels)


def header(descr, shape):
    file = io.BytesIO()
    npy_format.write_array_header_1_0(
        file, {"descr": descr, "fortran_order": False, "shape": shape}
    )
    return file.getvalue()


def claim(pixels):
    """A genuine pickle whose image claims to be larger than it is."""
    data = pickle.dumps(object_array(image(100), MASS), protocol=4)
    assert data.count(b"KdKd\x86") == 1
    large = b"J" + struct.pack("<i", pixels)
    (frame,) = struct.unpack("<Q", data[3:11])
    data = data[:3] + struct.pack("<Q", frame + 6) + data[11:]
    return npy_of(data.replace(b"KdKd\x86", large + large + b"\x86"))


HUGE = {
    "shape": header("<f8", (10**12,)) + b"\0" * 64,
    "square": header("<f8", (10**6, 10**6)) + b"\0" * 64,
    "overflow": header("<f8", (2**40, 2**40)),
    "negative": header("<f8", (-8, -8)) + b"\0" * 512,
    "no pixels": header("<f8", (0, 8)),
    "objects": npy_of(pickle.dumps(object_array(image(), MASS)), (10**12,)),
    "long item": header("|V1000000000", (8, 8)),
    "bytes": npy_of(b"\x80\x04\x8e" + struct.pack("<Q", 10**12) + b"x."),
    "text": npy_of(b"\x80\x04\x8d" + struct.pack("<Q", 10**12) + b"x."),
    "frame": npy_of(b"\x80\x04\x95" + struct.pack("<Q", 10**15) + b"K\x01."),
    "memo": npy_of(b"\x80\x04K\x01r" + struct.pack("<I", 2**31 - 1) + b"."),
    "nesting": npy_of(b"\x80\x04" + b"(" * 50_000 + b"t" * 50_000 + b"."),
    "image": claim(2**30),
    "scalar": npy_of(
        stack_global(NUMPY_2, "scalar") + b"\x8c\x05numpy\x8c\x05dtype\x93\x8c\x0cV10000000000\0R."
    ),
}


@pytest.mark.parametrize("data", HUGE.values(), ids=HUGE)
def test_a_claim_of_size_allocates_nothing(data, tmp_path):
    (tmp_path / "a.npy").write_bytes(data)
    tracemalloc.start()
    try:
        with pytest.raises(BrokenFileError):
            read_npy(tmp_path / "a.npy")
        assert tracemalloc.get_traced_memory()[1] < 5e6
    finally:
        tracemalloc.stop()


def test_a_file_too_large_for_an_image_is_not_read(tmp_path):
    with (tmp_path / "a.npy").open("wb") as file:
        file.write(header("<f8", (10**6, 10**6)))
        file.truncate(8 * 10**12)  # sparse
    with pytest.raises(BrokenFileError, match="too many for one image"):
        read_npy(tmp_path / "a.npy")


GENUINE = {
    "objects": npy_of(pickle.dumps(object_array(image(4), np.float64(MASS)), protocol=4)),
    "protocol 2": npy_of(pickle.dumps(object_array(image(4), np.float64(MASS)), protocol=2)),
    "plain": header("<f8", (4, 4)) + image(4).tobytes(),
}


@pytest.mark.parametrize("genuine", GENUINE.values(), ids=GENUINE)
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_damaged_file_is_an_image_or_broken(genuine, data, tmp_path_factory):
    """Bits that flip, bytes that are missing or doubled: nothing else can come of it."""
    content = bytearray(genuine)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place : place + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=3))
    path = tmp_path_factory.getbasetemp() / "fuzzed.npy"
    path.write_bytes(content)
    with contextlib.suppress(BrokenFileError):
        pixels, mass = read_npy(path)
        assert pixels.ndim == 2
        assert isinstance(mass, float)


# The file of a data set.


def test_shards_and_manifest_are_those_of_simulate(deeplensesim, tmp_path, undisturbed):
    out, _ = import_images(deeplensesim, options(out=tmp_path / "out", shard_size=4))
    assert sorted(path.name for path in out.iterdir()) == [
        "manifest.json",
        "preview.png",
        *(f"shard-0000{i}.h5" for i in range(3)),
    ]
    ours, theirs = (json.loads((d / "manifest.json").read_text()) for d in (out, undisturbed))
    assert theirs.keys() <= ours.keys()
    with h5py.File(out / "shard-00000.h5") as file, h5py.File(undisturbed / "shard-00000.h5") as of:
        assert file.keys() == of.keys()
        for name in ("image", "label"):
            assert file[name].dtype == of[name].dtype


def test_the_default_folder_bears_the_name_of_the_source(deeplensesim):
    assert run.default_out(deeplensesim, options()) == Path("data/imported/Model")
    assert run.default_out(Path("cut/a.fits.gz"), options()) == Path("data/imported/a")
