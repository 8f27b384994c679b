"""Pickles of an image and a mass are read, and nothing in them is executed."""

import functools
import io
import operator
import os
import pickle
import struct

import numpy as np
import pytest

from simulate.importers.errors import BrokenFileError
from simulate.importers.npy import read_npy
from tests.simulate.importers.make_files import (
    MASS,
    NUMPY_2,
    image,
    npy_of,
    object_array,
    pickled,
    stack_global,
)


class Calls:
    """Pickles as a call of a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", [2, 3, 4])
@pytest.mark.parametrize("mass", [np.float64(MASS), np.float32(MASS), MASS, np.array(MASS)])
@pytest.mark.parametrize("numpy_1", [False, True])
def test_images_with_a_mass_are_read(protocol, mass, numpy_1, tmp_path):
    pixels = image()
    data = pickle.dumps(object_array(pixels, mass), protocol=protocol)
    if numpy_1 and protocol < 4:
        data = data.replace(b"numpy._core.", b"numpy.core.")
    elif numpy_1:  # lengths of the name and of the frame stand before them
        new, old = b"\x16numpy._core.multiarray", b"\x15numpy.core.multiarray"
        assert data.count(new) == 1
        (frame,) = struct.unpack("<Q", data[3:11])
        data = data[:3] + struct.pack("<Q", frame - 1) + data[11:].replace(new, old)
    path = tmp_path / "a.npy"
    path.write_bytes(npy_of(data))
    assert path.read_bytes() == npy_of(data)
    found, found_mass = read_npy(path)
    assert np.array_equal(found, pixels)
    assert found_mass == float(mass)


def test_images_saved_by_python_2_are_read(tmp_path):
    """There bytes are strings of the pickle."""
    data = pickle.dumps(object_array(image().astype("f4"), MASS), protocol=2)
    pixels = b"\0\0\x80\xbf" * 64
    start = data.index(b"\x89h\x03X") + 1  # _codecs.encode(text, 'latin1')
    end = data.index(b"R", data.index(b"h\x05\x86", start)) + 1
    assert data[end : end + 1] == b"q"
    string = b"T" + struct.pack("<i", len(pixels)) + pixels
    (tmp_path / "a.npy").write_bytes(npy_of(data[:start] + string + data[end:]))
    found, mass = read_npy(tmp_path / "a.npy")
    assert (found == -1).all()
    assert mass == MASS


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["<f4", ">f8", "u1"])
def test_the_image_beside_a_mass_may_be_of_any_number(order, dtype, tmp_path):
    pixels = np.asarray((100 * image()).astype(dtype), order=order)
    found, _ = read_npy(pickled(tmp_path / "a.npy", pixels, MASS))
    assert np.array_equal(found, pixels)


HOSTILE = {
    "os.system": lambda canary: Calls(os.system, f"touch {canary}"),
    "eval": lambda canary: Calls(eval, f"open({str(canary)!r}, 'w')"),
    "exec": lambda canary: Calls(exec, f"open({str(canary)!r}, 'w')"),
    "open": lambda canary: Calls(open, str(canary), "w"),
    "getattr": lambda canary: Calls(getattr, np.ndarray, "tofile"),
    "partial": lambda canary: functools.partial(os.system, f"touch {canary}"),
    "operator": lambda canary: operator.attrgetter("f2py.crackfortran"),
    "numpy.load": lambda canary: Calls(np.load, str(canary)),
    "fromfile": lambda canary: Calls(np.fromfile, "/etc/hostname"),
    "memmap": lambda canary: Calls(np.memmap, str(canary), np.uint8, "w+", 0, (4,)),
    "path": lambda canary: canary,
    "lambda": lambda canary: io.BytesIO(b"x"),
    "nested": lambda canary: object_array(Calls(os.system, f"touch {canary}")),
    "object image": lambda canary: object_array(*[1.0] * 64).reshape(8, 8),
    "complex": lambda canary: 1j,
    "dictionary": lambda canary: {"mass": 1.0},
    "text": lambda canary: "1e-23",
    "none": lambda canary: None,
    "structured": lambda canary: np.zeros(1, [("a", "f8")]),
    "dates": lambda canary: np.zeros(1, "M8[s]"),
    "strings": lambda canary: np.array(["1e-23"]),
}


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("member", HOSTILE.values(), ids=HOSTILE)
def test_a_pickle_of_anything_else_is_refused_and_nothing_runs(member, place, tmp_path):
    canary = tmp_path / "canary"
    members = [image(), MASS]
    members[place] = member(canary)
    for protocol in (2, 3, 4):
        with pytest.raises(BrokenFileError) as error:
            read_npy(pickled(tmp_path / "a.npy", *members, protocol=protocol))
        assert str(error.value).isprintable()
        assert not canary.exists()


def test_a_pickle_that_is_a_call_itself_is_refused(tmp_path):
    canary = tmp_path / "canary"
    path = tmp_path / "a.npy"
    path.write_bytes(npy_of(pickle.dumps(Calls(os.system, f"touch {canary}"))))
    with pytest.raises(BrokenFileError, match=r"it names posix\.system"):
        read_npy(path)
    assert not canary.exists()


OPCODES = {
    "extension": b"\x80\x02\x82\x01.",
    "persistent text": b"Pid\n.",
    "persistent": b"\x80\x02K\x01Q.",
    "instance": b"(S'touch canary'\nios\nsystem\n.",
    "object": b"(cos\nsystem\nX\x01\0\0\0ao.",
    "new object": stack_global("numpy", "ndarray") + b"K\x08\x85\x81.",
    "buffers": b"\x80\x05\x97.",
    "dotted": stack_global("numpy", "dtype.__class__") + b")R.",
    "dotted module": stack_global("numpy", "core.multiarray._reconstruct") + b")R.",
    "dotted text": b"cnumpy\ndtype.__reduce__\n)R.",
    "other numpy": stack_global(NUMPY_2, "fromfile") + b")R.",
    "f2py": stack_global("numpy.f2py.crackfortran", "getlincoef") + b")R.",
    "distutils": b"cnumpy.distutils.exec_command\nexec_command\n)R.",
    "runstring": b"cnumpy.testing._private.utils\nrunstring\n)R.",
    "other codec": stack_global("_codecs", "encode") + b"\x8c\x01a\x8c\x03rot\x86R.",
    "decode": stack_global("_codecs", "decode") + b")R.",
    "change of a stand-in": stack_global("numpy", "dtype") + b"}\x8c\x01aK\x01sb.",
    "state of a stand-in": stack_global(NUMPY_2, "scalar") + b"N}\x8c\x08__call__Ns\x86b.",
    "tuple as state": stack_global("numpy", "ndarray") + b"K\x01\x85b.",
    "subclass": stack_global(NUMPY_2, "_reconstruct") + b"\x8c\x01aK\0\x85C\x01b\x87R.",
    "a number": b"\x80\x04K\x01.",
    "nothing": b"",
    "no stop": b"\x80\x04K\x01",
    "empty stack": b"\x80\x04.",
    "two pickles": b"\x80\x04K\x01.\x80\x04K\x01.",
    "unknown opcode": b"\x80\x04\xff.",
    "unknown protocol": b"\x80\xfeK\x01.",
    "a place never filled": b"\x80\x04h\x09.",
    "terminal": b"cos\x1b[2J\nsystem\n.",
}


@pytest.mark.parametrize("data", OPCODES.values(), ids=OPCODES)
def test_every_trick_of_a_pickle_is_refused(data, tmp_path):
    (tmp_path / "a.npy").write_bytes(npy_of(data))
    with pytest.raises(BrokenFileError) as error:
        read_npy(tmp_path / "a.npy")
    assert str(error.value).isprintable()
    assert [path.name for path in tmp_path.iterdir()] == ["a.npy"]
    # One pickle leaves nothing behind for the next.
    pixels = image()
    assert np.array_equal(read_npy(pickled(tmp_path / "b.npy", pixels, MASS))[0], pixels)
