"""Report on the lens fits of a data set: numbers and a picture."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

import lensphys as lp
from learn.lens_fits.channels import CHANNELS
from learn.lens_fits.lens_fits import LensFits
from lensphys.fitting.scene import LensScene
from lensphys.ground.files import write_text
from simulate.dataset.figures import extent, flux_ticks, save_figure, stretch
from simulate.dataset.photometry import Photometry
from simulate.shards import DataSet

REPORT, PICTURE = "lens_fits.json", "lens_fits.png"
#: Images that are shown: at these quantiles of chi^2.
_SHOWN = (0.1, 0.5, 0.9)
#: Colour scale of residuals, in sigma; half width of the source plane, in half-light radii.
_SIGMAS, _RADII = 5.0, 3.0
#: Half width of the source plane of an expansion, in Einstein radii; and the least response of the
#: pixels that are drawn there, over the largest.
_EXPANDED, _ARCS = 0.5, 0.03
#: Least range of the colours of a S/N.
_LEAST_SEARCHED = 5.0


def measure_fits(data: DataSet, fits: LensFits) -> dict[str, Any]:
    """Quality of the lens fits of a data set.

    Returns:
        ``images``, the fraction ``converged``, quantiles of ``chi2_dof``, and if the labels hold
        the Einstein radius ``theta_E_error``, the median of the modulus of the error in arcsec, and
        ``theta_E_pull``, the median of that in units of the errors that the fits state.
    """
    low, median, high = np.quantile(fits.chi2_dof.numpy(), [0.05, 0.5, 0.95]).tolist()
    metrics: dict[str, Any] = {
        "images": len(data),
        "converged": float(fits.converged.numpy().mean()),
        "chi2_dof": {"q05": low, "median": median, "q95": high},
    }
    truth = data.params.get("theta_E")
    if truth is not None and np.isfinite(truth).any():
        truth = truth * float(data.attrs.get("alpha_scale", 1.0))
        error = np.abs(fits.params["theta_E"].numpy() - truth)
        place = fits.names.index("theta_E")
        stated = np.sqrt(fits.covariance[:, place, place].numpy())
        metrics["theta_E_error"] = float(np.nanmedian(error))
        metrics["theta_E_pull"] = float(np.nanmedian(error / stated))
    return metrics


def write_fit_report(data: DataSet, fits: LensFits, folder: Path) -> None:
    """Write ``lens_fits.json`` and ``lens_fits.png`` into a folder."""
    write_text(folder / REPORT, json.dumps(measure_fits(data, fits), indent=1) + "\n")
    draw_fits(folder / PICTURE, data, fits)


def draw_fits(path: Path, data: DataSet, fits: LensFits) -> Path:
    """Draw image, model, residual, detection map, source and curves of a few images, in arcsec."""
    photometry = Photometry.of(data)
    order = np.argsort(fits.chi2_dof.numpy())
    rows = [int(order[round(q * (len(order) - 1))]) for q in _SHOWN]
    scene = fits.scene
    figure = Figure(figsize=(18.0, 3.0 * len(rows) + 0.4), layout="constrained")
    axes = figure.subplots(len(rows), 5, squeeze=False)
    for row, line in zip(rows, axes, strict=True):
        own = fits.rows(slice(row, row + 1))
        params = own.params
        image = data.image[row, 0] * photometry.rate[row]
        assert isinstance(own.channels, torch.Tensor)
        maps = CHANNELS.split(own.channels.float())
        residual, searched = maps["residual"][0, 0], maps["snr"][0, 0]
        model = image - (residual * maps["sigma"][0, 0]).numpy() * photometry.rate[row]
        edges = extent(image.shape, photometry.pixel_scale)
        norm = stretch(np.stack([image, model]))
        for ax, shown, title in zip(line, (image, model), ("image", "model"), strict=False):
            drawn = ax.imshow(shown, origin="lower", extent=edges, norm=norm, cmap="magma")
            ax.set_title(title)
        bar = figure.colorbar(drawn, ax=list(line[:2]), label="e-/s", shrink=0.85)
        flux_ticks(bar, *drawn.get_clim())
        drawn = line[2].imshow(
            residual, origin="lower", extent=edges, cmap="RdBu_r", vmin=-_SIGMAS, vmax=_SIGMAS
        )
        line[2].set_title(f"residual, $\\chi^2$/dof {fits.chi2_dof[row]:.2f}")
        figure.colorbar(drawn, ax=line[2], label="sigma", shrink=0.85)
        _draw_curves(line[2], scene, params, edges[1], critical=True)
        bound = max(_LEAST_SEARCHED, float(searched.abs().max()))
        drawn = line[3].imshow(
            searched, origin="lower", extent=edges, cmap="RdBu_r", vmin=-bound, vmax=bound
        )
        line[3].set_title("S/N of one more mass")
        figure.colorbar(drawn, ax=line[3], label="S/N", shrink=0.85)
        _draw_curves(line[3], scene, params, edges[1], critical=True)
        drawn = _draw_source(line[4], scene, params, maps, model)
        bar = figure.colorbar(drawn, ax=line[4], label="e-/s/arcsec$^2$", shrink=0.85)
        flux_ticks(bar, *drawn.get_clim())
        for ax in line:
            ax.set(xlabel="x [arcsec]", ylabel="y [arcsec]")
    save_figure(figure, path)
    return path


def _draw_source(
    ax: Axes,
    scene: LensScene,
    params: dict[str, torch.Tensor],
    maps: dict[str, torch.Tensor],
    model: NDArray[np.float32],
) -> Any:
    """The source that was found, with the caustics; of an expansion, the arcs traced back.

    Args:
        ax: to draw in.
        scene: a power law and a Sersic source.
        params: of the lens.
        maps: channels of the image, by name.
        model: (H, W) of the image, e-/s.
    """
    size = _RADII * float(params["source_R_sersic"])
    middle = [float(params[f"source_center_{axis}"]) for axis in "xy"]
    x, y = lp.pixel_grid(100, 2 * size / 100)
    edges = (middle[0] - size, middle[0] + size, middle[1] - size, middle[1] + size)
    drawn: Any
    if params["source_amplitude"] > 0:
        light = scene.source(params).surface_brightness(x + middle[0], y + middle[1])[0].numpy()
        drawn = ax.imshow(light, origin="lower", extent=edges, norm=stretch(light), cmap="magma")
    else:
        half = _EXPANDED * float(params["theta_E"])
        edges = (middle[0] - half, middle[0] + half, middle[1] - half, middle[1] + half)
        answer = maps["response"][0].norm(dim=0)
        arcs = (answer > _ARCS * answer.max()).numpy()
        places = maps["source_plane"][0].numpy()[:, arcs] * size / _RADII
        x, y = (m + place for m, place in zip(middle, places, strict=True))
        drawn = ax.scatter(x, y, 6.0, model[arcs], norm=stretch(model[arcs]), cmap="magma")
        ax.set(facecolor="black", aspect="equal")
    _draw_curves(ax, scene, params, None, critical=False)
    ax.set(xlim=edges[:2], ylim=edges[2:], title="source, caustics")
    return drawn


def _draw_curves(
    ax: Axes,
    scene: LensScene,
    params: dict[str, torch.Tensor],
    half_field: float | None,
    *,
    critical: bool,
) -> None:
    """Critical curves, or caustics, of the lens that was found."""
    lens = scene.lens({name: value[0].double() for name, value in params.items()})
    try:
        curves = lp.critical_curves(lens, window=8 * float(params["theta_E"]), n_pix=800)
    except ValueError:  # an odd fit, whose curves leave the window
        return
    for curve in curves:
        x, y = (curve.x, curve.y) if critical else (curve.beta_x, curve.beta_y)
        ax.plot(x, y, color="black" if critical else "white", linewidth=0.8)
    if half_field is not None:
        ax.set(xlim=(-half_field, half_field), ylim=(-half_field, half_field))
