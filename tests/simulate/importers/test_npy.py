"""Arrays in .npy files are read, and a claim of size allocates nothing."""

import contextlib
import pickle
import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulate.importers.errors import BrokenFileError
from simulate.importers.npy import read_npy
from tests.simulate.importers.make_files import (
    MASS,
    NUMPY_2,
    RNG,
    header,
    image,
    npy_of,
    object_array,
    save,
    stack_global,
)


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
