"""Files of galaxy images in every format that is known."""

import h5py
import numpy as np
import pytest
from astropy.io import fits

from lensphys.ground.errors import InputError
from simulate.sources.galaxies import load_galaxies, prepare
from tests.simulate.sources.blobs import blob, configured, noise, pictures, stamp_of


def test_some_of_a_file_are_spread_over_all_of_it(tmp_path):
    images = np.stack([blob() + noise((80, 80), k) for k in range(9)])
    galaxies = load_galaxies(configured(path=pictures(tmp_path / "n.h5", images), max_images=3))
    assert galaxies.number.tolist() == [0, 3, 6]
    assert galaxies.label.tolist() == [-1] * 3


def test_one_file_in_any_format_gives_the_same_stamps(tmp_path):
    images = np.stack([blob(sigma=3.0 + k) + noise((80, 80), k) for k in range(3)]).astype("f4")
    fits.PrimaryHDU(images).writeto(tmp_path / "cube.fits")
    (tmp_path / "folder").mkdir()
    for k, image in enumerate(images):
        hdus = fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(image)])
        hdus.writeto(tmp_path / "folder" / f"{k}.fits")
    fits.PrimaryHDU(images[0]).writeto(tmp_path / "one.fits")
    expected = load_galaxies(configured(path=pictures(tmp_path / "a.h5", images)))
    for name in ("cube.fits", "folder", "one.fits"):
        found = load_galaxies(configured(path=tmp_path / name))
        assert len(found) == (1 if name == "one.fits" else 3)
        np.testing.assert_array_equal(found.stamps, expected.stamps[: len(found)])


def test_a_cube_of_integers_as_detectors_write_them_is_read(tmp_path):
    images = np.stack([200 * (blob() + noise((80, 80), k)) + 300 for k in range(2)])
    fits.PrimaryHDU(images.clip(0, 65000).astype(np.uint16)).writeto(tmp_path / "cube.fits")
    assert len(load_galaxies(configured(path=tmp_path / "cube.fits"))) == 2


def test_colours_are_weighted(tmp_path):
    image = blob() + noise((80, 80))
    red = np.stack([image, 0 * image, 0 * image], axis=-1)
    stamp, _ = stamp_of(red, configured(rgb_weights=(1.0, 0.0, 0.0)))
    np.testing.assert_array_equal(stamp, stamp_of(image)[0])
    assert prepare(red, configured(rgb_weights=(0.0, 1.0, 0.0))) == "empty"
    fits.PrimaryHDU(np.moveaxis(red, -1, 0)).writeto(tmp_path / "colour.fits")
    found = load_galaxies(configured(path=tmp_path, rgb_weights=(1.0, 0.0, 0.0)))
    np.testing.assert_array_equal(found.stamps[0], stamp)


@pytest.mark.parametrize(
    ("name", "contents", "message"),
    [
        ("a.h5", {"pictures": np.zeros((2, 8, 8))}, "has no dataset 'images' .* it has pictures"),
        ("a.h5", {}, "has no dataset 'images' .* it has nothing"),
        ("a.h5", {"images": np.zeros((2, 8, 8, 4))}, r"must be numbers of shape .*\(2, 8, 8, 4\)"),
        ("a.h5", {"images": np.zeros((0, 8, 8))}, "must be numbers of shape"),
        ("a.h5", {"images": np.array([b"x"])}, "must be numbers of shape"),
        ("a.h5", {"images": np.zeros((2, 80, 80)), "ans": np.zeros(3, int)}, "'ans' must be whole"),
        ("a.h5", {"images": np.zeros((2, 80, 80))}, r"no usable galaxy \(2 no galaxy at the cen"),
        ("a.txt", None, "neither an HDF5 file"),
        ("b.h5", None, "cannot read galaxy images from"),
        ("b.fits", None, "cannot read galaxy images from"),
    ],
)
def test_a_file_that_does_not_serve_is_refused_in_one_line(tmp_path, name, contents, message):
    path = tmp_path / name
    if contents is None:
        path.write_bytes(b"nothing of the kind")
    else:
        with h5py.File(path, "w") as file:
            for key, values in contents.items():
                file[key] = values
    with pytest.raises(InputError, match=message) as caught:
        load_galaxies(configured(path=path))
    assert "\n" not in str(caught.value)


def test_a_path_where_there_is_nothing_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"^there are no galaxy images at"):
        load_galaxies(configured(path=tmp_path / "none.h5"))
    with pytest.raises(InputError, match="holds no FITS file"):
        load_galaxies(configured(path=tmp_path))


def test_a_cutout_of_other_dimensions_is_refused(tmp_path):
    fits.PrimaryHDU(np.zeros((2, 8, 8))).writeto(tmp_path / "a.fits")
    with pytest.raises(InputError, match=r"no usable galaxy \(1 that cannot be read\)"):
        load_galaxies(configured(path=tmp_path))
    fits.PrimaryHDU().writeto(tmp_path / "b.fit")
    with pytest.raises(InputError, match="holds no image"):
        load_galaxies(configured(path=tmp_path / "b.fit"))


def test_each_extension_with_an_image_is_a_galaxy(tmp_path, caplog):
    """As in the files of COSMOS galaxies; noise maps, PSFs and masks are none."""
    caplog.set_level("INFO", "simulate")
    images = [(blob(sigma=3.0 + k) + noise((80, 80), k)).astype("f4") for k in range(4)]
    hdus = [fits.PrimaryHDU(images[0]), *(fits.ImageHDU(image) for image in images[1:])]
    fits.HDUList(hdus).writeto(tmp_path / "cosmos.fits")
    found = load_galaxies(configured(path=tmp_path / "cosmos.fits"))
    assert found.number.tolist() == [0, 1, 2, 3]
    np.testing.assert_array_equal(found.stamps[2], stamp_of(images[2])[0])
    assert "4 images of the sky, by extension" in caplog.text
    others = [fits.ImageHDU(images[1], name=name) for name in ("PSF", "RMS")]
    fits.HDUList([*hdus[:1], *others]).writeto(tmp_path / "one.fits")
    assert len(load_galaxies(configured(path=tmp_path / "one.fits"))) == 1
    assert "1 image of the sky, by extension; left out are 2 noise maps" in caplog.text
    fits.HDUList([fits.PrimaryHDU(), *others]).writeto(tmp_path / "none.fits")
    with pytest.raises(InputError, match="holds no image of the sky"):
        load_galaxies(configured(path=tmp_path / "none.fits"))


def test_files_of_a_folder_may_hold_a_galaxy_in_each_extension(tmp_path, caplog):
    caplog.set_level("INFO", "simulate")
    images = [(blob(sigma=3.0 + k) + noise((80, 80), k)).astype("f4") for k in range(5)]
    for name, part in (("a", images[:3]), ("b", images[3:])):
        hdus = [fits.PrimaryHDU(), *(fits.ImageHDU(image) for image in part)]
        fits.HDUList(hdus).writeto(tmp_path / f"{name}.fits")
    found = load_galaxies(configured(path=tmp_path))
    assert found.number.tolist() == [0, 1, 2, 3, 4]
    np.testing.assert_array_equal(found.stamps[4], stamp_of(images[4])[0])
    assert "2 of 2 files have a galaxy in each of several extensions, 5 galaxies" in caplog.text
    assert load_galaxies(configured(path=tmp_path, max_images=2)).number.tolist() == [0, 2]


def test_bands_that_are_not_taken_are_named(tmp_path, caplog):
    caplog.set_level("INFO", "simulate")
    bands = [fits.ImageHDU((blob() + noise((80, 80))).astype("f4"), name=name) for name in "GRI"]
    fits.HDUList([fits.PrimaryHDU(), *bands]).writeto(tmp_path / "a.fits")
    assert len(load_galaxies(configured(path=tmp_path))) == 1
    assert "1 galaxy from G (extension 1), one of the 3 images in the file; not taken: R, I" in (
        caplog.text
    )


def test_psfs_beside_cutouts_are_left_out_by_name(tmp_path, caplog):
    caplog.set_level("INFO", "simulate")
    for name in ("a.fits", "b.fits", "a_psf.fits"):
        fits.PrimaryHDU((blob() + noise((80, 80))).astype("f4")).writeto(tmp_path / name)
    assert len(load_galaxies(configured(path=tmp_path))) == 2
    assert "left out 1 noise maps, PSFs and the like by their names: a_psf.fits" in caplog.text


def test_a_galaxy_with_pixels_that_its_mask_calls_bad_is_not_used(tmp_path):
    image, mask = (blob() + noise((80, 80))).astype("f4"), np.zeros((80, 80), "i2")
    mask[40, 40] = 1
    for name, plane in (("bad", mask), ("good", 0 * mask)):
        hdus = [fits.PrimaryHDU(), fits.ImageHDU(image), fits.ImageHDU(plane, name="DQ")]
        fits.HDUList(hdus).writeto(tmp_path / f"{name}.fits")
    found = load_galaxies(configured(path=tmp_path))
    assert len(found) == 1
    assert found.rejected["not_finite"] == 1


def test_files_that_declare_more_than_they_hold_are_refused(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("images", (10**7, 64, 64), "f4", chunks=(1, 64, 64))
    with pytest.raises(InputError, match="declares arrays of 164 GB in a file of"):
        load_galaxies(configured(path=tmp_path / "a.h5"))
    pictures(tmp_path / "b.h5", np.stack([blob() + noise((80, 80))]))
    with h5py.File(tmp_path / "b.h5", "r+") as file:
        file.create_dataset("ans", (10**13,), "i8", chunks=(10**6,))
    with pytest.raises(InputError, match=r"'ans' must be whole .* of shape \(10000000000000,\)"):
        load_galaxies(configured(path=tmp_path / "b.h5"))
    header = fits.PrimaryHDU(np.zeros((8, 8))).header
    header["NAXIS1"] = 10**9
    (tmp_path / "c.fits").write_bytes(header.tostring().encode() + bytes(2880))
    with pytest.raises(InputError, match="is truncated"):
        load_galaxies(configured(path=tmp_path / "c.fits"))
