"""Mock images that are fitted, and what the tests of fits share."""

import torch

from lensphys import GaussianPSF, pixel_grid
from lensphys.fitting.scene import LensScene
from lensphys.rendering import Pixels

PIXEL = 0.12

PSF = GaussianPSF(0.12, PIXEL)

KIND = {"pixel_scale": PIXEL, "psf": PSF}

#: Ranges that lenses are drawn from, for a field of 3.84 arcsec.
POPULATION = {
    "theta_E": (0.7, 1.2),
    "gamma": (1.8, 2.2),
    "e1": (-0.25, 0.25),
    "e2": (-0.25, 0.25),
    "center_x": (-0.05, 0.05),
    "center_y": (-0.05, 0.05),
    "gamma1": (-0.08, 0.08),
    "gamma2": (-0.08, 0.08),
    "source_amplitude": (50.0, 100.0),
    "source_R_sersic": (0.15, 0.35),
    "source_n_sersic": (0.8, 2.0),
    "source_e1": (-0.25, 0.25),
    "source_e2": (-0.25, 0.25),
    "source_center_x": (-0.3, 0.3),
    "source_center_y": (-0.3, 0.3),
    "lens_light_amplitude": (20.0, 40.0),
    "lens_light_R_sersic": (0.3, 0.5),
    "lens_light_n_sersic": (1.0, 3.0),
    "lens_light_e1": (-0.2, 0.2),
    "lens_light_e2": (-0.2, 0.2),
    "lens_light_center_x": (-0.05, 0.05),
    "lens_light_center_y": (-0.05, 0.05),
}


def draw(size, seed, scene=None):
    """Parameters of lenses at random, float64, each of shape (size,)."""
    generator = torch.Generator().manual_seed(seed)
    uniform = torch.rand(len(POPULATION), size, generator=generator, dtype=torch.float64)
    drawn = {
        name: low + (high - low) * u
        for (name, (low, high)), u in zip(POPULATION.items(), uniform, strict=True)
    }
    return {name: drawn[name] for name in (scene or LensScene()).names}


def image_of(params, shape=(32, 32), scene=None, supersampling=1, psf=PSF):
    x, y = pixel_grid(shape, PIXEL, dtype=torch.float64)
    pixels = Pixels(x, y, psf=psf, supersampling=supersampling)
    return (scene or LensScene()).image(params, pixels)


def noise_like(images, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(images.shape, generator=generator, dtype=torch.float64)


def stacked(params):
    return torch.stack(list(params.values()), -1)


def deviation(result, truth):
    """The largest deviation of any parameter from the truth, per image."""
    difference = [(result.params[name].double() - truth[name]).abs() for name in result.names]
    return torch.stack(difference).amax(0)


def nudged(truth, by=0.01):
    """Starting values near the truth."""
    return {name: value * (1 + by) + 0.5 * by for name, value in truth.items()}
