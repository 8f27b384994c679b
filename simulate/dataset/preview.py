"""A picture of a data set at a glance: images of each class, counts, and parameters."""

from __future__ import annotations

import contextlib
import dataclasses
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.colors import FuncNorm
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from PIL import Image

from lensphys.ground.errors import InputError
from lensphys.ground.names import figure_text
from simulate.dataset.class_differences import class_difference
from simulate.dataset.columns import known_columns, unit
from simulate.dataset.figures import extent, flux_ticks, save_figure
from simulate.dataset.summary import Column, Summary, deflection_scale, summarize
from simulate.hdf5 import read_hdf5
from simulate.shard_form import AGAIN

#: Characters of a constant column and its value.
_NOTED = 100
#: Images of a class, and classes that are shown.
_COLUMNS, _CLASSES = 6, 8
#: Histograms below the images, and how many stand beside one another.
_PANELS, _ACROSS = 36, 6
#: Inches.
_WIDTH, _CELL, _PANEL_HEIGHT, _LEGEND_LINE = 12.0, 1.57, 1.8, 0.24
#: Classes beside one another in the legend.
_LEGEND_ACROSS = 4
#: Images whose brightness differs by less share a colour scale.
_LIKE = 8.0
#: Kolmogorov-Smirnov distance from which classes are drawn apart.
_DIFFER = 0.1
#: Colour of all classes together.
_GREY = "0.6"


def is_intact(folder: Path) -> bool:
    """The preview is there, and whole: PNG files carry checksums.

    Raises:
        OSError: for one that cannot be read, as for want of permission.
    """
    try:
        with Image.open(folder / "preview.png") as image:
            image.verify()
    except FileNotFoundError:
        return False
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        if getattr(error, "errno", None) is not None:
            raise
        return False
    return True


def write_preview(folder: Path, summary: Summary | None = None) -> Path:
    """Write ``preview.png``: images of each class in arcsec, class counts, and histograms.

    Histograms are of parameters that vary, the lens first; they are drawn per class where the
    classes differ. One colour scale serves all images if they are of like brightness; else each
    has its own.

    Args:
        folder: of the data set.
        summary: of the data set, if it has been made already.

    Raises:
        InputError: if the folder holds no data set.
    """
    summary = summary or summarize(folder, _COLUMNS)
    rows = _sample_images(summary)
    scores = {
        column.name: class_difference(column, len(summary.counts))
        for column in _find_varying(summary)
    }
    shown, rest = _choose_columns(_find_varying(summary), scores)
    notes = _notes(list(rows), summary, rest)

    n_rows, n_panel_rows = max(1, len(rows)), -(-len(shown) // _ACROSS)
    grid_top = 0.55 + n_rows * (_CELL + 0.08)
    legend_top = grid_top + 0.7
    panels_top = legend_top + _LEGEND_LINE * _legend_lines(summary) + 0.25
    height = panels_top + n_panel_rows * _PANEL_HEIGHT + 0.2 * len(notes) + 0.1
    page = _Page(Figure(figsize=(_WIDTH, height)), height)
    page.text(0.1, 0.3, _title(summary), size=13)
    _draw_images(page, rows, summary.attrs)
    _draw_legend(page, legend_top, summary)
    for i, column in enumerate(shown):
        line, place = divmod(i, _ACROSS)
        left, top = 0.2 + place * _WIDTH / _ACROSS, panels_top + line * _PANEL_HEIGHT
        ax = page.axes(left, top, _WIDTH / _ACROSS - 0.4, _PANEL_HEIGHT - 0.85)
        _draw_histogram(ax, column, summary, scores[column.name] > _DIFFER)
    for i, note in enumerate(notes):
        page.text(0.1, height - 0.2 * (len(notes) - i), note, size=9)
    path = folder / "preview.png"
    save_figure(page.figure, path)
    return path


def _find_varying(summary: Summary) -> list[Column]:
    """The columns to draw, of a quantity and its logarithm one."""
    names = {column.name for column in summary.columns}
    return [
        column
        for column in summary.columns
        if not column.constant and f"log10_{column.name}" not in names
    ]


def _choose_columns(
    columns: list[Column], scores: dict[str, float]
) -> tuple[list[Column], list[str]]:
    """The columns that are drawn, and the names of those for which there is no room.

    Known columns come in the order of the table, others by the difference between classes; columns
    that differ between classes come before those that do not.
    """
    table = known_columns()
    known = [column for column in columns if column.name in table]
    others = [column for column in columns if column.name not in table]
    order = known + sorted(others, key=lambda column: -_apart(scores[column.name]))
    first = sorted(order, key=lambda column: scores[column.name] <= _DIFFER)[:_PANELS]
    drawn = {column.name for column in first}
    return (
        [column for column in order if column.name in drawn],
        [column.name for column in order if column.name not in drawn],
    )


def _apart(score: float) -> float:
    return score if score > _DIFFER else 0.0


@dataclasses.dataclass(frozen=True)
class _Page:
    """A figure on which places are given in inches from the upper left corner."""

    figure: Figure
    height: float

    def axes(self, left: float, top: float, width: float, height: float) -> Axes:
        bottom = self.height - top - height
        return self.figure.add_axes(
            (left / _WIDTH, bottom / self.height, width / _WIDTH, height / self.height)
        )

    def swatch(self, left: float, middle: float, colour: str) -> None:
        """A patch of colour, in front of words."""
        corner = left / _WIDTH, 1 - (middle + 0.06) / self.height
        width, height = 0.25 / _WIDTH, 0.12 / self.height
        whole = self.figure.transFigure
        patch = Rectangle(corner, width, height, color=colour, transform=whole)
        self.figure.add_artist(patch)

    def text(self, left: float, middle: float, words: str, size: float) -> None:
        y = 1 - middle / self.height
        self.figure.text(left / _WIDTH, y, words, fontsize=size, va="center")


def _sample_images(summary: Summary) -> dict[str, list[NDArray[np.float32]]]:
    """The first images of the first classes that have any."""
    rows: dict[str, list[NDArray[np.float32]]] = {}
    for name, places in summary.samples.items():
        for shard, index in places:
            with (
                contextlib.suppress(InputError),  # what is damaged is named elsewhere
                read_hdf5(summary.folder / shard, AGAIN) as file,
            ):
                image = np.asarray(file["image"][index, 0], np.float32)
                if np.isfinite(image).any() and (name in rows or len(rows) < _CLASSES):
                    rows.setdefault(name, []).append(image)
    return rows


def _notes(drawn: list[str], summary: Summary, rest: list[str]) -> list[str]:
    """Lines about what the picture has no room for."""
    classes = [name for name, count in summary.counts.items() if count and name not in drawn]
    notes = []
    if constant := [column for column in summary.columns if column.constant]:
        words = ", ".join(figure_text(column.in_words, _NOTED) for column in constant)
        notes.append(f"Constant: {words}.")
    if words := deflection_scale(summary):
        notes.append(f"Deflections: {words}.")
    if len(summary.counts) > _CLASSES:
        notes.append(f"Colours are of the first {_CLASSES} of {len(summary.counts)} classes.")
    if classes:
        names = ", ".join(figure_text(name) for name in classes)
        notes.append(f"Classes without images here: {names}.")
    if rest:
        names = ", ".join(figure_text(name) for name in rest)
        notes.append(f"Parameters that vary too: {names}.")
    if summary.sampled:
        notes.append("Histograms are of a random sample of the images.")
    return [line for note in notes for line in textwrap.wrap(note, 150)]


def _title(summary: Summary) -> str:
    attrs = summary.attrs
    words = [f"Model {attrs['model']}" if attrs.get("model") else "", str(attrs.get("preset", ""))]
    words.append(str(attrs.get("instrument", "")))
    scale = _pixel_scale(attrs)
    words.append(f"{scale:g} arcsec/px" if scale else "")
    words.append(f"{summary.images:,} images")
    return figure_text(", ".join(word for word in words if word), 110)


def _pixel_scale(attrs: dict[str, Any]) -> float | None:
    """Arcsec, or None where it is not known."""
    scale = attrs.get("pixel_scale")
    return float(scale) if scale is not None and np.isfinite(scale) and scale > 0 else None


def _draw_images(page: _Page, rows: dict[str, list[NDArray[np.float32]]], attrs: Any) -> None:
    limits = {name: [_limits(image) for image in images] for name, images in rows.items()}
    every = [pair for pairs in limits.values() for pair in pairs]
    spans = [high - low for low, high in every]
    shared = not every or max(spans) < _LIKE * min(spans)
    if shared and every:
        common = min(low for low, _ in every), max(high for _, high in every)
        limits = {name: [common] * len(pairs) for name, pairs in limits.items()}
    scale = _pixel_scale(attrs)
    drawn: AxesImage | None = None
    for row, (name, images) in enumerate(rows.items()):
        for place, (image, (low, high)) in enumerate(zip(images, limits[name], strict=True)):
            ax = page.axes(0.95 + place * (_CELL + 0.08), 0.55 + row * (_CELL + 0.08), _CELL, _CELL)
            value = image if shared else (image - low) / (high - low)
            norm = _asinh(low, high) if shared else _asinh(0.0, 1.0)
            edges = extent(image.shape, scale or 1.0)
            drawn = ax.imshow(value, origin="lower", extent=edges, norm=norm, cmap="magma")
            ax.tick_params(labelsize=8, labelleft=not place, labelbottom=row == len(rows) - 1)
            ax.locator_params(nbins=4)
            if not shared:
                ax.text(
                    0.04, 0.95, f"peak {high:.3g}", color="white", fontsize=8, va="top",
                    transform=ax.transAxes,
                    bbox={"facecolor": "black", "alpha": 0.6, "linewidth": 0, "pad": 1.5},
                )  # fmt: skip
            length = "arcsec" if scale else "pixels"
            if not place:
                ax.set_ylabel(f"{figure_text(name, 18)}\ny [{length}]", fontsize=9)
            if row == len(rows) - 1:
                ax.set_xlabel(f"x [{length}]", fontsize=9)
    if drawn is None:
        return
    tall = min(len(rows), 4) * (_CELL + 0.08) - 0.08
    bar = page.figure.colorbar(drawn, cax=page.axes(_WIDTH - 1.1, 0.55, 0.13, tall))
    low, high = next(iter(limits.values()))[0] if shared else (0.0, 1.0)
    flux_ticks(bar, low, high)
    bar.ax.tick_params(labelsize=8)
    flux = figure_text(attrs.get("unit", "?"))
    each = f"from the sky to the peak of each image;\npeaks in {flux}"
    bar.set_label(f"flux per pixel [{flux}]" if shared else each, fontsize=9)


def _limits(image: NDArray[np.float32]) -> tuple[float, float]:
    """The sky and the peak of an image, whatever single pixels do."""
    values = image[np.isfinite(image)]
    low, high = (float(level) for level in np.quantile(values, [0.02, 0.9995]))
    return low, high if high > low else low + 1.0


def _asinh(low: float, high: float) -> FuncNorm:
    """Linear near the sky, logarithmic above, also where the sky is far from zero."""
    width = (high - low) / 10
    return FuncNorm(
        (lambda v: np.arcsinh((v - low) / width), lambda v: low + width * np.sinh(v)),
        vmin=low,
        vmax=high,
    )


def _legend_lines(summary: Summary) -> int:
    return -(-(min(len(summary.counts), _CLASSES) + 1) // _LEGEND_ACROSS)


def _draw_legend(page: _Page, top: float, summary: Summary) -> None:
    """The colour and the number of images of each class; once, for all histograms."""
    names = list(summary.counts)[:_CLASSES]
    entries = [
        (
            f"{figure_text(name, 24)}: {summary.counts[name]:,} images",
            _colour(i) if len(names) > 1 else _GREY,
        )
        for i, name in enumerate(names)
    ]
    if len(names) > 1:
        entries.append(("all classes, where they are alike", _GREY))
    for i, (words, colour) in enumerate(entries):
        line, place = divmod(i, _LEGEND_ACROSS)
        left, middle = 0.2 + place * (_WIDTH - 0.4) / _LEGEND_ACROSS, top + line * _LEGEND_LINE
        page.swatch(left, middle, colour)
        page.text(left + 0.35, middle, words, size=10)


def _draw_histogram(ax: Axes, column: Column, summary: Summary, apart: bool) -> None:
    """Draw a histogram of all images, or of each class to its own height where they differ."""
    values, labels = column.values, column.labels
    positive = values[values > 0]
    # A long tail, as of masses; not a uniform distribution that comes close to zero.
    wide = column.low >= 0 and len(positive) > 1
    wide = wide and (
        unit(column.name) == "solar masses"
        or bool(np.quantile(positive, 0.95) > 5 * np.median(positive))
    )
    bins = _bins(positive if wide else values, wide)
    if apart:
        for i in range(min(len(summary.counts), _CLASSES)):
            mine = values[labels == i]
            inside = mine[mine > 0] if wide else mine
            if len(inside):
                # To its own height: where a class has one value only, the others stay visible.
                counts, _ = np.histogram(inside, bins)
                ax.stairs(counts / max(counts.max(), 1), bins, color=_colour(i), lw=1.3)
    else:
        ax.hist(values, bins, color=_GREY)
    ax.set(yticks=[], xscale="log" if wide else "linear")
    ax.tick_params(labelsize=8)
    if wide:
        _sparse_ticks(ax, bins[-1] / bins[0])
    else:
        ax.locator_params(axis="x", nbins=4)
        ax.xaxis.set_major_formatter(lambda value, _: f"{value:.4g}")
    zeros = np.count_nonzero(values == 0) / len(values) if wide else 0.0
    words = [f"[{unit(column.name)}]" if unit(column.name) else ""]
    words.append(f"(0 in {zeros:.0%})" if zeros else "")
    if len(present := np.unique(labels)) == 1 < len(summary.counts) and present[0] >= 0:
        words.append(f"({figure_text(list(summary.counts)[present[0]], 18)})")
    below = " ".join(word for word in words if word)
    ax.set_xlabel(f"{figure_text(column.name, 30)}\n{below}".rstrip(), fontsize=9)


def _sparse_ticks(ax: Axes, ratio: float) -> None:
    """Label each decade of a logarithmic axis, or more where there are few."""
    subs = (1.0,) if ratio > 30 else (1.0, 2.0, 5.0)
    ax.xaxis.set_major_locator(ticker.LogLocator(subs=subs, numticks=4 if ratio > 30 else 8))
    ax.xaxis.set_minor_formatter(ticker.NullFormatter())
    if ratio <= 30:
        ax.xaxis.set_major_formatter(
            lambda value, _: f"{value:.0e}".replace("e+0", "e").replace("e+", "e")
        )


def _bins(values: NDArray[np.float64], wide: bool) -> list[float]:
    low, high = float(values.min()), float(values.max())
    if wide:
        return list(np.geomspace(low, high, 31))
    if high - low < 40 and (values == np.round(values)).all():
        return list(np.arange(low - 0.5, high + 1.0))
    return list(np.linspace(low, high if high > low else low + 1.0, 31))


def _colour(index: int) -> str:
    return f"C{index % 10}"
