"""Elementary functions that numba's loops over pixels are made of.

numba without Intel's SVML calls the C library for every number; these have no branches and no
calls, so that LLVM turns a loop over them into vector instructions. Errors are of one or two units
of rounding in float32 and float64. Imported on first use, since numba is slow to import.

All kernels lie in this one module: numba's cache on disk knows a kernel by the file that it is in,
and would keep one whose functions have changed elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba.extending import intrinsic
from numba.types import UniTuple

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


_atanh_series, _near_series = _polynomial(_ATANH), _polynomial(_NEAR)
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


_precise = numba.njit(forceinline=True, fastmath={"contract"}, error_model="numpy")


@_precise
def _log_parts(f, k):  # type: ignore[no-untyped-def]
    """``log(1 + f) + k log(2)``, for 1 + f between sqrt(1/2) and sqrt(2)."""
    real = type(f)
    s = f / (real(2) + f)
    z = s * s
    s2 = s + s
    # log(2) in two parts, of which the first has so few digits that k times it is exact.
    low = real(1.4286068203094173e-06) * k + s2 * z * _atanh_series(z)
    return real(0.693145751953125) * k + (s2 + low)


@_precise
def log(x):  # type: ignore[no-untyped-def]
    """Natural logarithm of a normal number; infinity and NaN of themselves."""
    real = type(x)
    k, inverse = _binary_exponent(x)
    found = _log_parts(x * inverse - real(1), k)
    return found if x <= _largest(x) else x


@_precise
def log1p(x):  # type: ignore[no-untyped-def]
    """``log(1 + x)`` for x >= 0, with the digits of a small x."""
    real = type(x)
    y = real(1) + x
    k, inverse = _binary_exponent(y)
    found = _log_parts((y * inverse - real(1)) + (x - (y - real(1))) * inverse, k)
    return found if y <= _largest(y) else y


@_precise
def log1p_over(x):  # type: ignore[no-untyped-def]
    """``log(1 + x) / x`` for x from -1/3 to 1/2."""
    real = type(x)
    inverse = real(1) / (real(2) + x)
    s = x * inverse
    z = s * s
    return real(2) * inverse * (real(1) + z * _atanh_series(z))


@_precise
def exp(x):  # type: ignore[no-untyped-def]
    """Exponential; 0 below the range of normal numbers, infinite above it."""
    real = type(x)
    low, high = _low(x), _high(x)
    inside = low if x < low else (high if x > high else x)  # NaN passes
    n, power = _rounded_power(inside * real(1.4426950408889634))
    r = (inside - n * real(0.693145751953125)) - n * real(1.4286068203094173e-06)
    found = power * (real(1) + (r + r * r * _exp_series(r)))
    return real(0) if x < low else found


@_precise
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


#: Pixels worked on at once: their coordinates and deflections stay in the first-level cache.
_BLOCK = 256


@_precise
def _nfw_parts(u, x, log_half_x):  # type: ignore[no-untyped-def]
    """``mean`` and ``F`` of :class:`lensphys.mass.nfw.Projection`, and ``arctan(1 / s) / s``."""
    real = type(u)
    one, half = real(1), real(0.5)
    over = one / (one + x)
    z = (one - x) * over
    near = real(2) * over * (one + z * _near_series(z))
    s = math.sqrt(abs(one - u))
    s = half if s < real(0.4) else s  # what follows is not used there
    inverse = one / s
    v = (u if u < one else one) / (real(2) + real(2) * s)
    p_over = log1p_over(-v)
    turned = angle(one, s) * inverse
    inside, outside = u < real(0.8), u > real(1.2)
    far = (-v * p_over - log_half_x) * inverse
    F = far if inside else (real(1.5707963267948966) * inverse - turned if outside else near)
    mean = (-half * p_over - log_half_x) / (s + s * s)
    mean = mean if inside else (log_half_x + F) / u
    return mean, F, turned, s


@_precise
def nfw_mean(u):  # type: ignore[no-untyped-def]
    """Half the mean convergence inside of ``R^2 = u``; see :mod:`lensphys.mass.nfw`."""
    real = type(u)
    return _nfw_parts(u, math.sqrt(u), real(0.5) * log(real(0.25) * u))[0]


@_precise
def tnfw_mean(u, tau, log_tau):  # type: ignore[no-untyped-def]
    """The same of the truncated halo but for its scale; see :mod:`lensphys.mass.tnfw`."""
    real = type(u)
    one, pi = real(1), real(3.141592653589793)
    x = math.sqrt(u)
    log_half_x = real(0.5) * log(real(0.25) * u)
    mean, F, turned, s = _nfw_parts(u, x, log_half_x)
    tau2 = tau * tau
    q = math.sqrt(u + tau2)
    sum_ = tau + q
    L = -log1p(tau * (one + tau / (q + x)) / x)
    over = one / (tau * sum_)
    y = real(0.5) * u * over
    small = y < real(0.5)
    P_over = log1p_over(y if small else real(0.5)) * real(0.5) * over
    P_over = P_over if small else (log_half_x - log_tau - L) / u
    inner = mean - P_over + L * over
    shift = (x + u * tau * over) * tau / (x + q)
    outside = pi / (s * x * (s + x)) - real(2) * turned + pi * shift / u
    remainder = outside if u > real(1.2) else real(2) * F - pi * tau * over
    return (tau2 - one) * inner + remainder


@_precise
def _tnfw_mean_outside(u, tau, log_tau):  # type: ignore[no-untyped-def]
    """:func:`tnfw_mean` for u > 1.2, where the logarithms of x cancel each other."""
    real = type(u)
    one, pi = real(1), real(3.141592653589793)
    x, s, q = math.sqrt(u), math.sqrt(u - one), math.sqrt(u + tau * tau)
    L = -log1p(tau * (one + tau / (q + x)) / x)
    turned = angle(one, s)
    inverse = one / s
    F = (real(1.5707963267948966) - turned) * inverse
    inner = log_tau + F + L * q / tau
    sum_ = tau + q
    remainder = pi * u * inverse / (x * (s + x)) - real(2) * u * turned * inverse
    remainder += pi * (x * sum_ + u) * tau / ((x + q) * sum_)
    return ((tau * tau - one) * inner + remainder) / u


# Numbers are copied one by one: slices that are assigned take seconds to compile.
_kernel = numba.njit(nogil=True, fastmath={"contract"}, error_model="numpy", cache=True)

# Sums over the members (B, K) of a population, added to ``alpha (B, N)`` on a grid ``(N,)``. Not
# parallel=True: starting numba's threads resets the number of torch's, as both share one OpenMP
# library.


@_kernel
def point_masses(x, y, theta2, center_x, center_y, alpha_x, alpha_y):  # type: ignore[no-untyped-def]
    """See :class:`lensphys.mass.point_mass.PointMass`."""
    floor = x.dtype.type(1e-16)
    for b in range(theta2.shape[0]):
        for start in range(0, x.shape[0], _BLOCK):
            px, py = x[start : start + _BLOCK], y[start : start + _BLOCK]
            ax, ay = alpha_x[b, start : start + _BLOCK], alpha_y[b, start : start + _BLOCK]
            for k in range(theta2.shape[1]):
                t2, cx, cy = theta2[b, k], center_x[b, k], center_y[b, k]
                if t2 == 0:
                    continue
                for p in range(px.shape[0]):
                    dx, dy = px[p] - cx, py[p] - cy
                    w = t2 / max(dx * dx + dy * dy, floor)
                    ax[p] += dx * w
                    ay[p] += dy * w


@_kernel
def nfw_haloes(x, y, amplitude, inverse2, floor, center_x, center_y, alpha_x, alpha_y):  # type: ignore[no-untyped-def]
    """See :class:`lensphys.mass.nfw.NFW`."""
    for b in range(amplitude.shape[0]):
        for start in range(0, x.shape[0], _BLOCK):
            px, py = x[start : start + _BLOCK], y[start : start + _BLOCK]
            ax, ay = alpha_x[b, start : start + _BLOCK], alpha_y[b, start : start + _BLOCK]
            for k in range(amplitude.shape[1]):
                a, i2, low = amplitude[b, k], inverse2[b, k], floor[b, k]
                cx, cy = center_x[b, k], center_y[b, k]
                if a == 0:
                    continue
                for p in range(px.shape[0]):
                    dx, dy = px[p] - cx, py[p] - cy
                    u = (dx * dx + dy * dy) * i2
                    w = a * nfw_mean(low if u < low else u)
                    ax[p] += dx * w
                    ay[p] += dy * w


#: Degree of the polynomial in ``1 / (x + sqrt(tau))`` that stands for a truncated halo outside of
#: its scale radius in float32, and the ``tau`` for which it is right to 3e-7 out to x = 150.
_DEGREE, _LEAST_TAU, _MOST_TAU = 16, 0.1, 32.0
_MOST_X = 150.0
#: Where it begins: below the least x of a block that lies outside, the root of 1.2.
_FIRST_X = 1.09
_NODES = np.cos(np.pi * (np.arange(_DEGREE + 1) + 0.5) / (_DEGREE + 1))
#: Values at the nodes -> coefficients of 1, t, t^2 ...
_TO_POWERS = np.linalg.inv(np.vander(_NODES, increasing=True))


@_kernel
def _tnfw_series(tau, first, last, series):  # type: ignore[no-untyped-def]
    """``u * mean`` of a truncated halo from ``x = first`` to ``last``, as a polynomial.

    Its variable is ``slope / (x + sqrt(tau)) + intercept``, -1 to 1. ``series`` is filled with
    ``sqrt(tau)``, ``slope``, ``intercept`` and the coefficients, the constant first.
    """
    offset, log_tau = math.sqrt(tau), math.log(tau)
    low, high = 1 / (last + offset), 1 / (first + offset)
    slope = 2 / (high - low)
    found = np.zeros(_DEGREE + 1)
    for i in range(_DEGREE + 1):
        x = 1 / (low + (_NODES[i] + 1) / slope) - offset
        value = x * x * _tnfw_mean_outside(x * x, tau, log_tau)
        for k in range(_DEGREE + 1):
            found[k] += _TO_POWERS[k, i] * value
    series[0], series[1], series[2] = offset, slope, -1 - slope * low
    for k in range(_DEGREE + 1):
        series[3 + k] = found[k]


@_kernel
def _far_tnfw_mean(u, series):  # type: ignore[no-untyped-def]
    """:func:`_tnfw_mean_outside` of all numbers of a block, in place, by its series."""
    real = u.dtype.type
    offset, slope, intercept = series[0], series[1], series[2]
    for p in range(u.shape[0]):
        w = math.sqrt(u[p]) + offset
        inverse = real(1) / (w * u[p])
        v = slope * (u[p] * inverse) + intercept
        total = series[_DEGREE + 3]
        for i in range(_DEGREE + 2, 2, -1):
            total = total * v + series[i]
        u[p] = total * (w * inverse)


@_kernel
def tnfw_haloes(  # type: ignore[no-untyped-def]
    x, y, amplitude, inverse2, floor, tau, log_tau, center_x, center_y, alpha_x, alpha_y
):
    """See :class:`lensphys.mass.tnfw.TNFW`."""
    u = np.empty(_BLOCK, x.dtype)
    bound = x.dtype.type(1.2)
    series = np.empty((amplitude.shape[1], _DEGREE + 4), x.dtype)
    fast = np.empty(amplitude.shape[1], np.bool_)
    reach_x = reach_y = x.dtype.type(0)
    for p in range(x.shape[0]):
        reach_x, reach_y = max(reach_x, abs(x[p])), max(reach_y, abs(y[p]))
    for b in range(amplitude.shape[0]):
        for k in range(amplitude.shape[1]):
            dx, dy = reach_x + abs(center_x[b, k]), reach_y + abs(center_y[b, k])
            last = math.sqrt((dx * dx + dy * dy) * inverse2[b, k])
            fast[k] = x.itemsize == 4 and x.shape[0] > 2 * _BLOCK and amplitude[b, k] != 0
            fast[k] &= _LEAST_TAU < tau[b, k] < _MOST_TAU and 2 < last < _MOST_X
            if fast[k]:
                _tnfw_series(np.float64(tau[b, k]), _FIRST_X, np.float64(last), series[k])
        for start in range(0, x.shape[0], _BLOCK):
            px, py = x[start : start + _BLOCK], y[start : start + _BLOCK]
            ax, ay = alpha_x[b, start : start + _BLOCK], alpha_y[b, start : start + _BLOCK]
            for k in range(amplitude.shape[1]):
                a, i2, low = amplitude[b, k], inverse2[b, k], floor[b, k]
                t, lt, cx, cy = tau[b, k], log_tau[b, k], center_x[b, k], center_y[b, k]
                if a == 0:
                    continue
                inside = 0
                for p in range(px.shape[0]):
                    dx, dy = px[p] - cx, py[p] - cy
                    r2 = (dx * dx + dy * dy) * i2
                    u[p] = low if r2 < low else r2
                    inside += not r2 > bound
                # Most pixels are far outside of a small halo.
                if inside == 0 and fast[k]:
                    _far_tnfw_mean(u[: px.shape[0]], series[k])
                elif inside == 0:
                    for p in range(px.shape[0]):
                        u[p] = _tnfw_mean_outside(u[p], t, lt)
                else:
                    for p in range(px.shape[0]):
                        u[p] = tnfw_mean(u[p], t, lt)
                for p in range(px.shape[0]):
                    ax[p] += (px[p] - cx) * (a * u[p])
                    ay[p] += (py[p] - cy) * (a * u[p])


@_precise
def _line_deflection(a, b, half_length):  # type: ignore[no-untyped-def]
    """:func:`lensphys.mass.uniform_line.uniform_line_deflection` for theta_E = 1."""
    real = type(a)
    zero, one, floor = real(0), real(1), real(1e-16)
    side, long = abs(a), half_length
    minus = (side - long) ** 2 + b * b
    plus = (side + long) ** 2 + b * b
    bounded = floor if minus < floor else minus
    # No digits are lost far away, where the logarithm is small.
    along = math.copysign(real(0.5) * log1p(real(4) * side * long / bounded), a)
    sine, cosine = real(2) * long * b, (side - long) * (side + long) + b * b
    turned = angle(sine, abs(cosine) + (one if sine == zero else zero))
    across = turned if cosine >= zero else math.copysign(real(3.141592653589793), sine) - turned
    across = zero if sine == zero or min(plus, minus) < floor else across
    scale = one / (long + long)
    return along * scale, across * scale


@_kernel
def uniform_lines(  # type: ignore[no-untyped-def]
    x, y, theta2, half_length, cosine, sine, center_x, center_y, alpha_x, alpha_y
):
    """See :class:`lensphys.mass.uniform_line.UniformLine`."""
    for b in range(theta2.shape[0]):
        for start in range(0, x.shape[0], _BLOCK):
            px, py = x[start : start + _BLOCK], y[start : start + _BLOCK]
            ax, ay = alpha_x[b, start : start + _BLOCK], alpha_y[b, start : start + _BLOCK]
            for k in range(theta2.shape[1]):
                t2, long, c, s = theta2[b, k], half_length[b, k], cosine[b, k], sine[b, k]
                cx, cy = center_x[b, k], center_y[b, k]
                if t2 == 0:
                    continue
                for p in range(px.shape[0]):
                    dx, dy = px[p] - cx, py[p] - cy
                    along, across = _line_deflection(c * dx + s * dy, c * dy - s * dx, long)
                    ax[p] += t2 * (c * along - s * across)
                    ay[p] += t2 * (s * along + c * across)


# One profile an image. The grid is (1, N) where all images share it, and (B, N) otherwise; each
# parameter is (B,). Sums over pixels, which gradients are, are (B, P) in float64.


@numba.njit(forceinline=True, fastmath={"contract", "reassoc", "nsz"})
def _total(terms):  # type: ignore[no-untyped-def]
    total = terms.dtype.type(0)
    for p in range(terms.shape[0]):
        total += terms[p]
    return total


@_precise
def _sie_frame(e1, e2):  # type: ignore[no-untyped-def]
    """Cosine and sine of the position angle, q, ``q^2``, ``f^2``, ``f / q`` ... of an image."""
    real = type(e1)
    modulus = math.hypot(np.float64(e1), np.float64(e2))
    # Rounder than this is round: what differs is of the order of f^2.
    modulus = max(modulus, 1e-18)
    phi = 0.5 * math.atan2(np.float64(e2), np.float64(e1))
    q = (1 - modulus) / (1 + modulus)
    f = 2 * math.sqrt(modulus) / (1 + modulus)
    scale = math.sqrt(q) / f
    return (
        real(math.cos(phi)),
        real(math.sin(phi)),
        real(q),
        real(q * q),
        real(f),
        real(f * f),
        real(1 / q),
        real(scale),
    )


@_precise
def _sie_unit(dx, dy, frame):  # type: ignore[no-untyped-def]
    """Deflection of a SIE of theta_E = 1 at ``(dx, dy)`` from its centre.

    That of :func:`lensphys.mass.sie.sie_deflection`, with asin and asinh in forms that keep their
    digits for any axis ratio: ``asin(f cos) = atan2(f cos, psi)`` and ``asinh(f sin / q) =
    ln((psi + f sin) / q)`` with ``psi^2 = q^2 + f^2 sin^2``.
    """
    real = type(dx)
    c, s, q, q2, f, f2, over_q, scale = frame
    r2 = dx * dx + dy * dy
    inverse = real(1) / math.sqrt(real(1e-20) if r2 < real(1e-20) else r2)
    dx, dy = dx * inverse, dy * inverse
    cos, sin = c * dx + s * dy, c * dy - s * dx
    psi = math.sqrt(q2 + f2 * (sin * sin))
    along = angle(f * cos, psi)
    high = f * abs(sin)
    across = math.copysign(log1p(high * over_q * (real(1) + high / (psi + q))), sin)
    return scale * (c * along - s * across), scale * (c * across + s * along)


@_kernel
def sie(x, y, theta_E, e1, e2, center_x, center_y, alpha_x, alpha_y):  # type: ignore[no-untyped-def]
    """Deflection of a SIE, ``(B, N)``."""
    for b in range(theta_E.shape[0]):
        row = b if x.shape[0] > 1 else 0
        px, py, ax, ay = x[row], y[row], alpha_x[b], alpha_y[b]
        theta, cx, cy = theta_E[b], center_x[b], center_y[b]
        frame = _sie_frame(e1[b], e2[b])
        for p in range(px.shape[0]):
            unit_x, unit_y = _sie_unit(px[p] - cx, py[p] - cy, frame)
            ax[p], ay[p] = theta * unit_x, theta * unit_y


@_precise
def _times(ax, ay, bx, by):  # type: ignore[no-untyped-def]
    """The product of two complex numbers."""
    return ax * bx - ay * by, ax * by + ay * bx


@_precise
def _sie_slopes(dx, dy, frame, e1, e2, nearly_round):  # type: ignore[no-untyped-def]
    """The deflection for theta_E = 1, its derivatives by e1 and by e2, and the Hessian.

    See :func:`lensphys.mass.sie.sie_deflection_by_ellipticity` and
    :func:`lensphys.mass.sie.sie_hessian`.
    """
    real = type(dx)
    zero, half, one = real(0), real(0.5), real(1)
    ax, ay = _sie_unit(dx, dy, frame)
    e = e1 * e1 + e2 * e2
    s2 = one - e
    wx, wy = (one - e1) * dx - e2 * dy, (one + e1) * dy - e2 * dx
    w2 = wx * wx + wy * wy
    inverse = one / math.sqrt(real(1e-20) if w2 < real(1e-20) else w2)
    wx, wy = wx * inverse, wy * inverse
    h = one / math.sqrt(s2)
    hx, hy = h * wx, h * wy
    if nearly_round:
        cos2, sin2 = _times(wx, wy, wx, wy)
        ux, uy = e1 * cos2 + e2 * sin2, e1 * sin2 - e2 * cos2
        tx, ty = real(1 / 17), zero
        tx, ty = real(1 / 15) - (ux * tx - uy * ty), -(ux * ty + uy * tx)
        tx, ty = real(1 / 13) - (ux * tx - uy * ty), -(ux * ty + uy * tx)
        tx, ty = real(1 / 11) - (ux * tx - uy * ty), -(ux * ty + uy * tx)
        tx, ty = real(1 / 9) - (ux * tx - uy * ty), -(ux * ty + uy * tx)
        tx, ty = real(1 / 7) - (ux * tx - uy * ty), -(ux * ty + uy * tx)
        tx, ty = real(1 / 5) - (ux * tx - uy * ty), -(ux * ty + uy * tx)
        tx, ty = real(1 / 3) - (ux * tx - uy * ty), -(ux * ty + uy * tx)
        tx, ty = _times(cos2, sin2, tx, ty)
        gx, gy = _times(hx, hy, e1 + s2 * tx, e2 + s2 * ty)
    else:
        over = one / e
        gx, gy = _times(over * e1, over * e2, hx - ax, hy - ay)
    e1, e2 = e1 / s2, e2 / s2
    by_e_x, by_e_y = -half * (e1 * ax + e2 * ay + hx), -half * (e1 * ay - e2 * ax - hy)
    by_conj_x, by_conj_y = half * (gx - e1 * ax + e2 * ay), half * (gy - e1 * ay - e2 * ax)
    by_e1 = by_e_x + by_conj_x, by_e_y + by_conj_y
    by_e2 = by_conj_y - by_e_y, by_e_x - by_conj_x

    kappa = half * inverse * math.sqrt(s2)
    r2 = dx * dx + dy * dy
    core = kappa if r2 == zero else zero
    kappa = (kappa + kappa) / (real(1e-20) if r2 < real(1e-20) else r2)
    hessian = kappa * dy * dy + core, -kappa * dx * dy, kappa * dx * dx + core
    return ax, ay, by_e1, by_e2, hessian


@_precise
def _sie_pulled(dx, dy, theta, gx, gy, frame, e1, e2, nearly_round):  # type: ignore[no-untyped-def]
    """Gradients by theta_E, e1, e2, x and y at one pixel."""
    ax, ay, by_e1, by_e2, (xx, xy, yy) = _sie_slopes(dx, dy, frame, e1, e2, nearly_round)
    by_theta = gx * ax + gy * ay
    gx, gy = theta * gx, theta * gy
    return (
        by_theta,
        gx * by_e1[0] + gy * by_e1[1],
        gx * by_e2[0] + gy * by_e2[1],
        gx * xx + gy * xy,
        gx * xy + gy * yy,
    )


@_kernel
def sie_gradient(  # type: ignore[no-untyped-def]
    x, y, theta_E, e1, e2, center_x, center_y, grad_x, grad_y, by_x, by_y, sums
):
    """Gradients by position, ``(B, N)`` or ``(B, 0)`` for none, and by the parameters."""
    terms = np.empty((5, _BLOCK), x.dtype)
    for b in range(theta_E.shape[0]):
        row = b if x.shape[0] > 1 else 0
        theta, cx, cy = theta_E[b], center_x[b], center_y[b]
        frame = _sie_frame(e1[b], e2[b])
        nearly_round = np.float64(e1[b]) ** 2 + np.float64(e2[b]) ** 2 < 0.03**2
        for start in range(0, x.shape[1], _BLOCK):
            px, py = x[row, start : start + _BLOCK], y[row, start : start + _BLOCK]
            gx, gy = grad_x[b, start : start + _BLOCK], grad_y[b, start : start + _BLOCK]
            n = px.shape[0]
            if nearly_round:
                for p in range(n):
                    (terms[0, p], terms[1, p], terms[2, p], terms[3, p], terms[4, p]) = _sie_pulled(
                        px[p] - cx, py[p] - cy, theta, gx[p], gy[p], frame, e1[b], e2[b], True
                    )
            else:
                for p in range(n):
                    (terms[0, p], terms[1, p], terms[2, p], terms[3, p], terms[4, p]) = _sie_pulled(
                        px[p] - cx, py[p] - cy, theta, gx[p], gy[p], frame, e1[b], e2[b], False
                    )
            if by_x.shape[1]:
                for p in range(n):
                    by_x[b, start + p], by_y[b, start + p] = terms[3, p], terms[4, p]
            for k in range(3):
                sums[b, k] += _total(terms[k, :n])
            for k in range(3, 5):
                sums[b, k] -= _total(terms[k, :n])


@_kernel
def epl(  # type: ignore[no-untyped-def]
    x, y, theta_E, gamma, e1, e2, center_x, center_y, coefficients, alpha_x, alpha_y
):
    """Deflection of an EPL; see :func:`lensphys.mass.epl.epl_deflection` for the formulas.

    ``coefficients`` are those of its series, ``(B, T)`` with T >= 3.
    """
    real = x.dtype.type
    work = np.empty((9, _BLOCK), x.dtype)
    twice, minus, last, total, ux, uy, wx, wy, scale = work
    terms = coefficients.shape[1]
    for b in range(theta_E.shape[0]):
        row = b if x.shape[0] > 1 else 0
        a, cx, cy, f1, f2 = coefficients[b], center_x[b], center_y[b], e1[b], e2[b]
        s = real(math.sqrt(1 - np.float64(f1) ** 2 - np.float64(f2) ** 2))
        log_theta = real(math.log(max(np.float64(theta_E[b]) * s, 1e-9)))
        height, power = theta_E[b] * s, gamma[b] - real(2)
        for start in range(0, x.shape[1], _BLOCK):
            px, py = x[row, start : start + _BLOCK], y[row, start : start + _BLOCK]
            n = px.shape[0]
            for p in range(n):
                dx, dy = px[p] - cx, py[p] - cy
                u, v = (real(1) - f1) * dx - f2 * dy, (real(1) + f1) * dy - f2 * dx
                r2 = u * u + v * v
                r2 = real(1e-18) if r2 < real(1e-18) else r2
                inverse = real(1) / math.sqrt(r2)
                u, v = u * inverse, v * inverse
                wx[p], wy[p] = u, v
                scale[p] = height * exp(power * (log_theta - real(0.5) * log(r2)))
                vx, vy = u * u - v * v, real(2) * u * v
                turned_x, turned_y = f1 * vx + f2 * vy, f1 * vy - f2 * vx
                ux[p], uy[p] = turned_x, turned_y
                whole = real(1) + turned_x
                norm = math.sqrt(whole * whole + turned_y * turned_y)
                kx = math.sqrt(real(0.5) * (norm + whole))
                ky = real(0.5) * turned_y / kx
                below = real(1) / (real(1) + real(2) * kx + norm)
                hx, hy = (real(1) - norm) * below, real(-2) * ky * below
                twice[p], minus[p] = real(2) * hx, -(hx * hx + hy * hy)
                last[p] = a[terms - 1]
                total[p] = a[terms - 2] + twice[p] * a[terms - 1]
            for k in range(terms - 3, -1, -1):
                each = a[k]
                for p in range(n):
                    found = each + twice[p] * total[p] + minus[p] * last[p]
                    last[p], total[p] = total[p], found
            for p in range(n):
                whole = real(1) + ux[p]
                norm = math.sqrt(whole * whole + uy[p] * uy[p])
                kx = math.sqrt(real(0.5) * (norm + whole))
                ky = real(0.5) * uy[p] / kx
                hy = real(-2) * ky / (real(1) + real(2) * kx + norm)
                sx, sy = _times(
                    total[p] - real(0.5) * twice[p] * last[p], hy * last[p], kx / norm, -ky / norm
                )
                ex, ey = _times(ux[p], uy[p], sx, sy)
                fx, fy = _times(wx[p], wy[p], real(1) - ex, -ey)
                alpha_x[b, start + p], alpha_y[b, start + p] = scale[p] * fx, scale[p] * fy


@_kernel
def sheared_rays(  # type: ignore[no-untyped-def]
    x, y, gamma1, gamma2, ra_0, dec_0, alpha_x, alpha_y, beta_x, beta_y
):
    """Source positions ``(B, N)`` from the deflection of what is beside the shear."""
    for b in range(gamma1.shape[0]):
        row = b if x.shape[0] > 1 else 0
        px, py, ax, ay, bx, by = x[row], y[row], alpha_x[b], alpha_y[b], beta_x[b], beta_y[b]
        g1, g2, x0, y0 = gamma1[b], gamma2[b], ra_0[b], dec_0[b]
        for p in range(px.shape[0]):
            dx, dy = px[p] - x0, py[p] - y0
            bx[p] = px[p] - (ax[p] + (g1 * dx + g2 * dy))
            by[p] = py[p] - (ay[p] + (g2 * dx - g1 * dy))


@_kernel
def sheared_rays_gradient(  # type: ignore[no-untyped-def]
    x, y, gamma1, gamma2, ra_0, dec_0, grad_x, grad_y, by_x, by_y, sums
):
    """Gradients of :func:`sheared_rays` by position and shear, as for :func:`sie_gradient`."""
    terms = np.empty((4, _BLOCK), x.dtype)
    for b in range(gamma1.shape[0]):
        row = b if x.shape[0] > 1 else 0
        g1, g2, x0, y0 = gamma1[b], gamma2[b], ra_0[b], dec_0[b]
        for start in range(0, x.shape[1], _BLOCK):
            px, py = x[row, start : start + _BLOCK], y[row, start : start + _BLOCK]
            gx, gy = grad_x[b, start : start + _BLOCK], grad_y[b, start : start + _BLOCK]
            n = px.shape[0]
            for p in range(n):
                dx, dy = px[p] - x0, py[p] - y0
                terms[0, p], terms[1, p] = gy[p] * dy - gx[p] * dx, -gx[p] * dy - gy[p] * dx
                terms[2, p], terms[3, p] = g1 * gx[p] + g2 * gy[p], g2 * gx[p] - g1 * gy[p]
            if by_x.shape[1]:
                for p in range(n):
                    by_x[b, start + p] = gx[p] - terms[2, p]
                    by_y[b, start + p] = gy[p] - terms[3, p]
            for k in range(4):
                sums[b, k] += _total(terms[k, :n])


@_precise
def _sersic_frame(R_sersic, n_sersic, e1, e2, slope, intercept):  # type: ignore[no-untyped-def]
    """Coefficients of the stretched position, of ``log(R / R_sersic) / n``, and ``b_n``."""
    real = type(R_sersic)
    n, e1, e2 = np.float64(n_sersic), np.float64(e1), np.float64(e2)
    inverse = 1 / math.sqrt(1 - e1 * e1 - e2 * e2)
    b = slope * n + intercept
    return (
        real(inverse * (1 - e1)),
        real(inverse * (1 + e1)),
        real(-inverse * e2),
        real(-math.log(np.float64(R_sersic)) / n),
        real(0.5 / n),
        real(b),
        real(b / n),
        real(inverse),
    )


@_precise
def _sersic_parts(dx, dy, frame):  # type: ignore[no-untyped-def]
    """Stretched position, ``R^2``, ``log(R / R_sersic) / n``, its exponential, the brightness."""
    real = type(dx)
    xx, yy, xy, log_scale, half_over_n, b, _, _ = frame
    u, v = xx * dx + xy * dy, xy * dx + yy * dy
    r2 = u * u + v * v
    r2 = real(1e-8) if r2 < real(1e-8) else r2
    power_log = half_over_n * log(r2) + log_scale
    power = exp(power_log)
    return u, v, r2, power_log, power, exp(b - b * power)


@_kernel
def sersic(  # type: ignore[no-untyped-def]
    slope, intercept, x, y, amplitude, R_sersic, n_sersic, e1, e2, center_x, center_y, brightness
):
    """Surface brightness of a Sersic profile, ``(B, N)``."""
    for b in range(amplitude.shape[0]):
        row = b if x.shape[0] > 1 else 0
        px, py, out = x[row], y[row], brightness[b]
        a, cx, cy = amplitude[b], center_x[b], center_y[b]
        frame = _sersic_frame(R_sersic[b], n_sersic[b], e1[b], e2[b], slope, intercept)
        for p in range(px.shape[0]):
            out[p] = a * _sersic_parts(px[p] - cx, py[p] - cy, frame)[5]


@_precise
def _sersic_slopes(dx, dy, a, R, slope, e1, e2, frame):  # type: ignore[no-untyped-def]
    """Unit brightness, and the derivatives by R_sersic, n_sersic, e1, e2, center_x, center_y.

    See :meth:`lensphys.light.sersic.Sersic.surface_brightness_jacobian`.
    """
    real = type(dx)
    one, inverse = real(1), frame[7]
    u, v, r2, power_log, power, unit = _sersic_parts(dx, dy, frame)
    brightness = a * unit
    steep = frame[6] * brightness * power
    outside = -steep if r2 > real(1e-8) else real(0)
    pull = inverse * outside / r2
    pull_u, pull_v = pull * u, pull * v
    stretch = inverse * inverse * outside
    return (
        unit,
        steep / R,
        steep * power_log - slope * brightness * (power - one),
        stretch * e1 - pull_u * dx + pull_v * dy,
        stretch * e2 - pull_u * dy - pull_v * dx,
        e2 * pull_v - (one - e1) * pull_u,
        e2 * pull_u - (one + e1) * pull_v,
    )


@_kernel
def sersic_gradient(  # type: ignore[no-untyped-def]
    slope,
    intercept,
    x,
    y,
    amplitude,
    R_sersic,
    n_sersic,
    e1,
    e2,
    center_x,
    center_y,
    grad,
    by_x,
    by_y,
    sums,
):
    """Gradients of :func:`sersic` by position and by parameters, as for :func:`sie_gradient`."""
    terms = np.empty((7, _BLOCK), x.dtype)
    steep = x.dtype.type(slope)
    for b in range(amplitude.shape[0]):
        row = b if x.shape[0] > 1 else 0
        a, R, cx, cy = amplitude[b], R_sersic[b], center_x[b], center_y[b]
        f1, f2 = e1[b], e2[b]
        frame = _sersic_frame(R, n_sersic[b], f1, f2, slope, intercept)
        for start in range(0, x.shape[1], _BLOCK):
            px, py = x[row, start : start + _BLOCK], y[row, start : start + _BLOCK]
            g = grad[b, start : start + _BLOCK]
            n = px.shape[0]
            for p in range(n):
                found = _sersic_slopes(px[p] - cx, py[p] - cy, a, R, steep, f1, f2, frame)
                terms[0, p], terms[1, p] = g[p] * found[0], g[p] * found[1]
                terms[2, p], terms[3, p] = g[p] * found[2], g[p] * found[3]
                terms[4, p], terms[5, p] = g[p] * found[4], g[p] * found[5]
                terms[6, p] = g[p] * found[6]
            if by_x.shape[1]:
                for p in range(n):
                    by_x[b, start + p], by_y[b, start + p] = -terms[5, p], -terms[6, p]
            for k in range(7):
                sums[b, k] += _total(terms[k, :n])


# Separable convolution of images (M, ny, nx), whose edge pixels continue outwards.


@_kernel
def blur(weights, images, blurred):  # type: ignore[no-untyped-def]
    """See :class:`lensphys.psf.GaussianPSF`; the weights are symmetric."""
    half = weights.shape[0] // 2
    _, ny, nx = images.shape
    row, along_x = np.empty(nx + 2 * half, images.dtype), np.empty((ny, nx), images.dtype)
    for m in range(images.shape[0]):
        for i in range(ny):
            image, out = images[m, i], along_x[i]
            for j in range(half):
                row[j], row[half + nx + j] = image[0], image[nx - 1]
            for j in range(nx):
                row[half + j] = image[j]
            w = weights[half]
            for j in range(nx):
                out[j] = w * row[half + j]
            for k in range(half):
                w = weights[k]
                left, right = row[k : k + nx], row[2 * half - k : 2 * half - k + nx]
                for j in range(nx):
                    out[j] += w * (left[j] + right[j])
        for i in range(ny):
            out = blurred[m, i]
            w, middle = weights[half], along_x[i]
            for j in range(nx):
                out[j] = w * middle[j]
            for k in range(half):
                w = weights[k]
                above, below = along_x[max(i + k - half, 0)], along_x[min(i + half - k, ny - 1)]
                for j in range(nx):
                    out[j] += w * (above[j] + below[j])


@_kernel
def blur_gradient(weights, grad, by_images):  # type: ignore[no-untyped-def]
    """The transpose of :func:`blur`."""
    half = weights.shape[0] // 2
    _, ny, nx = grad.shape
    row, along_y = np.empty(nx + 2 * half, grad.dtype), np.empty((ny, nx), grad.dtype)
    for m in range(grad.shape[0]):
        for i in range(ny):
            for j in range(nx):
                along_y[i, j] = 0
        for i in range(ny):
            g = grad[m, i]
            for k in range(2 * half + 1):
                w, out = weights[k], along_y[min(max(i + k - half, 0), ny - 1)]
                for j in range(nx):
                    out[j] += w * g[j]
        for i in range(ny):
            g = along_y[i]
            for j in range(nx + 2 * half):
                row[j] = 0
            for k in range(2 * half + 1):
                w, out = weights[k], row[k : k + nx]
                for j in range(nx):
                    out[j] += w * g[j]
            out = by_images[m, i]
            for j in range(nx):
                out[j] = row[half + j]
            for k in range(half):
                out[0] += row[k]
                out[nx - 1] += row[half + nx + k]


@_precise
def _keep_sie(terms, p, found):  # type: ignore[no-untyped-def]
    terms[1, p], terms[2, p] = found[0], found[1]
    terms[3, p], terms[4, p] = found[2]
    terms[5, p], terms[6, p] = found[3]
    terms[7, p], terms[8, p], terms[9, p] = found[4]


@_kernel
def scene(slope, intercept, near, x, y, lens, shear, source, maps):  # type: ignore[no-untyped-def]
    """Brightness of a Sersic source behind a SIE with shear, and its derivatives.

    Args:
        slope, intercept: of ``b_n``.
        near: rays within so many Einstein radii of the lens say nothing of where it is.
        x, y: ``(1, N)`` or ``(B, N)``.
        lens, shear, source: parameters ``(B, 5)``, ``(B, 2)`` and ``(B, 7)``.
        maps: ``(B, 15 or more, N)``, of which the first 15 are written.
    """
    terms = np.empty((15, _BLOCK), x.dtype)
    steep = x.dtype.type(slope)
    zero, one = x.dtype.type(0), x.dtype.type(1)
    for b in range(maps.shape[0]):
        row = b if x.shape[0] > 1 else 0
        theta, e1, e2, cx, cy = lens[b, 0], lens[b, 1], lens[b, 2], lens[b, 3], lens[b, 4]
        gamma1, gamma2 = shear[b, 0], shear[b, 1]
        a, R, f1, f2 = source[b, 0], source[b, 1], source[b, 3], source[b, 4]
        sx, sy = source[b, 5], source[b, 6]
        frame = _sie_frame(e1, e2)
        light = _sersic_frame(R, source[b, 2], f1, f2, slope, intercept)
        nearly_round = np.float64(e1) ** 2 + np.float64(e2) ** 2 < 0.03**2
        too_near = x.dtype.type(near) * theta
        for start in range(0, x.shape[1], _BLOCK):
            px, py = x[row, start : start + _BLOCK], y[row, start : start + _BLOCK]
            n = px.shape[0]
            if nearly_round:
                for p in range(n):
                    _keep_sie(terms, p, _sie_slopes(px[p] - cx, py[p] - cy, frame, e1, e2, True))
            else:
                for p in range(n):
                    _keep_sie(terms, p, _sie_slopes(px[p] - cx, py[p] - cy, frame, e1, e2, False))
            for p in range(n):
                ux, uy = terms[1, p], terms[2, p]
                dx = px[p] - (theta * ux + (gamma1 * px[p] + gamma2 * py[p])) - sx
                dy = py[p] - (theta * uy + (gamma2 * px[p] - gamma1 * py[p])) - sy
                found = _sersic_slopes(dx, dy, a, R, steep, f1, f2, light)
                # A source that moves by d and light that is deflected by d look the same.
                gx, gy = found[5], found[6]
                tx, ty = theta * gx, theta * gy
                terms[0, p] = a * found[0]
                by_e1 = tx * terms[3, p] + ty * terms[4, p]
                by_e2 = tx * terms[5, p] + ty * terms[6, p]
                xx, xy, yy = terms[7, p], terms[8, p], terms[9, p]
                terms[1, p], terms[2, p], terms[3, p] = gx * ux + gy * uy, by_e1, by_e2
                off_x, off_y = px[p] - cx, py[p] - cy
                known = zero if off_x * off_x + off_y * off_y < too_near * too_near else one
                tx, ty = known * tx, known * ty
                terms[4, p], terms[5, p] = -(tx * xx + ty * xy), -(tx * xy + ty * yy)
                terms[6, p], terms[7, p] = gx * px[p] - gy * py[p], gx * py[p] + gy * px[p]
                terms[8, p], terms[9, p], terms[10, p] = found[0], found[1], found[2]
                terms[11, p], terms[12, p] = found[3], found[4]
                terms[13, p], terms[14, p] = gx, gy
            for k in range(15):
                for p in range(n):
                    maps[b, k, start + p] = terms[k, p]


@_kernel
def sersic_jacobian(slope, intercept, x, y, parameters, maps):  # type: ignore[no-untyped-def]
    """Adds a Sersic profile ``(B, 7)`` to the first of the maps, its derivatives to the last 7."""
    terms = np.empty((7, _BLOCK), x.dtype)
    steep = x.dtype.type(slope)
    for b in range(maps.shape[0]):
        row = b if x.shape[0] > 1 else 0
        a, R, e1, e2 = parameters[b, 0], parameters[b, 1], parameters[b, 3], parameters[b, 4]
        cx, cy = parameters[b, 5], parameters[b, 6]
        frame = _sersic_frame(R, parameters[b, 2], e1, e2, slope, intercept)
        for start in range(0, x.shape[1], _BLOCK):
            px, py = x[row, start : start + _BLOCK], y[row, start : start + _BLOCK]
            n = px.shape[0]
            for p in range(n):
                found = _sersic_slopes(px[p] - cx, py[p] - cy, a, R, steep, e1, e2, frame)
                terms[0, p], terms[1, p], terms[2, p] = found[0], found[1], found[2]
                terms[3, p], terms[4, p] = found[3], found[4]
                terms[5, p], terms[6, p] = found[5], found[6]
            for p in range(n):
                maps[b, 0, start + p] += a * terms[0, p]
            for k in range(7):
                for p in range(n):
                    maps[b, maps.shape[1] - 7 + k, start + p] = terms[k, p]


@_kernel
def scaled(factor, maps, products):  # type: ignore[no-untyped-def]
    """Maps ``(M, N)`` times a number."""
    factor = maps.dtype.type(factor)
    for m in range(maps.shape[0]):
        for p in range(maps.shape[1]):
            products[m, p] = factor * maps[m, p]
