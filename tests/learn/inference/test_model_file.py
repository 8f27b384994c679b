"""The file of a trained task."""

import dataclasses
import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import yaml
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from learn.data_description import describe
from learn.inference.model_file import restore, save_model
from learn.inference.testing import predict_rows
from learn.run_files import MODEL
from lensphys.ground.errors import InputError
from simulate import shards
from tests.learn.conftest import LENS_FIT


def test_the_header_describes_encoder_and_data(classifier: Path, model2: Path) -> None:
    """Without the data set, the configuration and the header tell all that a user needs."""
    with safe_open(classifier / "model.safetensors", "pt") as file:
        header = json.loads(file.metadata()["lensphys"])
    attrs = shards.read(model2).attrs
    assert header["must_match"]["label_names"] == attrs["label_names"]
    assert header["must_match"]["pixel_scale"] == attrs["pixel_scale"]
    assert header["encoder"]["embed_dim"] == 24
    assert header["data"] == json.loads(
        json.dumps(dataclasses.asdict(describe(shards.read(model2))))
    )


@pytest.mark.parametrize("name", ["classifier", "regressor", "superresolver"])
def test_a_restored_task_predicts_what_the_trained_one_predicted(
    name: str, request: pytest.FixtureRequest
) -> None:
    run: Path = request.getfixturevalue(name)
    task, data = restore(run)
    images = shards.read(task.config.data)
    assert data == describe(images)
    with h5py.File(run / "predictions.h5") as file:
        rows, wanted = file["index"][()], file["prediction"][()]
    found = predict_rows(task, rows, task.load(images, "cpu")).numpy()
    np.testing.assert_array_equal(found[:, 0] if name == "regressor" else found, wanted)


def test_a_run_of_an_earlier_version_is_refused_with_what_to_do(
    classifier: Path, tmp_path: Path
) -> None:
    """Its header held the configuration of the data set in the place of its description."""
    run = tmp_path / "run"
    shutil.copytree(classifier, run)
    with safe_open(run / MODEL, "pt") as file:
        header = json.loads(file.metadata()["lensphys"])
    header["data"] = header["data"]["config"]
    weights = load_file(run / MODEL)
    save_file(weights, run / MODEL, metadata={"lensphys": json.dumps(header)})
    with pytest.raises(InputError) as error:
        restore(run)
    assert "is of an earlier version; run its finetune command again" in str(error.value)
    assert "\n" not in str(error.value)
    save_file(weights, run / MODEL)
    with pytest.raises(InputError, match="is of an earlier version"):
        restore(run)


BIAS = "head.last.bias"


def change_weights(classifier: Path, run: Path, change: Callable[[dict[str, Tensor]], Any]) -> Path:
    """Copy a run with something changed in its weights."""
    shutil.copytree(classifier, run)
    with safe_open(run / MODEL, "pt") as file:
        metadata = file.metadata()
    weights = load_file(run / MODEL)
    change(weights)
    save_file(weights, run / MODEL, metadata=metadata)
    return run


def test_weights_of_another_network_are_refused(classifier: Path, tmp_path: Path) -> None:
    run = change_weights(classifier, tmp_path / "run", lambda weights: weights.pop(BIAS))
    with pytest.raises(InputError, match="belong to another architecture"):
        restore(run)


def test_weights_that_are_no_numbers_are_refused(classifier: Path, tmp_path: Path) -> None:
    run = change_weights(
        classifier, tmp_path / "run", lambda weights: weights[BIAS].fill_(math.nan)
    )
    with pytest.raises(InputError, match="weights that are no numbers: its training has diverged"):
        restore(run)


def test_a_network_on_lens_fits_of_another_recipe_is_refused(
    noisy: Path, tmp_path: Path, untrained_task: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, data = untrained_task("classify", noisy, LENS_FIT)
    save_model(task, describe(data), tmp_path)
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(task.config.model_dump(mode="json")))
    assert restore(tmp_path).task.encoder.config == task.encoder.config
    monkeypatch.setattr("learn.networks.encoder_files._RECIPE", {"version": 10**6})
    with pytest.raises(InputError, match="lens fits of another recipe") as error:
        restore(tmp_path)
    assert "\n" not in str(error.value)
