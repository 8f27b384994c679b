"""The first picture: from a lens to a data set to what a network makes of it."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from pictures import save

import lensphys as lp
from simulate.imaging import make_renderers
from simulate.observe import detector, noise_sigma
from simulate.presets import load_simulate_config, make_prior

TABLE = Path(__file__).parents[1] / "results" / "small" / "table.md"
#: Rows of the table of results, and how the picture names them.
ROWS = {"physics-ijepa": "physics-ijepa", "mae": "MAE", "radial": "radial features"}
_WIDTH = 5.0
#: The first of the three images, which show their substructure more clearly than most.
_FIRST = 612


def draw_overview(path: Path) -> None:
    """Draw three panels, one a package: a lens, images with what a fit leaves, accuracies."""
    figure = Figure(figsize=(11.0, 3.6))
    physics, data, networks = figure.subfigures(1, 3, width_ratios=[0.75, 1.25, 1.0])
    titles = {
        physics: ("lensphys", "traces rays"),
        data: ("simulate", "makes data sets"),
        networks: ("learn", "tells dark-matter models apart"),
    }
    for panel, (name, does) in titles.items():
        panel.suptitle(f"{name} {does}", fontsize=10.5, y=0.985)
    _draw_lens(physics)
    _draw_images(data)
    _draw_accuracies(networks)
    save(figure, path, dpi=90)


def _draw_lens(figure: SubFigure) -> None:
    lens = lp.ThinLens([lp.SIE(theta_E=1.3, e1=0.15, e2=0.08), lp.Shear(gamma1=0.04, gamma2=0.0)])
    source = _source(0.12, 0.04)
    x, y = lp.pixel_grid(160, _WIDTH / 160)
    lensed = source.surface_brightness(*lens.ray_trace(x, y))
    sky, behind = figure.subplots(2, 1, gridspec_kw={"height_ratios": [1.4, 1]})
    figure.subplots_adjust(left=0.05, right=0.95, top=0.84, bottom=0.02, hspace=0.16)
    zoom = 0.3
    curves = lp.critical_curves(lens, window=0.97 * _WIDTH, n_pix=120)
    _show(sky, np.asarray(lensed), _WIDTH, "image plane, critical curves")
    _show(
        behind,
        np.asarray(source.surface_brightness(zoom * x, zoom * y)),
        zoom * _WIDTH,
        "source plane, caustics",
    )
    for curve in curves:
        sky.plot(curve.x, curve.y, color="deepskyblue", lw=1.1)
        behind.plot(curve.beta_x, curve.beta_y, color="lime", lw=1.0)
    behind.set(xlim=(-0.75, 0.75), ylim=(-0.75, 0.75))


def _source(center_x: float, center_y: float) -> lp.Sersic:
    return lp.Sersic(
        amplitude=60.0, R_sersic=0.22, n_sersic=1.0, e1=0.1, center_x=center_x, center_y=center_y
    )


def _draw_images(figure: SubFigure) -> None:
    """Draw an image of each class, Model 3 physical, and what the fit of a smooth lens leaves."""
    config = load_simulate_config(3, "physical", ["device=cpu"])
    scene = make_prior(config).draw(_FIRST, _FIRST + 3)
    camera, renderer = make_renderers(config)[0]
    models = renderer.render(scene)
    at = camera.background_sigma, np.full(3, camera.total_exposure)
    images = detector(models, *at, lambda i: np.random.default_rng([5, i]))
    psf = camera.psf()
    sigma = torch.from_numpy(noise_sigma(models, *at))
    scale = camera.pixel_scale
    fit = lp.fit(torch.from_numpy(images), sigma, pixel_scale=scale, psf=psf, mass="EPL")
    axes = figure.subplots(2, 3)
    figure.subplots_adjust(left=0.01, right=0.99, top=0.84, bottom=0.02, wspace=0.04, hspace=0.14)
    width = camera.n_pix * camera.pixel_scale
    for column, name in enumerate(config.classes):
        _show(axes[0, column], images[column], width, name)
        left = fit.residual[column].numpy()
        how = {"cmap": "RdBu_r", "vmin": -6, "vmax": 6}
        title = "the same, less the fit of a smooth lens" if column == 1 else ""
        _show(axes[1, column], left, width, title, interpolation="nearest", **how)


def _show(ax: Axes, image: np.ndarray, width: float, title: str, **how: object) -> None:
    half = 0.5 * width
    extent = (-half, half, -half, half)
    ax.imshow(image, origin="lower", extent=extent, **({"cmap": "magma"} | how))
    ax.set_title(title, fontsize=8.5, pad=3)
    ax.set(xticks=[], yticks=[])


def _draw_accuracies(figure: SubFigure) -> None:
    """Draw the linear probes on Model 3 of the preset physical, out of the table of results."""
    ax = figure.subplots()
    figure.subplots_adjust(left=0.17, right=0.97, top=0.84, bottom=0.15)
    for (row, label), marker in zip(ROWS.items(), "osv", strict=True):
        labels, mean, half = probes(row)
        ax.errorbar(labels, mean, half, marker=marker, ms=4, capsize=2.5, lw=1.3, label=label)
    ax.set_ylabel("accuracy", labelpad=1)
    ax.axhline(1 / 3, color="0.6", ls=":", lw=1)
    ax.set(xscale="log", ylim=(0.25, 1.0), xlabel="labels a class")
    ax.set_xticks([100, 500, 1000], ["100", "500", "1000"])
    ax.minorticks_off()
    ax.legend(fontsize=8, loc="upper left")
    ax.text(960, 0.345, "chance", fontsize=8, color="0.4", ha="right")


def probes(row: str) -> tuple[list[int], list[float], list[float]]:
    """Return labels a class, mean accuracy and half of its 95% interval of a row of the table."""
    text = TABLE.read_text(encoding="utf-8")
    section = text[text.index("## Preset physical: Model 2 to Model 3") :]
    cells = re.search(rf"^\| {re.escape(row)} \|(.*)$", section, re.MULTILINE)
    assert cells is not None
    found = re.findall(r"([\d.]+) ± ([\d.]+) \(\d\)", cells[1])[:3]
    return [100, 500, 1000], [float(m) for m, _ in found], [float(h) for _, h in found]
