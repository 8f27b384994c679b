"""Catalogues: every mistake is one line that names the row."""

import pytest

from learn.modelling.reading.catalogue import read_catalogue
from learn.modelling.reading.lens_files import Given
from lensphys.ground.errors import InputError
from tests.learn.modelling.make_lenses import catalogue, kernel, slacs, write

FULL = "name,image,noise,psf,mask,pixel_scale,z_lens,z_source,ra,dec"


@pytest.fixture
def read(tmp_path):
    """Reads a catalogue of these rows, beside a folder of one lens."""
    slacs(tmp_path / "J1")

    def run(*rows, columns=FULL, **given):
        return read_catalogue(catalogue(tmp_path / "lenses.csv", rows, columns), Given(**given))

    return run


def test_paths_are_relative_to_the_catalogue_and_numbers_are_read(read, tmp_path):
    (lens,) = read("J1, J1/image.fits,J1/noise.fits,J1/psf.fits,,0.05,0.227,0.931,7.4,-0.9")
    assert lens.image == tmp_path / "J1" / "image.fits"
    assert lens.mask is None
    assert (lens.pixel_scale, lens.z_lens, lens.z_source) == (0.05, 0.227, 0.931)
    assert (lens.ra, lens.dec) == (7.4, -0.9)
    assert (lens.place, lens.fault) == ("lenses.csv, row 1", "")


def test_columns_stand_in_any_order_and_others_are_left_alone(read):
    (lens,) = read(
        "J1/psf.fits,0.96,J1,J1/noise.fits,J1/image.fits", columns="PSF,theta_E, name,noise,image"
    )
    assert (lens.name, lens.psf.name, lens.fault) == ("J1", "psf.fits", "")


def test_rows_without_any_value_are_left_out(read):
    files = "J1/image.fits,J1/noise.fits,J1/psf.fits"
    lenses = read(f"J1,{files}", ",,,", "", f"J2,{files}", columns="name,image,noise,psf")
    assert [(lens.name, lens.fault) for lens in lenses] == [("J1", ""), ("J2", "")]


def test_empty_cells_are_filled_by_options(read, tmp_path):
    own = write(tmp_path / "star.fits", kernel())
    first, second = read(
        "a,J1/image.fits,J1/noise.fits,",
        "b,J1/image.fits,,J1/psf.fits",
        columns="name,image,noise,psf",
        psf=own,
    )
    assert (first.psf, second.psf.name, second.noise) == (own, "psf.fits", None)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (
            "name,image,noise",
            "lenses.csv lacks the column 'psf'; a catalogue has the columns name,",
        ),
        ("name,image,noise,psff", r"lacks the column 'psf' \(is it 'psff'\?\)"),
        ("J1,a.fits,b.fits,c.fits", "lacks the column 'name'"),
        ("name;image;noise;psf", "lacks the column 'name' between commas; a catalogue has"),
        ("name,image,image,noise,psf", "has two columns 'image'"),
    ],
)
def test_a_catalogue_without_a_column_is_refused(read, columns, message):
    with pytest.raises(InputError, match=message):
        read("J1,J1/image.fits,J1/noise.fits,J1/psf.fits", columns=columns)


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ("J1,J1/image.fits,J1/nois.fits,J1/psf.fits", "there is no noise file 'J1/nois.fits'"),
        ("J1,,J1/noise.fits,J1/psf.fits", "it names no image"),
        (",J1/image.fits,,", "it has no name"),
        ("J1,J1/\0.fits,,", "there is no image file 'J1/\\x00.fits'"),
        (f"J1,{300 * 'x'}.fits,,", "there is no image file 'xxx"),
        ("J1,J1/image.fits,,,,0", "its pixel_scale '0' is not a number above 0"),
        ("J1,J1/image.fits,,,,,x", "its z_lens 'x' is not a number above 0"),
        ("J1,J1/image.fits,,,,,0.5,0.4", "its z_lens is not below its z_source"),
        (
            "J1,J1/image.fits,,,,,,,10h,95",
            "its ra '10h' is not an angle of 0 to 360 degrees; its dec",
        ),
    ],
)
def test_a_bad_row_is_a_fault_of_its_own(read, row, fault):
    good = "good,J1/image.fits,J1/noise.fits,J1/psf.fits"
    first, second = read(good, row)
    assert (first.fault, second.place) == ("", "lenses.csv, row 2")
    assert second.fault.startswith(fault)


def test_what_is_no_catalogue_is_refused(tmp_path):
    path = tmp_path / "lenses.csv"
    for content, message in (
        (b"name,image,noise,psf\n", "holds no lens"),
        (b"\xff\xfe\x00", "not UTF-8"),
        (b"", "lacks the column 'name'"),
    ):
        path.write_bytes(content)
        with pytest.raises(InputError, match=message):
            read_catalogue(path, Given())
    with pytest.raises(InputError, match="there is no such catalogue"):
        read_catalogue(tmp_path / "none.csv", Given())
