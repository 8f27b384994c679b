"""The Hubble constant from a quad: image positions, time delays, and what they depend on."""

import matplotlib

matplotlib.use("agg")  # pictures go to files
import matplotlib.pyplot as plt
import torch

import lensphys as lp
from lensphys import cosmology as cosmo

torch.set_default_dtype(torch.float64)

# A lensed quasar. Everything that a derivative is asked for is a tensor that requires a gradient.
z_lens, z_source = 0.5, 1.7
H0 = torch.tensor(70.0, requires_grad=True)
theta_E = torch.tensor(1.4, requires_grad=True)
lens = lp.ThinLens(
    [
        lp.EPL(theta_E=theta_E, gamma=1.95, e1=0.12, e2=-0.06),
        lp.Shear(gamma1=0.05, gamma2=0.03),
    ]
)
beta_x, beta_y = 0.08, 0.05

images = lp.image_positions(lens, beta_x, beta_y, window=5.0)  # the first to arrive first
universe = lp.FlatLambdaCDM(H0=H0, Om0=0.3)
D_dt = cosmo.time_delay_distance(z_lens, z_source, universe)
# Maps are (ny, nx): a list of images is a map of one row.
arrival = lens.arrival_time(images.x[None], images.y[None], D_dt, beta_x, beta_y)[0]
delays = (arrival - arrival[0])[1:]

by_H0 = torch.stack([torch.autograd.grad(d, H0, retain_graph=True)[0] for d in delays])
by_theta_E = torch.stack([torch.autograd.grad(d, theta_E, retain_graph=True)[0] for d in delays])

names = "ABCD"
print("image   x [arcsec]  y [arcsec]  magnification")
for name, x, y, mu in zip(names, images.x, images.y, images.magnification, strict=True):
    print(f"{name}       {x:10.4f}  {y:10.4f}  {mu:13.2f}")
print("\ndelay   [days]   by H0 [days / (km/s/Mpc)]   by theta_E [days / arcsec]")
rows = torch.stack([delays.detach(), by_H0, by_theta_E], 1).tolist()
for name, (delay, per_H0, per_theta_E) in zip(names[1:], rows, strict=True):
    print(f"A{name}   {delay:9.3f}   {per_H0:25.4f}   {per_theta_E:25.2f}")

grid_x, grid_y = lp.pixel_grid(300, 0.0134)
with torch.no_grad():
    surface = lens.arrival_time(grid_x, grid_y, D_dt, beta_x, beta_y) - arrival[0]
curves = lp.critical_curves(lens, window=4.5)

figure, (sky, bars) = plt.subplots(
    1, 2, figsize=(9.5, 4.4), layout="constrained", width_ratios=(1.25, 1)
)
drawn = sky.contourf(grid_x, grid_y, surface, levels=range(0, 81, 5), cmap="viridis", extend="max")
figure.colorbar(drawn, ax=sky, label="arrival after A [days]")
saddles = delays.detach()[1:]  # the surface crosses itself in the later images
sky.contour(grid_x, grid_y, surface, levels=saddles, colors="white", linewidths=0.8)
for i, curve in enumerate(curves):
    label = "critical curves" if i == 0 else None
    sky.plot(curve.x, curve.y, color="tab:red", linewidth=1, label=label)
sky.plot(beta_x, beta_y, "*", color="white", markersize=9, label="source")
image_x, image_y = images.x.detach(), images.y.detach()
sky.plot(image_x, image_y, "o", color="black", markeredgecolor="white", label="images")
for name, x, y in zip(names, image_x, image_y, strict=True):
    sky.annotate(
        name, (x, y), xytext=(7, 5), textcoords="offset points", color="white", weight="bold"
    )
sky.set(xlabel="x [arcsec]", ylabel="y [arcsec]", title="arrival-time surface", aspect="equal")
sky.legend(loc="lower left", fontsize=8)

values = torch.linspace(60, 80, 41)
for i, name in enumerate(names[1:]):
    bars.plot(values, delays[i].detach() * H0.detach() / values, label=f"A{name}")
    tangent = delays[i] + by_H0[i] * (values - H0)
    bars.plot(values, tangent.detach(), color="0.4", linestyle=":", zorder=0)
bars.plot([], [], color="0.4", linestyle=":", label="derivative at 70")
bars.set(xlabel="$H_0$ [km/s/Mpc]", ylabel="delay [days]", title="time delays", ylim=(0, None))
bars.grid(alpha=0.3)
bars.legend()
figure.savefig("time_delays.png", dpi=130)
