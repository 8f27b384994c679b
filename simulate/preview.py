"""A picture of a data set at a glance: images of each class, counts, and parameters."""

from __future__ import annotations

import contextlib
import dataclasses
import textwrap
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import AsinhNorm, FuncNorm
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from numpy.typing import NDArray
from PIL import Image
from scipy.stats import ks_2samp

from simulate.shards import replacing
from simulate.summary import Column, Summary, summarize

#: Images of a class, and classes that are shown.
_COLUMNS, _CLASSES = 6, 8
#: Panels below the images, and how many stand beside one another.
_PANELS, _ACROSS = 20, 5
#: Inches.
_WIDTH, _CELL, _PANEL_HEIGHT = 12.0, 1.57, 1.75
#: Images whose brightness differs by less share a colour scale.
_LIKE = 8.0
#: Kolmogorov-Smirnov distance from which classes are drawn apart.
_DIFFER = 0.1


def extent(shape: tuple[int, ...], pixel_scale: float) -> tuple[float, float, float, float]:
    """Edges of an image in arcsec, as ``imshow`` takes them."""
    half_y, half_x = (n * pixel_scale / 2 for n in shape[-2:])
    return (-half_x, half_x, -half_y, half_y)


def stretch(images: NDArray[Any]) -> AsinhNorm:
    """One asinh colour scale for a set of images: linear near zero, logarithmic above."""
    top = float(np.quantile(images, 0.9995)) or 1.0
    return AsinhNorm(linear_width=top / 10, vmin=min(0.0, float(images.min())), vmax=top)


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, whole or not at all, the same bytes every time."""
    FigureCanvasAgg(figure)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=130, metadata={"Software": None})


def intact(folder: Path) -> bool:
    """The preview is there, and whole: PNG files carry checksums."""
    try:
        with Image.open(folder / "preview.png") as image:
            image.verify()
    except (OSError, SyntaxError, ValueError, EOFError):
        return False
    return True


def write_preview(folder: Path, summary: Summary | None = None) -> Path:
    """Write ``preview.png``: images of each class in arcsec, class counts, and histograms.

    Histograms are of parameters that vary, those in which the classes differ most first; they are
    drawn per class where the classes differ. One colour scale serves all images if they are of
    like brightness; else each has its own.

    Args:
        folder: of the data set.
        summary: of the data set, if it has been made already.

    Raises:
        InputError: where the folder holds no data set.
    """
    summary = summary or summarize(folder, _COLUMNS)
    rows = _sample_images(summary)
    panels = [column for column in summary.columns if not column.constant]
    scores = {column.name: _difference(column, len(summary.counts)) for column in panels}
    panels.sort(key=lambda column: -scores[column.name] if scores[column.name] > _DIFFER else 0.0)
    shown, rest = panels[: _PANELS - 1], panels[_PANELS - 1 :]
    notes = _notes(list(rows), summary, [column.name for column in rest])

    n_rows, n_panel_rows = max(1, len(rows)), -(-(len(shown) + 1) // _ACROSS)
    grid_top = 0.55 + n_rows * (_CELL + 0.08)
    height = grid_top + 0.8 + n_panel_rows * _PANEL_HEIGHT + 0.2 * len(notes)
    page = _Page(Figure(figsize=(_WIDTH, height)), height)
    page.text(0.1, 0.3, _title(summary), size=13)
    _draw_images(page, rows, summary.attrs)
    for i, column in enumerate([None, *shown]):
        line, place = divmod(i, _ACROSS)
        left, top = 0.45 + place * _WIDTH / _ACROSS, grid_top + 0.7 + line * _PANEL_HEIGHT
        ax = page.axes(left, top, _WIDTH / _ACROSS - 0.6, _PANEL_HEIGHT - 0.75)
        if column is None:
            _draw_counts(ax, summary.counts)
        else:
            _draw_histogram(ax, column, summary, scores[column.name] > _DIFFER)
    for i, note in enumerate(notes):
        page.text(0.1, height - 0.2 * (len(notes) - i) + 0.1, note, size=9)
    path = folder / "preview.png"
    save_figure(page.figure, path)
    return path


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

    def text(self, left: float, middle: float, words: str, size: float) -> None:
        y = 1 - middle / self.height
        self.figure.text(left / _WIDTH, y, words, fontsize=size, va="center")


def _sample_images(summary: Summary) -> dict[str, list[NDArray[np.float32]]]:
    """The first images of the first classes that have any."""
    rows: dict[str, list[NDArray[np.float32]]] = {}
    for name, places in summary.samples.items():
        for shard, index in places:
            with (
                contextlib.suppress(OSError, KeyError, ValueError, RuntimeError),
                h5py.File(summary.folder / shard, "r") as file,
            ):
                image = file["image"][index, 0]
                if np.isfinite(image).any() and (name in rows or len(rows) < _CLASSES):
                    rows.setdefault(name, []).append(image)
    return rows


def _notes(drawn: list[str], summary: Summary, rest: list[str]) -> list[str]:
    """What the picture does not show, in lines that fit on it."""
    classes = [name for name, count in summary.counts.items() if count and name not in drawn]
    notes = []
    if classes:
        notes.append(f"Classes without images here: {', '.join(classes)}.")
    if rest:
        notes.append(f"Parameters that vary too: {', '.join(rest)}.")
    if summary.sampled:
        notes.append("Histograms are of a random sample of the images.")
    return [line for note in notes for line in textwrap.wrap(note, 150)]


def _short(name: str, most: int) -> str:
    return name if len(name) <= most else f"{name[: most - 1]}…"


def _title(summary: Summary) -> str:
    attrs = summary.attrs
    words = [f"Model {attrs['model']}" if attrs.get("model") else "", str(attrs.get("preset", ""))]
    words.append(str(attrs.get("instrument", "")))
    scale = _pixel_scale(attrs)
    words.append(f"{scale:g} arcsec/px" if scale else "")
    words.append(f"{summary.images:,} images")
    return _short(", ".join(word for word in words if word), 110)


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
            unit = "arcsec" if scale else "pixels"
            if not place:
                ax.set_ylabel(f"{_short(name, 18)}\ny [{unit}]", fontsize=9)
            if row == len(rows) - 1:
                ax.set_xlabel(f"x [{unit}]", fontsize=9)
    if drawn is None:
        return
    tall = min(len(rows), 4) * (_CELL + 0.08) - 0.08
    bar = page.figure.colorbar(drawn, cax=page.axes(_WIDTH - 1.1, 0.55, 0.13, tall))
    low, high = next(iter(limits.values()))[0] if shared else (0.0, 1.0)
    ticks = [low + (high - low) * part for part in (0.0, 0.05, 0.2, 0.5, 1.0)]
    words = [f"{tick:.3g}" if abs(tick) > 1e-3 * (high - low) else "0" for tick in ticks]
    bar.set_ticks(ticks, labels=words)
    bar.ax.tick_params(labelsize=8)
    unit = attrs.get("unit", "?")
    label = f"flux per pixel [{unit}]" if shared else "from the sky to the peak of each image"
    bar.set_label(label, fontsize=9)


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


def _draw_counts(ax: Axes, counts: dict[str, int]) -> None:
    names, most = list(counts)[:_CLASSES], max([1, *counts.values()])
    for i, name in enumerate(names):
        ax.barh(i, counts[name], color=_colour(i), alpha=0.6, height=0.7)
        label = f"{_short(name, 18)}: {counts[name]:,}"
        ax.text(0.02 * most, i, label, va="center", fontsize=8 if len(names) < 6 else 7)
    ax.set(xlim=(0, most), yticks=[], ylim=(len(names) - 0.4, -0.6))
    ax.tick_params(labelsize=8)
    ax.locator_params(axis="x", nbins=4)
    more = f" (first {_CLASSES} of {len(counts)} classes)" if len(counts) > _CLASSES else ""
    ax.set_xlabel(f"images{more}", fontsize=9)


def _draw_histogram(ax: Axes, column: Column, summary: Summary, apart: bool) -> None:
    """Of all images where the classes are alike, else of each class, each to its own height."""
    values, labels = column.values, column.labels
    positive = values[values > 0]
    # A long tail, as of masses; not a uniform distribution that comes close to zero.
    wide = column.low >= 0 and len(positive) > 1
    wide = wide and bool(np.quantile(positive, 0.95) > 5 * np.median(positive))
    bins = _bins(positive if wide else values, wide)
    if apart:
        for i in range(min(len(summary.counts), _CLASSES)):
            mine = values[labels == i]
            inside = mine[mine > 0] if wide else mine
            if len(inside):
                weights = np.full(len(inside), 1 / len(mine))
                ax.hist(inside, bins, weights=weights, histtype="step", color=_colour(i), lw=1.3)
    else:
        ax.hist(values, bins, color="0.6")
    ax.set(yticks=[], xscale="log" if wide else "linear")
    ax.tick_params(labelsize=8)
    if not wide:
        ax.locator_params(axis="x", nbins=4)
        ax.xaxis.set_major_formatter(lambda value, _: f"{value:.4g}")
    zeros = np.count_nonzero(values == 0) / len(values) if wide else 0.0
    words = [_short(column.name, 30), f"(0 in {zeros:.0%})" if zeros else ""]
    if len(present := np.unique(labels)) == 1 < len(summary.counts) and present[0] >= 0:
        words.append(f"({list(summary.counts)[present[0]]})")
    ax.set_xlabel(" ".join(word for word in words if word), fontsize=9)


def _bins(values: NDArray[np.float64], wide: bool) -> list[float]:
    low, high = float(values.min()), float(values.max())
    if wide:
        return list(np.geomspace(low, high, 31))
    if high - low < 40 and (values == np.round(values)).all():
        return list(np.arange(low - 0.5, high + 1.0))
    return list(np.linspace(low, high if high > low else low + 1.0, 31))


def _difference(column: Column, classes: int) -> float:
    """How far a parameter tells the classes apart: the largest Kolmogorov-Smirnov distance.

    Between a class and the others together, where it is beyond chance; 0 where there is nothing to
    compare.
    """
    greatest = 0.0
    for i in range(classes):
        mine = column.labels == i
        if mine.any() and not mine.all():
            result = ks_2samp(column.values[mine], column.values[~mine], method="asymp")
            if result.pvalue < 1e-4:
                greatest = max(greatest, float(result.statistic))
    return greatest


def _colour(index: int) -> str:
    return f"C{index % 10}"
