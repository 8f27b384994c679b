"""The audit of a data set: two checks, with intervals, and clear refusals."""

import json

import numpy as np
import pytest
from conftest import simulated

from learn.audit import AuditConfig, audit
from simulate.config import load_config, shipped_config
from simulate.errors import InputError
from simulate.presets import load_simulate_config
from simulate.run import simulate


def small(*sets):
    path = shipped_config("audit", "audit", "audit")
    return load_config(AuditConfig, path, ["epochs=1", "width=4", "batch_size=32", *sets])


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


def test_published_images_have_no_twins(tmp_path):
    data = simulated(tmp_path / "data", 2, 60)
    with pytest.raises(InputError, match="need preset physical"):
        audit(data, small(f"out={tmp_path / 'out'}"))


def test_an_audit_needs_images_without_substructure(tmp_path):
    data = simulated(tmp_path / "data", 2, 20, classes=["cdm", "axion"])
    with pytest.raises(InputError, match="need no_sub and another"):
        audit(data, small())
