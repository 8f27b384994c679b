"""Figure of super-resolved images beside their truth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from lensphys.ground.names import figure_text
from simulate.dataset.figures import extent, flux_ticks, save_figure, stretch


def draw_triptychs(
    path: Path,
    low: NDArray[np.float32],
    plain: NDArray[np.float32],
    predicted: NDArray[np.float32],
    truth: NDArray[np.float32],
    attrs: dict[str, Any],
    metrics: dict[str, float],
    rows: int = 3,
) -> Path:
    """Low resolution, bicubic, super-resolved and true image, a row an image, in arcsec."""
    rows = min(rows, len(truth))
    figure = Figure(figsize=(12.4, 2.75 * rows + 0.5), layout="constrained")
    axes = figure.subplots(rows, 4, squeeze=False, sharex=True, sharey=True)
    titles = [
        "low resolution",
        f"bicubic, {metrics['bicubic_psnr']:.2f} dB",
        f"super-resolved, {metrics['psnr']:.2f} dB",
        "high resolution (truth)",
    ]
    factor = truth.shape[-1] // low.shape[-1]
    norm = stretch(truth[:rows])
    drawn = None
    for i in range(rows):
        # The low-resolution pixels are larger: shown as flux in a high-resolution pixel's area.
        panels = (low[i, 0] / factor**2, plain[i, 0], predicted[i, 0], truth[i, 0])
        for ax, image, title in zip(axes[i], panels, titles, strict=True):
            edges = extent(truth.shape, float(attrs["pixel_scale"]))
            drawn = ax.imshow(image, origin="lower", extent=edges, norm=norm, cmap="magma")
            if i == 0:
                ax.set_title(title)
            if i == rows - 1:
                ax.set_xlabel("x [arcsec]")
        axes[i, 0].set_ylabel("y [arcsec]")
    if drawn is not None:
        bar = figure.colorbar(
            drawn, ax=axes, label=f"flux per pixel [{figure_text(attrs['unit'])}]"
        )
        flux_ticks(bar, *drawn.get_clim())
    save_figure(figure, path)
    return path
