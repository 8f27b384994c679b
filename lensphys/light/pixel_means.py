"""Mean of a Sersic profile over a pixel, right at its centre too, where one ray is not.

In the stretched coordinates of :mod:`lensphys.ellipticity` the profile depends on the radius alone
and a pixel is a parallelogram of the same area. With ``G(R) = int_0^R I(r) r dr`` the divergence of
``G / R^2 (u, v)`` is ``I``, so that the light in a pixel is the sum over its four edges of
``(u v' - v u') int_0^1 G / R^2 dt``. That integrand is finite at the centre and smooth along an
edge for any axis ratio.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from lensphys.arrays import is_traced
from lensphys.ellipticity import stretch
from lensphys.kernels import launch
from lensphys.light.base import gauss_legendre
from lensphys.parameters import is_transformed, needs_backward
from lensphys.products import product
from lensphys.remembering import remember

#: Outer radius of the pixels whose mean is found on their edges, in units of the longest side that
#: a pixel has in the stretched coordinates. Like those below it is no distance on a grid: round
#: galaxies in the middle or at the corner of a pixel would have pixels at the very border.
_EDGES = 1.57
#: Outer radius of those that ``k x k`` points suffice for, with ``k``. Farther out the middle of a
#: pixel is its mean, to 0.3% for n = 4.
_POINTS = ((3.07, 4), (8.03, 2))
#: The nearest pixels that are taken under a transform, which knows no numbers to compare.
_EDGES_COUNT, _POINTS_COUNTS = 32, (64, 256)
#: Nearest pixels over which derivatives are averaged, and points along a side of each.
_SLOPES, _SLOPE_POINTS = 49, 8
#: Points along an edge.
_NODES = 12
#: Least width of the crowding of points about the place of an edge that is nearest to the centre,
#: in lengths of the edge.
_CROWDING = 1e-3
#: Pixels that are treated together, which bounds the memory.
_CHUNK = 8192

Params = Sequence[Tensor]


class Differentiable(Protocol):
    """A Sersic profile, as far as the derivatives of its pixels need it."""

    def align(self, like: Tensor) -> dict[str, Tensor]:
        """Parameters by name, aligned with positions."""

    def surface_brightness(self, x: Tensor, y: Tensor) -> Tensor:
        """Flux per arcsec^2."""

    def surface_brightness_jacobian(self, x: Tensor, y: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Flux per arcsec^2, and its derivative with respect to each parameter."""


def correct_near_centre(
    brightness: Tensor,
    x: Tensor,
    y: Tensor,
    width: float,
    params: Params,
    b: Tensor,
    line: tuple[float, float],
) -> Tensor:
    """Replace the brightness at the middle of a pixel by its mean wherever the two differ.

    Args:
        brightness: of a Sersic profile at the middle of each pixel, ``(..., ny, nx)``.
        x, y: middle of each pixel, arcsec.
        width: of a pixel, arcsec.
        params: of the profile, in the order of :class:`lensphys.Sersic`, aligned with ``x, y``.
        b: ``b_n``, aligned as well.
        line: slope and intercept of ``b_n``.
    """
    if (fast := _compiled(brightness, x, y, width, params, line)) is not None:
        return fast
    radius2, reach2 = _radius_and_reach(x, y, width, params)
    columns = (*params, b)
    if is_transformed(brightness, x, y, *columns):
        return _correct_nearest(brightness, x, y, width, columns, radius2)
    shape = brightness.shape
    pixels = math.prod(shape[-2:])
    radius2 = radius2.expand(shape).reshape(-1)
    reach2 = reach2.expand(*shape[:-2], 1, 1).reshape(-1)
    lead = [value.expand(*shape[:-2], 1, 1).reshape(-1) for value in columns]
    flat = [value.expand(shape).reshape(-1) for value in (x, y)]
    found, inner = brightness.reshape(-1), 0.0
    zones = ((_EDGES, _means_of_edges), *((outer, _points(count)) for outer, count in _POINTS))
    # In units of the longest side squared; the widest zone first, so that fewer are looked at.
    near = torch.nonzero(radius2 < (zones[-1][0] ** 2) * reach2.repeat_interleave(pixels))[:, 0]
    scaled = radius2[near] / reach2[near // pixels]
    for outer, means in zones:
        chosen = near[(scaled >= inner**2) & (scaled < outer**2)]
        inner = outer
        for part in chosen.split(_CHUNK):
            image = part // pixels
            values = means(*(v[part] for v in flat), width, *(v[image] for v in lead))
            found = found.index_put((part,), values.to(found.dtype))
    return found.reshape(shape)


def _compiled(
    brightness: Tensor,
    x: Tensor,
    y: Tensor,
    width: float,
    params: Params,
    line: tuple[float, float],
) -> Tensor | None:
    """Do the same in one loop over the pixels, if it can."""
    if needs_backward(brightness, x, y, *params):
        return None
    given = launch.prepare(x, y, *params)
    if given is None or given.shape != brightness.shape:
        return None
    counts = (_NODES, *(count for _, count in _POINTS))
    rules = [gauss_legendre(count) for count in counts]
    places, weights = (tuple(np.array(rule[i]) for rule in rules) for i in range(2))
    zones = (_EDGES, *(outer for outer, _ in _POINTS))
    settings = (*line, float(width), zones, places, weights, _CROWDING)
    found = brightness.reshape(given.images, given.pixels).clone()
    given.run("sersic_means.correct_near_centre", settings, found.numpy())
    return found.view(given.shape)


def _correct_nearest(
    brightness: Tensor, x: Tensor, y: Tensor, width: float, columns: Params, radius2: Tensor
) -> Tensor:
    """Correct a fixed number of pixels, under a transform."""
    x, y, radius2, found = (
        value.flatten(-2) for value in torch.broadcast_tensors(x, y, radius2, brightness)
    )
    columns = [value[..., 0] if value.ndim else value for value in columns]
    for count, means in _counted_zones():
        nearest = radius2.topk(min(count, radius2.shape[-1]), largest=False).indices
        values = means(x.gather(-1, nearest), y.gather(-1, nearest), width, *columns)
        found = found.scatter(-1, nearest, values.to(found.dtype))
    corrected: Tensor = found.reshape(brightness.shape)
    return corrected


def _counted_zones() -> list[tuple[int, Callable[..., Tensor]]]:
    """Number of nearest pixels and the mean that suits them, the widest zone first."""
    points = zip(_POINTS_COUNTS, _POINTS, strict=True)
    zones: list[tuple[int, Callable[..., Tensor]]] = [(n, _points(k)) for n, (_, k) in points]
    return [*reversed(zones), (_EDGES_COUNT, _means_of_edges)]


def average_slopes(
    profile: Differentiable, x: Tensor, y: Tensor, width: float, mean: Tensor
) -> tuple[Tensor, dict[str, Tensor]]:
    """Derivatives of the mean over the pixels nearest to the centre of a Sersic profile.

    A profile that moves, turns, flattens or grows changes as if it flowed, by ``grad(I) . v`` with
    a field ``v`` linear in the position, so that by the divergence theorem the change of a pixel is
    a sum over its edges, where the brightness is finite. The derivatives with respect to amplitude
    and index are those of points in the pixel, in the ratio of its true mean to theirs.

    Args:
        profile: the Sersic profile.
        x, y, width: of the pixels, arcsec.
        mean: brightness of each pixel, ``(..., ny, nx)``.

    Returns:
        Places of the pixels in a flattened map, ``(..., N)``, and the derivative of each with
        respect to each parameter by name, ``(..., N)``.
    """
    p = profile.align(x)
    radius2, _ = _radius_and_reach(x, y, width, tuple(p.values()))
    x, y, radius2 = (value.expand(mean.shape).flatten(-2) for value in (x, y, radius2))
    nearest = radius2.topk(min(_SLOPES, radius2.shape[-1]), largest=False).indices
    x, y = (value.gather(-1, nearest)[..., None] for value in (x, y))
    known = mean.flatten(-2).gather(-1, nearest)

    places = width * ((torch.arange(_SLOPE_POINTS).to(x) + 0.5) / _SLOPE_POINTS - 0.5)
    fine = x + places.repeat(_SLOPE_POINTS), y + places.repeat_interleave(_SLOPE_POINTS)
    brightness, slopes = profile.surface_brightness_jacobian(*fine)
    average = brightness.mean(-1)
    ratio = torch.where(average > 0, known / average, 1.0)
    found = {name: ratio * slopes[name].mean(-1) for name in ("amplitude", "n_sersic")}

    # Mean over the right edge less that over the left one, and over the upper less the lower one.
    points, weights = (x.new_tensor(values) for values in gauss_legendre(_NODES))
    half, along = torch.full_like(points, 0.5 * width), width * points
    at_x = x + torch.cat([half, -half, along, along])
    at_y = y + torch.cat([along, along, half, -half])
    shine = profile.surface_brightness(at_x, at_y)
    signed = torch.cat([weights, -weights]) / width

    def across(flow_x: Tensor | float, flow_y: Tensor | float) -> Tensor:
        right_left, up_down = (shine * flow_x).chunk(2, -1)[0], (shine * flow_y).chunk(2, -1)[1]
        total: Tensor = ((right_left + up_down) * signed).sum(-1)
        return total

    dx, dy, e1, e2 = at_x - p["center_x"], at_y - p["center_y"], p["e1"], p["e2"]
    rest = 1 - (e1 * e1 + e2 * e2)[..., 0] if e1.ndim or e2.ndim else 1 - e1 * e1 - e2 * e2
    radius = p["R_sersic"][..., 0] if p["R_sersic"].ndim else p["R_sersic"]
    found["center_x"], found["center_y"] = -across(1.0, 0.0), -across(0.0, 1.0)
    found["R_sersic"] = (2 * known - across(dx, dy)) / radius
    found["e1"] = across(e2 * dy - dx, dy - e2 * dx) / rest
    found["e2"] = across(-(1 + e1) * dy, -(1 - e1) * dx) / rest
    return nearest, found


@torch.no_grad()
def _radius_and_reach(x: Tensor, y: Tensor, width: float, params: Params) -> tuple[Tensor, Tensor]:
    """``R^2`` in the middle of each pixel, and the square of the longest stretched side."""
    _, _, _, e1, e2, center_x, center_y = params
    u, v = stretch(x - center_x, y - center_y, e1, e2)
    modulus2 = e1 * e1 + e2 * e2
    # The axis ratio q is (1 - |e|) / (1 + |e|), and the longest side 1 / sqrt(q).
    flattening = (1 + modulus2.sqrt()).square() / (1 - modulus2)
    return (u * u + v * v) / (1 - modulus2), width * width * flattening


@remember()
def _points(count: int) -> Callable[..., Tensor]:
    return functools.partial(_means_of_points, count)


def _means_of_points(count: int, x: Tensor, y: Tensor, width: float, *columns: Tensor) -> Tensor:
    """Mean over each pixel from ``count x count`` Gauss-Legendre points."""
    amplitude, R_sersic, n, e1, e2, center_x, center_y, b = (v[..., None] for v in columns)
    places, weights = (x.new_tensor(values) for values in gauss_legendre(count))
    dx = x[..., None] + width * places.repeat(count) - center_x
    dy = y[..., None] + width * places.repeat_interleave(count) - center_y
    u, v = stretch(dx, dy, e1, e2)
    r2 = (u * u + v * v) / (1 - e1 * e1 - e2 * e2)
    power = torch.exp((0.5 * torch.log(r2) - torch.log(R_sersic)) / n)
    unit = product(torch.exp(b - b * power), (weights[:, None] * weights).flatten())
    return amplitude[..., 0] * unit


def _means_of_edges(x: Tensor, y: Tensor, width: float, *columns: Tensor) -> Tensor:
    """Mean over each pixel, in double precision, from integrals along its edges."""
    amplitude, R_sersic, n, e1, e2, center_x, center_y, b = (v.double()[..., None] for v in columns)
    half = 0.5 * width
    dx, dy = x.double()[..., None] - center_x, y.double()[..., None] - center_y
    # Corners, counterclockwise.
    u, v = stretch(
        dx + dx.new_tensor([-half, half, half, -half]),
        dy + dx.new_tensor([-half, -half, half, half]),
        e1,
        e2,
    )
    inverse = torch.rsqrt(1 - e1 * e1 - e2 * e2)
    u, v = inverse * u, inverse * v
    along_u, along_v = u.roll(-1, -1) - u, v.roll(-1, -1) - v
    cross = u * along_v - v * along_u
    t, weight = _places(u, v, along_u, along_v, cross)
    at_u, at_v = u[..., None] + t * along_u[..., None], v[..., None] + t * along_v[..., None]
    log_r2 = torch.log((at_u * at_u + at_v * at_v).clamp_min(torch.finfo(u.dtype).tiny))
    inside = _half_mean_inside(log_r2, *(value[..., None] for value in (R_sersic, n, b)))
    # Rounding may leave less than nothing in the dark outskirts of a tiny galaxy.
    unit = (cross * (weight * inside).sum(-1)).sum(-1).clamp_min(0) / width**2
    return amplitude[..., 0] * unit


def _places(
    u: Tensor, v: Tensor, along_u: Tensor, along_v: Tensor, cross: Tensor
) -> tuple[Tensor, Tensor]:
    """Points along each edge as fractions of it, and their weights, ``(..., 4, nodes)``.

    They crowd about the place that is nearest to the centre, ``t0 + s sinh tau`` for equal steps of
    ``tau``, where the logarithm of the radius is a smooth function.
    """
    length2 = along_u * along_u + along_v * along_v
    nearest = -(u * along_u + v * along_v) / length2
    spread = (cross.abs() / length2).clamp_min(_CROWDING)
    first, last = torch.asinh(-nearest / spread), torch.asinh((1 - nearest) / spread)
    nodes, weights = (u.new_tensor(values) for values in gauss_legendre(_NODES))
    step = (last - first)[..., None]
    tau = first[..., None] + step * (0.5 + nodes)
    spread = spread[..., None]
    return nearest[..., None] + spread * torch.sinh(tau), spread * torch.cosh(tau) * step * weights


def _half_mean_inside(log_r2: Tensor, R_sersic: Tensor, n: Tensor, b: Tensor) -> Tensor:
    """Half of the mean brightness inside a radius, ``G / R^2``, of a profile of unit amplitude.

    ``G = n R_sersic^2 e^b b^(-2n) gamma(2n, z)`` with ``z = b (R / R_sersic)^(1/n)`` (Graham &
    Driver 2005, eq. 2), and ``gamma(a, z) = z^a e^-z sum_k z^k / (a (a + 1) ... (a + k))``: unlike
    torch's, this has a derivative with respect to ``a``.
    """
    a = 2 * n
    log_z = torch.log(b) + (0.5 * log_r2 - torch.log(R_sersic)) / n
    # Next to no light is farther out (1e-8 of it).
    largest = a + 6 * torch.sqrt(a) + 12
    log_inside = torch.minimum(log_z, torch.log(largest))
    z = torch.exp(log_inside)
    total = torch.ones_like(z)
    for k in range(_count_terms(z), 0, -1):
        total = 1 + total * z * (1 / (a + k))
    return 0.5 * torch.exp(b - z + a * (log_inside - log_z)) * total


def _count_terms(z: Tensor) -> int:
    """Terms of the series of :func:`_half_mean_inside` up to 1e-8 of its sum."""
    if is_traced(z) or not z.numel():
        return 100
    # They grow up to z - a and fall like a normal distribution of variance z after that.
    most = min(float(z.detach().max()), 60.0)
    return math.ceil(most + 6 * math.sqrt(most) + 8)
