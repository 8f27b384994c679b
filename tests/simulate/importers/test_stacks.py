"""Images of any kind of file, one by one."""

import numpy as np
import pytest

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
