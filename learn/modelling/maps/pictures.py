"""The picture of a lens: image, model and residual, the source in its plane, and least masses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from astropy.wcs import WCS
from matplotlib.axes import Axes
from matplotlib.colors import AsinhNorm, LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patheffects import withStroke

from learn.modelling.maps.maps import LensMaps, Map, SourceMap, nice_length
from learn.modelling.tables.columns import per_area
from learn.modelling.tables.row_files import CREATOR
from learn.modelling.tables.rows import Row, with_error
from learn.modelling.tables.sky import find_sky
from lensphys.ground.names import figure_text
from simulate.dataset.figures import extent, flux_ticks, save_figure, stretch

#: Inches of the figure, and colour scale of residuals, in sigma.
_SIZE, _SIGMAS = (12.0, 7.25), 5.0
#: Characters of a line of flags, and of the name of a lens.
_FLAGS, _NAME = 130, 48
#: Lengths of the arrows to North and East, and their place, as parts of the width of the image.
_ARROW, _CORNER = 0.1, 0.16
#: Colour of masked pixels.
_MASKED = "0.75"
#: Panels, placed by hand, since matplotlib's search for a layout takes as long as all the rest:
#: left and lower ends, sides in inches, and the width of a colour bar, in that of the figure.
_LEFT, _LOW, _SIDE, _BAR = (0.05, 0.372, 0.694), (0.51, 0.062), 2.55, 0.011


def draw_lens(path: Path, maps: LensMaps, row: Row, wcs: WCS | None) -> Path:
    """Draw one lens on six panels, and write the PNG, whole or not at all.

    Image, image less lens light, model, residual, source plane, and least mass (or the lensed
    source, where nothing was searched). Critical curves are drawn on the image plane, caustics on
    the source plane.

    Args:
        path: to write to.
        maps: of the lens.
        row: of the lens in the table, for the title.
        wcs: of the pixels of the image, for the arrows to North and East; None: not known.
    """
    pixel_scale = float(str(row.values["pixel_scale"]))
    unit = str(row.values["flux_unit"] or "flux")
    edges = extent(maps.image.shape, pixel_scale)
    figure = Figure(figsize=_SIZE)
    title, flags = make_title(row)
    figure.text(0.5, 0.985, title, fontsize=13, ha="center", va="top")
    figure.text(0.5, 0.945, flags, fontsize=10, ha="center", va="top")
    image, arcs, model, residual, source, last = _make_panels(figure)
    noise = float(np.median(_known(maps.noise)))
    bright, faint = _stretch(maps.model, noise), _stretch(maps.lensed_source, noise)
    remains = maps.image - maps.lens_light - maps.sky
    shown = [
        (image, maps.image, bright, "image"),
        (arcs, remains, faint, "image less lens light"),
        (model, maps.model, bright, "model"),
    ]
    for ax, values, norm, title in shown:
        _bar(_draw(ax, values, edges, norm, title), unit)
    sigmas = Normalize(-_SIGMAS, _SIGMAS)
    chi2 = row.values["chi2_dof"]
    title = "residual" if chi2 is None else f"residual, $\\chi^2$/dof {chi2:.2f}"
    drawn = _draw(residual, maps.residual, edges, sigmas, title, cmap="RdBu_r")
    _bar(drawn, "sigma")
    if maps.least_mass is None:
        _bar(_draw(last, maps.lensed_source, edges, faint, "lensed source"), unit)
    else:
        _draw_least_mass(last, maps, edges)
    for ax in (image, arcs, model, last):
        _draw_critical(ax, maps, "black" if ax is last and maps.least_mass is not None else "white")
    _draw_critical(residual, maps, "black")
    for ax in (image, arcs, model, residual, last):
        ax.set(xlim=edges[:2], ylim=edges[2:], xlabel="x [arcsec]", ylabel="y [arcsec]")
    _draw_compass(image, maps.image, wcs, pixel_scale)
    _draw_source(source, maps, unit)
    save_figure(figure, path, creator=CREATOR)
    return path


def make_title(row: Row) -> tuple[str, str]:
    """Name and Einstein radius with its error; and the flags in words, empty where it has none."""
    values = row.values
    line = figure_text(row.name, _NAME)
    if "theta_E" in values:
        radius = with_error(values["theta_E"], values["theta_E_error"])
        line += f"   $\\theta_E$ = {radius} arcsec"
    flags = f"flags: {figure_text('; '.join(row.flags), _FLAGS)}" if row.flags else ""
    return line, flags


def _make_panels(figure: Figure) -> list[Axes]:
    """The panels of a figure, row by row."""
    width, height = (_SIDE / side for side in _SIZE)
    return [figure.add_axes((left, low, width, height)) for low in _LOW for left in _LEFT]


def _known(values: Map) -> Map:
    known = values[np.isfinite(values)]
    return known if known.size else np.zeros(1)


def _stretch(values: Map, noise: float) -> AsinhNorm:
    """Colours from below the noise to the brightest: linear in the noise, logarithmic above."""
    top = max(float(values.max()), 3 * noise)
    return AsinhNorm(linear_width=max(3 * noise, top / 100), vmin=-2 * noise, vmax=top)


def _draw(
    ax: Axes,
    values: Map,
    edges: tuple[float, float, float, float],
    norm: Normalize,
    title: str,
    cmap: str = "magma",
) -> AxesImage:
    ax.set_facecolor(_MASKED)
    drawn = ax.imshow(values, origin="lower", extent=edges, norm=norm, cmap=cmap)
    ax.set_title(title, fontsize=11)
    ax.tick_params(labelsize=8)
    return drawn


def _bar(drawn: AxesImage, label: str) -> None:
    """A colour bar to the right of a map."""
    assert drawn.axes is not None
    figure = drawn.axes.figure
    left, bottom, width, height = drawn.axes.get_position().bounds
    place = figure.add_axes((left + width + 0.008, bottom, _BAR, height))
    bar = figure.colorbar(drawn, cax=place)
    if isinstance(drawn.norm, AsinhNorm):
        flux_ticks(bar, *drawn.get_clim())
    place.set_title(figure_text(label, 24), fontsize=8, loc="left", pad=4)
    bar.ax.tick_params(which="both", labelsize=8)


def _draw_least_mass(ax: Axes, maps: LensMaps, edges: tuple[float, float, float, float]) -> None:
    """The least mass that would be seen in each place, on a logarithmic scale."""
    assert maps.least_mass is not None
    values = np.where(np.isfinite(maps.image) & (maps.least_mass > 0), maps.least_mass, np.nan)
    known = _known(values)
    low = float(known.min()) or 1.0
    norm = LogNorm(low, max(10 * low, min(1e3 * low, float(known.max()))))
    drawn = _draw(ax, values, edges, norm, "least mass seen at 5 sigma", cmap="viridis_r")
    _bar(drawn, "solar masses" if maps.mass_unit == "solMass" else "arcsec^2")


def _draw_critical(ax: Axes, maps: LensMaps, colour: str) -> None:
    for curve in maps.curves:
        ax.plot(curve.x, curve.y, color=colour, linewidth=0.9, alpha=0.9)


def _draw_source(ax: Axes, maps: LensMaps, unit: str) -> None:
    """The source with the caustics, and a bar for its scale."""
    source = maps.source
    edges = _source_edges(source)
    drawn = _draw(ax, source.brightness, edges, stretch(source.brightness), "source plane")
    _bar(drawn, per_area(unit))
    for curve in maps.curves:
        ax.plot(curve.beta_x, curve.beta_y, color="white", linewidth=0.9, alpha=0.9)
    ax.set(xlim=edges[:2], ylim=edges[2:])
    ax.set(xlabel=r"$\beta_x$ [arcsec]", ylabel=r"$\beta_y$ [arcsec]")
    width = edges[1] - edges[0]
    length = nice_length(width)
    left, low = edges[0] + 0.06 * width, edges[2] + 0.07 * width
    outline = [withStroke(linewidth=3.0, foreground="black")]
    ax.plot([left, left + length], [low, low], color="white", linewidth=2, path_effects=outline)
    style: dict[str, Any] = {
        "color": "white",
        "fontsize": 9,
        "ha": "center",
        "path_effects": outline,
    }
    ax.text(left + length / 2, low + 0.025 * width, f'{length:g}"', **style)


def _source_edges(source: SourceMap) -> tuple[float, float, float, float]:
    half = 0.5 * source.pixel_scale * len(source.brightness)
    x, y = source.center
    return (x - half, x + half, y - half, y + half)


def _draw_compass(ax: Axes, image: Map, wcs: WCS | None, pixel_scale: float) -> None:
    """Arrows to North and East in the lower right corner."""
    ny, nx = image.shape
    sky = find_sky(wcs, (ny, nx), pixel_scale)
    if sky is None:
        return
    half_x, half_y = 0.5 * nx * pixel_scale, 0.5 * ny * pixel_scale
    size = 2 * min(half_x, half_y)
    arrows = {name: sky.direction(angle) for name, angle in (("N", 0.0), ("E", 90.0))}
    # The corner leaves room on the side that the arrows point to.
    sum_x, sum_y = (sum(arrow[k] for arrow in arrows.values()) for k in (0, 1))
    x = half_x - _CORNER * size * (1.5 if sum_x > 0 else 0.6)
    y = -half_y + _CORNER * size * (1.5 if sum_y < 0 else 0.6)
    outline = [withStroke(linewidth=2.5, foreground="black")]
    for name, (across, along) in arrows.items():
        end = x + _ARROW * size * across, y + _ARROW * size * along
        arrow: dict[str, Any] = {
            "arrowstyle": "-|>",
            "color": "white",
            "path_effects": outline,
            "shrinkB": 0,
        }
        ax.annotate("", end, (x, y), arrowprops=arrow)
        place = x + 1.45 * _ARROW * size * across, y + 1.45 * _ARROW * size * along
        style: dict[str, Any] = {"color": "white", "fontsize": 9, "ha": "center", "va": "center"}
        ax.text(*place, name, path_effects=outline, **style)
