"""Remarks on an import: each thing that is not taken has a line, and every line a limit."""

import re
from pathlib import Path

import numpy as np
from astropy.io import fits

from simulate.importers.errors import BrokenFileError
from simulate.importers.remarks import Remarks
from tests.simulate.importers.make_files import image, save, save_fits, wcs_header


def test_broken_files_are_named_and_counted():
    lines = []
    remarks = Remarks(lines.append, 40)
    for number in range(12):
        remarks.skip(f"{number}\x1b[2J.npy", BrokenFileError("it is empty"))
        remarks.note("whose mask is not applied")
    remarks.close()
    assert lines[0] == r"skipped 0\x1b[2J.npy: it is empty"
    assert len(lines) == 13
    assert lines[10:] == [
        "skipped 2 more files; manifest.json names all 12",
        "12 of 40 files skipped",
        "12 images whose mask is not applied",
    ]


def test_what_is_no_image_of_the_sky_is_left_out_and_named(tmp_path, importing):
    for lens in ("a", "b"):
        save_fits(tmp_path / "set" / f"{lens}_data.fits")
        for role in ("noise_map", "psf", "seg"):
            save_fits(tmp_path / "set" / f"{lens}_{role}.fits", image(5))
    assert len(importing(tmp_path / "set", pixel_scale=None)) == 2
    assert importing.lines == [
        "left out 2 noise maps by their names, no images of the sky: a_noise_map.fits, "
        "b_noise_map.fits",
        "left out 2 PSFs by their names, no images of the sky: a_psf.fits, b_psf.fits",
        "left out 2 segmentation maps by their names, no images of the sky: a_seg.fits, b_seg.fits",
    ]
    assert importing.manifest["left_out"] == {"noise maps": 2, "PSFs": 2, "segmentation maps": 2}


def test_images_of_several_bands_are_noted_once_with_their_number(tmp_path, importing):
    for name in "abc":
        second = fits.ImageHDU(np.ones((8, 8)), wcs_header(), name="NIR")
        save_fits(tmp_path / "set" / f"{name}.fits", None, None, second, name="VIS")
    importing(tmp_path / "set", pixel_scale=None)
    (line,) = importing.lines
    assert line.startswith("3 images from VIS (extension 2), one of the 2 images in the file; not")


def test_a_size_that_no_patches_fill_has_advice_that_works(tmp_path, importing):
    save(tmp_path / "set" / "no" / "1.npy", image(61))
    importing(tmp_path / "set")
    (line,) = importing.lines
    advice = re.findall(r"--size (\d+) --out (\S+)", line)
    assert [int(size) for size, _ in advice] == [64, 56]
    for size, out in advice:
        assert importing(tmp_path / "set", size=int(size), out=Path(out)).image.shape[-1] == int(
            size
        )
        assert not any("patches" in line for line in importing.lines)
