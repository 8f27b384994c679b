"""Scenes and images with light of their own."""

from pathlib import Path

from simulate.imaging import make_images, make_renderers
from simulate.instruments import instrument
from simulate.light.scene_light import add_light
from simulate.presets import make_prior

GALAXIES = Path(__file__).parents[2] / "data" / "galaxies.h5"


PRESETS = ("published", "physical")


def with_galaxies(config):
    section = config.galaxies.model_copy(update={"path": GALAXIES})
    return config.model_copy(update={"galaxies": section})


def lit(config, n, galaxies=None):
    return add_light(make_prior(config).draw(0, n), config, instrument(config.instrument), galaxies)


def images(config, n):
    return make_images(config, make_prior(config), make_renderers(config), 0, n)
