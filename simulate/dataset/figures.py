"""Images in figures: edges, colour scales and their ticks, and files that are written whole."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colorbar import Colorbar
from matplotlib.colors import AsinhNorm
from matplotlib.figure import Figure
from numpy.typing import NDArray

from lensphys.ground.locks import replacing_alone


def extent(shape: tuple[int, ...], pixel_scale: float) -> tuple[float, float, float, float]:
    """Edges of an image in arcsec, as ``imshow`` takes them."""
    half_y, half_x = (n * pixel_scale / 2 for n in shape[-2:])
    return (-half_x, half_x, -half_y, half_y)


def stretch(images: NDArray[Any]) -> AsinhNorm:
    """One asinh colour scale for a set of images: linear near zero, logarithmic above."""
    top = float(np.quantile(images, 0.9995)) or 1.0
    return AsinhNorm(linear_width=top / 10, vmin=min(0.0, float(images.min())), vmax=top)


def flux_ticks(bar: Colorbar, low: float, high: float) -> None:
    """Few numbers on the colour bar of an asinh scale, none on top of another."""
    ticks = [low + (high - low) * part for part in (0.0, 0.05, 0.2, 0.5, 1.0)]
    shown = [tick if abs(tick) > 1e-3 * (high - low) else 0.0 for tick in ticks]
    bar.set_ticks(ticks, labels=[f"{n:.3g}" if abs(n) < 1e3 else f"{n:.0f}" for n in shown])
    bar.minorticks_off()


def save_figure(figure: Figure, path: Path, *, creator: str | None = None) -> None:
    """Write a figure as PNG, whole or not at all, the same bytes every time.

    Args:
        figure: to write.
        path: of the file.
        creator: text in the head of the file, by which it is known again.
    """
    FigureCanvasAgg(figure)
    drawn = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # a name in letters without a font
        figure.savefig(drawn, format="png", dpi=130, metadata={"Software": creator})
    with replacing_alone(path) as temporary:
        temporary.write_bytes(drawn.getvalue())
