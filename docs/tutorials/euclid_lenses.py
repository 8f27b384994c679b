"""Model 100 simulated Euclid lenses at once, with error bars, and check both against the truth."""

import math
import time

import matplotlib

matplotlib.use("agg")  # pictures go to files
import matplotlib.pyplot as plt
import torch

import lensphys as lp

# What Euclid would see: 100 different galaxies behind 100 different lenses.
n = 100
random = torch.Generator().manual_seed(1)


def uniform(low: float, high: float) -> torch.Tensor:
    """One number a lens."""
    return low + (high - low) * torch.rand(n, generator=random)


euclid = lp.instrument("euclid_vis")
magnitude = uniform(23.0, 24.5)
truth = {
    "theta_E": uniform(0.8, 1.6),
    "e1": uniform(-0.2, 0.2),
    "e2": uniform(-0.2, 0.2),
    "center_x": uniform(-0.1, 0.1),
    "center_y": uniform(-0.1, 0.1),
    "gamma1": uniform(-0.06, 0.06),
    "gamma2": uniform(-0.06, 0.06),
    "source_R_sersic": uniform(0.1, 0.3),
    "source_n_sersic": uniform(0.8, 2.5),
    "source_e1": uniform(-0.3, 0.3),
    "source_e2": uniform(-0.3, 0.3),
    "source_center_x": uniform(-0.25, 0.25),
    "source_center_y": uniform(-0.25, 0.25),
}
shape = zip(truth["source_R_sersic"].tolist(), truth["source_n_sersic"].tolist(), strict=True)
unit_flux = torch.tensor([lp.sersic_total_flux(1.0, R, index) for R, index in shape])
truth["source_amplitude"] = euclid.flux(magnitude) / unit_flux

source = {name.removeprefix("source_"): v for name, v in truth.items() if "source_" in name}
mass = {name: truth[name] for name in lp.SIE.parameter_names()}
lens = lp.ThinLens([lp.SIE(**mass), lp.Shear(gamma1=truth["gamma1"], gamma2=truth["gamma2"])])
x, y = euclid.grid()
model = lp.render(lens, lp.Sersic(**source), x, y, psf=euclid.psf())
noise = euclid.noise()
images = noise.add(model, random)

# From here on nothing but the images is known, and how noisy they are.
start = time.perf_counter()
result = lp.fit(images, noise.sigma(model), pixel_scale=euclid.pixel_scale, psf=euclid.psf())
seconds = time.perf_counter() - start

pulls = {name: (result.params[name] - truth[name]) / result.errors[name] for name in truth}
all_pulls = torch.stack(list(pulls.values()))
# The median and the 16th and 84th percentile: of a normal distribution 0, and 1 apart from it.
low, middle, high = torch.quantile(all_pulls, torch.tensor([0.1587, 0.5, 0.8413]), dim=1)
width = 0.5 * (high - low)
print(f"{n} lenses of {euclid.n_pix} x {euclid.n_pix} pixels modelled in {seconds:.1f} s")
print(f"{len(result.names)} parameters each; converged: {int(result.converged.sum())}")
print(f"chi^2 per degree of freedom: {result.chi2_dof.median():.3f} (median)")
print(f"theta_E to {100 * (result.errors['theta_E'] / truth['theta_E']).median():.2f}% (median)")
print("\nparameter         median error   pull: median   width")
for i, name in enumerate(truth):
    print(f"{name:18}{result.errors[name].median():12.4f}{middle[i]:15.2f}{width[i]:8.2f}")

figure, axes = plt.subplots(2, 4, figsize=(12, 5.8), layout="constrained")
labels = {"theta_E": r"$\theta_E$ [arcsec]", "e1": "$e_1$", "gamma1": r"$\gamma_1$"}
for (name, label), (above, below) in zip(labels.items(), axes.T, strict=False):
    true, found, error = truth[name], result.params[name], result.errors[name]
    limits = float(true.min()), float(true.max())
    above.plot(limits, limits, color="0.6", linewidth=1)
    above.errorbar(true, found, error, fmt=".", markersize=4, linewidth=0.8)
    above.set(title=label)
    below.axhline(0, color="0.6", linewidth=1)
    below.errorbar(true, found - true, error, fmt=".", markersize=4, linewidth=0.8)
    below.set(xlabel="true")
    above.grid(alpha=0.3)
    below.grid(alpha=0.3)

axes[0, 0].set_ylabel("fitted")
axes[1, 0].set_ylabel("fitted - true")

half = 0.5 * euclid.n_pix * euclid.pixel_scale
image, histogram = axes[:, 3]
edges = (-half, half, -half, half)
drawn = image.imshow(images[0], origin="lower", extent=edges, cmap="magma")
figure.colorbar(drawn, ax=image, label="flux per pixel [e-/s]")
image.set(title="the first lens", xlabel="x [arcsec]", ylabel="y [arcsec]")

bins = torch.linspace(-4, 4, 33)
histogram.hist(all_pulls.flatten(), bins=bins, density=True, label="all parameters")
normal = torch.exp(-0.5 * bins**2) / math.sqrt(2 * math.pi)
histogram.plot(bins, normal, color="black", label="normal distribution")
histogram.set(xlabel="(fitted - true) / error", ylabel="density", xlim=(-4, 4), ylim=(0, 0.62))
histogram.legend(fontsize=8)
figure.savefig("euclid_lenses.png", dpi=130)
