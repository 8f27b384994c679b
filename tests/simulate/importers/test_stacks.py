"""Images of any kind of file, one by one."""

import os

import numpy as np
import pytest
from astropy.io import fits

from simulate.importers.errors import BrokenFileError
from simulate.importers.stacks import find_files, open_stack
from tests.simulate.importers.make_files import image, object_array, save, save_fits


def test_the_shards_of_a_data_set_are_its_files(undisturbed):
    assert [path.name for path in find_files(undisturbed)] == [
        f"shard-0000{i}.h5" for i in range(3)
    ]


def test_all_images_below_a_folder_are_found_and_nothing_else(tmp_path):
    save(tmp_path / "b" / "1.npy", image())
    save_fits(tmp_path / "a.fits")
    save(tmp_path / "._1.npy", image())
    (tmp_path / "notes.txt").write_text("none")
    assert find_files(tmp_path) == [tmp_path / "a.fits", tmp_path / "b" / "1.npy"]
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "empty", tmp_path / "absent"):
        with pytest.raises(BrokenFileError, match="no "):
            find_files(path)


def test_a_shard_knows_its_pixels_unit_and_exposures(undisturbed):
    with open_stack(undisturbed / "shard-00000.h5") as stack:
        assert (stack.count, stack.pixel_scale, stack.unit) == (32, 0.101, "2 e-/s")
        assert stack.plane(31).shape == (64, 64)
        assert stack.exposure_time.shape == (32,)


@pytest.mark.parametrize(
    ("shape", "count"), [((8, 8), 1), ((3, 8, 8), 3), ((3, 1, 8, 8), 3), ((8, 8, 1), 1)]
)
def test_arrays_of_one_image_and_of_many(shape, count, tmp_path):
    array = np.arange(float(np.prod(shape))).reshape(shape)
    with open_stack(save(tmp_path / "a.npy", array)) as stack:
        assert stack.count == count
        assert np.array_equal(stack.plane(count - 1), array.reshape(-1, 8, 8)[-1])
        assert stack.pixel_scale is None


def test_a_published_image_beside_its_mass_is_one_image(tmp_path):
    pixels = image()
    with open_stack(save(tmp_path / "a.npy", object_array(pixels, 1e-23))) as stack:
        assert np.array_equal(stack.plane(0), pixels)


def test_a_cutout_brings_its_sky(tmp_path):
    pixels = save_fits(tmp_path / "a.fits")
    with open_stack(tmp_path / "a.fits") as stack:
        assert stack.pixel_scale == pytest.approx(0.1)
        assert stack.wcs is not None
        assert np.array_equal(stack.plane(0), pixels)


@pytest.mark.parametrize("name", ["a.txt", "a.npy", "a.h5", "a.fits"])
def test_a_file_that_is_no_image_is_broken(name, tmp_path):
    (tmp_path / name).write_bytes(b"nothing")
    with pytest.raises(BrokenFileError), open_stack(tmp_path / name) as stack:
        stack.plane(0)


def test_noise_maps_and_psfs_below_a_folder_are_left_out_by_name(tmp_path):
    for lens in "ab":
        for name in ("image", "noise_map", "psf"):
            save_fits(tmp_path / lens / f"{name}.fits")
        save(tmp_path / f"{lens}_mask.npy", image())
        save_fits(tmp_path / "masks" / f"{lens}.fits")
    left = {}
    found = find_files(tmp_path, left.__setitem__)
    assert [path.relative_to(tmp_path).as_posix() for path in found] == [
        "a/image.fits",
        "b/image.fits",
    ]
    assert len(left) == 8
    assert "by its name it is a noise map" in left[tmp_path / "a" / "noise_map.fits"]
    assert left[tmp_path / "a_mask.npy"].endswith("rename it to take it nevertheless")
    with pytest.raises(BrokenFileError, match="a folder of masks"):
        find_files(tmp_path / "masks")


def test_the_advice_on_a_psf_works(tmp_path):
    save_fits(tmp_path / "psf.fits")
    with pytest.raises(BrokenFileError) as error:
        find_files(tmp_path / "psf.fits")
    advised = str(error.value).partition("no image of the sky; ")[2].partition(" takes")[0]
    (path,) = find_files(type(tmp_path)(advised))
    with open_stack(path) as stack:
        assert stack.plane(0).shape == (8, 8)


def test_an_extension_may_be_chosen_in_two_ways(tmp_path):
    second = fits.ImageHDU(np.full((8, 8), 7.0), name="NIR")
    save_fits(tmp_path / "a.fits", None, None, second)
    (chosen,) = find_files(tmp_path / "a.fits[NIR]")
    for path, hdu in ((chosen, None), (tmp_path / "a.fits", "1"), (tmp_path / "a.fits", "NIR")):
        with open_stack(path, hdu=hdu) as stack:
            assert (stack.plane(0) == 7).all()
            assert stack.notes == ()
    with open_stack(tmp_path / "a.fits") as stack:
        assert stack.notes[0].startswith("from SCI (extension 2), one of the 2 images")
        assert not (stack.plane(0) == 7).any()


def test_links_pipes_and_folders_are_named_and_never_read(tmp_path):
    (tmp_path / "loop.fits").symlink_to("loop.fits")
    (tmp_path / "none.npy").symlink_to("nowhere")
    (tmp_path / "folder.fits").mkdir()
    os.mkfifo(tmp_path / "pipe.npy")
    save(tmp_path / "good.npy", image())
    found = find_files(tmp_path)
    assert [path.name for path in found] == ["good.npy", "loop.fits", "none.npy", "pipe.npy"]
    for path in found[1:]:
        with pytest.raises(BrokenFileError), open_stack(path):
            pass


def npy(header, body=bytes(4096)):
    text = header.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + body


PLAIN = "{'descr': '<f4', 'fortran_order': False, 'shape': %s, }"


@pytest.mark.parametrize(
    "content",
    [
        npy((PLAIN % "(32, 32)").replace("}", "{")),
        npy(PLAIN % "(-1, 32)"),
        npy(PLAIN % "(99999999999999999999, 64, 64)"),
        npy(PLAIN % "(True, True)"),
        npy("1" + "+1j" * 3000),
        npy("(" * 9000),
        npy((PLAIN % "(2,)").replace("<f4", "|O")),
        npy((PLAIN % "(32, 8)").replace("<f4", "<U4")),
        npy(PLAIN % "(1000, 1000)"),
        npy(PLAIN % "(0, 32)", b""),
        npy(PLAIN % "()", bytes(4)),
        npy("{'descr': '<f4'}"),
        npy(PLAIN % "(32, 32)")[:-7],
        b"PK\x03\x04" + bytes(100),
        b"\x93NUMPY",
        b"",
    ],
)
def test_a_damaged_array_is_broken_and_nothing_else(content, tmp_path):
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(BrokenFileError), open_stack(tmp_path / "a.npy") as stack:
        stack.plane(0)
