"""Measures of an encoder while it learns."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from learn.config import StretchConfig
from learn.data import Stretch
from learn.methods import method_class
from learn.methods.base import Method
from learn.pretrain import pretrain
from learn.reporting.terminal import print_monitor
from learn.run_files import read_curves
from learn.training.monitor import (
    effective_rank,
    last_measured,
    measure,
    parameter_distance,
    probes,
    relative_spread,
    signs_of_collapse,
)
from simulate import shards

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("directions", [1, 3, 20])
def test_the_effective_rank_counts_directions_and_not_the_mean(directions: int) -> None:
    orthogonal = np.linalg.qr(RNG.normal(size=(400, directions)))[0]
    features = (orthogonal - orthogonal.mean(0)) @ np.linalg.qr(RNG.normal(size=(32, 32)))[0][
        :directions
    ]
    assert effective_rank(features) == pytest.approx(directions, rel=0.02)
    assert effective_rank(features + 100) == pytest.approx(directions, rel=0.02)


def test_the_spread_is_relative_to_the_length_of_the_features() -> None:
    constant = np.ones((100, 8))
    assert relative_spread(constant) == 0
    centred = RNG.normal(size=(10_000, 8))
    assert relative_spread(centred) == pytest.approx(1, rel=1e-2)
    assert relative_spread(1000 * centred) == pytest.approx(relative_spread(centred))


def test_probes_find_what_is_there_and_nothing_where_nothing_is() -> None:
    label = RNG.integers(3, size=600)
    distinct = RNG.normal(size=(600, 8)) + 4 * np.eye(3, 8)[label]
    alike = RNG.normal(size=(600, 8))
    assert min(probes(distinct, label).values()) > 0.95
    assert max(probes(alike, label).values()) < 0.45


def module_on(data: shards.DataSet, config: Any, method: str) -> Method:
    stretch = Stretch.of_images(
        torch.from_numpy(data.image), StretchConfig(kind="asinh", floor=1e-4)
    )
    return method_class(method)(config(method), stretch, total_steps=10)


def collapse(module: torch.nn.Module) -> None:
    """Let the last norm forget its input: every image then has the same features."""
    for part in (module.encoder, getattr(module, "teacher", module.encoder)):
        torch.nn.init.zeros_(part.vit.norm.weight)
        torch.nn.init.ones_(part.vit.norm.bias)


@pytest.mark.parametrize("method", ["mae", "dino"])
def test_a_collapsed_encoder_differs_from_a_fresh_one(
    method: str, model2: Path, pretrain_config: Any
) -> None:
    data = shards.read(model2)
    module, image = module_on(data, pretrain_config, method), torch.from_numpy(data.image)
    fresh = measure(module, image, data.label)
    assert signs_of_collapse(fresh, {}) == []
    collapse(module)
    signs = signs_of_collapse(measure(module, image, data.label), {})
    assert any("differ from image to image" in sign for sign in signs)


@pytest.mark.parametrize(("loss", "collapsed"), [(4.14, True), (4.0, False), (np.nan, True)])
def test_a_loss_at_that_of_a_blind_network_is_a_sign(loss: float, collapsed: bool) -> None:
    healthy = {"rank": 10.0, "spread": 0.5, "train_image": loss}
    signs = signs_of_collapse(healthy, {"image": np.log(64)})
    assert bool(signs) == collapsed
    assert all("sees no difference" in sign for sign in signs)


@pytest.mark.parametrize("name", ["rank", "spread"])
def test_a_measure_that_is_not_a_number_is_a_sign(name: str) -> None:
    assert signs_of_collapse({"rank": 10.0, "spread": 0.5, name: np.nan}, {})


def test_the_last_measurement_is_read_back_from_the_curves() -> None:
    rows = [{"epoch": "0", "rank": "9", "spread": "0.1", "collapsed": "0"}, {"epoch": "1"}]
    found = last_measured(rows, {})
    assert found == {"rank": 9.0, "spread": 0.1, "collapsed": 0, "signs_of_collapse": []}
    assert last_measured(rows[1:], {}) is None


def test_the_distance_to_the_teacher_is_relative(pretrain_config: Any, model2: Path) -> None:
    module = module_on(shards.read(model2), pretrain_config, "dino")
    assert parameter_distance(module.encoder, module.teacher) == 0
    with torch.no_grad():
        for parameter in module.teacher.parameters():
            parameter *= 1.5
    assert parameter_distance(module.encoder, module.teacher) == pytest.approx(0.5, rel=1e-5)


def test_a_collapsed_run_is_reported(
    model2: Path, tmp_path: Path, pretrain_config: Any, monkeypatch: Any, capsys: Any
) -> None:
    dino = method_class("dino")
    setup = dino.setup_method

    def blind(self: Any, params: Any) -> None:
        setup(self, params)
        collapse(self)
        self.encoder.vit.norm.requires_grad_(False)

    monkeypatch.setattr(dino, "setup_method", blind)
    # Temperatures so high that all soft classes are alike: DINO's collapse to ln K.
    hot = ("teacher_temperature_start", "teacher_temperature", "student_temperature")
    sets = ("monitor.every=1", *(f"params.{name}=4" for name in hot))
    config = pretrain_config("dino", sets, data=model2, out=tmp_path / "run")
    folder, _ = pretrain(config)
    assert [row["collapsed"] for row in read_curves(folder / "metrics.csv")] == ["1", "1"]
    assert json.loads((folder / "encoder.json").read_text())["monitor"]["collapsed"] == 1
    print_monitor(folder)
    said = capsys.readouterr().err
    assert "collapsed: the features differ from image to image" in said
    assert "network which sees no difference between images is 4.159" in said, "ln 64"
    assert "Traceback" not in said


def test_a_diverged_encoder_is_measured_as_collapsed(pretrain_config: Any, model2: Path) -> None:
    data = shards.read(model2)
    module = module_on(data, pretrain_config, "simclr")
    torch.nn.init.constant_(module.encoder.vit.norm.weight, math.nan)
    values = measure(module, torch.from_numpy(data.image), data.label)
    assert values.keys() == {"rank", "spread"}
    assert len(signs_of_collapse(values, {})) == 2
