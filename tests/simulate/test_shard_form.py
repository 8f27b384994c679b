"""The form of a shard is checked before its arrays are read."""

import h5py
import numpy as np
import pytest

from simulate.hdf5 import DamagedFileError
from simulate.shard_form import AGAIN, ShardForm
from simulate.shards import write_shard

ATTRS = {
    "label_names": ["a", "b"], "pixel_scale": 0.1, "unit": "e-/s", "preset": "imported", "model": 2,
}  # fmt: skip


def write(folder, attrs=ATTRS, **changes):
    columns = {"image": np.ones((3, 1, 4, 5), np.float32), "label": np.array([0, 1, 1])}
    write_shard(folder / "a.h5", columns | changes, {"theta_E": [1.0, np.nan, 2.0]}, attrs)
    return folder / "a.h5"


def test_a_shard_is_described_and_read(tmp_path):
    path = write(tmp_path)
    with h5py.File(path) as file:
        form = ShardForm.of_file(path, file, 3)
        assert form.attrs == ATTRS
        assert form.read_labels().tolist() == [0, 1, 1]
        assert form.read_images()["image"].shape == (3, 1, 4, 5)
        assert np.array_equal(form.read_params()["theta_E"], [1.0, np.nan, 2.0], equal_nan=True)


def test_a_shard_without_images_is_one(tmp_path):
    path = write(tmp_path, image=np.ones((0, 1, 4, 5), np.float32), label=np.ones(0, np.int64))
    with h5py.File(path, "r+") as file:
        del file["params/theta_E"]
        assert len(ShardForm.of_file(path, file, 0).read_labels()) == 0


@pytest.mark.parametrize("name", ["label_names", "pixel_scale", "unit", "preset", "model"])
def test_an_attribute_that_is_missing_is_named(tmp_path, name):
    path = write(tmp_path, {key: value for key, value in ATTRS.items() if key != name})
    with h5py.File(path) as file, pytest.raises(DamagedFileError) as error:
        ShardForm.of_file(path, file, 3)
    assert str(error.value) == f"{path} has no attribute '{name}'; {AGAIN}"


def test_labels_of_no_class_are_refused(tmp_path):
    path = write(tmp_path, label=np.array([0, 1, 2]))
    with h5py.File(path) as file, pytest.raises(DamagedFileError, match="those of its 2 classes"):
        ShardForm.of_file(path, file, 3).read_labels()
