"""A small set of weights, packed from runs of the real program."""

from pathlib import Path

import pytest

from learn.config import FinetuneConfig
from learn.finetune import finetune
from learn.weights import shipped
from learn.weights.pack import pack
from lensphys.ground.config import load_config, shipped_config


@pytest.fixture(scope="session")
def probe(encoder_run: Path, model2: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier on an encoder that stays as it is."""
    sets = ("optimizer.epochs=1", "optimizer.batch_size=16", "optimizer.warmup_epochs=0")
    config = load_config(
        FinetuneConfig,
        shipped_config("finetune", "classify", "task"),
        sets,
        data=model2,
        device="cpu",
        encoder=str(encoder_run),
        mode="linear",
        out=tmp_path_factory.mktemp("probe") / "run",
    )
    return finetune(config)[0]


@pytest.fixture(scope="session")
def packed(
    encoder_run: Path, probe: Path, regressor: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """An encoder, a classifier that shares it, and a network of regression of its own."""
    runs = {"classify": probe, "regress": regressor, "encoder": encoder_run}
    return pack(runs, tmp_path_factory.mktemp("packed"), say=lambda line: None)


@pytest.fixture
def installed(packed: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The package with these weights in it."""
    monkeypatch.setattr(shipped, "FOLDER", packed)
    return packed


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package without weights."""
    monkeypatch.setattr(shipped, "FOLDER", tmp_path / "none")
