"""Data of lenses as the command reads them, for tests of their models."""

import dataclasses

import numpy as np
import torch

import lensphys as lp
from learn.modelling.lens_data import LensData

SCALE, SIGMA = 0.08, 0.01


def make_data(shape=(41, 41), *, seed=0, theta_E=1.0, strength=1.0, extra=None, **known):
    """A lens with light and a source behind it; ``strength`` 0 is a galaxy that lenses nothing."""
    x, y = lp.pixel_grid(shape, SCALE, dtype=torch.float64)
    lens = lp.ThinLens(
        [lp.SIE(theta_E=theta_E, e1=0.1, e2=-0.05), lp.Shear(gamma1=0.02, gamma2=0.0)]
    )
    source = lp.Sersic(
        amplitude=12.0 * strength, R_sersic=0.15, n_sersic=1.0, center_x=0.08, center_y=0.05
    )
    light = [lp.Sersic(amplitude=8.0, R_sersic=0.4, n_sersic=3.0, e1=0.08, e2=-0.04)]
    psf = lp.GaussianPSF(fwhm=0.12, pixel_scale=SCALE)
    image = lp.render(lens, source, x, y, psf=psf, lens_light=light + (extra or []))
    noise = SIGMA * np.random.default_rng(seed).normal(size=shape)
    point = torch.zeros(11, 11, dtype=torch.float64)
    point[5, 5] = 1.0
    data = LensData(
        name="J0000+0000",
        image=image.numpy() + noise,
        noise=np.full(shape, SIGMA),
        psf=psf.convolve(point).numpy(),
        pixel_scale=SCALE,
    )
    return dataclasses.replace(data, **known)
