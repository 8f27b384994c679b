"""Models and presets are found by name."""

import pytest

from lensphys.ground.errors import InputError
from simulate.presets import (
    config_of,
    simulate_config_path,
)


@pytest.mark.parametrize("model", [0, 4, 7, -1])
def test_an_unknown_model_is_told_the_known_ones(model):
    with pytest.raises(InputError, match=f"unknown model {model}; .* has models 1, 2, 3"):
        simulate_config_path(model, "published")


@pytest.mark.parametrize(
    ("preset", "message"),
    [("publishd", "did you mean 'published'"), ("xyz", "known: .*published")],
)
def test_an_unknown_preset_is_answered_with_the_nearest(preset, message):
    with pytest.raises(InputError, match=f"unknown preset '{preset}'.*{message}"):
        simulate_config_path(2, preset)


def test_the_configuration_comes_back_from_the_manifest(configure, physical_data):
    config = configure(2, preset="physical", n=90, shard_size=40)
    assert config_of(physical_data.config, device="cpu").identity() == config.identity()
