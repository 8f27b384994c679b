"""The audit of a data set: two checks, with intervals, clear refusals, and an exit code."""

import json

import numpy as np
import pytest

import cli
from learn.audit import audit, failures
from learn.config import AuditConfig
from lensphys.ground.config import load_config, shipped_config
from lensphys.ground.errors import InputError
from simulate.importers.config import ImportConfig
from simulate.importers.run import import_images
from simulate.presets import load_simulate_config
from simulate.run import simulate
from tests.learn.conftest import simulated

QUICK = ["epochs=1", "width=4", "batch_size=32", "least_test_images_per_class=5"]


@pytest.fixture(autouse=True)
def _few_resamples(monkeypatch):
    monkeypatch.setattr("learn.audit._RESAMPLES", 50)


def small(*sets):
    path = shipped_config("audit", "audit", "audit")
    return load_config(AuditConfig, path, [*QUICK, *sets])


@pytest.fixture(scope="module")
def physical(tmp_path_factory):
    out = tmp_path_factory.mktemp("physical") / "data"
    config = load_simulate_config(2, "physical", n=180, workers=1, device="cpu", out=out)
    return simulate(config)[0]


def test_an_audit_reports_both_checks_with_intervals(physical):
    result = audit(physical, small())
    assert json.loads((physical / "audit.json").read_text()) == json.loads(json.dumps(result))
    assert (physical / "audit.png").stat().st_size > 10_000
    assert result["radial_auc"].keys() == {"cdm", "axion"}
    for name, auc in result["radial_auc"].items():
        low, high = result["radial_auc_95"][name]
        assert 0 <= low <= auc <= high <= 1
    low, high = result["twin_accuracy_95"]
    assert low <= result["twin_accuracy"] <= high
    allowed = result["twin_accuracy_allowed"]
    inside = allowed[0] <= result["twin_accuracy"] <= allowed[1]
    assert result["passed"]["twin"] == inside
    assert result["passed"]["radial"] == all(v <= 0.6 for v in result["radial_auc"].values())


def test_the_same_seed_gives_the_same_audit(physical, tmp_path):
    results = [audit(physical, small(f"out={tmp_path / name}")) for name in "ab"]
    assert results[0] == results[1]


def test_a_shortcut_is_found(physical, tmp_path, monkeypatch):
    """Images that are brighter with substructure fail the first check."""
    from simulate import shards

    whole = shards.read(physical)
    brighter = np.where(whole.label == 0, 1.0, 3.0).astype(np.float32)[:, None, None, None]
    whole.image[:] *= brighter
    monkeypatch.setattr(shards, "read", lambda folder: whole)
    result = audit(physical, small(f"out={tmp_path / 'out'}"))
    assert not result["passed"]["radial"]
    found = result["radial_auc"]["cdm"]
    assert failures(result)[0] == (
        f"no shortcut: the radial AUC of cdm is {found:.3f}, allowed is at most 0.6"
    )


def test_published_images_are_spared_the_check_of_twins(tmp_path):
    data = simulated(tmp_path / "data", 2, 120)
    result = audit(data, small(f"out={tmp_path / 'out'}"))
    assert result["radial_auc"].keys() == {"cdm", "axion"}
    assert (result["twin_accuracy"], result["passed"]["twin"]) == (None, None)
    assert result["twin_skipped"] == (
        "it needs a data set of preset physical or realistic with noise; this is published doubled"
    )
    written = json.loads((tmp_path / "out" / "audit.json").read_text())
    assert written["twin_accuracy"] is None
    assert not (tmp_path / "out" / "audit.png").exists()


def test_imported_images_are_held_to_the_radial_check(tmp_path):
    """The classes of the DeepLense tests; here vort alone is brighter than no."""
    rng = np.random.default_rng(0)
    for name, flux in {"no": 1.0, "sphere": 1.0, "vort": 2.0}.items():
        folder = tmp_path / "set" / name
        folder.mkdir(parents=True)
        for i in range(60):
            np.save(folder / f"{i}.npy", rng.normal(flux, 0.1, (12, 12)))
    path = shipped_config("import", "import", "command")
    config = load_config(ImportConfig, path, out=tmp_path / "data", pixel_scale=0.1)
    result = audit(import_images(tmp_path / "set", config)[0], small())
    assert result["radial_auc"]["vort"] == 1
    assert result["radial_auc"]["sphere"] < 0.9
    assert result["twin_skipped"].endswith("this is imported")


def test_look_alikes_are_told_from_lenses_but_not_judged(tmp_path):
    """They are in neither check; lens light is in image and twin alike."""
    sets = ("non_lens.fraction=0.3", "lens_light.enabled=true")
    config = load_simulate_config(
        2, "physical", sets, n=160, workers=1, device="cpu", out=tmp_path / "data"
    )
    result = audit(simulate(config)[0], small())
    assert result["radial_auc"].keys() == {"cdm", "axion"}
    low, high = result["radial_auc_non_lens_95"]
    assert low <= result["radial_auc_non_lens"] <= high
    assert result["radial_auc_non_lens"] > 0.6, "they look different"
    assert 0 <= result["twin_accuracy"] <= 1
    assert result["passed"]["radial"] == all(v <= 0.6 for v in result["radial_auc"].values())


def test_a_data_set_too_small_to_say_anything_is_refused(physical, tmp_path):
    message = (
        r"has 60 images of no_sub, of which 9 are tested on; an audit needs 50 .* so at least "
        "334 images of each class"
    )
    with pytest.raises(InputError, match=message):
        audit(physical, small("least_test_images_per_class=50"))


@pytest.mark.parametrize(("most", "code"), [(0.95, 1), (1, 0)])
def test_a_failed_check_exits_with_one_and_is_named(
    physical, tmp_path, capsys, monkeypatch, most, code
):
    certain = lambda data, parts, config: np.eye(3)[data.label[parts.test]]  # noqa: E731
    monkeypatch.setattr("learn.audit._twin_probabilities", certain)
    sets = [*QUICK, f"twin_accuracy=[0.8,{most}]", "radial_auc_max=1", f"out={tmp_path}"]
    with pytest.raises(SystemExit) as stop:
        cli.main(["audit", str(physical), *(part for item in sets for part in ("--set", item))])
    assert (stop.value.code or 0) == code
    line = f"failed: signal: the accuracy on twin residuals is 1.000, allowed is 0.8 to {most}\n"
    assert capsys.readouterr().err.count(line) == code
    assert json.loads((tmp_path / "audit.json").read_text())["twin_accuracy"] == 1


def test_an_audit_needs_images_without_substructure(tmp_path):
    data = simulated(tmp_path / "data", 2, 20, classes=["cdm", "axion"])
    with pytest.raises(InputError, match="need no_sub or no and another class"):
        audit(data, small())
