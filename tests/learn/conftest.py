import shlex
from pathlib import Path
from typing import Any

import pytest
from pytorch_lightning import seed_everything

import cli
from learn.config import FinetuneConfig, PretrainConfig
from learn.finetune import finetune
from lensphys.ground.config import load_config, shipped_config
from simulate.presets import load_simulate_config
from simulate.run import simulate

TINY = {"embed_dim": 24, "depth": 2, "num_heads": 3, "patch_size": 16, "image_size": 64}
#: Small heads for the methods that have large ones.
HEADS = {
    "simclr": ("params.hidden_dim=32", "params.output_dim=16"),
    "moco": ("params.hidden_dim=32", "params.output_dim=16"),
    "dino": ("params.hidden_dim=32", "params.bottleneck_dim=16", "params.prototypes=64"),
    "ibot": ("params.hidden_dim=32", "params.bottleneck_dim=16", "params.prototypes=64"),
}


def simulated(folder: Path, model: int, n: int, **overrides: Any) -> Path:
    """A small data set, made by the real program."""
    config = load_simulate_config(model, n=n, workers=1, out=folder, device="cpu", **overrides)
    return simulate(config)[0]


@pytest.fixture(scope="session")
def model2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulated(tmp_path_factory.mktemp("model2") / "data", 2, 60)


@pytest.fixture(scope="session")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulated(tmp_path_factory.mktemp("pairs") / "data", 2, 48, pairs=2)


@pytest.fixture(scope="session")
def noisy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Model 3 with the noise of a detector, and at 16 pixels too."""
    folder = tmp_path_factory.mktemp("noisy") / "data"
    return simulated(folder, 3, 48, preset="physical", pairs=4)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    seed_everything(0, verbose=False)


@pytest.fixture
def pretrain_config() -> Any:
    def make(method: str, sets: tuple[str, ...] = (), **overrides: Any) -> PretrainConfig:
        small = ("optimizer.epochs=2", "optimizer.batch_size=16", "optimizer.warmup_epochs=0")
        encoder = tuple(f"encoder.{key}={value}" for key, value in TINY.items())
        path = shipped_config("pretrain", method, "method")
        overrides = {"device": "cpu", **overrides}
        sets = (*encoder, *small, *HEADS.get(method, ()), *sets)
        return load_config(PretrainConfig, path, sets, **overrides)

    return make


@pytest.fixture
def finetune_config() -> Any:
    def make(task: str, sets: tuple[str, ...] = (), **overrides: Any) -> FinetuneConfig:
        small = ("optimizer.epochs=2", "optimizer.batch_size=16", "optimizer.warmup_epochs=0")
        encoder = tuple(f"scratch_encoder.{key}={value}" for key, value in TINY.items())
        path = shipped_config("finetune", task, "task")
        overrides = {"device": "cpu", "encoder": "none", **overrides}
        return load_config(FinetuneConfig, path, (*encoder, *small, *sets), **overrides)

    return make


def finetuned(task: str, data: Path, out: Path, sets: tuple[str, ...] = ()) -> Path:
    """A small network after one epoch, made by the real program."""
    small = ("optimizer.epochs=1", "optimizer.batch_size=16", "optimizer.warmup_epochs=0")
    encoder = tuple(f"scratch_encoder.{key}={value}" for key, value in TINY.items())
    path = shipped_config("finetune", task, "task")
    config = load_config(
        FinetuneConfig,
        path,
        (*encoder, *small, *sets),
        data=data,
        device="cpu",
        encoder="none",
        out=out,
    )
    return finetune(config)[0]


@pytest.fixture(scope="session")
def classifier(model2: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finetuned("classify", model2, tmp_path_factory.mktemp("classifier") / "run")


@pytest.fixture(scope="session")
def superresolver(pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("superresolver") / "run"
    return finetuned("superres", pairs, out, ("params.width=8", "params.blocks=1"))


@pytest.fixture
def refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> Any:
    """Run a command line that must be refused, and return the line that it ends with."""
    monkeypatch.chdir(tmp_path)

    def run(line: str) -> str:
        before = sorted(tmp_path.rglob("*"))
        with pytest.raises(SystemExit) as stop:
            cli.main(shlex.split(line))
        captured = capsys.readouterr()
        assert stop.value.code == 2
        assert captured.out == ""
        assert captured.err.count("\n") == 1
        assert captured.err.startswith("error: ")
        assert sorted(tmp_path.rglob("*")) == before
        return captured.err

    return run
