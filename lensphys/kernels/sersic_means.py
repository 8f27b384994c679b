"""Mean of a Sersic profile over each pixel; see :mod:`lensphys.light.pixel_means`."""

from __future__ import annotations

import math

import numpy as np

from lensphys.kernels.compiling import inline, kernel
from lensphys.kernels.elementary import exp, log
from lensphys.kernels.sersic import brightness_at, sersic_frame


@inline
def _put_edge(  # type: ignore[no-untyped-def]
    along, place, ahead, nodes, weights, radius2, weight
):
    """Squared radii of the points of one edge, and their weights times the area that it spans."""
    (u, v), (to_u, to_v) = along
    along_u, along_v = to_u - u, to_v - v
    cross = u * along_v - v * along_u
    length2 = along_u * along_u + along_v * along_v
    nearest = -(u * along_u + v * along_v) / length2
    spread = max(abs(cross) / length2, ahead)
    first, last = math.asinh(-nearest / spread), math.asinh((1 - nearest) / spread)
    for k in range(nodes.shape[0]):
        grown = exp(first + (last - first) * (0.5 + nodes[k]))
        t = nearest + 0.5 * spread * (grown - 1 / grown)
        at_u, at_v = u + t * along_u, v + t * along_v
        radius2[place + k] = at_u * at_u + at_v * at_v
        weight[place + k] = cross * 0.5 * spread * (grown + 1 / grown) * (last - first) * weights[k]


@inline
def _sum_edges(radius2, weight, n, log_R, b, z, scale, total):  # type: ignore[no-untyped-def]
    """Light of unit amplitude inside of the edges, whose points are given."""
    a, over_n = 2 * n, 1 / n
    largest = a + 6 * math.sqrt(a) + 12
    log_largest, log_b, top = math.log(largest), math.log(b), 0.0
    for k in range(radius2.shape[0]):
        r2 = radius2[k] if radius2[k] > 1e-300 else 1e-300
        log_z = log_b + (0.5 * log(r2) - log_R) * over_n
        inside = log_z if log_z < log_largest else log_largest
        z[k] = exp(inside)
        scale[k] = a * (inside - log_z) - z[k]
        total[k] = 1.0
    for k in range(radius2.shape[0]):
        top = max(top, z[k])
    for m in range(math.ceil(top + 6 * math.sqrt(top) + 8), 0, -1):
        each = 1 / (a + m)
        for k in range(radius2.shape[0]):
            total[k] = 1 + total[k] * z[k] * each
    light = 0.0
    for k in range(radius2.shape[0]):
        light += 0.5 * weight[k] * exp(b + scale[k]) * total[k]
    return light


@kernel
def correct_near_centre(  # type: ignore[no-untyped-def]
    slope,
    intercept,
    width,
    zones,
    places,
    weights,
    ahead,
    x,
    y,
    amplitude,
    R_sersic,
    n_sersic,
    e1,
    e2,
    center_x,
    center_y,
    brightness,
):
    """Replace the brightness ``(B, N)`` at the middle of pixels by their mean near the centre.

    Args:
        slope, intercept: of ``b_n``.
        width: of a pixel, arcsec.
        zones: outer radius of each zone, in units of the longest stretched side of a pixel; the
            innermost is that of integrals along edges.
        places, weights: Gauss-Legendre points of each zone.
        ahead: least width of the crowding of points along an edge.
        x, y, amplitude, R_sersic, n_sersic, e1, e2, center_x, center_y: see
            :func:`lensphys.kernels.sersic.fill_brightness`.
        brightness: of the middle of each pixel.
    """
    nodes = places[0].shape[0]
    radius2, weight = np.empty(4 * nodes), np.empty(4 * nodes)
    z, scale, total = np.empty(4 * nodes), np.empty(4 * nodes), np.empty(4 * nodes)
    corner_u, corner_v = np.empty(4), np.empty(4)
    # Pixels of one zone, so that a loop over them becomes vector instructions.
    chosen = np.empty((len(zones), x.shape[1]), np.int64)
    counts = np.empty(len(zones), np.int64)
    at_x, at_y, mean = np.empty((3, x.shape[1]), x.dtype)
    real = x.dtype.type
    for b in range(amplitude.shape[0]):
        row = b if x.shape[0] > 1 else 0
        px, py, out = x[row], y[row], brightness[b]
        a, cx, cy = np.float64(amplitude[b]), np.float64(center_x[b]), np.float64(center_y[b])
        n, log_R = np.float64(n_sersic[b]), math.log(np.float64(R_sersic[b]))
        frame = sersic_frame(R_sersic[b], n_sersic[b], e1[b], e2[b], slope, intercept)
        inverse = 1 / math.sqrt(1 - np.float64(e1[b]) ** 2 - np.float64(e2[b]) ** 2)
        xx, yy, xy = inverse * (1 - e1[b]), inverse * (1 + e1[b]), -inverse * e2[b]
        modulus = math.hypot(e1[b], e2[b])
        reach2 = width * width * (1 + modulus) / (1 - modulus)
        counts[:] = 0
        farthest = zones[len(zones) - 1] ** 2 * reach2
        for p in range(px.shape[0]):
            dx, dy = px[p] - cx, py[p] - cy
            u, v = xx * dx + xy * dy, xy * dx + yy * dy
            if u * u + v * v < farthest:
                zone = 0
                while u * u + v * v >= zones[zone] ** 2 * reach2:
                    zone += 1
                chosen[zone, counts[zone]] = p
                counts[zone] += 1
        for c in range(counts[0]):
            p = chosen[0, c]
            dx, dy = px[p] - cx, py[p] - cy
            for k in range(4):
                to_x = dx + (0.5 if k in (1, 2) else -0.5) * width
                to_y = dy + (0.5 if k > 1 else -0.5) * width
                corner_u[k], corner_v[k] = xx * to_x + xy * to_y, xy * to_x + yy * to_y
            for k in range(4):
                j = (k + 1) % 4
                along = (corner_u[k], corner_v[k]), (corner_u[j], corner_v[j])
                _put_edge(along, k * nodes, ahead, places[0], weights[0], radius2, weight)
            light = _sum_edges(radius2, weight, n, log_R, slope * n + intercept, z, scale, total)
            # Rounding may leave less than nothing in the dark outskirts of a tiny galaxy.
            out[p] = a * max(light, 0.0) / (width * width)
        for zone in range(1, len(zones)):
            count = counts[zone]
            for c in range(count):
                p = chosen[zone, c]
                at_x[c], at_y[c], mean[c] = px[p] - cx, py[p] - cy, 0
            for j in range(places[zone].shape[0]):
                for i in range(places[zone].shape[0]):
                    share = real(weights[zone][i] * weights[zone][j])
                    off_x, off_y = real(width * places[zone][i]), real(width * places[zone][j])
                    for c in range(count):
                        mean[c] += share * brightness_at(at_x[c] + off_x, at_y[c] + off_y, frame)
            for c in range(count):
                out[chosen[zone, c]] = a * mean[c]
