"""HDF5 files are read without locks, and damage is told apart from what cannot be read now."""

import errno
import os

import h5py
import numpy as np
import pytest

from lensphys.ground.errors import InputError
from simulate import hdf5
from simulate.hdf5 import DamagedFileError, array, check_declared, error_number, read_hdf5

AGAIN = "make it again"


@pytest.fixture
def path(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["image"] = np.arange(8.0)
    return tmp_path / "a.h5"


def error_of(path):
    with pytest.raises(InputError) as error, read_hdf5(path, AGAIN) as file:
        file["image"][()]
    assert "\n" not in str(error.value)
    return error.value


def test_values_are_read(path):
    with read_hdf5(path, AGAIN) as file:
        assert np.array_equal(array(file, "image"), np.arange(8.0))


@pytest.mark.parametrize("content", [b"", b"hello" * 1000])
def test_what_is_no_hdf5_file_is_damaged(path, content):
    path.write_bytes(content)
    error = error_of(path)
    assert isinstance(error, DamagedFileError)
    assert str(error) == f"{path} is truncated or not a shard of this program; {AGAIN}"


def test_a_missing_file_is_damage(path):
    path.unlink()
    assert isinstance(error_of(path), DamagedFileError)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.EACCES, "Permission denied; ask its owner"),
        (errno.EIO, "Input/output error; the file is left as it is; run the same command again"),
        (errno.EMFILE, "Too many open files; raise the limit with `ulimit -n 4096`"),
        (errno.EAGAIN, "Resource temporarily unavailable; another program holds it"),
        (errno.ESTALE, "the file is left as it is"),
    ],
)
@pytest.mark.parametrize("kind", ["system", "words"])
def test_errors_of_the_system_are_no_damage(path, monkeypatch, number, words, kind):
    def fail(*arguments, **settings):
        if kind == "system":
            raise OSError(number, os.strerror(number))
        raise RuntimeError(f"Can't read data (file read failed:\n errno = {number}, error ...)")

    monkeypatch.setattr(hdf5.h5py, "File", fail)
    error = error_of(path)
    assert not isinstance(error, DamagedFileError)
    assert words in str(error)


def test_the_number_of_an_error_is_found_in_the_words_of_hdf5():
    assert error_number(OSError(28, "No space left on device")) == 28
    assert error_number(RuntimeError("write failed: errno = 28, error message = ...")) == 28
    assert error_number(OSError("truncated file")) is None


def test_links_and_groups_are_no_arrays(path):
    with h5py.File(path, "r+") as file:
        file["soft"] = h5py.SoftLink("/image")
        file["other"] = h5py.ExternalLink("b.h5", "image")
        file.create_group("group")
        file.create_dataset("raw", (4,), "u1", external=[("secret.txt", 0, 4)])
        for name in ("soft", "other", "group", "raw"):
            with pytest.raises(TypeError):
                array(file, name)


def test_arrays_that_are_larger_than_their_file_allows_are_refused(path):
    with h5py.File(path, "r+") as file:
        small = file.create_dataset("zeros", data=np.zeros(10**6), compression="gzip")
        check_declared(path, [small], AGAIN)
        large = file.create_dataset("huge", (10**12,), "f4", chunks=(1000,))
        with pytest.raises(
            DamagedFileError, match=r"declares arrays of 4 TB .*the limit of 67.1 MB"
        ):
            check_declared(path, [large], AGAIN)
        never = file.create_dataset("never", (10,), "f4", chunks=(10,))
        with pytest.raises(DamagedFileError, match="'/never' that was never written"):
            check_declared(path, [never], AGAIN)
