"""Picture of a fit: image, model, residual, and the source plane."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from lensphys.caustics import CriticalCurve, critical_curves
from lensphys.grid import pixel_grid
from lensphys.lens import ThinLens
from lensphys.mass.base import MassProfile
from lensphys.parameters import parameter_fields

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from lensphys.fitting.result import FitResult

#: Pixels along a side of the source plane that is drawn, and its width, in Einstein radii.
_SOURCE_PIXELS, _SOURCE_WIDTH = 160, 1.6
#: Windows that critical curves are sought in, in fields.
_WINDOWS = (1.0, 2.0)


@torch.no_grad()
def plot(result: FitResult, index: int = 0) -> Figure:
    """Draw one fit of a batch.

    Image, model and residual; with lens light the image without it and the lensed source; and the
    source with its caustics. Critical curves are white, caustics too. The figure is not shown:
    ``figure.savefig("fit.png")``, or the last line of a cell of a notebook.

    Args:
        result: of :func:`lensphys.fit`.
        index: image of the batch.
    """
    from matplotlib.figure import Figure

    problem = result.problem
    masked = (problem.weight[index] == 0).cpu().numpy()
    image = np.where(masked, np.nan, problem.images[index].cpu().numpy())
    parts = {name: _array(part[index]) for name, part in result.parts().items()}
    curves = _find_curves(result, index)
    width = problem.pixels.pixel_scale * np.array(problem.pixels.shape[::-1])
    panels = [("image", image), ("model", _array(result.model[index]))]
    residual = np.where(masked, np.nan, _array(result.residual[index]))
    if result.lens_light is not None:
        own = parts["lens_light"] + parts["sky"]
        panels += [("image less lens light", image - own), ("lensed source", parts["source"])]
    rows = len(panels) // 2
    columns = (len(panels) + 2) // rows
    figure = Figure(figsize=(3.3 * columns, 3.2 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for ax, (title, shown) in zip(axes, panels, strict=False):
        scale = panels[0][1] if title in ("image", "model") else shown
        _show(figure, ax, shown, width, title, vmin=0.0, vmax=_brightest(scale))
    for curve in curves:
        axes[0].plot(curve.x, curve.y, "w-", lw=0.7)
    most = {"cmap": "RdBu_r", "vmin": -5, "vmax": 5}
    _show(figure, axes[len(panels)], residual, width, "residual / sigma", **most)
    _draw_source(figure, axes[len(panels) + 1], result, index, curves)
    figure.suptitle(f"lens {index}: chi^2/dof {float(result.chi2_dof[index]):.2f}", fontsize=10)
    return figure


def _draw_source(
    figure: Figure, ax: Any, result: FitResult, index: int, curves: Sequence[CriticalCurve]
) -> None:
    pixels = result.problem.pixels
    radius = result.params.get("theta_E", torch.full_like(result.chi2_dof, pixels.pixel_scale))
    half = 0.5 * _SOURCE_WIDTH * float(radius[index])
    at = [float(result.params[f"source_center_{axis}"][index]) for axis in "xy"]
    grid = pixel_grid(_SOURCE_PIXELS, 2 * half / _SOURCE_PIXELS)
    x, y = (v.to(result.model) + middle for v, middle in zip(grid, at, strict=True))
    profiles = result.source if isinstance(result.source, Sequence) else (result.source,)
    total = torch.zeros_like(result.model[:, :1, :1])
    for profile in profiles:
        total = total + profile.surface_brightness(x, y)
    shown = _array(total[index])
    extent = (at[0] - half, at[0] + half, at[1] - half, at[1] + half)
    _show(figure, ax, shown, extent, "source", vmin=0.0, vmax=_brightest(shown))
    for curve in curves:
        ax.plot(curve.beta_x, curve.beta_y, "w-", lw=0.7)
    ax.set(xlim=extent[:2], ylim=extent[2:])


def _show(figure: Figure, ax: Any, image: Any, width: Any, title: str, **how: Any) -> None:
    if len(width) == 2:
        width = (-width[0] / 2, width[0] / 2, -width[1] / 2, width[1] / 2)
    how = {"cmap": "magma", "origin": "lower", "extent": width, "interpolation": "nearest"} | how
    drawn = ax.imshow(image, **how)
    figure.colorbar(drawn, ax=ax, shrink=0.75)
    ax.set_title(title, fontsize=9)
    ax.set_xlabel("arcsec", fontsize=8)
    ax.tick_params(labelsize=7)


def _brightest(image: Any) -> float:
    """Brightness of the upper end of the scale; one bad pixel does not set it."""
    return max(float(np.nanquantile(image, 0.998)), 1e-12)


def _array(values: Tensor) -> Any:
    return values.detach().double().cpu().numpy()


def _find_curves(result: FitResult, index: int) -> list[CriticalCurve]:
    """Critical curves of one lens; none where they leave the field."""
    pixels = result.problem.pixels
    try:
        lens = ThinLens([_take(part, index) for part in result.lens.deflectors])
    except ValueError:  # a scene of light alone
        return []
    for window in _WINDOWS:
        try:
            return critical_curves(lens, window=window * pixels.pixel_scale * min(pixels.shape))
        except ValueError:
            continue
    return []


def _take(profile: Any, index: int) -> Any:
    """Profile of one image of a batch, in double precision."""
    if not isinstance(profile, MassProfile):
        return profile
    values = {field.name: getattr(profile, field.name) for field in parameter_fields(profile)}
    single = {
        name: value.detach().double().cpu()[index if len(value) > 1 else 0]
        for name, value in values.items()
        if isinstance(value, Tensor) and value.ndim
    }
    return dataclasses.replace(profile, **single)
