"""Starting points of a lens: how far its arcs are out, and where their source may be."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lensphys.fitting.linear.light_start import box
from lensphys.mass.sie import SIE
from lensphys.psf.convolution import fft_convolve

#: Significance from which light counts towards the radius of the arcs.
_SEEN = 5.0
#: Part of the light of the arcs inside their radius.
_INSIDE = 0.8
#: Einstein radii that are tried, in radii of the arcs, and sources for each.
RADII, SOURCES = 9, 2
_LEAST, _MOST = 0.4, 1.05
#: Ellipticity of a lens, in that of its light.
_ROUNDER = 0.8
#: Cells of a map of the source plane, which is as wide as the Einstein ring.
_CELLS = 41
#: Significances of pixels that are traced back to the source.
_FAINTEST, _BRIGHTEST = 2.0, 15.0
#: Smoothing of the map, in cells, and distance of two sources, in Einstein radii.
_SMOOTH, _APART = 1.3, 0.17


def measure_arcs(arcs: Tensor, weight: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Radius within which most of the light around a lens is, arcsec, ``(B,)``.

    Args:
        arcs: images without the light of the lens, ``(B, ny, nx)``.
        weight: one over their noise.
        x, y: positions relative to the lens, arcsec, ``(B, ny, nx)``.
    """
    radius = torch.hypot(x, y).expand(arcs.shape).flatten(1)
    seen = (3 * box(arcs * weight) - _SEEN).clamp_min(0)
    light = (arcs * seen).clamp_min(0).flatten(1)
    radius, order = radius.sort(1)
    inside = light.gather(1, order).cumsum(1)
    reached = (inside >= _INSIDE * inside[:, -1:]).to(torch.uint8).argmax(1, keepdim=True)
    found = radius.gather(1, reached)[:, 0]
    nothing = inside[:, -1] <= 0
    return torch.where(nothing, 0.4 * radius[:, -1], found)


def list_seeds(
    arcs: Tensor, weight: Tensor, x: Tensor, y: Tensor, e1: Tensor, e2: Tensor, radii: Tensor
) -> dict[str, Tensor]:
    """Find sources whose images would be where light is seen, for several Einstein radii.

    The squared significance of all pixels is traced back through an isothermal lens with the shape
    of the light. Sources are where it is greatest, over the square root of the number of rays.

    Args:
        arcs, weight, x, y: see :func:`measure_arcs`.
        e1, e2: ellipticity of the light, ``(B,)``.
        radii: Einstein radii to be tried, ``(B, M)``.

    Returns:
        ``theta_E``, ``e1``, ``e2``, ``source_center_x``, ``source_center_y``, relative to the lens,
        of ``(B, M * SOURCES)`` each.
    """
    batch, count = radii.shape
    rows = batch * count
    theta_E = radii.flatten()
    e1, e2 = (_ROUNDER * e.repeat_interleave(count) for e in (e1, e2))
    lens = SIE(theta_E=theta_E, e1=e1, e2=e2)
    x, y = (v.expand(arcs.shape).repeat_interleave(count, 0) for v in (x, y))
    alpha_x, alpha_y = lens.deflection(x, y)
    significance = (arcs * weight).clamp(0, _BRIGHTEST)
    significance = torch.where(significance > _FAINTEST, significance, 0.0).square()
    # Cells from -theta_E to theta_E.
    unit = (2 / _CELLS) * theta_E[:, None, None]
    column = torch.floor((x - alpha_x) / unit + 0.5 * _CELLS)
    row = torch.floor((y - alpha_y) / unit + 0.5 * _CELLS)
    inside = (column >= 0) & (column < _CELLS) & (row >= 0) & (row < _CELLS)
    cell = (row * _CELLS + column).clamp(0, _CELLS**2 - 1).long().flatten(1)
    light = significance.repeat_interleave(count, 0) * inside
    maps = []
    for values in (light, inside.to(light)):
        empty = values.new_zeros(rows, _CELLS**2)
        maps.append(empty.scatter_add(1, cell, values.flatten(1)).unflatten(1, (_CELLS, _CELLS)))
    kernel = _gaussian(_SMOOTH).to(light)
    lit, rays = (fft_convolve(part, kernel).clamp_min(0) for part in maps)
    score = lit * torch.rsqrt(rays + 0.05)
    axis = (torch.arange(_CELLS, device=light.device) - 0.5 * (_CELLS - 1)).to(light) * (2 / _CELLS)
    found_x, found_y = [], []
    for _ in range(SOURCES):
        best = score.flatten(1).argmax(1)
        at_y, at_x = axis[best // _CELLS], axis[best % _CELLS]
        found_x.append(at_x * theta_E)
        found_y.append(at_y * theta_E)
        away = torch.hypot(axis - at_x[:, None, None], axis[:, None] - at_y[:, None, None])
        score = torch.where(away < _APART, 0.0, score)
    repeated = {"theta_E": theta_E, "e1": e1, "e2": e2}
    found = {name: v.repeat_interleave(SOURCES) for name, v in repeated.items()}
    found["source_center_x"] = torch.stack(found_x, 1).flatten()
    found["source_center_y"] = torch.stack(found_y, 1).flatten()
    return {name: value.view(batch, count * SOURCES) for name, value in found.items()}


def list_radii(arc_radius: Tensor) -> Tensor:
    """Einstein radii to be tried for arcs of these radii ``(B,)``: ``(B, RADII)``."""
    steps = torch.linspace(0, 1, RADII, dtype=arc_radius.dtype, device=arc_radius.device)
    return arc_radius[:, None] * _LEAST * (_MOST / _LEAST) ** steps


def _gaussian(sigma: float) -> Tensor:
    reach = math.ceil(3 * sigma)
    offset = torch.arange(-reach, reach + 1, dtype=torch.float64)
    line = torch.exp(-0.5 * (offset / sigma) ** 2)
    return line[:, None] * line / line.sum() ** 2
