"""Elementary functions that loops over pixels are made of.

numba without Intel's SVML calls the C library for every number; these have no branches and no
calls, so that LLVM turns a loop over them into vector instructions. Errors are of one or two units
of rounding in float32 and float64.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from llvmlite import ir
from numba.extending import intrinsic
from numba.types import UniTuple

from lensphys.kernels.compiling import inline

# Coefficients are from Chebyshev interpolation to 60 digits.
_SINGLE, _DOUBLE = ir.FloatType(), ir.DoubleType()
#: ``(arctanh(s) / s - 1) / s^2`` as a polynomial in ``s^2``, for ``s^2 < 0.0425``.
_ATANH = {
    _SINGLE: (0.33333361436787384, 0.19988120396130726, 0.15022809868211204),
    _DOUBLE: (
        0.3333333333333333,
        0.20000000000006019,
        0.14285714282745327,
        0.11111111668310174,
        0.09090857841289984,
        0.07694859131820944,
        0.06596737793284888,
        0.068650245033322,
    ),
}
#: The same for ``s^2`` from -0.0565, where it is that of arctan, to 0.0565.
_NEAR = {
    _SINGLE: (
        0.3333332172609642,
        0.19999990177507015,
        0.14314794313309875,
        0.11135719447686335,
    ),
    _DOUBLE: (
        0.33333333333333337,
        0.20000000000000004,
        0.14285714285669895,
        0.11111111111070268,
        0.09090909202123484,
        0.0769230779463287,
        0.06666569179400696,
        0.058822632466139786,
        0.052980101688349726,
        0.04793970557158748,
    ),
}
#: ``(arctan(t) / t - 1) / t^2`` as a polynomial in ``t^2``, for ``t^2 < 0.172``.
_ATAN = {
    _SINGLE: (
        -0.3333333174281791,
        0.19999536271134155,
        -0.1426380982921184,
        0.10742157915905193,
        -0.06446719462077065,
    ),
    _DOUBLE: (
        -0.3333333333333333,
        0.19999999999995416,
        -0.14285714284644896,
        0.11111111013517383,
        -0.0909090450755384,
        0.07692181553432291,
        -0.06664488411798739,
        0.05857949051651406,
        -0.050844051701967326,
        0.03920151873355892,
        -0.019140021905694565,
    ),
}
#: ``(exp(r) - 1 - r) / r^2``, for ``|r| < 0.347``.
_EXP = {
    _SINGLE: (
        0.5,
        0.16666576583158002,
        0.041666554109346714,
        0.008363246669753728,
        0.0013926268052570573,
    ),
    _DOUBLE: (
        0.5,
        0.1666666666666667,
        0.04166666666666667,
        0.00833333333332607,
        0.0013888888888883703,
        0.00019841269875048905,
        2.480158732571076e-05,
        2.755725511097889e-06,
        2.755727343657049e-07,
        2.510533724466521e-08,
        2.091477283224809e-09,
    ),
}
#: Largest numbers, and exponents of the least and the largest normal ones.
_LARGEST = {_SINGLE: (3.4028234663852886e38,), _DOUBLE: (1.7976931348623157e308,)}
_LOW, _HIGH = {_SINGLE: (-87.25,), _DOUBLE: (-708.0,)}, {_SINGLE: (88.5,), _DOUBLE: (709.5,)}
#: Bits of the fraction and bias of the exponent.
_FORMAT = {_SINGLE: (23, 127), _DOUBLE: (52, 1023)}


def _whole(real: Any) -> Any:
    return ir.IntType(32 if real == _SINGLE else 64)


def _shifter(real: Any) -> float:
    """The number in whose last bits a small whole number is seen once it is added."""
    return float(1.5 * 2 ** _FORMAT[real][0])


def _polynomial(table: Mapping[Any, tuple[float, ...]]) -> Any:
    """The function of ``z`` with the coefficients of its precision, lowest power first."""

    @intrinsic  # type: ignore[untyped-decorator]
    def polynomial(typing, z):  # type: ignore[no-untyped-def]
        def build(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
            (z,) = arguments
            *rest, total = (ir.Constant(z.type, c) for c in table[z.type])
            for coefficient in reversed(rest):
                product = builder.fmul(total, z, flags=("contract",))
                total = builder.fadd(product, coefficient, flags=("contract",))
            return total

        return z(z), build

    return polynomial


_atanh_series, near_series = _polynomial(_ATANH), _polynomial(_NEAR)
_atan_series, _exp_series = _polynomial(_ATAN), _polynomial(_EXP)
_largest, _low, _high = (_polynomial(table) for table in (_LARGEST, _LOW, _HIGH))


@intrinsic  # type: ignore[untyped-decorator]
def _binary_exponent(typing, x):  # type: ignore[no-untyped-def]
    """``k`` and ``2^-k`` such that ``x 2^-k`` is between ``sqrt(1/2)`` and ``sqrt(2)``; x > 0."""

    def build(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        (x,) = arguments
        real, whole = x.type, _whole(x.type)
        bits, bias = _FORMAT[real]

        def number(value: int) -> Any:
            return ir.Constant(whole, value)

        root = builder.bitcast(ir.Constant(real, math.sqrt(0.5)), whole)
        # Above the bits of sqrt(1/2), and so that the shift meets no sign.
        above = builder.sub(builder.bitcast(x, whole), root)
        above = builder.add(above, number(bias << bits))
        biased = builder.lshr(above, number(bits))  # k + bias
        shifted = builder.add(biased, builder.bitcast(ir.Constant(real, _shifter(real)), whole))
        k = builder.fsub(builder.bitcast(shifted, real), ir.Constant(real, _shifter(real) + bias))
        inverse = builder.shl(builder.sub(number(2 * bias), biased), number(bits))
        inverse = builder.bitcast(inverse, real)
        return context.make_tuple(builder, signature.return_type, (k, inverse))

    return UniTuple(x, 2)(x), build


@intrinsic  # type: ignore[untyped-decorator]
def _rounded_power(typing, t):  # type: ignore[no-untyped-def]
    """``n`` and ``2^n``, n the whole number next to ``t``; within the range of exponents."""

    def build(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        (t,) = arguments
        real, whole = t.type, _whole(t.type)
        bits, bias = _FORMAT[real]
        shifter = ir.Constant(real, _shifter(real))
        shifted = builder.fadd(t, shifter)
        n = builder.fsub(shifted, shifter)
        power = builder.shl(builder.bitcast(shifted, whole), ir.Constant(whole, bits))
        power = builder.add(power, ir.Constant(whole, bias << bits))
        return context.make_tuple(builder, signature.return_type, (n, builder.bitcast(power, real)))

    return UniTuple(t, 2)(t), build


@inline
def _log_parts(f, k):  # type: ignore[no-untyped-def]
    """``log(1 + f) + k log(2)``, for 1 + f between sqrt(1/2) and sqrt(2)."""
    real = type(f)
    s = f / (real(2) + f)
    z = s * s
    s2 = s + s
    # log(2) in two parts; the first has so few digits that k times it is exact.
    low = real(1.4286068203094173e-06) * k + s2 * z * _atanh_series(z)
    return real(0.693145751953125) * k + (s2 + low)


@inline
def log(x):  # type: ignore[no-untyped-def]
    """Natural logarithm of a normal number; infinity and NaN of themselves."""
    real = type(x)
    k, inverse = _binary_exponent(x)
    found = _log_parts(x * inverse - real(1), k)
    return found if x <= _largest(x) else x


@inline
def log1p(x):  # type: ignore[no-untyped-def]
    """``log(1 + x)`` for x >= 0, with the digits of a small x."""
    real = type(x)
    y = real(1) + x
    k, inverse = _binary_exponent(y)
    found = _log_parts((y * inverse - real(1)) + (x - (y - real(1))) * inverse, k)
    return found if y <= _largest(y) else y


@inline
def log1p_over(x):  # type: ignore[no-untyped-def]
    """``log(1 + x) / x`` for x from -1/3 to 1/2."""
    real = type(x)
    inverse = real(1) / (real(2) + x)
    s = x * inverse
    z = s * s
    return real(2) * inverse * (real(1) + z * _atanh_series(z))


@inline
def exp(x):  # type: ignore[no-untyped-def]
    """Exponential; 0 below the range of normal numbers, infinite above it."""
    real = type(x)
    low, high = _low(x), _high(x)
    inside = low if x < low else (high if x > high else x)  # NaN passes
    n, power = _rounded_power(inside * real(1.4426950408889634))
    r = (inside - n * real(0.693145751953125)) - n * real(1.4286068203094173e-06)
    found = power * (real(1) + (r + r * r * _exp_series(r)))
    return real(0) if x < low else found


@inline
def angle(b, a):  # type: ignore[no-untyped-def]
    """``atan2(b, a)`` for a > 0, or a = 0 and b other than 0."""
    real = type(b)
    sign = math.copysign(real(1), b)
    b = abs(b)
    # Turned by pi / 4 or pi / 2 where that leaves an angle below pi / 8.
    steep, middle = b > real(2.414213562373095) * a, b > real(0.4142135623730951) * a
    above = -a if steep else (b - a if middle else b)
    below = b if steep else (a + b if middle else a)
    turn = real(1.5707963267948966) if steep else (real(0.7853981633974483) if middle else real(0))
    t = above / below
    z = t * t
    return sign * (turn + (t + t * z * _atan_series(z)))


@inline
def times(ax, ay, bx, by):  # type: ignore[no-untyped-def]
    """The product of two complex numbers."""
    return ax * bx - ay * by, ax * by + ay * bx
