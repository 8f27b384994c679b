"""Galaxies that are Gaussians, and the file of galaxies of the tests."""

import math
from pathlib import Path

import h5py
import numpy as np

from lensphys.ground.config import config_folder, read_yaml, validate
from simulate.sources.config import GalaxyImagesConfig
from simulate.sources.galaxies import prepare

SHIPPED = Path(__file__).parents[2] / "data" / "galaxies.h5"


VALUES = read_yaml(config_folder("simulate") / "model2.yaml")["galaxies"]


def configured(**changes):
    return validate(GalaxyImagesConfig, VALUES | {"path": SHIPPED} | changes, "model2.yaml")


CONFIG = configured()


NOISE = 0.1


def blob(side=80, row=39.5, column=39.5, sigma=5.0, flux=2000.0):
    rows, columns = np.indices((side, side))
    r2 = (rows - row) ** 2 + (columns - column) ** 2
    return flux / (2 * math.pi * sigma**2) * np.exp(-r2 / (2 * sigma**2))


def noise(shape, seed=0, sky=7.0):
    return sky + np.random.default_rng(seed).normal(0.0, NOISE, shape)


def stamp_of(image, config=CONFIG):
    made = prepare(image, config)
    assert not isinstance(made, str), made
    return made


def pictures(path, images, **others):
    with h5py.File(path, "w") as file:
        for name, values in ({"images": images} | others).items():
            file[name] = values
    return path
