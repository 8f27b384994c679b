"""Draws of lens light and of look-alikes."""

import copy

import numpy as np

import lensphys as lp
from lensphys.ground.config import config_folder, read_yaml, validate
from simulate.instruments import instrument
from simulate.light.foreground import Foreground
from simulate.light.lens_light import LensLightConfig, draw_lens_light
from simulate.light.look_alikes import NON_LENS_KINDS, NonLensConfig, StandsFor
from simulate.light.look_alikes import draw_non_lens as draw_look_alike

VALUES = read_yaml(config_folder("simulate") / "model2.yaml")


LENS_LIGHT = validate(LensLightConfig, VALUES["lens_light"], "model2.yaml")


NON_LENS = validate(NonLensConfig, VALUES["non_lens"], "model2.yaml")


VIS = instrument("euclid_vis")


MASS = {"theta_E": 1.1, "e1": 0.1, "e2": -0.05}


LENS = StandsFor(theta_E=1.1, source_flux=30.0)


def draw_non_lens(config, rng, camera, stands_for=LENS, early_type=LENS_LIGHT, envelope=None):
    return draw_look_alike(config, early_type, rng, camera, stands_for, envelope)


def only(kind, **sections):
    fractions = dict.fromkeys(NON_LENS_KINDS, 0.0) | {kind: 1.0}
    return changed(NON_LENS, fractions=fractions, **sections)


def changed(config, **sections):
    values = copy.deepcopy(config.model_dump())
    for name, section in sections.items():
        values[name] = values[name] | section if isinstance(section, dict) else section
    return validate(type(config), values, "test")


def lens_lights(n, config=LENS_LIGHT, **mass):
    rng = np.random.default_rng(5)
    drawn = [draw_lens_light(config, rng, VIS, **(MASS | mass)) for _ in range(n)]
    return Foreground.stack(drawn)


def flux_of(components):
    total = 0.0
    for kind, p in components.profiles:
        if kind == "ring":
            total += p["amp"]
        else:
            total += lp.sersic_total_flux(p["amplitude"], p["R_sersic"], p["n_sersic"])
    return total
