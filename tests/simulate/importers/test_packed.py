"""Packed files are unpacked up to a limit, and nothing is read that may never end."""

import bz2
import gzip
import io
import lzma
import os
import zipfile

import numpy as np
import pytest
from astropy.io import fits

from simulate.importers import packed
from simulate.importers.errors import BrokenFileError
from simulate.importers.fits import opened_image, read_fits, read_header
from simulate.importers.packed import check_regular, first_image_number, open_packed
from tests.simulate.importers.make_files import image, save_fits, wcs_header


def zipped(*members):
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for number, data in enumerate(members):
            file.writestr(f"{number}.fits", data)
    return archive.getvalue()


PACKERS = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress, "zip": zipped}


@pytest.mark.parametrize(("ending", "pack"), PACKERS.items())
@pytest.mark.parametrize("name", ["a.fits.{}", "b.fits"])
def test_packed_files_are_read_whatever_their_names(ending, pack, name, tmp_path):
    pixels = save_fits(tmp_path / "plain.fits")
    path = tmp_path / name.format(ending)
    path.write_bytes(pack((tmp_path / "plain.fits").read_bytes()))
    assert np.array_equal(read_fits(path), pixels)


@pytest.mark.parametrize(("ending", "pack"), PACKERS.items())
def test_a_bomb_is_refused_by_its_size(ending, pack, tmp_path, monkeypatch):
    monkeypatch.setattr(packed, "MAX_UNPACKED", 2**21)
    save_fits(tmp_path / "plain.fits")
    path = tmp_path / f"a.fits.{ending}"
    path.write_bytes(pack((tmp_path / "plain.fits").read_bytes() + bytes(3 * 2**20)))
    assert path.stat().st_size < 20_000
    for read in (read_fits, read_header):
        with pytest.raises(BrokenFileError, match="unpacks to more than 2 MiB"):
            read(path)


@pytest.mark.parametrize(("ending", "pack"), PACKERS.items())
def test_a_packed_file_that_is_cut_short_is_damaged(ending, pack, tmp_path):
    save_fits(tmp_path / "plain.fits", image(64))
    path = tmp_path / f"a.fits.{ending}"
    path.write_bytes(pack((tmp_path / "plain.fits").read_bytes())[:-40])
    with pytest.raises(BrokenFileError, match="damaged or"):
        read_fits(path)


def test_an_archive_of_several_files_is_not_guessed_at(tmp_path):
    (tmp_path / "a.fits.zip").write_bytes(zipped(b"SIMPLE", b"SIMPLE"))
    with pytest.raises(BrokenFileError, match="an archive of 2 files; unpack it first"):
        read_fits(tmp_path / "a.fits.zip")


def test_a_compressed_image_that_declares_too_much_is_refused(tmp_path):
    plain = fits.CompImageHDU(np.zeros((8, 8), np.int16), wcs_header())
    fits.HDUList([fits.PrimaryHDU(), plain]).writeto(tmp_path / "a.fits.fz")
    raw = (tmp_path / "a.fits.fz").read_bytes()
    for axis in (b"1", b"2"):
        old = b"ZNAXIS%b =                    8" % axis
        assert old in raw
        raw = raw.replace(old, b"ZNAXIS%b =                30000" % axis)
    (tmp_path / "a.fits.fz").write_bytes(raw)
    with (
        pytest.raises(BrokenFileError, match="1716 MiB, more than 512 MiB"),
        opened_image(tmp_path / "a.fits.fz"),
    ):
        pass


def test_a_header_without_end_is_not_read_to_its_end(tmp_path):
    with (tmp_path / "a.fits").open("wb") as file:
        file.write(b"SIMPLE  =                    T".ljust(80))
        file.truncate(10**12)  # sparse
    with pytest.raises(BrokenFileError, match="its header has no end"):
        read_fits(tmp_path / "a.fits")


@pytest.mark.parametrize(
    ("start", "reason"),
    [(b"XTENSION= 'IMAGE   '", "its header has no end"), (b"", "damaged after its image")],
)
def test_nor_is_one_of_an_extension(start, reason, tmp_path):
    save_fits(tmp_path / "a.fits")
    with (tmp_path / "a.fits").open("ab") as file:
        file.write(start.ljust(80, b" " if start else b"\0"))
        file.truncate(10**12)
    with pytest.raises(BrokenFileError, match=reason):
        read_fits(tmp_path / "a.fits")


def test_headers_of_large_files_are_stepped_through(tmp_path):
    pixels = image(1024)
    others = [fits.ImageHDU(np.ones((700, 700)), name=f"PSF{n}") for n in range(3)]
    table = fits.BinTableHDU.from_columns([fits.Column("a", "PD()", array=[np.ones(5)] * 3)])
    save_fits(tmp_path / "a.fits", pixels, None, *others, table)
    assert (tmp_path / "a.fits").stat().st_size > 4 * 2**20
    assert np.array_equal(read_fits(tmp_path / "a.fits"), pixels)


def test_pipes_devices_and_folders_are_no_files(tmp_path):
    os.mkfifo(tmp_path / "a.fits")
    (tmp_path / "b.fits").mkdir()
    for name, reason in (("a.fits", "a pipe or a device"), ("b.fits", "a folder")):
        with pytest.raises(BrokenFileError, match=reason):
            check_regular(tmp_path / name)
        with pytest.raises(BrokenFileError, match=reason), open_packed(tmp_path / name):
            pass


def test_the_first_image_of_a_file_is_known_without_its_reader(tmp_path):
    fits.PrimaryHDU(image()).writeto(tmp_path / "0.fits")
    save_fits(tmp_path / "1.fits")
    (tmp_path / "1.fits.gz").write_bytes(gzip.compress((tmp_path / "1.fits").read_bytes()))
    (tmp_path / "empty.fits").write_bytes(b"")
    names = ("0.fits", "1.fits", "1.fits.gz", "empty.fits")
    assert [first_image_number(tmp_path / name) for name in names] == [0, 1, 1, 0]
