"""The pictures on pages that are read in the repository too, which keeps them.

``python docs/kept_pictures.py`` draws them anew.
"""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import torch
from astropy.cosmology import Planck18
from code_map import draw_code_map
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from overview import draw_overview
from pictures import save, show

import lensphys as lp
from simulate import augment
from simulate.augment import transforms
from simulate.augment.lens_batch import LensBatch, Optics
from simulate.imaging import make_renderers
from simulate.observe import detector, doubled, noise_sigma
from simulate.presets import load_simulate_config, make_prior
from simulate.presets.physical import PhysicalConfig, compensated_theta_E
from simulate.scenes import Scene
from simulate.substructure.draw_classes import deflectors_of
from simulate.substructure.lens_plane import LensPlane

#: Whose pictures stand beside each other on the page of the instruments.
SHOWN = (
    "euclid_vis",
    "euclid_nisp_h",
    "hst_acs_f814w",
    "hst_wfc3_ir_f160w",
    "lsst_i",
    "roman_f129",
)


def draw_instruments(path: Path) -> None:
    """One lens as several instruments see it."""
    names = SHOWN
    lens = lp.ThinLens([lp.SIE(theta_E=1.2, e1=0.15, e2=0.05), lp.Shear(gamma1=0.04, gamma2=0.02)])
    shape = {"R_sersic": 0.2, "n_sersic": 1.0}
    random = torch.Generator().manual_seed(0)
    figure = Figure(figsize=(9, 2.5 * math.ceil(len(names) / 3)), layout="compressed")
    axes = figure.subplots(math.ceil(len(names) / 3), 3, sharex=True, sharey=True)
    for ax, name in zip(axes.flat, names, strict=True):
        telescope = lp.instrument(name)
        amplitude = telescope.flux(23.0) / lp.sersic_total_flux(1.0, **shape)
        source = lp.Sersic(amplitude=amplitude, center_x=0.08, center_y=0.05, **shape)
        x, y = lp.pixel_grid(round(5.0 / telescope.pixel_scale), telescope.pixel_scale)
        image = lp.render(lens, source, x, y, psf=telescope.psf(3), supersampling=3)
        image = telescope.noise().add(image, random).numpy()
        width = len(image) * telescope.pixel_scale
        show(figure, ax, image, width, "flux [e-/s]", cmap="magma")
        ax.set_title(name, fontsize=10)
    for ax in axes[:, 0]:
        ax.set_ylabel("y [arcsec]")
    for ax in axes[-1]:
        ax.set_xlabel("x [arcsec]")
    save(figure, path)


def draw_augmentations(path: Path) -> None:
    """One lens under each augmentation, with its centre and axis as its labels have them."""
    scale, fwhm, n_pix = 0.08, 0.16, 64
    labels = {"theta_E": 1.2, "e1": 0.2, "e2": 0.12, "center_x": 0.25, "center_y": -0.1}
    shear = {"gamma1": 0.03, "gamma2": 0.04}
    placed = {"center_x": 0.33, "center_y": 0.0}
    shape = {"R_sersic": 0.2, "n_sersic": 1.0}
    x, y = lp.pixel_grid(n_pix, scale, dtype=torch.float64)
    image = lp.render(
        lp.ThinLens([lp.SIE(**labels), lp.Shear(**shear)]),
        lp.Sersic(amplitude=10.0, **placed, **shape),
        x,
        y,
        psf=lp.GaussianPSF(fwhm, scale / 4),
        supersampling=4,
    )
    columns = labels | shear | {f"source_{name}": value for name, value in placed.items()}
    random = torch.Generator().manual_seed(1)
    sigma = 0.02 * image.max()
    bare = LensBatch(
        image[None, None],
        {name: torch.tensor([value]).double() for name, value in columns.items()},
        Optics(scale, torch.tensor([fwhm]), torch.zeros(1)),
    )
    before = augment.ExtraNoise(sigma=float(sigma)).apply(bare, random)
    quarter, by = torch.tensor([1]), torch.tensor([0.5]).double()
    top = float(image.max())
    shown = {
        "before": before,
        "Symmetry: a quarter turn": transforms.turn(before, quarter),
        "Shift: six pixels along x and y": transforms.shift(before, by, by),
        "ExtraNoise(snr_factor=5)": augment.ExtraNoise(snr_factor=5.0).apply(before, random),
        "Broaden(fwhm=0.5)": augment.Broaden(fwhm=0.5).apply(before, random),
        f"Offset({0.2 * top:.3f})": augment.Offset(0.2 * top).apply(before, random),
    }
    figure = Figure(figsize=(9, 5.6), layout="compressed")
    axes = figure.subplots(2, 3, sharex=True, sharey=True)
    norm = Normalize(-0.1 * top, top)
    for ax, (title, batch) in zip(axes.flat, shown.items(), strict=True):
        show(figure, ax, batch.image[0, 0].numpy(), n_pix * scale, "flux", norm=norm, cmap="magma")
        e1, e2, *centre = (
            float(batch.params[name]) for name in ("e1", "e2", "center_x", "center_y")
        )
        phi = 0.5 * math.atan2(e2, e1)
        along = np.array([-0.5, 0.5])
        ends = (c + along * f(phi) for c, f in zip(centre, (math.cos, math.sin), strict=True))
        ax.plot(*ends, color="deepskyblue", linewidth=1.3)
        ax.plot(*centre, "+", color="white", markersize=8)
        ax.set_title(title, fontsize=10)
    for ax in axes[:, 0]:
        ax.set_ylabel("y [arcsec]")
    for ax in axes[-1]:
        ax.set_xlabel("x [arcsec]")
    save(figure, path)


def draw_presets(path: Path) -> None:
    """One lens and source of Model 2 in both presets, and what the substructure changes in each."""
    published, physical = (load_simulate_config(2, preset) for preset in ("published", "physical"))
    assert isinstance(physical, PhysicalConfig)
    scene = make_prior(published).draw(0, 3)
    # One place of the source for all three.
    place = {f"source_center_{axis}": torch.full((3,), 0.08).double() for axis in "xy"}
    scene = dataclasses.replace(scene, params=scene.params | place)
    camera, renderer = make_renderers(published.model_copy(update={"device": "cpu"}))[0]
    as_published = doubled(renderer.render(scene), 0.0, np.ones(3), np.random.default_rng)

    honest, twin = _compensated(scene, physical)
    models, twins = renderer.render(honest), renderer.render(twin)
    noise = camera.background_sigma, np.full(3, camera.total_exposure)
    images = detector(models, *noise, lambda i: np.random.default_rng([7, i]))
    rows = {
        "published": (as_published, "flux per pixel\n[2 e-/s]", None),
        "published,\nless no_sub": (as_published - as_published[:1], "difference\n[2 e-/s]", 1.5),
        "physical": (images, "flux per pixel\n[e-/s]", None),
        "physical,\nless its twin": (
            (images - twins) / noise_sigma(twins, *noise),
            "residual\n[noise]",
            6.0,
        ),
    }
    figure = Figure(figsize=(9.6, 8.6), layout="compressed")
    axes = figure.subplots(4, 3, sharex=True, sharey=True)
    width = camera.n_pix * camera.pixel_scale
    theta_E = float(scene.params["theta_E"][0])
    for of_row, (name, (stack, label, both)) in zip(axes, rows.items(), strict=True):
        norm = Normalize(-both, both) if both else Normalize(0.0, float(np.max(stack)))
        for ax, image in zip(of_row, stack, strict=True):
            how = {"norm": norm, "cmap": "RdBu_r" if both else "magma"}
            how["interpolation"] = "nearest"
            show(figure, ax, image, width, label, **how)
            if not both:
                style = {"fill": False, "color": "white", "linestyle": ":", "linewidth": 1.2}
                ax.add_patch(Circle((0, 0), theta_E, **style))
        of_row[0].set_ylabel(f"{name}\ny [arcsec]", fontsize=10)
    for ax, title in zip(axes[0], published.classes, strict=True):
        ax.set_title(title)
    for ax in axes[-1]:
        ax.set_xlabel("x [arcsec]")
    save(figure, path, dpi=90)


def _compensated(scene: Scene, config: PhysicalConfig) -> tuple[Scene, Scene]:
    """The lenses of a published scene with the substructure of the physical preset, and without."""
    plane = LensPlane(config.lens.z_lens, config.lens.z_source, Planck18)
    names = ("theta_E", "e1", "e2", "center_x", "center_y")
    params = {name: scene.params[name].numpy().copy() for name in names}
    params |= {"gamma": np.full(3, 2.0), "substructure_fraction": np.full(3, 0.05)}
    theta_E_main, parts = params["theta_E"].copy(), []
    for row, name in enumerate(config.classes):
        draw = config.draw_of(name)
        if draw is None:
            continue
        one = {key: values[row : row + 1] for key, values in params.items()}
        rng = np.random.default_rng(3)
        drawn = draw.draw(getattr(config, name), plane, one, [rng])
        share = draw.share_inside_ring(drawn.deflectors, one)
        theta_E_main[row] = compensated_theta_E(share, one)[0]
        parts.append(deflectors_of(draw, drawn, np.array([row])))
    columns = {name: torch.from_numpy(values) for name, values in params.items()}
    columns = scene.params | columns | {"theta_E_main": torch.from_numpy(theta_E_main)}
    honest = Scene(scene.index, scene.label, columns, "EPL", tuple(parts))
    return honest, honest.without_substructure()


#: Pictures that are kept in `docs/images`, with what draws them.
KEPT = {
    "augmentations.png": draw_augmentations,
    "code_map.png": draw_code_map,
    "instruments.png": draw_instruments,
    "overview.png": draw_overview,
    "presets.png": draw_presets,
}

if __name__ == "__main__":
    for name, draw in KEPT.items():
        draw(Path(__file__).parent / "images" / name)
