"""Draw a lens: critical curves and caustics, magnification, and what it makes of a galaxy."""

import matplotlib

matplotlib.use("agg")  # pictures go to files
import matplotlib.pyplot as plt
import torch
from matplotlib.colors import LogNorm

import lensphys as lp

torch.set_default_dtype(torch.float64)

# A galaxy with a core, in the field of its neighbours, and a small companion to its upper right.
lens = lp.ThinLens(
    [
        lp.NIE(theta_E=1.3, e1=0.15, e2=0.05, s_scale=0.12),
        lp.SIS(theta_E=0.12, center_x=1.1, center_y=0.9),
        lp.Shear(gamma1=0.04, gamma2=-0.03),
    ]
)
source = lp.Sersic(amplitude=20.0, R_sersic=0.15, n_sersic=1.0, e1=0.2, center_x=0.1, center_y=0.02)

curves = lp.critical_curves(lens, window=5.0)
for curve in curves:
    print(f"{curve.kind:10} critical curve: {curve.area():6.3f} arcsec^2 inside", end=", ")
    print(f"caustic: {curve.caustic_area():.3f} arcsec^2")

x, y = lp.pixel_grid(250, 0.02)
magnification = lens.magnification(x, y).abs()
lensed = source.surface_brightness(*lens.ray_trace(x, y))
total = float(source.surface_brightness(x, y).sum())
print(f"the galaxy appears {float(lensed.sum()) / total:.1f} times as bright")

source_x, source_y = lp.pixel_grid(200, 0.008)  # the source plane, closer up
unlensed = source.surface_brightness(source_x, source_y)

figure, axes = plt.subplots(1, 3, figsize=(11, 4.65), layout="constrained")
brightness = "surface brightness [flux / arcsec$^2$]"
panels = [
    ("source plane", unlensed, 0.8, None, "magma", brightness),
    ("image plane", lensed, 2.5, None, "magma", brightness),
    ("magnification", magnification, 2.5, LogNorm(0.1, 100), "viridis", r"$|\mu|$"),
]
for ax, (title, image, half, norm, cmap, label) in zip(axes, panels, strict=True):
    edges = (-half, half, -half, half)
    drawn = ax.imshow(image, origin="lower", extent=edges, norm=norm, cmap=cmap)
    figure.colorbar(drawn, ax=ax, label=label, location="bottom")
    for curve in curves:
        at = (curve.beta_x, curve.beta_y) if title == "source plane" else (curve.x, curve.y)
        style = "-" if curve.kind == "tangential" else ":"
        ax.plot(*at, color="white", linestyle=style, linewidth=1.2, label=curve.kind)
    ax.set(title=title, xlabel="x [arcsec]", ylabel="y [arcsec]")
for ax, what in zip(axes, ("caustics", "critical curves"), strict=False):
    ax.set_facecolor("black")
    legend = ax.legend(title=what, labelcolor="white", facecolor="0.15", fontsize=8)
    legend.get_title().set(color="white", fontsize=8)
figure.savefig("critical_curves.png", dpi=130)
