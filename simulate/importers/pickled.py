"""Pickled object arrays of DeepLenseSim, read without running anything that a pickle names.

``np.save`` writes an object array as a pickle, and a pickle is a program: unpickled by numpy or by
the standard library, it may call any function there is. Here it can call stand-ins only. They bear
the names that numpy writes and record what they are given; arrays are then built from the records,
after every number in them has been checked. Not even numpy's own functions see unchecked input.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
import re
from types import MappingProxyType
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from simulate.importers.errors import BrokenFileError, escape

#: Opcodes in numpy's pickles of protocols 2 to 4, and Python 2's; an image needs about 80.
_OPCODES = (
    "PROTO FRAME STOP MARK NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 BINFLOAT "
    "SHORT_BINBYTES BINBYTES BINBYTES8 SHORT_BINUNICODE BINUNICODE BINUNICODE8 "
    "SHORT_BINSTRING BINSTRING EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_LIST APPEND APPENDS "
    "MEMOIZE BINPUT LONG_BINPUT BINGET LONG_BINGET GLOBAL STACK_GLOBAL REDUCE BUILD"
)
#: Bytes of the argument of each, or the place of their number.
_ARGUMENTS = {
    ord(opcode.code): opcode.arg.n if opcode.arg else 0
    for opcode in pickletools.opcodes
    if opcode.name in _OPCODES.split()
}
_WIDTHS = {
    pickletools.TAKEN_FROM_ARGUMENT1: 1,
    pickletools.TAKEN_FROM_ARGUMENT4: 4,
    pickletools.TAKEN_FROM_ARGUMENT4U: 4,
    pickletools.TAKEN_FROM_ARGUMENT8U: 8,
}
_STOP, _LONG_BINPUT = ord("."), ord("r")
_MAX_OPCODES = 1000
_NUMBERS = re.compile(r"[fiu][248]|[iu]1|f16|b1")


class _Inert:
    """Nothing that a pickle can change, since one pickle must not reach the next."""

    __slots__ = ()

    def __setstate__(self, state: object) -> NoReturn:
        raise pickle.UnpicklingError("it changes what it is read with")


class _Record:
    """An array, a data type or a scalar, as a pickle describes it."""

    __slots__ = ("arguments", "state")

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments
        self.state: Any = None

    def __setstate__(self, state: object) -> None:
        self.state = state


class _Array(_Record):
    __slots__ = ()


class _DType(_Record):
    __slots__ = ()


class _Scalar(_Record):
    __slots__ = ()


class _NewArray(_Inert):
    __slots__ = ()

    def __call__(self, kind: object, shape: object, code: object) -> _Array:
        return _Array()


class _NewDType(_Inert):
    __slots__ = ()

    def __call__(self, code: object, align: object = False, copy: object = True) -> _DType:
        return _DType(code)


class _NewScalar(_Inert):
    __slots__ = ()

    def __call__(self, dtype: object, data: object) -> _Scalar:
        return _Scalar(dtype, data)


class _Encode(_Inert):
    """Bytes as protocol 2 writes them."""

    __slots__ = ()

    def __call__(self, text: object, encoding: object) -> bytes:
        if not isinstance(text, str) or encoding != "latin1":
            raise pickle.UnpicklingError("it encodes text in another way than numpy does")
        return text.encode("latin1")


_ARRAY, _SCALAR = _NewArray(), _NewScalar()
_KNOWN = MappingProxyType(
    {
        ("numpy", "ndarray"): _Inert(),
        ("numpy", "dtype"): _NewDType(),
        ("_codecs", "encode"): _Encode(),
        ("numpy.core.multiarray", "_reconstruct"): _ARRAY,  # before numpy 2
        ("numpy.core.multiarray", "scalar"): _SCALAR,
        ("numpy._core.multiarray", "_reconstruct"): _ARRAY,
        ("numpy._core.multiarray", "scalar"): _SCALAR,
    }
)


class _Unpickler(pickle.Unpickler):
    """Finds stand-ins for the few names that numpy writes, and nothing else."""

    def find_class(self, module_name: str, global_name: str) -> Any:
        try:
            return _KNOWN[module_name, global_name]
        except KeyError:
            name = escape(f"{module_name}.{global_name}")
            raise pickle.UnpicklingError(f"it names {name}") from None

    def persistent_load(self, pid: object) -> NoReturn:
        raise pickle.UnpicklingError("it names a persistent object")


def read_image_and_mass(data: bytes) -> tuple[NDArray[Any], float]:
    """The image and the axion mass (eV) in the pickle of an object array ``[image, mass]``.

    Nothing is executed, whatever the pickle holds.

    Raises:
        BrokenFileError: for a pickle of anything else, or a damaged one.
    """
    try:
        _check_opcodes(data)
        # Bytes of Python 2 arrive as text, one character a byte.
        found = _Unpickler(io.BytesIO(data), encoding="latin1").load()
    except Exception as error:  # a damaged pickle can raise anything, and a hostile one more
        reason = escape(" ".join(str(error).split())) or type(error).__name__
        raise BrokenFileError(f"its pickle is not that of an image and a mass: {reason}") from None
    members = _members(found)
    return _pixels(members[0]), _number(members[1])


def _check_opcodes(data: bytes) -> None:
    """Refuse what numpy does not write, before anything is allocated for it."""
    place = 0
    for _ in range(_MAX_OPCODES):
        if place >= len(data):
            raise pickle.UnpicklingError("it is truncated")
        code = data[place]
        if code not in _ARGUMENTS:
            raise pickle.UnpicklingError(f"it has the opcode {code:#04x}")
        start, place = place + 1, _after(data, place + 1, _ARGUMENTS[code])
        # The place in the memo is allocated, with all that are below it.
        if code == _LONG_BINPUT and _integer(data, start, 4) > _MAX_OPCODES:
            raise pickle.UnpicklingError("it numbers its parts beyond their count")
        if code == _STOP:
            break
    else:
        raise pickle.UnpicklingError(f"it has more than {_MAX_OPCODES} opcodes")
    if place != len(data):
        raise pickle.UnpicklingError("it is truncated, or something follows it")


def _after(data: bytes, place: int, size: int) -> int:
    """End of an argument of so many bytes, or of as many as its first bytes or lines give."""
    if size >= 0:
        return place + size
    if size == pickletools.UP_TO_NEWLINE:  # of GLOBAL alone, which has two lines
        return data.index(b"\n", data.index(b"\n", place) + 1) + 1
    width = _WIDTHS[size]
    return place + width + _integer(data, place, width)


def _integer(data: bytes, place: int, width: int) -> int:
    return int.from_bytes(data[place : place + width], "little")


def _members(found: object) -> list[Any]:
    shape, dtype, _, members = _array_state(found)
    if _code(dtype) not in ("O8", "O4") or shape != (2,):
        raise BrokenFileError("its object array is not [image, mass]")
    if not isinstance(members, list) or len(members) != 2:
        raise BrokenFileError("its object array is not [image, mass]")
    return members


def _pixels(member: object) -> NDArray[Any]:
    shape, dtype, fortran, data = _array_state(member)
    values = _values(dtype, data)
    if math.prod(shape) != values.size:
        raise BrokenFileError(f"its image claims other than its {values.size} pixels")
    return values.reshape(shape, order="F" if fortran is True else "C")


def _number(member: object) -> float:
    if isinstance(member, float):
        return member
    if isinstance(member, _Scalar):
        values = _values(*member.arguments)
    else:
        shape, dtype, _, data = _array_state(member)
        values = _values(dtype, data)
        if math.prod(shape) != 1:
            raise BrokenFileError("the axion mass in it is not one number")
    if values.size != 1:
        raise BrokenFileError("the axion mass in it is not one number")
    return float(values[0])


def _array_state(found: object) -> tuple[tuple[int, ...], object, object, object]:
    """Shape, data type, whether in Fortran's order, and data of an array."""
    state = found.state if isinstance(found, _Array) else None
    if not isinstance(state, tuple) or len(state) != 5:
        raise BrokenFileError("its pickle is not that of an image and a mass")
    _, shape, dtype, fortran, data = state
    if not isinstance(shape, tuple) or not all(type(n) is int and n >= 0 for n in shape):
        raise BrokenFileError("its pickle has an array without shape")
    return shape, dtype, fortran, data


def _values(dtype: object, data: object) -> NDArray[Any]:
    """The numbers (n,) in the bytes of an array."""
    code = _code(dtype)
    order = dtype.state[1] if isinstance(dtype, _DType) else None
    if not _NUMBERS.fullmatch(code) or not isinstance(order, str) or order not in ("<", ">", "|"):
        raise BrokenFileError("its pickle has an array that does not hold numbers")
    kind = np.dtype(order + code)
    if isinstance(data, str):
        try:
            data = data.encode("latin1")
        except UnicodeEncodeError:
            data = None
    if not isinstance(data, bytes) or len(data) % kind.itemsize:
        raise BrokenFileError("its pickle has an array without its data")
    return np.frombuffer(data, kind)


def _code(dtype: object) -> str:
    """``f8``, ``O8``: the data type without its byte order; nothing for any but plain ones."""
    if not isinstance(dtype, _DType) or not isinstance(dtype.arguments[0], str):
        return ""
    state = dtype.state
    plain = isinstance(state, tuple) and len(state) >= 5 and state[2:5] == (None, None, None)
    return dtype.arguments[0] if plain else ""
