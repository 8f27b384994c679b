"""HDF5 files of strangers."""

import fcntl

import h5py
import numpy as np
import pytest

from simulate.dataset.padding import COLUMNS
from simulate.importers.errors import BrokenFileError
from simulate.importers.stacks import open_stack
from tests.simulate.importers.make_files import image, save_fits


def write(path, **contents):
    with h5py.File(path, "w") as file:
        for name, values in contents.items():
            file[name] = values
    return path


def refusal(path):
    with pytest.raises(BrokenFileError) as error, open_stack(path) as stack:
        stack.plane(0)
    return str(error.value)


def test_ten_million_declared_images_are_refused_by_their_size(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("image", (10**7, 1, 64, 64), "f4", chunks=(1, 1, 64, 64))
    reason = refusal(tmp_path / "a.h5")
    assert reason.startswith("it declares arrays of 164 GB in a file of ")
    assert "67.1 MB" in reason


def test_zeros_that_are_packed_are_too(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        images = file.create_dataset(
            "image", (10**4, 1, 64, 64), "f4", chunks=(10**3, 1, 64, 64), compression="gzip"
        )
        images[:10] = 0
    assert "declares arrays of 164 MB" in refusal(tmp_path / "a.h5")


def test_images_that_were_never_written_are_no_images(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("image", (3, 1, 8, 8), "f4", chunks=(1, 1, 8, 8))
    assert "has an array '/image' that was never written" in refusal(tmp_path / "a.h5")


def test_the_data_of_one_lens_are_an_image_with_its_scale(tmp_path):
    """As lenstronomy keeps them, and dolphin writes them."""
    pixels = np.arange(64.0).reshape(8, 8)
    matrix = 0.04 * np.array([[-0.8, 0.6], [0.6, 0.8]])
    path = write(
        tmp_path / "image_lens.h5",
        image_data=pixels,
        transform_pix2angle=matrix,
        exposure_time=1200.0,
        background_rms=0.01,
    )
    with open_stack(path) as stack:
        assert stack.count == 1
        assert stack.pixel_scale == pytest.approx(0.04)
        assert stack.exposure_time.tolist() == [1200.0]
        assert np.array_equal(stack.plane(0), pixels)
    write(path, image_data=pixels, exposure_time=np.ones((8, 8)))
    with open_stack(path) as stack:
        assert stack.pixel_scale is None
        assert np.isnan(stack.exposure_time).all()


@pytest.mark.parametrize(
    ("contents", "reason"),
    [
        ({"kwargs_result": 1.0, "settings": 2.0}, "result of a lens model; give the image that"),
        ({"kernel_point_source": np.ones((5, 5))}, "it holds a PSF"),
        ({"a": 1.0, "b": 2.0}, "neither 'image' nor 'image_data', but a, b"),
        ({"x\x1b[2J": 1.0}, r"but x\\x1b\[2J"),
        ({}, "but nothing"),
        ({"image": np.array([b"x"] * 4).reshape(2, 2)}, "not numbers"),
        ({"image": np.ones(3)}, "an array of 3, not one image"),
        ({"image_data": np.ones((3, 8, 8))}, "is not one image"),
        ({"image": np.ones((2, 1, 8, 8)), "params/exposure_time": np.ones(5)}, "exposure times"),
    ],
)
def test_other_contents_are_named(contents, reason, tmp_path):
    path = write(tmp_path / "a.h5", **contents)
    with pytest.raises(BrokenFileError, match=reason), open_stack(path) as stack:
        stack.plane(0)


def test_a_file_that_is_none_is_damaged(tmp_path):
    (tmp_path / "a.h5").write_bytes(b"nothing of the kind")
    assert refusal(tmp_path / "a.h5") == "it is damaged or not an HDF5 file"


def test_numbers_of_other_files_are_not_read(tmp_path):
    secret = write(tmp_path / "secret.h5", image=np.ones((8, 8)))
    write(tmp_path / "link.h5", image=h5py.ExternalLink(str(secret), "image"))
    assert refusal(tmp_path / "link.h5") == "its 'image' is a link, no array of numbers"
    (tmp_path / "raw").write_bytes(bytes(8 * 64))
    with h5py.File(tmp_path / "external.h5", "w") as file:
        outside = [(str(tmp_path / "raw"), 0, 8 * 64)]
        file.create_dataset("image", (8, 8), "f8", external=outside)
    assert refusal(tmp_path / "external.h5") == "its 'image' holds no values, no array of numbers"


def test_a_file_that_another_program_holds_open_is_read(tmp_path):
    path = write(tmp_path / "a.h5", image=np.ones((2, 1, 8, 8)))
    with path.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with open_stack(path) as stack:
            assert (stack.plane(1) == 1).all()


def test_a_shard_is_read_beside_its_exposure_times(tmp_path):
    path = write(tmp_path / "a.h5", image=np.ones((2, 1, 8, 8)))
    with h5py.File(path, "r+") as file:
        file["params/exposure_time"] = [100.0, 200.0]
    with open_stack(path) as stack:
        assert stack.exposure_time.tolist() == [100, 200]
        assert (stack.plane(1) == 1).all()


def test_images_of_a_data_set_are_shown_without_their_padding(tmp_path, importing):
    small = save_fits(tmp_path / "cut" / "1.fits", image(5))
    for n in (2, 3):
        save_fits(tmp_path / "cut" / f"{n}.fits", image(8))
    importing(tmp_path / "cut", pixel_scale=None)
    with open_stack(tmp_path / "out" / "shard-00000.h5") as stack:
        assert [stack.plane(i).shape for i in range(3)] == [(5, 5), (8, 8), (8, 8)]
        assert np.array_equal(stack.plane(0), small.astype(np.float32))


def test_padding_that_is_not_that_of_the_images_is_refused(tmp_path):
    contents = {"image": np.ones((2, 1, 8, 8)), "params/padding_left": np.ones(3)}
    assert "its padding is not that of its images" in refusal(write(tmp_path / "a.h5", **contents))


@pytest.mark.parametrize("around", [[0, 0, 0, 70], [4, 4, 0, 0], [0, 0, 3, 5], [1e300, 0, 0, 0]])
def test_padding_that_leaves_no_pixel_is_refused(around, tmp_path):
    columns = {f"params/{name}": [0.0, n] for name, n in zip(COLUMNS, around, strict=True)}
    path = write(tmp_path / "a.h5", image=np.ones((2, 1, 8, 8)), **columns)
    assert refusal(path) == "its padding leaves no pixel of an image"
