"""Every column has a unit, a meaning and a place."""

from pathlib import Path

import pytest

from simulate.dataset import columns
from simulate.imaging import make_images, make_renderers
from simulate.instruments import instrument
from simulate.light.scene_light import add_light
from simulate.presets import make_prior
from simulate.sources.galaxies import load_galaxies

GALAXIES = Path(__file__).parents[2] / "data" / "galaxies.h5"


@pytest.mark.parametrize("model", [1, 2, 3])
@pytest.mark.parametrize("preset", ["published", "physical", "realistic"])
@pytest.mark.parametrize("more", ["", "lens_light.enabled=true", "non_lens.fraction=0.5"])
def test_every_column_of_every_preset_is_in_the_table(configure, model, preset, more):
    config = configure(model, *filter(None, [more]), preset=preset)
    scene, _ = make_images(config, make_prior(config), make_renderers(config), 0, 6)
    assert scene.params.keys() <= columns.known_columns().keys()


def test_the_columns_of_real_galaxies_are_in_the_table(configure):
    config = configure(2, f"galaxies.path={GALAXIES}", preset="physical")
    galaxies, camera = load_galaxies(config.galaxies), instrument(config.instrument)
    scene = add_light(make_prior(config).draw(0, 6), config, camera, galaxies)
    assert {"source_galaxy", "source_angle"} < scene.params.keys() <= columns.known_columns().keys()


def test_the_table_names_its_units_and_no_column_twice():
    assert columns.unit("theta_E") == "arcsec"
    assert columns.unit("gamma") == columns.unit("mystery") == ""
    assert columns.in_order(["b", "e1", "a", "theta_E"]) == ["theta_E", "e1", "b", "a"]
    table = columns.markdown().splitlines()
    assert len(table) == len(columns.known_columns()) + 2
    assert all(row.count("|") == 5 for row in table)
