"""The figures on the pages of the profiles, drawn whenever the site is built."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LogNorm, Normalize, SymLogNorm
from matplotlib.figure import Figure
from numpy.typing import NDArray

import lensphys as lp

_N_PIX = 240
#: Smaller values are the rounding of zero.
_NONE = 1e-9
Map = NDArray[np.float64]


def draw_mass(mass: Any, width: float, path: Path) -> None:
    """Convergence, deflection, potential and magnification of a deflector, 2 x 2 panels."""
    lens = lp.ThinLens([mass])
    x, y = lp.pixel_grid(_N_PIX, width / _N_PIX, dtype=torch.float64)
    with torch.no_grad():
        kappa, psi = lens.convergence(x, y).numpy(), lens.potential(x, y).numpy()
        alpha_x, alpha_y = (v.numpy() for v in lens.deflection(x, y))
        mu = lens.magnification(x, y).abs().numpy()
    # A little inside the frame: a map of pixels ends there.
    curves = lp.critical_curves(lens, window=0.97 * width, n_pix=160)

    figure = Figure(figsize=(8.6, 6.9))
    # Placed by hand: matplotlib's search for a layout takes longer than all the rest.
    axes = figure.subplots(2, 2, sharex=True, sharey=True)
    figure.subplots_adjust(left=0.075, right=0.905, bottom=0.07, top=0.98, wspace=0.37, hspace=0.06)
    (convergence, deflection), (potential, magnification) = axes
    norm, cmap = _convergence_scale(kappa)
    show(figure, convergence, kappa, width, r"convergence $\kappa$", norm=norm, cmap=cmap)
    if np.abs(kappa).max() < _NONE:
        convergence.text(0, 0, "0 in every pixel", color="white", ha="center", va="center")
    length = np.hypot(alpha_x, alpha_y)
    # Next to a point mass the deflection has no bound.
    longest = float(min(length.max(), 5 * np.median(length)))
    shorter = np.minimum(1.0, longest / np.maximum(length, _NONE))
    alpha_x, alpha_y = shorter * alpha_x, shorter * alpha_y
    norm = Normalize(0.0, longest)
    label = r"deflection $|\alpha|$ [arcsec]"
    show(figure, deflection, length, width, label, norm=norm, cmap="viridis")
    step = _N_PIX // 12
    at = slice(step // 2, None, step)
    deflection.quiver(
        *(v.numpy()[at, at] for v in (x, y)),
        *(v[at, at] for v in (alpha_x, alpha_y)),
        color="white",
        angles="xy",
        pivot="mid",
        width=0.004,
    )
    show(figure, potential, psi, width, r"potential $\psi$ [arcsec$^2$]", cmap="cividis")
    potential.contour(x, y, psi, levels=12, colors="white", linewidths=0.6, linestyles="solid")
    norm = LogNorm(0.1, 100)
    show(figure, magnification, mu, width, r"magnification $|\mu|$", norm=norm, cmap="magma")

    for i, curve in enumerate(curves):
        label = "critical curves" if i == 0 else None
        for ax in (convergence, magnification):
            ax.plot(curve.x, curve.y, color="deepskyblue", linewidth=1.3, label=label)
        label = "caustics" if i == 0 else None
        # The caustic of a round lens is a point.
        point = float(torch.hypot(curve.beta_x, curve.beta_y).max()) < 0.01 * width
        style = {"marker": "+", "markersize": 8} if point else {"linestyle": "--"}
        caustic = (curve.beta_x[:1], curve.beta_y[:1]) if point else (curve.beta_x, curve.beta_y)
        magnification.plot(*caustic, color="lime", linewidth=1.1, label=label, **style)
    if curves:
        magnification.legend(loc="upper right", fontsize=8)
    for ax in axes[:, 0]:
        ax.set_ylabel("y [arcsec]")
    for ax in axes[1]:
        ax.set_xlabel("x [arcsec]")
    save(figure, path)


def draw_light(light: Any, width: float, path: Path) -> None:
    """Surface brightness on the sky, and along the two axes of the profile."""
    x, y = lp.pixel_grid(_N_PIX, width / _N_PIX, dtype=torch.float64)
    brightness = light.surface_brightness(x, y).numpy()
    figure = Figure(figsize=(8.6, 3.7), layout="constrained")
    sky, cut = figure.subplots(1, 2)
    unit = r"[flux / arcsec$^2$]"
    top = float(brightness.max())
    norm = LogNorm(1e-4 * top, top)
    shown = np.maximum(brightness, 1e-4 * top)
    show(figure, sky, shown, width, f"surface brightness {unit}", norm=norm, cmap="magma")
    sky.set(xlabel="x [arcsec]", ylabel="y [arcsec]")

    if hasattr(light, "phi_G"):
        angle, axes = float(light.phi_G), ("x of the image", "y of the image")
    elif light.ellipticity is None:
        angle, axes = 0.0, ("x axis", "y axis")
    else:
        angle, axes = 0.5 * math.atan2(light.e2, light.e1), ("major axis", "minor axis")
    r = torch.linspace(0, 0.5 * width, 200, dtype=torch.float64)
    for name, turn, style in zip(axes, (0.0, math.pi / 2), ("-", "--"), strict=True):
        cos, sin = math.cos(angle + turn), math.sin(angle + turn)
        along = light.surface_brightness(r[None] * cos, r[None] * sin)[0].numpy()
        cut.plot(r, np.where(along > 0, along, np.nan), style, label=name)
        sky.plot(*(np.array([-1, 1]) * 0.5 * width * v for v in (cos, sin)), "w" + style, lw=0.7)
    sky.set(xlim=(-width / 2, width / 2), ylim=(-width / 2, width / 2))
    cut.set(xlabel="distance to the centre [arcsec]", ylabel=f"surface brightness {unit}")
    cut.set(yscale="log", ylim=(1e-4 * top, 2 * top), xlim=(0, None))
    cut.grid(alpha=0.3)
    cut.legend()
    save(figure, path)


def _convergence_scale(kappa: Map) -> tuple[Normalize, str]:
    """Logarithmic where the convergence is positive; about zero where it has both signs."""
    if np.abs(kappa).max() < _NONE:
        return Normalize(0.0, 1.0), "magma"
    # Between the pixels of a map the convergence may swing a little below zero.
    if kappa.min() < -0.01 * kappa.max():
        top = float(np.quantile(np.abs(kappa), 0.995))
        return SymLogNorm(0.02 * top, vmin=-top, vmax=top), "RdBu_r"
    positive = kappa[kappa > _NONE]
    low, high = float(np.quantile(positive, 0.001)), float(np.quantile(positive, 0.9995))
    if high < 1.01 * low:
        return LogNorm(0.1 * low, 10 * low), "magma"
    return LogNorm(max(low, 1e-3 * high), high), "magma"


def show(figure: Figure, ax: Axes, image: Map, width: float, label: str, **how: Any) -> None:
    """Draw an image on the sky with its colour bar."""
    half = 0.5 * width
    norm = how.get("norm")
    # What a logarithm cannot show is dark, not white.
    if isinstance(norm, LogNorm):
        image = np.maximum(image, norm.vmin)
    drawn = ax.imshow(image, origin="lower", extent=(-half, half, -half, half), **how)
    beyond = norm is not None and image.max() > 1.001 * norm.vmax
    extend = "max" if beyond else "neither"
    bar = figure.colorbar(drawn, ax=ax, label=label, extend=extend, fraction=0.046, pad=0.03)
    if isinstance(norm, LogNorm):
        steps = (1, 2, 5) if norm.vmax < 200 * norm.vmin else (1,)
        bar.set_ticks(ticker.LogLocator(subs=steps))
        bar.ax.yaxis.set_major_formatter(ticker.FormatStrFormatter("%g"))
        bar.minorticks_off()


def save(figure: Figure, path: Path, dpi: int = 110) -> None:
    """Write a figure as PNG that does not depend on the version of matplotlib."""
    FigureCanvasAgg(figure)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="png", dpi=dpi, metadata={"Software": None})
