"""A picture of a data set: sample images of each class."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import AsinhNorm
from matplotlib.figure import Figure
from numpy.typing import NDArray

from simulate.shards import replacing

_COLUMNS = 6


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


def write_preview(folder: Path, shard: str) -> Path:
    """Write ``preview.png``: the first images of each class of a shard, in arcsec."""
    with h5py.File(folder / shard, "r") as file:
        # Classes alternate, so the first few rows hold enough of each.
        count = min(len(file["label"]), _COLUMNS * len(file.attrs["label_names"]))
        image, label = file["image"][:count, 0], file["label"][:count]
        attrs = dict(file.attrs)
    names = [str(name) for name in attrs["label_names"]]
    figure = Figure(figsize=(1.7 * _COLUMNS + 1.4, 1.75 * len(names) + 0.9), layout="constrained")
    axes = figure.subplots(len(names), _COLUMNS, squeeze=False, sharex=True, sharey=True)
    norm = stretch(image)
    drawn = None
    for row, name in enumerate(names):
        chosen = np.flatnonzero(label == row)[:_COLUMNS]
        for column, ax in enumerate(axes[row]):
            if column >= len(chosen):
                ax.set_visible(False)
                continue
            edges = extent(image.shape, float(attrs["pixel_scale"]))
            drawn = ax.imshow(
                image[chosen[column]], origin="lower", extent=edges, norm=norm, cmap="magma"
            )
            if column == 0:
                ax.set_ylabel(f"{name}\ny [arcsec]")
            if row == len(names) - 1:
                ax.set_xlabel("x [arcsec]")
    title = f"Model {attrs['model']}, preset {attrs['preset']}, {attrs['pixel_scale']:g} arcsec/px"
    figure.suptitle(title)
    if drawn is not None:
        figure.colorbar(drawn, ax=axes, label=f"flux per pixel [{attrs['unit']}]", shrink=0.9)
    path = folder / "preview.png"
    save_figure(figure, path)
    return path
