"""Configurations: every mistake is found, named, and answered in one line."""

from pathlib import Path

import pytest
import yaml

from lensphys.ground.config import load_config
from lensphys.ground.errors import InputError
from lensphys.instruments import INSTRUMENTS
from simulate.presets import load_simulate_config, schema_with, simulate_config_path
from simulate.substructure import DEEPLENSE_CLASSES as CLASSES

MODEL_2 = simulate_config_path(2, "published")


def load(*sets, path=MODEL_2, **overrides):
    return load_config(schema_with("published", ("cdm", "axion")), path, sets, **overrides)


def error_of(*sets, path=MODEL_2, **overrides):
    with pytest.raises(InputError) as error:
        load(*sets, path=path, **overrides)
    message = str(error.value)
    assert "\n" not in message
    return message


@pytest.fixture
def edited(tmp_path):
    """Writes the configuration of Model 2 with one piece of text exchanged for another."""

    def write(old: str, new: str) -> Path:
        text = MODEL_2.read_text()
        assert text.count(old) == 1
        path = tmp_path / "edited.yaml"
        path.write_text(text.replace(old, new))
        return path

    return write


@pytest.mark.parametrize("model", [1, 2, 3])
def test_shipped_configurations_are_complete(model):
    config = load(path=simulate_config_path(model, "published"))
    assert (config.model, config.preset) == (model, "published")
    assert config.classes == CLASSES
    assert config.instrument in INSTRUMENTS
    assert config.out is None


def test_the_identity_of_a_data_set_is_all_but_place_and_pace():
    config = load()
    other = load(out="elsewhere", workers=7, scheduler="tcp://elsewhere:8786")
    assert config.identity() == other.identity()
    assert config.identity() != load(seed=1).identity()
    assert config.identity().keys() == type(config).model_fields.keys() - {
        "out",
        "workers",
        "scheduler",
    }
    assert yaml.safe_load(yaml.safe_dump(config.identity())) == config.identity()


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ("sed=1", "unknown key 'sed' (did you mean 'seed'?)"),
        ("lens.gama1=0.1", "unknown key 'lens.gama1' (did you mean 'gamma1'?)"),
        ("lens.mass_scale.cosmology.Om=0.3", "unknown key 'lens.mass_scale.cosmology.Om'"),
        ("lens.mass_scale.cosmology.Om=0.3", "did you mean 'Om0'?"),
        ("Lens.e1=0.1", "did you mean 'lens'?"),
        ("cdm.slope=-1.9", "did you mean 'mass_slope'?"),
        ("axion.qqq=1", "; known: half_length, log10_mass_max, log10_mass_min, n_masses, total"),
    ],
)
def test_an_unknown_key_is_answered_with_the_nearest(item, message):
    assert message in error_of(item)


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ("lens.theta_E.meen=1", "unknown key 'lens.theta_E.meen' (did you mean 'mean'?)"),
        ("lens.theta_E.mean=x", ": lens.theta_E.mean: Input should be a valid number"),
        ("source.R_sersic.qqq=1", "unknown key 'source.R_sersic.qqq'; known: "),
    ],
)
def test_a_key_of_a_prior_is_named_without_the_kind_of_the_prior(item, message):
    with pytest.raises(InputError) as error:
        load_simulate_config(2, "physical", sets=[item])
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("right", "wrong", "message"),
    [
        ("\nseed:", "\nsead:", "unknown key 'sead' (did you mean 'seed'?)"),
        ("mass: 1.0e+12", "mas: 1.0e+12", "unknown key 'lens.mas' (did you mean 'mass'?)"),
    ],
)
def test_a_misspelt_key_in_a_file_is_answered_with_the_nearest(edited, right, wrong, message):
    path = edited(right, wrong)
    assert f"{path}: {message}" in error_of(path=path)


def test_a_missing_key_is_named(edited):
    path = edited("  mass: 1.0e+12", "")
    assert f"{path}: the key 'lens.mass' is missing" in error_of(path=path)


@pytest.mark.parametrize(
    ("item", "key"),
    [
        ("n=many", "n: "),
        ("n=1.5", "n: "),
        ("n=null", "n: "),
        ("lens.e1=round", "lens.e1: "),
        ("lens=3", "lens: "),
        ("classes=3", "classes: "),
        ("backend=jax", "backend: "),
        ("observation=single", "observation: "),
        ("exposure_log10=[3, high]", "exposure_log10.1: "),
        ("lens.mass_scale.distances=comoving", "lens.mass_scale.distances: "),
    ],
)
def test_a_value_of_the_wrong_type_is_named(item, key):
    message = error_of(item)
    assert f"{MODEL_2}: {key}" in message
    assert "(got " in message


@pytest.mark.parametrize(
    ("sets", "key"),
    [
        (["n=0"], "n"),
        (["n=-3"], "n"),
        (["seed=-1"], "seed"),
        (["seed=9223372036854775808"], "seed"),
        (["workers=0"], "workers"),
        (["shard_size=0"], "shard_size"),
        (["pairs=1"], "pairs"),
        (["lens.mass=-1e12"], "lens.mass"),
        (["lens.mass=.inf"], "lens.mass"),
        (["lens.gamma1=.nan"], "lens.gamma1"),
        (["lens.e1=0.9", "lens.e2=0.9"], "lens"),
        (["source.e1=-1"], "source"),
        (["source.R_sersic=0"], "source.R_sersic"),
        (["source.n_sersic=0.1"], "source.n_sersic"),
        (["source.magnitude=-1000"], "source.magnitude"),
        (["cdm.n_subhalos=0"], "cdm.n_subhalos"),
        (["cdm.r_min=3"], "cdm"),
        (["cdm.mass_min=1e11"], "cdm"),
        (["axion.log10_mass_min=-20"], "axion"),
        (["exposure_log10=[3.5, 3]"], "exposure_log10"),
    ],
)
def test_a_value_out_of_range_is_named(sets, key):
    assert f"{MODEL_2}: {key}: " in error_of(*sets)


@pytest.mark.parametrize(
    ("item", "get", "value"),
    [
        ("lens.e1=0.2", lambda c: c.lens.e1, 0.2),
        ("lens.mass=2e12", lambda c: c.lens.mass, 2e12),
        ("lens.mass_scale.cosmology.H0=71", lambda c: c.lens.mass_scale.cosmology.H0, 71.0),
        ("classes=[cdm, axion]", lambda c: c.classes, ("cdm", "axion")),
        ("pairs=null", lambda c: c.pairs, None),
        ("out=a=b", lambda c: c.out, Path("a=b")),
        ("exposure_log10=[2, 3]", lambda c: c.exposure_log10, (2.0, 3.0)),
    ],
)
def test_set_takes_any_key_and_a_yaml_value(item, get, value):
    assert get(load(item)) == value


def test_the_last_of_two_values_counts_and_set_beats_an_option():
    assert load("seed=3", "seed=4", seed=2).seed == 4


def test_an_option_that_is_not_given_changes_nothing():
    assert load(seed=None, pairs=None) == load()


@pytest.mark.parametrize("item", ["seed", "=3", "seed 3", "", " =3", "lens.=3", ".e1=3", "a..b=3"])
def test_set_without_key_and_value_is_refused(item):
    expected = f"--set takes key=value or section.key=value, as seed=1, got '{item}'"
    assert error_of(item) == expected


def test_set_below_a_value_is_refused():
    assert "'e1' is a value, not a section" in error_of("lens.e1.x=3")


def test_set_to_what_is_not_yaml_is_refused():
    assert "classes=[1, 2: it is not a YAML value: line 1" in error_of("classes=[1, 2")


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (["no_sub", "cmd"], "unknown class 'cmd' (did you mean 'cdm'?)"),
        (["wimpzilla"], "unknown class 'wimpzilla'; known: axion, cdm, no_sub"),
        (["cdm", "cdm"], "classes must name each class once"),
        ([], "classes must name each class once, and at least one"),
    ],
)
def test_classes_are_known_and_named_once(classes, message):
    assert message in error_of(classes=classes)


@pytest.mark.parametrize(
    "text",
    [
        "lens.e1=1e300", "source.R_sersic=1e300", "source.R_sersic=-1", "source.R_sersic=.nan",
        "lens.z_lens=1e-300", "lens.z_source=.inf", "lens.cosmology.Om0=1e-300",
        "lens.cosmology.H0=1e300", "cdm.n_subhalos=1000000000", "axion.n_masses=1000000000",
        "n=1180591620717411303424", "workers=1180591620717411303424", "shard_size=1e300",
    ],
)  # fmt: skip
def test_numbers_too_extreme_to_compute_with_are_refused_by_name(text):
    name = text.partition("=")[0].rpartition(".")[2]
    message = error_of(text)
    assert name in message
    assert "\n" not in message
