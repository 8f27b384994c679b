"""Models and presets are found by name."""

import pickle
import subprocess
import sys

import pytest

from lensphys.ground.errors import InputError
from simulate.presets import (
    config_of,
    known_models,
    known_presets,
    list_models,
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


def test_presets_and_models_are_listed():
    assert known_presets() == ("published", "physical", "realistic")
    assert all(known_models(preset) == known_models() == (1, 2, 3) for preset in known_presets())
    assert known_models("other") == ()
    assert list_models() == "1, 2 or 3"


@pytest.mark.parametrize("preset", known_presets())
def test_a_configuration_is_the_same_after_it_was_sent_to_a_worker(configure, preset):
    config = configure(2, "cdm.mass_max=2e9", preset=preset)
    received = pickle.loads(pickle.dumps(config))
    assert received == config
    assert hash(received) == hash(config)
    assert received.identity() == config.identity()


def test_names_are_listed_without_importing_what_they_stand_for():
    """The command line answers bad arguments before torch could be imported."""
    program = (
        "import sys\n"
        "from simulate.presets import known_models, known_presets, load_simulate_config\n"
        "from simulate.substructure import known_classes\n"
        "known_classes(), known_presets(), known_models(), load_simulate_config(2, 'physical')\n"
        "print(sorted({'torch', 'astropy', 'scipy', 'h5py', 'numba'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("[]\n", 0), done.stderr
