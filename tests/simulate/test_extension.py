"""A class, a model and a preset are added by a registry line and YAML files alone."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from lensphys.ground import config as ground
from lensphys.ground.config import config_folder, read_yaml
from lensphys.ground.errors import InputError
from simulate import presets, shards
from simulate import substructure as classes
from simulate.backends.lenstronomy import LenstronomyRenderer
from simulate.dataset.columns import known_columns, markdown
from simulate.dataset.noise_free import render_noise_free
from simulate.dataset.twins import twin_residuals
from simulate.imaging import make_images, make_renderers
from simulate.instruments import instrument
from simulate.presets import (
    config_of,
    known_models,
    known_presets,
    load_simulate_config,
    make_prior,
)
from simulate.run import simulate
from simulate.substructure import known_classes

HERE = "tests.simulate.extension"
#: A model with an instrument of its own; without the sections of classes that it does not have.
CHANGES: dict[str, dict[str, Any]] = {
    "published": {"lens": {"mass": 4e12}},
    "physical": {"lens": {"theta_E": {"low": 1.2, "mean": 1.5}}},
}


@pytest.fixture
def extended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The class ``isothermal``, Model 9 in both presets, and the preset ``round``."""
    monkeypatch.setitem(classes.SUBSTRUCTURES, "isothermal", f"{HERE}.isothermal:ISOTHERMAL")
    monkeypatch.setitem(presets.PRESETS, "round", f"{HERE}.round_lenses:ROUND")
    folder = tmp_path / "configs" / "simulate"
    (folder / "substructure").mkdir(parents=True)
    for preset in ("published", "physical"):
        write(folder / f"substructure/isothermal-{preset}.yaml", n_subhalos=3, theta_E=0.05)
    for preset, name in (("published", "model2"), ("physical", "model2-physical")):
        values = read_yaml(config_folder("simulate") / f"{name}.yaml")
        ground.merge(values, CHANGES[preset])
        del values["cdm"], values["axion"]
        values |= {"model": 9, "instrument": "lsst_r", "classes": ["no_sub", "isothermal"]}
        write(folder / f"{name.replace('2', '9')}.yaml", **values)
        if preset == "physical":
            write(folder / "model9-round.yaml", **values | {"preset": "round"})
    monkeypatch.setattr(ground, "CONFIG_PATH", [tmp_path / "configs"])


def write(path: Path, **values: Any) -> None:
    path.write_text(yaml.safe_dump(values))


def made(preset: str, out: Path, *sets: str, model: int = 9, **changes: Any) -> shards.DataSet:
    config = load_simulate_config(
        model, preset, sets, n=12, workers=1, device="cpu", out=out, **changes
    )
    return shards.read(simulate(config)[0])


@pytest.mark.usefixtures("extended")
def test_all_lists_of_names_have_what_was_added() -> None:
    assert known_classes() == ("no_sub", "cdm", "axion", "isothermal")
    assert known_presets() == ("published", "physical", "realistic", "round")
    assert known_models() == (1, 2, 3, 9)
    assert known_models("round") == (9,)
    assert known_columns()["isothermal_angle"].unit == "rad"
    assert "`isothermal`: subhaloes" in markdown()


@pytest.mark.usefixtures("extended")
@pytest.mark.parametrize("preset", ["published", "physical", "round"])
def test_a_data_set_of_the_class_is_made_and_read(preset: str, tmp_path: Path) -> None:
    data = made(preset, tmp_path / "data")
    assert data.label_names == ["no_sub", "isothermal"]
    assert data.label.tolist() == 6 * [0, 1]
    assert data.image.shape == (12, 1, 48, 48)
    assert data.attrs["instrument"] == "lsst_r"
    assert data.config["isothermal"] == {"n_subhalos": 3, "theta_E": 0.05}
    assert not data.config.keys() & {"cdm", "axion"}
    assert data.params["n_substructure"].tolist() == 6 * [0.0, 3.0]
    angle = data.params["isothermal_angle"]
    assert np.isnan(angle[data.label == 0]).all()
    assert len(np.unique(angle[data.label == 1])) == 6
    assert "axion_mass" not in data.params
    assert config_of(data.config, device="cpu").identity() == data.config
    assert (data.params["e1"] == 0).all() == (preset == "round")


@pytest.mark.usefixtures("extended")
def test_the_substructure_deflects_and_its_mass_is_taken_from_the_lens(tmp_path: Path) -> None:
    data = made("physical", tmp_path / "data", "observation=noise_free")
    p, there = data.params, data.label == 1
    # On the ring, the mean radial deflection by a sphere on it is 2 / pi of its Einstein radius.
    share = p["substructure_fraction_ring"][there]
    assert share == pytest.approx(2 / np.pi * 3 * 0.05 / p["theta_E"][there], rel=1e-3)
    assert (p["theta_E_main"][there] < p["theta_E"][there]).all()
    assert (p["theta_E_main"][~there] == p["theta_E"][~there]).all()
    assert (p["perturbation_snr"][there] > 1).all()
    assert not p["perturbation_snr"][~there].any()


@pytest.mark.usefixtures("extended")
def test_its_truth_and_its_twins_are_drawn_again(tmp_path: Path) -> None:
    data = made("physical", tmp_path / "data")
    clean = render_noise_free(data, np.arange(len(data)))
    assert np.isfinite(clean).all()
    chi2 = (twin_residuals(data) ** 2).sum((1, 2, 3))
    excess = chi2 - data.image[0].size
    strong = data.params["perturbation_snr"] ** 2
    assert excess[data.label == 1] == pytest.approx(strong[data.label == 1], rel=0.3, abs=500)


@pytest.mark.usefixtures("extended")
def test_both_backends_render_the_class() -> None:
    config = load_simulate_config(9, "physical", workers=1, device="cpu")
    scene, (ours,) = make_images(
        config.model_copy(update={"observation": "noise_free"}),
        make_prior(config),
        make_renderers(config),
        0,
        2,
    )
    theirs = LenstronomyRenderer(instrument(config.instrument)).render(scene)
    assert np.abs(ours[:, 0] - theirs).max() < 1e-4 * theirs.max()


@pytest.mark.usefixtures("extended")
def test_a_shipped_model_has_the_class_without_an_edit_of_its_file(tmp_path: Path) -> None:
    chosen = ["no_sub", "cdm", "isothermal"]
    data = made("published", tmp_path / "data", "isothermal.theta_E=0.1", model=2, classes=chosen)
    assert data.label_names == chosen
    assert data.config["isothermal"] == {"n_subhalos": 3, "theta_E": 0.1}
    assert {"cdm", "axion"} < data.config.keys()


@pytest.mark.usefixtures("extended")
def test_the_identity_of_other_configurations_stays() -> None:
    config = load_simulate_config(2, "physical", device="cpu")
    assert "isothermal" not in config.identity()
    scene = make_prior(config).draw(0, 3)
    assert "isothermal_angle" not in scene.params


@pytest.mark.usefixtures("extended")
@pytest.mark.parametrize(
    ("sets", "message"),
    [
        (["isothermal.theta=1"], r"unknown key 'isothermal.theta' \(did you mean 'theta_E'"),
        (["isothermal.n_subhalos=0"], "isothermal.n_subhalos: "),
        (["classes=[isotermal]"], r"unknown class 'isotermal' \(did you mean 'isothermal'"),
        (["classes=[cdm]"], "the key 'cdm' is missing"),
    ],
)
def test_mistakes_are_answered_as_ever(sets: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_simulate_config(9, "physical", sets)


@pytest.mark.usefixtures("extended")
def test_a_class_without_substructure_for_a_preset_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delitem(classes.substructure("isothermal").draws, "published")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="has no substructure for preset published"):
        load_simulate_config(9, "published")
