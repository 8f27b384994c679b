"""Lenses that substructure is drawn for."""

import numpy as np
from astropy.cosmology import Planck18

from simulate.substructure.lens_plane import LensPlane

PLANE = LensPlane(0.5, 1.0, Planck18)


P = 1e-3


N = 300


def params(fraction=0.05, theta_E=1.2, gamma=2.0, n=N):
    values = {"theta_E": theta_E, "gamma": gamma, "substructure_fraction": fraction}
    values |= {"center_x": 0.1, "center_y": -0.2}
    return {name: np.full(n, value) for name, value in values.items()}


def rngs(n=N):
    return [np.random.default_rng([1, i]) for i in range(n)]
